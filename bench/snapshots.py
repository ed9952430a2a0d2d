"""The snapshot verbs against bare btrfs, and with 10,000 snapshots: called by run.py, or alone with `bench/snapshots.py`.

Everything works on a small store of its own, in a file; trees are small, since neither a snapshot nor a deploy copies one.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
MANY = 10_000
Timed = Callable[[], float]


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def row(name: str, ours: float, theirs: float | None, aim: str, *, met: bool) -> None:
    """One line of the table."""
    peer = f"{theirs:8.3f} s" if theirs is not None else " " * 10
    print(f"{name:<48} {ours:8.3f} s {peer}   aim {aim:<22} {'ok' if met else 'NOT MET'}", flush=True)


@contextmanager
def small_image(folder: Path) -> Iterator[Path]:
    """An image with five small snapshots and their deployments, as the fault tests have it."""
    from tests.faults import disk

    disk.DISK_SIZE = 2 << 30  # metadata of 10,000 subvolumes: some 600 MiB
    disk.make_disk(folder / "disk.raw")
    yield folder / "disk.raw"


def many_snapshots(top: Path, first: int, last: int) -> None:
    """Snapshots by bare btrfs and a metadata file each: what 10,000 calls of `snapshot create` would leave."""
    from rastos.snapshot import subvolume

    model = json.loads((top / "snapshots/4/snapshot.json").read_text())
    for number in range(first, last):
        folder = top / "snapshots" / str(number)
        folder.mkdir()
        subvolume.snapshot(top / "snapshots/4/tree", folder / "tree", read_only=True)
        named = {"id": number, "uuid": str(uuid.uuid4()), "parent": number - 1, "description": f"number {number}"}
        (folder / "snapshot.json").write_text(json.dumps({**model, **named}))
    info = json.loads((top / "store.json").read_text())
    (top / "store.json").write_text(json.dumps({**info, "next_snapshot": last}))


def create_and_bare(top: Path, store: object, runs: int) -> tuple[float, float, float]:
    """Medians of `create_snapshot` and of the bare calls (btrfs subvolume snapshot -r, filesystem sync), and of the
    processor seconds of ours, kernel included, which a busy machine changes less."""
    from rastos.host import run
    from rastos.snapshot import Store, create_snapshot

    assert isinstance(store, Store)
    rows = []
    for number in range(runs + 1):
        used = time.process_time()
        ours = timed(lambda: create_snapshot(store, 0, "bench"))
        used = time.process_time() - used
        target = top / f"bare-{number}"

        def bare(target: Path = target) -> None:
            run(["btrfs", "subvolume", "snapshot", "-r", store.tree(0), target])
            run(["btrfs", "filesystem", "sync", top])

        rows.append((ours, timed(bare), used))
        run(["btrfs", "subvolume", "delete", target])
    ours, theirs, cpu = (statistics.median(row[at] for row in rows[1:]) for at in range(3))
    return ours, theirs, cpu


def bench_small(image: Path) -> tuple[float, float]:
    """create, clone, deploy and rollback in an opened image; gives the seconds of create, and its processor seconds."""
    from rastos.installer import open_image
    from rastos.progress import Progress
    from rastos.snapshot import Store, copy_snapshots, deploy, plan_copy, plan_deploy, plan_rollback

    with open_image(image, writable=True, purpose="bench") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        ours, bare, used = create_and_bare(opened.top, store, 9)
        row("create / btrfs snapshot -r + sync", ours, bare, "≤ 2× + 0.05 s", met=ours <= 2 * bare + 0.05)
        clone = statistics.median(
            timed(lambda: copy_snapshots(store, plan_copy(store, 0, parent=None))) for _ in range(9)
        )
        row("clone / the same", clone, bare, "≤ 2× + 0.05 s", met=clone <= 2 * bare + 0.05)
        newest = store.numbers()[-1]
        for name, plan in (
            ("deploy", lambda: plan_deploy(store, newest)),
            ("rollback", lambda: plan_rollback(store, 0)),
        ):
            seconds = statistics.median(timed(lambda plan=plan: deploy(store, plan(), Progress())) for _ in range(5))
            row(f"{name}, in an opened image", seconds, None, "≤ 1.5 s", met=seconds <= 1.5)
    return ours, used


def bench_commands(image: Path) -> None:
    """Whole commands, from process start to end."""
    from bench.run import RASTOS, command

    for words, aim in ((("create",), 1.5), (("deploy",), 1.5), (("rollback",), 1.5)):
        seconds = statistics.median(command(*RASTOS, "snapshot", *words, "--image", image) for _ in range(3))
        row(f"rastos snapshot {words[0]}, whole command", seconds, None, f"≤ {aim} s", met=seconds <= aim)


def bench_many(image: Path, few: float, few_used: float) -> None:
    """A store of 10,000 snapshots."""
    from bench.run import RASTOS, command
    from rastos.installer import open_image
    from rastos.snapshot import Store

    with open_image(image, writable=True, purpose="bench") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        first = int(store.info["next_snapshot"])
        seconds = timed(lambda: many_snapshots(opened.top, first, MANY))
        print(f"    ({MANY} snapshots made by btrfs alone in {seconds:.0f} s)", flush=True)
        store = Store.open(opened.top, opened.esp, writable=True)
        row("    the first look, without an index", timed(store.snapshots), None, "-", met=True)
        ours, bare, used = create_and_bare(opened.top, store, 9)
        row(f"create, beside {MANY}", ours, few, "no slower than with few", met=ours <= 1.5 * few + 0.05)
        row(
            "    its processor time, kernel included", used, few_used, "no more than with few", met=used <= 2 * few_used
        )
        row("    the bare calls", bare, None, "-", met=True)
    seconds = statistics.median(command(*RASTOS, "snapshot", "list", "--json", "--image", image) for _ in range(5))
    row(f"rastos snapshot list, {MANY}, whole command", seconds, None, "≤ 1 s", met=seconds <= 1)
    seconds = statistics.median(command(*RASTOS, "snapshot", "tree", "--image", image) for _ in range(3))
    row(f"rastos snapshot tree, {MANY}, whole command", seconds, None, "-", met=True)


def bench_snapshots(parent: Path) -> None:
    """All of it; `parent`: a folder for the images, some hundred MiB."""
    print(f"{'snapshots':<48} {'rastos':>10} {'peer':>10}")
    with tempfile.TemporaryDirectory(prefix="rastos-bench-", dir=parent) as name, small_image(Path(name)) as image:
        few = bench_small(image)  # seconds, processor seconds
        bench_commands(image)
        bench_many(image, *few)


if __name__ == "__main__":
    os.environ.setdefault("RASTOS_CACHE", str(ROOT / ".rastos/cache"))
    bench_snapshots(Path(os.environ["RASTOS_CACHE"]))
