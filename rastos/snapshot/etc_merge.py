"""Three-way merge of /etc: pristine of the running snapshot (base), the deployment's (ours), pristine of the new (theirs).

By content, type, mode, owner and extended attributes, each for itself; never by time. What only one side changed is taken;
what both changed alike is one; texts are merged line by line; the rest is a conflict: ours stays, theirs lies beside it as
NAME.rastos-new. Databases of people (passwd, group, shadow …) are merged entry by entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rastos.package import merge_text

from .etc_accounts import ACCOUNTS, LINES, merge_accounts, merge_lines
from .etc_policy import Policy
from .etc_tree import Item, Tree, fingerprint, read_tree

BESIDE = ".rastos-new"
# written anew for each deployment
OURS_ALONE = frozenset(
    {"rastos/deployment.json", "rastos/etc-conflicts.json", "rastos/state-mounts", "issue.d/rastos.issue", ".updated"}
)
MERGEABLE = 1 << 20  # bytes: what is larger is no text that people edit
ASPECTS = ("content", "mode", "owner", "attributes")


@dataclass(frozen=True, slots=True)
class EtcConflict:
    """A path where both sides went different ways: ours stayed; `beside` is where theirs lies ("" if nowhere)."""

    path: str
    why: str
    beside: str = ""
    base: int | None = None
    new: int | None = None

    def to_json(self) -> dict[str, Any]:
        """As kept in the deployment; base and new are snapshot ids."""
        return {"path": self.path, "why": self.why, "beside": self.beside, "base": self.base, "new": self.new}


@dataclass(frozen=True, slots=True)
class Mixed:
    """A path that gets parts of both: `item` is what it becomes; `content` ours, theirs or the merged text itself."""

    path: str
    item: Item
    source: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class EtcMerge:
    """What to do to ours. `entries`: databases of people; `asked`: paths whose rule says that somebody has to decide."""

    take: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    mixed: tuple[Mixed, ...] = ()
    entries: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    details: tuple[EtcConflict, ...] = field(default=(), compare=False)
    texts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    seen: str = field(default="", compare=False)

    def to_json(self) -> dict[str, Any]:
        """Without contents: shadow is among them."""
        return {
            "take": list(self.take),
            "remove": list(self.remove),
            "mixed": [{"path": item.path, "content": item.source} for item in self.mixed],
            "entries": list(self.entries),
            "conflicts": [item.to_json() for item in self.details],
            "asked": list(self.asked),
            "notes": list(self.notes),
        }


def plan_etc(base: Path, ours: Path, theirs: Path, *, policy: Policy, tree: Path) -> EtcMerge:
    """Work out the whole merge, texts and people included; `tree` is the new snapshot's, whose files have owners."""
    seen = fingerprint(ours)  # before it is read: what changes meanwhile is noticed at the commit
    merge = plan_merge(read_tree(base), read_tree(ours), read_tree(theirs), policy=policy)
    merge = _with_texts(merge, base, ours, theirs)
    return replace(_with_people(merge, base, ours, theirs, tree, policy), seen=seen)


def plan_merge(base: Tree, ours: Tree, theirs: Tree, *, policy: Policy | None = None) -> EtcMerge:
    """Decide, path by path; pure. A mixed path with content "text" waits for its lines to be merged."""
    found = _Decisions(base, ours, theirs, policy or Policy())
    for path in sorted(base.keys() | ours.keys() | theirs.keys()):
        if path not in OURS_ALONE:
            found.decide(path)
    return found.result()


