"""Does a kernel's configuration do what it is for: run containers, boot an image, withstand attacks."""

from __future__ import annotations

from .boot import boot_needs
from .containers import CONTAINERS
from .hardening import COMMAND_LINE, HARDENING
from .judge import Finding, Report, Rule, check_command_line, check_config
from .origin import ConfigOrigin, from_file, from_package, of_running

__all__ = [
    "COMMAND_LINE",
    "CONTAINERS",
    "HARDENING",
    "ConfigOrigin",
    "Finding",
    "Report",
    "Rule",
    "boot_needs",
    "check_command_line",
    "check_config",
    "from_file",
    "from_package",
    "of_running",
]
