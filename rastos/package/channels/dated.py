"""Channels as they were on a day, where they have a dated archive."""

from __future__ import annotations

import re
from dataclasses import replace

from rastos.errors import UserError

from ..manifest import ChannelSpec

_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:T?(\d{6})Z?)?\Z")


def as_of(spec: ChannelSpec, date: str) -> ChannelSpec:
    """The channel with its dated archive as the server; `{date}` 20260131, `{date:/}` 2026/01/31, `{time}` with T000000Z.

    UserError: no date, or the channel names no archive.
    """
    found = _DATE.match(date)
    if not found:
        raise UserError(f"'{date}' is not a date", next_step="write it as 2026-01-31")
    if spec.kind == "local":
        return spec
    if not spec.archive:
        raise UserError(
            f"the channel '{spec.name}' names no dated archive",
            on=f"channels.{spec.name}",
            next_step='give its address: archive = "https://…/{date}"',
        )
    year, month, day, clock = found.groups()
    address = spec.archive.replace("{date:/}", f"{year}/{month}/{day}").replace("{date}", f"{year}{month}{day}")
    address = address.replace("{time}", f"{year}{month}{day}T{clock or '000000'}Z")
    return replace(spec, server=(address,), mirrorlist=None, config=None, cache_server=())
