"""What is asked for: targets, removals, upgrades, reinstallations."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from ..records import PackageRecord
from ..relations import Dependency, compare_versions, parse_dependency
from .draft import Draft
from .values import Index, Question


class Wishes(Draft):
    """Turns a wish into first choices."""

    def _remove(self, name: str) -> None:
        record = self.installed.get(name)
        if record is None:
            close = tuple(difflib.get_close_matches(name, self.installed, n=3))
            self._problem("missing", f"{name} is not installed", close)
        elif self._held([name]):
            self._problem("held", f"{name} is held: it is not removed")
        else:
            self.standing.remove(record)

    def _reinstall(self, name: str) -> None:
        there = self.installed.get(name)
        offered = [r for r in self.candidates.named(Dependency(name)) if there and r.version == there.version]
        if there is None:
            close = tuple(difflib.get_close_matches(name, self.installed, n=3))
            self._problem("missing", f"{name} is not installed", close)
        elif not offered:
            self._problem("missing", f"no channel has {self._show(there)} any more, it can't be installed again")
        else:
            self.reinstall.add(name)
            self._choose(offered[0], "")

    def _target(self, text: str, *, stays: bool) -> None:
        channel, slash, rest = text.partition("/")
        indexes = [index for index in self.indexes if index.channel == channel] if slash else self.candidates.open
        wanted = parse_dependency(rest if slash else text)
        standing = self.standing.satisfier(wanted) if stays else None
        if standing is not None and not self.candidates.unmet(standing):
            self.explicit.add(standing.name)
            self.targets[text] = (standing.name,)
            return
        found = self.candidates.named(wanted, indexes) or self.candidates.providing(wanted, indexes)
        usable = [record for record in found if not self.candidates.refused(record)]
        if not usable:
            members = self.candidates.group(wanted.name, indexes) if not found else []
            self.targets[text] = tuple(member.name for member in members)
            for member in members:
                self.explicit.add(member.name)
                self._take(member, stays)
            if not members:
                self._unfound(text, wanted, found, indexes)
            return
        ordered = self.candidates.sorted(wanted.name, usable, self._there)
        self._note_choice(wanted.name, "", ordered, None)
        self.explicit.add(ordered[0].name)
        self.targets[text] = (ordered[0].name,)
        self._take(ordered[0], stays)

    def _take(self, record: PackageRecord, stays: bool) -> None:
        there = self.installed.get(record.name)
        if there is None or record.name in self.standing.removed:
            self._choose(record, "")
        elif record.name not in self.standing.chosen and not (stays and not self.candidates.unmet(there)):
            if compare_versions(there.version, record.version) != 0:
                self._choose(record, "")

    def _unfound(self, text: str, wanted: Dependency, found: Sequence[PackageRecord], indexes: Sequence[Index]) -> None:
        if found:
            reason = self.candidates.refused(found[0])
            offered = ", ".join(self._show(record) for record in found) if "wanted" in reason else ""
            kind = "arch" if found[0].arch not in ("any", self.candidates.arch) else "missing"
            self._problem(kind, f"{found[0].name} {reason}" + (f"; there is {offered}" if offered else ""))
        elif not indexes:
            channels = tuple(index.channel for index in self.indexes)
            self._problem("missing", f"there is no channel '{text.partition('/')[0]}'", channels)
        else:
            offered = ", ".join(self._show(r) for r in self.candidates.named(Dependency(wanted.name), indexes))
            said = f"no channel has {self._show_dependency(text)}" + (f", only {offered}" if offered else "")
            self._problem("missing", said, () if offered else self._near(wanted.name))

    def _upgrade(self) -> None:
        """As `pacman -Syu`: in each channel the package itself, else what replaces it (sync.c, alpm_sync_sysupgrade)."""
        sources = [i for i in self.indexes if self.rules.upgradable is None or i.channel in self.rules.upgradable]
        for name, record in sorted(self.installed.items()):
            if name in self.standing.removed or name in self.standing.chosen:
                continue
            for index in sources:
                if name in index:
                    self._newer(record, index.record(name))
                    break
                if new := self.candidates.replacing(record, index):
                    self._successor(record, new)
                    break

    def _newer(self, old: PackageRecord, new: PackageRecord) -> None:
        order = compare_versions(new.version, old.version)
        if order == 0 or (order < 0 and not self.wish.downgrade) or self.candidates.refused(new):
            return
        if any(fnmatchcase(old.name, text) for text in self.rules.ignore):
            self.ignored[old.name] = self.shown(new.version)
        elif order < 0 or self.wish.upgrade:
            self._choose(new, "")

    def _successor(self, old: PackageRecord, found: Sequence[PackageRecord]) -> None:
        decided = self.rules.replace.get(old.name)
        if decided == "":
            return
        for new in found:
            if decided == new.name and not self.candidates.refused(new):
                self._choose(new, "")
                self._replace(new, old)
                return
        names = tuple(record.name for record in found)
        text = f"{' or '.join(names)} replaces {old.name}"
        self.questions[Question("replace", old.name, names, text)] = None
