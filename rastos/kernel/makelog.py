"""What make says while it builds a kernel: objects made, warnings, the first error in the compiler's words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

# Kbuild's short log: two blanks, the tool, perhaps [M], the target (scripts/Kbuild.include, "quiet_cmd_")
_MADE = re.compile(r"  ([A-Z][A-Z0-9_]*)(?: \[M\])?\s+(\S+)$")
_OBJECT = (".o", ".a", ".ko")
_WARNING = re.compile(r"\bwarning: ")
_ERROR = re.compile(r"^(?P<file>[^\s:]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)$")
_LINKER = re.compile(r"^(?:\S*ld|\S+\.o): (?:.*undefined reference to .*|error: .*|cannot .*)$|undefined reference to ")
_TOOL = re.compile(r"^(?:/bin/sh: \d+: .*not found|\S+: error: .*|.*: command not found|.*fatal error: .*)$")
_MAKE = re.compile(r"^make(?:\[\d+\])?: \*\*\* (.*)$")


@dataclass(slots=True)
class MakeLog:
    """Takes make's lines; `present` are objects an interrupted run of the same build left (paths in `tree`)."""

    expected: int | None = None
    tree: Path | None = None
    present: set[str] = field(default_factory=set)
    warnings: int = 0
    current: str = ""
    error: str = ""
    make_error: str = ""
    out_of_memory: bool = False
    disk_full: bool = False
    made: int = 0

    @property
    def done(self) -> int:
        """Objects there are by now."""
        return len(self.present)

    @property
    def total(self) -> int | None:
        """Objects expected, revised upwards when exceeded; None where nothing is known."""
        return None if self.expected is None else max(self.expected, self.done)

    def line(self, text: str) -> bool:
        """Take one line; True where it changed what is to be shown."""
        found = _MADE.match(text)
        if found:
            name = found[2].removeprefix(f"{self.tree}/")  # what lies below tools/ is named in full
            self.current = f"{found[1]} {name}"
            if not name.endswith(_OBJECT):
                return False
            self.made += 1
            self.present.add(name)
            return True
        if _WARNING.search(text):
            self.warnings += 1
        self._trouble(text)
        return False

    def feed(self, lines: Iterable[str]) -> MakeLog:
        """Take many lines."""
        for text in lines:
            self.line(text.rstrip("\n"))
        return self

    def _trouble(self, text: str) -> None:
        if "No space left on device" in text:
            self.disk_full = True
        if "Killed signal terminated program" in text or "virtual memory exhausted" in text:
            self.out_of_memory = True
        make = _MAKE.match(text)
        if make:
            # 128 + SIGKILL: nobody else kills a compiler alone; an interrupted make says so in other words
            self.out_of_memory = self.out_of_memory or make[1].endswith(("Error 137", "] Killed"))
            self.make_error = self.make_error or make[1]
        elif not self.error and (_ERROR.match(text) or _LINKER.search(text) or _TOOL.match(text)):
            self.error = text.strip()

    def first_error(self, source: Path) -> str:
        """The first error as `file:line: words` with paths relative to the source tree; else make's own words."""
        return (self.error or self.make_error).replace(f"{source}/", "")


def objects_in(build: Path) -> set[str]:
    """Objects in a build tree, as make names them."""
    return {str(path.relative_to(build)) for suffix in _OBJECT for path in build.rglob(f"*{suffix}") if path.is_file()}


def drop_suspicious(build: Path) -> int:
    """Remove objects newer than their command record: their compiler was killed while it wrote. How many.

    Kbuild writes `.NAME.cmd` after NAME is complete (`cmd_and_fixdep`), so a whole object is never the newer one;
    an object without a record is made again anyway.
    """
    removed = 0
    for name in objects_in(build):
        path = build / name
        record = path.with_name(f".{path.name}.cmd")
        if record.is_file() and path.stat().st_mtime_ns > record.stat().st_mtime_ns:
            path.unlink()
            removed += 1
    return removed
