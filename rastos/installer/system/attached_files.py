"""The profile's own files, with the values of their templates."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.errors import UserError
from rastos.host import safe_join

from ..profile import ImageProfile, ProfileFile, filled, template_values
from ..profile.keys import near
from .writing import accounts, write


def write_files(tree: Path, profile: ImageProfile) -> None:
    """UserError: an owner isn't there, or a folder stands in a file's place; IntegrityError: a link in the tree leads out."""
    known = template_values(profile)
    for file in profile.files:
        where = profile.origin("files", file.path)
        place = safe_join(tree, file.path.lstrip("/"))
        if place.is_dir() and not place.is_symlink():
            raise UserError(f"{file.path} is a folder in the image", on=where, next_step="name a file in it")
        uid = _number(tree, "passwd", file.owner, where)
        gid = _number(tree, "group", file.group, where)
        content = filled(file.content.decode(), known).encode() if file.template else file.content
        _folders(tree, file, uid, gid)
        # the owner first: changing it takes set-user-id away (chown(2))
        made = write(tree, file.path.lstrip("/"), content, 0o600)
        os.chown(made, uid, gid)
        made.chmod(file.mode)


def _folders(tree: Path, file: ProfileFile, uid: int, gid: int) -> None:
    """Folders that are missing: in a home they belong to whoever the file belongs to, elsewhere to root."""
    at_home = file.path.startswith("/home/")
    missing = []
    folder = safe_join(tree, file.path.lstrip("/")).parent
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(mode=0o755)
        if at_home:
            os.chown(path, uid, gid)


def _number(tree: Path, kind: str, name: str, where: str) -> int:
    if name.isdigit():
        return int(name)
    if name == "root":
        return 0
    rows = accounts(tree, kind)
    if name not in rows:
        what = "user" if kind == "passwd" else "group"
        raise UserError(
            f"a file belongs to the {what} '{name}', which isn't there", on=where, next_step=near(name, rows)
        )
    return int(rows[name][2])
