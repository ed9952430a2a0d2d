"""Three-way merge of texts, line by line: the only user of merge3."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MergedText:
    """The merged text, with markers around each of its `conflicts`."""

    text: str
    conflicts: int


def merge_text(base: str, mine: str, new: str, *, mine_name: str = "mine", new_name: str = "new") -> MergedText:
    """Merge what two sides made of `base`; changes that don't touch are both taken, equal ones once."""
    from merge3 import Merge3

    merged = Merge3(base.splitlines(True), mine.splitlines(True), new.splitlines(True))
    conflicts = sum(group[0] == "conflict" for group in merged.merge_groups())
    marked = merged.merge_lines(name_a=mine_name, name_b=new_name, name_base="before")
    return MergedText("".join(marked), conflicts)
