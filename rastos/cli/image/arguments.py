"""Arguments that commands which look into images share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import chosen_image

if TYPE_CHECKING:
    from rastos.installer import ImageReference


def reference_of(app: Application, text: str | None) -> ImageReference:
    """IMAGE[:SNAPSHOT] as typed; the newest image of the output folder where nothing was."""
    from rastos.installer import ImageReference, parse_reference

    return parse_reference(text) if text else ImageReference(chosen_image(None, app.config.output))


def place_of(image: str, path: str | None, default: str | None = None) -> tuple[ImageReference, str]:
    """IMAGE[:SNAPSHOT] PATH, or both in one word: IMAGE[:SNAPSHOT]:/PATH."""
    from rastos.installer import parse_place, parse_reference

    if path is None and (both := parse_place(image)):
        return both
    if path is None and default is None:
        raise click.UsageError("Name a path, as in: rastos image cat IMAGE /etc/fstab.")
    return parse_reference(image), str(path if path is not None else default)


def write_text(app: Application, text: str, output: Path | None, what: str) -> None:
    """To a file by atomic replace, or to standard output."""
    if output is None:
        app.out.raw(text)
        return
    from rastos.host import write_atomic

    write_atomic(output, text if text.endswith("\n") else f"{text}\n")
    app.out.say(f"{what}: {output}")


def source_date_epoch() -> int | None:
    """SOURCE_DATE_EPOCH (reproducible-builds.org), where it is set. UserError: it is no number."""
    import os

    from rastos.errors import UserError

    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not text.isdigit():
        raise UserError(f"SOURCE_DATE_EPOCH is '{text[:40]}'", next_step="set it to seconds since 1970, or take it out")
    return int(text) if text else None
