"""What a rule is made of: terms about a configuration, a command line, a running system; any of several, all of some.

Written as text, so that tables stay readable: alternatives are divided by " | ", terms that have to hold together by " & ".

    NAME              y or m                       NAME=y, NAME=0x0   exactly that value
    NAME=n            n, "" or absent             NAME=max           the largest that NAME_MAX allows
    cmdline:NAME      given                        cmdline:NAME=1     that value (1 and 0 as kstrtobool reads them)
    cmdline:NAME=-    not given                    cmdline:NAME!=off  given, and not off
    sysctl:a.b=2      that value in /proc/sys      sysctl:a.b>10      a larger number
    cgroup:memory     a controller of cgroup v2    linux>=6.6.0       the kernel's version
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

BUILT = ("y", "m")
Version = tuple[int, ...]
_TERM = re.compile(
    r"(?:(?P<kind>cmdline|sysctl|cgroup):)?(?P<name>[A-Za-z0-9_.]+)(?:(?P<sign>!=|>=|>|=)(?P<value>\S+))?"
)
# lib/kstrtox.c, kstrtobool(); parameters that read their words themselves are asked for by word
_TRUE = ("1", "on", "y", "yes", "t", "true")
_FALSE = ("0", "off", "n", "no", "f", "false")
_LARGEST_RANDOM_BITS = "32"  # of mmap on x86_64, where the configuration doesn't say


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known: a configuration, its kernel's version; None where nobody asked for a command line or a running system."""

    config: Mapping[str, str]
    version: str = ""
    command_line: str | None = None
    sysctls: Mapping[str, str] | None = None
    controllers: frozenset[str] | None = None

    def parameter(self, name: str) -> str | None:
        """The last value given on the command line ("" without one), None where it isn't given; - and _ are the same."""
        found = None
        for word in (self.command_line or "").split():
            given, _, value = word.partition("=")
            if given.replace("-", "_") == name.replace("-", "_"):
                found = value
        return found


@dataclass(frozen=True, slots=True)
class Term:
    """One condition; `kind` is config, cmdline, sysctl, cgroup or version."""

    kind: str
    name: str
    sign: str
    value: str

    @property
    def subject(self) -> str:
        """What it is about, as people write it."""
        return f"CONFIG_{self.name}" if self.kind == "config" else self.name

    @property
    def fix(self) -> str:
        """What to write to have it."""
        if self.kind == "config" and (self.sign, self.value) == ("=", "n"):
            return f"# CONFIG_{self.name} is not set"
        if self.kind == "cmdline" and self.value == "-":
            return f"no {self.name}"
        if self.kind == "cmdline":
            return f"{self.name}={'auto' if self.sign == '!=' else self.value}" if self.sign else self.name
        if self.kind == "sysctl":
            return f"{self.name} = {self.value}" if self.sign == "=" else f"{self.name} above {self.value}"
        if self.kind == "cgroup":
            return f"the {self.name} controller"
        if self.kind == "version":
            return f"Linux {self.value} or later"
        if self.value == "max":
            return f"CONFIG_{self.name}={_LARGEST_RANDOM_BITS}"
        return f"CONFIG_{self.name}={self.value if self.sign else 'y'}"

    def known(self, facts: Facts) -> bool:
        """Whether the facts can answer it."""
        if self.kind == "cmdline":
            return facts.command_line is not None
        if self.kind == "sysctl":
            return facts.sysctls is not None
        return self.kind != "cgroup" or facts.controllers is not None

    def got(self, facts: Facts) -> str:
        """What is there instead, in a word."""
        if self.kind == "cmdline":
            value = facts.parameter(self.name)
            return "not given" if value is None else value or "given"
        if self.kind == "sysctl":
            return (facts.sysctls or {}).get(self.name, "not there")
        if self.kind == "cgroup":
            return "missing"
        return facts.version if self.kind == "version" else facts.config.get(self.name, "unset")

    def holds(self, facts: Facts) -> bool:
        """Whether it is so."""
        if self.kind == "cmdline":
            return self._given(facts.parameter(self.name))
        if self.kind == "cgroup":
            return self.name in (facts.controllers or ())
        if self.kind == "version":
            return version_of(facts.version) >= version_of(self.value)
        values = facts.config if self.kind == "config" else facts.sysctls or {}
        return self._is(values.get(self.name), values)

    def _is(self, value: str | None, values: Mapping[str, str]) -> bool:
        if not self.sign:
            return value in BUILT
        if self.sign in (">", ">="):
            number = int(value) if value and value.isdigit() else -1
            return number > int(self.value) or (self.sign == ">=" and number == int(self.value))
        if self.kind == "config" and self.value == "n":
            return value in (None, "n", '""')
        if self.value == "max":
            return value == values.get(f"{self.name}_MAX", _LARGEST_RANDOM_BITS)
        return value is not None and value.strip('"') == self.value

    def _given(self, value: str | None) -> bool:
        if self.value == "-":
            return value is None
        if value is None:
            return False
        if self.sign == "!=":
            return value not in _FALSE
        if self.value in ("0", "1") and self.name != "vdso32":
            return value.lower() in (_TRUE if self.value == "1" else _FALSE)
        return not self.sign or value == self.value


Alternatives = tuple[tuple[Term, ...], ...]


def parse(text: str) -> Alternatives:
    """Alternatives from their text. ValueError: it is none."""
    return tuple(tuple(_term(word) for word in part.split(" & ")) for part in text.split(" | "))


def _term(word: str) -> Term:
    found = _TERM.fullmatch(word.strip())
    if not found:
        raise ValueError(f"no term of a rule: {word!r}")
    kind = "version" if found["name"] == "linux" else found["kind"] or "config"
    return Term(kind, found["name"], found["sign"] or "", found["value"] or "")


def version_of(text: str) -> Version:
    """6.12.9-rastos → (6, 12, 9); () where it says nothing."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()
