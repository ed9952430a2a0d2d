"""The main job, end to end, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Rastos


@pytest.fixture(scope="module")
def image(ci_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("story") / "story.qcow2"
    shutil.copyfile(ci_image, place)
    return place


def test_image_passes_its_checks_by_both_ways(rastos: Rastos, ci_image: Path, ci_kernel: dict[str, Any]) -> None:
    before = ci_image.stat().st_mtime_ns
    report = json.loads(
        rastos("image", "test", "--image", ci_image, "--run", f"test $(uname -r) = {ci_kernel['release']}", "--json")
    )
    assert report["passed"]
    assert set(report["boots"]) == {"uefi", "direct"}
    names = {check["name"] for check in report["checks"]}
    assert {"system is running, no failed units", "/usr refuses writes", "SSH login by key works"} <= names
    assert ci_image.stat().st_mtime_ns == before, "a test must not write to the image"


def test_a_failing_check_is_exit_status_1(rastos: Rastos, ci_image: Path) -> None:
    text = rastos("image", "test", "--direct", "--image", ci_image, "--run", "test -e /no/such/file", status=1)
    assert "FAILED" in text
    assert "test -e /no/such/file" in text


def test_change_deploy_boot_rollback_boot(rastos: Rastos, image: Path, ci_kernel: dict[str, Any]) -> None:
    at = ("--image", image)
    made = json.loads(rastos("snapshot", "run", "latest", "--install", "htop", "-d", "with htop", "--json", *at))
    assert (made["id"], made["parent"], made["description"]) == (1, 0, "with htop")
    assert "htop" in made["delta"]["added"]
    rastos("snapshot", "deploy", "latest", *at)
    release = ci_kernel["release"]
    seen = rastos(
        "image", "boot", "--persist", *at, "--",
        f"set -e; command -v htop; test $(uname -r) = {release}; grep -h 'with htop' /etc/issue.d/rastos.issue; "
        "test $(systemctl is-system-running) = running; echo kept > /var/lib/story; cat /etc/machine-id > /var/lib/id",
    )  # fmt: skip
    assert "/usr/bin/htop" in seen
    assert "snapshot 1: with htop" in seen
    good = json.loads(rastos("image", "inspect", "--json", *at))
    states = {entry["deployment"]: entry["state"] for entry in good["entries"]}
    assert states[2] == "good", "a boot that went well must be blessed"
    rastos("snapshot", "rollback", *at)
    seen = rastos(
        "image", "boot", "--persist", *at, "--",
        f"set -e; ! command -v htop; test $(uname -r) = {release}; test $(systemctl is-system-running) = running; "
        "grep -qx kept /var/lib/story; cmp /etc/machine-id /var/lib/id; cat /etc/rastos/deployment.json",
    )  # fmt: skip
    assert json.loads(seen)["snapshot"] == 0
    tree = json.loads(rastos("snapshot", "tree", "--json", *at))
    assert tree[0]["id"] == 0 and "next" in tree[0]["marks"]
    assert tree[0]["children"] == [1]


def test_second_create_comes_from_the_cache(rastos: Rastos, ci_image: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    made = json.loads(rastos("image", "create", "--profile", "ci", "--output", tmp_path / "again.qcow2", "--json"))
    assert made["cached"]
    assert time.monotonic() - started < 20
    subprocess.run(["cmp", str(ci_image), str(tmp_path / "again.qcow2")], check=True)


def test_a_command_that_fails_leaves_no_snapshot(rastos: Rastos, image: Path) -> None:
    before = rastos("snapshot", "list", "--json", "--image", image)
    text = rastos("snapshot", "run", "0", "--image", image, "--", "sh", "-c", "touch /usr/half; exit 3", status=1)
    assert "status 3" in text and "discarded" in text
    assert rastos("snapshot", "list", "--json", "--image", image) == before


def test_a_package_that_is_not_there_has_near_matches(rastos: Rastos, image: Path) -> None:
    text = rastos("snapshot", "run", "0", "--install", "htopp", "--image", image, status=1)
    assert "htop" in text.replace("htopp", "")
    assert len([line for line in text.splitlines() if line.startswith(("error:", "on:", "next:"))]) <= 3
