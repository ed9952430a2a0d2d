"""From the hardware asked for to what is there: ports and files looked at, empty disks made, swtpm and the network started."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import require_programs, run

from .hardware import ExtraDisk, Fitted, FittedDisk, Hardware
from .network import joined
from .qemu import MachineSpec

VNC_BASE = 5900


@contextmanager
def fitted(hardware: Hardware, spec: MachineSpec, *, cache: Path) -> Iterator[Fitted]:
    """What a machine needs besides itself, while the block runs. UserError, HostError: a port, a file, a program, a display."""
    place = spec.sockets or spec.runtime
    with ExitStack() as stack:
        for forward in hardware.forwards:
            _free(forward.host, forward.protocol)
        for share in hardware.shares:
            if not share.path.is_dir():
                raise UserError(
                    "there is no such folder to share", on=share.path, next_step="make it, or check the name"
                )
        _tags(hardware)
        disks = tuple(_disk(stack, number, disk, spec.runtime) for number, disk in enumerate(hardware.disks))
        link = None
        if hardware.network:
            own = hardware.networks
            folder = own / hardware.network if own else network_folder(cache, hardware.network)
            link = stack.enter_context(joined(folder, hardware.name or "machine", hardware.network))
        if hardware.tpm:
            require_programs("swtpm")
        display, vnc = _display(hardware.display)
        yield Fitted(
            forwards=hardware.forwards,
            shares=hardware.shares,
            disks=disks,
            tpm=place / "tpm.ctrl" if hardware.tpm else None,
            screen=hardware.screen or hardware.web or hardware.display != "none",
            display=display,
            vnc=vnc,
            link=link,
            control=place / "control",
            screen_socket=place / "vnc" if hardware.web else None,
            name=hardware.name,
            environment=hardware.environment,
        )


def network_folder(cache: Path, network: str) -> Path:
    """Where a private network's sockets are; where the cache's path is too long for one (unix(7)), in /tmp, by its digest."""
    folder = cache / "vm" / "network" / network
    if len(bytes(folder)) < 85:
        return folder
    import hashlib
    import os

    mark = hashlib.sha256(bytes(folder)).hexdigest()[:16]
    short = Path("/tmp") / f".rastos-network-{os.getuid()}-{mark}"
    short.mkdir(mode=0o700, exist_ok=True)
    state = short.lstat()
    if state.st_uid != os.getuid() or short.is_symlink() or state.st_mode & 0o077:
        raise HostError("somebody else has the folder of this network", on=short, next_step="remove it")
    return short


def _tags(hardware: Hardware) -> None:
    tags = [share.tag for share in hardware.shares]
    for tag in tags:
        if tags.count(tag) > 1:
            raise UserError(f"two shares have the tag '{tag}'", next_step="name one otherwise: --share DIR:TAG")


def _free(port: int, protocol: str = "tcp") -> None:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            step = "forward a port from 1024 on, or run it as root"
            raise HostError(f"port {port} is only for root", next_step=step) from error
        except OSError as error:
            step = f"take another, such as --forward {free_port()}:…"
            raise UserError(f"port {port} of 127.0.0.1 is in use", next_step=step) from error


def free_port(above: int = 0) -> int:
    """A port of 127.0.0.1 nobody listens on now; the first one from `above` on, or any."""
    for port in range(above, above + 100) if above else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if above else 0)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise HostError(f"no port of 127.0.0.1 from {above} on is free", next_step="end some of the machines")


def _disk(stack: ExitStack, number: int, disk: ExtraDisk, folder: Path) -> FittedDisk:
    from ..open import image_format, image_lock

    if disk.path is None:
        path = folder / f"extra{number}.qcow2"
        run(["qemu-img", "create", "-q", "-f", "qcow2", path, str(disk.size)], what="make an empty disk")
        return FittedDisk(path, "qcow2")
    stack.enter_context(image_lock(disk.path, "a virtual machine's further disk"))
    return FittedDisk(disk.path, image_format(disk.path), keep=True)


def _display(wanted: str) -> tuple[str, int | None]:
    """QEMU's display, and the VNC display's number where it is that."""
    if wanted in ("none", ""):
        return "none", None
    if wanted == "vnc":
        return "none", free_port(VNC_BASE) - VNC_BASE
    if wanted not in displays():
        step = "install qemu-system-gui (Debian) or qemu-ui-gtk (Arch), or use vnc"
        raise HostError(f"QEMU has no display '{wanted}' here", next_step=step)
    return wanted, None


def displays() -> tuple[str, ...]:
    """The displays this host's QEMU has."""
    done = run(["qemu-system-x86_64", "-display", "help"], check=False)
    return tuple(line.strip() for line in done.stdout.splitlines()[1:] if line.strip())
