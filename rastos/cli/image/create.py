"""`rastos image create`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.image.credentials import password_hash, public_key
from rastos.cli.image.packing import compression_option
from rastos.cli.options import dry_run_option, json_option, secure_boot_options, secure_boot_pair
from rastos.cli.package.asking import asked

if TYPE_CHECKING:
    from rastos.installer import Image, ImagePlan, ImageProfile, Reproduction
    from rastos.package import Channel, LocalRepository, Lockfile, Manifest


@click.command()
@click.option("--profile", default="server", show_default=True, metavar="NAME", help="Image profile (or a .toml file).")
@click.option("--packages", type=click.Path(path_type=Path, dir_okay=False), help="Manifest (default: packages.toml).")
@click.option(
    "--kernel",
    metavar="PROFILE|PACKAGE|distro",
    help="Kernel profile or package instead of the profile's; distro: the distribution's own.",
)
@click.option(
    "--uki", is_flag=True, help="Boot by unified kernel images: kernel, initramfs, command line in one EFI program."
)
@secure_boot_options
@click.option(
    "--format", "kind", metavar="FORMAT", help="Instead of the profile's: qcow2, raw, vmdk, vdi, vhdx, vhd, tar, oci."
)
@compression_option
@click.option("--size", metavar="SIZE", help="Size of the disk, such as 4G.")
@click.option("--hostname", metavar="NAME", help="Instead of the profile's.")
@click.option("--root-password", metavar="TEXT", help="Root's password; '-' asks for it. Without one root is locked.")
@click.option(
    "--ssh-key",
    "keys",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Public key file for root; may be repeated.",
)
@click.option("--bios", is_flag=True, help="A machine with a BIOS can start it too (syslinux on the ESP).")
@click.option("--raid1", is_flag=True, help="The root on two disks: a second file, NAME-2, mirrors the first.")
@click.option(
    "--luks", is_flag=True, help="Encrypt the root (LUKS2); the passphrase is asked for here and at each boot."
)
@click.option(
    "--luks-passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With an encrypted root: the passphrase is the one line of this file.",
)
@click.option("--locked", is_flag=True, help="Exactly the packages of packages.lock.")
@click.option(
    "--from",
    "bundle",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="With --locked: take the packages from this folder (`rastos package fetch`).",
)
@click.option(
    "--keyring",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="With --from: the folder has to be signed by a key of this file.",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write the image.")
@click.option("--force", is_flag=True, help="Overwrite an image that is there.")
@click.option("--no-cache", is_flag=True, help="Make everything again, packages included.")
@click.option(
    "--verify-reproducible",
    "twice",
    is_flag=True,
    help="Build it a second time and compare; status 1 where they differ.",
)
@dry_run_option
@json_option
@click.pass_obj
def create(
    app: Application,
    profile: str,
    packages: Path | None,
    kernel: str | None,
    uki: bool,
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    kind: str | None,
    compression: str,
    size: str | None,
    hostname: str | None,
    root_password: str | None,
    keys: tuple[Path, ...],
    bios: bool,
    raid1: bool,
    luks: bool,
    luks_passphrase_file: Path | None,
    locked: bool,
    bundle: Path | None,
    keyring: Path | None,
    output: Path | None,
    force: bool,
    no_cache: bool,
    twice: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Create a disk image from an image profile, a manifest and a kernel.

    Example: rastos image create --profile server --kernel container --ssh-key ~/.ssh/id_ed25519.pub
    """
    from dataclasses import replace

    from rastos.cli.kernel.distro import distro_package
    from rastos.errors import UserError
    from rastos.host import require_root
    from rastos.installer import (
        build_again,
        check_comparable,
        check_compression,
        create_image,
        disk_fault,
        find_format,
        load_image_profile,
        parse_size,
        plan_image,
    )
    from rastos.kernel import distro_request
    from rastos.package import LocalRepository, load_manifest

    if not dry_run:
        require_root("create an image")
    chosen: ImageProfile = load_image_profile(profile, app.config.profile_folders)
    wanted = find_format(kind or chosen.format)
    # what the profile says of compression is for the profile's format
    packed = compression or (chosen.compress if wanted.name == chosen.format else "")
    check_compression(wanted, packed)
    chosen = replace(
        chosen,
        kernel=kernel or chosen.kernel,
        uki=uki or chosen.uki,
        format=wanted.name,
        compress=packed,
        hostname=hostname or chosen.hostname,
        size=parse_size(size, what="--size") if size else chosen.size,
        root_password=password_hash(root_password, "Root password") if root_password else chosen.root_password,
        ssh_keys=(*chosen.ssh_keys, *(public_key(path) for path in keys)),
        disk=replace(
            chosen.disk,
            bios=bios or chosen.disk.bios,
            raid1=raid1 or chosen.disk.raid1,
            luks=luks or chosen.disk.luks,
        ),
    )
    if fault := disk_fault(chosen.disk):
        raise UserError(fault[0], on=profile, next_step=fault[1])
    if luks_passphrase_file and not chosen.disk.luks:
        raise click.UsageError("--luks-passphrase-file belongs to --luks, or to a profile with disk.luks.")
    if twice:
        check_comparable(wanted.name)
    target = (output or app.config.output / f"{chosen.name}{wanted.suffix}").absolute()
    manifest = load_manifest(packages or app.config.manifest)
    repository = LocalRepository(app.config.repository)
    lock, channels = _sources(app, chosen, manifest, repository, locked=locked, bundle=bundle, keyring=keyring)
    request = distro_request(chosen.kernel)
    if request is not None:
        chosen = replace(chosen, kernel=distro_package(app, request, channels, locked=locked).name)
        # there may have been no local channel before
        lock, channels = _sources(app, chosen, manifest, repository, locked=locked, bundle=bundle, keyring=keyring)
    plan = plan_image(
        chosen,
        manifest,
        channels,
        repository,
        output=target,
        cache=app.config.cache,
        progress=app.progress,
        lock=lock,
        decide=asked(app),
        secure_boot=secure_boot_pair(secure_boot_key, secure_boot_cert),
        use_cache=not no_cache,
    )
    if not as_json:
        _show_plan(app, plan)
    if dry_run:
        if as_json:
            app.out.json(plan.to_json())
        return
    if target.exists() and not force:
        raise UserError(
            "there is an image already", on=target, next_step="overwrite it with --force, or name another --output"
        )
    passphrase = _passphrase(luks_passphrase_file) if chosen.disk.luks else None
    made = create_image(plan, channels, cache=app.config.cache, progress=app.progress, passphrase=passphrase)
    again = build_again(plan, channels, target, cache=app.config.cache, progress=app.progress) if twice else None
    if as_json:
        whole = {**plan.to_json(), "bytes_on_disk": made.bytes_on_disk, "seconds": dict(made.seconds)}
        app.out.json({**whole, "reproduction": again} if again else whole)
    else:
        _show_made(app, made)
        _show_again(app, again)
    if again and not again.identical:
        click.get_current_context().exit(1)


