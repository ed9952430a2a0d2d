"""For tests of your own images: what `MACHINES` and checks in Python are written with (docs/image-testing.md).

from rastos.testing import Machine, machine

MACHINES = [machine("web", memory=512, network="lan"), machine("client", network="lan")]

def test_the_page_is_served(web: Machine, client: Machine) -> None:
    web.wait_for_port(80)
    client.succeed("curl -sf http://web/")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rastos.installer.vm import Answer, Ending, GuestCrashed, Machine, MachineRequest

__all__ = ["Answer", "Ending", "GuestCrashed", "Machine", "MachineRequest", "machine"]


def machine(
    name: str = "machine",
    *,
    image: str | Path | None = None,
    boot: str = "uefi",
    memory: int = 1024,
    cpus: int | None = None,
    network: str = "",
    disks: Sequence[str] = (),
    shares: Sequence[str] = (),
    forwards: Sequence[str] = (),
    tpm: bool = False,
    screen: bool = True,
) -> MachineRequest:
    """A machine a test wants; the words are those of `rastos image boot`. `memory` in MiB. UserError: a word is wrong."""
    from rastos.errors import UserError
    from rastos.installer.vm import (
        WAYS_TO_BOOT,
        Hardware,
        MachineRequest,
        machine_name,
        parse_disk,
        parse_forward,
        parse_share,
    )

    if boot not in WAYS_TO_BOOT:
        raise UserError(f"unknown way to boot '{boot}'", next_step=f"use one of: {', '.join(WAYS_TO_BOOT)}")
    hardware = Hardware(
        forwards=tuple(parse_forward(text) for text in forwards),
        shares=tuple(parse_share(text) for text in shares),
        disks=tuple(parse_disk(text) for text in disks),
        tpm=tpm,
        screen=screen,
        network=network and machine_name(network, "network"),
        name=machine_name(name),
    )
    return MachineRequest(hardware.name, Path(image) if image else None, boot, memory, cpus, hardware)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rastos.installer import vm

    return getattr(vm, name)
