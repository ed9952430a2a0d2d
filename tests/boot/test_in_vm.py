"""An image made by a user without root: the same one root makes, and nothing left of a machine that was killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boot.conftest import Rastos, environment
from tests.conftest import ROOT, need, unmet

pytestmark = pytest.mark.long  # they need the container kernel, which takes long to build

USER = 64321  # nobody's number
TIMEOUT = 2400


@pytest.fixture(scope="module")
def home(rastos: Rastos, ci_kernel: dict[str, Any]) -> Iterator[Path]:
    """A folder of a user who isn't root, with the kernels and packages that are here: it fetches and compiles nothing."""
    need("setpriv")
    ours = environment()
    cache, state = Path(ours["RASTOS_CACHE"]), Path(ours["RASTOS_STATE"])
    if not list((state / "repository").glob("linux-rastos-container-6*.pkg.tar.zst")):
        unmet("kernel container: `rastos kernel build --profile container`")
    place = Path("/var/tmp") / f"rastos-in-vm.{os.getpid()}"  # pytest's own folders are root's alone
    place.mkdir(mode=0o755)
    try:
        shutil.copytree(state / "repository", place / "state/repository", symlinks=True)
        for name in ("packages", "channels", "inspected"):
            if (cache / name).is_dir():
                shutil.copytree(cache / name, place / "cache" / name, symlinks=True)
        if (cache / "accelerator.json").is_file():
            shutil.copy2(cache / "accelerator.json", place / "cache")
        subprocess.run(["chown", "-R", f"{USER}:{USER}", place], check=True)
        yield place
    finally:
        shutil.rmtree(place)


def as_user(home: Path, *words: str) -> subprocess.Popen[str]:
    """`rastos WORDS` as that user, in the checkout."""
    readable = subprocess.run(
        [
            "setpriv",
            "--reuid",
            str(USER),
            "--regid",
            str(USER),
            "--clear-groups",
            "test",
            "-r",
            ROOT / "pyproject.toml",
        ],
        check=False,
    )
    if readable.returncode:
        unmet(f"a checkout that other users may read: {ROOT}")
    variables = {"HOME": home, "RASTOS_CACHE": home / "cache", "RASTOS_STATE": home / "state"}
    env = {**os.environ, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in variables.items()}}
    argv = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", sys.executable, "-m", "rastos"]
    return subprocess.Popen(
        [*argv, *words],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def said(process: subprocess.Popen[str], status: int = 0) -> str:
    out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == status, f"status {process.returncode}\n{out}\n{err}"
    return out + (err if status else "")


def machines(home: Path) -> list[int]:
    """QEMU processes that work in the user's folder."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
        except OSError:
            continue
        if words.startswith(b"qemu-system") and str(home).encode() in words:
            found.append(int(folder.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_machine_ends_with_the_command_that_started_it(home: Path, number: signal.Signals) -> None:
    image = home / "out/killed.qcow2"
    process = as_user(home, "image", "create", "--profile", "ci", "--output", str(image))
    deadline = time.monotonic() + 120
    while not machines(home):
        assert time.monotonic() < deadline and process.poll() is None, said(process)
        time.sleep(0.2)
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    deadline = time.monotonic() + 5
    while machines(home) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert machines(home) == [] and not image.exists()
    if number == signal.SIGINT:  # what a kill left, the next run removes
        assert list((home / "cache/images").glob(".create.*")) == []


def test_what_is_missing_is_said_before_anything_starts(home: Path) -> None:
    words = ("image", "create", "--profile", "ci", "--output", str(home / "out/none.qcow2"))
    assert "root is needed to create an image" in said(as_user(home, *words, "--no-in-vm"), status=1)
    assert "root is needed to compare two builds" in said(as_user(home, *words, "--verify-reproducible"), status=1)
    repository = home / "state/repository"
    repository.rename(home / "aside")
    try:
        refused = said(as_user(home, *words), status=1)
        assert "kernel build --profile container" in refused
        assert not (home / "out").joinpath("none.qcow2").exists() and machines(home) == []
    finally:
        shutil.rmtree(repository, ignore_errors=True)
        (home / "aside").rename(repository)


def test_a_user_makes_the_image_root_makes_and_it_boots(home: Path, rastos: Rastos, ci_image: Path) -> None:
    image = home / "out/ci.qcow2"
    words = ("image", "create", "--profile", "ci", "--output", str(image), "--json")
    made = json.loads(said(as_user(home, *words)))
    assert not made["cached"] and image.stat().st_uid == USER
    theirs, ours = (json.loads(rastos("image", "manifest", path, "--json")) for path in (image, ci_image))
    for name in ("key", "tree_digest"):
        assert theirs[name] == ours[name]
    assert {path.name for path in image.parent.iterdir() if not path.name.startswith(".")} == {"ci.qcow2"}
    image.unlink()
    assert json.loads(said(as_user(home, *words)))["seconds"].keys() == {"copy to the output folder"}  # from the cache
    said(as_user(home, "image", "test", "--uefi", "--image", str(image)))
