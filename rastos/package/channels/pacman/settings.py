"""What is in force for one channel: the manifest, completed by a section of a pacman.conf or by a mirror list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import UserError

from ...manifest import ChannelSpec
from .configuration import PacmanConfiguration, Repository, SignatureLevel, expand, read_configuration, read_mirrorlist

DEFAULT_KEYRING = Path("/usr/share/pacman/keyrings/archlinux.gpg")


@dataclass(frozen=True)
class Settings:
    """Addresses with `$repo` and `$arch` replaced; `usage` in small letters; `gnupg` is pacman-key's folder, if it counts."""

    servers: tuple[str, ...]
    cache_servers: tuple[str, ...]
    level: SignatureLevel
    usage: frozenset[str]
    keyring: Path
    gnupg: Path | None = None
    warnings: tuple[str, ...] = ()

    def allows(self, what: str) -> bool:
        """Whether the channel may be used for this: sync, search, install, upgrade."""
        return bool(self.usage & {"all", what})


def settings_of(spec: ChannelSpec) -> Settings:
    """The settings of a declared channel; what the manifest says itself wins. UserError: no server, or a file is wrong."""
    servers: tuple[str, ...] = tuple(_address(server, spec.name) for server in spec.server)
    caches = tuple(_address(server, spec.name) for server in spec.cache_server)
    level = SignatureLevel(*spec.siglevel)
    usage = frozenset(word.lower() for word in spec.usage)
    gnupg: Path | None = None
    warnings: tuple[str, ...] = ()
    if spec.config is not None:
        configuration = read_configuration(spec.config)
        section = configuration.repository(spec.name)
        unsaid = ChannelSpec(spec.name, spec.kind)
        servers = servers or tuple(_address(server, spec.name) for server in section.servers)
        caches = caches or tuple(_address(server, spec.name) for server in section.cache_servers)
        level = section.level if spec.siglevel == unsaid.siglevel else level
        usage = section.usage if spec.usage == unsaid.usage else usage
        gnupg, warnings = _pacman_keys(spec, configuration), configuration.warnings
    if spec.mirrorlist is not None:
        servers += tuple(_address(server, spec.name) for server in read_mirrorlist(spec.mirrorlist, spec.name))
    return _checked(
        spec.name, Settings(servers, caches, level, usage, spec.keyring or DEFAULT_KEYRING, gnupg, warnings)
    )


def settings_of_section(section: Repository, configuration: PacmanConfiguration) -> Settings:
    """The settings of a section of the host's own pacman.conf. UserError: it names no server."""
    servers = tuple(_address(server, section.name) for server in section.servers)
    caches = tuple(_address(server, section.name) for server in section.cache_servers)
    settings = Settings(servers, caches, section.level, section.usage, DEFAULT_KEYRING, configuration.gpgdir)
    return _checked(section.name, settings, section.where)


def _checked(name: str, settings: Settings, where: str = "") -> Settings:
    if not settings.servers:
        raise UserError(
            f"the channel '{name}' has no server",
            on=where or f"[channels.{name}]",
            next_step="name one: Server in pacman.conf, or server in packages.toml",
        )
    return settings


def _pacman_keys(spec: ChannelSpec, configuration: PacmanConfiguration) -> Path | None:
    return None if spec.keyring or spec.keyring_package else configuration.gpgdir


def _address(server: str, repo: str) -> str:
    address = expand(server, repo)
    return Path(address).absolute().as_uri() if "://" not in address else address
