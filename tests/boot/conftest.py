"""A kernel, and a system of one program: machines that start in seconds."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, need

KERNEL = "linux-rastos-ci"


def _state() -> Path:
    return Path(os.environ.get("RASTOS_STATE") or ROOT / ".rastos/state")


def _package() -> Path | None:
    found = sorted(
        (_state() / "repository").glob(f"{KERNEL}-*-x86_64.pkg.tar.zst"), key=lambda path: path.stat().st_mtime
    )
    return found[-1] if found else None


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vmlinuz: the one RASTOS_TEST_KERNEL names, or that of the CI kernel's package, built where there is none."""
    named = os.environ.get("RASTOS_TEST_KERNEL")
    if named:
        return Path(named)
    package = _package()
    if package is None:
        cache = Path(os.environ.get("RASTOS_CACHE") or ROOT / ".rastos/cache")
        environment = {**os.environ, "RASTOS_STATE": str(_state()), "RASTOS_CACHE": str(cache)}
        argv = [ROOT / ".venv/bin/python", "-m", "rastos", "kernel", "build", "--profile", "ci"]
        subprocess.run([str(word) for word in argv], cwd=ROOT, env=environment, check=True)
        package = _package()
    assert package is not None
    need("tar", "zstd")
    listing = subprocess.run(["tar", "-tf", package], capture_output=True, text=True, check=True).stdout.splitlines()
    (name,) = [line for line in listing if line.endswith("/vmlinuz")]
    target = tmp_path_factory.mktemp("kernel") / "vmlinuz"
    with target.open("wb") as stream:
        subprocess.run(["tar", "-xOf", package, name], stdout=stream, check=True)
    return target


@pytest.fixture(scope="session")
def initramfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A RAM disk whose init does what the command line's `act=` says."""
    need("gcc", "qemu-system-x86_64")
    place = tmp_path_factory.mktemp("initramfs")
    subprocess.run(
        ["gcc", "-static", "-Os", "-Wall", "-Werror", "-o", place / "init", ROOT / "tests/boot/init.c"], check=True
    )
    target = place / "initramfs"
    target.write_bytes(gzip.compress(_newc({"dev": None, "proc": None, "init": (place / "init").read_bytes()}), 1))
    return target


def _newc(files: dict[str, bytes | None]) -> bytes:
    """A cpio archive of the kernel's format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    out = b""
    for number, (name, data) in enumerate([*files.items(), ("TRAILER!!!", b"")], 1):
        mode = 0o040755 if data is None else 0o100755
        fields = (number, mode, 0, 0, 1, 0, len(data or b""), 0, 0, 0, 0, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4) + (data or b"")
        out += b"\0" * (-len(out) % 4)
    return out
