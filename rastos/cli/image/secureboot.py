"""`rastos image secure-boot`."""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from rastos.cli.app import Application
from rastos.cli.options import (
    chosen_image,
    dry_run_option,
    image_option,
    json_option,
    secure_boot_options,
    secure_boot_pair,
)


@click.command("secure-boot")
@secure_boot_options
@click.option(
    "--automatic",
    is_flag=True,
    help="Enrol at the next boot in setup mode, without asking; else from the loader's menu.",
)
@image_option
@dry_run_option
@json_option
@click.pass_obj
def secure_boot(
    app: Application,
    secure_boot_key: Path | None,
    secure_boot_cert: Path | None,
    automatic: bool,
    image: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put your Secure Boot keys on an image's ESP: its boot loader enrols them in a machine in setup mode.

    Example: rastos image secure-boot --secure-boot-key db.key --secure-boot-cert db.crt --automatic
    """
    from rastos.installer import open_image, plan_enrolment, write_enrolment

    key = secure_boot_pair(secure_boot_key, secure_boot_cert)
    if key is None:
        raise click.UsageError("Name the pair: --secure-boot-key KEY --secure-boot-cert CERT.")
    path = chosen_image(image, app.config.output)
    with open_image(path, writable=not dry_run, purpose="write Secure Boot keys") as opened:
        plan = plan_enrolment(opened.esp, key, automatic=automatic)
        if not dry_run:
            with app.progress.step("Write the keys to the ESP"):
                write_enrolment(opened.esp, plan, key, owner=str(uuid.uuid4()))
    if as_json:
        app.out.json(plan.to_json())
        return
    for name in plan.files:
        app.out.say(f"{'would write' if dry_run else 'wrote'} {name}")
    how = "at its next boot" if automatic else "when you choose it in its menu"
    app.out.print(f"{path}: the boot loader enrols {plan.subject} {how}, where the firmware is in setup mode")
