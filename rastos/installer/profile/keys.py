"""Every key an image profile may have: one table for the reader, inheritance and the documentation."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

What = Literal["text", "lines", "texts", "yes", "whole", "size", "choice", "mode", "table", "tables", "values"]
"""text: one line; lines: as many as there are; texts: a list of lines, or one; size: 4G, 512M or bytes; mode: "0644" or 0o644; table: keys below it; tables: [[NAME]], each
told from the others by its `identity` (the first of these keys that it has); values: free names with texts or whole numbers."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its name, what its value is, what it is for; `table` are the keys of the tables below it.

    A `choice` takes one of `choices`, and true or false where they have "yes" or "no".
    """

    name: str
    what: What
    help: str
    choices: tuple[str, ...] = ()
    table: tuple[Key, ...] = ()
    identity: tuple[str, ...] = ()
    required: bool = False


FORMATS = ("qcow2", "raw")
HOST_KEYS = ("first-boot", "none")
DHCP = ("yes", "no", "ipv4", "ipv6")
SUDO = ("yes", "no", "no-password")

USER = (
    Key("name", "text", "what the user logs in as", required=True),
    Key("uid", "whole", "the user's number (the next free one from 1000)"),
    Key("comment", "text", "the full name, or what the account is for"),
    Key("home", "text", "the home folder (/home/NAME)"),
    Key("groups", "texts", "further groups; each must come from a package or [[groups]]"),
    Key("shell", "text", "the login shell (/bin/bash)"),
    Key("password", "text", "a hash made with `openssl passwd -6`; without one no password works"),
    Key("ssh-keys", "texts", "lines of .pub files that may log in as this user"),
    Key("sudo", "choice", "may become root: true asks for the user's own password, no-password doesn't", choices=SUDO),
)
GROUP = (
    Key("name", "text", "the group's name", required=True),
    Key("gid", "whole", "its number (the next free one)"),
)
INTERFACE = (
    Key("match", "text", "the interface's name, or a pattern (en*)"),
    Key("mac", "text", "its hardware address, where the name isn't known"),
    Key("dhcp", "choice", "ask for addresses: true, false, ipv4 or ipv6 (false)", choices=DHCP),
    Key("addresses", "texts", "fixed addresses with their prefix (192.0.2.5/24)"),
    Key("gateway", "texts", "the default route, one for each family"),
    Key("dns", "texts", "name servers"),
    Key("domains", "texts", "where names without a dot are looked for"),
    Key("mtu", "whole", "bytes of the largest packet"),
    Key("vlan", "whole", "make it: the VLAN of this number on top of parent"),
    Key("parent", "text", "the interface below a VLAN, as its own `match` names it"),
)
NETWORK = (
    Key("dhcp", "yes", "wired interfaces that nobody names ask for an address (true)"),
    Key("interfaces", "tables", "one interface each", table=INTERFACE, identity=("match", "mac")),
)
FILE = (
    Key("path", "text", "where it goes in the image", required=True),
    Key("content", "lines", "the file's text"),
    Key("source", "text", "a file beside the profile, copied as it is"),
    Key("template", "text", "a file beside the profile in which {hostname} and the like are replaced"),
    Key("mode", "mode", "its permissions (0644)"),
    Key("owner", "text", "who it belongs to (root)"),
    Key("group", "text", "the group it belongs to (root)"),
)
FIRST_BOOT = (
    Key("name", "text", "what it is called in the records", required=True),
    Key("run", "lines", "the script, with its #! line or for /bin/sh"),
    Key("source", "text", "a file beside the profile that holds the script"),
)
IMAGE = (
    Key("inherits", "text", "the profile this one builds on, by name"),
    Key("description", "text", "what it is for"),
    Key("sets", "texts", "sets of the manifest (base)"),
    Key("packages", "texts", "further packages"),
    Key("rastos", "yes", "the machine has rastos, to manage its own snapshots (false)"),
    Key("kernel", "text", "kernel profile or package, or `distro` (container)"),
    Key("cmdline", "text", "the kernel's command line (console=ttyS0,115200 panic=10)"),
    Key("uki", "yes", "boot by unified kernel images (false)"),
    Key("size", "size", "the whole disk (4G)"),
    Key("esp", "size", "the EFI system partition (256M)"),
    Key("format", "choice", "what kind of file the image is (qcow2)", choices=FORMATS),
    Key("hostname", "text", "the machine's name (rastos)"),
    Key("locale", "text", "language and formats (C.UTF-8); others are made from the package `locales`"),
    Key("keymap", "text", "the console's keyboard, as kbd names it (the kernel's own, us)"),
    Key("timezone", "text", "such as Europe/Berlin (UTC)"),
    Key("root-password", "text", "a hash made with `openssl passwd -6`; without one root is locked"),
    Key("ssh-keys", "texts", "lines of .pub files that may log in as root"),
    Key("host-keys", "choice", "SSH host keys: made on the first boot, or not at all", choices=HOST_KEYS),
    Key("users", "tables", "one person each", table=USER, identity=("name",)),
    Key("groups", "tables", "groups that no package makes", table=GROUP, identity=("name",)),
    Key("network", "table", "addresses, by systemd-networkd", table=NETWORK),
    Key("enable", "texts", "units to start at boot"),
    Key("disable", "texts", "units not to start at boot"),
    Key("mask", "texts", "units that nothing may start"),
    Key("sysctl", "values", "kernel settings, by name"),
    Key("values", "values", "your own names for templates"),
    Key("files", "tables", "files of your own", table=FILE, identity=("path",)),
    Key("first-boot", "tables", "what a machine does once in its life", table=FIRST_BOOT, identity=("name",)),
)


def near(name: str, known: Iterable[str], label: str = "known") -> str:
    """A next step: the nearest known names, or the list of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=2)
    if close:
        return "did you mean " + " or ".join(f"'{item}'" for item in close) + "?"
    return f"{label}: {', '.join(sorted(names)[:16]) or 'none'}"
