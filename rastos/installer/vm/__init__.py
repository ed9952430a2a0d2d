"""Running machines in QEMU: proved accelerator, a monitor with deadlines, the guest agent, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .accelerator import Accelerator, probe_accelerator
    from .checks import WAYS, Check, TestReport, test_image
    from .console import pass_through
    from .debug import DebugPlan, debugged
    from .ending import Ending, GuestCrashed
    from .fitting import displays
    from .guest import Answer
    from .hardware import ExtraDisk, Forward, Hardware, Share, machine_name, parse_disk, parse_forward, parse_share
    from .junit import junit_xml, write_junit
    from .machine import WAYS_TO_BOOT, Machine, booted, direct_files
    from .network import place_of
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
    from .suite import MachineRequest, Suite, load_suite
    from .suite_run import run_suite
    from .together import all_at_once, ended_cleanly, introduce, machines_started, wait_up
    from .web import Source, served_console, source_of


_HOMES = {
    "console": ("pass_through",),
    "accelerator": ("Accelerator", "probe_accelerator"),
    "checks": ("Check", "TestReport", "test_image", "WAYS"),
    "debug": ("DebugPlan", "debugged"),
    "ending": ("Ending", "GuestCrashed"),
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
    "junit": (
        "junit_xml",
        "write_junit",
    ),
    "machine": ("WAYS_TO_BOOT", "Machine", "direct_files", "booted"),
    "network": ("place_of",),
    "proof": ("prove_deployment",),
    "qemu": ("MachineSpec", "argv"),
    "suite": (
        "MachineRequest",
        "Suite",
        "load_suite",
    ),
    "suite_run": ("run_suite",),
    "together": (
        "all_at_once",
        "ended_cleanly",
        "introduce",
        "machines_started",
        "wait_up",
    ),
    "web": ("Source", "served_console", "source_of"),
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
    "MachineRequest",
    "MachineSpec",
    "RunningMachine",
    "Share",
    "Source",
    "Suite",
    "TestReport",
    "WAYS",
    "WAYS_TO_BOOT",
    "all_at_once",
    "argv",
    "booted",
    "connected",
    "console_text",
    "debugged",
    "direct_files",
    "displays",
    "ended_cleanly",
    "introduce",
    "junit_xml",
    "load_suite",
    "machine_name",
    "machines_started",
    "named",
    "parse_disk",
    "parse_forward",
    "parse_share",
    "pass_through",
    "place_of",
    "probe_accelerator",
    "prove_deployment",
    "registered",
    "run_suite",
    "running_machine",
    "running_machines",
    "served_console",
    "source_of",
    "stop_machine",
    "test_image",
    "wait_up",
    "write_junit",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
