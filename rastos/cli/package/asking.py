"""Questions that neither the manifest nor the packagers decide: asked on a terminal, never guessed in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application

if TYPE_CHECKING:
    from rastos.package import Decide, Manifest, Question


def asked(app: Application) -> Decide | None:
    """Somebody to ask, or None where nobody sits."""
    import sys

    if not (app.out.interactive and sys.stdin.isatty()):
        return None

    def decide(question: Question) -> str | None:
        app.out.say(question.text)
        choices = [*question.answers, *(["none"] if question.kind == "replace" else [])]
        answer = str(click.prompt("  which", type=click.Choice(choices), default=choices[0], err=True))
        return "" if answer == "none" and question.kind == "replace" else answer

    return decide


def with_answers(manifest: Manifest | None, prefer: tuple[str, ...], replace: tuple[str, ...]) -> Manifest | None:
    """The manifest with answers given on the command line, which come before its own."""
    from dataclasses import replace as changed
    from pathlib import Path

    from rastos.package import Manifest

    if not (prefer or replace):
        return manifest
    known = manifest or Manifest(Path("packages.toml"), {})
    return changed(
        known,
        prefer={**known.prefer, **_pairs(prefer, "--prefer VIRTUAL=NAME")},
        replace={**known.replace, **_pairs(replace, "--replace OLD=NEW")},
    )


def _pairs(texts: tuple[str, ...], form: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name and separator and value):
            raise click.UsageError(f"'{text}' isn't of the form {form}.")
        found[name] = value
    return found
