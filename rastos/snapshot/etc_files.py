"""A deployment's /etc looked at: what differs from its snapshot's pristine one, and which conflicts are open."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import safe_join

from .etc_apply import open_conflicts
from .etc_merge import BESIDE, OURS_ALONE, EtcConflict
from .etc_tree import Item, Tree, read_tree
from .metadata import Deployment
from .store import Store

OUR_FOLDERS = ("rastos", "issue.d")
SHOWN = 1 << 20  # bytes of a file that a difference is shown of


@dataclass(frozen=True, slots=True)
class EtcDifference:
    """A path that is not as the snapshot brings it: added, removed or changed, and in what."""

    path: str
    what: str
    aspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EtcState:
    """An /etc against its snapshot's; `conflicts` wait for somebody."""

    deployment: int
    snapshot: int
    conflicts: tuple[EtcConflict, ...]
    differences: tuple[EtcDifference, ...]


def chosen_deployment(store: Store, number: int | None) -> Deployment:
    """The deployment named, else the one that runs, else the one that boots next. Raises UserError."""
    there = {item.number: item for item in store.deployments()}
    if number is not None:
        if number in there:
            return there[number]
        raise UserError(
            f"there is no deployment {number}", next_step=f"deployments: {', '.join(map(str, there)) or 'none'}"
        )
    if store.booted is not None and store.booted in there:
        return there[store.booted]
    current = store.current()
    if current is None:
        raise UserError("nothing is deployed, so there is no /etc", next_step="`rastos snapshot deploy ID`")
    return current


def etc_of(store: Store, number: int) -> Path:
    """The /etc of a deployment."""
    return store.deployment_path(number) / "etc"


def pristine_of(store: Store, deployment: Deployment) -> Path:
    """The /etc its snapshot brings. Raises UserError where the snapshot is gone."""
    place = store.tree(deployment.snapshot) / "etc"
    if not place.is_dir():
        raise UserError(
            f"snapshot {deployment.snapshot} of deployment {deployment.number} is gone",
            next_step="name another deployment: --from N",
        )
    return place


def etc_state(store: Store, number: int | None = None, *, below: str = "") -> EtcState:
    """How an /etc differs from its snapshot's; `below`: only a path and what is in it."""
    deployment = chosen_deployment(store, number)
    mine, theirs = etc_of(store, deployment.number), pristine_of(store, deployment)
    found = _differences(read_tree(theirs), read_tree(mine))
    if below:
        lead = etc_path(below)
        found = [item for item in found if item.path == lead or item.path.startswith(lead + "/")]
    return EtcState(deployment.number, deployment.snapshot, open_conflicts(mine), tuple(found))


def _differences(before: Tree, after: Tree) -> list[EtcDifference]:
    found = []
    for path in sorted(before.keys() | after.keys()):
        was, is_now = before.get(path), after.get(path)
        if path in OURS_ALONE or was == is_now or path.endswith(BESIDE):
            continue
        if path in OUR_FOLDERS and was is None:
            continue
        if was is None or is_now is None:
            found.append(EtcDifference(path, "added" if was is None else "removed"))
        else:
            found.append(EtcDifference(path, "changed", _aspects(was, is_now)))
    return found


def _aspects(was: Item, is_now: Item) -> tuple[str, ...]:
    names = ("kind", "content", "mode", "owner", "attributes")
    return tuple(name for name in names if getattr(was, name) != getattr(is_now, name))


def text_difference(store: Store, state: EtcState, path: str) -> list[str]:
    """A unified difference of one path, from the snapshot's to the deployment's; [] for what is no text."""
    texts = []
    for root in (store.tree(state.snapshot) / "etc", etc_of(store, state.deployment)):
        place = safe_join(root, path)
        if not os.path.lexists(place):
            texts.append("")
        elif place.is_symlink() or not place.is_file() or place.stat().st_size > SHOWN:
            return []
        else:
            data = place.read_bytes()
            if b"\0" in data:
                return []
            texts.append(data.decode("utf-8", "replace"))
    names = (f"snapshot {state.snapshot}: /etc/{path}", f"deployment {state.deployment}: /etc/{path}")
    lines = difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), *names, lineterm="")
    return list(lines)


def etc_path(text: str) -> str:
    """A path as people write it (/etc/x, etc/x, x), relative to /etc. Raises UserError for one outside."""
    plain = text.removeprefix("/etc/") if text.startswith("/") else text.removeprefix("etc/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if plain.startswith("/") or ".." in parts or not parts or "\0" in plain:
        raise UserError(f"'{text}' is not a path below /etc", next_step="write it as /etc/NAME, or relative to /etc")
    return "/".join(parts)
