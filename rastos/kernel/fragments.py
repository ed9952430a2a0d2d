"""Configuration fragments: files of `CONFIG_X=value` and `# CONFIG_X is not set` lines, merged in order.

Every request remembers the file and line it came from, so that a dropped option can be traced to who asked for it.
A line `## Title: what it is for` starts a group of options: what belongs together and why it is there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rastos.errors import UserError

_SET = re.compile(r'CONFIG_(\w+)=(y|m|n|-?\d+|0[xX][0-9a-fA-F]+|"(?:[^"\\]|\\.)*")')
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_GROUP = re.compile(r"##\s+([^:]+?)\s*:\s+(\S.*?)\s*")


@dataclass(frozen=True, slots=True)
class Request:
    """One symbol asked for: `value` as in a .config ("n" for unset), `origin` as file:line."""

    symbol: str
    value: str
    fragment: str
    line: int

    @property
    def origin(self) -> str:
        """Where it was asked for."""
        return f"{self.fragment}:{self.line}"


@dataclass(frozen=True, slots=True)
class Override:
    """A request that a later fragment changed."""

    earlier: Request
    later: Request


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """Options of one fragment that belong together, and what they are for; both empty for those before any heading."""

    title: str
    purpose: str
    fragment: str
    line: int
    requests: tuple[Request, ...]

    @property
    def symbols(self) -> tuple[str, ...]:
        """The options, in the file's order."""
        return tuple(item.symbol for item in self.requests)


@dataclass(frozen=True, slots=True)
class Merged:
    """What all fragments together ask for, one request per symbol, in merge order."""

    requests: tuple[Request, ...]
    overrides: tuple[Override, ...] = ()

    def changed(self, fragments: Sequence[Path]) -> bool:
        """Whether somebody else than these files asked for something."""
        names = {path.name for path in fragments}
        return any(item.fragment not in names for item in self.requests)

    def text(self) -> str:
        """As a file for KCONFIG_ALLCONFIG or to append to a defconfig: no comments, so that it can be a build key."""
        return "".join(
            f"# CONFIG_{item.symbol} is not set\n" if item.value == "n" else f"CONFIG_{item.symbol}={item.value}\n"
            for item in self.requests
        )


def parse_fragment(path: Path) -> tuple[Request, ...]:
    """The requests of one file. Raises UserError with file:line for a line that is neither option nor comment."""
    return _requests(_lines(path), path.name, path)


def option_groups(paths: Sequence[Path]) -> tuple[OptionGroup, ...]:
    """The option groups of the fragments, in merge order. Raises as `parse_fragment`, and for a heading without a purpose."""
    found: list[OptionGroup] = []
    for path in paths:
        lines = _lines(path)
        requests = _requests(lines, path.name, path)
        heads = [("", "", 0)]
        for number, line in enumerate(lines, 1):
            if line.startswith("##"):
                named = _GROUP.fullmatch(line)
                if not named:
                    raise UserError(
                        f"{path}:{number}: this heading of an option group says no purpose",
                        next_step="write it as: ## Title: what it is for",
                    )
                heads.append((named[1], named[2], number))
        for (title, purpose, start), (_, _, end) in pairwise((*heads, ("", "", len(lines) + 1))):
            inside = tuple(item for item in requests if start < item.line < end)
            if inside or title:
                found.append(OptionGroup(title, purpose, path.name, start, inside))
    return tuple(found)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the fragment: {error}", on=path, next_step="check the file named") from error


def fragment_files(search: Sequence[Path]) -> tuple[Path, ...]:
    """Every fragment of the profile folders, by name; the first folder that has a name wins."""
    named: dict[str, Path] = {}
    for folder in search:
        for path in sorted((folder / "kernel/fragments").glob("*.config")):
            named.setdefault(path.stem, path)
    return tuple(named[name] for name in sorted(named))


def short_name(path: Path) -> str:
    """What a fragment is called without the number that it sorts by: 82-lockdep.config → lockdep."""
    return re.sub(r"^\d+-", "", path.stem)


def find_fragment(wanted: str, search: Sequence[Path]) -> Path:
    """A fragment somebody names: a file, or one of the profile folders by name, with its number or without ("lockdep").

    The first folder that has a name wins. Raises UserError where there is none (near names given), or more than one.
    """
    if Path(wanted).is_file():
        return Path(wanted)
    named = {path.stem: path for path in fragment_files(search)}
    if wanted.removesuffix(".config") in named:
        return named[wanted.removesuffix(".config")]
    short = {name: short_name(path) for name, path in named.items()}
    found = [name for name, bare in short.items() if bare == wanted]
    if len(found) == 1:
        return named[found[0]]
    if found:
        raise UserError(f"more than one fragment is called '{wanted}'", next_step=f"name one: {', '.join(found)}")
    near = difflib.get_close_matches(wanted, [*named, *short.values()], n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UserError(
        f"there is no fragment '{wanted}': no such file, and none of that name in the profile folders",
        next_step=f"{hint}there are: {', '.join(named) or 'none'}",
    )


def parse_settings(texts: Sequence[str]) -> tuple[Request, ...]:
    """Requests given on the command line: `CONFIG_X=y`, or `X=y`. UserError: one is no option."""
    return _requests([text if text.startswith("CONFIG_") else f"CONFIG_{text}" for text in texts], "--set", "--set")


def _requests(lines: Sequence[str], name: str, on: object) -> tuple[Request, ...]:
    found: list[Request] = []
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        unset = _UNSET.fullmatch(line)
        if unset:
            found.append(Request(unset[1], "n", name, number))
        elif line and not line.startswith("#"):
            value = _SET.fullmatch(line)
            if not value:
                raise UserError(
                    f"{on}:{number}: '{line[:60]}' is not an option",
                    next_step='expected CONFIG_NAME=y, m, n, a number or a "text", or "# CONFIG_NAME is not set"',
                )
            found.append(Request(value[1], value[2], name, number))
    return tuple(found)


def merge(paths: Sequence[Path], settings: Sequence[str] = ()) -> Merged:
    """All fragments in order, then `settings`: the last request for a symbol wins and takes its place, changed ones are listed."""
    requests: dict[str, Request] = {}
    overrides: list[Override] = []
    for group in (*(parse_fragment(path) for path in paths), parse_settings(settings)):
        for item in group:
            earlier = requests.pop(item.symbol, None)
            if earlier is not None and earlier.value != item.value:
                overrides.append(Override(earlier, item))
            requests[item.symbol] = item
    return Merged(tuple(requests.values()), tuple(overrides))
