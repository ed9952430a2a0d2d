"""The pacman channel: any pacman repository by address or folder, signatures checked before anything of it is used."""

from __future__ import annotations

from .channel import PacmanChannel, host_channels
from .configuration import PacmanConfiguration, Repository, SignatureLevel, read_configuration, read_mirrorlist
from .keyring import ChannelKeyring, TrustedKey

__all__ = [
    "ChannelKeyring",
    "PacmanChannel",
    "PacmanConfiguration",
    "Repository",
    "SignatureLevel",
    "TrustedKey",
    "host_channels",
    "read_configuration",
    "read_mirrorlist",
]
