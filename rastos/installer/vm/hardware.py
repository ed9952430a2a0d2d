"""What a machine has besides its disk, memory and processors: asked for in a user's words, fitted as values for QEMU."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")
SIZE = re.compile(r"([0-9]+)\s*([MGT])", re.IGNORECASE)
DISPLAYS = ("none", "vnc", "gtk", "sdl")


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of 127.0.0.1 that leads to one of the guest; `protocol` is tcp or udp."""

    host: int
    guest: int
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Share:
    """A folder of the host the guest mounts by virtio-9p under its tag."""

    path: Path
    tag: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ExtraDisk:
    """A further disk: a file that is there, or an empty throw-away one of `size` bytes."""

    path: Path | None
    size: int = 0


@dataclass(frozen=True, slots=True)
class Hardware:
    """What is asked for. `display` is one of DISPLAYS; `screen`: it has one, so that screenshots can be taken.

    `network` names a private network it is on (docs/vm.md); `name` is what it is called there and in `image vm list`.
    `networks` is the folder its networks are in, for those of one test run alone; None: those all machines of a cache share.
    `environment`: variables a display needs, such as DISPLAY. `web`: its screen is served to browsers (`web`).
    """

    forwards: tuple[Forward, ...] = ()
    shares: tuple[Share, ...] = ()
    disks: tuple[ExtraDisk, ...] = ()
    tpm: bool = False
    screen: bool = False
    display: str = "none"
    network: str = ""
    networks: Path | None = None
    name: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    web: bool = False


@dataclass(frozen=True, slots=True)
class PrivateLink:
    """A network card on a private network: frames go out to `remote` and come in on `local`, both datagram sockets."""

    mac: str
    local: Path
    remote: Path


@dataclass(frozen=True, slots=True)
class FittedDisk:
    """A disk as QEMU opens it; `keep`: what is written has to survive the host."""

    path: Path
    format: str
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is there, ready for QEMU; `tpm` is swtpm's control socket, `vnc` a display of 127.0.0.1 (port 5900 + n).

    `control` is a second monitor, for `rastos image vm`; `screen_socket` a VNC server that only our own folder leads to.
    """

    forwards: tuple[Forward, ...] = ()
    shares: tuple[Share, ...] = ()
    disks: tuple[FittedDisk, ...] = ()
    tpm: Path | None = None
    screen: bool = False
    display: str = "none"
    vnc: int | None = None
    link: PrivateLink | None = None
    control: Path | None = None
    screen_socket: Path | None = None
    name: str = ""
    environment: tuple[tuple[str, str], ...] = ()


def comma(value: object) -> str:
    """QEMU's option syntax: a comma in a value is doubled."""
    return str(value).replace(",", ",,")


def hostfwd(forwards: tuple[Forward, ...]) -> str:
    """The end of QEMU's user network option: only the loopback is listened on."""
    return "".join(f",hostfwd={item.protocol}:127.0.0.1:{item.host}-:{item.guest}" for item in forwards)


def hardware_words(fitted: Fitted) -> list[str]:
    """QEMU's words for it (qemu(1)); forwarded ports are part of the user network and not here."""
    words = ["-name", f"guest={comma(fitted.name)}"] if fitted.name else []
    if fitted.screen:
        # usb keyboard and tablet: what desktops and a person's mouse need; firmware knows them too
        words += ["-device", "VGA", "-device", "qemu-xhci", "-device", "usb-kbd", "-device", "usb-tablet"]
    if fitted.vnc is not None:
        words += ["-vnc", f"127.0.0.1:{fitted.vnc}"]
    if fitted.screen_socket is not None:
        # several viewers, and none can shut out the others
        words += ["-vnc", f"unix:{comma(fitted.screen_socket)},share=force-shared"]
    if fitted.control is not None:
        words += ["-qmp", f"unix:{comma(fitted.control)},server=on,wait=off"]
    for number, disk in enumerate(fitted.disks):
        cache = "writeback" if disk.keep else "unsafe"
        place = f"file={comma(disk.path)},discard=unmap,cache={cache}"
        words += ["-drive", f"if=none,id=extra{number},format={disk.format},{place}"]
        words += ["-device", f"virtio-blk-pci,drive=extra{number},serial=extra{number}"]
    for number, share in enumerate(fitted.shares):
        # mapped-xattr: a guest's root makes neither set-uid files nor devices on the host
        how = "security_model=mapped-xattr" if share.writable else "security_model=none,readonly=on"
        words += ["-fsdev", f"local,id=share{number},path={comma(share.path)},{how}"]
        words += ["-device", f"virtio-9p-pci,fsdev=share{number},mount_tag={comma(share.tag)}"]
    if fitted.tpm is not None:
        words += ["-chardev", f"socket,id=tpm,path={comma(fitted.tpm)}", "-tpmdev", "emulator,id=tpm,chardev=tpm"]
        words += ["-device", "tpm-tis,tpmdev=tpm"]
    if fitted.link is not None:
        ends = f"local.type=unix,local.path={comma(fitted.link.local)}"
        ends += f",remote.type=unix,remote.path={comma(fitted.link.remote)}"
        words += ["-netdev", f"dgram,id=private,{ends}"]
        words += ["-device", f"virtio-net-pci,netdev=private,mac={fitted.link.mac},romfile="]
    return words


def parse_forward(text: str) -> Forward:
    """8080:80, or 5353:53/udp. UserError otherwise."""
    found = re.fullmatch(r"([0-9]{1,5}):([0-9]{1,5})(?:/(tcp|udp))?", text.strip())
    ports = (int(found[1]), int(found[2])) if found else (0, 0)
    if not found or not all(0 < port < 65536 for port in ports):
        step = "write HOST:GUEST, such as 8080:80 (or 5353:53/udp)"
        raise UserError(f"'{text}' is no port forward", next_step=step)
    return Forward(*ports, found[3] or "tcp")


def parse_share(text: str) -> Share:
    """DIR, DIR:TAG or DIR:TAG:rw; the tag is the folder's name otherwise. UserError: no such folder, no such tag."""
    words = text.split(":")
    writable = len(words) == 3 and words[2] == "rw"
    if len(words) > 3 or (len(words) == 3 and not writable):
        raise UserError(f"'{text}' is no shared folder", next_step="write DIR, DIR:TAG or DIR:TAG:rw")
    path = Path(words[0]).expanduser().absolute()
    if not words[0] or not path.is_dir():
        raise UserError("there is no such folder to share", on=path, next_step="make it, or check the name")
    tag = words[1] if len(words) > 1 else re.sub(r"[^A-Za-z0-9._-]", "-", path.name)[:31].lstrip("._-") or "share"
    if not NAME.fullmatch(tag) or len(tag) > 31:
        raise UserError(f"'{tag}' is no tag of a share", on=path, next_step="use up to 31 letters, digits, . _ and -")
    return Share(path, tag, writable)


def parse_disk(text: str) -> ExtraDisk:
    """A file, or a size such as 4G for an empty disk. UserError: there is no such file."""
    found = SIZE.fullmatch(text.strip())
    if found and not Path(text).exists():
        return ExtraDisk(None, int(found[1]) * {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[found[2].upper()])
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise UserError("there is no such disk", on=path, next_step="name a disk's file, or a size such as 4G")
    return ExtraDisk(path)


def machine_name(text: str, what: str = "machine") -> str:
    """The name again. UserError where it can't be one."""
    if not NAME.fullmatch(text):
        step = "use up to 48 letters, digits, . _ and -, beginning with a letter or digit"
        raise UserError(f"'{text}' is no name for a {what}", next_step=step)
    return text
