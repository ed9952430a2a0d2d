"""A configuration of the real kernel edited by its own scripts/config: the fragment gives exactly what was edited."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rastos.kernel import BuildPlan, edit_config
from rastos.progress import Progress
from tests.conftest import need, unmet
from tests.micro_kernel import CACHE, plan_micro


def turn_on_usb(plan: BuildPlan) -> None:
    """What somebody does in the menu: a subsystem and a driver, a number, another member of a choice."""
    changes = "-e USB_SUPPORT -e USB -e USB_MON -d KERNEL_GZIP -e KERNEL_XZ --set-val LOG_BUF_SHIFT 15"
    argv = [plan.source.tree / "scripts/config", "--file", plan.tree / ".config", *changes.split()]
    subprocess.run(argv, check=True)


def test_the_kernels_own_editor_and_back(tmp_path: Path) -> None:
    need("gcc", "make", "flex", "bison", "apt-get")
    if not any((CACHE / "sources").glob("*/source.json")):
        unmet("a kernel source in the cache: rastos kernel build --profile ci")
    edited = edit_config(plan_micro(), turn_on_usb, tmp_path / "usb.config", Progress())
    asked = {item.symbol: item.value for item in edited.lines}
    wanted = {"USB_SUPPORT": "y", "USB": "y", "USB_MON": "y", "KERNEL_XZ": "y", "LOG_BUF_SHIFT": "15"}
    assert {name: asked.get(name) for name in wanted} == wanted
    # what becomes visible with USB has defaults, which a base of allnoconfig doesn't take: these are lines too
    assert set(asked) - set(wanted) <= {"USB_DEFAULT_PERSIST"}
    assert edited.changed > len(asked), "symbols that nobody can ask for follow"
