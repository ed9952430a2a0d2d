"""One declared check: what is looked at in the guest and what is expected of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from rastos.errors import ExternalError, UserError

from .driver import Machine
from .guest import Answer

# kind of check: the type of what it names
KINDS: dict[str, type] = {
    "run": str,
    "unit": str,
    "port": int,
    "file": str,
    "journal": str,
    "sysctl": str,
    "kernel": str,
    "reboot": bool,
}
STATES = ("active", "inactive", "failed", "activating", "deactivating", "reloading")
CONFIG = "zcat /proc/config.gz 2>/dev/null || cat /usr/lib/modules/$(uname -r)/config || cat /boot/config-$(uname -r)"


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to be true. `expect` a text (for run, file) or a value, `matches` a regular expression.

    `absent`: it must not be so; `status` is what `run` ends with; `wait`: `run` is tried again until it holds;
    `timeout` in seconds.
    """

    kind: str
    subject: Any
    expect: str | None = None
    matches: str | None = None
    absent: bool = False
    status: int = 0
    wait: bool = False
    timeout: float = 60.0

    @property
    def title(self) -> str:
        """What it is called where nobody named it."""
        if self.kind == "reboot":
            return "reboots"
        expected = "" if self.expect is None else f" = {self.expect}"
        return f"{self.kind} {str(self.subject)[:60]}{' absent' if self.absent else expected[:40]}"

    def check(self) -> None:
        """UserError (on the key) where it makes no sense."""
        if self.timeout <= 0:
            raise UserError(f"timeout is {self.timeout:g}", on="timeout", next_step="use seconds above 0")
        if self.kind == "port" and not 0 < self.subject < 65536:
            raise UserError(f"port is {self.subject}", on="port", next_step="use 1 to 65535")
        if self.kind == "unit" and self.expect is not None and self.expect not in STATES:
            raise UserError(
                f"'{self.expect}' is no state of a unit", on="expect", next_step=f"use one of: {', '.join(STATES)}"
            )
        if self.kind == "file" and not self.subject.startswith("/"):
            raise UserError(f"file is '{self.subject}'", on="file", next_step="write its absolute path")
        if self.kind == "sysctl" and self.expect is None:
            raise UserError("sysctl without a value", on="sysctl", next_step="write expect = …")
        if self.kind == "run" and self.absent and self.expect is None and self.matches is None:
            raise UserError("absent without a text", on="absent", next_step="write expect = …, or status = 1")
        if self.matches is not None:
            if self.kind not in ("run", "file"):
                raise UserError("matches is for run and file", on="matches", next_step="write expect = …")
            try:
                re.compile(self.matches)
            except re.error as error:
                raise UserError(
                    f"matches is no regular expression: {error}", on="matches", next_step="correct it"
                ) from error

    def text_holds(self, text: str) -> bool:
        """Whether `expect` and `matches` hold for a text."""
        return (self.expect is None or self.expect in text) and (
            self.matches is None or re.search(self.matches, text, re.MULTILINE) is not None
        )

    @property
    def wanted(self) -> str:
        """What text was expected, for a message."""
        return " and ".join(
            word for word in (self.expect and f"'{self.expect}'", self.matches and f"/{self.matches}/") if word
        )


def look_for(condition: Condition, machine: Machine) -> str:
    """What was seen. ExternalError: it does not hold."""
    looks = {"run": _run, "unit": _unit, "port": _port, "file": _file, "journal": _journal}
    looks |= {"sysctl": _sysctl, "kernel": _kernel, "reboot": _reboot}
    return looks[condition.kind](condition, machine)


def _run(condition: Condition, machine: Machine) -> str:
    command = str(condition.subject)

    def holds(answer: Answer) -> bool:
        return answer.status == condition.status and condition.text_holds(answer.stdout) != condition.absent

    if condition.wait:
        return _last(machine.wait_command(f"it holds: {command[:80]}", command, condition.timeout, holds))
    answer = machine.execute(command, condition.timeout)
    if answer.status != condition.status:
        what = f"it ended with status {answer.status}" + (f", expected {condition.status}" if condition.status else "")
        raise ExternalError(what, on=command, tail=answer.text[-4000:], status=answer.status)
    if not holds(answer):
        word = "it says" if condition.absent else "it does not say"
        raise ExternalError(f"{word} {condition.wanted}", on=command, tail=answer.text[-4000:])
    return _last(answer.stdout) or f"status {answer.status}"


