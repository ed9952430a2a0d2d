"""Converting an image file: a plan, then a new file that gets its name when it is whole."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import HostError, UserError
from rastos.host import faults, rename_durable, require_root, working_directory
from rastos.progress import Progress

from ..open import check_unused, image_lock
from .source import ImageFile, examine
from .table import FORMATS, Format, check_compression, find_format, format_of_name
from .writing import write_format

MARGIN = 16 << 20  # headers, tables, what rounding takes


@dataclass(frozen=True, slots=True)
class ConvertPlan:
    """What will be written: `size` of the new disk, `needed` bytes at most, `free` bytes where it goes."""

    source: ImageFile
    output: Path
    format: Format
    compression: str
    size: int
    needed: int
    free: int
    replaces: bool

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "image": str(self.source.path),
            "from": self.source.format.name,
            "output": str(self.output),
            "format": self.format.name,
            "compression": self.compression,
            "size": self.size,
            "needed": self.needed,
            "free": self.free,
            "replaces": self.replaces,
        }


@dataclass(frozen=True, slots=True)
class Converted:
    """The new file."""

    path: Path
    format: str
    size: int
    bytes_on_disk: int


def plan_convert(
    image: Path, output: Path, *, kind: str = "", compression: str = "", force: bool = False, overlay: bool = False
) -> ConvertPlan:
    """Plan a conversion; without `kind` the output's name decides. `overlay`: the image may stand on another file.

    Raises UserError (unknown format, bad output), BusyError (in use), IntegrityError (damaged), HostError (no space).
    """
    wanted = find_format(kind) if kind else format_of_name(output)
    if wanted is None:
        raise UserError(
            "the output's name says no format", on=output, next_step=f"name one: --format {', '.join(FORMATS)}"
        )
    check_compression(wanted, compression)
    source = examine(image, overlay=overlay)
    check_output(output, wanted, force=force, image=image)
    size = -(-source.size // wanted.multiple) * wanted.multiple
    free = free_bytes(output.absolute().parent)
    plan = ConvertPlan(
        source, output.absolute(), wanted, compression, size, source.data + MARGIN, free, os.path.lexists(output)
    )
    if wanted.kind == "disk" and free < plan.needed:
        raise no_space(output.absolute().parent, free, plan.needed)
    return plan


def check_output(output: Path, kind: Format, *, force: bool, image: Path | None = None) -> None:
    """UserError where a new image can't get this name: a folder, a device, there already (unless `force`), the source itself."""
    try:
        mode = output.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise UserError("the output is a folder", on=output, next_step=f"name a file in it: {output}/NAME{kind.suffix}")
    if not stat.S_ISREG(mode):
        raise UserError(
            "the output is a device, not a file", on=output, next_step="write a raw image to a file, then copy it there"
        )
    if image is not None and os.path.samestat(image.stat(), output.stat()):
        raise UserError("the output is the image itself", on=output, next_step="name another output")
    if not force:
        raise UserError("the output exists", on=output, next_step="overwrite it with --force, or name another one")


def free_bytes(folder: Path) -> int:
    """What a user may still write to the file system of a folder that may not be there yet."""
    place = next((item for item in (folder, *folder.parents) if item.is_dir()), folder)
    status = os.statvfs(place)
    return status.f_bavail * status.f_frsize


def no_space(folder: Path, free: int, needed: int) -> HostError:
    """The error for a file system that is too full."""
    return HostError(
        f"{free >> 20} MiB are free, up to {needed >> 20} MiB are needed",
        on=folder,
        next_step=f"free {needed - free >> 20} MiB, or name a place on a larger disk",
    )


def convert_image(plan: ConvertPlan, progress: Progress) -> Converted:
    """Write the new file beside its place and rename it; a failure or a kill leaves the old state and no half file."""
    if plan.format.kind == "tree":
        require_root(f"write a tree as {plan.format.name}")
    folder = plan.output.parent
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(image_lock(plan.source.path.absolute(), "converting it", shared=True))
        stack.enter_context(image_lock(plan.output, "writing it by a conversion"))
        if plan.output.exists():
            check_unused(plan.output)
        work = stack.enter_context(working_directory(folder, "convert"))
        # an archive's compression goes by its name
        made = work / f"new{_ending(plan.output, plan.format)}"
        path, driver = plan.source.path.absolute(), plan.source.format.driver
        write_format(path, driver, made, plan.format, progress, compression=plan.compression)
        faults.reached("convert.written")
        rename_durable(made, plan.output)
    on_disk = plan.output.stat().st_blocks * 512
    return Converted(plan.output, plan.format.name, plan.size, on_disk)


def _ending(output: Path, kind: Format) -> str:
    return next((item for item in kind.suffixes if output.name.lower().endswith(item)), kind.suffix)
