"""What package commands work on: the manifest, its channels, and a tree: a folder, a snapshot of an image, or this system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rastos.cli.app import Application

if TYPE_CHECKING:
    from rastos.package import Channel, Facts, Manifest, Target

F = TypeVar("F", bound=Callable[..., Any])


def manifest_option(function: F) -> F:
    """--manifest FILE: another manifest than the project's."""
    return click.option(
        "--manifest",
        "manifest_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The manifest (default: the project's packages.toml).",
    )(function)


def tree_options(function: F) -> F:
    """--root, --image, --snapshot: the tree a command looks at; none: the running system."""
    for option in (
        click.option(
            "--snapshot",
            "reference",
            metavar="ID",
            help="With --image: the snapshot (default: the one that boots next).",
        ),
        click.option(
            "--image", type=click.Path(path_type=Path, dir_okay=False), help="Work on a snapshot of this image."
        ),
        click.option(
            "--root", type=click.Path(path_type=Path, file_okay=False), help="Work on the tree in this folder."
        ),
    ):
        function = option(function)
    return function


def manifest_of(app: Application, path: Path | None) -> Manifest | None:
    """The manifest named, or the project's if there is one."""
    from rastos.package import load_manifest

    if path is None and not app.config.manifest.is_file():
        return None
    return load_manifest(path or app.config.manifest)


def channels_of(app: Application, manifest: Manifest | None, *, as_of: str = "") -> list[Channel]:
    """The channels of the manifest, the local repository first; `as_of` a date, from their archives."""
    from rastos.package import LocalRepository, open_channels

    return open_channels(
        manifest, cache=app.config.cache, repository=LocalRepository(app.config.repository), as_of=as_of
    )


def target_of(app: Application, root: Path) -> Target:
    """The tree in a folder."""
    from rastos.package import target_for

    return target_for(root, app.config.cache / "install")


@contextmanager
def opened_tree(
    app: Application, root: Path | None, image: Path | None, reference: str | None, *, database: bool = True
) -> Iterator[Target]:
    """The tree that `tree_options` name, for reading. UserError: both named, or (with `database`) it has no packages."""
    from rastos.errors import UserError

    if root is not None and image is not None:
        raise click.UsageError("--root and --image name two trees; give one.")
    if reference is not None and image is None:
        raise click.UsageError("--snapshot belongs to --image.")
    if image is not None:
        from rastos.installer import open_image
        from rastos.package import target_for
        from rastos.snapshot import Store

        with open_image(image, writable=False, purpose="look at packages") as opened:
            store = Store.open(opened.top, opened.esp, writable=False)
            current = store.current()
            chosen = store.snapshot(reference if reference is not None else current.snapshot if current else "latest")
            yield target_for(store.tree(chosen.id), app.config.cache / "install", immutable=True)
        return
    target = target_of(app, root or Path("/"))
    if database and not any((target.database / "local").glob("*/desc")):
        raise UserError(
            "there is no package database" if root else "this system was not made from pacman packages",
            on=target.root,
            next_step="name a tree: --root DIR or --image FILE",
        )
    yield target


def facts_of(target: Target, profile: str) -> Facts:
    """What the manifest's conditions are held against: the tree's own host name and architecture, and a profile."""
    from rastos.package import Facts

    name = target.root / "etc/hostname"
    host = name.read_text(encoding="utf-8", errors="replace").strip() if name.is_file() else ""
    return Facts(host=host, profile=profile, arch=target.arch)
