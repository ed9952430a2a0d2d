"""Changing a deployment's /etc: a conflict settled, a path brought back, a path given to all kept deployments.

A path is replaced in one step: the new one is complete under another name first.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import exchange, faults
from rastos.package import merge_text

from .copying import remove_path
from .etc_apply import copy_whole, note_conflicts, open_conflicts
from .etc_files import chosen_deployment, etc_of, etc_path, pristine_of
from .etc_merge import BESIDE, EtcConflict
from .store import Store

TAKES = ("ours", "theirs", "merged")
MAKING = ".rastos-making"


@dataclass(frozen=True, slots=True)
class EtcChange:
    """One path of one or more deployments, and what it becomes.

    `source`: the file it is copied from ("" for the text, or to leave the path as it is; it may not exist: then the path
    goes). `settles`: the conflict that is settled by it.
    """

    path: str
    deployments: tuple[int, ...]
    what: str
    source: str = ""
    text: str | None = None
    settles: EtcConflict | None = None


def plan_resolve(store: Store, path: str, take: str, *, number: int | None = None) -> EtcChange:
    """Settle an open conflict: ours as it is now, theirs, or both merged line by line.

    Raises UserError: no such conflict, nothing of theirs to take, texts that can't be merged.
    """
    deployment = chosen_deployment(store, number)
    etc, plain = etc_of(store, deployment.number), etc_path(path)
    every = open_conflicts(etc)
    conflict = next((item for item in every if plain in (item.path, item.beside)), None)
    if conflict is None:
        raise UserError(
            f"/etc/{plain} has no open conflict in deployment {deployment.number}",
            next_step=f"open: {', '.join(dict.fromkeys(item.path for item in every)) or 'none'}",
        )
    number, plain = deployment.number, conflict.path
    if conflict.beside:
        _check_parents(etc, conflict.beside)
    if take == "ours":
        return EtcChange(plain, (number,), "stays as it is", settles=conflict)
    if not conflict.beside:
        raise UserError(
            f"there is nothing of theirs to take for /etc/{plain}: {conflict.why}",
            next_step="change the file as you want it, then `--take ours`",
        )
    _check_parents(etc, plain)
    if take == "theirs":
        return EtcChange(plain, (number,), "theirs", os.fspath(etc / conflict.beside), settles=conflict)
    return EtcChange(plain, (number,), "merged", text=_merged(store, etc, conflict), settles=conflict)


def _merged(store: Store, etc: Path, conflict: EtcConflict) -> str:
    base = store.tree(conflict.base) / "etc" / conflict.path if conflict.base is not None else None
    places = (base, etc / conflict.path, etc / conflict.beside)
    if any(place is None or place.is_symlink() or not place.is_file() for place in places):
        raise UserError(
            f"/etc/{conflict.path} can't be merged: one of the three versions is no file, or gone",
            next_step="--take ours or --take theirs",
        )
    try:
        texts = [place.read_text(encoding="utf-8") for place in places if place is not None]
    except UnicodeDecodeError as error:
        raise UserError(f"/etc/{conflict.path} is no text", next_step="--take ours or --take theirs") from error
    merged = merge_text(*texts)
    if merged.conflicts:
        raise UserError(
            f"{merged.conflicts} places of /etc/{conflict.path} changed on both sides",
            next_step=f"edit it with /etc/{conflict.beside} beside it, then `--take ours`",
        )
    return merged.text


def plan_restore(store: Store, path: str, *, number: int | None = None, origin: int | None = None) -> EtcChange:
    """Bring a path back as the snapshot brings it, or as deployment `origin` has it. Raises UserError: it is nowhere."""
    deployment = chosen_deployment(store, number)
    plain = etc_path(path)
    if origin is None:
        root, name = pristine_of(store, deployment), f"snapshot {deployment.snapshot}"
    else:
        root, name = etc_of(store, chosen_deployment(store, origin).number), f"deployment {origin}"
    if not _really_there(root, plain):
        raise UserError(
            f"{name} has no /etc/{plain}",
            next_step="name a deployment that has it: --from N; `rastos snapshot etc status` lists what differs",
        )
    _check_parents(etc_of(store, deployment.number), plain)
    return EtcChange(plain, (deployment.number,), f"as in {name}", os.fspath(root / plain))


def plan_push(store: Store, path: str, *, number: int | None = None) -> EtcChange:
    """Give a path of one deployment to all others that are kept; one that is not there goes there too."""
    deployment = chosen_deployment(store, number)
    plain = etc_path(path)
    others = tuple(item.number for item in store.deployments() if item.number != deployment.number)
    if not others:
        raise UserError(
            f"deployment {deployment.number} is the only one", next_step="nothing has to be done: later ones inherit it"
        )
    for other in others:
        _check_parents(etc_of(store, other), plain)
    source = etc_of(store, deployment.number) / plain
    what = "as in deployment" if os.path.lexists(source) else "removed, as in deployment"
    return EtcChange(plain, others, f"{what} {deployment.number}", os.fspath(source))


def change_etc(store: Store, change: EtcChange) -> None:
    """Carry a change out, one deployment after the other; each path is replaced in one step."""
    temporary = f"{change.path}{MAKING}"
    intent = store.journal.begin("etc", deployments=list(change.deployments), temporary=temporary)
    faults.reached("etc.journaled")
    for number in change.deployments:
        etc = etc_of(store, number)
        if change.source or change.text is not None:
            _replace(change, etc / change.path, etc / temporary)
        faults.reached("etc.replaced")
        if change.settles is not None:
            _settle(etc, change.settles)
    store.sync()
    faults.reached("etc.synced")
    intent.close()


def _replace(change: EtcChange, place: Path, making: Path) -> None:
    if os.path.lexists(making):
        remove_path(making)
    if change.text is not None:
        copy_whole(place, making)  # its mode, owner and attributes
        making.write_text(change.text, encoding="utf-8")
    else:
        copy_whole(Path(change.source), making)
    faults.reached("etc.made")
    if not os.path.lexists(making):
        if os.path.lexists(place):
            remove_path(place)
    elif os.path.lexists(place):
        exchange(making, place)
        remove_path(making)
    else:
        os.rename(making, place)


def _settle(etc: Path, conflict: EtcConflict) -> None:
    if conflict.beside and os.path.lexists(etc / conflict.beside):
        remove_path(etc / conflict.beside)
    folder = (etc / conflict.beside).parent
    while folder != etc and any(part.endswith(BESIDE) for part in folder.relative_to(etc).parts):
        if any(folder.iterdir()):
            break
        folder.rmdir()
        folder = folder.parent
    faults.reached("etc.settled")
    note_conflicts(etc, tuple(item for item in open_conflicts(etc) if item != conflict))


def _check_parents(etc: Path, path: str) -> None:
    """A path is written only below real folders of that /etc."""
    above = etc
    for part in path.split("/")[:-1]:
        above = above / part
        if above.is_symlink() or not above.is_dir():
            what = "a link" if above.is_symlink() else "no folder" if above.exists() else "not there"
            raise UserError(
                f"/etc/{path} can't be written: /etc/{above.relative_to(etc)} is {what}",
                on=etc.parent.name and f"deployment {etc.parent.name}",
                next_step="make that a folder first",
            )


def _really_there(root: Path, path: str) -> bool:
    """Reached without following a link out of that /etc."""
    above = root
    for part in path.split("/"):
        if above.is_symlink() or not above.is_dir():
            return False
        above = above / part
    return os.path.lexists(above)
