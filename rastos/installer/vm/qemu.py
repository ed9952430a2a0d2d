"""The QEMU command line as a value: pure, so that it can be shown and tested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError

from .hardware import Fitted, Forward, comma, hardware_words, hostfwd

FIRMWARE = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
)
AGENT = "org.qemu.guest_agent.0"
KEY_CREDENTIAL = "opt/io.systemd.credentials/ssh.authorized_keys.root"


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """A machine: disk file, memory in MiB, and either firmware (code, variables) or a kernel with its command line.

    `runtime` is the folder of its logs and (unless `sockets` names a shorter path) its sockets; `keep` says that what is
    written to the disk has to survive the host; `ssh_port` a port of 127.0.0.1, 0 for no network;
    `ssh_key` a public key root gets through a systemd credential (systemd.system-credentials(7)). `gdb` is the port of
    127.0.0.1 a debugger connects to, 0 for a socket, None for none; `stopped` waits for it before the first instruction.
    `secure`: the firmware is one with Secure Boot, which keeps its variables from the guest by System Management Mode.
    `fitted` is what it has besides. `watchdog` is what QEMU does when nobody feeds it: pause, so that the hang is seen, or
    reset as a board would.
    """

    runtime: Path
    accel: str
    cpu: str
    disk: Path | None = None
    disk_format: str = "qcow2"
    second: Path | None = None  # the other disk of a mirror, of the same format
    keep: bool = False
    memory: int = 1024
    cpus: int = 2
    firmware: tuple[Path, Path] | None = None
    secure: bool = False
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    ssh_port: int = 0
    ssh_key: str = ""
    sockets: Path | None = None
    gdb: int | None = None
    stopped: bool = False
    watchdog: str = "pause"
    fitted: Fitted = Fitted()

    @property
    def monitor(self) -> Path:
        """QMP socket."""
        return (self.sockets or self.runtime) / "qmp"

    @property
    def console(self) -> Path:
        """Serial console socket."""
        return (self.sockets or self.runtime) / "console"

    @property
    def console_log(self) -> Path:
        """Everything the serial console said."""
        return self.runtime / "console.log"

    @property
    def agent(self) -> Path:
        """Guest agent socket."""
        return (self.sockets or self.runtime) / "agent"

    @property
    def gdb_address(self) -> str:
        """Where a debugger finds the machine, as gdb's `target remote` takes it."""
        return f"127.0.0.1:{self.gdb}" if self.gdb else str((self.sockets or self.runtime) / "gdb")


def find_firmware() -> tuple[Path, Path]:
    """UEFI code and variables of this host. Raises HostError where there is none."""
    for code, variables in FIRMWARE:
        if Path(code).is_file() and Path(variables).is_file():
            return Path(code), Path(variables)
    raise HostError(
        "no UEFI firmware for QEMU here", next_step="install ovmf (Debian) or edk2-ovmf, or boot with --direct"
    )


def argv(spec: MachineSpec) -> list[str]:
    """The command line."""
    words = [
        "qemu-system-x86_64",
        "-machine",
        "q35,smm=on" if spec.secure else "q35",
        "-accel",
        spec.accel,
        "-cpu",
        spec.cpu,
    ]
    words += ["-m", str(spec.memory), "-smp", str(spec.cpus), "-nodefaults", "-no-user-config"]
    words += ["-display", spec.fitted.display]
    words += ["-qmp", f"unix:{comma(spec.monitor)},server=on,wait=off"]
    log = comma(spec.console_log)
    words += ["-chardev", f"socket,id=console,path={comma(spec.console)},server=on,wait=off,logfile={log},logappend=on"]
    words += ["-serial", "chardev:console"]
    if spec.firmware:
        code, variables = spec.firmware
        words += ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={comma(code)}"]
        words += ["-drive", f"if=pflash,unit=1,format=raw,file={comma(variables)}"]
    if spec.secure:
        words += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"]
    if spec.kernel:
        words += ["-kernel", str(spec.kernel), "-append", spec.cmdline]
        if spec.initrd:
            words += ["-initrd", str(spec.initrd)]
    if spec.disk:
        # nobody needs a throw-away disk after a power cut: flushes of the guest cost nothing then
        cache = "writeback" if spec.keep else "unsafe"
        words += [
            "-drive",
            f"if=none,id=disk,format={spec.disk_format},file={comma(spec.disk)},discard=unmap,cache={cache}",
        ]
        # with -kernel QEMU itself takes boot index 0
        words += ["-device", "virtio-blk-pci,drive=disk" + ("" if spec.kernel else ",bootindex=0")]
    if spec.second:
        cache = "writeback" if spec.keep else "unsafe"
        words += ["-drive", f"if=none,id=second,format={spec.disk_format},file={comma(spec.second)},cache={cache}"]
        words += ["-device", "virtio-blk-pci,drive=second" + ("" if spec.kernel else ",bootindex=1")]
    if spec.ssh_port:
        words += ["-netdev", "user,id=net" + hostfwd((Forward(spec.ssh_port, 22), *spec.fitted.forwards))]
        words += ["-device", "virtio-net-pci,netdev=net,romfile="]
    words += [*hardware_words(spec.fitted), "-device", "virtio-serial-pci"]
    words += ["-chardev", f"socket,id=agent,path={comma(spec.agent)},server=on,wait=off"]
    words += ["-device", f"virtserialport,chardev=agent,name={AGENT}", "-device", "virtio-rng-pci"]
    words += ["-device", "pvpanic-pci", "-device", "i6300esb", "-action", f"panic=pause,watchdog={spec.watchdog}"]
    if spec.ssh_key:
        words += ["-fw_cfg", f"name={KEY_CREDENTIAL},string={comma(spec.ssh_key)}"]
    if spec.gdb is not None:
        where = f"host=127.0.0.1,port={spec.gdb}" if spec.gdb else f"path={comma(spec.gdb_address)}"
        words += ["-chardev", f"socket,id=gdb,{where},server=on,wait=off", "-gdb", "chardev:gdb"]
    if spec.stopped:
        words.append("-S")
    return words
