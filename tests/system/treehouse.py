"""A store for tests of the tree: btrfs on a loop file, the ESP a folder, so that no program is started for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.host import attached, mounted, run
from rastos.progress import Progress
from rastos.snapshot import MountedEsp, Store, deploy, plan_deploy
from rastos.snapshot.bootentry import ENTRIES
from tests.conftest import need
from tests.system.storehouse import first_snapshot

PARTUUID = "11111111-2222-4333-8444-555555555555"


def format_disk(folder: Path, size: int = 512 << 20) -> None:
    """The file for the btrfs."""
    with open(folder / "root.img", "xb") as stream:
        stream.truncate(size)
    run(["mkfs.btrfs", "-q", folder / "root.img"])


@contextmanager
def tree_store(
    folder: Path, *, fresh: bool = False, writable: bool = True, read_only_disk: bool = False
) -> Iterator[Store]:
    """Mount it and open (or lay out) the store."""
    esp = MountedEsp(folder / "esp")
    for name in ("top", "esp"):
        (folder / name).mkdir(exist_ok=True)
    options = ("noatime",)
    with (
        attached(folder / "root.img") as device,
        mounted(device, folder / "top", "btrfs", options, read_only=read_only_disk) as top,
    ):
        if fresh:
            yield Store.initialise(top, esp, root_partuuid=PARTUUID, cmdline="console=ttyS0")
        else:
            yield Store.open(top, esp, writable=writable)


@contextmanager
def planted(folder: Path) -> Iterator[Store]:
    """A new store with its first snapshot."""
    need("mkfs.btrfs")
    format_disk(folder)
    with tree_store(folder, fresh=True) as store:
        first_snapshot(store)
        yield store


def deployed(store: Store, snapshot: int, *, good: bool = False) -> int:
    """Deploy a snapshot; `good`: as after a boot that systemd-bless-boot(8) marked."""
    number = deploy(store, plan_deploy(store, snapshot), Progress()).number
    if good:
        store.esp.rename(f"{ENTRIES}/rastos-{number}+3.conf", f"{ENTRIES}/rastos-{number}.conf")
    return number
