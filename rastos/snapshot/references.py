"""How a snapshot is called: id, name, tag, the start of its uuid, or one of the words for what boots."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rastos.errors import UserError

if TYPE_CHECKING:
    from .metadata import Snapshot
    from .store import Store

WORDS = ("latest", "next", "booted", "good")
UUID_START = 6  # characters of a uuid that are enough to name it
_NAME = re.compile(r"[^\W_][\w.+@-]{0,63}")


def check_name(store: Store, name: str, *, of: int | None = None) -> None:
    """Whether a snapshot (`of`: this one) may be called so. Raises UserError: taken, a number, a word, odd characters."""
    _check_word(name, "name")
    taken = next((item for item in store.snapshots() if item.name == name and item.id != of), None)
    if taken is not None:
        raise UserError(f"the name '{name}' can't be used: snapshot {taken.id} has it", next_step="choose another one")


def check_tag(tag: str) -> None:
    """Whether a tag may be called so. Raises UserError."""
    _check_word(tag, "tag")


def _check_word(word: str, kind: str) -> None:
    if word.isdigit() or word in WORDS:
        raise UserError(
            f"the {kind} '{word}' can't be used",
            next_step=f"choose one that no snapshot has, not a number and none of {', '.join(WORDS)}",
        )
    if not _NAME.fullmatch(word):
        raise UserError(
            f"the {kind} '{word}' can't be used",
            next_step="up to 64 letters, digits and . _ + @ -, beginning with a letter or digit",
        )


def resolve(store: Store, reference: int | str) -> Snapshot:
    """The snapshot meant. Raises UserError with near names where there is none, with all of them where there are more."""
    text = str(reference).strip()
    if text.isdigit() and len(text) < 19:
        found = store.by_number(int(text))
        if found is not None:
            return found
    if text in WORDS:
        return _word(store, text)
    every = store.snapshots()
    for item in every:
        if text and text == item.name:
            return item
    return _only(text, _tagged(text, every) or _by_uuid(text, every), every)


def _tagged(text: str, every: Sequence[Snapshot]) -> list[Snapshot]:
    return [item for item in every if text and text in item.tags]


def _by_uuid(text: str, every: Sequence[Snapshot]) -> list[Snapshot]:
    return [item for item in every if len(text) >= UUID_START and item.uuid.startswith(text.lower())]


def _only(text: str, found: list[Snapshot], every: Sequence[Snapshot]) -> Snapshot:
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"'{text}' is {len(found)} snapshots",
            next_step=f"name one by its id: {_listed(found[-8:])}" + (" …" if len(found) > 8 else ""),
        )
    known = {name: item for item in every for name in (str(item.id), item.name, *item.tags) if name}
    near = list(dict.fromkeys(known[name].id for name in difflib.get_close_matches(text, known, n=3)))
    close = [item for item in every if item.id in near]
    raise UserError(
        f"there is no snapshot '{text}'",
        next_step=f"did you mean {_listed(close)}?" if close else f"snapshots: {_listed(every[-8:]) or 'none yet'}",
    )


def matching(snapshots: Iterable[Snapshot], text: str = "", tags: Sequence[str] = ()) -> tuple[Snapshot, ...]:
    """Those that have all these tags, and every word of `text` somewhere in what is said of them, in any case."""
    words = text.casefold().split()
    found = []
    for item in snapshots:
        if not set(tags) <= set(item.tags):
            continue
        if words:
            delta = item.delta
            said = (item.name, *item.tags, item.description, item.note, item.kernel, item.uuid, item.origin)
            whole = "\n".join((*said, *delta.added, *delta.removed, *delta.changed)).casefold()
            if not all(word in whole for word in words):
                continue
        found.append(item)
    return tuple(found)


def _listed(items: Sequence[Snapshot]) -> str:
    return ", ".join(str(item.id) + (f" ({item.name})" if item.name else "") for item in items)


def _word(store: Store, word: str) -> Snapshot:
    if word == "latest":
        number = max(store.numbers(), default=None)
    else:
        from .protection import marks_of

        number = next(iter(marks_of(store)[word]), None)
    found = store.by_number(number) if number is not None else None
    if found is None:
        reasons = {
            "latest": "there is no snapshot yet",
            "next": "nothing is deployed, so nothing boots next",
            "booted": "no snapshot of this store is running",
            "good": "no deployment has been marked good yet",
        }
        raise UserError(reasons[word], next_step="`rastos snapshot tree` shows what there is")
    return found
