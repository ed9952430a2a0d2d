"""Which store a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.cli.app import Application
from rastos.cli.options import chosen_image

if TYPE_CHECKING:
    from rastos.snapshot import Store


@contextmanager
def opened_store(app: Application, image: Path | None, *, writable: bool, purpose: str) -> Iterator[Store]:
    """The store of an image file for the length of the block; `purpose` is shown to whoever waits for its lock."""
    from rastos.installer import open_image
    from rastos.snapshot import Store

    with open_image(chosen_image(image, app.config.output), writable=writable, purpose=purpose) as opened:
        yield Store.open(opened.top, opened.esp, writable=writable)
