"""Measuring: boot after boot, each in a machine of its own on a throw-away overlay, and what is timed in it.

Boot times are from QEMU's start on the host's monotonic clock, which firmware, unpacking and an initramfs are part of. To init:
when systemd took over, by its own clock, placed on the host's through the guest agent. To login: when the prompt is on the console.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rastos.errors import ExternalError, RastosError
from rastos.host import digest_of, rename_durable, run, working_directory
from rastos.progress import Progress

from ..vm.machine import Machine, booted
from .plan import BenchPlan, Contender
from .results import FIGURES, BenchResult, Conditions, Figure, Measured

SOURCE = Path(__file__).with_name("rastos-bench.c")
FLAGS = ("-O2", "-static", "-Wall", "-Wl,--build-id=none", "-s")
PLACE = "/var/tmp/rastos-bench"  # on btrfs, and the only place of a deployment where programs may lie
LOOK_SECONDS = 0.02


@dataclass(slots=True)
class _Tally:
    """One kernel's figures as they come."""

    values: dict[str, list[float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, n: int = 1) -> None:
        self.values.setdefault(name, []).append(round(value, 3))
        self.counts[name] = self.counts.get(name, 0) + n


def measure(plan: BenchPlan, *, cache: Path, progress: Progress) -> BenchResult:
    """Carry the plan out. A run that fails (a crash, no login, a figure missing) is told in its kernel's `failures`."""
    program = bench_program(cache)
    data = program.read_bytes()
    tallies = {item.name: _Tally() for item in plan.contenders}
    load = round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    order = plan.order()
    with progress.step("Boot and measure", total=len(order), unit="boots") as step:
        for done, (number, item) in enumerate(order):
            step.advance(done, f"{item.name}, run {number + 1} of {plan.runs}")
            tally = tallies[item.name]
            try:
                _one(plan, item, data, tally, cache)
            except RastosError as error:
                tail = f"\n{error.detail}" if error.detail else ""
                tally.failures.append(f"run {number + 1}: {error}{tail}")
                step.note(f"{item.name}, run {number + 1}: {error}", "warning")
        step.advance(len(order))
    return BenchResult(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=plan.runs,
        load=load,
        conditions=_conditions(plan, data),
        kernels=tuple(_measured(item, tallies[item.name]) for item in plan.contenders),
    )


def bench_program(cache: Path) -> Path:
    """The program that measures, compiled once for each version of it. Raises ExternalError with the compiler's words."""
    compiler = run(["gcc", "--version"]).stdout.splitlines()[0]
    place = cache / "bench" / digest_of(SOURCE.read_bytes(), " ".join(FLAGS), compiler)[:16]
    if not place.is_file():
        with working_directory(cache / "bench", "compile") as work:
            run(["gcc", *FLAGS, "-o", work / "program", SOURCE], what=f"compile {SOURCE.name}")
            rename_durable(work / "program", place)
    return place


def _one(plan: BenchPlan, item: Contender, program: bytes, tally: _Tally, cache: Path) -> None:
    """A boot: nothing is added to the tally unless all of it went well."""
    found: list[tuple[str, float, int]] = []
    with booted(item.image, cache=cache, way="direct", memory=plan.memory, cpus=plan.cpus) as machine:
        machine.wait_console("login:", plan.timeout, LOOK_SECONDS)
        login = time.monotonic() - machine.started
        machine.wait_agent(plan.timeout)
        machine.execute("systemctl is-system-running --wait", plan.timeout)
        found.append(("boot to init", _init(machine), 1))
        found.append(("boot to login", login, 1))
        memory = machine.succeed("awk '/^Mem(Total|Available):/ { print $2 }' /proc/meminfo").split()
        found.append(("memory after boot", (int(memory[0]) - int(memory[1])) / 1024, 1))
        machine.succeed(f"mkdir -p {PLACE}/files")
        machine.put(f"{PLACE}/program", program)
        said = machine.succeed(f"chmod 755 {PLACE}/program && {PLACE}/program {PLACE}/files", plan.timeout)
        found += figures_of(said)
    missing = [name for name in FIGURES if name not in {one[0] for one in found}]
    if missing:
        raise ExternalError(f"the guest measured no {', '.join(missing)}", tail=said)
    for name, value, n in found:
        tally.add(name, value, n)


def figures_of(said: str) -> list[tuple[str, float, int]]:
    """The program's lines: name, value, operations. Raises ExternalError for a line that is none, or of another unit."""
    found = []
    for line in said.splitlines():
        try:
            one = json.loads(line)
            name, value, n = str(one["name"]), float(one["value"]), int(one["n"])
            if FIGURES[name][0] != one["unit"] or value <= 0:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise ExternalError("the guest's program said something that is no figure", tail=line) from None
        found.append((name, value, n))
    return found


def _init(machine: Machine) -> float:
    """Seconds from QEMU's start to systemd's. The guest's clocks differ by what one shell reads of both, to 10 ms."""
    wall, host = machine.agent.clock()
    both = machine.succeed("cut -d' ' -f1 /proc/uptime; date +%s.%N").split()
    boot = float(both[1]) - float(both[0])
    shown = machine.succeed("systemctl show --value --property=UserspaceTimestampMonotonic")
    return (host - machine.started) - (wall - boot) + int(shown) / 1e6


def _measured(item: Contender, tally: _Tally) -> Measured:
    figures = tuple(
        Figure(name, unit, tuple(tally.values[name]), tally.counts[name])
        for name, (unit, _) in FIGURES.items()
        if name in tally.values
    )
    return Measured(
        name=item.name,
        package=item.package,
        release=item.release,
        sha256=item.sha256,
        key=item.key,
        image_size=item.image_size,
        initramfs_size=item.initramfs_size,
        figures=figures,
        failures=tuple(tally.failures),
    )


def _conditions(plan: BenchPlan, program: bytes) -> Conditions:
    text = Path("/proc/cpuinfo").read_text(errors="replace")
    models = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return Conditions(
        processor=f"{len(models)} × {models[0] if models else platform.machine()}",
        host=platform.release(),
        qemu=run(["qemu-system-x86_64", "--version"]).stdout.splitlines()[0].removeprefix("QEMU emulator version "),
        accelerator=plan.accelerator.name,
        cpus=plan.cpus,
        memory=plan.memory,
        userland=plan.userland,
        program=digest_of(program)[:12],
    )
