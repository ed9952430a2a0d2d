"""Several machines at once: started one after another, waited for in parallel, ended together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from rastos.errors import RastosError
from rastos.host import working_directory

from .driver import Machine
from .machine import booted
from .network import place_of
from .suite import MachineRequest, on_image


@contextmanager
def machines_started(
    requests: Sequence[MachineRequest], *, image: Path | None, cache: Path, evidence: Path
) -> Iterator[dict[str, Machine]]:
    """Boot them on throw-away overlays; none is waited for. What a wait that runs out saw goes to `evidence`.

    Their networks are theirs alone: the same tests can run twice at a time.
    """
    with ExitStack() as stack:
        machines = {}
        networks = stack.enter_context(working_directory(Path("/tmp"), "network"))
        for request in requests:
            wanted = on_image(request, image)
            assert wanted.image is not None
            machine = stack.enter_context(
                booted(
                    wanted.image,
                    cache=cache,
                    way=wanted.way,
                    memory=wanted.memory,
                    cpus=wanted.cpus,
                    hardware=replace(wanted.hardware, name=wanted.name, networks=networks),
                )
            )
            machine.evidence = evidence / wanted.name
            machines[wanted.name] = machine
        yield machines


def all_at_once(machines: Sequence[Machine], work: Callable[[Machine], object]) -> list[RastosError | None]:
    """Do something with every machine in a thread each; what failed, in their order. Ends early on Ctrl-C."""
    failures: list[RastosError | None] = [None] * len(machines)

    def one(number: int, machine: Machine) -> None:
        try:
            work(machine)
        except RastosError as error:
            failures[number] = error

    threads = [
        threading.Thread(target=one, args=(number, machine), daemon=True) for number, machine in enumerate(machines)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.1)
    return failures


def wait_up(machine: Machine, timeout: float) -> str:
    """Wait until a machine is up, its shares are mounted; how long that took and systemd's word."""
    machine.wait_agent(timeout)
    state = machine.wait_running(timeout)
    machine.mount_shares()
    return f"{state} after {time.monotonic() - machine.started:.1f} s"


def introduce(requests: Sequence[MachineRequest], machines: dict[str, Machine]) -> None:
    """Machines of a private network know one another by name: in /etc/hosts."""
    for request in requests:
        network = request.hardware.network
        if not network:
            continue
        others = [item for item in requests if item.hardware.network == network]
        lines = "".join(f"{place_of(item.name, network).address} {item.name}\\n" for item in others)
        machines[request.name].succeed(f"printf '{lines}' >> /etc/hosts")


def ended_cleanly(machines: Sequence[Machine], timeout: float = 90.0) -> list[RastosError | None]:
    """Power off those that still run."""
    return all_at_once([item for item in machines if item.process.poll() is None], lambda item: item.power_off(timeout))
