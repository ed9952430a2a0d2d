"""`package aur`: recipes of the AUR, looked up, read, built."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.opening import channels_of, manifest_of, manifest_option

if TYPE_CHECKING:
    from rastos.package.aur import Aur, BuildPlan, Checkout, Review


@click.group()
def aur() -> None:
    """Recipes of the AUR: search, read, build as nobody in a disposable copy of a tree."""


def _address(function: Any) -> Any:
    return click.option("--aur", "address", metavar="URL", envvar="RASTOS_AUR", help="The AUR's address (RASTOS_AUR).")(
        function
    )


def _aur(app: Application, address: str | None) -> Aur:
    from rastos.errors import UserError
    from rastos.package.aur import Aur

    if not address:
        raise UserError("the AUR's address is not known", next_step="set RASTOS_AUR=https://… or give --aur URL")
    return Aur(address, app.config.cache / "aur")


@aur.command()
@click.argument("words", nargs=-1, required=True)
@_address
@json_option
@click.pass_obj
def search(app: Application, words: tuple[str, ...], address: str | None, as_json: bool) -> None:
    """Find packages by name and description, the most voted first."""
    found = _aur(app, address).search(words)
    if as_json:
        app.out.json(found)
        return
    rows = [
        [item.name, item.version, item.votes, "out of date" if item.out_of_date else "", item.description]
        for item in found
    ]
    app.out.table(f"{len(found)} packages", ["package", "version", "votes", "", "description"], rows)


@aur.command()
@click.argument("name")
@_address
@json_option
@click.pass_obj
def info(app: Application, name: str, address: str | None, as_json: bool) -> None:
    """Everything the AUR says of one package."""
    from dataclasses import asdict

    from rastos.errors import UserError

    found = _aur(app, address).info([name]).get(name)
    if found is None:
        raise UserError(
            f"the AUR has no package '{name}'", next_step=f"look for it: `rastos package aur search {name}`"
        )
    if as_json:
        app.out.json(found)
        return
    rows = [
        [key.replace("_", " "), ", ".join(value) if isinstance(value, tuple) else value]
        for key, value in asdict(found).items()
        if value
    ]
    app.out.table(name, ["", ""], rows)


@aur.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--base", default="", metavar="DIR|host", help="The tree whose copy it is built in; host: this system.")
@click.option("--accept", multiple=True, metavar="COMMIT", help="A commit you have read; may be repeated.")
@click.option("--no-review", is_flag=True, help="Build without reading.")
@click.option("--no-check", is_flag=True, help="Leave out check().")
@click.option("--skip-pgp", is_flag=True, help="Don't check OpenPGP signatures of sources.")
@click.option("--rebuild", is_flag=True, help="Build also what is in the local repository in that version.")
@_address
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def build(
    app: Application,
    names: tuple[str, ...],
    base: str,
    accept: tuple[str, ...],
    no_review: bool,
    no_check: bool,
    skip_pgp: bool,
    rebuild: bool,
    address: str | None,
    manifest_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Build packages and what they need of the AUR, in order, into the local repository.

    What is new in each recipe is shown first: on a terminal you are asked, in a pipe name the commits you have read
    (--accept) or say --no-review. Example: rastos package aur build yay --base /srv/arch
    """
    from rastos.package import LocalRepository
    from rastos.package.aur import build_recipe, check_out

    place = _base(base)
    known = _aur(app, address)
    plan = _plan(app, known, names, place, manifest_path)
    if dry_run:
        app.out.json(plan) if as_json else _show(app, plan)
        return
    if not as_json:
        _show(app, plan)
    cache = app.config.cache / "aur"
    checkouts = [check_out(step.base, known.git_address(step.base), cache) for step in plan.steps]
    for checkout in checkouts:
        _read(app, checkout, accept, no_review)
    repository = LocalRepository(app.config.repository)
    made = []
    for checkout in checkouts:
        there = {package.name: package.version for package in repository.packages()}
        recipe = checkout.recipe
        if not rebuild and all(there.get(name) == recipe.version for name in recipe.names):
            app.out.say(f"{recipe.base} {recipe.version} is built already")
            continue
        channels = [] if place == Path("/") else channels_of(app, manifest_of(app, manifest_path))
        made.append(
            build_recipe(
                checkout,
                repository,
                channels,
                app.progress,
                base=place,
                cache=app.config.cache,
                jobs=app.config.jobs,
                check=not no_check,
                skip_pgp=skip_pgp,
            )
        )
    if as_json:
        app.out.json(made)
        return
    for item in made:
        for name, version in item.packages:
            app.out.print(f"{name} {version}")
    if made:
        app.out.say(
            'next: declare them in packages.toml, { name = "…", source = "aur" }, or `rastos package apply NAME`'
        )


