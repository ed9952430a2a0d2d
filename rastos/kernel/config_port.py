"""A profile on another kernel version: what it asks for that is gone or dropped there, what is new, what changed by itself."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rastos.kernel.config_diff import in_words
from rastos.kernel.fragments import Request
from rastos.kernel.kconfig import Dropped
from rastos.kernel.resolve import ResolvedConfig, explained, questioned

NEAR = 0.75  # how alike two names have to be (difflib's ratio)
HEIRS = 3


@dataclass(frozen=True, slots=True)
class Heir:
    """An option that may have taken the place of one that is gone, and what speaks for it."""

    symbol: str
    prompt: str
    because: str


@dataclass(frozen=True, slots=True)
class Gone:
    """A request for an option that the new version doesn't have; `accepted` is the profile's reason why that may be."""

    request: Request
    prompt: str
    heirs: tuple[Heir, ...]
    accepted: str
    was_fulfilled: bool


@dataclass(frozen=True, slots=True)
class NewOption:
    """An option of the new version that could be asked for, in a menu that the profile uses; `value` is what it has."""

    symbol: str
    value: str
    prompt: str
    menu: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """An option that nobody asks for, with another value on the new version."""

    symbol: str
    words: str
    prompt: str
    menu: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PortReport:
    """A profile from one version to another. `lost` decides whether it can be built there as it is."""

    profile: str
    before: str
    after: str
    requested: int
    gone: tuple[Gone, ...]
    dropped: tuple[Dropped, ...]
    new: tuple[NewOption, ...]
    changed: tuple[Changed, ...]

    @property
    def lost(self) -> int:
        """Requests that would fail a build on the new version."""
        return sum(not item.accepted for item in self.gone) + sum(not item.accepted for item in self.dropped)

    @property
    def kept(self) -> int:
        """Requests that the new version fulfils."""
        return self.requested - len(self.gone) - len(self.dropped)


def port_report(old: ResolvedConfig, new: ResolvedConfig) -> PortReport:
    """Compare one profile on two kernels. Raises UserError where a tree's Kconfig can't be read."""
    before, after = questioned(old, "menus"), questioned(new, "menus")
    was, now = before["symbols"], after["symbols"]
    unfulfilled = {item.request.symbol for item in old.dropped}
    gone = tuple(
        Gone(
            request=item.request,
            prompt=was.get(item.request.symbol, {}).get("prompt", ""),
            heirs=heirs(item.request.symbol, was, now),
            accepted=item.accepted,
            was_fulfilled=item.request.symbol not in unfulfilled,
        )
        for item in new.dropped
        if item.request.symbol not in now
    ) + tuple(_transitional(new, was, now, after["transitional"]))
    missing = {item.request.symbol for item in gone}
    reasons = {item.request.symbol: item for item in explained(new)}
    dropped = tuple(
        reasons.get(item.request.symbol, item) for item in new.dropped if item.request.symbol not in missing
    )
    return PortReport(
        profile=new.plan.profile.name,
        before=old.version,
        after=new.version,
        requested=len(new.plan.merged.requests),
        gone=gone,
        dropped=dropped,
        new=tuple(_new(new, was, now)),
        changed=tuple(_changed(old, new, was, now)),
    )


def _transitional(new: ResolvedConfig, was: Any, now: Any, carried: Mapping[str, list[str]]) -> list[Gone]:
    """Requests by an old name that the new version only hands on to another: they still count, but not for long."""
    names = {item.symbol: item for item in new.plan.merged.requests}
    return [
        Gone(
            request=names[name],
            prompt=was.get(name, {}).get("prompt", ""),
            heirs=tuple(Heir(item, now[item]["prompt"], "takes over the old name's value") for item in carried[name]),
            accepted="the new version still understands the old name",
            was_fulfilled=True,
        )
        for name in carried
        if name in names and name in now
    ]


def heirs(name: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Heir, ...]:
    """Options of the new version that may be the renamed `name`, the likeliest first."""
    prompt = _plain(was.get(name, {}).get("prompt", ""))
    found: dict[str, tuple[float, str]] = {}
    for other, facts in now.items():
        if other in was:
            continue  # it was there beside the old one: no new name of it
        alike = difflib.SequenceMatcher(None, name, other)
        if prompt and _plain(facts["prompt"]) == prompt:
            found[other] = (2.0, "same prompt")
        elif f"_{name}" in f"_{other}" or f"_{other}" in f"_{name}":
            found[other] = (1.5, "one name is in the other")
        elif alike.real_quick_ratio() >= NEAR and alike.quick_ratio() >= NEAR and alike.ratio() >= NEAR:
            found[other] = (alike.ratio(), "similar name")
    best = sorted(found, key=lambda other: (-found[other][0], other))[:HEIRS]
    return tuple(Heir(other, now[other]["prompt"], found[other][1]) for other in best)


def _plain(prompt: str) -> str:
    return " ".join(prompt.lower().split())


def _new(new: ResolvedConfig, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[NewOption]:
    asked = {item.symbol for item in new.plan.merged.requests}
    menus = {tuple(now[name]["menu"]) for name in asked if name in now}
    found = [
        NewOption(name, facts["value"], facts["prompt"], tuple(facts["menu"]))
        for name, facts in now.items()
        if name not in was and name not in asked and facts["prompt"] and facts["visible"]
    ]
    return sorted((item for item in found if item.menu in menus), key=lambda item: (item.menu, item.symbol))


def _changed(old: ResolvedConfig, new: ResolvedConfig, was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Changed]:
    asked = {item.symbol for item in new.plan.merged.requests}
    found = []
    for name, facts in now.items():
        if name in asked or name not in was or not facts["prompt"]:
            continue
        if facts["value"] == was[name]["value"] or not (facts["visible"] and was[name]["visible"]):
            continue
        words = in_words(was[name]["value"], facts["value"], facts["type"])
        found.append(Changed(name, words, facts["prompt"], tuple(facts["menu"])))
    return sorted(found, key=lambda item: (item.menu, item.symbol))
