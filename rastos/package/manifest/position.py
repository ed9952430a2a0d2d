"""Where in a TOML file something stands: `tomllib` keeps no positions, so the text is searched for the offender."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rastos.errors import UserError


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Text and document of a TOML file. UserError with file:line:column."""
    import tomllib

    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(
            "there is no package manifest", on=path, next_step="name one: --manifest packages.toml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the manifest: {error}", on=path, next_step="check the file") from error
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+), column (\d+)", str(error))
        last = text.splitlines() or [""]
        where = f"{path}:{found[1]}:{found[2]}" if found else f"{path}:{len(last)}:{len(last[-1]) + 1}"
        reason = str(error).split(" (at ")[0]
        raise UserError(f"malformed TOML: {reason}", on=where, next_step="correct that line (TOML 1.0)") from error


class Position:
    """Finds words of a file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()

    def of(self, offender: str, table: str = "") -> str:
        """`file:line:column` of a word, looked for in that table first, then everywhere."""
        start = 0
        if table:
            heads = [n for n, line in enumerate(self.lines) if re.match(rf"\s*\[+\s*{re.escape(table)}\s*\]", line)]
            start = heads[0] if heads else 0
        pattern = re.compile(rf"(?<![\w.+-]){re.escape(offender)}(?![\w+-])")
        for number in [*range(start, len(self.lines)), *range(start)]:
            found = pattern.search(self.lines[number].split(" #")[0])
            if found:
                return f"{self.path}:{number + 1}:{found.start() + 1}"
        return f"{self.path}:{start + 1}:1"
