"""Does a kernel's configuration do what it is for: run containers, boot an image, withstand attacks."""

from __future__ import annotations

from .boot import BUSES, BootFacts, boot_needs
from .containers import CONTAINERS
from .hardening import HARDENING
from .judge import SEVERITIES, Finding, Report, Rule, hold
from .origin import ConfigOrigin, from_file, from_package, of_running, running_facts
from .public import PROGRAM, PublicVerdict, public_verdict
from .terms import Facts, parse

__all__ = [
    "BUSES",
    "CONTAINERS",
    "HARDENING",
    "PROGRAM",
    "SEVERITIES",
    "BootFacts",
    "ConfigOrigin",
    "Facts",
    "Finding",
    "PublicVerdict",
    "Report",
    "Rule",
    "boot_needs",
    "from_file",
    "from_package",
    "hold",
    "of_running",
    "parse",
    "public_verdict",
    "running_facts",
]
