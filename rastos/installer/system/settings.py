"""Kernel settings: sysctl.d(5)."""

from __future__ import annotations

from pathlib import Path

from ..profile import ImageProfile
from .writing import write


def write_settings(tree: Path, profile: ImageProfile) -> None:
    """One file, read by systemd-sysctl at boot."""
    if profile.sysctl:
        rows = "".join(f"{name} = {value}\n" for name, value in profile.sysctl)
        write(tree, "etc/sysctl.d/90-rastos.conf", f"# From the image profile {profile.name}.\n{rows}")
