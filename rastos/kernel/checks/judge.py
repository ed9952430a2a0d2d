"""Rules held against a configuration or a command line; findings with severity, reason and fix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
BUILT = ("y", "m")


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation: a symbol (or several that do the same: any of them) and the values that will do.

    "set" is y or m, "unset" absent or n, ">=N" a number. `unless` names symbols that make the rule moot where they are set;
    `since` is the first kernel that has the symbol, `until` the first that no longer does.
    """

    symbols: tuple[str, ...]
    wanted: str
    reason: str
    severity: Severity = "error"
    unless: tuple[str, ...] = ()
    since: tuple[int, int] = (0, 0)
    until: tuple[int, int] = (99, 0)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that doesn't hold: `got` is the value there ("unset" where absent), `fix` what to write."""

    check: str
    severity: Severity
    subject: str
    wanted: str
    got: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Report:
    """How many rules were held against it, and those that don't hold."""

    check: str
    rules: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Findings that are errors."""
        return sum(item.severity == "error" for item in self.findings)


def check_config(check: str, rules: Iterable[Rule], config: Mapping[str, str], version: str = "") -> Report:
    """Hold rules against a configuration (symbol → value); those for other kernel versions are left out."""
    now = _version(version)
    counted, findings = 0, []
    for rule in rules:
        if now and not rule.since <= now < rule.until:
            continue
        if any(config.get(name) in BUILT for name in rule.unless):
            continue
        counted += 1
        if not any(_meets(config.get(name), rule.wanted) for name in rule.symbols):
            first = rule.symbols[0]
            findings.append(
                Finding(
                    check=check,
                    severity=rule.severity,
                    subject=" or ".join(f"CONFIG_{name}" for name in rule.symbols),
                    wanted=rule.wanted,
                    got=config.get(first, "unset"),
                    reason=rule.reason,
                    fix=_fix(first, rule.wanted),
                )
            )
    return Report(check, counted, tuple(findings))


def check_command_line(check: str, rules: Mapping[str, tuple[Sequence[str], Severity, str]], words: str) -> Report:
    """Hold rules (parameter → values that will do, the first recommended; severity; reason) against a command line."""
    given: dict[str, str] = {}
    for word in words.split():
        name, _, value = word.partition("=")
        given[name.replace("-", "_")] = value
    findings = []
    for name, (values, severity, reason) in rules.items():
        got = given.get(name.replace("-", "_"))
        if got not in values if values else got is None:
            text = f"{name}={values[0]}" if values and values[0] else name
            findings.append(Finding(check, severity, name, text, "not given" if got is None else got, reason, text))
    return Report(check, len(rules), tuple(findings))


def _meets(value: str | None, wanted: str) -> bool:
    if wanted == "set":
        return value in BUILT
    if wanted == "unset":
        return value in (None, "n")
    if wanted.startswith(">="):
        return value is not None and value.isdigit() and int(value) >= int(wanted[2:])
    return (value or "").strip('"') == wanted


def _fix(symbol: str, wanted: str) -> str:
    if wanted == "unset":
        return f"# CONFIG_{symbol} is not set"
    return f"CONFIG_{symbol}={'y' if wanted == 'set' else wanted.removeprefix('>=')}"


def _version(text: str) -> tuple[int, int] | None:
    parts = text.split(".")[:2]
    digits = [("".join(letter for letter in part if letter.isdigit())) for part in parts]
    return (int(digits[0]), int(digits[1])) if len(digits) == 2 and all(digits) else None
