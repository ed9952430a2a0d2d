"""Container runtimes prove the kernel: crun and podman in a booted guest, with limits, networks, drivers, filters, users."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rastos.installer.vm.purposes import PURPOSES
from tests.boot.conftest import Rastos, environment
from tests.conftest import unmet


@pytest.fixture(scope="module")
def kernel(rastos: Rastos) -> str:
    """The container kernel if it is built already (that takes long), else the distribution's; the ci kernel has too little."""
    wanted = os.environ.get("RASTOS_TEST_KERNEL", "container")
    folder = Path(environment()["RASTOS_STATE"]) / "repository"
    if list(folder.glob(f"linux-rastos-{wanted}-*.pkg.tar.zst")):
        return wanted
    try:
        rastos("image", "create", "--profile", "container", "--kernel", "distro", "--dry-run", "--json")
    except AssertionError as error:
        unmet(f"a kernel for containers: `rastos kernel build --profile container`, or the distribution's: {error}")
    return "distro"


def test_containers_run(rastos: Rastos, kernel: str, tmp_path: Path) -> None:
    image = tmp_path / "container.qcow2"
    rastos("image", "create", "--profile", "container", "--kernel", kernel, "--output", image, "--json")
    text = rastos("image", "test", "--direct", "--for", "containers", "--image", image, "--json")
    report = json.loads(text)
    seen = {check["name"]: check for check in report["checks"]}
    assert report["passed"]
    for check in PURPOSES["containers"]:
        assert seen[check.name]["passed"]
        assert "left out" not in seen[check.name]["detail"], "the image has all programs for it"
    assert "67108864 16 20000 100000" in seen["crun: limits are those asked for"]["detail"]
    assert "192.0.2" not in seen["podman on btrfs"]["detail"] and "10.88." in seen["podman on btrfs"]["detail"]
