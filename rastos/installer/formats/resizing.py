"""Another size for a disk image: in place, in an order in which a stop at any step leaves an image that works.

Growing: the file, the partition table, the file system. Shrinking: the file system, the table, the file. Each step finds out for
itself whether it is done already, so the same command again goes on where the last one was stopped.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rastos.errors import ExternalError, IntegrityError, UserError
from rastos.host import faults, require_root, run
from rastos.progress import Progress, Step

from ..mirror import is_mirrored
from ..open import check_unused, disk_view, image_lock, open_image
from ..partition import ALIGN, Partition, read_layout
from .converting import free_bytes, no_space
from .gpt import end_of_root, fits, last_partition, write_table
from .source import examine

STAGE = 16 << 20  # a stage that gains less is not worth trying
LUKS = b"LUKS\xba\xbe"
PURPOSE = "changing its size"


@dataclass(frozen=True, slots=True)
class ResizePlan:
    """A new size, in bytes: of the disk (`size` now, `wanted` then) and of its root. `used` by the root's files, `least` the
    smallest disk that is surely possible now (0: not asked, as it grows). `encrypted`: only the partition grows.
    """

    path: Path
    format: str
    size: int
    wanted: int
    root: Partition
    root_wanted: int
    used: int = 0
    least: int = 0
    encrypted: bool = False

    @property
    def shrinks(self) -> bool:
        """Whether something is taken away."""
        return self.wanted < self.size or self.root_wanted < self.root.size

    def steps(self) -> tuple[str, ...]:
        """What is done, in order."""
        steps = ["the file", "the partition table", "the file system"]
        if self.shrinks:
            steps.reverse()
        elif self.encrypted:
            steps[2] = "the file system (not here: the root is encrypted)"
        return tuple(steps)

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "image": str(self.path),
            "format": self.format,
            "size": self.size,
            "wanted": self.wanted,
            "root": self.root.size,
            "root_wanted": self.root_wanted,
            "used": self.used,
            "least": self.least,
            "steps": list(self.steps()),
        }


def plan_resize(path: Path, wanted: int) -> ResizePlan:
    """Plan another size (bytes, rounded up to whole MiB). Raises UserError (too small: names the least), BusyError, HostError."""
    require_root("change the size of an image")
    path = path.absolute()
    source = examine(path)
    if not source.format.opened:
        raise UserError(
            f"the size of format {source.format.name} can't be changed here",
            on=path,
            next_step=f"convert it first: `rastos image convert {path.name} {path.stem}.qcow2`",
        )
    wanted = -(-wanted // ALIGN) * ALIGN
    with image_lock(path, PURPOSE, shared=True), disk_view(path, writable=False) as disk:
        partitions = read_layout(disk, name=path)
        root = last_partition(partitions, name=path)
        if is_mirrored(partitions):
            raise UserError(
                "this is one disk of a mirror: their sizes are not changed here",
                on=path,
                next_step="make a mirror of the size you want: `rastos image create --raid1 --size SIZE`",
            )
        with open(disk, "rb") as stream:
            stream.seek(root.start)
            encrypted = stream.read(len(LUKS)) == LUKS
    kind, target = source.format.name, end_of_root(wanted) - root.start
    if wanted >= source.size and target >= root.size:
        free = free_bytes(path.parent)
        if free < MOST_OVERHEAD:
            raise no_space(path.parent, free, MOST_OVERHEAD)
        return ResizePlan(path, kind, source.size, wanted, root, target, encrypted=encrypted)
    if encrypted:
        raise UserError(
            "an encrypted root can't be made smaller", on=path, next_step="make a smaller image and copy its files"
        )
    if source.snapshots:
        raise UserError(
            f"the file holds {source.snapshots} snapshots of QEMU's, and can't be made smaller with them",
            on=path,
            next_step=f"remove them: qemu-img snapshot -l {path}",
        )
    with open_image(path, writable=False, purpose=PURPOSE) as opened:
        status = os.statvfs(opened.top)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        least_root = _least(opened.top)
    least = -(-(root.start + least_root) // ALIGN) * ALIGN + ALIGN
    if target < used:
        raise too_small(path, wanted, used, least)
    return ResizePlan(path, kind, source.size, wanted, root, target, used, least)


MOST_OVERHEAD = 8 << 20  # tables of a larger file, the file system's own of a larger disk


def too_small(path: Path, wanted: int, used: int, least: int) -> UserError:
    """The refusal that names what is possible."""
    return UserError(
        f"{wanted >> 20} MiB are too few: the root's files take {used >> 20} MiB, and btrfs its chunks around them",
        on=path,
        next_step=f"the least possible now is {least >> 20}M: `rastos image resize {path.name} {least >> 20}M`",
    )


def resize_image(plan: ResizePlan, progress: Progress) -> ResizePlan:
    """Carry it out; what is returned is a plan for the same size, with nothing left to do. Raises as `plan_resize`."""
    path = plan.path
    with image_lock(path, PURPOSE):
        check_unused(path)
        if plan.shrinks:
            with progress.step("Shrink the file system") as step:
                _shrink_filesystem(plan, step)
            faults.reached("resize.shrunk")
            with progress.step("Rewrite the partition table"):
                _table(plan)
            faults.reached("resize.table")
            with progress.step("Shorten the file"):
                _set_size(path, plan.format, plan.wanted)
            faults.reached("resize.file")
            if plan.root_wanted > plan.root.size:  # the disk had been longer than its table said
                _fill_partition(path)
        else:
            with progress.step("Lengthen the file"):
                if plan.wanted > plan.size:
                    _set_size(path, plan.format, plan.wanted)
            faults.reached("resize.file")
            with progress.step("Rewrite the partition table"):
                _table(plan)
            faults.reached("resize.table")
            if not plan.encrypted:
                with progress.step("Grow the file system"):
                    _fill_partition(path)
    root = Partition(
        plan.root.number, plan.root.start, plan.root_wanted, plan.root.type, plan.root.uuid, plan.root.name
    )
    return ResizePlan(
        path, plan.format, plan.wanted, plan.wanted, root, plan.root_wanted, plan.used, plan.least, plan.encrypted
    )


def _set_size(path: Path, kind: str, size: int) -> None:
    if kind == "raw":
        with open(path, "r+b") as stream:
            os.ftruncate(stream.fileno(), size)
            os.fsync(stream.fileno())
        return
    run(["qemu-img", "resize", "-q", "-f", kind, "--shrink", path, str(size)], what="change the size of the file")
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _table(plan: ResizePlan) -> None:
    with disk_view(plan.path, writable=True) as disk:
        if not fits(
            disk, plan.wanted, last_partition(read_layout(disk, name=plan.path), name=plan.path), name=plan.path
        ):
            write_table(disk, plan.wanted, plan.root, name=plan.path)


def _fill_partition(path: Path) -> None:
    with open_image(path, writable=True, purpose=PURPOSE, lock=False) as opened:
        run(["btrfs", "filesystem", "resize", "max", opened.top], what="grow the root file system")


def _shrink_filesystem(plan: ResizePlan, step: Step) -> None:
    """The kernel moves what lies behind the new end, if that fits before it. New chunks are smaller in a smaller file system, so
    what is refused at once may work in stages; where that ends too early, the file system gets its old size back."""
    with open_image(plan.path, writable=True, purpose=PURPOSE, lock=False) as opened:
        top, wanted = opened.top, plan.root_wanted
        now, refused = _filesystem_size(top, plan.path), 0  # refused: the largest size that was
        while now > wanted:
            goal = wanted if refused < wanted else (now + refused) // 2 // ALIGN * ALIGN
            if now - goal < STAGE and goal != wanted:
                run(["btrfs", "filesystem", "resize", "max", top], what="give the file system its size back")
                raise too_small(plan.path, plan.wanted, plan.used, plan.root.start + now + ALIGN)
            step.note(f"from {now >> 20} to {goal >> 20} MiB", "log")
            done = run(["btrfs", "filesystem", "resize", f"1:{goal}", top], check=False)
            if done.status == 0:
                now, refused = goal, 0
            elif "No space left" in done.stderr or "Invalid argument" in done.stderr:
                refused = goal
            else:
                raise ExternalError(
                    "could not shrink the root file system",
                    on=plan.path,
                    next_step="the image works as it is; read the words below",
                    argv=done.argv,
                    status=done.status,
                    tail=done.stderr.strip(),
                )
        step.outcome = f"{now >> 20} MiB"


def _least(top: Path) -> int:
    done = run(["btrfs", "inspect-internal", "min-dev-size", top], what="ask for the least size of the root")
    return int(done.stdout.split()[0])


def _filesystem_size(top: Path, path: Path) -> int:
    shown = run(["btrfs", "filesystem", "show", "--raw", top], what="look at the root file system").stdout
    sizes = re.findall(r"devid\s+(\d+)\s+size\s+(\d+)", shown)
    if len(sizes) != 1 or sizes[0][0] != "1":
        raise IntegrityError(
            f"the root lies on {len(sizes)} devices", on=path, next_step="only images of one device can be made smaller"
        )
    return int(sizes[0][1])
