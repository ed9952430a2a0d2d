"""A machine and the words for what is done with it; as a context manager it always ends, and leaves nothing."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rastos.errors import ExternalError
from rastos.host import Popen, run, spawn, working_directory

from .console import Console
from .guest import Agent, Answer
from .monitor import Monitor
from .qemu import MachineSpec, argv, find_firmware

# an emulated timer comes late on a busy host, and the kernel panics: "IO-APIC + timer doesn't work"
EMULATED = "no_timer_check"


class GuestCrashed(ExternalError):
    """The guest's kernel or init gave up; the tail holds its words."""


class Machine:
    """A running machine."""

    def __init__(self, spec: MachineSpec, process: Popen[bytes]) -> None:
        self.spec = spec
        self.process = process
        self.console = Console(spec.console_log)
        self.agent = Agent(spec.agent)
        self.monitor = Monitor(spec.monitor, alive=lambda: process.poll() is None)
        self.started = time.monotonic()

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
                raise ExternalError(
                    f"{what}: not within {timeout:g} s",
                    next_step=f"last seen: {seen.splitlines()[-1][:160]}",
                    tail=self.console.tail(),
                )
            time.sleep(pause)

    def _still_there(self, what: str) -> None:
        crash = self.console.crash()
        event = self._stopped()
        if crash or event:
            time.sleep(0.3)  # the rest of its words
            name = event[0] if event else "crash"
            text = self.console.crash() or self.console.tail()
            raise GuestCrashed(
                f"the guest crashed ({name}) while waiting: {what}", next_step="read its words below", tail=text
            )
        if self.process.poll() is not None:
            raise ExternalError(
                f"QEMU ended (status {self.process.returncode}) while waiting: {what}",
                next_step="read the console below",
                status=self.process.returncode,
                tail=(self.spec.runtime / "qemu.log").read_text(errors="replace")[-2000:] or self.console.tail(),
            )

    def wait_agent(self, timeout: float = 180.0) -> None:
        """Wait until the guest agent answers."""
        self._wait("the guest agent answers", timeout, self.agent.ping, self.console.tail)

    def wait_console(self, text: str, timeout: float = 60.0, pause: float = 0.1) -> None:
        """Wait until the console said something; looks every `pause` seconds."""
        self._wait(f"the console says '{text}'", timeout, lambda: text in self.console.text(), self.console.tail, pause)

    # doing

    def execute(self, command: str, timeout: float = 60.0) -> Answer:
        """Run a shell command in the guest."""
        try:
            return self.agent.execute(["/bin/sh", "-c", command], timeout)
        except ExternalError:
            time.sleep(0.2)  # the socket ends before the process
            self._still_there(f"a command ends: {command[:80]}")  # why the agent is silent, if that is known
            raise

    def succeed(self, command: str, timeout: float = 60.0) -> str:
        """Run a shell command that must succeed; its output."""
        answer = self.execute(command, timeout)
        if answer.status != 0:
            raise ExternalError(
                f"in the guest, a command ended with status {answer.status}", on=command, tail=answer.text
            )
        return answer.stdout

    def put(self, path: str, data: bytes) -> None:
        """Write a file in the guest."""
        self.agent.put(path, data)

    def fails(self, command: str, timeout: float = 60.0) -> Answer:
        """Run a shell command that must fail."""
        answer = self.execute(command, timeout)
        if answer.status == 0:
            raise ExternalError("in the guest, a command succeeded that must fail", on=command, tail=answer.text)
        return answer

    def reboot(self, timeout: float = 180.0) -> None:
        """Reboot cleanly and wait until the agent answers in the new boot."""
        before = self.succeed("cat /proc/sys/kernel/random/boot_id")
        try:
            self.agent.request("guest-shutdown", timeout=3.0, mode="reboot")
        except ExternalError:
            pass  # this command answers only when it fails
        self.agent.close()

        def again() -> bool:
            if not self.agent.ping():
                return False
            try:
                return self.execute("cat /proc/sys/kernel/random/boot_id", 10).stdout != before
            except ExternalError:
                self.agent.close()
                return False

        self._wait("the guest is back after its reboot", timeout, again, self.console.tail)

    def gone(self) -> bool:
        """Whether nothing more will come: QEMU ended, or stopped at a panic."""
        return self.process.poll() is not None or self._stopped() is not None

    def _stopped(self) -> tuple[str, dict[str, Any]] | None:
        """The event with which QEMU stopped the guest: a panic, or a watchdog that does not reset it."""
        names = ("GUEST_PANICKED",) if self.spec.watchdog == "reset" else ("GUEST_PANICKED", "WATCHDOG")
        return self.monitor.seen(*names)

    def crash(self) -> None:
        """Pull the plug."""
        self.monitor.execute("quit")
        self.process.wait(10)

    def power_off(self, timeout: float = 60.0) -> None:
        """Shut down cleanly and wait for QEMU's end. Raises ExternalError when it doesn't come, or comes otherwise."""
        try:
            self.agent.request("guest-shutdown", timeout=3.0, mode="powerdown")
        except ExternalError:
            pass
        self.agent.close()
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise ExternalError(f"the guest did not power off in {timeout:g} s", tail=self.console.tail())
            if self._stopped():
                self._still_there("the guest powers off")
            time.sleep(0.05)
        if self.process.returncode != 0:
            raise ExternalError(
                f"QEMU ended with status {self.process.returncode} instead of a power-off",
                status=self.process.returncode,
                tail=self.console.tail(),
            )

    def close(self) -> None:
        """End whatever is still there."""
        self.agent.close()
        self.monitor.close()


