"""The whole build flow on a tiny tree whose Makefile answers the kernel's targets: seconds instead of minutes.

Real: gcc, make, objects, interruption, packages and repository. Imitated: kconfig (a shell loop over Kconfig) and
what is compiled. The real kernel is built by the story test.
"""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import BusyError, HostError, IntegrityError, RastosError, UserError
from rastos.kernel import BuildPlan, BuiltKernel, build, built, load_profile, plan_build
from rastos.package import LocalRepository
from rastos.progress import Advanced, Event, Noted, Progress
from tests.conftest import ROOT
from tests.system.tiny_kernel import COUNT, write_tiny_kernel

Planner = Callable[..., BuildPlan]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tiny_kernel(tmp_path / "linux")


@pytest.fixture
def plan(tmp_path: Path, tree: Path) -> Planner:
    def make(fragment: str = "CONFIG_NET=y\nCONFIG_MODULES=y\n", source: Path = tree, jobs: int = 2) -> BuildPlan:
        folder = tmp_path / "profiles/kernel/fragments"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "one.config").write_text(fragment)
        (folder.parent / "tiny.toml").write_text(
            f'fragments = ["one"]\n[[expected]]\nversion = "6.12"\nobjects = {COUNT}\n'
        )
        return plan_build(
            load_profile("tiny", [tmp_path / "profiles"]),
            source=str(source),
            jobs=jobs,
            cache=tmp_path / "cache",
            repository=LocalRepository(tmp_path / "repository"),
        )

    return make


def members(package: Path) -> set[str]:
    listed = subprocess.run(["bsdtar", "-tf", package], check=True, capture_output=True, text=True)
    return {name.rstrip("/") for name in listed.stdout.splitlines()}


def quiet(plan: BuildPlan) -> BuiltKernel:
    return build(plan, Progress())


def test_builds_packages_and_remembers(tmp_path: Path, plan: Planner) -> None:
    events: list[Event] = []
    first = build(plan(), Progress(events.append), output=tmp_path / "out")
    assert (first.name, first.release, first.version) == ("linux-rastos-tiny", "6.12.9-tiny", "6.12.9-1")
    assert not first.cached
    inside = "usr/lib/modules/6.12.9-tiny/"
    names = members(first.package)
    for name in ("vmlinuz", "pkgbase", "config", "modules.builtin", "modules.order", "modules.dep"):
        assert inside + name in names
    assert inside + "build" not in names
    assert (tmp_path / "out" / first.package.name).read_bytes() == first.package.read_bytes()
    entry = LocalRepository(tmp_path / "repository").find("linux-rastos-tiny")
    assert entry is not None
    assert entry.version == "6.12.9-1"

    seen = [event for event in events if isinstance(event, Advanced)]
    assert [event.done for event in seen] == list(range(1, COUNT + 2)), "one step per object make reported"
    assert [event.total for event in seen][-2:] == [COUNT, COUNT + 1], "the total is revised when exceeded"
    assert not list((tmp_path / "cache/work").iterdir())

    started = time.monotonic()
    again = plan()
    assert again.cached
    assert quiet(again).sha256 == first.sha256
    assert time.monotonic() - started < 3
    assert [item.key for item in built(tmp_path / "cache", LocalRepository(tmp_path / "repository"))] == [first.key]


def test_same_inputs_elsewhere_give_the_same_package(tmp_path: Path, plan: Planner) -> None:
    first = quiet(plan())
    there = replace(plan(), cache=tmp_path / "other", repository=LocalRepository(tmp_path / "elsewhere"), existing=None)
    assert quiet(there).sha256 == first.sha256


def test_a_package_that_is_gone_or_changed_is_built_again(plan: Planner) -> None:
    first = quiet(plan())
    content = first.package.read_bytes()
    first.package.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert not plan().cached
    first.package.unlink()
    assert not plan().cached
    assert quiet(plan()).package.read_bytes() == content


def test_dropped_option_fails_before_anything_is_compiled(tmp_path: Path, plan: Planner) -> None:
    kept = quiet(plan())
    with pytest.raises(UserError) as caught:
        quiet(plan("CONFIG_NET=y\nCONFIG_USB_STORAGE=y\n"))
    assert "CONFIG_USB_STORAGE: wanted y, got n (one.config:2): needs USB" in caught.value.what
    with pytest.raises(UserError, match="did you mean USB_STORAGE"):
        quiet(plan("CONFIG_USB_STORRAGE=y\n"))
    assert kept.package.is_file(), "the last good kernel stays usable"


