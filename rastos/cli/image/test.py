"""`rastos image test`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import chosen_image, image_option, json_option, secure_boot_machine_option

if TYPE_CHECKING:
    from rastos.installer.vm import TestReport


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--uefi", "only", flag_value="uefi", help="Only by firmware and boot loader.")
@click.option("--direct", "only", flag_value="direct", help="Only by direct kernel boot.")
@click.option("--bios", "only", flag_value="bios", help="Only by a BIOS; the image has to have a loader for it.")
@click.option(
    "--for", "purposes", multiple=True, type=click.Choice(["containers"]), help="Prove that it runs what it is for."
)
@click.option("--run", "commands", multiple=True, metavar="COMMAND", help="A command that must succeed in the guest.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the result as JUnit XML, too.")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", type=click.IntRange(min=128))
@click.option("--timeout", default=240.0, show_default=True, metavar="SECONDS", help="How long one boot may take.")
@secure_boot_machine_option
@image_option
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    file: Path | None,
    only: str | None,
    purposes: tuple[str, ...],
    commands: tuple[str, ...],
    junit: Path | None,
    memory: int,
    timeout: float,
    secure_boot_cert: Path | None,
    image: Path | None,
    as_json: bool,
) -> None:
    """Boot a throw-away overlay by UEFI and by direct kernel boot, and check it; or hold the checks of a FILE (.toml, .py).

    Exit status 1 if a check fails. Example: rastos image test checks.toml --junit result.xml
    """
    from rastos.installer.vm import WAYS, load_suite, run_suite, test_image, write_junit

    if secure_boot_cert and only in ("direct", "bios"):
        raise click.UsageError(f"--{only} starts no firmware that could check a signature.")
    app: Application = ctx.obj
    if file is not None:
        if only or purposes or commands or secure_boot_cert:
            raise click.UsageError("with a file of checks, it says how machines boot and what is run.")
        suite = load_suite(file)
        wants_one = any(item.image is None for item in suite.machines)
        path = chosen_image(image, app.config.output) if wants_one else None
        report = run_suite(suite, image=path, cache=app.config.cache, progress=app.progress, timeout=timeout)
    else:
        report = test_image(
            chosen_image(image, app.config.output),
            cache=app.config.cache,
            progress=app.progress,
            ways=(only,) if only else WAYS,
            commands=commands,
            purposes=purposes,
            memory=memory,
            timeout=timeout,
            secure_boot_cert=secure_boot_cert,
        )
    if junit is not None:
        write_junit(report, junit)
    if as_json:
        app.out.json(
            {
                "passed": report.passed,
                "checks": list(report.checks),
                "boots": dict(report.boots),
                "logs": list(report.logs),
                "evidence": report.evidence,
            }
        )
    else:
        _show(app, report)
    ctx.exit(0 if report.passed else 1)


def _show(app: Application, report: TestReport) -> None:
    """The checks as a table, what failed in full, what was kept."""
    where = [" ".join(word for word in (check.machine, check.way) if word) for check in report.checks]
    rows = [
        [
            "✓" if check.passed else "✗",
            place,
            check.name,
            check.detail.splitlines()[0] if check.detail else "",
            render.seconds(check.seconds),
        ]
        for check, place in zip(report.checks, where, strict=True)
    ]
    app.out.table(str(report.image), ["", "boot", "check", "seen", "time"], rows)
    for check, place in zip(report.checks, where, strict=True):
        if not check.passed:
            app.out.say(f"\n✗ {place}: {check.name}\n{check.detail}")
    for log in report.logs if report.evidence is None else ():
        app.out.say(f"console log: {log}")
    if report.evidence is not None:
        names = ", ".join(str(log.relative_to(report.evidence)) for log in report.logs)
        app.out.say(f"kept in {report.evidence}: {names}")
    boots = ", ".join(f"{way} {render.seconds(value)}" for way, value in report.boots)
    app.out.print(
        f"\n{'passed' if report.passed else 'FAILED'}: {len(report.checks)} checks; up in: {boots or 'never'}"
    )
