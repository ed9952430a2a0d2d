"""The databases of people (passwd, group, shadow, gshadow): merged entry by entry, field by field, numbers included.

Sources: passwd(5), group(5), shadow(5), gshadow(5), subuid(5).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ACCOUNTS = ("passwd", "group", "shadow", "gshadow")
LINES = ("subuid", "subgid")  # several lines for one name: whole lines count
FIELDS = {
    "passwd": ("name", "password", "uid", "gid", "comment", "home", "shell"),
    "group": ("name", "password", "gid", "members"),
    "shadow": ("name", "password", "changed", "least", "most", "warn", "inactive", "expires", "reserved"),
    "gshadow": ("name", "password", "administrators", "members"),
}
LISTS = frozenset({"members", "administrators"})
NUMBER = {"passwd": 2, "group": 2}
SYSTEM = range(999, 99, -1)  # numbers of system users, taken from above as systemd-sysusers(8) does

Table = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class People:
    """The merged databases; `conflicts` are (database, why), `notes` what was decided that somebody may want to know."""

    texts: dict[str, str]
    conflicts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def merge_lines(base: str, ours: str, theirs: str) -> str:
    """Merge texts that are sets of lines: ours, with what they added and without what they removed."""
    old, mine, new = (text.splitlines() for text in (base, ours, theirs))
    gone = set(old) - set(new)
    kept = [line for line in mine if line not in gone]
    return "".join(f"{line}\n" for line in (*kept, *(line for line in new if line not in old and line not in kept)))


def merge_accounts(base: dict[str, str], ours: dict[str, str], theirs: dict[str, str], tree: Path) -> People:
    """Merge the four databases as one. `tree` is the new snapshot: a number its files have can't be given another name."""
    merger = _Merger(tree)
    tables = {}
    for name in ACCOUNTS:
        old, mine, new = (_table(texts.get(name, "")) for texts in (base, ours, theirs))
        tables[name] = merger.table(name, old, mine, new)
        if name in NUMBER:
            merger.numbers(name, tables[name], old, mine, new)
    merger.follow(tables["passwd"], _table(ours.get("passwd", "")), _table(theirs.get("passwd", "")))
    texts = {name: "".join(f"{':'.join(row)}\n" for row in table.values()) for name, table in tables.items()}
    return People(texts, tuple(merger.conflicts), tuple(merger.notes))


class _Merger:
    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.conflicts: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.moved_groups: dict[str, str] = {}  # their number to ours, for groups they added
        self._owners: tuple[set[int], set[int]] | None = None

    def table(self, name: str, old: Table, mine: Table, new: Table) -> Table:
        """Ours in its order, with theirs merged in."""
        result = dict(mine)
        for key, row in new.items():
            was, here = old.get(key), mine.get(key)
            if here is None:
                if was is None:
                    result[key] = row
            elif here != row:
                result[key] = self._row(name, key, was, here, row)
        for key, was in old.items():
            if key not in new and mine.get(key) == was:
                result.pop(key, None)
        return result

    def _row(
        self, name: str, key: str, was: tuple[str, ...] | None, here: tuple[str, ...], row: tuple[str, ...]
    ) -> tuple[str, ...]:
        fields = FIELDS[name]
        if not len(here) == len(row) == len(fields) or (was is not None and len(was) != len(fields)):
            if was == here:
                return row
            if was != row:
                self.conflicts.append((name, f"the entry {key} changed on both sides; yours stays"))
            return here
        merged = list(here)
        for place, field in enumerate(fields):
            before, mine, new = was[place] if was else None, here[place], row[place]
            if mine == new or before == new:
                continue
            if field in LISTS:
                merged[place] = _names(before or "", mine, new)
            elif before == mine:
                merged[place] = new
            elif was is None and name in ("shadow", "gshadow"):
                continue  # both made it: our password and dates
            elif field != "password":
                self.conflicts.append(
                    (name, f"{field} of {key} changed on both sides; yours ({mine}) stays, not {new}")
                )
            else:
                self.conflicts.append((name, f"password of {key} changed on both sides; yours stays"))
        return tuple(merged)

    def numbers(self, name: str, result: Table, old: Table, mine: Table, new: Table) -> None:
        """Two names must not share a number that they did not share before, and state on disk keeps its owner."""
        word, place = ("user" if name == "passwd" else "group"), NUMBER[name]
        in_files = 0 if name == "passwd" else 1
        for key, row in list(result.items()):
            here, there = _number(mine, key, place), _number(new, key, place)
            if here is not None and there is not None and here != there and _number(old, key, place) == here:
                # only they renumbered it: files under /var still have the old number
                if int(there) in self.owners()[in_files]:
                    self.conflicts.append(
                        (name, f"{word} {key} is now {there}; files under /var and /home still have {here}")
                    )
                else:
                    result[key] = (*row[:place], here, *row[place + 1 :])
        for key, row in list(result.items()):
            number = _number(result, key, place)
            if key in mine or number is None:
                continue
            holder = next(
                (
                    other
                    for other in mine
                    if other in result and other != key and _number(result, other, place) == number
                ),
                None,
            )
            if holder is None or _number(new, holder, place) == number:
                continue
            if int(number) in self.owners()[in_files]:
                what = f"{word} {key} has the number {number} of your {word} {holder}, and files of the snapshot have it too"
                self.conflicts.append((name, what))
                continue
            used = {_number(table, other, place) for table in (result, new) for other in table}
            free = next((str(item) for item in SYSTEM if str(item) not in used), None)
            if free is None:
                self.conflicts.append((name, f"no number is free for the new {word} {key}"))
                continue
            result[key] = (*row[:place], free, *row[place + 1 :])
            if name == "group":
                self.moved_groups[number] = free
            self.notes.append(f"new {word} {key} gets the number {free}: {number} is your {word} {holder}'s")

    def follow(self, passwd: Table, mine: Table, new: Table) -> None:
        """Users they added follow a group of theirs that got another number."""
        for key, row in passwd.items():
            if key not in mine and key in new and len(row) == len(FIELDS["passwd"]) and row[3] in self.moved_groups:
                passwd[key] = (*row[:3], self.moved_groups[row[3]], *row[4:])

    def owners(self) -> tuple[set[int], set[int]]:
        """Users and groups that own something in the snapshot; a walk, made only where numbers collide."""
        if self._owners is None:
            self._owners = (set(), set())
            for status in _walk(self.tree):
                self._owners[0].add(status.st_uid)
                self._owners[1].add(status.st_gid)
        return self._owners


def _walk(tree: Path) -> Iterator[os.stat_result]:
    stack = [os.fspath(tree)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)


def _table(text: str) -> Table:
    return {line.partition(":")[0]: tuple(line.split(":")) for line in text.splitlines() if line.strip()}


def _number(table: Table, key: str, place: int) -> str | None:
    row = table.get(key, ())
    return row[place] if len(row) > place and row[place].isdigit() else None


def _names(base: str, mine: str, new: str) -> str:
    old, added = set(filter(None, base.split(","))), [name for name in new.split(",") if name]
    gone = old - set(added)
    kept = [name for name in mine.split(",") if name and name not in gone]
    return ",".join((*kept, *(name for name in added if name not in old and name not in kept)))
