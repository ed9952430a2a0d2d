"""How an image, a snapshot in it and a path are named on the command line: IMAGE[:SNAPSHOT][:/PATH]."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError
from rastos.host import run, working_directory
from rastos.snapshot import Deployment, Snapshot, Store

from ..mirror import second_of
from ..open import OpenImage, image_lock, missing_image, open_image, shown_format


@dataclass(frozen=True, slots=True)
class ImageReference:
    """An image file, and a snapshot in it: id, name, tag or word; "" for what boots next."""

    path: Path
    snapshot: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.snapshot}" if self.snapshot else str(self.path)


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """An opened image and the snapshot that is looked at. `deployment` is None where a snapshot was named."""

    image: OpenImage
    store: Store
    snapshot: Snapshot
    deployment: Deployment | None

    @property
    def tree(self) -> Path:
        """The snapshot's own tree."""
        return self.store.tree(self.snapshot.id)


def parse_reference(text: str) -> ImageReference:
    """IMAGE or IMAGE:SNAPSHOT; a file whose name has a colon is taken whole. UserError: there is no such image."""
    if Path(text).is_file():
        return ImageReference(Path(text))
    name, colon, snapshot = text.rpartition(":")
    if not colon or not Path(name).is_file():
        raise missing_image(Path(name if colon and snapshot.isalnum() else text))
    return ImageReference(Path(name), snapshot)


def parse_place(text: str) -> tuple[ImageReference, str] | None:
    """IMAGE[:SNAPSHOT]:/PATH taken apart; None where it is a path of this machine."""
    name, found, path = text.partition(":/")
    if not found or not name or name.startswith(("./", "../")) and Path(text).exists():
        return None
    return parse_reference(name), f"/{path}"


@contextmanager
def opened_snapshot(reference: ImageReference, *, writable: bool, purpose: str) -> Iterator[OpenSnapshot]:
    """Open the image for the length of the block. Raises what `open_image` raises; UserError: no such snapshot."""
    with open_image(reference.path, writable=writable, purpose=purpose) as image:
        store = Store.open(image.top, image.esp, writable=writable)
        if reference.snapshot:
            yield OpenSnapshot(image, store, store.snapshot(reference.snapshot), None)
            return
        current = store.current()
        if current is not None:
            yield OpenSnapshot(image, store, store.snapshot(current.snapshot), current)
        elif store.snapshots():
            yield OpenSnapshot(image, store, store.snapshots()[-1], None)
        else:
            raise UserError("there is no snapshot in this image", on=reference.path, next_step="make the image again")


@contextmanager
def throw_away_copy(reference: ImageReference, cache: Path) -> Iterator[ImageReference]:
    """An overlay of an image that can be written to, gone at the end of the block; the image stays as it is.

    Raises what `shown_format` raises.
    """
    held = image_lock(reference.path, "a shell in a throw-away copy", shared=True)
    with held, working_directory(cache / "vm", "look") as place:
        overlay = place / f"{reference.path.stem}.qcow2"
        pairs = [(reference.path, overlay)]
        if second_of(reference.path).is_file():  # a mirror's other disk
            pairs.append((second_of(reference.path), second_of(overlay)))
        for base, top in pairs:
            argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", shown_format(base)]
            run([*argv, "-b", base.absolute(), top], what="make a throw-away overlay")
        yield ImageReference(overlay, reference.snapshot)
