"""`rastos package keys`: whom the channels trust."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import dry_run_option, json_option
from rastos.cli.package.opening import channels_of, manifest_of, manifest_option

if TYPE_CHECKING:
    from rastos.package import Channel, ChannelKey

_channel_option = click.option("--channel", default="", metavar="NAME", help="The channel (default: the only one).")


@click.group()
def keys() -> None:
    """Keys of the channels: list, import, trust, refresh."""


def _channels(app: Application, manifest: Path | None) -> list[Channel]:
    return channels_of(app, manifest_of(app, manifest))


@keys.command(name="list")
@click.option("--channel", default="", metavar="NAME", help="Only this channel.")
@manifest_option
@json_option
@click.pass_obj
def list_(app: Application, channel: str, manifest_path: Path | None, as_json: bool) -> None:
    """Every key of every channel: fingerprint, owner, expiry, how many masters certified it, whether it counts."""
    from rastos.errors import HostError, UserError
    from rastos.package import channel_keys

    channels = _channels(app, manifest_path)
    if channel and channel not in [item.name for item in channels]:
        names = ", ".join(item.name for item in channels)
        raise UserError(f"there is no channel '{channel}'", next_step=f"channels there are: {names}")
    found: list[ChannelKey] = []
    for item in channels:
        if channel in ("", item.name):
            try:
                found += channel_keys(item)
            except HostError as error:
                app.out.say(f"{item.name}: {error}; {error.next_step}")
    if as_json:
        app.out.json(found)
        return
    rows = [
        [
            key.channel,
            key.fingerprint,
            key.name,
            _day(key.expires),
            f"{key.certified_by} of {key.needed}" if key.needed else "-",
            "yes" if key.trusted else "no",
            key.why,
        ]
        for key in found
    ]
    head = ["channel", "fingerprint", "name", "expires", "certified", "trusted", "because"]
    app.out.table(f"{len(rows)} keys, {sum(key.trusted for key in found)} trusted", head, rows)


@keys.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_channel_option
@click.option("--fingerprint", metavar="FPR", help="The fingerprint as its owner told it to you; no question then.")
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def import_(
    app: Application,
    file: Path,
    channel: str,
    fingerprint: str | None,
    manifest_path: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Let a channel trust a key from a file, once its fingerprint is confirmed."""
    from rastos.errors import UserError
    from rastos.package import fingerprint as full
    from rastos.package import keys_of, with_keys

    chosen = with_keys(_channels(app, manifest_path), channel)
    there = keys_of(file)
    for key in there:
        app.out.say(f"{_grouped(key.fingerprint)}  {key.name}, expires: {_day(key.expires)}")
    if fingerprint is not None:
        wanted = full(fingerprint)
        if wanted not in [key.fingerprint for key in there]:
            raise UserError(
                f"the file has no key {wanted}",
                on=file,
                next_step="nothing was imported; ask the key's owner for the file and the fingerprint again",
            )
    elif len(there) != 1:
        raise UserError(f"{file.name} holds {len(there)} keys", on=file, next_step="say which: --fingerprint FPR")
    else:
        wanted = there[0].fingerprint
    if not dry_run:
        if fingerprint is None:
            _confirm(app, wanted, f"Let {chosen.name} trust this key?")
        chosen.keyring.add(file, wanted)
    if as_json:
        app.out.json({"channel": chosen.name, "imported": wanted})
        return
    app.out.print(f"{'would trust' if dry_run else 'trusted'} {wanted} in {chosen.name}")


@keys.command()
@click.argument("fingerprint", metavar="FPR")
@_channel_option
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def trust(
    app: Application, fingerprint: str, channel: str, manifest_path: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Trust a key that is in a channel's keyring although too few of its masters certified it."""
    from rastos.errors import UserError
    from rastos.package import fingerprint as full
    from rastos.package import with_keys

    chosen, wanted = with_keys(_channels(app, manifest_path), channel), full(fingerprint)
    key = next((item.key for item in chosen.keyring.keys() if item.key.fingerprint == wanted), None)
    if key is None:
        step = "see `rastos package keys list`; a key in a file: rastos package keys import FILE"
        raise UserError(f"{chosen.name} has no key {wanted}", next_step=step)
    if not dry_run:
        chosen.keyring.trust(wanted)
    if as_json:
        app.out.json({"channel": chosen.name, "trusted": wanted, "name": key.name})
        return
    app.out.print(f"{'would trust' if dry_run else 'trusted'} {wanted} {key.name} in {chosen.name}")


@keys.command()
@click.option("--channel", default="", metavar="NAME", help="Only this channel.")
@manifest_option
@dry_run_option
@json_option
@click.pass_obj
def refresh(app: Application, channel: str, manifest_path: Path | None, dry_run: bool, as_json: bool) -> None:
    """Fetch the channels' keyring packages and take those that prove themselves."""
    from rastos.package import PacmanChannel, refresh_keys, with_keys

    channels: list[Channel] = _channels(app, manifest_path)
    if channel:
        channels = [with_keys(channels, channel)]
    named = [item for item in channels if isinstance(item, PacmanChannel) and item.spec.keyring_package]
    if dry_run:
        wanted = {item.name: item.spec.keyring_package for item in named}
        if as_json:
            app.out.json(wanted)
            return
        for name, package in wanted.items():
            app.out.print(f"would look for a newer {package} in {name}")
        return
    changed = refresh_keys(named or channels, app.progress)
    if as_json:
        app.out.json(changed)
        return
    for name, new in changed.items():
        app.out.print(f"{name}: {'a new keyring' if new else 'the keyring is current'}")
    if not changed:
        app.out.say("no channel names a keyring package")


def _confirm(app: Application, wanted: str, question: str) -> None:
    from rastos.errors import UserError

    if not app.out.interactive:
        raise UserError(
            "nobody can be asked whether this is the right key",
            next_step=f"compare it with its owner's word, then: --fingerprint {wanted}",
        )
    click.confirm(question, abort=True, err=True)


def _grouped(fingerprint: str) -> str:
    return " ".join(fingerprint[at : at + 4] for at in range(0, len(fingerprint), 4))


def _day(seconds: int | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(min(seconds, 1 << 34), UTC).strftime("%Y-%m-%d")
