"""A disk for these tests: a GPT with an ESP and a store in one file, and what must be true of it after any power cut."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.host import attached, mounted
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.partition import Layout, plan_layout, write_layout
from rastos.progress import Progress
from rastos.snapshot import MtoolsEsp, Store, deploy, examine, mend, plan_deploy
from rastos.snapshot.bootentry import ENTRIES
from tests.conftest import ROOT
from tests.faults.fat import FatReader
from tests.system.storehouse import child, fill, flaws, leftovers

ESP_SIZE, DISK_SIZE = 40 << 20, 320 << 20
GOOD = "rastos-1.conf"
RELEASE = "6.1-test"
KERNEL = 150_000  # bytes: some hundred sectors, so that one of them can be missing
CHILD = """
import sys
from pathlib import Path
from rastos.installer import open_image
from rastos.progress import Progress
from rastos.snapshot import *
from rastos.snapshot.esp import MtoolsEsp
from tests.system.storehouse import child
from tests.faults.disk import changed, newest
from tests.faults.recording import mark
fsync = MtoolsEsp._sync
def marked_fsync(esp):
    mark(esp.file)
    fsync(esp)
MtoolsEsp._sync = marked_fsync
{before}
with open_image(Path(sys.argv[1]), writable=True, purpose="test") as opened:
    store = Store.open(opened.top, opened.esp, writable=True)
    {operation}
"""
Contents = dict[str, str]


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a whole store: content of every tree and every /etc, by number; the two that may boot next."""

    trees: dict[int, Contents]
    etcs: dict[int, Contents]
    boots: tuple[int, int]


def layout() -> Layout:
    """The disk's."""
    return plan_layout(DISK_SIZE, ESP_SIZE, seed="faults")


