"""Running machines in QEMU: proved accelerator, a monitor with deadlines, the guest agent, checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .accelerator import Accelerator, probe_accelerator
    from .checks import Check, TestReport, test_image
    from .machine import Machine, direct_files
    from .qemu import MachineSpec, argv

_HOMES = {
    "accelerator": ("Accelerator", "probe_accelerator"),
    "checks": ("Check", "TestReport", "test_image"),
    "machine": ("Machine", "direct_files"),
    "qemu": ("MachineSpec", "argv"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Accelerator",
    "Check",
    "Machine",
    "MachineSpec",
    "TestReport",
    "argv",
    "direct_files",
    "probe_accelerator",
    "test_image",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
