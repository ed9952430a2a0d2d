"""A deployment whose boots go wrong is left by the boot loader itself, for the last one that went well."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rastos.installer import open_image
from rastos.snapshot.bootentry import ENTRIES
from tests.boot.conftest import Rastos

BROKEN = """
printf '[Service]\\nType=oneshot\\nExecStart=/bin/false\\n' > /etc/systemd/system/broken.service
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -s ../broken.service /etc/systemd/system/multi-user.target.wants/
"""


@pytest.fixture
def image(ci_image: Path, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(ci_image, tmp_path / "counted.qcow2"))


def _entries(rastos: Rastos, image: Path) -> dict[int, tuple[str, int | None]]:
    found = json.loads(rastos("image", "inspect", "--json", "--image", image))["entries"]
    return {entry["deployment"]: (entry["state"], entry["tries_left"]) for entry in found}


def test_falls_back_by_itself(rastos: Rastos, image: Path) -> None:
    at = ("--image", image)
    state = "cat /etc/rastos/deployment.json; systemctl is-system-running || true"
    assert '"deployment": 1' in rastos("image", "boot", "--persist", *at, "--", state)
    assert _entries(rastos, image) == {1: ("good", None)}
    rastos("snapshot", "run", "latest", "-d", "broken", *at, "--", "sh", "-c", BROKEN)
    rastos("snapshot", "deploy", "latest", *at)
    with open_image(image, writable=True, purpose="one try instead of three") as opened:
        opened.esp.rename(f"{ENTRIES}/rastos-2+3.conf", f"{ENTRIES}/rastos-2+1.conf")
    seen = rastos("image", "boot", "--persist", *at, "--", state)
    assert '"deployment": 2' in seen and "degraded" in seen
    assert _entries(rastos, image) == {1: ("good", None), 2: ("bad", 0)}
    seen = rastos("image", "boot", "--persist", *at, "--", state)
    assert '"deployment": 1' in seen and "running" in seen
