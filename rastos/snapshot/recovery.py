"""After a crash: what a dead command left is finished or undone, by looking at what is there.

Whether a deploy happened is decided by one thing: whether its boot entry has its final name.
"""

from __future__ import annotations

from pathlib import Path

from . import subvolume
from .bootentry import ENTRIES, KERNELS, PENDING, parse_entry
from .store import Store

KEEP = 4  # newest deployments that stay, besides the last one that booted well


def recover(store: Store) -> None:
    """Bring the store to the state before or after each unfinished operation."""
    intents = store.journal.open_intents()
    _drop_unfinished(store)
    if intents:
        collect(store, keep_kernels=kernels_wanted(store))
        for intent in intents:
            intent.close()


def _drop_unfinished(store: Store) -> None:
    """Sessions of dead processes and things that never got their final name."""
    sessions = store.top / "sessions"
    for path in sessions.iterdir() if sessions.is_dir() else ():
        # whoever opened this store for writing holds its lock: no other session can be alive
        if path.is_dir():
            _drop(path, "tree")
        else:
            path.unlink()
    for path in (store.top / "snapshots").glob(".new-*"):
        _drop(path, "tree")
    for path in (store.top / "deployments").glob(".new-*"):
        _drop(path, "etc")


def _drop(folder: Path, name: str) -> None:
    subvolume.delete(folder / name)
    for rest in folder.iterdir():
        rest.unlink()
    folder.rmdir()


def collect(store: Store, *, keep_kernels: frozenset[str]) -> None:
    """Remove what retention no longer keeps and what no entry names: entry, deployment and kernel in lockstep."""
    entries = store.entries()
    keep = {entry.number for entry in [entry for entry in entries if entry.state != "bad"][-KEEP:]}
    good = [entry.number for entry in entries if entry.state == "good"]
    if good:
        keep.add(max(good))
    for entry in entries:
        if entry.number not in keep:
            store.esp.remove(f"{ENTRIES}/{entry.name}")
    for name in store.esp.list(ENTRIES):
        if name.startswith("rastos-") and name.endswith(PENDING):
            store.esp.remove(f"{ENTRIES}/{name}")
    for path in (store.top / "deployments").iterdir():
        if path.name.isdigit() and int(path.name) not in keep:
            _drop(path, "etc")
    wanted = kernels_wanted(store) if len(keep) != len(entries) else keep_kernels
    for name in store.esp.list(KERNELS):
        if name not in wanted:
            store.esp.remove(f"{KERNELS}/{name}")


def kernels_wanted(store: Store) -> frozenset[str]:
    """Folders below /rastos on the ESP that some entry of ours starts from: kernels and initramfs."""
    wanted = set()
    for entry in store.entries():
        values = parse_entry(store.esp.read(f"{ENTRIES}/{entry.name}").decode())
        paths = (values.get(key, "") for key in ("linux", "initrd", "efi"))
        wanted |= {path.removeprefix(KERNELS + "/").partition("/")[0] for path in paths if path}
    return frozenset(wanted)


def drop_deployment(store: Store, number: int) -> None:
    """Remove one deployment: first the entry, so that nothing ever starts what is half gone."""
    for entry in store.entries():
        if entry.number == number:
            store.esp.remove(f"{ENTRIES}/{entry.name}")
    _drop(store.deployment_path(number), "etc")
