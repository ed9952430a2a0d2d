"""The project folder of a machine that manages itself: /etc/rastos/system, with the manifest it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rastos.host import safe_join
from rastos.package import Channel, Manifest

FOLDER = "etc/rastos/system"
HEAD = (
    "# The packages of this machine, from the manifest that its image was made of. `rastos package plan` reads it.\n\n"
)


def project_of(manifest: Manifest, channels: Sequence[Channel]) -> str:
    """The text of packages.toml: the manifest, and the channels that were its host's own written out."""
    text = manifest.path.read_text(encoding="utf-8") if manifest.path.is_file() else "schema = 1\n"
    declared = [] if manifest.channels else [getattr(channel, "declared", str)() for channel in channels]
    return HEAD + "\n".join([text.rstrip("\n"), *(f"\n{part}" for part in declared if part)]) + "\n"


def write_project(tree: Path, text: str) -> None:
    """Put it into a tree."""
    place = safe_join(tree, f"{FOLDER}/packages.toml")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    place.chmod(0o644)
