"""Which kernels are measured, how, and what they bring: looked up before anything boots."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import UserError
from rastos.snapshot import Store, boot_files

from ..open import open_image
from ..vm.accelerator import Accelerator


@dataclass(frozen=True, slots=True)
class Contender:
    """A kernel in an image of its own; all images have the same userland. Sizes in bytes."""

    name: str
    image: Path
    package: str
    release: str
    sha256: str
    key: str
    image_size: int
    initramfs_size: int


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """Every kernel boots `runs` times, in turn. Memory in MiB, `timeout` in seconds for a boot and for the measurements."""

    contenders: tuple[Contender, ...]
    userland: str
    accelerator: Accelerator
    runs: int
    memory: int
    cpus: int
    timeout: float

    def order(self) -> list[tuple[int, Contender]]:
        """Run by run, each beginning with another kernel, so that none always follows the same one."""
        found = []
        for run in range(self.runs):
            first = run % len(self.contenders)
            found += [(run, item) for item in (*self.contenders[first:], *self.contenders[:first])]
        return found

    def to_json(self) -> dict[str, Any]:
        """For --dry-run."""
        return {
            "kernels": [item.name for item in self.contenders],
            "boots": [item.name for _, item in self.order()],
            "runs": self.runs,
            "memory": self.memory,
            "cpus": self.cpus,
            "accelerator": self.accelerator.name,
            "userland": self.userland,
        }


def contender(name: str, image: Path, *, key: str = "") -> Contender:
    """What an image boots next. UserError: nothing is deployed in it; `key` is the build key where it is known."""
    with open_image(image, writable=False, purpose="look at its kernel") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        files = boot_files(store)
        kernel = opened.esp.read(files.kernel_esp_path)
        base = store.tree(files.snapshot) / "usr/lib/modules" / files.release / "pkgbase"
        return Contender(
            name=name,
            image=image,
            package=base.read_text().strip() if base.is_file() else "",
            release=files.release,
            sha256=hashlib.sha256(kernel).hexdigest(),
            key=key,
            image_size=len(kernel),
            initramfs_size=len(opened.esp.read(files.initrd_esp_path)) if files.initrd_esp_path else 0,
        )


def plan_bench(
    contenders: Sequence[Contender],
    *,
    userland: str,
    accelerator: Accelerator,
    runs: int,
    memory: int,
    cpus: int | None,
    timeout: float,
) -> BenchPlan:
    """The plan; `cpus` None: what suits the accelerator. UserError: a name comes twice."""
    names = [item.name for item in contenders]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"'{name}' is named twice", next_step="name every kernel once")
    return BenchPlan(tuple(contenders), userland, accelerator, runs, memory, cpus or accelerator.cpus, timeout)
