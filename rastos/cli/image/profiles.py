"""`rastos image profiles` and `rastos image show`: what images can be made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.installer import ImageProfile, ProfileKey


@click.command("profiles")
@click.option("--keys", is_flag=True, help="Every key a profile may have, as Markdown tables.")
@json_option
@click.pass_obj
def profiles_command(app: Application, keys: bool, as_json: bool) -> None:
    """List the image profiles, with what each inherits; or the keys they are made of."""
    from rastos.errors import RastosError
    from rastos.installer import IMAGE_KEYS, image_profiles, load_image_profile

    if keys:
        if as_json:
            app.out.json(IMAGE_KEYS)
        else:
            app.out.raw(key_tables(IMAGE_KEYS))
        return
    folders = app.config.profile_folders
    rows, values = [], []
    for name in image_profiles(folders):
        try:
            item = load_image_profile(name, folders)
        except RastosError as error:  # one that is broken hides no other
            rows.append([name, "", "", "", f"broken: {error}"])
            values.append({"name": name, "error": str(error)})
            continue
        rows.append([name, " ← ".join(item.ancestors) or "—", item.kernel, render.size(item.size), item.description])
        values.append({key: value for key, value in _values(item).items() if key in _LISTED})
    if as_json:
        app.out.json(values)
        return
    app.out.table("Image profiles", ["name", "inherits", "kernel", "disk", "what for"], rows)


def key_tables(keys: tuple[ProfileKey, ...], name: str = "") -> str:
    """The keys as Markdown, a table for each table of the file: that of docs/image-profiles.md."""
    rows = [f"| `{key.name}` | {_KINDS[key.what]} | {_help(key)} |" for key in keys]
    head = [f"### `{name}`", ""] if name else []
    tables = ["\n".join([*head, "| key | value | what for |", "|---|---|---|", *rows, ""])]
    for key in keys:
        if key.table:
            inner = f"{name.strip('[]')}.{key.name}" if name else key.name
            tables.append(key_tables(key.table, f"[[{inner}]]" if key.what == "tables" else f"[{inner}]"))
    return "\n".join(tables)


_KINDS = {
    "text": "text",
    "lines": "text, several lines",
    "texts": "list of texts",
    "yes": "true, false",
    "whole": "whole number",
    "size": "size",
    "choice": "one of",
    "mode": "permissions",
    "table": "table",
    "tables": "tables",
    "values": "table of your own names",
}


def _help(key: ProfileKey) -> str:
    words = [{"yes": "true", "no": "false"}.get(word, word) for word in key.choices]
    return f"{key.help}: {', '.join(f'`{word}`' for word in words)}" if words else key.help


_LISTED = ("name", "description", "ancestors", "kernel", "size", "sets", "packages", "path")


@click.command()
@click.argument("name", metavar="PROFILE|FILE", default="server")
@json_option
@click.pass_obj
def show(app: Application, name: str, as_json: bool) -> None:
    """Show what an image profile comes to after inheritance, and where each value was written.

    Example: rastos image show container-host
    """
    from rastos.installer import load_image_profile

    profile = load_image_profile(name, app.config.profile_folders)
    values = _values(profile)
    if as_json:
        app.out.json({**values, "origins": dict(profile.origins)})
        return
    rows = []
    for key, value in values.items():
        if key in ("name", "path", "ancestors"):
            continue
        key = key.replace("_", "-")
        origin = profile.origins.get(key, "")
        for text in _texts(key, value):
            rows.append([key, text, origin or "default"])
            key = origin = " "
    inherits = f", inherits {' ← '.join(profile.ancestors)}" if profile.ancestors else ""
    app.out.print(f"{profile.name} ({profile.path}{inherits})")
    app.out.table("", ["key", "value", "written in"], rows)


def _values(profile: ImageProfile) -> dict[str, Any]:
    """The profile as plain values. Contents of files are named by their digest, passwords not at all."""
    from dataclasses import asdict

    made = {key: value for key, value in asdict(profile).items() if key != "origins"}
    made["root_password"] = "set" if profile.root_password else ""
    made["users"] = [{**user, "password": "set" if user["password"] else ""} for user in made["users"]]
    made["files"] = [{key: value for key, value in file.items() if key != "content"} for file in made["files"]]
    made["sysctl"], made["values"] = dict(profile.sysctl), dict(profile.values)
    return made


def _texts(key: str, value: Any) -> list[str]:
    """A value as lines of a table; nothing for what was left empty."""
    if key in ("size", "esp"):
        return [render.size(value)]
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, dict):
        rows = [_texts(name, item) for name, item in value.items()]
        return [f"{name} = {text}" for name, texts in zip(value, rows, strict=True) for text in texts]
    if isinstance(value, list | tuple):
        return [", ".join(_words(item)) if isinstance(item, dict) else str(item) for item in value]
    return [str(value)] if value not in ("", None) else []


def _words(item: dict[str, Any]) -> list[str]:
    found = []
    for name, value in item.items():
        if value not in ("", None, (), [], False) and name != "digest":
            shown = f"{value:04o}" if name == "mode" else " ".join(_texts(name, value)).strip()
            found.append(f"{name} {shown.splitlines()[0] if shown else ''}")
    return found
