"""`rastos install`: a system onto a disk, from the medium that runs, from an image, or from packages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option

if TYPE_CHECKING:
    from rastos.installer import FoundDisk, ImageProfile, InstallAnswers, Installed, InstallPlan
    from rastos.snapshot import Store


@click.command()
@click.argument("disk", required=False, type=click.Path(path_type=Path))
@click.option(
    "--image", type=click.Path(path_type=Path, dir_okay=False), help="Install into this raw image file instead."
)
@click.option("--size", metavar="SIZE", default="8G", show_default=True, help="Size of an image file to make.")
@click.option("--list", "listing", is_flag=True, help="List the disks and what is on them, and end.")
@click.option("--profile", metavar="NAME", help="What the machine is to be: an image profile (default: server).")
@click.option("--answers", type=click.Path(path_type=Path, dir_okay=False), help="Take every answer from this file.")
@click.option("--unattended", is_flag=True, help="Look for answers given to this machine; without any do nothing.")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Copy the system of this image (default: the system that runs).",
)
@click.option("--snapshot", metavar="SNAPSHOT", help="Which snapshot to copy (default: the one that boots).")
@click.option("--from-packages", is_flag=True, help="Install the profile's packages, as `rastos image create` does.")
@click.option("--hostname", metavar="NAME", help="Instead of the profile's.")
@click.option("--root-password", metavar="TEXT", help="Root's password; '-' asks for it. Without one root is locked.")
@click.option(
    "--ssh-key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key file for root; may be repeated.",
)
@click.option("--erase", metavar="WORD", default="", help="Erase what is on the disk: its name or serial, once more.")
@click.option("--yes", is_flag=True, help="Do not ask. A disk that is not empty needs --erase all the same.")
@dry_run_option
@json_option
@click.pass_obj
def install(
    app: Application,
    disk: Path | None,
    image: Path | None,
    size: str,
    listing: bool,
    profile: str | None,
    answers: Path | None,
    unattended: bool,
    source: Path | None,
    snapshot: str | None,
    from_packages: bool,
    hostname: str | None,
    root_password: str | None,
    keys: tuple[Path, ...],
    erase: str,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Install a system onto a disk: show what is there and what will be, then partition, copy, verify, make it boot.

    Example: rastos install /dev/nvme0n1 --hostname node1 --ssh-key id_ed25519.pub --erase nvme0n1
    """
    from rastos.installer import install_copy, install_packages, leave_machine

    if listing:
        _show_disks(app, as_json)
        return
    if sum(item is not None and item is not False for item in (answers, unattended, disk, image)) != 1:
        raise click.UsageError("Name one of: a DISK, --image FILE, --answers FILE, --unattended (or --list).")
    if from_packages and (source or snapshot):
        raise click.UsageError("--from-packages copies nothing: leave --from and --snapshot out.")
    if not dry_run:
        from rastos.host import require_root

        require_root("install onto a disk")
    with ExitStack() as stack:
        given = stack.enter_context(_answers(app, answers, unattended=unattended))
        if unattended and given is None:
            app.out.say("no answers were given to this machine: nothing is installed")
            return
        wanted = _wanted(app, given, profile, hostname, root_password, keys)
        store: Store | None = None
        if from_packages:
            plan, channels = _plan_packages(app, wanted, given, disk, image, size)
        else:
            store = stack.enter_context(_source(app, source))
            plan, channels = _plan_copy(app, store, snapshot, wanted, given, disk, image, size), []
        if not as_json or not dry_run:
            _show_plan(app, plan)
        if dry_run:
            if as_json:
                app.out.json(plan.to_json())
            return
        _confirm(app, plan, given.erase if given else erase, yes=yes or given is not None)
        if store is not None:
            made = install_copy(plan, store, app.progress)
        else:
            made = install_packages(plan, channels, cache=app.config.cache, progress=app.progress)
    _show_made(app, made, as_json=as_json)
    leave_machine(given.after if given else "nothing")


