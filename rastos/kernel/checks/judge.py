"""Rules held against facts; findings with severity, reason and fix; findings that a profile means to have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from .terms import Alternatives, Facts, Term, parse, version_of

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation: any of `wanted` has to hold, the first is what is recommended and names the rule.

    `source` says whose recommendation it is, `group` where it is shown. `since` is the first kernel that has the symbol,
    `until` the first that no longer does: for others the rule isn't asked.
    """

    wanted: Alternatives
    reason: str
    severity: Severity = "error"
    source: str = ""
    group: str = ""
    since: tuple[int, ...] = ()
    until: tuple[int, ...] = ()

    @property
    def subject(self) -> Term:
        """The term that it is about."""
        return self.wanted[0][0]

    def applies(self, facts: Facts) -> bool:
        """Whether the facts can answer it and the kernel is one that it is for; of unknown version everything is asked."""
        now = version_of(facts.version)
        if now and (now < self.since or (self.until and now >= self.until)):
            return False
        return all(term.known(facts) for part in self.wanted for term in part)

    def holds(self, facts: Facts) -> bool:
        """Whether one of the alternatives is there."""
        return any(all(term.holds(facts) for term in part) for part in self.wanted)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that doesn't hold: `got` is what is there, `fix` what to write, `otherwise` what would do as well.

    `meant` is the reason of an exception, "" where nobody meant it.
    """

    check: str
    group: str
    severity: Severity
    source: str
    subject: str
    got: str
    reason: str
    fix: str
    otherwise: tuple[str, ...] = ()
    meant: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """How many rules were held against it by group, those that don't hold, and exceptions that nothing was found for."""

    check: str
    groups: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]
    unused: tuple[str, ...] = ()

    @property
    def rules(self) -> int:
        """How many rules there were."""
        return sum(count for _, count in self.groups)

    @property
    def missing(self) -> tuple[Finding, ...]:
        """Findings that nobody meant."""
        return tuple(item for item in self.findings if not item.meant)

    @property
    def errors(self) -> int:
        """Errors that nobody meant."""
        return sum(item.severity == "error" for item in self.missing)


class Deliberate(Protocol):
    """A deliberate finding, as profiles say it (KernelProfile.meant)."""

    @property
    def check(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def reason(self) -> str: ...


def hold(check: str, rules: Iterable[Rule], facts: Facts, meant: Iterable[Deliberate] = ()) -> Report:
    """Hold rules against facts; `meant` turns findings into exceptions, by check and subject (CONFIG_ may be left out)."""
    groups: dict[str, int] = {}
    findings = []
    unasked = set()
    for rule in rules:
        if not rule.applies(facts):
            unasked.add(_bare(rule.subject.subject))
            continue
        groups[rule.group] = groups.get(rule.group, 0) + 1
        if not rule.holds(facts):
            findings.append(_finding(check, rule, facts))
    reasons = {_bare(item.subject): item.reason for item in meant if item.check == check}
    found = tuple(replace(item, meant=reasons.get(_bare(item.subject), "")) for item in findings)
    unused = tuple(sorted(reasons.keys() - {_bare(item.subject) for item in found} - unasked))
    return Report(check, tuple(groups.items()), found, unused)


def _finding(check: str, rule: Rule, facts: Facts) -> Finding:
    # where the recommended value is there, what it depends on isn't
    first = [term for term in rule.wanted[0] if not term.holds(facts)]
    culprit = rule.subject if rule.subject in first else first[0]
    got = (
        culprit.got(facts)
        if culprit is rule.subject
        else f"{rule.subject.got(facts)}, {culprit.subject} {culprit.got(facts)}"
    )
    return Finding(
        check=check,
        group=rule.group,
        severity=rule.severity,
        source=rule.source,
        subject=rule.subject.subject,
        got=got,
        reason=rule.reason,
        fix=", ".join(term.fix for term in first),
        otherwise=tuple(", ".join(term.fix for term in part) for part in rule.wanted[1:]),
    )


def _bare(subject: str) -> str:
    return subject.removeprefix("CONFIG_")


# severity of a rule by whose recommendation it is
BY_SOURCE: dict[str, Severity] = {"defconfig": "error", "kspp": "warning"}


def table(group: str, rows: Iterable[tuple[str, ...]], *, severity: Severity | None = None) -> tuple[Rule, ...]:
    """Rules from rows of (source, reason, expectation, …); an expectation may end in "; since 5.1" or "; until 6.7".

    Without `severity` the source decides: what a default configuration has is an error where it is missing, what the
    Kernel Self-Protection Project recommends a warning, what others recommend a note.
    """
    found = []
    for source, reason, *texts in rows:
        for text in texts:
            wanted, *bounds = text.split("; ")
            limits = {word: version_of(number) for word, number in (item.split() for item in bounds)}
            found.append(
                Rule(
                    parse(wanted),
                    reason,
                    severity or BY_SOURCE.get(source, "note"),
                    source,
                    group,
                    limits.get("since", ()),
                    limits.get("until", ()),
                )
            )
    return tuple(found)
