"""`rastos image`: disk images made, looked into, run and tested. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "create": ("create", "create", "Create a disk image from an image profile, a manifest and a kernel."),
    "inspect": ("inspect", "inspect", "Partitions, snapshots, deployments, boot entries and sizes of an image."),
    "boot": ("boot", "boot", "Run an image in QEMU: the console, a root shell by SSH, or one command."),
    "secure-boot": ("secureboot", "secure_boot", "Put your Secure Boot keys on an image's ESP, to be enrolled there."),
    "test": ("test", "test", "Boot a throw-away overlay and check it."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def image() -> None:
    """Create, inspect, boot and test disk images."""
