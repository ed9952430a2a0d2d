"""Machines that run now, by name: each has a folder with what is needed to talk to it, and a lock its supervisor holds.

The lock is the proof that it lives: the kernel drops it with the supervisor, and QEMU dies with the supervisor too.
A folder without a holder is what a killed one left; whoever looks clears it away.
"""

from __future__ import annotations

import difflib
import os
import select
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rastos.errors import BusyError, ExternalError, IntegrityError, RastosError, UserError
from rastos.host import locked, read_json, write_json

from .console import Console
from .driver import Machine
from .hardware import Fitted, Forward, machine_name
from .network import place_of
from .qemu import MachineSpec

RECORD = "machine.json"
LOCK_SECONDS = 2.0  # somebody looking whether it is stale holds the lock for an instant


@dataclass(frozen=True, slots=True)
class RunningMachine:
    """A machine that runs: who supervises it, its sockets, how it can be reached. `address`: on its private network.

    `web`: the address of its console and screen, with the token in it; "" where they are not served.
    """

    name: str
    image: Path
    way: str
    pid: int
    supervisor: int
    started: str
    persist: bool
    memory: int
    cpus: int
    ssh_port: int
    forwards: tuple[tuple[str, int, int], ...]
    network: str
    address: str
    vnc: int | None
    screen: bool
    runtime: Path
    monitor: Path
    agent: Path
    console: Path
    web: str = ""


@contextmanager
def registered(
    folder: Path, machine: Machine, image: Path, *, way: str, network: str = "", web: str = ""
) -> Iterator[RunningMachine]:
    """Be listed under the machine's name while the block runs; `folder` is where all of them are."""
    spec, fitted = machine.spec, machine.spec.fitted
    record = RunningMachine(
        name=fitted.name,
        image=image.absolute(),
        way=way,
        pid=machine.process.pid,
        supervisor=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        persist=spec.keep,
        memory=spec.memory,
        cpus=spec.cpus,
        ssh_port=spec.ssh_port,
        forwards=tuple((item.protocol, item.host, item.guest) for item in fitted.forwards),
        network=network,
        address=place_of(fitted.name, network).address if network else "",
        vnc=fitted.vnc,
        screen=fitted.screen,
        runtime=spec.runtime,
        monitor=fitted.control or spec.monitor,
        agent=spec.agent,
        console=spec.console,
        web=web,
    )
    place = folder / fitted.name
    place.mkdir(parents=True, exist_ok=True, mode=0o700)  # the address is a secret
    write_json(place / RECORD, asdict(record))
    try:
        yield record
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def named(folder: Path, name: str, *, exact: bool) -> Iterator[str]:
    """Hold a free name while the block runs: this one, or, unless `exact`, the first free of name, name-2, …"""
    machine_name(name)
    for number in range(1, 100):
        candidate = name if number == 1 else f"{name[:44]}-{number}"
        holding = locked(_lock(folder, candidate), f"machine {candidate}", wait=LOCK_SECONDS if exact else 0.2)
        try:
            holding.__enter__()
        except BusyError as error:
            if not exact:
                continue
            step = "name it otherwise (--name), or stop that one: `rastos image vm stop`"
            raise BusyError("a machine of this name runs", on=name, holder=error.holder, next_step=step) from error
        try:
            shutil.rmtree(folder / candidate, ignore_errors=True)  # of one that was killed
            yield candidate
        finally:
            holding.__exit__(None, None, None)
        return
    raise UserError(f"a hundred machines named {name} run", next_step="stop some: `rastos image vm stop`")


def running_machines(folder: Path) -> tuple[RunningMachine, ...]:
    """All that run, by name; what killed ones left is cleared away."""
    found = []
    for path in sorted(folder.glob(f"*/{RECORD}")):
        name = path.parent.name
        if _alive(folder, name):
            try:
                found.append(_read(path))
            except (OSError, IntegrityError):
                continue  # it ended or began just now
    return tuple(found)


