"""`rastos kernel check` and `diff`: configurations against what they are for, and against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.kernel.checks import ConfigOrigin, Report

_CHECKS = ("containers", "hardening", "boot")
_MARKS = {"error": "✗", "warning": "!", "note": "·"}
_COLOURS = {"error": "red", "warning": "yellow", "note": None}


@click.command()
@click.argument("which", metavar="[PROFILE|PACKAGE|FILE|running]", default="container")
@click.option("--for", "purposes", type=click.Choice(_CHECKS), multiple=True, help="Only this; may be repeated.")
@click.option(
    "--image",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The kernel of this image, for this image.",
)
@click.option("--bus", type=click.Choice(["virtio", "nvme", "sata"]), multiple=True, help="Disks it has to find.")
@click.option("--notes", is_flag=True, help="Also what would only be nice to have.")
@json_option
@click.pass_obj
def check(
    app: Application,
    which: str,
    purposes: tuple[str, ...],
    image: Path | None,
    bus: tuple[str, ...],
    notes: bool,
    as_json: bool,
) -> None:
    """Hold a kernel's configuration against what containers need, what withstands attacks, what boots an image.

    Without a name the container profile's built kernel. Status 1 where something that is needed is missing.
    """
    from rastos.kernel.checks import COMMAND_LINE, CONTAINERS, HARDENING, boot_needs, check_command_line, check_config

    line = ""
    if image is not None:
        origin, line = _of_image(image)
    else:
        origin = configuration(app, which)
    chosen = purposes or _CHECKS
    reports: list[Report] = []
    if "containers" in chosen:
        reports.append(check_config("containers", CONTAINERS, origin.values, origin.version))
    if "hardening" in chosen:
        reports.append(check_config("hardening", HARDENING, origin.values, origin.version))
        if line:
            reports.append(check_command_line("command line", COMMAND_LINE, line))
    if "boot" in chosen:
        needs = boot_needs(buses=bus or ("virtio",), command_line=line)
        reports.append(check_config("boot", needs, origin.values, origin.version))
    if as_json:
        app.out.json({"origin": origin.name, "version": origin.version, "reports": reports})
    else:
        app.out.print(f"{origin.name} ({origin.version or 'version unknown'})")
        for report in reports:
            _show(app, report, notes)
    if any(report.errors for report in reports):
        raise click.exceptions.Exit(1)


def _show(app: Application, report: Report, notes: bool) -> None:
    shown = [item for item in report.findings if notes or item.severity != "note"]
    for item in sorted(shown, key=lambda finding: ("error", "warning", "note").index(finding.severity)):
        text = f"  {_MARKS[item.severity]} {item.subject} is {item.got}: {item.reason}; write {item.fix}"
        app.out.print(text, style=_COLOURS[item.severity])
    counts = {kind: sum(item.severity == kind for item in report.findings) for kind in _MARKS}
    words = ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in counts.items() if count)
    app.out.print(
        f"{report.check}: {report.rules - len(report.findings)} of {report.rules} hold; {words or 'nothing missing'}"
    )


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B", default="running")
@json_option
@click.pass_obj
def diff(app: Application, before: str, after: str, as_json: bool) -> None:
    """What differs between two configurations; each a profile that is built, a package, a .config, or 'running'."""
    one, two = configuration(app, before), configuration(app, after)
    names = sorted({*one.values, *two.values})
    rows = [(name, one.values.get(name, "unset"), two.values.get(name, "unset")) for name in names]
    rows = [row for row in rows if row[1] != row[2]]
    if as_json:
        app.out.json([{"symbol": name, "before": old, "after": new} for name, old, new in rows])
        return
    app.out.print(f"{one.name} {one.version} → {two.name} {two.version}")
    for name, old, new in rows:
        app.out.print(f"{_sign(old, new)} CONFIG_{name}: {old} → {new}")
    app.out.print(f"{len(rows)} of {len(names)} symbols differ" if rows else "no difference")


def _sign(old: str, new: str) -> str:
    return "+" if old in ("unset", "n") else "−" if new in ("unset", "n") else "~"


def configuration(app: Application, which: str) -> ConfigOrigin:
    """The configuration somebody names. UserError: it is nothing of that."""
    from rastos.errors import UserError
    from rastos.kernel import built
    from rastos.kernel.checks import from_file, from_package, of_running
    from rastos.package import LocalRepository

    if which == "running":
        return of_running()
    path = Path(which)
    if path.is_file():
        return from_package(path) if ".pkg.tar." in path.name else from_file(path)
    repository = LocalRepository(app.config.repository)
    package = repository.find(which) or repository.find(f"linux-rastos-{which}")
    if package is not None:
        return from_package(package.path)
    names = ", ".join(item.profile for item in built(app.config.cache / "kernel", repository)) or "none"
    raise UserError(
        f"'{which}' is no built kernel, package or configuration file",
        next_step=f"`rastos kernel build --profile {which}`, a path, or 'running'; built: {names}",
    )


def _of_image(image: Path) -> tuple[ConfigOrigin, str]:
    """The kernel an image boots next, and the command line it gets."""
    from rastos.errors import UserError
    from rastos.installer import open_image
    from rastos.kernel.checks import from_file
    from rastos.snapshot import Store

    with open_image(image, writable=False, purpose="check its kernel") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        current = store.current()
        if current is None:
            raise UserError("nothing is deployed in this image", on=image, next_step="rastos snapshot deploy latest")
        release = store.snapshot(current.snapshot).kernel
        found = from_file(store.tree(current.snapshot) / "usr/lib/modules" / release / "config")
        line = str(store.info["cmdline"])
    from rastos.kernel.checks import ConfigOrigin

    return ConfigOrigin(f"{image.name}, snapshot {current.snapshot}: {release}", found.version, found.values), line