@contextmanager
def started(spec: MachineSpec) -> Iterator[Machine]:
    """Start QEMU; at the block's end it is gone, cleanly if it was powered off before."""
    log = spec.runtime / "qemu.log"
    with log.open("wb") as words, spawn(argv(spec), stdout=words, stderr=words, death_signal=9) as process:
        try:
            machine = Machine(spec, process)
        except ExternalError as error:
            text = log.read_text(errors="replace").strip()
            raise ExternalError("QEMU did not start", on=spec.disk or "", tail=text or str(error)) from error
        try:
            yield machine
        finally:
            machine.close()


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def direct_files(image: Path, folder: Path) -> tuple[Path, Path | None, str]:
    """Take the kernel of the next deployment out of an image: kernel, initial RAM disk if it has one, command line."""
    from rastos.kernel import read_uki
    from rastos.snapshot import Store, boot_files

    from ..open import open_image

    with open_image(image, writable=False, purpose="read its boot entry") as opened:
        files = boot_files(Store.open(opened.top, opened.esp, writable=False))
        kernel = opened.esp.read(files.kernel_esp_path)
        initrd = opened.esp.read(files.initrd_esp_path) if files.initrd_esp_path else None
    if files.unified:
        parts = read_uki(kernel, files.kernel_esp_path)
        kernel, initrd = parts[".linux"], parts.get(".initrd")
    (folder / "vmlinuz").write_bytes(kernel)
    if initrd is None:
        return folder / "vmlinuz", None, files.options
    (folder / "initrd").write_bytes(initrd)
    return folder / "vmlinuz", folder / "initrd", files.options


@contextmanager
def booted(
    image: Path,
    *,
    cache: Path,
    way: str,
    persist: bool = False,
    memory: int = 1024,
    cpus: int | None = None,
    ssh_key: str = "",
    keep_log: Path | None = None,
    change: Callable[[MachineSpec], MachineSpec] | None = None,
) -> Iterator[Machine]:
    """Boot an image, by `way` uefi or direct, on a throw-away overlay unless `persist`; `cpus` None: what suits it.

    `change` has the last word about the machine.
    """
    from ..open import image_format, image_lock, missing_image
    from .accelerator import probe_accelerator

    if not image.is_file():
        raise missing_image(image)
    accelerator = probe_accelerator(cache)
    with ExitStack() as stack:
        place = stack.enter_context(working_directory(cache / "vm", "vm"))
        kernel, initrd, cmdline = direct_files(image, place) if way == "direct" else (None, None, "")
        if kernel and accelerator.name == "tcg":
            cmdline += f" {EMULATED}"
        # a socket's path has at most 107 bytes (unix(7)), a checkout's may be longer
        sockets = stack.enter_context(working_directory(Path("/tmp"), "vm")) if len(bytes(place)) > 95 else None
        stack.enter_context(image_lock(image.absolute(), "a virtual machine", shared=not persist))
        kind = image_format(image)
        disk, disk_format = image.absolute(), kind
        if not persist:
            disk, disk_format = place / "overlay.qcow2", "qcow2"
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image.absolute(), disk])
        spec = MachineSpec(
            runtime=place,
            accel=accelerator.option,
            cpu=accelerator.cpu,
            disk=disk,
            disk_format=disk_format,
            keep=persist,
            memory=memory,
            cpus=cpus or accelerator.cpus,
            kernel=kernel,
            initrd=initrd,
            cmdline=cmdline,
            ssh_port=free_port(),
            ssh_key=ssh_key,
            sockets=sockets,
        )
        if way == "uefi":
            code, variables = find_firmware()
            shutil.copyfile(variables, place / "variables.fd")
            spec = replace(spec, firmware=(code, place / "variables.fd"))
        spec = change(spec) if change else spec
        try:
            yield stack.enter_context(started(spec))
        finally:
            if keep_log is not None and spec.console_log.exists():
                keep_log.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(spec.console_log, keep_log)