def test_compiler_error_is_shown_and_mended(tree: Path, plan: Planner) -> None:
    good = (tree / "src/f3.c").read_text()
    (tree / "src/f3.c").write_text("int f3(void) { return nonsense; }\n")
    with pytest.raises(UserError) as caught:
        quiet(plan())
    assert "src/f3.c:1:" in caught.value.what
    assert "nonsense" in caught.value.what
    assert str(tree) not in caught.value.what
    assert Path(caught.value.next_step.rpartition(" ")[2]).is_file(), "the log named is there"
    (tree / "src/f3.c").write_text(good)
    assert quiet(plan()).release == "6.12.9-tiny"


def test_interrupted_build_continues(tree: Path, plan: Planner) -> None:
    (tree / "delay").write_text("0.3\n")

    def stop(event: Event) -> None:
        if isinstance(event, Advanced) and event.done == 4:
            raise KeyboardInterrupt

    first = plan(jobs=1)
    with pytest.raises(KeyboardInterrupt):
        build(first, Progress(stop))
    assert not running(str(first.tree)), "nothing of make outlives the interruption"
    left = {path.name for path in (first.tree / "src").glob("*.o")}
    assert 3 <= len(left) < COUNT

    events: list[Event] = []
    kernel = build(plan(jobs=1), Progress(events.append))
    assert kernel.objects == COUNT + 1
    assert any(isinstance(event, Noted) and "continuing" in event.text for event in events)
    compiled = [event for event in events if isinstance(event, Advanced) and event.detail.startswith("CC")]
    assert len(compiled) <= COUNT - 3, "objects that were there are not made again"