def running_machine(folder: Path, name: str | None) -> RunningMachine:
    """The one of this name, or the only one. UserError with the nearest name where there is none."""
    known = {item.name: item for item in running_machines(folder)}
    if name is None and len(known) == 1:
        return next(iter(known.values()))
    if name in known:
        return known[str(name)]
    if not known:
        raise UserError("no machine runs", on=name or "", next_step="start one: `rastos image boot --detach`")
    if name is None:
        raise UserError("several machines run", next_step=f"name one: {', '.join(known)}")
    near = difflib.get_close_matches(name, known, n=1)
    step = f"did you mean '{near[0]}'?" if near else f"running: {', '.join(known)}"
    raise UserError(f"no machine '{name}' runs", next_step=step)


@contextmanager
def connected(record: RunningMachine, *, wait: float = 30.0) -> Iterator[Machine]:
    """Talk to a machine another rastos supervises. Only one command does at a time: others wait so many seconds.

    BusyError names the one that talks, UserError: the machine has just ended.
    """
    spec = MachineSpec(
        runtime=record.runtime,
        accel="",
        cpu="",
        keep=record.persist,
        memory=record.memory,
        cpus=record.cpus,
        ssh_port=record.ssh_port,
        sockets=record.agent.parent,
        fitted=Fitted(
            forwards=tuple(Forward(host, guest, protocol) for protocol, host, guest in record.forwards),
            screen=record.screen,
            name=record.name,
        ),
    )
    with locked(record.runtime / "talk.lock", f"a command for machine {record.name}", wait=wait):
        try:
            process = _Elsewhere(record.pid)
        except ProcessLookupError as error:
            raise UserError(
                "the machine has just ended", on=record.name, next_step="see `rastos image vm list`"
            ) from error
        machine = Machine(spec, process, control=record.monitor)
        try:
            yield machine
        finally:
            machine.close()
            process.close()


def console_text(runtime: Path) -> str:
    """What a machine with this runtime folder said on its console so far."""
    return Console(runtime / "console.log").text().rstrip()


def stop_machine(folder: Path, record: RunningMachine, *, timeout: float = 60.0, force: bool = False) -> str:
    """End a machine: cleanly over the agent or the power button; with `force` by QEMU's quit where that fails. How it ended."""
    how = "powered off"
    with connected(record) as machine:
        try:
            machine.power_off(timeout)
        except ExternalError as error:
            if machine.process.poll() is not None:
                how = "had ended"
            elif not force:
                raise ExternalError(
                    error.what, on=record.name, next_step="end it hard with --force", tail=error.tail
                ) from error
            else:
                machine.crash()
                how = "was ended hard"
    deadline = time.monotonic() + 10.0
    while _alive(folder, record.name) and time.monotonic() < deadline:
        time.sleep(0.05)
    return how


class _Elsewhere:
    """QEMU's process where it isn't our child (pidfd_open(2)); of its end only that it came is known."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._number = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """0 once it ended."""
        if self.returncode is None and select.select([self._number], [], [], 0)[0]:
            self.returncode = 0
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. ExternalError: it did not come in time."""
        if self.returncode is None and not select.select([self._number], [], [], timeout)[0]:
            raise ExternalError(f"QEMU did not end within {timeout:g} s", on=f"process {self.pid}")
        self.returncode = 0
        return 0

    def close(self) -> None:
        """Let go of it."""
        os.close(self._number)


def _lock(folder: Path, name: str) -> Path:
    return folder / f".{name}.lock"


def _alive(folder: Path, name: str) -> bool:
    """Whether its supervisor holds the lock; what a dead one left is cleared away."""
    try:
        with locked(_lock(folder, name), "clear away what a killed machine left"):
            record = folder / name / RECORD
            runtime = None
            try:
                runtime = _read(record).runtime
            except (OSError, RastosError):
                pass
            shutil.rmtree(folder / name, ignore_errors=True)
            if runtime is not None and runtime.name.endswith(".work") and not runtime.is_symlink():
                shutil.rmtree(runtime, ignore_errors=True)
    except BusyError:
        return True
    return False


def _read(path: Path) -> RunningMachine:
    known: dict[str, Any] = read_json(path)
    try:
        places = {key: Path(known[key]) for key in ("image", "runtime", "monitor", "agent", "console")}
        forwards = tuple((str(item[0]), int(item[1]), int(item[2])) for item in known["forwards"])
        return RunningMachine(**{**known, **places, "forwards": forwards})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise IntegrityError("the record of a machine is damaged", on=path) from error
