"""Which store a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.cli.app import Application
from rastos.cli.options import chosen_image

if TYPE_CHECKING:
    from rastos.snapshot import Signer, Store


@contextmanager
def opened_store(app: Application, image: Path | None, *, writable: bool, purpose: str) -> Iterator[Store]:
    """The store of an image file for the length of the block; `purpose` is shown to whoever waits for its lock."""
    from rastos.installer import open_image
    from rastos.snapshot import Store

    with open_image(chosen_image(image, app.config.output), writable=writable, purpose=purpose) as opened:
        store = Store.open(opened.top, opened.esp, writable=writable)
        yield store
        if writable and app.config.manifests == "always":
            from rastos.snapshot import record_missing

            record_missing(store, signer_of(app), app.progress)


def signer_of(app: Application, key: str = "") -> Signer:
    """The key that signs what is sent and manifests: the one named, or the setting's."""
    from rastos.snapshot import Signer

    home = Path(app.config.signing_home).expanduser() if app.config.signing_home else None
    return Signer(key or app.config.signing_key, home)