def test_killed_build_leaves_no_process_and_continues(tmp_path: Path, tree: Path, plan: Planner) -> None:
    (tree / "delay").write_text("0.5\n")
    build_tree = tmp_path / "cache/kernel/build" / plan().tree.name
    child = kernel_command(tmp_path, tree, "--jobs", "1")
    wait_for(lambda: len(list((build_tree / "src").glob("*.o"))) >= 2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    wait_for(lambda: not running(str(build_tree)))
    (tree / "delay").write_text("0\n")
    assert kernel_command(tmp_path, tree).wait() == 0
    assert built(tmp_path / "cache/kernel", LocalRepository(tmp_path / "state/repository"))
    leftovers = [path.name for path in (tmp_path / "cache/kernel/work").iterdir()]
    assert not leftovers


def test_killed_compiler_says_so_and_the_build_continues(tree: Path, plan: Planner) -> None:
    (tree / "delay").write_text("0; kill -KILL $$\n")  # as the kernel ends whoever takes its last memory
    with pytest.raises(HostError, match="want of memory") as caught:
        quiet(plan())
    assert "--jobs" in caught.value.next_step
    (tree / "delay").write_text("0\n")
    assert quiet(plan()).release == "6.12.9-tiny"


def test_full_disk_says_so_and_the_build_continues(tmp_path: Path, tree: Path, plan: Planner) -> None:
    plan()  # writes the profile
    assert kernel_command(tmp_path, tree).wait() == 0
    (good,) = (tmp_path / "state/repository").glob("*.pkg.tar.zst")
    (tmp_path / "good").write_bytes(good.read_bytes())
    (tree / "src/f4.c").write_text("char f4[1 << 20] = {1};\n")
    command = shlex.join(kernel_words(tree, "--jobs", "1"))
    script = f"""\
        mount -t tmpfs -o size=600k tmpfs {tmp_path}/cache
        {command} && exit 3
        cat {tmp_path}/state/repository/*.pkg.tar.zst | cmp - {tmp_path}/good || exit 4
        mount -o remount,size=64m {tmp_path}/cache
        {command}"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=kernel_environment(tmp_path),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the disk is full" in done.stderr
    assert "continuing" in done.stderr


@pytest.mark.parametrize("fault", ["kernel-compiled=error", "kernel-packaged=enospc", "kernel-packaged=kill"])
def test_fault_after_a_step(tmp_path: Path, tree: Path, plan: Planner, fault: str) -> None:
    plan()  # writes the profile
    assert kernel_command(tmp_path, tree, fault=fault).wait() != 0
    repository = LocalRepository(tmp_path / "state/repository")
    assert not built(tmp_path / "cache/kernel", repository), "not recorded before it is complete"
    assert kernel_command(tmp_path, tree).wait() == 0
    assert [item.name for item in built(tmp_path / "cache/kernel", repository)] == ["linux-rastos-tiny"]
    assert not list((tmp_path / "cache/kernel/work").iterdir()), "what the killed one left is removed by the next"


def test_two_builds_of_one_profile(tmp_path: Path, tree: Path, plan: Planner) -> None:
    (tree / "delay").write_text("0.5\n")
    second: list[RastosError] = []

    def start_another(event: Event) -> None:
        if isinstance(event, Advanced) and event.done == 1:
            with pytest.raises(BusyError) as caught:
                quiet(plan())
            second.append(caught.value)

    build(plan(), Progress(start_another))
    assert second


def test_two_profiles_side_by_side(tmp_path: Path, tree: Path, plan: Planner) -> None:
    plan()  # writes the profile
    profiles = tmp_path / "profiles/kernel"
    (profiles / "other.toml").write_text((profiles / "tiny.toml").read_text())
    subprocess.run(["tar", "-C", tmp_path, "-cJf", tmp_path / "linux.tar.xz", "linux"], check=True)  # unpacked by one
    both = [kernel_command(tmp_path, tmp_path / "linux.tar.xz", "--profile", name) for name in ("tiny", "other")]
    assert [child.wait(timeout=120) for child in both] == [0, 0]
    found = built(tmp_path / "cache/kernel", LocalRepository(tmp_path / "state/repository"))
    assert {item.name for item in found} == {"linux-rastos-tiny", "linux-rastos-other"}
    assert not list((tmp_path / "cache/kernel/work").iterdir())


def archive(path: Path, members: Sequence[tuple[str, bytes, str, str]]) -> Path:
    """A tarball of (kind, type, name, target or content)."""
    with tarfile.open(path, "w:gz") as tar:
        for name, kind, target, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            entry.size = len(content)
            entry.mtime = 1_700_000_000
            tar.addfile(entry, io.BytesIO(content.encode()))
    return path


def test_tarball_is_a_source(tmp_path: Path, tree: Path, plan: Planner) -> None:
    subprocess.run(["tar", "-C", tmp_path, "-cJf", tmp_path / "linux.tar.xz", "linux"], check=True)
    kernel = quiet(plan(source=tmp_path / "linux.tar.xz"))
    assert kernel.version == "6.12.9-1"
    assert plan(source=tmp_path / "linux.tar.xz").cached


MAKE = ("linux/Makefile", tarfile.REGTYPE, "", "VERSION = 6\nPATCHLEVEL = 1\n")
CONFIG = ("linux/Kconfig", tarfile.REGTYPE, "", "")


@pytest.mark.parametrize(
    "evil",
    [
        [("linux/../../escaped", tarfile.REGTYPE, "", "x")],
        [("/tmp/../escaped-absolute", tarfile.REGTYPE, "", "x")],
        [("linux/up", tarfile.SYMTYPE, "../..", ""), ("linux/up/escaped", tarfile.REGTYPE, "", "x")],
        [("linux/passwd", tarfile.SYMTYPE, "/etc/passwd", "")],
        [("linux/null", tarfile.CHRTYPE, "", "")],
        [("second/file", tarfile.REGTYPE, "", "x")],
    ],
    ids=["upward", "absolute", "through-link", "link-out", "device", "two-folders"],
)
def test_hostile_tarball_writes_nothing(tmp_path: Path, plan: Planner, evil: list[tuple[str, bytes, str, str]]) -> None:
    path = archive(tmp_path / "evil.tar.gz", [MAKE, CONFIG, *evil])
    before = {entry.name for entry in tmp_path.iterdir()}
    with pytest.raises(IntegrityError):
        quiet(plan(source=path))
    assert {entry.name for entry in tmp_path.iterdir()} - before <= {"cache", "profiles", "repository"}
    assert not list((tmp_path / "cache").rglob("escaped*"))
    assert not list((tmp_path / "cache/sources").rglob("*") if (tmp_path / "cache/sources").is_dir() else [])
    assert not list((tmp_path / "cache/work").iterdir())


def test_damaged_tarball(tmp_path: Path, tree: Path, plan: Planner) -> None:
    whole = tmp_path / "linux.tar.xz"
    subprocess.run(["tar", "-C", tmp_path, "-cJf", whole, "linux"], check=True)
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(IntegrityError, match="damaged"):
        quiet(plan(source=whole))


def test_missing_tools_are_named(plan: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.setattr(importlib.import_module("rastos.kernel.building"), "PROGRAMS", ("make", "no-such-compiler"))
    with pytest.raises(HostError, match="no-such-compiler"):
        quiet(plan())


def kernel_words(tree: Path, *options: str) -> list[str]:
    """`rastos kernel build` as users write it."""
    return [sys.executable, "-m", "rastos", "kernel", "build", "--profile", "tiny", "--source", str(tree), *options]


def kernel_environment(tmp_path: Path, fault: str = "") -> dict[str, str]:
    return {
        **os.environ,
        "RASTOS_CACHE": str(tmp_path / "cache"),
        "RASTOS_STATE": str(tmp_path / "state"),
        "RASTOS_PROFILES": str(tmp_path / "profiles"),
        "RASTOS_FAULT": fault,
    }


def kernel_command(tmp_path: Path, tree: Path, *options: str, fault: str = "") -> subprocess.Popen[bytes]:
    """The same in a process of its own."""
    return subprocess.Popen(
        kernel_words(tree, *options),
        env=kernel_environment(tmp_path, fault),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def running(word: str) -> list[int]:
    """Processes whose command line has `word`, this one's apart."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
