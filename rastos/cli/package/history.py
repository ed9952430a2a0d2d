"""Looking back and going back: `history`, `undo`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.changing import change_options, changed_tree_of, command_line, described
from rastos.cli.package.opening import channels_of, manifest_of, manifest_option, opened_tree, target_of

if TYPE_CHECKING:
    from rastos.cli.package.changing import Changing
    from rastos.package import Channel, HistoryEntry, PackageChange

_SIGNS = {"install": "+", "remove": "−", "upgrade": "↑", "downgrade": "↓", "reinstall": "=", "reason": "·"}


@click.command("history")
@click.argument("number", type=int, required=False, metavar="[N]")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Of the tree in this folder.")
@click.option("--image", type=click.Path(path_type=Path, dir_okay=False), help="Of this image.")
@json_option
@click.pass_obj
def show_history(app: Application, number: int | None, root: Path | None, image: Path | None, as_json: bool) -> None:
    """Who changed which packages, when, and how it ended; with N, that change in full."""
    entries, kept = _read(app, root, image)
    if number is not None:
        from rastos.package import chosen_entry

        entry = chosen_entry(entries, number, image or root or "/")
        app.out.json({**asdict(entry), "kept": number in kept}) if as_json else _show(app, entry, kept)
        return
    if as_json:
        app.out.json([{**asdict(entry), "kept": entry.number in kept} for entry in entries])
        return
    from rastos.cli.render import seconds

    rows = []
    for entry in entries:
        took = seconds(entry.seconds) if entry.ended else ""
        what = (f"undo {entry.undoes}: " if entry.undoes is not None else "") + described(entry.packages)
        rows.append([entry.number, _when(entry.started), entry.user, what, entry.result, took, _state(entry, kept)])
    columns = ["", "when (UTC)", "who", "what", "result", "took", "snapshot"]
    app.out.table(f"{len(entries)} changes in {image or root or 'this system'}", columns, rows)


def _read(app: Application, root: Path | None, image: Path | None) -> tuple[tuple[HistoryEntry, ...], tuple[int, ...]]:
    """The entries, and the numbers whose tree of before is kept."""
    if image is not None and root is None:
        from rastos.cli.package.changing_copies import image_history
        from rastos.installer import open_image
        from rastos.snapshot import Store

        with open_image(image, writable=False, purpose="look at the history") as opened:
            store = Store.open(opened.top, opened.esp, writable=False)
            there = {snapshot.id for snapshot in store.snapshots()}
            entries = image_history(store).entries()
        return entries, tuple(entry.number for entry in entries if entry.base in there)
    from rastos.package import history_of

    folder = target_of(app, root or Path("/")).root.resolve()
    entries = history_of(folder).entries()
    if not entries:
        with opened_tree(app, root, image, None):
            pass  # says so where this is no tree of packages at all
    place = folder.parent / f".{folder.name}.rastos"
    return entries, tuple(entry.number for entry in entries if (place / str(entry.number)).is_dir())


def _when(iso: str) -> str:
    return iso[:16].replace("T", " ")


def _state(entry: HistoryEntry, kept: tuple[int, ...]) -> str:
    if entry.base is not None:
        made = f"{entry.base} → {entry.snapshot}" if entry.snapshot is not None else f"from {entry.base}"
        return made + (f", deployment {entry.deployment}" if entry.deployment is not None else "")
    return "before: kept" if entry.number in kept else ""


def _show(app: Application, entry: HistoryEntry, kept: tuple[int, ...]) -> None:
    rows: list[list[object]] = [
        ["started", entry.started],
        ["who", f"{entry.user} ({entry.uid})"],
        ["command", entry.command],
        ["manifest", entry.manifest[:16]],
        ["undoes", entry.undoes],
        ["result", entry.result],
        ["error", entry.error],
        ["took", f"{entry.seconds:.2f} s" if entry.ended else ""],
        ["snapshot", _state(entry, kept)],
    ]
    app.out.table(f"change {entry.number}", ["", ""], [row for row in rows if row[1] not in ("", None)])
    _show_packages(app, entry.packages)


def _show_packages(app: Application, packages: tuple[PackageChange, ...]) -> None:
    from rastos.package import shown_version

    for change in packages:
        versions = [shown_version(text) for text in (change.old_version, change.version) if text]
        if change.action == "reason":
            versions = [change.old_reason, change.reason]
        app.out.print(f"{_SIGNS.get(change.action, '?')} {change.name} {' → '.join(dict.fromkeys(versions))}")


@click.command("undo")
@click.argument("number", type=int, required=False, metavar="[N]")
@click.option(
    "--packages-only",
    is_flag=True,
    help="Change packages back even where the whole old tree is kept: other files stay.",
)
@manifest_option
@change_options
@dry_run_option
@json_option
@click.pass_obj
def undo(
    app: Application,
    number: int | None,
    packages_only: bool,
    manifest_path: Path | None,
    root: Path | None,
    image: Path | None,
    no_deploy: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Bring a tree back to what it was before change N of its history (default: the last completed one).

    Where the whole old tree is kept it comes back as it was; an image boots the snapshot the change started from; else the
    packages go back, from files at hand. An undo is a change itself: another undo takes it back.
    """
    from rastos.package import chosen_entry

    command = command_line()
    with changed_tree_of(app, root, image, command=command, dry_run=dry_run, no_deploy=no_deploy) as changing:
        entry = chosen_entry(changing.history.entries(), number, image or root or "/")
        found = _undo_of(app, changing, entry, manifest_path, packages_only=packages_only)
        if not as_json:
            _show_packages(app, found["packages"])
            app.out.print(found["words"])
        if not dry_run:
            found.pop("carry_out")()
    if as_json:
        found.pop("carry_out", None)
        app.out.json({**found, "packages": [asdict(change) for change in found["packages"]]})
    elif not dry_run:
        app.out.say(f"change {entry.number} is undone; `rastos package undo` takes that back")


