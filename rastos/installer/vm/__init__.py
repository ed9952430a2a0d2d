"""Running machines in QEMU: proved accelerator, a monitor with deadlines, the guest agent, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rastos.surface import first_use

if TYPE_CHECKING:
    from .accelerator import Accelerator, probe_accelerator
    from .checks import WAYS, Check, TestReport, test_image
    from .console import pass_through
    from .debug import DebugPlan, debugged
    from .machine import Machine, booted, direct_files
    from .proof import prove_deployment
    from .qemu import MachineSpec, argv


_HOMES = {
    "console": ("pass_through",),
    "accelerator": ("Accelerator", "probe_accelerator"),
    "checks": ("Check", "TestReport", "test_image", "WAYS"),
    "debug": ("DebugPlan", "debugged"),
    "machine": ("Machine", "direct_files", "booted"),
    "proof": ("prove_deployment",),
    "qemu": ("MachineSpec", "argv"),
}

__all__ = [
    "Accelerator",
    "Check",
    "DebugPlan",
    "Machine",
    "MachineSpec",
    "TestReport",
    "WAYS",
    "argv",
    "booted",
    "debugged",
    "direct_files",
    "pass_through",
    "probe_accelerator",
    "prove_deployment",
    "test_image",
]


def __getattr__(name: str) -> Any:
    return first_use(__name__, _HOMES, name)
