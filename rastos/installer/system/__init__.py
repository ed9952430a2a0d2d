"""The configured system: what makes a tree of packages this machine. Written into the tree before it becomes a snapshot.

One module per concern; each takes the tree and the profile. The order is theirs: people before the files that belong to them,
files before the units they bring.
"""

from __future__ import annotations

from pathlib import Path

from ..partition import Partition
from ..profile import ImageProfile
from .attached_files import write_files
from .first_boot import write_first_boot
from .foresight import foreseen, says_much
from .identity import write_identity
from .keyboard import set_keymap
from .language import set_language
from .network import write_network
from .people import add_people
from .services import set_services
from .settings import write_settings
from .ssh import prepare_ssh
from .storage import mount_points, write_storage
from .time_zone import set_time_zone


def configure_system(tree: Path, profile: ImageProfile, esp: Partition) -> None:
    """Write the profile into the tree. Raises UserError for what the tree doesn't have (time zone, locale, group, unit …)."""
    mount_points(tree)
    write_identity(tree, profile)
    set_time_zone(tree, profile)
    set_language(tree, profile)
    set_keymap(tree, profile)
    write_network(tree, profile)
    prepare_ssh(tree, profile)
    add_people(tree, profile)
    write_storage(tree, esp)
    write_settings(tree, profile)
    write_files(tree, profile)
    write_first_boot(tree, profile)
    set_services(tree, profile)


__all__ = ["configure_system", "foreseen", "says_much"]