@contextmanager
def _answers(app: Application, path: Path | None, *, unattended: bool) -> Iterator[InstallAnswers | None]:
    from rastos.installer import found_answers, read_answers

    if unattended:
        with found_answers(app.config.profile_folders) as found:
            yield found
    else:
        yield read_answers(path, app.config.profile_folders) if path is not None else None


def _wanted(
    app: Application,
    given: InstallAnswers | None,
    profile: str | None,
    hostname: str | None,
    root_password: str | None,
    keys: tuple[Path, ...],
) -> ImageProfile:
    """The profile, with what the options say instead."""
    from rastos.cli.image.credentials import password_hash, public_key
    from rastos.installer import load_image_profile

    if given is not None and profile is not None:
        raise click.UsageError("The answers are the profile: leave --profile out, or inherit it there.")
    chosen = given.profile if given else load_image_profile(profile or "server", app.config.profile_folders)
    return replace(
        chosen,
        hostname=hostname or chosen.hostname,
        root_password=password_hash(root_password, "Root password") if root_password else chosen.root_password,
        ssh_keys=(*chosen.ssh_keys, *(public_key(path) for path in keys)),
    )


@contextmanager
def _source(app: Application, image: Path | None) -> Iterator[Store]:
    """The store that is copied from; its top level says what it was made of."""
    from rastos.errors import UserError
    from rastos.installer import open_image
    from rastos.snapshot import Store, booted_deployment, opened_running

    if image is not None:
        with open_image(image, writable=False, purpose="install from it") as opened:
            yield Store.open(opened.top, opened.esp, writable=False)
        return
    if booted_deployment() is None:
        raise UserError(
            "this machine does not run from a rastos medium, so there is no system here to copy",
            next_step="name an image: --from FILE; or install packages: --from-packages",
        )
    with opened_running(writable=False, purpose="install from it") as store:
        yield store


def _plan_copy(
    app: Application,
    store: Store,
    snapshot: str | None,
    wanted: ImageProfile,
    given: InstallAnswers | None,
    disk: Path | None,
    image: Path | None,
    size: str,
) -> InstallPlan:
    from rastos.errors import UserError
    from rastos.installer import medium_of, plan_copy_to

    running = store.running() or store.current()
    if snapshot is None and running is None:
        raise UserError("nothing is deployed there", next_step="name a snapshot: --snapshot ID")
    reference = snapshot if snapshot is not None or running is None else running.snapshot
    medium = medium_of(store, reference or 0, cache=app.config.cache, progress=app.progress)
    return plan_copy_to(_target(given, disk, image, size, medium.size), wanted, medium)


def _plan_packages(
    app: Application,
    wanted: ImageProfile,
    given: InstallAnswers | None,
    disk: Path | None,
    image: Path | None,
    size: str,
) -> tuple[InstallPlan, list[Any]]:
    from rastos.cli.kernel.distro import distro_package
    from rastos.cli.package.asking import asked
    from rastos.installer import plan_image, plan_packages_to
    from rastos.kernel import distro_request
    from rastos.package import LocalRepository, load_manifest, open_channels

    target = _target(given, disk, image, size, 0)
    manifest = load_manifest(app.config.manifest)
    repository = LocalRepository(app.config.repository)
    channels = open_channels(manifest, cache=app.config.cache, repository=repository)
    request = distro_request(wanted.kernel)
    if request is not None:
        wanted = replace(wanted, kernel=distro_package(app, request, channels, locked=False).name)
        channels = open_channels(manifest, cache=app.config.cache, repository=repository)
    packages = plan_image(
        replace(wanted, size=target.size, format="raw"),
        manifest,
        channels,
        repository,
        output=target.path,
        cache=app.config.cache,
        progress=app.progress,
        decide=asked(app),
    )
    return plan_packages_to(target, packages), list(channels)


def _target(given: InstallAnswers | None, disk: Path | None, image: Path | None, size: str, least: int) -> FoundDisk:
    from rastos.installer import file_to_make, parse_size, read_disk

    if given is not None:
        return given.chosen(least)
    if image is not None:
        return file_to_make(image, parse_size(size, what="--size"))
    assert disk is not None
    return read_disk(disk)


