"""Every key an image profile may have: one table for the reader, inheritance and the documentation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..formats.table import COMPRESSIONS, FORMATS

What = Literal["text", "lines", "texts", "yes", "whole", "size", "choice", "mode", "table", "tables", "values"]
"""text: one line; lines: as many as there are; texts: a list of lines, or one; size: 4G, 512M or bytes; mode: "0644" or 0o644; table: keys below it; tables: [[NAME]], each
told from the others by its `identity` (the first of these keys that it has); values: free names with texts or whole numbers."""


@dataclass(frozen=True, slots=True)
class ProfileKey:
    """One key: its name, what its value is, what it is for; `table` are the keys of the tables below it.

    A `choice` takes one of `choices`, and true or false where they have "yes" or "no".
    """

    name: str
    what: What
    help: str
    choices: tuple[str, ...] = ()
    table: tuple[ProfileKey, ...] = ()
    identity: tuple[str, ...] = ()
    required: bool = False


COMPRESS = ("yes", "no", *COMPRESSIONS)
HOST_KEYS = ("first-boot", "none")
DHCP = ("yes", "no", "ipv4", "ipv6")
SUDO = ("yes", "no", "no-password")

USER = (
    ProfileKey("name", "text", "what the user logs in as", required=True),
    ProfileKey("uid", "whole", "the user's number (the next free one from 1000)"),
    ProfileKey("comment", "text", "the full name, or what the account is for"),
    ProfileKey("home", "text", "the home folder (/home/NAME)"),
    ProfileKey("groups", "texts", "further groups; each must come from a package or [[groups]]"),
    ProfileKey("shell", "text", "the login shell (/bin/bash)"),
    ProfileKey("password", "text", "a hash made with `openssl passwd -6`; without one no password works"),
    ProfileKey("ssh-keys", "texts", "lines of .pub files that may log in as this user"),
    ProfileKey(
        "sudo", "choice", "may become root: true asks for the user's own password, no-password doesn't", choices=SUDO
    ),
)
GROUP = (
    ProfileKey("name", "text", "the group's name", required=True),
    ProfileKey("gid", "whole", "its number (the next free one)"),
)
INTERFACE = (
    ProfileKey("match", "text", "the interface's name, or a pattern (en*)"),
    ProfileKey("mac", "text", "its hardware address, where the name isn't known"),
    ProfileKey("dhcp", "choice", "ask for addresses (false)", choices=DHCP),
    ProfileKey("addresses", "texts", "fixed addresses with their prefix (192.0.2.5/24)"),
    ProfileKey("gateway", "texts", "the default route, one for each family"),
    ProfileKey("dns", "texts", "name servers"),
    ProfileKey("domains", "texts", "where names without a dot are looked for"),
    ProfileKey("mtu", "whole", "bytes of the largest packet"),
    ProfileKey("vlan", "whole", "make it: the VLAN of this number on top of parent"),
    ProfileKey("parent", "text", "the interface below a VLAN, as its own `match` names it"),
)
NETWORK = (
    ProfileKey("dhcp", "yes", "wired interfaces that nobody names ask for an address (true)"),
    ProfileKey("interfaces", "tables", "one interface each", table=INTERFACE, identity=("match", "mac")),
)
FILE = (
    ProfileKey("path", "text", "where it goes in the image", required=True),
    ProfileKey("content", "lines", "the file's text"),
    ProfileKey("source", "text", "a file beside the profile, copied as it is"),
    ProfileKey("template", "text", "a file beside the profile in which {hostname} and the like are replaced"),
    ProfileKey("mode", "mode", "its permissions (0644)"),
    ProfileKey("owner", "text", "who it belongs to (root)"),
    ProfileKey("group", "text", "the group it belongs to (root)"),
)
FIRST_BOOT = (
    ProfileKey("name", "text", "what it is called in the records", required=True),
    ProfileKey("run", "lines", "the script, with its #! line or for /bin/sh"),
    ProfileKey("source", "text", "a file beside the profile that holds the script"),
)
DATA = (
    ProfileKey("label", "text", "the file system's name, and the file's: NAME-LABEL", required=True),
    ProfileKey("mount", "text", "a folder below /srv or /var/lib", required=True),
    ProfileKey("size", "size", "how large the disk is", required=True),
    ProfileKey("filesystem", "text", "btrfs or ext4 (btrfs)"),
)
DISK = (
    ProfileKey("luks", "yes", "the root is encrypted, by a passphrase asked for at each boot (false)"),
    ProfileKey("raid1", "yes", "a mirror of two disks (false)"),
    ProfileKey("bios", "yes", "it starts by a BIOS as well (false)"),
    ProfileKey("swap", "size", "a swap file of this size (none)"),
    ProfileKey("data", "tables", "further disks", table=DATA, identity=("label",)),
)
IMAGE_KEYS = (
    ProfileKey("inherits", "text", "the profile this one builds on, by name"),
    ProfileKey("description", "text", "what it is for"),
    ProfileKey("sets", "texts", "sets of the manifest (base)"),
    ProfileKey("packages", "texts", "further packages"),
    ProfileKey("rastos", "yes", "the machine has rastos, to manage its own snapshots (false)"),
    ProfileKey("kernel", "text", "kernel profile or package, or `distro` (container)"),
    ProfileKey("cmdline", "text", "the kernel's command line (console=ttyS0,115200 panic=10)"),
    ProfileKey("uki", "yes", "boot by unified kernel images (false)"),
    ProfileKey("size", "size", "the whole disk (4G)"),
    ProfileKey("esp", "size", "the EFI system partition (256M)"),
    ProfileKey(
        "format", "text", f"what kind of file the image is (qcow2): {', '.join(f'`{name}`' for name in FORMATS)}"
    ),
    ProfileKey("compress", "choice", "compress it, where the format can (false)", choices=COMPRESS),
    ProfileKey("disk", "table", "how the disk is laid out (docs/disk-layouts.md)", table=DISK),
    ProfileKey("hostname", "text", "the machine's name (rastos)"),
    ProfileKey("locale", "text", "language and formats (C.UTF-8); others are made from the package `locales`"),
    ProfileKey("keymap", "text", "the console's keyboard, as kbd names it (the kernel's own, us)"),
    ProfileKey("timezone", "text", "such as Europe/Berlin (UTC)"),
    ProfileKey("root-password", "text", "a hash made with `openssl passwd -6`; without one root is locked"),
    ProfileKey("ssh-keys", "texts", "lines of .pub files that may log in as root"),
    ProfileKey("host-keys", "choice", "SSH host keys: made on the first boot, or not at all", choices=HOST_KEYS),
    ProfileKey("users", "tables", "one person each", table=USER, identity=("name",)),
    ProfileKey("groups", "tables", "groups that no package makes", table=GROUP, identity=("name",)),
    ProfileKey("network", "table", "addresses, by systemd-networkd", table=NETWORK),
    ProfileKey("enable", "texts", "units to start at boot"),
    ProfileKey("disable", "texts", "units not to start at boot"),
    ProfileKey("mask", "texts", "units that nothing may start"),
    ProfileKey("sysctl", "values", "kernel settings, by name"),
    ProfileKey("values", "values", "your own names for templates"),
    ProfileKey("files", "tables", "files of your own", table=FILE, identity=("path",)),
    ProfileKey("first-boot", "tables", "what a machine does once in its life", table=FIRST_BOOT, identity=("name",)),
)


def near(name: str, known: Iterable[str], label: str = "known") -> str:
    """A next step: the nearest known names, or the list of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=2)
    if close:
        return "did you mean " + " or ".join(f"'{item}'" for item in close) + "?"
    return f"{label}: {', '.join(sorted(names)[:16]) or 'none'}"
