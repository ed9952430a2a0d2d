"""Modules from outside the kernel's tree: built against the headers package, signed, delivered as packages."""

from __future__ import annotations

from rastos.kernel.external.build import BuiltModule, ModulePlan, build_module, plan_module
from rastos.kernel.external.headers import choose_kernel, open_headers
from rastos.kernel.external.sign import sign_modules
from rastos.kernel.external.source import ModuleSource, read_source

__all__ = [
    "BuiltModule",
    "ModulePlan",
    "ModuleSource",
    "build_module",
    "choose_kernel",
    "open_headers",
    "plan_module",
    "read_source",
    "sign_modules",
]
