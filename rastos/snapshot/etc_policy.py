"""Which side a path of /etc follows when a deployment is made: rules, the first that matches counts.

The machine's own rules come first (etc/rastos/etc-policy.toml of the deployment), then those that packages bring
(usr/lib/rastos/etc-policy.d/*.toml of the snapshot), then the built-in ones.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rastos.errors import UserError

WAYS = ("ours", "theirs", "merge", "identity", "ask")
MACHINE = "rastos/etc-policy.toml"
PACKAGED = "usr/lib/rastos/etc-policy.d"
# who this machine is: kept whatever snapshot is deployed and whichever /etc it gets
IDENTITY = ("machine-id", "ssh/ssh_host_*")
# rebuilt by programs from their sources; the new snapshot's is right
THEIRS = ("ld.so.cache",)


@dataclass(frozen=True, slots=True)
class Rule:
    """Paths matching `pattern` (relative to /etc, shell wildcards; a folder means all in it) go this `way`."""

    pattern: str
    way: str
    source: str = "built in"

    def matches(self, path: str) -> bool:
        """Whether the rule is about a path."""
        return fnmatchcase(path, self.pattern) or fnmatchcase(path, self.pattern.rstrip("/") + "/*")


BUILT_IN = (*(Rule(name, "identity") for name in IDENTITY), *(Rule(name, "theirs") for name in THEIRS))


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules, the first that matches counts; what no rule names is merged."""

    rules: tuple[Rule, ...] = BUILT_IN

    def way(self, path: str) -> str:
        """ours, theirs, merge, identity or ask."""
        return next((rule.way for rule in self.rules if rule.matches(path)), "merge")

    @property
    def identity(self) -> tuple[str, ...]:
        """Patterns of what says who this machine is."""
        return tuple(rule.pattern for rule in self.rules if rule.way == "identity")


def read_policy(etc: Path | None, tree: Path, decided: Mapping[str, str] | None = None) -> Policy:
    """The rules for a deployment of `tree` made from `etc`; `decided` (path to ours or theirs) comes before all.

    Raises UserError for a file that isn't right.
    """
    rules = [Rule(path, way, "asked for") for path, way in (decided or {}).items()]
    for rule in rules:
        _check(rule)
    own = etc / MACHINE if etc is not None else None
    if own is not None and own.is_file() and not own.is_symlink() and not own.parent.is_symlink():
        rules += _read(own, f"/etc/{MACHINE}")
    packaged = tree / PACKAGED
    for path in sorted(packaged.glob("*.toml")) if packaged.is_dir() else ():
        rules += _read(path, f"/{PACKAGED}/{path.name}")
    return Policy((*rules, *BUILT_IN))


def _read(path: Path, shown: str) -> list[Rule]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(
            f"the policy for /etc can't be read: {error}", on=shown, next_step="correct the file"
        ) from error
    if set(table) - {"paths"} or not isinstance(table.get("paths", {}), dict):
        raise UserError("a policy for /etc has one table, [paths]", on=shown, next_step='write it as "app/*" = "ours"')
    rules = [Rule(str(pattern), str(way), shown) for pattern, way in table.get("paths", {}).items()]
    for rule in rules:
        _check(rule)
    return rules


def _check(rule: Rule) -> None:
    if rule.way not in WAYS:
        raise UserError(
            f"unknown way '{rule.way}' for {rule.pattern}", on=rule.source, next_step=f"write one of {', '.join(WAYS)}"
        )
    if not rule.pattern or rule.pattern.startswith("/") or ".." in rule.pattern.split("/"):
        raise UserError(
            f"'{rule.pattern}' is not a path below /etc", on=rule.source, next_step='write it relative, as "app/*.conf"'
        )