def _sources(
    app: Application,
    profile: ImageProfile,
    manifest: Manifest,
    repository: LocalRepository,
    *,
    locked: bool,
    bundle: Path | None,
    keyring: Path | None,
) -> tuple[Lockfile | None, list[Channel]]:
    """The lockfile where one is asked for, and the channels packages come from."""
    from rastos.errors import UserError
    from rastos.package import Facts, bundle_channels, open_channels, read_lockfile, stale

    if (bundle or keyring) and not locked:
        raise click.UsageError("--from and --keyring belong to --locked.")
    if not locked:
        return None, open_channels(manifest, cache=app.config.cache, repository=repository)
    import platform

    path = manifest.path.with_suffix(".lock")
    lock = read_lockfile(path)
    facts = Facts(host=profile.hostname, profile=profile.name, arch=platform.machine())
    if reason := stale(lock, manifest, facts):
        raise UserError(f"the lockfile is stale: {reason}", on=path, next_step="run `rastos package lock`")
    as_of = "" if bundle else lock.as_of
    channels = open_channels(manifest, cache=app.config.cache, repository=repository, as_of=as_of)
    return lock, bundle_channels(bundle, lock, channels, keyring=keyring) if bundle else channels


def _show_plan(app: Application, plan: ImagePlan) -> None:
    rows = [
        ["image", f"{plan.output} ({plan.profile.format}, {render.size(plan.layout.size)})"],
        ["profile", f"{plan.profile.name}: {plan.profile.description}"],
        ["kernel", f"{plan.kernel} {plan.kernel_version}"],
        ["packages", f"{len(plan.packages.install)}, {render.size(plan.packages.installed_size)} installed"],
        ["ESP, root", f"{render.size(plan.layout.esp.size)}, {render.size(plan.layout.root.size)}"],
        ["stages", plan.why],
    ]
    for name, value in rows:
        app.out.say(f"{name:>12}  {value}")


def _show_made(app: Application, made: Image) -> None:
    how = "from the cache" if made.cached else "created"
    app.out.print(f"{made.path}: {how}, {render.size(made.bytes_on_disk)} on disk")
    if made.format in ("qcow2", "raw"):
        app.out.say(f"next: rastos image test --image {made.path}")


def _passphrase(path: Path | None) -> bytes:
    """From the file, or asked for twice; never from the command line."""
    from rastos.installer import read_passphrase

    if path is not None:
        return read_passphrase(path)
    words = click.prompt("Passphrase of the root file system", hide_input=True, confirmation_prompt=True, err=True)
    return str(words).encode()


def _show_again(app: Application, again: Reproduction | None) -> None:
    if again is None:
        return
    if again.identical:
        app.out.print(f"the same twice: tree {again.tree_digests[0][:16]}, partition table, ESP, all paths and times")
        return
    for same, what in ((again.table, "the partition table"), (again.esp, "the ESP")):
        if not same:
            app.out.print(f"differs: {what}")
    for item in again.paths:
        app.out.print(f"differs: {item.path} ({', '.join(item.parts) or item.what})")
    for path in again.times:
        app.out.print(f"differs: {path} (time)")
