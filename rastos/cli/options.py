"""One object per option that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rastos.kernel import SecureBootKey

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """--json: the result as JSON on standard output."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def dry_run_option(function: F) -> F:
    """--dry-run: show the plan, change nothing."""
    return click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")(function)


def image_option(function: F) -> F:
    """--image FILE: the image to work on."""
    return click.option(
        "--image",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="RASTOS_IMAGE",
        help="The image file to work on (RASTOS_IMAGE; default: the running system where rastos deployed it, else the newest in the output folder).",
    )(function)


def secure_boot_options(function: F) -> F:
    """--secure-boot-key and --secure-boot-cert: what signs EFI programs; see `secure_boot_pair`."""
    for name, help_ in (
        ("--secure-boot-cert", "The certificate of that key (PEM)."),
        ("--secure-boot-key", "Sign what the firmware starts with this key (PEM)."),
    ):
        function = click.option(name, type=click.Path(path_type=Path, dir_okay=False), help=help_)(function)
    return function


def secure_boot_machine_option(function: F) -> F:
    """--secure-boot-cert of machines: the certificate that their firmware trusts."""
    return click.option(
        "--secure-boot-cert",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Boot with Secure Boot: this certificate (PEM) is enrolled, and only what its key signed starts.",
    )(function)


def secure_boot_pair(key: Path | None, certificate: Path | None) -> SecureBootKey | None:
    """The pair that the options name; None where they name none."""
    if key is None and certificate is None:
        return None
    if key is None or certificate is None:
        raise click.UsageError("--secure-boot-key and --secure-boot-cert go together.")
    from rastos.kernel import read_secure_boot_key

    return read_secure_boot_key(key, certificate)


def chosen_image(image: Path | None, output: Path) -> Path:
    """The image named, or the newest one in the output folder. Raises UserError where there is none."""
    if image is not None:
        return image
    from rastos.errors import UserError

    found = [path for pattern in ("*.qcow2", "*.raw") for path in output.glob(pattern)] if output.is_dir() else []
    if not found:
        raise UserError(
            "there is no image yet", on=output, next_step="run `rastos image create`, or name one: --image FILE"
        )
    return max(found, key=lambda path: path.stat().st_mtime)
