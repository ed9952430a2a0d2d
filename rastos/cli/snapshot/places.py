"""Which store a command works on: an image file's, or the running system's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rastos.cli.app import Application
from rastos.cli.options import chosen_image

if TYPE_CHECKING:
    from rastos.snapshot import Signer, Store


@contextmanager
def opened_store(app: Application, image: Path | None, *, writable: bool, purpose: str) -> Iterator[Store]:
    """The store of the image named; else, on a system that rastos deployed, its own; else that of the newest image.

    `purpose` is shown to whoever waits for the lock.
    """
    with _opened(app, image, writable=writable, purpose=purpose) as store:
        yield store
        if writable and app.config.manifests == "always":
            from rastos.snapshot import record_missing

            record_missing(store, signer_of(app), app.progress)


@contextmanager
def _opened(app: Application, image: Path | None, *, writable: bool, purpose: str) -> Iterator[Store]:
    from rastos.snapshot import Store, booted_deployment, opened_running

    if image is None and booted_deployment() is not None:
        with opened_running(writable=writable, purpose=purpose) as store:
            yield store
        return
    from rastos.installer import open_image

    with open_image(chosen_image(image, app.config.output), writable=writable, purpose=purpose) as opened:
        yield Store.open(opened.top, opened.esp, writable=writable)


def proven(
    app: Application, image: Path | None, reference: str | None, planned: Mapping[str, Any], *, timeout: float
) -> None:
    """Boot what a deploy planned so would make, in a throw-away overlay of the image. Raises IntegrityError where it doesn't come up."""
    from rastos.errors import UserError
    from rastos.installer.vm import prove_deployment
    from rastos.snapshot import booted_deployment, newest_usable

    if image is None and booted_deployment() is not None:
        raise UserError(
            "--prove needs an image file: a running system can't be booted beside itself",
            next_step="deploy without it: a deployment that fails its checks is left again by itself",
        )
    chosen = chosen_image(image, app.config.output)
    with opened_store(app, chosen, writable=False, purpose="look for a snapshot") as store:
        number = (newest_usable(store) if reference is None else store.snapshot(reference)).id
    prove_deployment(chosen, number, planned, cache=app.config.cache, progress=app.progress, timeout=timeout)


def signer_of(app: Application, key: str = "") -> Signer:
    """The key that signs what is sent and manifests: the one named, or the setting's."""
    from rastos.snapshot import Signer

    home = Path(app.config.signing_home).expanduser() if app.config.signing_home else None
    return Signer(key or app.config.signing_key, home)
