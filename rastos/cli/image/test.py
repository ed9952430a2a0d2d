"""`rastos image test`."""

from __future__ import annotations

from pathlib import Path

import click

from rastos.cli import render
from rastos.cli.app import Application
from rastos.cli.options import chosen_image, image_option, json_option, secure_boot_machine_option


@click.command()
@click.option("--uefi", "only", flag_value="uefi", help="Only by firmware and boot loader.")
@click.option("--direct", "only", flag_value="direct", help="Only by direct kernel boot.")
@click.option(
    "--for", "purposes", multiple=True, type=click.Choice(["containers"]), help="Prove that it runs what it is for."
)
@click.option("--run", "commands", multiple=True, metavar="COMMAND", help="A command that must succeed in the guest.")
@click.option("--memory", default=1024, show_default=True, metavar="MIB", type=click.IntRange(min=128))
@click.option("--timeout", default=240.0, show_default=True, metavar="SECONDS", help="How long one boot may take.")
@secure_boot_machine_option
@image_option
@json_option
@click.pass_context
def test(
    ctx: click.Context,
    only: str | None,
    purposes: tuple[str, ...],
    commands: tuple[str, ...],
    memory: int,
    timeout: float,
    secure_boot_cert: Path | None,
    image: Path | None,
    as_json: bool,
) -> None:
    """Boot a throw-away overlay by UEFI and by direct kernel boot, and check it. Exit status 1 if a check fails."""
    from rastos.installer.vm import WAYS, test_image

    if secure_boot_cert and only == "direct":
        raise click.UsageError("--direct starts no firmware that could check a signature.")
    app: Application = ctx.obj
    path = chosen_image(image, app.config.output)
    report = test_image(
        path,
        cache=app.config.cache,
        progress=app.progress,
        ways=(only,) if only else WAYS,
        commands=commands,
        purposes=purposes,
        memory=memory,
        timeout=timeout,
        secure_boot_cert=secure_boot_cert,
    )
    if as_json:
        app.out.json(
            {
                "passed": report.passed,
                "checks": list(report.checks),
                "boots": dict(report.boots),
                "logs": list(report.logs),
            }
        )
    else:
        rows = [
            [
                "✓" if check.passed else "✗",
                check.way,
                check.name,
                check.detail.splitlines()[0] if check.detail else "",
                render.seconds(check.seconds),
            ]
            for check in report.checks
        ]
        app.out.table(str(path), ["", "boot", "check", "seen", "time"], rows)
        for check in report.checks:
            if not check.passed:
                app.out.say(f"\n✗ {check.way}: {check.name}\n{check.detail}")
        for log in report.logs:
            app.out.say(f"console log: {log}")
        boots = ", ".join(f"{way} {render.seconds(value)}" for way, value in report.boots)
        app.out.print(
            f"\n{'passed' if report.passed else 'FAILED'}: {len(report.checks)} checks; up in: {boots or 'never'}"
        )
    ctx.exit(0 if report.passed else 1)
