"""A btrfs of its own with one tree and the stages it went through: what an image's first snapshot is made from.

tree            the writable tree, as the last stage left it
stages/<name>   read-only copies of it, one after each stage
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from rastos.host import run

from . import subvolume

FITRIM = 0xC0185879  # ioctl_fitrim(2): struct fstrim_range


class LayeredTree:
    """The tree and its stages on a mounted top level."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.tree = top / "tree"
        self.stages = top / "stages"

    def begin(self, stage: str = "") -> None:
        """Have a writable tree: as the stage of that name left it, or empty; the stages of before stay."""
        subvolume.delete(self.tree)
        self.stages.mkdir(exist_ok=True)
        if stage:
            subvolume.snapshot(self.stages / stage, self.tree)
        else:
            subvolume.create(self.tree)

    def mark(self, stage: str) -> None:
        """Keep the tree as it is now as a stage."""
        subvolume.snapshot(self.tree, self.stages / stage, read_only=True)

    def retain(self, stages: set[str]) -> None:
        """Drop all stages but these."""
        for path in self.stages.iterdir() if self.stages.is_dir() else ():
            if path.name not in stages:
                subvolume.delete(path)

    def drop_stages(self) -> None:
        """Leave the tree alone, as the only thing there."""
        subvolume.drop_folder(self.stages)


def release_space(top: Path) -> None:
    """Wait until deleted subvolumes are freed, and tell the device what is unused: a sparse file below shrinks.

    A device that can't discard is left as it is.
    """
    if subvolume.being_deleted(top):
        run(["btrfs", "subvolume", "sync", top], what="free what was deleted")
    subvolume.sync(top)
    number = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(number, FITRIM, struct.pack("=QQQ", 0, (1 << 64) - 1, 0))
    except OSError:
        pass
    finally:
        os.close(number)
