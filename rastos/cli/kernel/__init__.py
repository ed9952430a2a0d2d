"""`rastos kernel`: build kernels from profiles, look at them, check them. One module per kind of command."""

from __future__ import annotations

import click

from rastos.cli.lazy import LazyGroup

# command: (module, attribute, one line of help); in the order in which they are used
COMMANDS = {
    "profiles": ("profiles", "profiles_command", "List the profiles that can be built."),
    "show": ("profiles", "show", "A profile or a built kernel, with every option asked for and by whom."),
    "sources": ("sources", "sources", "Kernel sources that can be built, and which are unpacked here."),
    "trust": ("sources", "trust", "Trust keys for the signatures of kernel.org's tarballs."),
    "build": ("build", "build", "Source, configuration, kernel, pacman package in the local repository."),
    "distro": ("distro", "distro", "The distribution's kernel as a package, instead of building one."),
    "list": ("profiles", "list_command", "List the kernels in the local repository that were built here."),
    "initramfs": ("initramfs", "initramfs", "What the initramfs of a modular kernel holds."),
    "check": ("check", "check", "A configuration against containers, attacks, and what boots an image."),
    "module": ("module", "module", "Modules from outside the kernel's tree, as packages."),
    "sign-module": ("module", "sign_module", "Sign modules for a kernel built here."),
    "bench": ("bench", "bench", "Kernels booted and measured side by side, and compared over time."),
    "debug": ("debug", "debug", "A kernel in QEMU with the gdb stub, and the line for gdb."),
    "config": ("config", "config", "A configuration's options: show, edit, compare, take to another version."),
    "diff": ("config.diff", "diff", "What differs between two configurations."),
}


@click.group(cls=LazyGroup, table=COMMANDS, package=__name__)
def kernel() -> None:
    """Build kernels from profiles and keep them as packages."""
