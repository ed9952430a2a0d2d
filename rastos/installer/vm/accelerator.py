"""Whether KVM really executes a guest here: /dev/kvm may open and a guest still hang at its first instruction."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from rastos.errors import ExternalError, IntegrityError
from rastos.host import read_json, run, working_directory, write_json

SECONDS = 4.0  # a boot sector that runs at all answers in a fraction of one
# 16-bit: print 'R' on the debug console (port 0xe9), leave by isa-debug-exit (port 0xf4), else halt
SECTOR = bytes.fromhex("b052 bae900 ee b000 baf400 ee fa f4 ebfd".replace(" ", "")).ljust(510, b"\0") + b"\x55\xaa"
DEBUG_EXIT = 1  # (0 << 1) | 1
# measured: 6.12 guests crash now and then early in boot where TCG offers cmpxchg16b or 5-level paging
TCG_CPU = "max,-cx16,-la57"


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What guests run on: name is kvm or tcg, `cpu` the model to give QEMU."""

    name: str
    cpu: str
    verdict: str
    reason: str

    @property
    def cpus(self) -> int:
        """How many processors a guest gets by default.

        One under emulation: with two, 1 boot in 100 to 40 ended in "Oops: int3" just when 6.12 patches its code for more
        than one processor; 130 of 130 boots with one were fine. A system is up a fifth later.
        """
        return 2 if self.name == "kvm" else 1

    @property
    def option(self) -> str:
        """For QEMU's -accel."""
        return "kvm" if self.name == "kvm" else "tcg,thread=multi"


def probe_accelerator(cache: Path) -> Accelerator:
    """Start a 512-byte guest under KVM; the verdict is remembered for this boot of the host and this QEMU."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    version = run(["qemu-system-x86_64", "--version"]).stdout.splitlines()[0]
    memory = cache / "accelerator.json"
    known = _remembered(memory, boot, version)
    if known:
        return known
    found = _probe(cache)
    cache.mkdir(parents=True, exist_ok=True)
    write_json(memory, {"boot": boot, "qemu": version, "accelerator": asdict(found)})
    return found


def _remembered(memory: Path, boot: str, version: str) -> Accelerator | None:
    try:
        known = read_json(memory)
        return Accelerator(**known["accelerator"]) if (known["boot"], known["qemu"]) == (boot, version) else None
    except (OSError, IntegrityError, KeyError, TypeError):
        return None  # none yet, or not one we wrote: find out again


def _probe(cache: Path, accel: str = "kvm", cpu: str = "host") -> Accelerator:
    if accel == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Accelerator("tcg", TCG_CPU, "software emulation", "/dev/kvm is not there or not ours")
    with working_directory(cache, "probe") as place:
        (place / "sector").write_bytes(SECTOR)
        disk = {"driver": "raw", "node-name": "d", "file": {"driver": "file", "filename": str(place / "sector")}}
        command = ["qemu-system-x86_64", "-machine", "pc", "-accel", accel, "-cpu", cpu, "-m", "16", "-display", "none"]
        command += ["-nodefaults", "-no-reboot", "-blockdev", json.dumps(disk), "-device", "ide-hd,drive=d,bootindex=0"]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-debugcon", f"file:{place / 'said'}"]
        try:
            done = run(command, check=False, timeout=SECONDS)
        except ExternalError:
            return Accelerator(
                "tcg", TCG_CPU, "software emulation", f"a guest under {accel.upper()} did not answer in {SECONDS:g} s"
            )
        said = (place / "said").read_bytes() if (place / "said").exists() else b""
    if done.status == DEBUG_EXIT and said == b"R":
        return Accelerator(accel, cpu, f"{accel.upper()} runs guests", "a guest answered")
    words = (done.stderr.strip().splitlines() or [f"QEMU ended with status {done.status}"])[-1].rpartition(": ")[2]
    return Accelerator("tcg", TCG_CPU, "software emulation", f"a guest under {accel.upper()} failed: {words[:100]}")