def _unit(condition: Condition, machine: Machine) -> str:
    state = condition.expect or "active"
    if condition.absent:
        found = machine.execute(
            f"systemctl show -p ActiveState --value {shlex.quote(condition.subject)}"
        ).stdout.strip()
        if found == state:
            raise ExternalError(f"{condition.subject} is {state}", on=machine.name)
        return found
    machine.wait_for_unit(condition.subject, condition.timeout, state)
    return state


def _port(condition: Condition, machine: Machine) -> str:
    if condition.absent:
        if machine.listens(condition.subject):
            raise ExternalError(f"something listens on port {condition.subject}", on=machine.name)
        return "closed"
    machine.wait_for_port(condition.subject, condition.timeout)
    return "listening"


def _file(condition: Condition, machine: Machine) -> str:
    path = str(condition.subject)
    if condition.absent and condition.expect is None and condition.matches is None:
        if machine.execute(f"test -e {shlex.quote(path)}").status == 0:
            raise ExternalError("the file is there", on=path)
        return "absent"
    machine.wait_for_file(path, condition.timeout)
    if condition.expect is None and condition.matches is None:
        return "is there"
    text = machine.succeed(f"cat {shlex.quote(path)}")
    if condition.text_holds(text) == condition.absent:
        word = "holds" if condition.absent else "does not hold"
        raise ExternalError(f"the file {word} {condition.wanted}", on=path, tail=text[-4000:])
    return f"{word_of(condition)} {condition.wanted}"


def word_of(condition: Condition) -> str:
    """For a text that is as it should be."""
    return "has no" if condition.absent else "holds"


def _journal(condition: Condition, machine: Machine) -> str:
    text = shlex.quote(str(condition.subject))
    # the agent notes there what it is asked for, this search too
    entries = "journalctl -b --no-pager -o short-monotonic | grep -v 'qemu-ga.*: info: guest-'"
    command = f"{entries} | grep -F -m 3 -- {text}"
    if condition.absent:
        answer = machine.execute(command, condition.timeout)
        if answer.status == 0:
            raise ExternalError("the journal has it", on=condition.subject, tail=answer.stdout)
        return "absent"
    return _last(machine.wait_command(f"the journal has '{condition.subject}'", command, condition.timeout))


def _sysctl(condition: Condition, machine: Machine) -> str:
    place = "/proc/sys/" + str(condition.subject).replace(".", "/")
    found = " ".join(machine.succeed(f"cat {shlex.quote(place)}").split())
    if (found == " ".join((condition.expect or "").split())) == condition.absent:
        raise ExternalError(f"{condition.subject} is {found}, expected {word_not(condition)}{condition.expect}")
    return found


def word_not(condition: Condition) -> str:
    """Before a value that must not be."""
    return "not " if condition.absent else ""


def _kernel(condition: Condition, machine: Machine) -> str:
    name = str(condition.subject)
    name = name if name.startswith("CONFIG_") else f"CONFIG_{name}"
    lines = machine.succeed(CONFIG).splitlines()
    values = dict(line.split("=", 1) for line in lines if line.startswith("CONFIG_") and "=" in line)
    found = values.get(name, "n").strip('"')
    if (found == (condition.expect or "y")) == condition.absent:
        raise ExternalError(
            f"{name} is {found}, expected {word_not(condition)}{condition.expect or 'y'}", on=machine.name
        )
    return found


def _reboot(condition: Condition, machine: Machine) -> str:
    machine.reboot(max(condition.timeout, 60.0))
    machine.wait_running(condition.timeout)
    return "is back"


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:200] if lines else ""
