"""What an image profile comes to: frozen values, whichever files they were written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..disk_profile import Disk


@dataclass(frozen=True, slots=True)
class User:
    """A person: `password` as a crypt(5) hash or "" for locked.

    `uid` None: the next free one. `home` "": /home/NAME. `sudo`: "" (none), "password" (asks for theirs) or "no-password".
    """

    name: str
    password: str = ""
    groups: tuple[str, ...] = ()
    ssh_keys: tuple[str, ...] = ()
    shell: str = "/bin/bash"
    uid: int | None = None
    comment: str = ""
    home: str = ""
    sudo: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A group that no package makes; `gid` None: the next free one."""

    name: str
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface, found by its name (`match`, patterns allowed) or by its address (`mac`).

    `dhcp`: "yes", "no", "ipv4" or "ipv6" (systemd.network(5)). With `vlan` (1 to 4094) it is made on top of `parent`.
    """

    match: str = ""
    mac: str = ""
    dhcp: str = "no"
    addresses: tuple[str, ...] = ()
    gateway: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    mtu: int | None = None
    vlan: int | None = None
    parent: str = ""

    @property
    def label(self) -> str:
        """How the profile calls it."""
        return self.match or self.mac


@dataclass(frozen=True, slots=True)
class Network:
    """`dhcp`: whether wired interfaces that nobody names ask for an address."""

    dhcp: bool = True
    interfaces: tuple[Interface, ...] = ()


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A file of the profile's own. `path` begins with /; `digest` is of the content; in a `template` {names} are replaced."""

    path: str
    digest: str
    content: bytes = field(default=b"", repr=False)
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    template: bool = False


@dataclass(frozen=True, slots=True)
class FirstBootStep:
    """A script that a machine made from the image runs once in its life."""

    name: str
    script: str


@dataclass(frozen=True, slots=True)
class ImageProfile:
    """What an image is made of; sizes in bytes. `root_password`: a crypt(5) hash, or "" for locked. `compress`: "", zlib, zstd.

    `rastos`: the machine has rastos itself, to manage its own snapshots. `ancestors`: the profiles it inherits from, nearest
    first. `origins` says for each value ("hostname", "users.me.shell", "packages.htop") where it was written, as file:line.
    """

    name: str
    description: str = ""
    sets: tuple[str, ...] = ("base",)
    packages: tuple[str, ...] = ()
    kernel: str = "container"
    hostname: str = "rastos"
    locale: str = "C.UTF-8"
    keymap: str = ""
    timezone: str = "UTC"
    size: int = 4 << 30
    esp: int = 256 << 20
    format: str = "qcow2"
    compress: str = ""
    cmdline: str = "console=ttyS0,115200 panic=10"
    uki: bool = False
    root_password: str = ""
    ssh_keys: tuple[str, ...] = ()
    host_keys: str = "first-boot"
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    network: Network = Network()
    enable: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    sysctl: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, str], ...] = ()
    files: tuple[ProfileFile, ...] = ()
    first_boot: tuple[FirstBootStep, ...] = ()
    rastos: bool = False
    disk: Disk = Disk()
    path: Path = field(default=Path(), compare=False)
    ancestors: tuple[str, ...] = field(default=(), compare=False, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def origin(self, *path: str) -> str:
        """Where a value was written: file:line; the profile's file where it wasn't (a default, an option)."""
        for count in range(len(path), 0, -1):
            if found := self.origins.get(".".join(path[:count])):
                return found
        return str(self.path)
