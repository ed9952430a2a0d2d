"""A machine that runs, and the words for what is done with it: waiting, commands, files, power. Every wait has a deadline."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rastos.errors import ExternalError, RastosError, UserError

from .console import Console
from .ending import Ending, GuestCrashed, Process
from .guest import Agent, Answer
from .monitor import Monitor
from .qemu import MachineSpec
from .secureboot import refusal

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
SOCKETS = "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null"
LISTENING = "0A"  # proc(5), /proc/net/tcp: TCP_LISTEN
SMALL_WAIT = 20.0  # seconds one look at a condition may take
FATAL = ("GUEST_PANICKED", "WATCHDOG")


class Machine:
    """A running machine. `evidence` is the folder where a wait that ran out of time leaves a screenshot."""

    def __init__(
        self,
        spec: MachineSpec,
        process: Any,
        *,
        launch: Callable[[], Process] | None = None,
        control: Path | None = None,
    ) -> None:
        self.spec = spec
        self.process = process
        self.evidence: Path | None = None
        self._launch = launch
        self._control = control or spec.monitor
        self.agent = Agent(spec.agent)
        self._connect()

    def _connect(self, said_before: int = 0) -> None:
        process: Process = self.process
        self.console = Console(self.spec.console_log, said_before)
        try:
            self.monitor = Monitor(self._control, alive=lambda: process.poll() is None)
        except ExternalError as error:
            log = self.spec.runtime / "qemu.log"
            text = log.read_text(errors="replace").strip()[-2000:] if log.exists() else ""
            raise ExternalError("QEMU did not start", on=self.spec.disk or "", tail=text or str(error)) from error
        self.started = time.monotonic()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.spec.fitted.name or "machine"

    # waiting

    def _wait(
        self, what: str, timeout: float, ready: Callable[[], bool], saw: Callable[[], str] = str, pause: float = 0.1
    ) -> None:
        """Wait for a condition; ends at once when QEMU or the guest dies, and says what was seen when time is up."""
        deadline = time.monotonic() + timeout
        while not ready():
            self._still_there(what)
            if time.monotonic() > deadline:
                seen = saw() or "nothing"
                shot = self._shot_of_hang()
                raise ExternalError(
                    f"{what}: not within {timeout:g} s",
                    next_step=f"last seen: {seen.splitlines()[-1][:160]}" + (f"; screenshot: {shot}" if shot else ""),
                    tail=self.console.tail() if saw == self.console.tail else f"{seen}\n{self.console.tail()}",
                )
            time.sleep(pause)

    def _shot_of_hang(self) -> Path | None:
        if self.evidence is None or not self.spec.fitted.screen:
            return None
        try:
            return self.screenshot(self.evidence / f"{self.name}.png")
        except (RastosError, OSError):
            return None  # it hangs: the wait's own failure is what counts

    def _still_there(self, what: str) -> None:
        crash = self.console.crash()
        event = self._fatal()
        if crash or event:
            time.sleep(0.3)  # the rest of its words
            name = event[0] if event else "crash"
            text = self.console.crash() or self.console.tail()
            raise GuestCrashed(
                f"the guest crashed ({name}) while waiting: {what}", next_step="read its words below", tail=text
            )
        if self.spec.secure and (words := refusal(self.console.text())):
            raise ExternalError(
                f"the firmware refused what the disk starts, while waiting: {what}",
                next_step="sign it: `rastos snapshot deploy` with --secure-boot-key and --secure-boot-cert",
                tail=words,
            )
        if self.process.poll() is not None:
            ended = "the guest powered off" if self.ending is Ending.POWER_OFF else "QEMU ended"
            raise ExternalError(
                f"{ended} (status {self.process.returncode}) while waiting: {what}",
                next_step="read the console below",
                status=self.process.returncode,
                tail=(self.spec.runtime / "qemu.log").read_text(errors="replace")[-2000:] or self.console.tail(),
            )

    def _fatal(self) -> tuple[str, dict[str, Any]] | None:
        """The event with which QEMU stopped the guest: a panic, or a watchdog that does not reset it."""
        return self.monitor.seen(*(FATAL[:1] if self.spec.watchdog == "reset" else FATAL))

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""
        fatal = self._fatal()
        if fatal:
            return Ending.PANIC if fatal[0] == "GUEST_PANICKED" else Ending.WATCHDOG
        if self.process.poll() is None:
            return None
        if self.process.returncode != 0:
            return Ending.KILLED
        event = self.monitor.seen("SHUTDOWN")
        return Ending.POWER_OFF if event is None or event[1].get("guest") else Ending.QUIT

    def wait_ending(self, timeout: float = 180.0) -> Ending:
        """Wait until the machine's run ends, and say how; a reset of the guest from now on is one, too."""
        before = len(self.monitor.events)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.monitor.seen("RESET", after=before):
                return Ending.RESET
            if self.ending:
                return self.ending
            time.sleep(0.05)
        raise ExternalError(f"the machine did not end within {timeout:g} s", tail=self.console.tail())

    def wait_agent(self, timeout: float = 180.0) -> None:
        """Wait until the guest agent answers."""
        self._wait("the guest agent answers", timeout, self.agent.ping, self.console.tail)

    def wait_console(self, text: str, timeout: float = 60.0, pause: float = 0.1) -> None:
        """Wait until the console said something; looks every `pause` seconds."""
        self._wait(f"the console says '{text}'", timeout, lambda: text in self.console.text(), self.console.tail, pause)

    def wait_command(
        self, what: str, command: str, timeout: float, holds: Callable[[Answer], bool] | None = None
    ) -> str:
        """Run a command again and again until it ends well (or `holds`); its output then."""
        last = Answer(-1, "", "")

        def look() -> bool:
            nonlocal last
            last = self.execute(command, max(1.0, min(SMALL_WAIT, timeout)))
            return holds(last) if holds else last.status == 0

        self._wait(what, timeout, look, lambda: last.text, 0.3)
        return last.stdout

    def wait_until_succeeds(self, command: str, timeout: float = 60.0) -> str:
        """Run a shell command until it succeeds; its output."""
        return self.wait_command(f"a command succeeds: {command[:80]}", command, timeout)

    def wait_until_fails(self, command: str, timeout: float = 60.0) -> str:
        """Run a shell command until it fails; its output."""
        what = f"a command fails: {command[:80]}"
        return self.wait_command(what, command, timeout, lambda answer: answer.status != 0)

    def wait_for_unit(self, unit: str, timeout: float = 60.0, state: str = "active") -> None:
        """Wait until a unit is in a state (systemctl(1)); one that failed ends the wait with its last words."""

        def holds(answer: Answer) -> bool:
            values = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
            if values.get("ActiveState") == "failed" != state:
                words = self.execute(f"systemctl status --no-pager --full -n 15 {shlex.quote(unit)}").text
                raise ExternalError(f"{unit} failed ({values.get('Result', '')})", on=self.name, tail=words)
            return values.get("ActiveState") == state

        command = f"systemctl show -p ActiveState,SubState,Result,LoadState {shlex.quote(unit)}"
        self.wait_command(f"{unit} is {state}", command, timeout, holds)

    def wait_for_port(self, port: int, timeout: float = 60.0) -> None:
        """Wait until something in the guest listens on a TCP port; looks into the kernel's table, connects to nobody."""
        self.wait_command(
            f"something listens on port {port}", SOCKETS, timeout, lambda said: _listens(said.stdout, port)
        )

    def listens(self, port: int) -> bool:
        """Whether something in the guest listens on a TCP port now."""
        return _listens(self.execute(SOCKETS).stdout, port)

    def wait_for_file(self, path: str, timeout: float = 60.0) -> None:
        """Wait until a path is there."""
        self.wait_command(f"{path} is there", f"test -e {shlex.quote(path)}", timeout)

    def wait_running(self, timeout: float = 180.0) -> str:
        """Wait until systemd finished starting; its word for it: running, degraded, …"""
        return self.execute("systemctl is-system-running --wait", timeout).stdout.strip()

    # doing

    def execute(self, command: str, timeout: float = 60.0) -> Answer:
        """Run a shell command in the guest."""
        before = len(self.monitor.events)
        try:
            return self.agent.execute(["/bin/sh", "-c", command], timeout)
        except ExternalError as error:
            time.sleep(0.2)  # the socket ends before the process
            self._still_there(f"a command ends: {command[:80]}")  # why the agent is silent, if that is known
            if self.monitor.seen("RESET", after=before):
                raise ExternalError(
                    "the guest was reset while a command ran", on=command[:200], tail=self.console.tail()
                ) from error
            raise

    def succeed(self, command: str, timeout: float = 60.0) -> str:
        """Run a shell command that must succeed; its output."""
        answer = self.execute(command, timeout)
        if answer.status != 0:
            raise ExternalError(
                f"in the guest, a command ended with status {answer.status}", on=command, tail=answer.text
            )
        return answer.stdout

    def fail(self, command: str, timeout: float = 60.0) -> str:
        """Run a shell command that must fail; its output, both streams."""
        return self.fails(command, timeout).text

    def fails(self, command: str, timeout: float = 60.0) -> Answer:
        """Run a shell command that must fail."""
        answer = self.execute(command, timeout)
        if answer.status == 0:
            raise ExternalError("in the guest, a command succeeded that must fail", on=command, tail=answer.text)
        return answer

    def put(self, path: str, data: bytes) -> None:
        """Write a file in the guest."""
        self.agent.put(path, data)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or a folder with all files below it, into the guest."""
        if not source.exists():
            raise UserError("there is no such file to copy into the guest", on=source, next_step="check the name")
        files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
        places = {path: target if path == source else f"{target}/{path.relative_to(source)}" for path in files}
        folders = {os.path.dirname(place) or "/" for place in places.values()} | (
            set() if source.is_file() else {target}
        )
        self.succeed("mkdir -p " + " ".join(shlex.quote(folder) for folder in sorted(folders)))
        for path, place in places.items():
            self.put(place, path.read_bytes())
            if os.access(path, os.X_OK):
                self.succeed(f"chmod +x {shlex.quote(place)}")

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file out of the guest."""
        data = self.agent.get(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def mount_shares(self) -> tuple[str, ...]:
        """Mount the folders shared with it at /run/share/TAG; where they are. ExternalError: its kernel has no 9p."""
        places = []
        for share in self.spec.fitted.shares:
            place = shlex.quote(f"/run/share/{share.tag}")
            options = "trans=virtio,version=9p2000.L,msize=262144" + ("" if share.writable else ",ro")
            done = self.execute(f"mkdir -p {place} && mount -t 9p -o {options} {shlex.quote(share.tag)} {place}")
            if done.status != 0:
                step = "boot a kernel with 9p over virtio, such as profile container's"
                raise ExternalError("the guest can't mount a share", on=share.path, next_step=step, tail=done.text)
            places.append(f"/run/share/{share.tag}")
        return tuple(places)

    def journal(self, unit: str = "", lines: int = 2000) -> str:
        """The journal of this boot, or one unit's part: the last `lines`."""
        chosen = f" -u {shlex.quote(unit)}" if unit else ""
        text = self.execute(f"journalctl -b --no-pager -o short-monotonic -n {lines}{chosen}").stdout
        # what we ask for is noted there, too, word for word
        return "".join(row for row in text.splitlines(True) if "qemu-ga[" not in row or ": info: guest-" not in row)

    def screenshot(self, path: Path) -> Path:
        """What its screen shows, as PNG; the path. UserError: it has no screen."""
        if not self.spec.fitted.screen:
            raise UserError(f"{self.name} has no screen", next_step="start it with one (Hardware.screen)")
        path.parent.mkdir(parents=True, exist_ok=True)
        self.monitor.execute("screendump", 20.0, filename=str(path.absolute()), format="png")
        return path

    # power

    def reboot(self, timeout: float = 180.0) -> None:
        """Reboot cleanly and wait until the agent answers in the new boot."""
        before = self.succeed(BOOT_ID)
        try:
            self.agent.request("guest-shutdown", timeout=3.0, mode="reboot")
        except ExternalError:
            pass  # this command answers only when it fails
        self.agent.close()

        def again() -> bool:
            if not self.agent.ping():
                return False
            try:
                return self.execute(BOOT_ID, 10).stdout != before
            except ExternalError:
                self.agent.close()
                return False

        self._wait("the guest is back after its reboot", timeout, again, self.console.tail)

    def gone(self) -> bool:
        """Whether nothing more will come: QEMU ended, or stopped at a panic."""
        return self.process.poll() is not None or self._fatal() is not None

    def crash(self) -> None:
        """Pull the plug."""
        self.agent.close()
        self.monitor.execute("quit")
        self.process.wait(10)

    def start(self) -> None:
        """Start it again after its end, on the same disks; `wait_agent` waits until it is up. UserError: it runs."""
        if self.process.poll() is None or self._launch is None:
            raise UserError(f"{self.name} still runs", next_step="end it first: crash() or power_off()")
        self.close()
        said = self.spec.console_log.stat().st_size if self.spec.console_log.exists() else 0
        self.process = self._launch()
        self._connect(said)

    def power_off(self, timeout: float = 60.0) -> None:
        """Shut down cleanly, by the agent or else by the power button, and wait for QEMU's end.

        Raises ExternalError when it doesn't come, or comes otherwise.
        """
        try:
            if self.agent.line is None and not self.agent.ping():
                self.monitor.execute("system_powerdown")  # no agent, or not yet
            else:
                self.agent.request("guest-shutdown", timeout=3.0, mode="powerdown")
        except ExternalError:
            pass  # this command answers only when it fails
        self.agent.close()
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise ExternalError(
                    f"the guest did not power off in {timeout:g} s",
                    on=self.spec.fitted.name,
                    tail=self.console.tail(),
                )
            if self._fatal():
                self._still_there("the guest powers off")
            time.sleep(0.05)
        if self.process.returncode != 0:
            raise ExternalError(
                f"QEMU ended with status {self.process.returncode} instead of a power-off",
                status=self.process.returncode,
                tail=self.console.tail(),
            )

    def keep_evidence(self, folder: Path) -> tuple[Path, ...]:
        """Leave console log, screenshot and journal in a folder, as far as they can be had; what was written."""
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        if self.spec.console_log.exists():
            (folder / "console.log").write_bytes(self.spec.console_log.read_bytes())
            written.append(folder / "console.log")
        try:
            if self.process.poll() is None and self.spec.fitted.screen:
                written.append(self.screenshot(folder / "screenshot.png"))
            if not self.gone() and self.agent.ping():
                (folder / "journal.txt").write_text(self.journal())
                written.append(folder / "journal.txt")
        except (RastosError, OSError):
            pass  # a machine that fails may fail to tell, too
        return tuple(written)

    def close(self) -> None:
        """End whatever is still there."""
        self.agent.close()
        self.monitor.close()


def _listens(table: str, port: int) -> bool:
    rows = [line.split() for line in table.splitlines()]
    return any(len(row) > 3 and row[1].endswith(f":{port:04X}") and row[3] == LISTENING for row in rows)
