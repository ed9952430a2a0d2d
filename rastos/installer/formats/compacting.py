"""A smaller file for the same disk: unused blocks are given back, then the file is packed anew and takes the old one's name.

All of it happens on a throw-away overlay and in a new file: the image is only read until the rename.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import UserError
from rastos.host import faults, rename_durable, require_root, run, working_directory
from rastos.progress import Progress

from ..open import check_unused, image_lock, open_image
from .converting import MARGIN, free_bytes, no_space
from .source import ImageFile, examine
from .table import check_compression
from .writing import overlay_on, write_format


@dataclass(frozen=True, slots=True)
class CompactPlan:
    """What will be packed: with which compression ("" for none), and after a balance of chunks used less than `balance` percent."""

    source: ImageFile
    compression: str
    balance: int

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "image": str(self.source.path),
            "format": self.source.format.name,
            "bytes_on_disk": self.source.bytes_on_disk,
            "compression": self.compression,
            "balance": self.balance,
        }


@dataclass(frozen=True, slots=True)
class Compacted:
    """Bytes on disk before and after; `kept`: the new file would have been no smaller, and packed alike, so the old one
    stayed."""

    path: Path
    before: int
    after: int
    kept: bool


def plan_compact(path: Path, *, compression: str | None = None, balance: int = 0) -> CompactPlan:
    """Plan it; `compression` None: as the image is now. Raises UserError, BusyError, IntegrityError, HostError (no space)."""
    source = examine(path)
    if not source.format.opened:
        raise UserError(
            f"images of format {source.format.name} can't be packed here",
            on=path,
            next_step="convert it to qcow2, compact that, and convert it back",
        )
    chosen = (source.compression if source.format.compressible else "") if compression is None else compression
    check_compression(source.format, chosen, on=path)
    free, needed = free_bytes(path.absolute().parent), source.data + MARGIN
    if free < needed:
        raise no_space(path.absolute().parent, free, needed)
    return CompactPlan(source, chosen, balance)


def compact_image(plan: CompactPlan, progress: Progress) -> Compacted:
    """Pack it. A failure or a kill leaves the image as it was."""
    require_root("look into an image for unused blocks")
    path, kind = plan.source.path.absolute(), plan.source.format
    before = path.stat().st_blocks * 512
    with image_lock(path, "compacting it"), working_directory(path.parent, "compact") as work:
        check_unused(path)
        overlay = overlay_on(path, kind.driver, work / "overlay.qcow2")
        with open_image(overlay, writable=True, purpose="give back its unused blocks") as opened:
            if plan.balance:
                with progress.step("Join half-empty chunks"):
                    share = str(plan.balance)
                    run(
                        ["btrfs", "balance", "start", f"-dusage={share}", f"-musage={share}", opened.top],
                        what="join half-empty chunks",
                    )
            with progress.step("Give back unused blocks") as step:
                done = run(["fstrim", "--verbose", opened.top], what="give back unused blocks")
                step.outcome = done.stdout.strip().rpartition(": ")[2]
        faults.reached("compact.trimmed")
        made = work / f"new{kind.suffix}"
        write_format(overlay, "qcow2", made, kind, progress, compression=plan.compression)
        after = made.stat().st_blocks * 512
        faults.reached("compact.written")
        if after >= before and plan.compression == plan.source.compression:
            return Compacted(path, before, before, True)
        shutil.copymode(path, made)
        rename_durable(made, path)
    return Compacted(path, before, after, False)
