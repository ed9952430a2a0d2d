"""The keys of channels, as commands show and change them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rastos.errors import RastosError, UserError
from rastos.progress import Progress

from .keys import Key, read_keys

if TYPE_CHECKING:
    from .channels import Channel
    from .channels.pacman import PacmanChannel


@dataclass(frozen=True)
class ChannelKey:
    """A key of a channel: `trusted`, and `why` or why not; `certified_by` how many masters, of `needed`."""

    channel: str
    fingerprint: str
    name: str
    created: int
    expires: int | None
    expired: bool
    revoked: bool
    trusted: bool
    why: str
    certified_by: int
    needed: int


def channel_keys(channel: Channel) -> tuple[ChannelKey, ...]:
    """Every key of a channel; none for channels without keys. HostError: it has no keyring yet."""
    from .channels.debian import DebianChannel
    from .channels.pacman import PacmanChannel

    if isinstance(channel, PacmanChannel):
        return tuple(
            _row(channel.name, item.key, item.trusted and item.key.alive, item.why, item.needed)
            for item in channel.keyring.keys()
        )
    if isinstance(channel, DebianChannel):
        files = [path for path in channel.keyrings if path.is_file()]
        keys = read_keys(files) if files else ()
        return tuple(_row(channel.name, key, key.alive, "in the keyring file", 0) for key in keys)
    return ()


def with_keys(channels: Sequence[Channel], name: str) -> PacmanChannel:
    """The pacman channel of that name; with no name the only one there is. UserError otherwise."""
    from .channels.pacman import PacmanChannel

    known = {channel.name: channel for channel in channels if isinstance(channel, PacmanChannel)}
    chosen = known.get(name) if name else next(iter(known.values())) if len(known) == 1 else None
    if chosen is None:
        names = ", ".join(sorted(known)) or "none is declared"
        what = f"there is no pacman channel '{name}'" if name else "several channels have keys of their own, or none"
        raise UserError(what, next_step=f"name one with --channel; pacman channels: {names}")
    return chosen


def refresh_keys(channels: Sequence[Channel], progress: Progress) -> dict[str, bool]:
    """Bring the keyrings of all channels that name a keyring package up to date; by channel, whether it changed."""
    from .channels.pacman import PacmanChannel

    found: dict[str, bool] = {}
    failed: RastosError | None = None
    for channel in channels:
        if isinstance(channel, PacmanChannel) and channel.spec.keyring_package:
            try:
                found[channel.name] = channel.refresh_keyring(progress)
            except RastosError as error:
                failed = failed or error  # the others are refreshed all the same
    if failed:
        raise failed
    return found


def _row(channel: str, key: Key, trusted: bool, why: str, needed: int) -> ChannelKey:
    state = "revoked" if key.revoked else "expired" if key.expired else why
    return ChannelKey(
        channel,
        key.fingerprint,
        key.name,
        key.created,
        key.expires,
        key.expired,
        key.revoked or why == "revoked",
        trusted,
        state,
        len(key.certified_by),
        needed,
    )
