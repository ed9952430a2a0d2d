"""Where packages come from: every channel gives libalpm a verified sync database and verified files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from rastos.errors import HostError, IntegrityError, UserError
from rastos.progress import Progress

if TYPE_CHECKING:
    from ..lockfile import LockedFile, LockedPackage
    from ..manifest import ChannelSpec, Manifest
    from ..repository import LocalRepository


@dataclass(frozen=True)
class SyncDatabase:
    """A verified sync database file, and how strictly libalpm checks signatures of its packages."""

    name: str
    path: Path
    signature_level: Literal["never", "optional", "required"] = "never"


@dataclass(frozen=True)
class Wanted:
    """A package file a plan needs; `sha256` may be empty where only the channel knows how to verify it.

    With `locked` it is that very file, whatever the channel's database says now.
    """

    name: str
    version: str
    filename: str
    sha256: str = ""
    size: int = 0
    locked: LockedPackage | None = None


class Channel(Protocol):
    """What the rest of `package` knows of a channel."""

    name: str

    def refresh(self, progress: Progress, *, offline: bool = False) -> SyncDatabase:
        """Bring the sync database up to date (`offline`: use the cache) and give it."""

    def fetch(self, packages: Sequence[Wanted], into: Path, progress: Progress) -> None:
        """Put the verified file of every package into `into`."""

    def locate(self, names: Sequence[str]) -> dict[str, LockedFile]:
        """Where the files of these packages are in the archive, with digest and signer, for a lockfile."""

    def configure(self, root: Path, packages: Sequence[str], progress: Progress) -> None:
        """Run what has to run in `root` once the transaction is on disk; names in dependency order."""

    def display_version(self, version: str) -> str:
        """The version as the channel's own distribution writes it."""


def open_channels(
    manifest: Manifest | None, *, cache: Path, repository: LocalRepository | None, as_of: str = ""
) -> list[Channel]:
    """The channels of a manifest, best priority first; the local repository comes before all of them.

    None declared: the host's own distribution. HostError where that is neither Debian nor Arch. `as_of` (a date) opens their
    dated archives instead: UserError where a channel names none.
    """
    from .local import LocalChannel

    channels: list[Channel] = []
    if repository is not None and repository.database.is_file():
        channels.append(LocalChannel(repository))
    if manifest is None or not manifest.channels:
        if as_of:
            step = "declare the channels with their archives: [channels.NAME] archive = ADDRESS with {date}"
            raise UserError("the host's own channels have no dated archive", next_step=step)
        return channels + _of_host(cache)
    ordered = sorted(manifest.channels.values(), key=lambda spec: (spec.priority, spec.name))
    keys = cache
    if as_of:
        from . import dated

        # a cache of its own: the index of a past day must not look like a replayed one of today
        cache = cache / "dated" / "".join(letter for letter in as_of if letter.isdigit())
        ordered = [dated.as_of(spec, as_of) for spec in ordered]
    return channels + [_open(spec, cache, keys) for spec in ordered]


def allows(channel: Channel, what: str) -> bool:
    """Whether a channel may be used for sync, search, install or upgrade (`Usage` of pacman.conf)."""
    ask = getattr(channel, "allows", None)
    return ask is None or bool(ask(what))


def alternatives_of(dependency: str) -> tuple[str, ...] | None:
    """The alternatives behind a dependency that stands for several, preferred first; None for a plain one."""
    if not dependency.startswith("any:"):
        return None
    from . import debian

    return debian.alternatives_of(dependency)


def safe_filename(name: str, on: object) -> str:
    """A file name out of a database, if it is nothing but that. IntegrityError otherwise."""
    if not name or name.startswith((".", "-")) or "/" in name or "\0" in name:
        raise IntegrityError(f"the package database names an impossible file '{name}'", on=on)
    return name


def _open(spec: ChannelSpec, cache: Path, keys: Path) -> Channel:
    if spec.kind == "debian":
        from .debian import DebianChannel, explicit, from_host

        sources = (
            explicit(spec.server[0], spec.suites or ("stable",), spec.components, spec.keyring)
            if spec.server
            else from_host()
        )
        return DebianChannel(cache / "channels" / spec.name, sources, name=spec.name)
    if spec.kind == "local":
        from ..repository import LocalRepository
        from .local import LocalChannel

        return LocalChannel(LocalRepository(Path(spec.server[0]), spec.name))
    from .pacman import PacmanChannel

    # the keys of today know better than those of a past day whom to trust
    return PacmanChannel(spec, cache / "channels" / spec.name, keys=keys / "channels" / spec.name / "keys")


def _of_host(cache: Path) -> list[Channel]:
    if Path("/etc/debian_version").is_file():
        from .debian import DebianChannel, from_host

        return [DebianChannel(cache / "channels" / "debian", from_host())]
    configuration = Path("/etc/pacman.conf")
    if configuration.is_file():
        from .pacman import host_channels

        if found := host_channels(configuration, cache / "channels"):
            return list(found)
    raise HostError(
        "this host's distribution has no default channel",
        next_step="name one in packages.toml: [channels.NAME] kind, server",
    )


__all__ = ["Channel", "SyncDatabase", "Wanted", "allows", "alternatives_of", "open_channels", "safe_filename"]