def _base(text: str) -> Path:
    from rastos.errors import UserError

    if text == "host":
        return Path("/")
    if not text:
        step = "--base DIR (a tree with makepkg: the set `builder`), or --base host"
        raise UserError("no tree is named to build in", next_step=step)
    place = Path(text).absolute()
    if not (place / "usr/bin/makepkg").exists():
        raise UserError(
            "this tree has no makepkg", on=place, next_step="make one with the set `builder`, or --base host"
        )
    return place


def _plan(app: Application, known: Aur, names: tuple[str, ...], place: Path, manifest_path: Path | None) -> BuildPlan:
    from rastos.package import Dependency, load_indexes, satisfies
    from rastos.package.aur import plan_builds

    manifest = manifest_of(app, manifest_path)
    host = place == Path("/")
    indexes = [] if host else load_indexes(channels_of(app, manifest), app.progress)

    def in_repositories(wanted: Dependency) -> str:
        for index in indexes:
            for name in ([wanted.name] if wanted.name in index else []) + index.providers(wanted.name):
                record = index.record(name)
                if satisfies(record, wanted) and record.name not in names and index.channel != "rastos-local":
                    return record.name
        if host and wanted.name not in known.info([wanted.name]) and not providers(wanted.name):
            return f"{wanted.name} (of this host)"
        return ""

    def providers(name: str) -> Any:
        return [item for item in known.info(p.name for p in known.search([name], by="provides")).values()]

    prefer = manifest.prefer if manifest else {}
    return plan_builds(names, known.info, providers, in_repositories, prefer=prefer)


def _show(app: Application, plan: BuildPlan) -> None:
    rows = [
        [
            number,
            step.base,
            step.version,
            ", ".join(step.packages),
            ", ".join(step.from_aur),
            ", ".join(step.from_repositories),
        ]
        for number, step in enumerate(plan.steps, 1)
    ]
    app.out.table("", ["", "recipe", "version", "packages", "needs of the AUR", "needs of repositories"], rows)


def _read(app: Application, checkout: Checkout, accepted: tuple[str, ...], no_review: bool) -> None:
    import sys

    from rastos.errors import UserError
    from rastos.package.aur import accept, review_of

    review = review_of(checkout)
    if review.unchanged or no_review:
        return
    if any(len(text) >= 7 and review.commit.startswith(text) for text in accepted):
        accept(checkout)
        return
    _show_review(app, review)
    if not (app.out.interactive and sys.stdin.isatty()):
        raise UserError(
            f"the recipe of {review.base} has not been read",
            on=checkout.folder,
            next_step=f"read it above, then --accept {review.commit[:12]}; or --no-review",
        )
    if not click.confirm(f"Build {review.base} ({review.commit[:12]})?", default=False, err=True):
        raise click.Abort
    accept(checkout)


def _show_review(app: Application, review: Review) -> None:
    since = f"changes since {review.previous[:12]}" if review.previous else "all of it, never read before"
    app.out.say(f"── {review.base} {review.commit[:12]}: {since}")
    for line in review.text.splitlines():
        app.out.say(line, style="green" if line.startswith("+") else "red" if line.startswith("-") else None)
    for remark in review.remarks:
        app.out.say(f"look: {remark.file}:{remark.line}: {remark.why}: {remark.text}", style="yellow")
