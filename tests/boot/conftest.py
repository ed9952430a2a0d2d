"""What boot tests share: the command line as a user runs it, the ci kernel, and an image with it, built once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, need

Rastos = Callable[..., str]


def environment() -> dict[str, str]:
    """Caches inside the checkout unless the environment says where."""
    base = dict(os.environ)
    base.setdefault("RASTOS_CACHE", str(ROOT / ".rastos/cache"))
    base.setdefault("RASTOS_STATE", str(ROOT / ".rastos/state"))
    return base


def call(*words: str | Path, status: int = 0) -> str:
    """Run `rastos WORDS`; its standard output. The whole talk is in the failure when the status is another one."""
    argv = [sys.executable, "-m", "rastos", *(str(word) for word in words)]
    done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{' '.join(argv[2:])}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + (done.stderr if status else "")


@pytest.fixture(scope="session")
def rastos() -> Rastos:
    need(
        "qemu-system-x86_64",
        "qemu-img",
        "qemu-storage-daemon",
        "mkfs.btrfs",
        "mkfs.vfat",
        "mcopy",
        "sfdisk",
        "gcc",
        "ssh",
    )
    return call


@pytest.fixture(scope="session")
def ci_kernel(rastos: Rastos) -> dict[str, Any]:
    """The kernel of profile ci, from source; a second run finds it built."""
    built: dict[str, Any] = json.loads(rastos("kernel", "build", "--profile", "ci", "--json"))
    return built


@pytest.fixture(scope="session")
def bzimage(ci_kernel: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernel file itself."""
    place = tmp_path_factory.mktemp("kernel")
    name = f"usr/lib/modules/{ci_kernel['release']}/vmlinuz"
    subprocess.run(["bsdtar", "-xf", ci_kernel["package"], "-C", str(place), name], check=True)
    return place / name


@pytest.fixture(scope="session")
def ci_image(rastos: Rastos, ci_kernel: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of profile ci that nobody changes: copy it to change it."""
    place = tmp_path_factory.mktemp("image") / "ci.qcow2"
    rastos("image", "create", "--profile", "ci", "--output", place)
    return place
