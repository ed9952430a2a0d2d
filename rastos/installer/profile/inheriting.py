"""Inheritance: a profile's own values over those of the profile it names. Lists add up, `-name` takes out, tables merge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .keys import IMAGE_KEYS, ProfileKey, near
from .reading import Given, Problems

# of these a table has one: a profile's own takes the place of the inherited one
_EITHER = (frozenset({"content", "source", "template"}), frozenset({"run", "source"}))


def inherit(above: Given, below: Given | None, problems: Problems) -> Given:
    """The values of a file over those it inherits; where each was written goes with it."""
    merging = _Merging(above, below, problems)
    values = merging.tables(IMAGE_KEYS, above.values, below.values if below else {}, ())
    origins = {**(below.origins if below else {}), **above.origins}
    # a list's items keep the place of whoever said them first
    return Given(above.path, values, origins)


class _Merging:
    def __init__(self, above: Given, below: Given | None, problems: Problems) -> None:
        self.above = above
        self.below = below
        self.problems = problems

    def tables(
        self, keys: tuple[ProfileKey, ...], above: Mapping[str, Any], below: Mapping[str, Any], name: tuple[str, ...]
    ) -> dict[str, Any]:
        replaced = {word for either in _EITHER if either & above.keys() for word in either}
        merged: dict[str, Any] = {word: value for word, value in below.items() if word not in replaced}
        for key in keys:
            if key.name not in above:
                continue
            mine, theirs = above[key.name], below.get(key.name)
            path = (*name, key.name)
            if key.what == "texts":
                merged[key.name] = self.lists(key, mine, theirs or (), path)
            elif key.what == "table":
                merged[key.name] = self.tables(key.table, mine, theirs or {}, path)
            elif key.what == "values":
                merged[key.name] = {**(theirs or {}), **mine}
            elif key.what == "tables":
                known = dict(theirs or {})
                for label, item in mine.items():
                    known[label] = self.tables(key.table, item, known.get(label, {}), (*path, label))
                merged[key.name] = known
            else:
                merged[key.name] = mine
        return merged

    def lists(
        self, key: ProfileKey, mine: tuple[str, ...], theirs: tuple[str, ...], path: tuple[str, ...]
    ) -> tuple[str, ...]:
        gone = {item[1:] for item in mine if item.startswith("-")}
        for item in sorted(gone - set(theirs)):
            where = self.above.origins.get(".".join((*path, f"-{item}")), self.above.path)
            what = f"{key.name} takes out '{item}', which "
            what += "is not inherited" if self.below else "nothing can: the profile inherits from none"
            step = near(item, theirs, "inherited") if theirs else "leave it out"
            if key.name == "packages":
                step += "; what a set brings is left out by `exclude` in packages.toml"
            self.problems.add(what, where, step)
        kept = (item for item in theirs if item not in gone)
        return tuple(dict.fromkeys((*kept, *(item for item in mine if not item.startswith("-")))))
