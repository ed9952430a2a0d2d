"""Triggers (deb-triggers(5)), activated when dpkg would: only what is configured already has triggers to process.

A package that is being configured in the same run has seen every new file in its own `postinst configure`; so a file
trigger matters for those that were configured before, and an explicit one for those configured before it was set off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from .status import Installed

_UNINCORPORATED = "var/lib/dpkg/triggers/Unincorp"


class Triggers:
    """What waits for whom while packages are configured one by one."""

    def __init__(self, root: Path, packages: Mapping[str, Installed], changed: Sequence[str]) -> None:
        self._root = root
        self._packages = packages
        self._waiting = set(changed)
        self._interest: dict[str, list[str]] = {}
        self._found: dict[str, dict[str, None]] = {}
        for name, package in packages.items():
            for words in map(str.split, package.lines(root, "triggers")):
                if len(words) > 1 and words[0].startswith("interest"):
                    self._interest.setdefault(words[1], []).append(name)
        self._unpacked(changed)

    def _unpacked(self, changed: Sequence[str]) -> None:
        paths = [trigger for trigger in self._interest if trigger.startswith("/")]
        for name in changed:
            self._explicit(name)
            listed = self._packages[name].lines(self._root, "list") if paths else []
            for trigger in paths:
                if any(line == trigger or line.startswith(trigger + "/") for line in listed):
                    self._activate(trigger)

    def configuring(self, name: str) -> None:
        """`postinst configure` of a package begins."""
        self._explicit(name)

    def configured(self, name: str) -> None:
        """A package is configured; what its script asked for with `dpkg-trigger` counts before it itself can be asked."""
        self._asked()
        self._waiting.discard(name)

    def pending(self) -> dict[str, list[str]]:
        """Package → triggers to process, in the order of the packages' names."""
        self._asked()
        return {name: sorted(self._found[name]) for name in sorted(self._found)}

    def _explicit(self, name: str) -> None:
        for words in map(str.split, self._packages[name].lines(self._root, "triggers")):
            if len(words) > 1 and words[0].startswith("activate"):
                self._activate(words[1])

    def _asked(self) -> None:
        path = self._root / _UNINCORPORATED
        if path.is_file():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                if line.strip():
                    self._activate(line.split()[0])
            path.unlink()

    def _activate(self, trigger: str) -> None:
        for name in self._interest.get(trigger, ()):
            if name not in self._waiting and self._packages[name].file(self._root, "postinst").is_file():
                self._found.setdefault(name, {})[trigger] = None
