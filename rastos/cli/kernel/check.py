"""`rastos kernel check`: configurations against what they are for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli.app import Application
from rastos.cli.kernel import places
from rastos.cli.options import json_option

if TYPE_CHECKING:
    from rastos.kernel import KernelProfile
    from rastos.kernel.checks import BootFacts, ConfigOrigin, Facts, Finding, PublicVerdict, Report

_CHECKS = ("containers", "hardening", "boot")
_BUSES = ("virtio", "nvme", "sata", "usb")
# a package of ours by name, or as the file that was built
_PACKAGE = r"(?:linux-rastos-)?{}(?:-[^-]+-[^-]+-x86_64\.pkg\.tar\.zst)?"
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
@click.option("--source", metavar="SOURCE", help="A profile that isn't built: on this kernel (default: apt's newest).")
@click.option("--as", "profile", metavar="PROFILE", help="With this profile's command line, checks and exceptions.")
@click.option("--bus", type=click.Choice(_BUSES), multiple=True, help="Disks it has to find; may be repeated.")
@click.option("--notes", is_flag=True, help="Also what would only be nice to have, and what is meant.")
@click.option("--strict", is_flag=True, help="Status 1 for anything that isn't meant, notes too.")
@click.option("--with", "beside", type=click.Choice(["public"]), help="Also run kernel-hardening-checker and compare.")
@json_option
@click.pass_obj
def check(
    app: Application,
    which: str,
    purposes: tuple[str, ...],
    image: Path | None,
    source: str | None,
    profile: str | None,
    bus: tuple[str, ...],
    notes: bool,
    strict: bool,
    beside: str | None,
    as_json: bool,
) -> None:
    """Hold a kernel's configuration against what containers need, what withstands attacks, what boots an image.

    Without a name the container profile's built kernel; a profile that isn't built is configured. Status 1 where something that is needed is missing.
    Example: rastos kernel check production --for hardening --notes
    """
    from rastos.cli.kernel.configuration import configuration
    from rastos.kernel import distro_request
    from rastos.kernel.checks import CONTAINERS, HARDENING, BootFacts, Facts, boot_needs, hold, running_facts

    buses = bus or ("virtio",)
    boot = BootFacts(buses=buses)
    if image is not None:
        origin, package, boot = _of_image(app, image, buses)
        facts = Facts(origin.values, origin.version, boot.command_line)
    else:
        origin = configuration(app, which, source)
        package, facts = which, Facts(origin.values, origin.version)
    rules = {"containers": CONTAINERS, "hardening": HARDENING, "boot": boot_needs(boot)}
    known = _profile(app, profile, package)
    if which == "running" and image is None:
        facts = running_facts(origin, (*CONTAINERS, *HARDENING))
    elif known is not None and image is None:
        # without parameters of its own an image decides about them
        facts = Facts(origin.values, origin.version, known.command_line or None)
    if image is None and (known.initramfs if known else distro_request(_bare(which)) is not None):
        rules["boot"] = boot_needs(BootFacts(buses=buses, modules=_WHATEVER_IT_NEEDS))
    chosen = purposes or _chosen(which if image is None else "", known)
    meant = known.meant if known else ()
    reports = [hold(name, rules[name], facts, meant) for name in chosen]
    verdict = _public(app, facts, reports) if beside else None
    if as_json:
        app.out.json(
            {"origin": origin.name, "version": origin.version, "reports": list(map(_plain, reports)), "public": verdict}
        )
    else:
        app.out.print(f"{origin.name} (Linux {origin.version or 'of unknown version'})")
        for report in reports:
            _show(app, report, notes)
        if verdict:
            _show_public(app, verdict)
    if any(report.missing if strict else report.errors for report in reports):
        raise click.exceptions.Exit(1)


def _bare(which: str) -> str:
    return "distro" if re.fullmatch(_PACKAGE.format("distro"), Path(which).name) else which


class _Everything(frozenset[str]):
    """The modules of an initramfs that is made for the image: whatever mounts its root."""

    def __contains__(self, name: object) -> bool:
        return True


_WHATEVER_IT_NEEDS = _Everything()


def _chosen(which: str, profile: KernelProfile | None) -> tuple[str, ...]:
    if profile is not None:
        return profile.checks
    # what runs has booted
    return tuple(name for name in _CHECKS if which != "running" or name != "boot")


def _profile(app: Application, wanted: str | None, package: str) -> KernelProfile | None:
    """The profile asked for, or the one that a package of ours is named after."""
    from rastos.kernel import load_profile, profiles

    if wanted:
        return load_profile(wanted, app.config.profile_folders)
    name = Path(package).name
    found = [item for item in profiles(app.config.profile_folders) if re.fullmatch(_PACKAGE.format(item.name), name)]
    return found[0] if found else None


def _public(app: Application, facts: Facts, reports: list[Report]) -> PublicVerdict | None:
    import shutil

    from rastos.errors import HostError
    from rastos.kernel.checks import PROGRAM, public_verdict

    ours = [report for report in reports if report.check == "hardening"]
    if not ours:
        return None
    program = shutil.which(PROGRAM)  # on the person's own path: it is often in a virtual environment
    if program is None:
        raise HostError(
            f"{PROGRAM} is not installed",
            next_step="get it from its project; the list here needs nothing: leave --with out",
        )
    place = places.cache(app) / "work"
    return public_verdict(Path(program), facts.config, facts.version, facts.command_line, ours[0], place)


def _plain(report: Report) -> dict[str, object]:
    """A report with what follows from it."""
    counts = {name: count for name, count in report.groups}
    return {
        "check": report.check,
        "rules": report.rules,
        "hold": report.rules - len(report.findings),
        "meant": len(report.findings) - len(report.missing),
        "missing": len(report.missing),
        "groups": counts,
        "findings": list(report.findings),
        "unused_exceptions": list(report.unused),
    }


def _show(app: Application, report: Report, notes: bool) -> None:
    app.out.print()
    app.out.print(report.check, style="bold")
    order = list(_MARKS)
    for group, count in report.groups:
        found = [item for item in report.findings if item.group == group]
        app.out.print(f"  {group:<18} {count - len(found):>3} of {count}")
        for item in sorted(found, key=lambda one: (bool(one.meant), order.index(one.severity))):
            if notes or (item.severity != "note" and not item.meant):
                _show_finding(app, item)
    for subject in report.unused:
        app.out.print(f"  ? the exception for {subject} is for nothing: it holds, or there is no such rule")
    app.out.print(f"{report.check}: {score(report)}", style="green" if not report.missing else None)


def _show_finding(app: Application, item: Finding) -> None:
    if item.meant:
        app.out.print(f"    = {item.subject} is {item.got}, meant: {item.meant}", style="dim")
        return
    others = "".join(f" (or {other})" for other in item.otherwise[:1])
    text = f"    {_MARKS[item.severity]} {item.subject} is {item.got}: {item.reason}; write {item.fix}{others}"
    app.out.print(f"{text}  [{item.source}]", style=_COLOURS[item.severity])


def score(report: Report) -> str:
    """203 of 214 hold, 9 meant, 2 missing (1 error, 1 note)."""
    meant = len(report.findings) - len(report.missing)
    words = [f"{report.rules - len(report.findings)} of {report.rules} hold"]
    if meant:
        words.append(f"{meant} meant")
    counts = {kind: sum(item.severity == kind for item in report.missing) for kind in _MARKS}
    parts = ", ".join(f"{count} {kind}{'s' if count != 1 else ''}" for kind, count in counts.items() if count)
    words.append(f"{len(report.missing)} missing ({parts})" if parts else "nothing missing")
    return ", ".join(words)


def _show_public(app: Application, verdict: PublicVerdict) -> None:
    fine = verdict.checked - len(verdict.failed)
    app.out.print(f"\nkernel-hardening-checker: {fine} of {verdict.checked} hold")
    for name in verdict.only_there:
        app.out.print(f"  only it finds fault with {name}")
    for name in verdict.only_here:
        app.out.print(f"  only the list here finds fault with {name}")


def _of_image(app: Application, image: Path, buses: tuple[str, ...]) -> tuple[ConfigOrigin, str, BootFacts]:
    """The kernel an image boots next, the package it is from, and what the image asks of it."""
    from rastos.installer import image_kernel

    found = image_kernel(image, cache=app.config.cache, buses=buses)
    return found.origin, found.package, found.boot
