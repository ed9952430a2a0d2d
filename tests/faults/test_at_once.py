"""Many commands at one store at once: each takes its turn or says who holds the lock, and the store stays whole.

20 seconds by default; `make test-faults` takes minutes.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from rastos.snapshot import examine
from tests.conftest import need
from tests.faults.commands import command_later, ended
from tests.faults.disk import make_disk, opened
from tests.faults.sweep import LONG, SEED
from tests.system.storehouse import flaws, leftovers

SECONDS = 180 if LONG else 20
WORKERS = 5
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("create", "latest"),
    ("create", "0", "-d", "at once"),
    ("deploy", "latest"),
    ("deploy", "1"),
    ("rollback",),
    ("prune", "--keep", "last=6"),
    ("tree", "--json"),
    ("list", "--json"),
    ("describe", "0", "described"),
    ("verify", "1"),
)


def test_parallel_commands(quick_folder: Path) -> None:
    need("mkfs.btrfs", "mkfs.vfat", "mcopy", "sfdisk", "qemu-img", "qemu-io")
    disk = quick_folder / "disk.raw"
    make_disk(disk)
    with opened(disk, writable=False) as store:
        before = set(store.numbers())
    chance = random.Random(SEED)
    running: dict[int, tuple[tuple[str, ...], Path]] = {}
    done: dict[str, int] = {}
    deadline = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < deadline or running:
        while len(running) < WORKERS and time.monotonic() < deadline:
            words = chance.choice(COMMANDS)
            said = quick_folder / f"said-{number}"
            number += 1
            running[command_later(disk, words, said)] = (words, said)
        child, status = ended()
        words, said = running.pop(child)
        text = said.read_text()
        said.unlink()
        assert status in (0, 1) and "Traceback" not in text, f"{words}: {status} {text}"
        # what may fail: the lock is taken, or what it was about is gone
        assert status == 0 or text.startswith("error: ") or "error: " in text, f"{words}: {text}"
        done[words[0] if status == 0 else f"{words[0]} refused"] = done.get(words[0], 0) + 1
    assert done.get("create") and done.get("deploy") and done.get("tree"), done
    with opened(disk) as store:
        assert flaws(store) == []
        assert leftovers(store) == []
        assert [item for item in examine(store) if item.severity != "foreign"] == []
        every = store.snapshots()
        assert [item.id for item in every] == store.numbers() and len({item.uuid for item in every}) == len(every)
        assert all(item.parent is None or item.parent < item.id for item in every)
        assert store.info["next_snapshot"] > max(before | set(store.numbers()))