class _Decisions:
    """The decisions while they are made."""

    def __init__(self, base: Tree, ours: Tree, theirs: Tree, policy: Policy) -> None:
        self.base, self.ours, self.theirs, self.policy = base, ours, theirs, policy
        self.take: list[str] = []
        self.remove: list[str] = []
        self.mixed: list[Mixed] = []
        self.entries: list[str] = []
        self.asked: list[str] = []
        self.conflicts: dict[str, EtcConflict] = {}

    def decide(self, path: str) -> None:
        was, mine, new = self.base.get(path), self.ours.get(path), self.theirs.get(path)
        if mine == new or self._inside_conflict(path):
            return
        way = self.policy.way(path)
        if way == "identity" and mine is not None:
            return
        if way == "theirs" and (new is not None or was is not None):
            (self.take if new is not None else self.remove).append(path)
        elif way == "ours" and (mine is not None or was is not None):
            return
        elif was == new:  # only we changed it
            return
        elif was == mine:
            (self.take if new is not None else self.remove).append(path)
        elif new is None:  # they dropped what we changed: it stays
            return
        elif mine is None:  # we dropped what they changed: it stays dropped, theirs is shown
            self._conflict(path, "removed here, changed there", way)
        elif mine.kind != new.kind:
            self._conflict(path, f"a {mine.words()} here, a {new.words()} there", way)
        elif path in ACCOUNTS or path in LINES:
            self.entries.append(path)
        else:
            self._mix(path, was, mine, new, way)

    def _mix(self, path: str, was: Item | None, mine: Item, new: Item, way: str) -> None:
        values: dict[str, Any] = {}
        at_odds = []
        for name in ASPECTS:
            before, here, there = (getattr(item, name) if item else None for item in (was, mine, new))
            values[name] = there if here == before else here
            if here != there and before not in (here, there):
                at_odds.append(name)
        if at_odds == ["content"] and mine.file and was is not None and was.file:
            source = "text"  # perhaps the lines can be merged
        elif at_odds and not (new.folder and was is None):
            # a folder itself has nothing to put beside it: what is in it is merged path by path
            beside = "" if new.folder else path + BESIDE
            self._conflict(path, f"{' and '.join(at_odds)} changed on both sides", way, beside)
            return
        else:
            source = "theirs" if values["content"] == new.content != mine.content else "ours"
        if way == "ask" and source == "text":
            self.asked.append(path)
        item = Item(mine.kind, values["mode"], values["owner"], values["content"], values["attributes"])
        if item != mine or source == "text":
            self.mixed.append(Mixed(path, item, source))

    def _conflict(self, path: str, why: str, way: str, beside: str | None = None) -> None:
        if way == "ask":
            self.asked.append(path)
        self.conflicts[path] = EtcConflict(path, why, path + BESIDE if beside is None else beside)

    def _inside_conflict(self, path: str) -> bool:
        """Below a folder of theirs that is put beside as a whole."""
        parts = path.split("/")
        above = ("/".join(parts[:count]) for count in range(1, len(parts)))
        return any(item in self.conflicts and self.conflicts[item].beside for item in above)

    def result(self) -> EtcMerge:
        # a folder may go only if all in it goes
        going = set(self.remove)
        kept = {path for path in self.ours if path not in going}
        self.remove = [path for path in self.remove if not _something_below(path, kept)]
        self._guard_folders(kept)
        self._guard_parents()
        return EtcMerge(
            take=tuple(self.take),
            remove=tuple(self.remove),
            mixed=tuple(self.mixed),
            entries=tuple(self.entries),
            conflicts=tuple(sorted(self.conflicts)),
            asked=tuple(self.asked),
            details=tuple(self.conflicts[path] for path in sorted(self.conflicts)),
        )

    def _guard_folders(self, kept: set[str]) -> None:
        """A folder of ours that becomes something else must not take what we put into it along."""
        for path in list(self.take):
            mine = self.ours.get(path)
            if mine is not None and mine.folder and not self.theirs[path].folder and _something_below(path, kept):
                self.take.remove(path)
                self._conflict(path, f"a folder with files of yours here, a {self.theirs[path].words()} there", "merge")

    def _guard_parents(self) -> None:
        """Nothing is written through a link, or into what is no folder: it lies beside that instead."""
        taken = set(self.take)
        for path in [*self.take, *self.conflicts]:
            parts = path.split("/")
            for count in range(1, len(parts)):
                above = "/".join(parts[:count])
                mine = self.ours.get(above)
                if (mine is None and path in taken) or (mine is not None and mine.folder):
                    continue
                if above in taken and self.theirs[above].folder:
                    continue
                beside = "/".join((above + BESIDE, *parts[count:]))
                if path in taken:
                    self.take.remove(path)
                why = f"/etc/{above} is a {mine.words()} here" if mine else self.conflicts[path].why
                self.conflicts[path] = EtcConflict(path, why, beside if path in self.theirs else "")
                break


def _something_below(path: str, kept: set[str]) -> bool:
    return any(other.startswith(path + "/") for other in kept)


def _with_texts(merge: EtcMerge, base: Path, ours: Path, theirs: Path) -> EtcMerge:
    """Merge the lines of files that both sides changed; what can't be merged becomes a conflict."""
    mixed: list[Mixed] = []
    details = list(merge.details)
    for item in merge.mixed:
        if item.source != "text":
            mixed.append(item)
            continue
        texts = [_text(folder / item.path) for folder in (base, ours, theirs)]
        if None in texts:
            details.append(
                EtcConflict(item.path, "content changed on both sides, and it is no text", item.path + BESIDE)
            )
            continue
        merged = merge_text(*(text or "" for text in texts))
        if merged.conflicts:
            why = f"{merged.conflicts} places of the text changed on both sides"
            details.append(EtcConflict(item.path, why, item.path + BESIDE))
        else:
            mixed.append(replace(item, source="merged", text=merged.text))
    details.sort(key=lambda item: item.path)
    open_paths = tuple(item.path for item in details)
    asked = tuple(path for path in merge.asked if path in open_paths)
    return replace(merge, mixed=tuple(mixed), conflicts=open_paths, details=tuple(details), asked=asked)


def _text(path: Path) -> str | None:
    """The text of a file; None for what is no text, or too large to have been edited by people."""
    with open(path, "rb") as stream:
        data = stream.read(MERGEABLE + 1)
    if len(data) > MERGEABLE or b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _with_people(merge: EtcMerge, base: Path, ours: Path, theirs: Path, tree: Path, policy: Policy) -> EtcMerge:
    """The databases of people, all together as soon as one of them was changed on both sides."""
    if not merge.entries:
        return merge
    texts = [(path, merge_lines(*(_lines(folder / path) for folder in (base, ours, theirs)))) for path in LINES]
    texts = [item for item in texts if item[0] in merge.entries]
    details, notes = list(merge.details), list(merge.notes)
    take = merge.take
    if merge.entries != tuple(path for path, _ in texts):
        old, mine, new = ({path: _lines(folder / path) for path in ACCOUNTS} for folder in (base, ours, theirs))
        people = merge_accounts(old, mine, new, tree)
        there = [path for path in ACCOUNTS if _plain(ours / path) and _plain(theirs / path)]
        there = [path for path in there if policy.way(path) in ("merge", "ask")]
        texts += [(path, people.texts[path]) for path in there]
        take = tuple(path for path in take if path not in there)
        details += [EtcConflict(path, why) for path, why in people.conflicts]
        notes += people.notes
    paths = tuple(sorted({item.path for item in details}))
    entries = tuple(sorted(path for path, _ in texts))
    return replace(
        merge,
        take=take,
        entries=entries,
        texts=tuple(sorted(texts)),
        conflicts=paths,
        details=tuple(details),
        notes=tuple(notes),
    )


def _lines(path: Path) -> str:
    """A database's text, byte for byte; "" where there is none."""
    return path.read_text(encoding="utf-8", errors="surrogateescape") if _plain(path) else ""


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
