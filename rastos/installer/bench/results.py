"""What a bench came to, as values that can be kept, printed and compared."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1
# name: (unit, whether more is better); in the order of the table
FIGURES: Mapping[str, tuple[str, bool]] = {
    "boot to init": ("s", False),
    "boot to login": ("s", False),
    "memory after boot": ("MiB", False),
    "system call": ("ns", False),
    "context switch": ("us", False),
    "fork": ("us", False),
    "fork and exec": ("us", False),
    "page fault": ("ns", False),
    "loopback TCP": ("MiB/s", True),
    "file create": ("us", False),
    "file read": ("us", False),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one kernel: a value for every run, `n` operations behind them in all."""

    name: str
    unit: str
    values: tuple[float, ...]
    n: int

    @property
    def middle(self) -> float:
        """The median of the runs."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The smallest value."""
        return min(self.values)

    @property
    def most(self) -> float:
        """The largest value."""
        return max(self.values)


@dataclass(frozen=True, slots=True)
class Measured:
    """A kernel's figures. `sha256` is of the kernel file that booted; sizes in bytes; `failures` say which run failed how."""

    name: str
    package: str
    release: str
    sha256: str
    key: str
    image_size: int
    initramfs_size: int
    figures: tuple[Figure, ...]
    failures: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """A figure by name; None where no run gave it."""
        return next((item for item in self.figures if item.name == name), None)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What has to be the same for figures to be comparable; memory in MiB, `userland` the image profile."""

    processor: str
    host: str
    qemu: str
    accelerator: str
    cpus: int
    memory: int
    userland: str
    program: str

    def differences(self, other: Conditions) -> list[str]:
        """In words: what was otherwise then; empty where figures can be compared."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{name} was {theirs[name]}, now {mine[name]}" for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True, slots=True)
class BenchResult:
    """A bench: when (ISO 8601), under which conditions, how many runs, and every kernel's figures.

    `load` is what else the host had to do for each of its processors: its load average before the first boot, by their number.
    """

    time: str
    runs: int
    load: float
    conditions: Conditions
    kernels: tuple[Measured, ...]

    def to_json(self) -> dict[str, Any]:
        """For --json and the results file."""
        return {"schema": SCHEMA, **asdict(self)}

    @property
    def failed(self) -> bool:
        """Whether any run of any kernel failed."""
        return any(item.failures for item in self.kernels)


def from_json(value: Mapping[str, Any]) -> BenchResult:
    """Back from `to_json`. KeyError, TypeError: it is something else."""
    kernels = []
    for item in value["kernels"]:
        figures = tuple(Figure(**{**figure, "values": tuple(figure["values"])}) for figure in item["figures"])
        kernels.append(Measured(**{**item, "figures": figures, "failures": tuple(item["failures"])}))
    return BenchResult(value["time"], value["runs"], value["load"], Conditions(**value["conditions"]), tuple(kernels))
