"""`rastos image`: disk images made, looked into, run and tested. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "profiles": ("profiles", "profiles_command", "List the image profiles."),
    "show": ("profiles", "show", "What an image profile comes to after inheritance."),
    "init": ("init", "init", "Ask what a machine is to be, and write its profile."),
    "check": ("check", "check", "Check image profiles without building."),
    "create": ("create", "create", "Create a disk image from an image profile, a manifest and a kernel."),
    "inspect": ("inspect", "inspect", "Partitions, snapshots, deployments, boot entries and sizes of an image."),
    "manifest": (
        "manifest",
        "manifest",
        "What an image holds: packages with digests, kernel, partitions, command lines.",
    ),
    "sbom": ("sbom", "sbom", "A software bill of materials: SPDX or CycloneDX."),
    "diff": ("diff", "diff", "What differs between two images: disk, packages, kernel, services, files."),
    "ls": ("ls", "ls", "List files of an image without booting it."),
    "cat": ("cat", "cat", "Print a file of an image."),
    "cp": ("cp", "cp", "Copy files out of an image, or into it."),
    "shell": ("shell", "shell", "A shell in a copy of what an image boots, thrown away or kept."),
    "convert": ("convert", "convert", "Write an image in another format: vmdk, vdi, vhdx, vhd, tar, OCI."),
    "resize": ("resize", "resize", "Make an image's disk and root larger or smaller."),
    "compact": ("compact", "compact", "Give back an image's unused blocks and pack the file anew."),
    "boot": ("boot", "boot", "Run an image in QEMU: the console, a root shell by SSH, or one command."),
    "secure-boot": ("secureboot", "secure_boot", "Put your Secure Boot keys on an image's ESP, to be enrolled there."),
    "vm": ("vm", "vm", "Machines that run: list, stop, console, screenshot, monitor, commands."),
    "test": ("test", "test", "Boot a throw-away overlay and check it."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def image() -> None:
    """Create, look into, boot and test disk images."""
