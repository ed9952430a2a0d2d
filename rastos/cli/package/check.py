"""Checking and tidying: `verify`, `digest`, `clean`."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.opening import manifest_of, manifest_option, opened_tree, target_of, tree_options
from rastos.cli.render import size


@click.command()
@click.argument("names", nargs=-1)
@click.option("--repair", is_flag=True, help="Install packages with altered files again (configuration stays).")
@manifest_option
@tree_options
@dry_run_option
@json_option
@click.pass_obj
def verify(
    app: Application,
    names: tuple[str, ...],
    repair: bool,
    manifest_path: Path | None,
    root: Path | None,
    image: Path | None,
    reference: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Every installed file against its recorded digest, mode and owner. Status 1 if one that isn't configuration differs."""
    from rastos.package import verify as check

    manifest = manifest_of(app, manifest_path)
    with opened_tree(app, root, image, reference) as target:
        found = check(target, names, app.progress, no_extract=manifest.no_extract if manifest else ())
    if as_json:
        app.out.json(found)
    else:
        for item in found.findings:
            label = "backup file" if item.backup else "warning"
            for problem in item.problems:
                app.out.print(f"{label}: {item.package}: {item.path} ({problem})")
        for name in found.unlisted:
            app.out.print(f"warning: {name}: no list of files in the database")
        counts = f"{found.packages} packages, {found.files} files, {len(found.altered)} altered"
        app.out.print(f"{counts}, {len(found.findings) - len(found.altered)} configuration files edited")
    broken = tuple(dict.fromkeys(item.package for item in found.altered))
    if repair and broken:
        from rastos.cli.package.change import reinstall

        reinstall(app, root, image, broken, dry_run=dry_run)
        return
    if broken:
        raise click.exceptions.Exit(1)


@click.command()
@click.option("--list", "listed", is_flag=True, help="Print every path with what counts of it.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Another tree: print what differs; status 1 if something does.",
)
@tree_options
@json_option
@click.pass_obj
def digest(
    app: Application,
    listed: bool,
    compare: Path | None,
    root: Path | None,
    image: Path | None,
    reference: str | None,
    as_json: bool,
) -> None:
    """The digest of a whole tree: paths, kinds, modes, owners, content, attributes. Same lockfile, same digest."""
    from rastos.package import digest_of_leaves, manifest_of_tree, tree_differences

    with opened_tree(app, root, image, reference) as target:
        leaves = manifest_of_tree(target)
    if compare is not None:
        found = tree_differences(leaves, manifest_of_tree(target_of(app, compare)))
        if as_json:
            app.out.json(found)
        for item in () if as_json else found:
            app.out.print(f"{item.path}\n  {item.before or 'not there'}\n  {item.after or 'not there'}")
        if not as_json:
            app.out.print(f"{len(found)} of {len(leaves)} paths differ" if found else f"the same ({len(leaves)} paths)")
        if found:
            raise click.exceptions.Exit(1)
        return
    value = digest_of_leaves(leaves)
    if as_json:
        app.out.json({"digest": value, "paths": len(leaves), **({"leaves": leaves} if listed else {})})
        return
    for leaf in leaves if listed else ():
        app.out.print(f"{leaf.text}  {leaf.path}")
    app.out.print(value)


@click.command()
@click.option(
    "--keep", type=click.IntRange(min=0), default=2, show_default=True, help="Versions to keep of each package."
)
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def clean(app: Application, keep: int, manifest_path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Delete cached package files beyond the newest versions; what packages.lock names stays."""
    from rastos.package import clean as carry_out
    from rastos.package import plan_cleaning, read_lockfile

    manifest = manifest_of(app, manifest_path)
    lock = manifest.path.with_suffix(".lock") if manifest else None
    needed = [record.filename for record in read_lockfile(lock).records] if lock and lock.is_file() else []
    plan = plan_cleaning(app.config.cache, keep=keep, needed=needed)
    if not dry_run:
        carry_out(plan)
    if as_json:
        app.out.json(plan)
        return
    if dry_run:
        for path in plan.remove:
            app.out.print(str(path))
    verb = "would delete" if dry_run else "deleted"
    app.out.print(f"{verb} {len(plan.remove)} files ({size(plan.freed)} freed), {plan.kept} stay")
