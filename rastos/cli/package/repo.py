"""`rastos package repo`: the repository of packages built here, readable by pacman."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.package import LocalRepository

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def repo() -> None:
    """The repository of packages built here: add, remove, list, sign, serve."""


def _repository_options(function: F) -> F:
    folder = click.Path(path_type=Path, file_okay=False)
    for option in (
        click.option(
            "--name", default="", metavar="NAME", help="With --repository: its name (default: the one there)."
        ),
        click.option("--repository", "folder", type=folder, help="The folder of another repository."),
    ):
        function = option(function)
    return function


def _opened(app: Application, folder: Path | None, name: str) -> LocalRepository:
    from rastos.package import LocalRepository

    if folder is None:
        if name:
            raise click.UsageError("--name belongs to --repository.")
        return LocalRepository(app.config.repository)
    return LocalRepository.of(folder, name)


@repo.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@_repository_options
@dry_run_option
@json_option
@click.pass_obj
def add(
    app: Application, files: tuple[Path, ...], folder: Path | None, name: str, dry_run: bool, as_json: bool
) -> None:
    """Take package files in; each replaces the package of its name. A signature beside a file comes with it."""
    from rastos.package import package_record

    repository = _opened(app, folder, name)
    records = [package_record(path) for path in files]
    there = {entry.name: entry.version for entry in repository.packages()}
    if not dry_run:
        for path in files:
            repository.add(path)
    changes = [
        {"name": record.name, "version": record.version, "replaces": there.get(record.name, "")} for record in records
    ]
    if as_json:
        app.out.json({"repository": repository.directory, "added": changes})
        return
    for change in changes:
        old = f" (there was {change['replaces']})" if change["replaces"] else ""
        app.out.print(f"{'would add' if dry_run else 'added'} {change['name']} {change['version']}{old}")


@repo.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_repository_options
@dry_run_option
@json_option
@click.pass_obj
def remove(
    app: Application, names: tuple[str, ...], folder: Path | None, name: str, dry_run: bool, as_json: bool
) -> None:
    """Take packages out and delete their files."""
    from rastos.errors import UserError

    repository = _opened(app, folder, name)
    there = {entry.name: entry for entry in repository.packages()}
    unknown = [item for item in names if item not in there]
    if unknown:
        raise UserError(
            f"no package {', '.join(unknown)} in the repository",
            on=repository.directory,
            next_step="see what is there: rastos package repo list",
        )
    if not dry_run:
        for item in names:
            repository.remove(item)
    removed = [{"name": item, "version": there[item].version} for item in names]
    if as_json:
        app.out.json({"repository": repository.directory, "removed": removed})
        return
    for item in names:
        app.out.print(f"{'would remove' if dry_run else 'removed'} {item} {there[item].version}")


@repo.command(name="list")
@_repository_options
@json_option
@click.pass_obj
def list_(app: Application, folder: Path | None, name: str, as_json: bool) -> None:
    """The packages of the repository, whether signed, and whether their files are there."""
    from rastos.cli.render import size

    repository = _opened(app, folder, name)
    entries: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "version": entry.version,
            "file": entry.path.name,
            "size": entry.record.download_size,
            "sha256": entry.sha256,
            "signed": bool(entry.record.signature) or entry.path.with_name(f"{entry.path.name}.sig").is_file(),
            "there": entry.path.is_file(),
        }
        for entry in repository.packages()
    ]
    if as_json:
        app.out.json({"repository": repository.directory, "name": repository.name, "packages": entries})
        return
    rows = [
        [
            item["name"],
            item["version"],
            size(item["size"]),
            "yes" if item["signed"] else "no",
            item["file"] if item["there"] else f"{item['file']} is gone",
        ]
        for item in entries
    ]
    app.out.table(
        f"{len(rows)} packages in [{repository.name}], {repository.directory}",
        ["package", "version", "size", "signed", "file"],
        rows,
    )


@repo.command()
@click.option("--key", default="", metavar="FPR", help="The secret key to sign with (default: the only one, or gpg's).")
@click.option(
    "--gnupg-home", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The GnuPG folder it is in."
)
@_repository_options
@dry_run_option
@json_option
@click.pass_obj
def sign(
    app: Application, key: str, gnupg_home: Path | None, folder: Path | None, name: str, dry_run: bool, as_json: bool
) -> None:
    """Sign every package and the database with gpg. Adding or removing takes the database's signature away again."""
    repository = _opened(app, folder, name)
    entries = repository.packages()
    used = () if dry_run else repository.sign(key, gnupg_home)
    if as_json:
        app.out.json({"repository": repository.directory, "signed": [entry.name for entry in entries], "keys": used})
        return
    words = f"{len(entries)} packages and the database of [{repository.name}]"
    app.out.print(f"would sign {words}" if dry_run else f"signed {words} with {', '.join(used)}")


@repo.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--bind", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="The address to listen on.")
@_repository_options
@click.pass_obj
def serve(app: Application, port: int, bind: str, folder: Path | None, name: str) -> None:
    """Serve the repository over HTTP, read only, until Ctrl-C."""
    from rastos.package import serving

    repository = _opened(app, folder, name)
    with serving(repository.directory, bind, port, app.out.say) as server:
        app.out.print(server.url)
        app.out.say(f"[{repository.name}]\nServer = {server.url}\nends with Ctrl-C")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            app.out.say("ended")
