"""`snapshot deploy --prove`: a candidate boots on a throw-away overlay first, and only one that comes up is deployed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Rastos

pytestmark = pytest.mark.long  # four boots

# in the tree, so that it goes with the snapshot and not with a deployment's /etc
UNWELL = """
mkdir -p /usr/lib/rastos/health.d
printf '#!/bin/sh\\nexit 1\\n' > /usr/lib/rastos/health.d/never
chmod 755 /usr/lib/rastos/health.d/never
"""


@pytest.fixture(scope="module")
def image(ci_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copyfile(ci_image, tmp_path_factory.mktemp("prove") / "proved.qcow2"))


def _store(rastos: Rastos, image: Path) -> tuple[list[int], dict[int, str], Any]:
    """Deployments, why snapshots are bad, the entries of the ESP."""
    status = json.loads(rastos("snapshot", "status", "--json", "--image", image))
    pending = json.loads(rastos("snapshot", "pending", "--json", "--image", image))
    entries = json.loads(rastos("image", "inspect", "--json", "--image", image))["entries"]
    return (
        [item["number"] for item in status["deployments"]],
        {mark["snapshot"]: mark["why"] for mark in pending["bad"]},
        entries,
    )


def test_what_comes_up_is_deployed(rastos: Rastos, image: Path) -> None:
    at = ("--image", image)
    rastos("snapshot", "run", "latest", "-d", "good", *at, "--", "touch", "/usr/lib/good")
    rastos("snapshot", "deploy", "--prove", *at)
    deployments, bad, entries = _store(rastos, image)
    assert deployments == [1, 2] and bad == {}
    newest = next(entry for entry in entries if entry["deployment"] == 2)
    assert (newest["state"], newest["tries_left"]) == ("new", 3), "the proof boots an overlay: no try is used up"
    status = json.loads(rastos("snapshot", "status", "--json", *at))
    assert status["boots"] == [], "nor is anything written to its state"
    etc = rastos("snapshot", "etc", "status", *at)
    assert "health.conf" not in etc, "what keeps a candidate up belongs to the overlay"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (UNWELL, "check:never"),
        ("rm /usr/lib/systemd/systemd", "the guest crashed"),
    ],
    ids=("fails its checks", "can't boot"),
)
def test_what_does_not_is_refused_and_remembered(rastos: Rastos, image: Path, change: str, said: str) -> None:
    at = ("--image", image)
    base = json.loads(rastos("snapshot", "deploy", "--dry-run", "--json", *at))["snapshot"]
    before = _store(rastos, image)
    made = json.loads(
        rastos("snapshot", "run", str(base), "-d", "wrong", "--json", *at, "--", "sh", "-c", change)
    )["id"]  # fmt: skip
    text = rastos("snapshot", "deploy", "--prove", *at, status=1)
    assert f"snapshot {made} did not prove itself" in text and said in text, text
    assert "next: it was not deployed" in text
    log = re.search(r"^on: (.+\.log)$", text, re.MULTILINE)
    assert log is not None and "Linux version" in Path(log[1]).read_text(errors="replace")
    after = _store(rastos, image)
    assert (after[0], after[2]) == (before[0], before[2]), "nothing was deployed"
    assert set(after[1]) - set(before[1]) == {made} and "failed its proof" in after[1][made]
    # not chosen again; named, it is the user's word against the proof's
    assert json.loads(rastos("snapshot", "deploy", "--dry-run", "--json", *at))["snapshot"] == base
    told = json.loads(rastos("snapshot", "deploy", str(made), "--dry-run", "--json", *at))
    assert "failed its proof" in told["bad"]
