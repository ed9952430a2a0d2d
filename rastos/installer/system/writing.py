"""Writing below a tree, never outside it."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.host import safe_join

UNITS = "usr/lib/systemd/system"


def write(tree: Path, path: str, content: str | bytes, mode: int = 0o644) -> Path:
    """Put a file there; a symlink in its place is replaced, not followed. IntegrityError where the path leads out."""
    place = safe_join(tree, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    place.write_bytes(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
    place.chmod(mode)
    return place


def link(tree: Path, path: str, to: str) -> None:
    """Put a symlink there."""
    place = safe_join(tree, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        place.unlink()
    place.symlink_to(to)


def wanted_by(tree: Path, unit: str, text: str, target: str = "multi-user.target") -> None:
    """A unit of the tree's own, started with a target without being enabled: nothing in /etc can switch it off."""
    write(tree, f"{UNITS}/{unit}", text)
    link(tree, f"{UNITS}/{target}.wants/{unit}", f"../{unit}")


def accounts(tree: Path, name: str = "passwd") -> dict[str, list[str]]:
    """The rows of passwd(5) or group(5), by name."""
    try:
        rows = (tree / "etc" / name).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return {}
    return {row.split(":")[0]: row.split(":") for row in rows if ":" in row}
