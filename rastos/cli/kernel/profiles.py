"""`rastos kernel profiles`, `list`, `show`: what can be built and what was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rastos.kernel import BuiltKernel, KernelProfile, OptionGroup


@click.command("profiles")
@click.option("--groups", is_flag=True, help="List the option groups of all profiles, as a Markdown table.")
@json_option
@click.pass_obj
def profiles_command(app: Application, groups: bool, as_json: bool) -> None:
    """List the profiles that can be built, or what their options are for."""
    from rastos.kernel import fragment_files, merge, profiles

    known = profiles(app.config.profile_folders)
    if groups:
        files = fragment_files(app.config.profile_folders)
        found = _groups_of_all(known, files)
        if as_json:
            app.out.json([{**_group(group), "profiles": names} for group, names in found])
        else:
            app.out.raw(group_table(known, files))
        return
    if as_json:
        app.out.json([_profile(item) for item in known])
        return
    rows = [
        [item.name, " ← ".join(item.ancestors) or "—", len(merge(item.fragments).requests), item.summary]
        for item in known
    ]
    app.out.table("Kernel profiles", ["name", "inherits", "options", "what for"], rows)


def group_table(profiles: Sequence[KernelProfile], files: Sequence[Path]) -> str:
    """Every option group of these profiles and of the further fragments as a Markdown table: that of docs/kernel-profiles.md."""
    rows = [
        f"| {group.title} | {group.purpose} | {len(group.requests)} | `{_stem(group.fragment)}` | {', '.join(names)} |"
        for group, names in _groups_of_all(profiles, files)
    ]
    return "\n".join(["| group | what it is for | options | fragment | profiles |", "|---|---|---|---|---|", *rows, ""])


def _groups_of_all(profiles: Sequence[KernelProfile], files: Sequence[Path]) -> list[tuple[OptionGroup, list[str]]]:
    """Each group once, in fragment order, with the profiles that have it, or how it is chosen."""
    from rastos.kernel import option_groups, short_name

    users: dict[Path, list[str]] = {}
    for profile in profiles:
        for path in profile.fragments:
            users.setdefault(path, []).append(profile.name)
    for path in files:
        users.setdefault(path, [f"`--config {short_name(path)}`"])
    return [
        (group, users[path]) for path in sorted(users, key=lambda path: path.name) for group in option_groups([path])
    ]


def _stem(fragment: str) -> str:
    return fragment.removesuffix(".config")


@click.command("list")
@json_option
@click.pass_obj
def list_command(app: Application, as_json: bool) -> None:
    """List the kernels in the local repository that were built here."""
    from rastos.kernel import built

    known = built(places.cache(app), places.repository(app))
    if as_json:
        app.out.json(known)
        return
    if not known:
        app.out.say("no kernel was built yet: run `rastos kernel build --profile container`")
        return
    rows = [
        [item.name, item.version, item.release, render.size(item.package_size), render.seconds(item.seconds)]
        for item in known
    ]
    app.out.table("Kernels", ["package", "version", "release", "size", "built in"], rows)


@click.command()
@click.argument("name")
@click.option("--groups", is_flag=True, help="Only the option groups: what its options are for.")
@json_option
@click.pass_obj
def show(app: Application, name: str, groups: bool, as_json: bool) -> None:
    """Show a profile, or a built kernel (by package name), with every option asked for and by whom."""
    from rastos.kernel import built, distro_request, load_profile

    kernels = built(places.cache(app), places.repository(app))
    found = [item for item in kernels if name in (item.name, item.release, item.profile)]
    if found and distro_request(found[0].profile.partition("-")[0]) is not None:
        _show_taken(app, found[0], as_json)
        return
    profile = load_profile(found[0].profile if found else name, app.config.profile_folders)
    if groups:
        _show_groups(app, profile, as_json)
        return
    if as_json:
        app.out.json({"profile": _profile(profile, options=True), "built": found[0] if found else None})
        return
    _show_profile(app, profile, found[0] if found else None)


def _show_taken(app: Application, kernel: BuiltKernel, as_json: bool) -> None:
    """The distribution's kernel: nobody here asked for its options."""
    if as_json:
        app.out.json({"profile": None, "built": kernel})
        return
    app.out.print(f"{kernel.profile}: the distribution's kernel, {kernel.source}")
    _show_built(app, kernel)


def _show_groups(app: Application, profile: KernelProfile, as_json: bool) -> None:
    from rastos.kernel import option_groups

    found = option_groups(profile.fragments)
    if as_json:
        app.out.json([{**_group(item), "from": profile.brings(item.fragment)} for item in found])
        return
    rows = [
        [
            item.title or "—",
            item.purpose or "—",
            len(item.requests),
            _stem(item.fragment),
            profile.brings(item.fragment),
        ]
        for item in found
    ]
    app.out.table(f"Option groups of {profile.name}", ["group", "what for", "options", "fragment", "from"], rows)


def _show_profile(app: Application, profile: KernelProfile, built: BuiltKernel | None) -> None:
    from rastos.kernel import merge

    merged = merge(profile.fragments)
    app.out.print(f"{profile.name}: {profile.summary}")
    app.out.print(f"profile    {profile.path}")
    if profile.ancestors:
        app.out.print(f"inherits   {' ← '.join(profile.ancestors)}")
    app.out.print(f"package    {profile.package}")
    app.out.print(f"base       {profile.base}, {len(merged.requests)} options from {len(profile.fragments)} fragments")
    for item in profile.may_drop:
        app.out.print(f"may drop   CONFIG_{item.symbol}: {item.reason}")
    if built is None:
        app.out.print(f"built      not yet: run `rastos kernel build --profile {profile.name}`")
    else:
        app.out.print(f"built      {built.version} from {built.source} in {render.seconds(built.seconds)}")
        _show_built(app, built)
    rows = [[item.symbol, item.value, item.origin] for item in merged.requests]
    app.out.table("Options", ["option", "value", "asked for by"], rows)


def _show_built(app: Application, built: BuiltKernel) -> None:
    app.out.print(f"release    {built.release}")
    app.out.print(f"sizes      kernel {render.size(built.image_size)}, package {render.size(built.package_size)}")
    app.out.print(f"file       {built.package}")
    app.out.print(f"config     {built.config}")


def _profile(profile: KernelProfile, *, options: bool = False) -> dict[str, Any]:
    from rastos.kernel import merge, option_groups

    facts: dict[str, Any] = {
        "name": profile.name,
        "summary": profile.summary,
        "inherits": list(profile.ancestors),
        "base": profile.base,
        "package": profile.package,
        "path": str(profile.path),
        "fragments": [str(path) for path in profile.fragments],
        "may_drop": [{"symbol": item.symbol, "reason": item.reason} for item in profile.may_drop],
    }
    if options:
        requests = merge(profile.fragments).requests
        facts["options"] = [{"symbol": item.symbol, "value": item.value, "origin": item.origin} for item in requests]
        facts["groups"] = [_group(item) for item in option_groups(profile.fragments)]
    return facts


def _group(group: OptionGroup) -> dict[str, Any]:
    return {
        "title": group.title,
        "purpose": group.purpose,
        "fragment": group.fragment,
        "symbols": list(group.symbols),
    }
