"""People: groups, users, passwords, who may become root."""

from __future__ import annotations

from pathlib import Path

from rastos.errors import ExternalError, UserError
from rastos.host import run_in_root, safe_join, system_mounts

from ..profile import ImageProfile, User
from ..profile.keys import near
from .ssh import authorize
from .writing import accounts, write


def add_people(tree: Path, profile: ImageProfile) -> None:
    """UserError: a name or a number is taken, a group, a shell or sudo isn't there."""
    _set_password(tree, "root", profile.root_password)
    if not (profile.users or profile.groups):
        return
    with system_mounts(tree):
        for group in profile.groups:
            where = profile.origin("groups", group.name)
            _free(tree, "group", group.name, group.gid, where)
            number = ["--gid", str(group.gid)] if group.gid is not None else []
            run_in_root(tree, ["groupadd", *number, group.name], what=f"add the group {group.name}")
        for user in profile.users:
            _add_user(tree, user, profile)


def _free(tree: Path, kind: str, name: str, number: int | None, where: str) -> None:
    """Names and numbers that the tree's packages have taken."""
    label, what = ("uid", "user") if kind == "passwd" else ("gid", "group")
    rows = accounts(tree, kind)
    if name in rows:
        raise UserError(
            f"the {what} name '{name}' is taken by the system ({label} {rows[name][2]})",
            on=where,
            next_step="choose another name",
        )
    owner = next((row[0] for row in rows.values() if number is not None and row[2] == str(number)), None)
    if owner:
        raise UserError(f"{label} {number} is {owner}'s already", on=where, next_step="choose another, or leave it out")


def _add_user(tree: Path, user: User, profile: ImageProfile) -> None:
    where = profile.origin("users", user.name)
    _free(tree, "passwd", user.name, user.uid, where)
    argv = ["useradd", "--create-home", "--shell", user.shell]
    groups = accounts(tree, "group")
    missing = [name for name in user.groups if name not in groups]
    if missing:
        raise UserError(
            f"user {user.name} is to be in a group that isn't there: {', '.join(missing)}",
            on=profile.origin("users", user.name, "groups", missing[0]),
            next_step=f"{near(missing[0], groups)} or add the package that makes it, write [[groups]], or leave it out",
        )
    if not _there(tree, user.shell):
        raise UserError(
            f"user {user.name}'s shell {user.shell} isn't in the image",
            on=profile.origin("users", user.name, "shell"),
            next_step="add its package, or use /bin/bash",
        )
    for option, value in (("--uid", user.uid), ("--comment", user.comment), ("--home-dir", user.home)):
        if value:
            argv += [option, str(value)]
    if user.groups:
        argv += ["--groups", ",".join(user.groups)]
    run_in_root(tree, [*argv, user.name], what=f"add the user {user.name}")
    _set_password(tree, user.name, user.password)
    _, _, uid, gid, _, home, *_ = accounts(tree)[user.name]
    if user.ssh_keys:
        authorize(tree, home.lstrip("/"), int(uid), int(gid), user.ssh_keys)
    if user.sudo:
        _sudo(tree, user, profile)


def _sudo(tree: Path, user: User, profile: ImageProfile) -> None:
    """sudoers(5), one file for each; visudo(8) has the last word on it."""
    where = profile.origin("users", user.name, "sudo")
    if not _there(tree, "/usr/bin/sudo"):
        raise UserError(
            f"user {user.name} is to use sudo, which isn't in the image",
            on=where,
            next_step='add it: packages = ["sudo"]',
        )
    tag = "NOPASSWD:" if user.sudo == "no-password" else ""
    place = f"etc/sudoers.d/{user.name}"
    write(tree, place, f"# From the image profile.\n{user.name} ALL=(ALL:ALL) {tag}ALL\n", 0o440)
    if _there(tree, "/usr/sbin/visudo"):
        try:
            run_in_root(tree, ["visudo", "--check", "--quiet", "--file", f"/{place}"], what="check the sudo rule")
        except ExternalError as error:
            raise UserError(
                f"sudo can't be given to {user.name}: {error.tail.strip() or error.what}", on=where
            ) from error


def _there(tree: Path, path: str) -> bool:
    """Whether a program is in the tree, links followed within it."""
    place = safe_join(tree, path.lstrip("/"))
    for _ in range(8):
        if not place.is_symlink():
            return place.is_file()
        target = place.readlink()
        place = tree / str(target).lstrip("/") if target.is_absolute() else place.parent / target
    return False


def _set_password(tree: Path, name: str, password: str) -> None:
    """shadow(5): the hash, or "!*" for locked."""
    place = safe_join(tree, "etc/shadow")
    rows = place.read_text(encoding="utf-8").splitlines()
    changed = [_with_password(row, password) if row.startswith(f"{name}:") else row for row in rows]
    place.write_text("".join(f"{row}\n" for row in changed), encoding="utf-8")


def _with_password(row: str, password: str) -> str:
    fields = row.split(":")
    fields[1] = password or "!*"
    return ":".join(fields)
