"""Running machines in QEMU: proved accelerator, a monitor with deadlines, the guest agent, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .accelerator import Accelerator, probe_accelerator
    from .checks import WAYS, Check, TestReport, test_image
    from .console import pass_through
    from .debug import DebugPlan, debugged
    from .driver import Ending, GuestCrashed
    from .fitting import displays
    from .guest import Answer
    from .hardware import ExtraDisk, Forward, Hardware, Share, machine_name, parse_disk, parse_forward, parse_share
    from .machine import WAYS_TO_BOOT, Machine, booted, direct_files
    from .proof import prove_deployment
    from .qemu import MachineSpec, argv
    from .running import (
        RunningMachine,
        connected,
        console_text,
        named,
        registered,
        running_machine,
        running_machines,
        stop_machine,
    )


_HOMES = {
    "console": ("pass_through",),
    "accelerator": ("Accelerator", "probe_accelerator"),
    "checks": ("Check", "TestReport", "test_image", "WAYS"),
    "debug": ("DebugPlan", "debugged"),
    "driver": ("Ending", "GuestCrashed"),
    "fitting": ("displays",),
    "guest": ("Answer",),
    "hardware": (
        "ExtraDisk",
        "Forward",
        "Hardware",
        "Share",
        "machine_name",
        "parse_disk",
        "parse_forward",
        "parse_share",
    ),
    "machine": ("WAYS_TO_BOOT", "Machine", "direct_files", "booted"),
    "proof": ("prove_deployment",),
    "qemu": ("MachineSpec", "argv"),
    "running": (
        "RunningMachine",
        "connected",
        "console_text",
        "named",
        "registered",
        "running_machine",
        "running_machines",
        "stop_machine",
    ),
}

__all__ = [
    "Accelerator",
    "Answer",
    "Check",
    "DebugPlan",
    "Ending",
    "ExtraDisk",
    "Forward",
    "GuestCrashed",
    "Hardware",
    "Machine",
    "MachineSpec",
    "RunningMachine",
    "Share",
    "TestReport",
    "WAYS",
    "WAYS_TO_BOOT",
    "argv",
    "booted",
    "connected",
    "console_text",
    "debugged",
    "direct_files",
    "displays",
    "machine_name",
    "named",
    "parse_disk",
    "parse_forward",
    "parse_share",
    "pass_through",
    "probe_accelerator",
    "prove_deployment",
    "registered",
    "running_machine",
    "running_machines",
    "stop_machine",
    "test_image",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
