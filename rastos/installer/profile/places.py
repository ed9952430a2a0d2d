"""Where in a TOML file a value stands: `tomllib` keeps no positions, so headers and keys are found again in the text."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_BARE = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_BARE}(?:\s*\.\s*{_BARE})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_PART = re.compile(_BARE)


class Places:
    """Lines of a document, counted from 1."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.found: dict[Path, int] = {}
        self._scan()

    def line(self, path: Path) -> int:
        """The line of a value, or of the nearest thing around it; for an item of a list that of the item."""
        for count in range(len(path), -1, -1):
            start = self.found.get(path[:count])
            if start is not None:
                return self._within(start, path[count:])
        return self._within(1, path)

    def _within(self, start: int, rest: Path) -> int:
        """Below a known line: the first one that has the words of what is looked for."""
        end = min((line for line in self.found.values() if line > start), default=len(self.lines) + 1)
        for word in reversed(rest):
            pattern = re.compile(rf"(?<![\w.-]){re.escape(str(word))}(?![\w-])")
            for number in range(start, end):
                if isinstance(word, str) and pattern.search(self.lines[number - 1]):
                    return number
        return start

    def _scan(self) -> None:
        counts: dict[Path, int] = {}
        table: Path = ()
        depth, quote = 0, ""
        for number, row in enumerate(self.lines, 1):
            if not quote and depth == 0:
                if head := _HEADER.match(row):
                    table = self._table(_parts(head[2]), head[1] == "[[", counts)
                    self.found.setdefault(table, number)
                    continue
                if key := _KEY.match(row):
                    self.found.setdefault((*table, *_parts(key[1])), number)
                    row = row[key.end() :]
            depth, quote = _open_at_end(row, depth, quote)

    @staticmethod
    def _table(parts: list[str], listed: bool, counts: dict[Path, int]) -> Path:
        path: Path = ()
        for part in parts[:-1]:
            path = (*path, part)
            if path in counts:
                path = (*path, counts[path])
        path = (*path, parts[-1])
        if listed:
            counts[path] = counts.get(path, -1) + 1
            return (*path, counts[path])
        return path


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _open_at_end(row: str, depth: int, quote: str) -> tuple[int, str]:
    """How many brackets, and which long string, are open after a row that began with these."""
    position = 0
    while position < len(row):
        if quote:
            if quote[0] == '"' and row[position] == "\\":
                position += 2
            elif row.startswith(quote, position):
                position, quote = position + len(quote), ""
            else:
                position += 1
            continue
        character = row[position]
        if character == "#":
            break
        if character in "\"'":
            quote = character * 3 if row.startswith(character * 3, position) else character
            position += len(quote)
            continue
        depth += (character in "[{") - (character in "]}")
        position += 1
    return depth, quote if len(quote) == 3 else ""  # a short string ends with its line