def changed(number: int) -> dict[str, str | None]:
    """The files of a snapshot of its own kernel and modules, so that a deploy has all of its steps to do."""
    kernel = hashlib.sha256(str(number).encode()).hexdigest() * (KERNEL // 64)
    return {
        f"usr/lib/modules/{RELEASE}/vmlinuz": kernel,
        f"usr/lib/modules/{RELEASE}/kernel/btrfs.ko": f"ELF {number} " + kernel[: 20_000 + number],
        "usr/bin/app": kernel[:40_000],
        "etc/app.conf": f"{number}\n",
    }


def newest(store: Store) -> int:
    """Id of the newest snapshot."""
    return max(store.numbers())


def make_disk(disk: Path, *, program: Path | None = None) -> None:
    """Five snapshots, five deployments: the first is known to be good, and the next deploy has something to collect.

    `program`: in them as /usr/bin/work.
    """
    plan = layout()
    with disk.open("xb") as stream:
        stream.truncate(plan.size)
    write_layout(disk, plan)
    make_esp(disk, plan.esp, volume_id="12345678")
    with attached(disk, offset=plan.root.start, size=plan.root.size) as device:
        make_root(device)
    with opened(disk, fresh=True) as store:
        from rastos.snapshot import create_session

        with create_session(store, None, "test") as session:
            fill(session.tree)
            if program is not None:
                (session.tree / "usr/bin").mkdir()
                shutil.copy(program, session.tree / "usr/bin/work")
            session.commit("first")
        for number in range(1, 5):
            child(store, number - 1, f"number {number}", changed(number))
        for number in range(5):
            deploy(store, plan_deploy(store, number), Progress())
            if number == 0:
                store.esp.rename(f"{ENTRIES}/rastos-1+3.conf", f"{ENTRIES}/{GOOD}")


@contextmanager
def opened(disk: Path, *, fresh: bool = False, writable: bool = True) -> Iterator[Store]:
    """The store of a raw disk, quickly: without asking sfdisk and QEMU what is known."""
    plan = layout()
    top = disk.with_name("top")
    top.mkdir(exist_ok=True)
    esp = MtoolsEsp(disk, plan.esp.start, plan.esp.size)
    options = ("noatime", "subvolid=5", "compress=zstd:1")
    with (
        attached(disk, offset=plan.root.start, size=plan.root.size) as device,
        mounted(device, top, "btrfs", options),
    ):
        if fresh:
            yield Store.initialise(top, esp, root_partuuid=plan.root.uuid, cmdline="console=ttyS0")
        else:
            yield Store.open(top, esp, writable=writable)


def operate(disk: Path, operation: str, *, before: str = "") -> None:
    """Do something with the image in a process of its own, opened as every command opens it."""
    code = CHILD.format(operation=operation, before=before)
    done = subprocess.run([sys.executable, "-c", code, disk], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def contents(folder: Path) -> Contents:
    """Every path in it: kind, mode and the digest of what it holds."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            status = path.lstat()
            what = path.read_bytes() if path.is_file() else b""
            digest = hashlib.sha256(what).hexdigest()[:16]
            found[str(path.relative_to(folder))] = f"{status.st_mode:o} {status.st_uid} {digest}"
    return found


def look(disk: Path, boots: tuple[int, int] = (0, 0)) -> Expected:
    """What a whole store holds."""
    with opened(disk, writable=False) as store:
        return Expected(
            {number: contents(store.tree(number)) for number in store.numbers()},
            {number: contents(store.deployment_path(number) / "etc") for number in store.deployment_numbers()},
            boots,
        )


def boots_next(disk: Path) -> int:
    """The deployment that the boot loader starts."""
    with opened(disk, writable=False) as store:
        current = store.current()
        assert current is not None
        return current.number


def wrong_before_recovery(disk: Path, expected: Expected) -> list[str]:
    """What stands against booting, seen as firmware and kernel see the disk: no command of ours has run yet."""
    plan = layout()
    with opened(disk, writable=False) as store:
        esp = FatReader(disk, plan.esp.start, plan.esp.size)
        seen = Store(store.top, esp, store.info)  # type: ignore[arg-type]
        try:
            found = flaws(seen)
        except (OSError, ValueError, KeyError) as error:
            return [f"can't be read: {error}"]
        names = esp.list(ENTRIES)
        if GOOD not in names:
            found.append("the last known-good entry is gone")
        found += esp.crossed
        entries = seen.entries()
        trees = {number: contents(store.tree(number)) for number in store.numbers()}
        if entries and max(entry.number for entry in entries) not in expected.boots:
            found.append(f"boots {max(entry.number for entry in entries)}, neither old nor new")
        for entry in entries:
            if contents(store.deployment_path(entry.number) / "etc") != expected.etcs[entry.number]:
                found.append(f"{entry.name}: its /etc is not whole")
        return found + _broken_snapshots(store, trees, expected)


def _broken_snapshots(store: Store, trees: dict[int, Contents], expected: Expected) -> list[str]:
    found = []
    for number, tree in trees.items():
        if not (store.snapshot_path(number) / "snapshot.json").is_file():
            found.append(f"snapshot {number} has lost its metadata")
        elif tree != expected.trees.get(number):
            found.append(f"snapshot {number} is not whole")
    return found


def wrong_after_recovery(disk: Path, expected: Expected, *, mended: bool = False) -> list[str]:
    """The next command opens the store: it must be whole, have nothing left over, and deploy again.

    `mended`: `doctor --fix` goes first, for a btrfs that lost a commit, and with it the journal that tells what to clear away.
    """
    plan = layout()
    with opened(disk) as store:
        for item in examine(store) if mended else ():
            mend(store, item)
        found = [f"left over: {name}" for name in leftovers(store)] + [f"doctor: {item}" for item in examine(store)]
        trees = {number: contents(store.tree(number)) for number in store.numbers()}
        found += flaws(store) + _broken_snapshots(store, trees, expected)
        made = deploy(store, plan_deploy(store, 1), Progress())
        child(store, 1, "after the power cut", {"etc/app.conf": "later\n"})
        found += [f"left over: {name}" for name in leftovers(store)] + flaws(store)
    esp = FatReader(disk, plan.esp.start, plan.esp.size)
    names = esp.list(ENTRIES)
    if GOOD not in names or f"rastos-{made.number}+3.conf" not in names:
        found.append(f"entries after a new deploy: {names}")
    return found + esp.crossed
