"""Who the machine is: its name, and that every machine made from the image gets an id of its own."""

from __future__ import annotations

from pathlib import Path

from ..profile import ImageProfile
from .writing import write


def write_identity(tree: Path, profile: ImageProfile) -> None:
    """hostname(5), hosts(5), machine-id(5)."""
    write(tree, "etc/hostname", f"{profile.hostname}\n")
    name = profile.hostname.partition(".")[0]
    names = profile.hostname if name == profile.hostname else f"{profile.hostname} {name}"
    write(tree, "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n")
    # machine-id(5): empty means "make one at boot"
    write(tree, "etc/machine-id", "", 0o444)
    dbus = tree / "var/lib/dbus/machine-id"
    if dbus.exists() and not dbus.is_symlink():
        dbus.unlink()
