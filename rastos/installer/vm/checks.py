"""Checking an image: boot a throw-away overlay, look at what has to be true, power off."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError, RastosError
from rastos.host import run, working_directory
from rastos.progress import Progress, Step

from .machine import GuestCrashed, Machine, booted
from .purposes import PURPOSES, SECONDS, prove

WAYS = ("uefi", "direct")
BOOT_SECONDS = 240.0
IDENTITY = "cat /etc/machine-id; cat /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null || true"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: by which way booted, whether it holds, what was seen; of several machines, which."""

    name: str
    way: str
    passed: bool
    detail: str
    seconds: float
    machine: str = ""


@dataclass(frozen=True, slots=True)
class TestReport:
    """All checks of an image, or of a file of checks; `boots` are seconds from power-on to a running system, by way or machine.

    `logs` are files kept because a check failed, `evidence` the folder they are in where there is one.
    """

    __test__ = False  # not a test class, whatever its name says to pytest

    image: Path
    checks: tuple[Check, ...]
    boots: tuple[tuple[str, float], ...]
    logs: tuple[Path, ...]
    evidence: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether there were checks and all hold."""
        return bool(self.checks) and all(check.passed for check in self.checks)


class _Checks:
    def __init__(self, machine: Machine, way: str, step: Step) -> None:
        self.machine = machine
        self.way = way
        self.step = step
        self.done: list[Check] = []
        self.dead = False

    def __call__(self, name: str, look: Callable[[], str]) -> bool:
        """`look` returns what was seen, or raises ExternalError. Nothing is looked at in a guest that crashed."""
        if self.dead:
            return False
        started = time.monotonic()
        try:
            detail, passed = look(), True
        except RastosError as error:
            detail, passed = f"{error}\n{error.detail}".strip(), False
            self.dead = isinstance(error, GuestCrashed) or self.machine.process.poll() is not None
        self.done.append(Check(name, self.way, passed, detail, round(time.monotonic() - started, 2)))
        self.step.advance(len(self.done), name)
        return passed

    @property
    def booted(self) -> bool:
        """Whether the guest came up; one that did not can't power off either."""
        return bool(self.done) and self.done[0].passed


def test_image(
    image: Path,
    *,
    cache: Path,
    progress: Progress,
    ways: Sequence[str] = WAYS,
    expected_release: str | None = None,
    expected_deployment: int | None = None,
    commands: Sequence[str] = (),
    purposes: Sequence[str] = (),
    memory: int = 1024,
    timeout: float = BOOT_SECONDS,
    secure_boot_cert: Path | None = None,
    reboot: bool = True,
) -> TestReport:
    """Boot an image by each way and check it. The image isn't changed; console logs are kept where a check failed.

    `expected_release` is what `uname -r` has to say, by default what the deployment records; `expected_deployment` the one
    that has to run, where a fallback to another would not do; `timeout` (seconds) is for
    one boot, for its services, and for each of `commands`, which have to end with status 0 in the guest; `purposes` are
    names of PURPOSES, whose checks are held in the last boot and may take as long, and five minutes at least; that boot is
    followed by a second one, unless `reboot` is False. With `secure_boot_cert` the boot by UEFI is one with Secure Boot,
    and only what its key signed starts.
    """
    checks: list[Check] = []
    boots: list[tuple[str, float]] = []
    logs: list[Path] = []
    for way in ways:
        log = cache / "vm" / f"{image.stem}-{way}.log"
        with progress.step(f"Boot by {way}") as step, working_directory(cache / "vm", "key") as place:
            key = place / "key"
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], what="make a throw-away SSH key")
            public = key.with_suffix(".pub").read_text().strip()
            found: _Checks | None = None
            try:
                cert = secure_boot_cert if way == "uefi" else None
                with booted(
                    image, cache=cache, way=way, memory=memory, ssh_key=public, keep_log=log, secure_boot_cert=cert
                ) as machine:
                    found = _Checks(machine, way, step)
                    if found("boots", lambda m=machine: _boot(m, timeout)):  # type: ignore[misc]
                        found("system is running, no failed units", lambda m=machine: _running(m, timeout))  # type: ignore[misc]
                        boots.append((way, round(time.monotonic() - machine.started, 1)))
                        last = way == ways[-1]
                        if cert is not None:
                            found("Secure Boot is on", lambda m=machine: _secure(m))  # type: ignore[misc]
                        _look(found, machine, key, expected_release, expected_deployment, commands, timeout)
                        _prove(found, machine, purposes if last else (), timeout)
                        if last and reboot:
                            found("/etc and /var keep a file over a reboot", lambda m=machine: _reboot(m, timeout))  # type: ignore[misc]
                    if found.booted:
                        found("powers off cleanly", lambda m=machine: _power_off(m, timeout))  # type: ignore[misc]
            finally:
                checks += found.done if found else []
            failed = sum(not check.passed for check in found.done)
            step.outcome = f"{len(found.done)} checks" + (f", {failed} failed" if failed else " hold")
            if failed:
                logs.append(log)
            else:
                log.unlink(missing_ok=True)
    return TestReport(image, tuple(checks), tuple(boots), tuple(logs))


def _boot(machine: Machine, timeout: float) -> str:
    machine.wait_agent(timeout)
    return f"the agent answered after {time.monotonic() - machine.started:.1f} s"


