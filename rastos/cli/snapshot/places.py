"""Which store a command works on: an image file's, or the running system's."""

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
    """The store of the image named; else, on a system that rastos deployed, its own; else that of the newest image.

    `purpose` is shown to whoever waits for the lock.
    """
    from rastos.snapshot import Store, booted_deployment, opened_running

    if image is None and booted_deployment() is not None:
        with opened_running(writable=writable, purpose=purpose) as store:
            yield store
        return
    from rastos.installer import open_image

    with open_image(chosen_image(image, app.config.output), writable=writable, purpose=purpose) as opened:
        yield Store.open(opened.top, opened.esp, writable=writable)
