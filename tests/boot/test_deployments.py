"""In a real boot: what the state contract mounts, and a trial that boots once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.boot.conftest import Rastos

CONTRACT = """
mkdir -p /usr/lib/rastos/state.d /opt
printf '[paths]\\n"var/lib/own" = "per-snapshot"\\n"var/cache/app" = "reset"\\n"opt" = "shared"\\n' \
> /usr/lib/rastos/state.d/app.toml
"""
WRITE = """
for place in /var/lib/own /var/cache/app /opt; do echo here > $place/mark; done
cat /proc/mounts; systemctl is-system-running --wait
"""
READ = """
systemctl is-system-running --wait; cat /etc/rastos/deployment.json
head /var/lib/own/mark /var/cache/app/mark /opt/mark 2>&1 || true
"""


@pytest.fixture
def image(ci_image: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(ci_image, tmp_path / "state.qcow2"))


def _states(rastos: Rastos, image: Path) -> dict[int, str]:
    found = json.loads(rastos("image", "inspect", "--json", "--image", image))["entries"]
    return {entry["deployment"]: entry["state"] for entry in found}


def test_a_trial_boots_once_with_the_state_it_was_given(rastos: Rastos, image: Path) -> None:
    at = ("--image", image)
    rastos("image", "boot", "--persist", *at, "--", "systemctl is-system-running --wait")
    assert _states(rastos, image) == {1: "good"}
    rastos("snapshot", "run", "latest", "-d", "with state", *at, "--", "sh", "-c", CONTRACT)
    rastos("snapshot", "deploy", "--try", *at)
    seen = rastos("image", "boot", "--persist", *at, "--", WRITE)
    mounts = {row.split()[1]: row.split()[3] for row in seen.splitlines() if " btrfs " in row}
    subvolumes = {place: options.rpartition("subvol=")[2] for place, options in mounts.items()}
    assert subvolumes["/var/lib/own"] == "/snapshots/1/state/var%2Flib%2Fown"
    assert subvolumes["/var/cache/app"] == "/deployments/2/state/var%2Fcache%2Fapp"
    assert subvolumes["/opt"] == "/state/opt"
    # it came up well, and yet it was to boot once
    assert _states(rastos, image) == {1: "good", 2: "bad"}
    assert json.loads(rastos("snapshot", "pending", "--json", *at))["next"]["number"] == 1
    assert json.loads(rastos("snapshot", "pending", "--json", *at))["bad"] == []
    rastos("snapshot", "keep", "2", *at)
    rastos("snapshot", "deploy", "1", *at)
    seen = rastos("image", "boot", "--persist", *at, "--", READ)
    assert '"deployment": 3' in seen and seen.count("here") == 2
    assert "/var/cache/app/mark" in seen and "No such file" in seen
    assert _states(rastos, image)[3] == "good"
