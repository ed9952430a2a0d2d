"""What a transaction may do beyond bringing packages in: the rules of pacman.conf and of the manifest, as one value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .manifest import Manifest


@dataclass(frozen=True)
class ManifestHook:
    """A program run before or after transactions that touch a package matching `on` (none: any package).

    It gets the matching names on its standard input, a line each. `in_root`: inside the tree, else on the host with
    RASTOS_ROOT set.
    """

    run: tuple[str, ...]
    when: Literal["pre", "post"] = "post"
    on: tuple[str, ...] = ()
    in_root: bool = True


@dataclass(frozen=True)
class TransactionPolicy:
    """Path patterns are pacman's (fnmatch, no leading slash, `!` takes back, the last match counts).

    `hold`: names or patterns of packages that are never removed, unless `force_hold`. `setuid`: "allow", "deny", or the paths
    that may be set-user-id, set-group-id or carry capabilities. `max_unpacked`: a package may unpack to so many times the size
    it is said to have. `without_kernel`: the last kernel of the tree, and the running one, may be removed.
    """

    no_extract: tuple[str, ...] = ()
    no_upgrade: tuple[str, ...] = ()
    overwrite: tuple[str, ...] = ()
    hold: tuple[str, ...] = ()
    force_hold: bool = False
    setuid: Literal["allow", "deny"] | tuple[str, ...] = "allow"
    pre_hooks: tuple[ManifestHook, ...] = ()
    post_hooks: tuple[ManifestHook, ...] = ()
    max_unpacked: float = 2.0
    without_kernel: bool = False


def policy_of(manifest: Manifest | None) -> TransactionPolicy:
    """The manifest's rules for transactions."""
    if manifest is None:
        return TransactionPolicy()
    hooks = [ManifestHook(hook.run, hook.when, hook.on, hook.in_root) for hook in manifest.hooks]
    words = manifest.setuid
    return TransactionPolicy(
        no_extract=manifest.no_extract,
        no_upgrade=manifest.no_upgrade,
        overwrite=manifest.overwrite,
        hold=manifest.hold,
        setuid="allow" if words == ("allow",) else "deny" if words == ("deny",) else words,
        pre_hooks=tuple(hook for hook in hooks if hook.when == "pre"),
        post_hooks=tuple(hook for hook in hooks if hook.when == "post"),
    )


def pattern_of(text: str) -> str:
    """A pattern as libalpm takes it: relative to the root."""
    return "!" + text[1:].lstrip("/") if text.startswith("!") else text.lstrip("/")


def matches(patterns: Sequence[str], path: str) -> bool:
    """Whether libalpm's rule for a list of patterns says yes to a path."""
    for text in reversed(patterns):
        if _compiled(text.removeprefix("!")).fullmatch(path):
            return not text.startswith("!")
    return False


def matching(names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The names that match a pattern; all of them where there is no pattern."""
    return tuple(name for name in names if not patterns or any(_compiled(text).fullmatch(name) for text in patterns))


@lru_cache(maxsize=20_000)
def _compiled(pattern: str) -> re.Pattern[str]:
    """fnmatch(3) without flags: `*` crosses slashes, a backslash takes the next character as it is."""
    out = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        at += 1
        if character == "*":
            out.append(".*")
        elif character == "?":
            out.append(".")
        elif character == "\\" and at < len(pattern):
            out.append(re.escape(pattern[at]))
            at += 1
        elif character == "[" and (end := pattern.find("]", at + (2 if pattern[at : at + 1] in "!^" else 1))) > 0:
            inside = pattern[at:end]
            at = end + 1
            negated = "^" if inside[0] in "!^" else ""
            body = (inside[1:] if negated else inside).replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^")
            out.append(f"[{negated}{body}]")
        else:
            out.append(re.escape(character))
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:  # a range that runs backwards
        return re.compile(re.escape(pattern))


__all__ = ["ManifestHook", "TransactionPolicy", "matches", "matching", "pattern_of", "policy_of"]
