"""A kernel under a debugger: QEMU with the gdb stub, and the line that starts gdb on it (QEMU's documentation, "GDB usage")."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import UserError
from rastos.host import sha256_file, working_directory
from rastos.kernel import BuiltKernel, Vmlinux, vmlinuz_of

from .accelerator import Accelerator
from .machine import EMULATED, Machine, booted, direct_files, started
from .qemu import MachineSpec

# addresses as in vmlinux; a panic keeps the machine for the debugger
PARAMETERS = "nokaslr panic=0"


@dataclass(frozen=True, slots=True)
class DebugPlan:
    """A kernel to debug: with an image as its root, or alone (then it ends where it looks for one).

    `port` of 127.0.0.1 for the stub, 0 for a socket only root can open; `wait` stops before the first instruction.
    """

    kernel: BuiltKernel
    vmlinux: Vmlinux
    image: Path | None
    port: int
    wait: bool
    memory: int

    def gdb(self, stub: str) -> list[str]:
        """The debugger's command line; `stub` is where QEMU listens."""
        words = ["gdb", str(self.vmlinux.path)]
        if self.vmlinux.scripts:
            words += ["-iex", f"add-auto-load-safe-path {self.vmlinux.scripts.parent}"]
        return [*words, "-ex", f"target remote {stub}"]


@contextmanager
def debugged(plan: DebugPlan, accelerator: Accelerator, *, cache: Path) -> Iterator[tuple[Machine, list[str]]]:
    """Start it; the machine and the line for gdb. UserError: the image has another build than the one with symbols."""
    with ExitStack() as stack:
        place = stack.enter_context(working_directory(cache / "vm", "debug"))
        kernel = vmlinuz_of(plan.kernel, place)
        if plan.image is None:
            sockets = stack.enter_context(working_directory(Path("/tmp"), "vm")) if len(bytes(place)) > 95 else None
            emulated = f" {EMULATED}" if accelerator.name == "tcg" else ""
            spec = MachineSpec(
                runtime=place,
                accel=accelerator.option,
                cpu=accelerator.cpu,
                memory=plan.memory,
                cpus=accelerator.cpus,
                kernel=kernel,
                cmdline=f"console=ttyS0 {PARAMETERS}{emulated}",
                sockets=sockets,
                gdb=plan.port,
                stopped=plan.wait,
            )
            machine = stack.enter_context(started(spec))
        else:
            (place / "image").mkdir()
            inside, _, _ = direct_files(plan.image, place / "image")
            if sha256_file(inside) != sha256_file(kernel):
                raise UserError(
                    f"the image boots another build than the {plan.kernel.name} {plan.kernel.version} with symbols",
                    on=plan.image,
                    next_step="create the image again with this kernel, or leave --image out",
                )
            machine = stack.enter_context(
                booted(
                    plan.image,
                    cache=cache,
                    way="direct",
                    memory=plan.memory,
                    change=lambda spec: replace(
                        spec, cmdline=f"{spec.cmdline} {PARAMETERS}", gdb=plan.port, stopped=plan.wait
                    ),
                )
            )
        yield machine, plan.gdb(machine.spec.gdb_address)
