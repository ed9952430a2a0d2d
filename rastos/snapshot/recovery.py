"""After a crash: what a dead command left is finished or undone, by looking at what is there.

Whether a deploy happened is decided by one thing: whether its boot entry has its final name, with something in it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import exchange, write_json

from . import subvolume
from .bios_menu import write_bios_menu
from .bootentry import ENTRIES, KERNELS, PENDING, EntryName, boot_paths, parse_entry, parse_name
from .copying import remove_path
from .store import Store
from .unfinished import finish

KEPT_ETC = "etc"  # in a snapshot's folder
KEEP = 4  # newest deployments that stay, besides the last one that booted well


def recover(store: Store) -> None:
    """Bring the store to the state before or after each unfinished operation."""
    from .session_recovery import settle_sessions

    intents = store.journal.open_intents()
    finish(store, intents)
    settle_sessions(store, intents)
    _drop_unfinished(store)
    if intents:
        _drop_empty_entries(store)
    for intent in intents:
        if intent.operation == "keep":
            _finish_keeping(store, int(intent.detail["deployment"]))
        elif intent.operation == "etc":
            _drop_half_files(store, intent.detail)
    if intents:
        collect(store, keep_kernels=kernels_wanted(store))
        store.sync()
        for intent in intents:
            intent.close()


def _drop_unfinished(store: Store) -> None:
    """Things that never got their final name."""
    for path in _unnamed(store.top / "snapshots"):
        subvolume.drop_folder(path)
    for path in _unnamed(store.top / "deployments"):
        subvolume.delete(path) if subvolume.is_subvolume(path) else subvolume.drop_folder(path)


def _drop_empty_entries(store: Store) -> None:
    """Entries that have their name and nothing in them: on vfat the content comes last (esp.py), so they never counted."""
    for name, text in store.esp.read_all(ENTRIES).items():
        if parse_name(name) is not None and not text.strip():
            store.esp.remove(f"{ENTRIES}/{name}")


def _unnamed(folder: Path) -> list[Path]:
    return [folder / name for name in os.listdir(folder) if name.startswith(".new-")]


def _finish_keeping(store: Store, number: int) -> None:
    """Kept is what has its entry without a counter: the counted one goes, and the record says so."""
    entries = [entry for entry in store.entries() if entry.number == number]
    if not any(entry.state == "good" for entry in entries):
        return
    for entry in entries:
        if entry.state != "good":
            store.esp.remove(f"{ENTRIES}/{entry.name}")
    made = replace(store.deployment(number), trial=False)
    write_json(store.deployment_path(number) / "deployment.json", made.to_json())


def _drop_half_files(store: Store, detail: dict[str, Any]) -> None:
    """What a dead `etc` command was writing under another name."""
    for number in detail["deployments"]:
        place = store.deployment_path(int(number)) / "etc" / str(detail["temporary"])
        if place.parent.resolve().is_relative_to(store.top.resolve()) and os.path.lexists(place):
            remove_path(place)


def collect(store: Store, *, keep_kernels: frozenset[str]) -> None:
    """Remove what retention no longer keeps and what no entry names: entry, deployment and kernel in lockstep."""
    _remember(store)
    entries = store.entries()
    keep = {entry.number for entry in [entry for entry in entries if entry.state != "bad"][-KEEP:]} | needed(store)
    for entry in entries:
        if entry.number not in keep:
            _keep_etc(store, entry)
            store.esp.remove(f"{ENTRIES}/{entry.name}")
    for name in store.esp.list(ENTRIES):
        if name.startswith("rastos-") and name.endswith(PENDING):
            store.esp.remove(f"{ENTRIES}/{name}")
    for path in (store.top / "deployments").iterdir():
        if path.name.isdigit() and int(path.name) not in keep:
            subvolume.drop_folder(path)
    wanted = kernels_wanted(store) if len(keep) != len(entries) else keep_kernels
    write_bios_menu(store)  # before the kernels go that it named
    for name in store.esp.list(KERNELS):
        if name not in wanted:
            store.esp.remove(f"{KERNELS}/{name}")


def needed(store: Store) -> set[int]:
    """Deployments that nothing may take away: the one that boots next, the last good one, the one that runs."""
    usable = [entry.number for entry in store.entries() if entry.state != "bad"]
    good = [entry.number for entry in store.entries() if entry.state == "good"]
    found = {max(numbers) for numbers in (usable, good) if numbers}
    return found | ({store.booted} if store.booted is not None else set())


def _remember(store: Store) -> None:
    """Write down what the entries tell, before some go: what booted well or was found bad, whose programs wrote the state."""
    from .protection import note_proven
    from .state_written import note_written
    from .verdicts import note_verdicts

    note_verdicts(store)
    note_written(store)
    note_proven(store)


def _keep_etc(store: Store, entry: EntryName) -> None:
    """The /etc last used with a snapshot stays with it when its deployment goes, for a rollback with --etc old."""
    etc = store.deployment_path(entry.number) / "etc"
    if (entry.state != "good" and not entry.done) or not etc.is_dir():
        return  # it never ran
    try:
        folder = store.snapshot_path(store.deployment(entry.number).snapshot)
    except IntegrityError:
        return  # nobody knows whose it is
    if not folder.is_dir():
        return
    making = store.top / "deployments" / f".new-etc-{entry.number}"
    subvolume.delete(making)
    subvolume.snapshot(etc, making)
    if (folder / KEPT_ETC).is_dir():
        exchange(making, folder / KEPT_ETC)
        subvolume.delete(making)
    else:
        os.rename(making, folder / KEPT_ETC)


def kernels_wanted(store: Store) -> frozenset[str]:
    """Folders below /rastos on the ESP that some entry of ours starts from: kernels and initramfs."""
    wanted = set()
    for name, text in store.esp.read_all(ENTRIES).items():
        if parse_name(name) is None:
            continue
        paths = boot_paths(parse_entry(text.decode(errors="replace")))
        wanted |= {path.removeprefix(KERNELS + "/").partition("/")[0] for path in paths}
    return frozenset(wanted)


def drop_deployment(store: Store, number: int) -> None:
    """Remove one deployment: first the entry, so that nothing ever starts what is half gone."""
    _remember(store)
    for entry in store.entries():
        if entry.number == number:
            _keep_etc(store, entry)
            store.esp.remove(f"{ENTRIES}/{entry.name}")
    subvolume.drop_folder(store.deployment_path(number))