def _undo_of(
    app: Application, changing: Changing, entry: HistoryEntry, manifest_path: Path | None, *, packages_only: bool
) -> dict[str, Any]:
    """What an undo comes to: `way` (swap, deploy, packages), the packages, words, and how it is carried out."""
    from rastos.cli.package.changing_copies import ImageChange, SwappedChange
    from rastos.package import CacheChannel, differences, plan_undo, read_local, target_for

    installed = read_local(changing.target.database)
    known = {"number": entry.number}
    if isinstance(changing, ImageChange) and not packages_only and entry.base is not None:
        if changing.no_deploy:
            raise click.UsageError("Undo deploys a snapshot that is there; --no-deploy leaves nothing to do.")
        base = changing.store.snapshot(entry.base)
        tree = changing.store.tree(base.id)
        packages = differences(installed, read_local(target_for(tree, changing.target.cache, immutable=True).database))

        def deploy() -> None:
            changing.begin(packages, undoes=entry.number, source=tree)
            changing.deploy(base.id)

        words = f"snapshot {base.id} boots next: {base.description}"
        return {**known, "way": "deploy", "packages": packages, "words": words, "carry_out": deploy}
    if isinstance(changing, SwappedChange) and not packages_only and entry.number in changing.place.kept():
        kept = changing.place.kept()[entry.number]
        packages = differences(installed, read_local(target_for(kept, changing.target.cache).database))

        def swap() -> None:
            changing.begin(packages, undoes=entry.number, source=kept)
            changing.finish()

        words = f"the whole tree as it was before change {entry.number} comes back; the one of now is kept"
        return {**known, "way": "swap", "packages": packages, "words": words, "carry_out": swap}
    folders = (changing.target.packages, app.config.repository)
    found = plan_undo(changing.target, changing.history.entries(), entry.number, folders)

    def apply() -> None:
        behind = _channels(app, manifest_path)
        database = changing.target.cache / "channels/cache/cache.db"
        cache = CacheChannel(found.plan.records, found.files, database, behind)
        changing.apply([cache, *behind], found.plan, undoes=entry.number)

    words = "the packages go back; other files stay" if found.changes else "the tree is so already"
    return {**known, "way": "packages", "packages": found.changes, "words": words, "carry_out": apply}


def _channels(app: Application, manifest_path: Path | None) -> list[Channel]:
    """Channels that may have something to configure; a host without any has none."""
    from rastos.errors import HostError

    try:
        return channels_of(app, manifest_of(app, manifest_path))
    except HostError:
        return []