def _look(
    check: _Checks,
    machine: Machine,
    key: Path,
    release: str | None,
    deployment: int | None,
    commands: Sequence[str],
    timeout: float,
) -> None:
    check("kernel is the one built", lambda: _kernel(machine, release))
    check("deployment is known", lambda: _deployment(machine, deployment))
    check("/usr refuses writes", lambda: _read_only(machine))
    if machine.execute("command -v sshd || test -x /usr/sbin/sshd").status == 0:  # minimal images have none
        check("SSH host keys exist", lambda: machine.succeed("ls /etc/ssh/ssh_host_*_key | wc -l").strip() + " keys")
        check("SSH login by key works", lambda: _ssh(machine, key))
    for command in commands:
        check(f"runs: {command[:60]}", lambda command=command: machine.succeed(command, timeout).strip()[-200:])  # type: ignore[misc]


def _prove(check: _Checks, machine: Machine, purposes: Sequence[str], timeout: float) -> None:
    seconds = max(timeout, SECONDS)
    for purpose in purposes:
        for item in PURPOSES[purpose]:
            check(item.name, lambda purpose=purpose, item=item: prove(machine, purpose, item, seconds))  # type: ignore[misc]


def _running(machine: Machine, timeout: float) -> str:
    state = machine.execute("systemctl is-system-running --wait", timeout).stdout.strip()
    failed = machine.execute("systemctl list-units --failed --plain --no-legend --no-pager").stdout.split("\n")
    units = [line.split()[0] for line in failed if line.strip()]
    if state != "running" or units:
        words = [machine.execute(f"systemctl status --no-pager -n 5 {unit}").stdout for unit in units[:5]]
        raise ExternalError(
            f"the system is {state or 'unknown'}; failed: {', '.join(units) or 'none'}", tail="\n".join(words)
        )
    # systemd drops a job to get out of a cycle, /tmp perhaps, and still says that it runs (systemd.unit(5))
    cycles = machine.execute("journalctl -b -o cat -t systemd | grep 'ordering cycle'").stdout.strip()
    if cycles:
        raise ExternalError("units wait for one another in a circle, and some were left out", tail=cycles)
    return "running, 0 failed"


def _kernel(machine: Machine, release: str | None) -> str:
    found = machine.succeed("uname -r").strip()
    recorded = json.loads(machine.succeed("cat /etc/rastos/deployment.json"))["kernel"]
    if found != (release or recorded):
        raise ExternalError(f"it runs {found}, expected {release or recorded}")
    machine.succeed(f"test -f /usr/lib/modules/{found}/vmlinuz")
    return found


def _deployment(machine: Machine, expected: int | None) -> str:
    known = json.loads(machine.succeed("cat /etc/rastos/deployment.json"))
    if expected not in (None, known["deployment"]):
        raise ExternalError(f"deployment {known['deployment']} runs, not {expected}: the boot loader fell back to it")
    cmdline = machine.succeed("cat /proc/cmdline")
    for word in (f"rastos.deployment={known['deployment']}", f"rastos.snapshot={known['snapshot']}"):
        if word not in cmdline.split():
            raise ExternalError(f"the command line lacks {word}", tail=cmdline)
    return f"deployment {known['deployment']}, snapshot {known['snapshot']}: {known['description']}"


def _read_only(machine: Machine) -> str:
    answer = machine.fails("LC_ALL=C touch /usr/rastos-test")
    if "Read-only file system" not in answer.text:
        raise ExternalError("the refusal is another one than EROFS", tail=answer.text)
    machine.fails("mount -o remount,rw / && touch /usr/rastos-test")
    return "EROFS, even after a remount"


def _ssh(machine: Machine, key: Path) -> str:
    options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={key}.hosts", "BatchMode=yes", "ConnectTimeout=20"]
    argv: list[str | Path] = ["ssh", "-i", key, "-p", str(machine.spec.ssh_port)]
    for option in options:
        argv += ["-o", option]
    done = run([*argv, "root@127.0.0.1", "id -un"], timeout=90, what="log in by SSH")
    return f"logged in as {done.stdout.strip()}"


def _secure(machine: Machine) -> str:
    """efivars: four bytes of attributes, then 1 where signatures are enforced (UEFI 2.10, 3.3, SecureBoot)."""
    found = machine.succeed("od -An -tx1 -j4 /sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
    if found.strip() != "01":
        raise ExternalError(f"the firmware says SecureBoot = {found.strip()}")
    return "the firmware says so"


def _reboot(machine: Machine, timeout: float) -> str:
    machine.succeed("echo kept > /etc/rastos-test && echo kept > /var/lib/rastos-test && sync")
    identity = machine.succeed(IDENTITY)
    started = time.monotonic()
    machine.reboot(timeout)
    machine.succeed("grep -qx kept /etc/rastos-test && grep -qx kept /var/lib/rastos-test")
    if machine.succeed(IDENTITY) != identity:
        raise ExternalError("machine-id or host key changed over the reboot")
    return f"kept; back after {time.monotonic() - started:.1f} s"


def _power_off(machine: Machine, timeout: float) -> str:
    started = time.monotonic()
    machine.power_off(max(60.0, timeout / 3))
    return f"{time.monotonic() - started:.1f} s"