def _confirm(app: Application, plan: InstallPlan, word: str, *, yes: bool) -> None:
    """An empty disk needs a yes; one with something on it its own name, typed or given."""
    from rastos.errors import UserError

    name = plan.disk.name
    if word and not plan.confirmed(word):
        raise UserError(
            f"'{word}' is not this disk: it is {name}" + (f", serial {plan.disk.serial}" if plan.disk.serial else ""),
            on=plan.disk.path,
            next_step="look again which disk is meant: rastos install --list",
        )
    if plan.erases and not word:
        if not app.out.interactive or yes:
            raise UserError(
                f"there is something on the disk: {_contents(plan.disk)}",
                on=plan.disk.path,
                next_step=f'if all of it may go: --erase {name} (answers: erase = "{name}")',
            )
        typed = click.prompt(f"Everything on {plan.disk.path} will be gone. Its name, to go on ({name})", err=True)
        if not plan.confirmed(str(typed).strip()):
            raise UserError("that was another word: nothing was changed", on=plan.disk.path, next_step="run it again")
    elif not (plan.erases or yes or word or plan.new):
        if not app.out.interactive:
            raise UserError("nobody is there to be asked", on=plan.disk.path, next_step="say it beforehand: --yes")
        click.confirm(f"Install onto {plan.disk.path}?", abort=True, err=True)


def _contents(disk: FoundDisk) -> str:
    if disk.parts:
        words = (f"{item.content or 'unknown'}{f' {item.label!r}' if item.label else ''}" for item in disk.parts)
        return f"{disk.table} with {', '.join(words)}"
    return disk.content or (f"an empty {disk.table} partition table" if disk.table else "nothing")


def _show_disks(app: Application, as_json: bool) -> None:
    from rastos.installer import disks

    found = disks()
    if as_json:
        app.out.json([item.to_json() for item in found])
        return
    rows = [
        [item.path, render.size(item.size), item.model, item.serial, "; ".join(item.used_by) or _contents(item)]
        for item in found
    ]
    app.out.table("", ["disk", "size", "model", "serial", "holds"], rows)


def _show_plan(app: Application, plan: InstallPlan) -> None:
    disk, layout = plan.disk, plan.layout
    what = " ".join(filter(None, (disk.model, disk.serial and f"serial {disk.serial}", disk.transport)))
    rows = [["disk", f"{disk.path}, {render.size(disk.size)}" + (f", {what}" if what else "")]]
    rows.append(["holds", "to be made" if plan.new else _contents(disk)])
    rows += [["", f"{item.number}  {render.size(item.size)}  {item.content} {item.label}"] for item in disk.parts]
    rows.append(["will be", f"GPT: ESP {render.size(layout.esp.size)}, btrfs {render.size(layout.root.size)}"])
    if plan.medium is not None:
        medium = plan.medium
        rows.append(
            ["system", f"copied: snapshot {medium.snapshot}, {medium.description} ({render.size(medium.size)})"]
        )
        rows.append(["kernel", medium.kernel])
    elif plan.packages is not None:
        packages = plan.packages
        rows.append(["system", f"{len(packages.packages.install)} packages of profile {plan.profile.name}"])
        rows.append(["kernel", f"{packages.kernel} {packages.kernel_version}"])
    people = [user.name for user in plan.profile.users]
    locked = not plan.profile.root_password and not plan.profile.ssh_keys
    people += [] if locked else ["root"]
    rows.append(["host name", plan.profile.hostname])
    rows.append(["log in", ", ".join(people) or "nobody can: name an --ssh-key or a --root-password"])
    for name, value in rows:
        app.out.say(f"{name:>12}  {value}")
    if plan.erases:
        app.out.say(f"everything on {disk.path} will be gone", style="yellow")


def _show_made(app: Application, made: Installed, *, as_json: bool) -> None:
    if as_json:
        app.out.json(made)
        return
    app.out.print(
        f"{made.disk}: {made.hostname} installed and verified ({made.paths} paths), {render.size(made.used)} used, "
        f"{render.seconds(made.seconds)}"
    )
    app.out.say("next: start the machine from it")
