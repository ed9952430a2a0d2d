"""From checked keys to an `ImageProfile`: what the values mean, and whether they go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rastos.errors import UserError

from ..disk_profile import Disk, read_disk
from ..formats.table import check_compression, find_format
from .attached_files import files_of, steps_of
from .keys import near
from .reading import Given, Problems
from .templates import template_fault, template_values
from .values import Group, ImageProfile, Interface, Network, User
from .words import (
    HASH,
    HOSTNAME,
    INTERFACE,
    KEYMAP,
    LOCALE,
    MAC,
    STEP,
    SYSCTL,
    SYSTEM_USERS,
    UNIT,
    USER,
    ZONE,
    address_fault,
    host_address_fault,
    public_key_fault,
    user_fault,
)

PLAIN = (
    *("description", "sets", "packages", "rastos", "kernel", "cmdline", "uki", "size", "esp", "format"),
    *("hostname", "locale", "keymap", "timezone", "root-password", "ssh-keys", "host-keys"),
)
HASHED = "make one with `openssl passwd -6` (`rastos image init` asks and hashes), or leave it out to lock"
KEY_LINE = "put in the one line of the .pub file"


def assemble(given: Given, name: str, path: Path, ancestors: tuple[str, ...], problems: Problems) -> ImageProfile:
    """The profile; whatever is wrong goes to `problems`, and then the profile is not to be used."""
    return _Assembling(given, problems).profile(name, path, ancestors)


class _Assembling:
    def __init__(self, given: Given, problems: Problems) -> None:
        self.values: Mapping[str, Any] = given.values
        self.origins = given.origins
        self.path = given.path
        self.problems = problems

    def complain(self, path: str, what: str, step: str) -> None:
        """About a value; where it stands no line of its own, the nearest thing around it."""
        parts = path.split(".")
        where = next(
            (self.origins[key] for n in range(len(parts), 0, -1) if (key := ".".join(parts[:n])) in self.origins), ""
        )
        self.problems.add(what, self.origins.get(path) or where or self.path, step)

    def profile(self, name: str, path: Path, ancestors: tuple[str, ...]) -> ImageProfile:
        values = {key.replace("-", "_"): self.values[key] for key in PLAIN if key in self.values}
        units = {key: self.units(key) for key in ("enable", "disable", "mask")}
        for key, other in (("disable", "enable"), ("mask", "enable")):
            for unit in sorted(set(units[key]) & set(units[other])):
                self.complain(f"{key}.{unit}", f"{unit} is in {other} and in {key}", "take it out of one of them")
        made = ImageProfile(
            name=name,
            path=path,
            ancestors=ancestors,
            origins=self.origins,
            users=self.users(),
            groups=self.groups(),
            network=self.network(),
            enable=units["enable"],
            disable=units["disable"],
            mask=units["mask"],
            sysctl=tuple(sorted(self.values.get("sysctl", {}).items())),
            values=tuple(sorted(self.values.get("values", {}).items())),
            files=files_of(self.values.get("files", {}), self.origins, self.problems),
            first_boot=steps_of(self.values.get("first-boot", {}), self.origins, self.problems),
            disk=self.disk(),
            **values,
        )
        self.words(made)
        self.templates(made)
        return self.packed(made)

    def disk(self) -> Disk:
        table = dict(self.values.get("disk", {}))
        if "data" in table:
            table["data"] = list(table["data"].values())
        labels = list(self.values.get("disk", {}).get("data", {}))

        def fail(key: str, what: str, step: str) -> UserError:
            label = next((f".{name}" for name in labels if f"'{name}'" in what), "")
            self.complain("disk" if key == "disk" else f"disk.{key}{label}", what, step)
            return UserError(what)

        try:
            return read_disk(table, fail, lambda value, _: int(str(value)))
        except UserError:  # complained about already
            return Disk()

    def packed(self, profile: ImageProfile) -> ImageProfile:
        """The format by its own name, and how it is compressed."""
        word = self.values.get("compress", "no")
        compress = {"yes": "zlib", "no": ""}.get(word, word)
        key = "format"
        try:
            kind = find_format(profile.format)
            key = "compress"
            check_compression(kind, compress)
        except UserError as error:
            self.complain(key, error.what, error.next_step)
            return profile
        return replace(profile, format=kind.name, compress=compress)

    def words(self, profile: ImageProfile) -> None:
        if not HOSTNAME.fullmatch(profile.hostname) or len(profile.hostname) > 64:
            self.complain(
                "hostname", f"'{profile.hostname}' is no host name", "use letters, digits and hyphens, 64 at most"
            )
        for key, pattern, what, step in (
            ("locale", LOCALE, "no name of a locale", "write it as de_DE.UTF-8"),
            ("timezone", ZONE, "no name of a time zone", "write it as Europe/Berlin"),
        ):
            if not pattern.fullmatch(getattr(profile, key)):
                self.complain(key, f"'{getattr(profile, key)}' is {what}", step)
        if profile.keymap and not KEYMAP.fullmatch(profile.keymap):
            self.complain("keymap", f"'{profile.keymap}' is no name of a keymap", "write it as de-latin1")
        if not profile.kernel:
            self.complain("kernel", "the kernel has no name", "name a kernel profile, or leave the key out")
        if "\n" in profile.cmdline:
            self.complain("cmdline", "the command line has several lines", "write it in one")
        self.password("root-password", profile.root_password)
        self.keys("ssh-keys", profile.ssh_keys)
        for name, _ in profile.sysctl:
            if not SYSCTL.fullmatch(name):
                self.complain(f"sysctl.{name}", f"'{name}' is no kernel setting", 'write it as "net.ipv4.ip_forward"')
        for item in profile.first_boot:
            if not STEP.fullmatch(item.name):
                what = f"'{item.name}' is no name of a step"
                self.complain(f"first-boot.{item.name}", what, "use lower-case letters, digits, . _ and -")

    def password(self, key: str, value: str) -> None:
        if value and not HASH.fullmatch(value):
            self.complain(key, f"{key.rpartition('.')[2]} is not a password hash", HASHED)

    def keys(self, key: str, lines: tuple[str, ...]) -> None:
        for line in lines:
            if fault := public_key_fault(line):
                self.complain(f"{key}.{line}", fault, KEY_LINE)

    def users(self) -> tuple[User, ...]:
        found, uids = [], dict[int, str]()
        for name, table in self.values.get("users", {}).items():
            where = f"users.{name}"
            if fault := user_fault(name):
                step = (
                    "choose another; root's own are root-password and ssh-keys"
                    if name in SYSTEM_USERS
                    else "use lower-case letters, digits, _ and -, 32 at most"
                )
                self.complain(f"{where}.name", fault, step)
            sudo = {"yes": "password", "no": ""}.get(table.get("sudo", "no"), table.get("sudo", ""))
            plain = {key: table[key] for key in ("password", "shell", "uid", "comment", "home") if key in table}
            groups = tuple(table.get("groups", ()))
            user = User(name, groups=groups, ssh_keys=tuple(table.get("ssh-keys", ())), sudo=sudo, **plain)
            self.password(f"{where}.password", user.password)
            self.keys(f"{where}.ssh-keys", user.ssh_keys)
            self.person(user, where)
            if user.uid is not None:
                if other := uids.get(user.uid):
                    self.complain(f"{where}.uid", f"uid {user.uid} is {other}'s already", "choose another number")
                uids[user.uid] = name
            found.append(user)
        return tuple(found)

    def person(self, user: User, where: str) -> None:
        if user.uid is not None and not 1 <= user.uid < 1 << 31:
            self.complain(f"{where}.uid", f"uid {user.uid} can't be a user's", "use a number from 1000 to 60000")
        if ":" in user.comment:
            self.complain(f"{where}.comment", "a comment holds no colon (passwd(5))", "write it without")
        for key, value in (("home", user.home), ("shell", user.shell)):
            if value and (not value.startswith("/") or ".." in value.split("/") or ":" in value or value == "/"):
                self.complain(f"{where}.{key}", f"{key} '{value}' is no path", "write the whole path, without ..")
        for group in user.groups:
            if not USER.fullmatch(group):
                self.complain(f"{where}.groups.{group}", f"'{group}' is no group's name", "name it as /etc/group does")

    def groups(self) -> tuple[Group, ...]:
        found, gids = [], dict[int, str]()
        for name, table in self.values.get("groups", {}).items():
            if not USER.fullmatch(name):
                self.complain(
                    f"groups.{name}", f"'{name}' is no group's name", "use lower-case letters, digits, _ and -"
                )
            group = Group(name, table.get("gid"))
            if group.gid is not None and (other := gids.get(group.gid)):
                self.complain(f"groups.{name}.gid", f"gid {group.gid} is {other}'s already", "choose another number")
            gids |= {group.gid: name} if group.gid is not None else {}
            found.append(group)
        return tuple(found)

    def network(self) -> Network:
        table = self.values.get("network", {})
        interfaces = []
        for label, item in table.get("interfaces", {}).items():
            interface = Interface(**item)
            self.interface(interface, f"network.interfaces.{label}")
            interfaces.append(interface)
        names = [item.match for item in interfaces if item.match and item.vlan is None]
        for item in interfaces:
            where = f"network.interfaces.{item.label}"
            if item.vlan is not None and item.parent not in names:
                what = f"the VLAN {item.label} lies on '{item.parent}', which is no interface here"
                self.complain(f"{where}.vlan", what, near(item.parent, names, "interfaces"))
            if item.parent and item.vlan is None:
                self.complain(f"{where}.parent", "parent belongs to a VLAN", "write vlan = 10, or leave parent out")
        return Network(table.get("dhcp", True), tuple(interfaces))

    def interface(self, item: Interface, where: str) -> None:
        if item.match and not INTERFACE.fullmatch(item.match):
            self.complain(f"{where}.match", f"'{item.match}' is no interface's name", "write it as eth0 or en*")
        if item.mac and not MAC.fullmatch(item.mac):
            self.complain(f"{where}.mac", f"'{item.mac}' is no hardware address", "write it as 52:54:00:12:34:56")
        if item.vlan is not None and not (1 <= item.vlan <= 4094 and len(item.match) <= 15 and item.match.isalnum()):
            step = 'give it a number from 1 to 4094 and a name of its own: match = "vlan10"'
            self.complain(f"{where}.vlan", f"'{item.label}' can't be VLAN {item.vlan}", step)
        for key, texts, fault_of in (
            ("addresses", item.addresses, address_fault),
            ("gateway", item.gateway, host_address_fault),
            ("dns", item.dns, host_address_fault),
        ):
            for text in texts:
                if fault := fault_of(text):
                    step = "write it as 192.0.2.5/24" if key == "addresses" else "write it as 192.0.2.1"
                    self.complain(f"{where}.{key}.{text}", fault, step)
        if item.gateway and not item.addresses:
            self.complain(f"{where}.gateway", "a gateway without an address", "give the interface addresses as well")
        if item.dhcp == "no" and not item.addresses and not self.below(item):
            self.complain(where, f"'{item.label}' gets no address", "write dhcp = true, or addresses = […]")

    def below(self, item: Interface) -> bool:
        """Whether it only carries VLANs."""
        others = self.values.get("network", {}).get("interfaces", {}).values()
        return any(other.get("parent") == item.match for other in others)

    def units(self, key: str) -> tuple[str, ...]:
        found = []
        for unit in self.values.get(key, ()):
            name = unit if UNIT.fullmatch(unit) else f"{unit}.service"
            if UNIT.fullmatch(name):
                found.append(name)
            else:
                self.complain(f"{key}.{unit}", f"'{unit}' is no name of a unit", "write it as ssh.service")
        return tuple(dict.fromkeys(found))

    def templates(self, profile: ImageProfile) -> None:
        known = template_values(profile)
        for file in profile.files:
            if file.template:
                try:
                    fault, step = template_fault(file.content.decode(), known)
                except UnicodeDecodeError:
                    fault, step = "the template is no text", "use source for it"
                if fault:
                    self.complain(f"files.{file.path}.template", f"{file.path}: {fault}", step)
