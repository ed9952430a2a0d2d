"""Changes that are swapped in when complete, on a real btrfs: stopped at every step, the tree is the old or the new one."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.cli.app import Application
from rastos.cli.package.changing import changed_tree_of
from rastos.errors import BusyError, RastosError, UserError
from rastos.host import attached, copy_file, mounted, private_mounts, run
from rastos.package import Change as Wish
from rastos.package import Channel, History, HistoryEntry, Plan, Result, history_of, installed, plan_change, target_for
from rastos.progress import Progress
from rastos.snapshot import SwapPlace, changed_tree, opened_place, subvolume, why_not_swapped
from tests.conftest import ROOT, need
from tests.system.test_package_apply import Place

pytest.importorskip("pyalpm")

CHILD = """
import sys
from pathlib import Path
from rastos.cli import app
from tests.system.test_package_swap import Place, change
words = sys.argv[2:]
app._arm_faults()
change(Place(Path(sys.argv[1])), *[w for w in words if w[0] != "-"], remove=tuple(w[1:] for w in words if w[0] == "-"))
"""


@contextmanager
def btrfs(folder: Path, megabytes: int = 512) -> Iterator[Path]:
    """A btrfs in a loop file, mounted for this process and its children."""
    need("mkfs.btrfs", "losetup")
    private_mounts()
    image, top = folder / "disk.img", folder / "disk"
    if not image.exists():
        with image.open("xb") as stream:
            stream.truncate(megabytes << 20)
        run(["mkfs.btrfs", "-q", image])
    top.mkdir(exist_ok=True)
    with attached(image) as device, mounted(device, top, "btrfs"):
        yield top


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Packages, and a root that is a subvolume; the package cache lies elsewhere."""
    with btrfs(tmp_path) as top:
        subvolume.create(top / "root")
        (tmp_path / "root").symlink_to(top / "root")
        monkeypatch.setenv("RASTOS_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("RASTOS_STATE", str(tmp_path / "state"))
        monkeypatch.delenv("RASTOS_FAULT", raising=False)
        yield Place(tmp_path)


def change(
    place: Place,
    *names: str,
    remove: tuple[str, ...] = (),
    upgrade: bool = False,
    channels: list[Channel] | None = None,
) -> tuple[Plan, Result]:
    """What `package apply` does."""
    channels = channels or place.channels
    app = Application()
    wish = Wish(names, remove, upgrade)
    with changed_tree_of(app, place.root, None, command=f"test {' '.join(names)}", dry_run=False) as changing:
        plan = plan_change(changing.target, channels, wish, place.progress)
        return plan, changing.apply(channels, plan)


class Filling:
    """A channel whose configuration writes until the disk is full."""

    def __init__(self, inner: Channel) -> None:
        self.inner, self.name = inner, inner.name

    def configure(self, root: Path, packages: list[str], progress: Progress) -> None:
        with (root / "endless").open("wb") as stream:
            while True:
                stream.write(os.urandom(1 << 20))
                os.fsync(stream.fileno())

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def rastos(*words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rastos", "package", *words]
    return subprocess.run(command, env={**os.environ, "RASTOS_FAULT": fault}, capture_output=True, text=True)


def child(place: Place, *words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(place.base), *words]
    environment = {**os.environ, "RASTOS_FAULT": fault}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


def entries(place: Place) -> list[HistoryEntry]:
    return list(history_of(place.root).entries())


def beside(place: Place) -> SwapPlace:
    return SwapPlace(place.root.resolve())


def whole(place: Place, root: Path | None = None) -> dict[str, str]:
    """Versions of the packages, after a look that each has exactly its files, and no other's are there."""
    root = root or place.root
    there = {item.name: item.version for item in installed(target_for(root, place.base / "cache"))}
    files = {path.parent.name: path.read_text() for path in root.glob("usr/share/*/file")}
    assert files == {name: f"{name} {version}\n" for name, version in there.items()}
    assert not list(root.glob("usr/lib/sysimage/pacman/sync/*")), "databases of a transaction"
    assert not list(root.glob("usr/lib/sysimage/pacman/db.lck"))
    return there


def left(place: Place) -> list[str]:
    """What must not be beside the tree between changes."""
    folder = beside(place).folder
    found = [path.name for path in folder.iterdir() if not path.name.isdigit()]
    assert sorted(found) in (["journal", "lock"], ["lock"]), found
    return [path.name for path in folder.glob("journal/*")]


def test_a_change_is_swapped_in_and_undone_by_a_swap(place: Place) -> None:
    place.make("lib", "1-1")
    place.make("app", depends=("lib",))
    before = subvolume.identity(place.root.resolve())
    change(place, "app")
    assert whole(place) == {"app": "1-1", "lib": "1-1"}
    assert subvolume.identity(place.root.resolve()) != before
    assert subvolume.identity(beside(place).kept()[1]) == before
    assert beside(place).folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(OSError, match="Read-only"):
        (beside(place).kept()[1] / "file").write_text("")

    place.make("lib", "2-1")
    place.make("other")
    change(place, "other", remove=("app",), upgrade=True)
    assert whole(place) == {"lib": "2-1", "other": "1-1"}
    assert list(beside(place).kept()) == [1, 2]

    done = rastos("undo", "--root", str(place.root))
    assert done.returncode == 0, done.stderr
    assert whole(place) == {"app": "1-1", "lib": "1-1"}
    assert "+ app 1-1" in done.stdout and "↓ lib 2-1 → 1-1" in done.stdout and "− other 1-1" in done.stdout
    assert place.there()["lib"] == ("1-1", "dependency")
    assert rastos("undo", "--root", str(place.root)).returncode == 0, "redo"
    assert whole(place) == {"lib": "2-1", "other": "1-1"}
    assert rastos("undo", "1", "--root", str(place.root)).returncode == 0, "that one and all after it"
    assert whole(place) == {}
    assert [(item.number, item.result, item.undoes) for item in entries(place)] == [
        (1, "done", None),
        (2, "done", None),
        (3, "done", 2),
        (4, "done", 3),
        (5, "done", 1),
    ]
    assert left(place) == []


def test_only_the_last_old_trees_are_kept(place: Place) -> None:
    for number in range(8):
        place.make(f"p{number}")
        change(place, f"p{number}")
    assert list(beside(place).kept()) == [4, 5, 6, 7, 8]
    # further back the packages are changed, by their files in the cache
    done = rastos("undo", "2", "--root", str(place.root), "--json")
    assert done.returncode == 0, done.stderr
    assert '"way": "packages"' in done.stdout
    assert whole(place) == {"p0": "1-1"}
    assert list(beside(place).kept()) == [5, 6, 7, 8, 9]


def test_how_many_are_kept_is_a_setting(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASTOS_KEPT_TREES", "1")
    for name in ("one", "two"):
        place.make(name)
        change(place, name)
    assert list(beside(place).kept()) == [2]
    monkeypatch.setenv("RASTOS_KEPT_TREES", "0")
    place.make("three")
    change(place, "three")
    assert list(beside(place).kept()) == []
    assert '"way": "packages"' in rastos("undo", "--root", str(place.root), "--json").stdout
    assert whole(place) == {"one": "1-1", "two": "1-1"}


def test_packages_only_leaves_other_files(place: Place) -> None:
    place.make("one")
    place.make("two")
    change(place, "one")
    change(place, "two")
    (place.root / "mine").write_text("x")
    assert rastos("undo", "--root", str(place.root), "--packages-only").returncode == 0
    assert whole(place) == {"one": "1-1"} and (place.root / "mine").exists()
    assert rastos("undo", "2", "--root", str(place.root)).returncode == 0
    assert whole(place) == {"one": "1-1"} and not (place.root / "mine").exists()
    assert rastos("undo", "--root", str(place.root)).returncode == 0
    assert (place.root / "mine").exists(), "the tree of before an undo is kept as well"


def test_dry_run_and_nothing_to_do_make_nothing(place: Place) -> None:
    place.make("one")
    change(place, "one")
    before = sorted(path.name for path in beside(place).folder.iterdir())
    _, result = change(place, "one")
    assert result == Result()
    done = rastos("undo", "--root", str(place.root), "--dry-run")
    assert done.returncode == 0 and "− one 1-1" in done.stdout
    assert sorted(path.name for path in beside(place).folder.iterdir()) == before
    assert len(entries(place)) == 1 and whole(place) == {"one": "1-1"}


def steps() -> list[str]:
    text = (ROOT / "rastos/snapshot/swap.py").read_text() + (ROOT / "rastos/package/transaction.py").read_text()
    return sorted(set(re.findall(r'faults\.reached\("([a-z.-]+)"\)', text)))


def test_there_are_steps_to_stop_at() -> None:
    assert len([step for step in steps() if step.startswith("swap.")]) >= 8
    assert {"packages-fetched", "packages-installed"} <= set(steps())


OLD = {"lib": "1-1", "gone": "1-1"}
NEW = {"lib": "2-1", "app": "1-1"}


def prepare(place: Place) -> None:
    place.make("lib", "1-1")
    place.make("gone")
    change(place, "lib", "gone")
    place.make("lib", "2-1")
    place.make("app", depends=("lib=2-1",))
    place.plan()  # writes the manifest


@pytest.mark.parametrize("kind", ["kill", "error", "enospc"])
@pytest.mark.parametrize("step", steps())
def test_stopped_anywhere_it_is_the_old_tree_or_the_new(place: Place, step: str, kind: str) -> None:
    prepare(place)
    if step == "swap.dropped":  # only where a copy is dropped
        done = child(place, "lib", "app", "-gone", fault=f"swap.changed=error,{step}={kind}")
    else:
        done = child(place, "lib", "app", "-gone", fault=f"{step}={kind}")
    assert done.returncode == (-signal.SIGKILL if kind == "kill" else 1), done.stderr
    there = whole(place)
    assert there in (OLD, NEW)
    before = entries(place)
    assert [item.number for item in before] == [1, 2]
    assert before[1].result == ("done" if there == NEW else "interrupted" if kind == "kill" else "failed")
    if before[1].result == "failed":
        assert before[1].error
    # the next change settles it
    place.make("later")
    change(place, "later")
    assert whole(place) == {**there, "later": "1-1"}
    assert left(place) == []
    assert [item.number for item in entries(place)] == [1, 2, 3]
    assert list(beside(place).kept()) == ([1, 2, 3] if there == NEW else [1, 3])
    for kept in beside(place).kept().values():
        assert subvolume.is_read_only(kept)
        whole(place, kept)
    if there == NEW:
        assert rastos("undo", "2", "--root", str(place.root)).returncode == 0
        assert whole(place) == OLD
    journals = list((place.base / "cache/install/journal").glob("*/*"))
    assert journals == []


@pytest.mark.parametrize("step", [step for step in steps() if step.startswith("swap.") and step != "swap.dropped"])
def test_an_undo_that_is_killed(place: Place, step: str) -> None:
    prepare(place)
    assert child(place, "lib", "app", "-gone").returncode == 0
    assert rastos("undo", "--root", str(place.root), fault=f"{step}=kill").returncode == -signal.SIGKILL
    there = whole(place)
    assert there in (OLD, NEW)
    last = entries(place)[-1]
    assert (last.number, last.undoes, last.result) == (3, 2, "done" if there == OLD else "interrupted")
    assert rastos("undo", "2", "--root", str(place.root)).returncode == 0
    assert whole(place) == OLD and left(place) == []
    assert [item.number for item in entries(place)] == [1, 2, 3, 4]


@pytest.mark.parametrize("step", ["packages-installed", *[step for step in steps() if step.startswith("swap.")]])
def test_the_power_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """What the device has been given so far is all there is: the loop file as it was, mounted again."""
    monkeypatch.setenv("RASTOS_CACHE", str(tmp_path / "cache"))
    with btrfs(tmp_path) as top:
        subvolume.create(top / "root")
        (tmp_path / "root").symlink_to(top / "root")
        place = Place(tmp_path)
        prepare(place)
        subvolume.sync(top)
        fault = f"swap.changed=error,{step}=kill" if step == "swap.dropped" else f"{step}=kill"
        assert child(place, "lib", "app", "-gone", fault=fault).returncode == -signal.SIGKILL
        copy_file(tmp_path / "disk.img", tmp_path / "copy.img")
    (tmp_path / "copy.img").replace(tmp_path / "disk.img")
    with btrfs(tmp_path):
        there = whole(place)
        assert (
            there == (NEW if step in ("swap.durable", "swap.renamed", "swap.kept") else OLD) or step == "swap.exchanged"
        )
        last = entries(place)[-1]
        assert (last.number, last.result) == (2, "done" if there == NEW else "interrupted")
        place.make("later")
        change(place, "later")
        assert whole(place) == {**there, "later": "1-1"} and left(place) == []
        assert list(beside(place).kept()) == ([1, 2, 3] if there == NEW else [1, 3])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_of_unpacking(place: Place, number: signal.Signals) -> None:
    for index in range(40):
        place.make(f"p{index}", files={f"usr/share/p{index}/{part}": "x" * 50_000 for part in range(20)})
    place.plan()
    names = [f"p{index}" for index in range(40)]
    local = beside(place).work / "usr/lib/sysimage/pacman/local"
    interruptible = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-c", CHILD, str(place.base), *names]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=interruptible) as running:
        while running.poll() is None and not (local.is_dir() and len(list(local.iterdir())) > 10):
            time.sleep(0.002)
        running.send_signal(number)
    assert running.returncode == -number
    assert not (place.root / "usr").exists() and entries(place)[-1].result == "interrupted"
    if number == signal.SIGINT:
        assert entries(place)[-1].error == "stopped by the user" and not beside(place).work.exists()
    time.sleep(0.2)  # the worker dies with its parent
    change(place, *names)
    assert len(place.there()) == 40 and left(place) == []


def test_no_room_in_the_middle_leaves_the_old_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RASTOS_CACHE", str(tmp_path / "cache"))
    with btrfs(tmp_path, 128) as top:
        subvolume.create(top / "root")
        (tmp_path / "root").symlink_to(top / "root")
        place = Place(tmp_path)
        place.make("small")
        change(place, "small")
        content = os.urandom(30 << 20).hex()
        place.make(
            "big", files={f"usr/share/big/{part}": content for part in range(2)} | {"usr/share/big/file": "big 1-1\n"}
        )
        # a package that says it is small gets past the sum of the plan: libalpm itself has to stop
        records = [package.record for package in place.repository.packages()]
        place.repository.write([replace(record, installed_size=1) for record in records])
        with pytest.raises(RastosError) as caught:
            change(place, "big")
        assert caught.value.next_step
        assert whole(place) == {"small": "1-1"}
        assert not beside(place).work.exists()
        assert entries(place)[-1].result in ("failed", "interrupted")
        place.make("more")
        channels: list[Channel] = [Filling(place.channels[0])]  # type: ignore[list-item]
        with pytest.raises(OSError, match="No space"):
            change(place, "more", channels=channels)
        assert whole(place) == {"small": "1-1"} and not beside(place).work.exists()
        assert entries(place)[-1].result in ("failed", "interrupted")
        subvolume.sync(top)
        change(place, "more")
        assert whole(place) == {"small": "1-1", "more": "1-1"}


def test_two_at_once(place: Place) -> None:
    place.make("one")
    place.make("two")
    app = Application()
    with changed_tree_of(app, place.root, None, command="first", dry_run=False) as changing:
        with pytest.raises(BusyError) as caught:
            change(place, "two")
        assert str(os.getpid()) in caught.value.holder
        plan = plan_change(changing.target, place.channels, Wish(("one",)), place.progress)
        changing.apply(place.channels, plan)
    assert whole(place) == {"one": "1-1"}
    assert len(entries(place)) == 1, "who was turned away is not in the history"
    change(place, "two")


def test_what_stands_against_a_swap(place: Place, tmp_path: Path) -> None:
    assert why_not_swapped(tmp_path / "nowhere")
    assert "not a btrfs subvolume" in why_not_swapped(tmp_path)
    assert "mounted on it" in why_not_swapped(tmp_path / "disk")
    root = place.root.resolve()
    assert why_not_swapped(root) == ""
    (root / "inside").mkdir()
    with mounted("tmpfs", root / "inside", "tmpfs"), pytest.raises(UserError, match="mounted inside"):
        change(place, "one")
    subvolume.set_read_only(root, True)
    with pytest.raises(UserError, match="read-only subvolume"):
        change(place, "one")
    assert History(root / "var/log/rastos/packages.jsonl").entries() == ()


def test_nested_subvolumes_go_with_the_tree(place: Place) -> None:
    root = place.root.resolve()
    place.make("one")
    (root / "var/lib").mkdir(parents=True)
    subvolume.create(root / "var/lib/machines")
    subvolume.create(root / "var/lib/machines/inner")
    (root / "var/lib/machines/inner/file").write_text("kept")
    change(place, "one")
    assert subvolume.is_subvolume(root / "var/lib/machines/inner")
    assert (root / "var/lib/machines/inner/file").read_text() == "kept"
    assert (beside(place).kept()[1] / "var/lib/machines/inner/file").read_text() == "kept"
    (root / "var/lib/machines/inner/file").write_text("changed")
    assert rastos("undo", "--root", str(root)).returncode == 0
    assert (root / "var/lib/machines/inner/file").read_text() == "kept"
    with opened_place(root, "test") as opened:
        for number in (3, 4):
            with changed_tree(opened, number, keep=1):
                pass
    assert list(beside(place).kept()) == [4]


def test_a_swap_costs_little(place: Place) -> None:
    root = place.root.resolve()
    for package in range(160):
        for number in range(40):
            path = root / f"usr/share/p{package}/{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x" * 3000)
    subvolume.sync(root)
    best = 9.0
    with opened_place(root, "test") as opened:
        for number in range(1, 8):
            started = time.monotonic()
            with changed_tree(opened, number):
                pass
            best = min(best, time.monotonic() - started)
    print(f"a swap takes {best:.3f} s")
    assert best < 0.3
