"""What an image is made of again, and because of what: its inputs against those of the last build of the same profile.

Inputs are kept as digests: a profile may hold password hashes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import digest_of, read_json
from rastos.package import Layer

from .profile import ImageProfile

NAMED = 3  # changes that are named; of the others, how many
# what decides the packages is told with the packages
_ELSEWHERE = ("name", "path", "description", "sets", "packages", "kernel")
_DISK = ("size", "esp", "format", "compress", "disk")


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage of an image: from the cache, or made because of something."""

    name: str
    cached: bool
    because: str = ""


def inputs_of(
    profile: ImageProfile, layers: Sequence[Layer], *, rules: str, other: Mapping[str, str]
) -> dict[str, Any]:
    """What decides an image, as it is kept; `other`: more inputs, such as a key that signs, by name."""
    values = {item.name: repr(getattr(profile, item.name)) for item in fields(ImageProfile)}
    described = {key: digest_of(key, text) for key, text in {**values, **other}.items() if key not in _ELSEWHERE}
    packages = {name: text for layer in layers for name, text in layer.contents.items()}
    return {"profile": described, "packages": packages, "rules": digest_of(rules)}


def last_inputs(place: Path) -> dict[str, Any] | None:
    """Those of the last build; None where there was none, or nothing can be told from what is there."""
    try:
        found = read_json(place)
    except (OSError, IntegrityError):
        return None
    sound = isinstance(found, dict) and all(isinstance(found.get(key), dict) for key in ("profile", "packages"))
    return found if sound else None


def report(
    layers: Sequence[Layer], *, done: int, whole: bool, inputs: Mapping[str, Any], before: Mapping[str, Any] | None
) -> tuple[StageReport, ...]:
    """Every stage; `done`: how many layers are cached. `whole`: the finished image is."""
    found = []
    first = ""
    for number, layer in enumerate(layers):
        if whole or number < done:
            found.append(StageReport(layer.name, True))
        else:
            found.append(StageReport(layer.name, False, f"on {first}" if first else _why_layer(layer, inputs, before)))
            first = first or layer.name
    below = f"on {first}" if first else ""
    disk = _why("disk", inputs, before)
    configuration = _why("configuration", inputs, before) or below or (disk and "for another disk")
    found.append(StageReport("configuration", whole, "" if whole else configuration or "no longer in the cache"))
    found.append(StageReport("disk", whole, "" if whole else disk or below or "with the configuration"))
    return tuple(found)


def in_a_line(stages: Sequence[StageReport]) -> str:
    """All of it in one line for the reader."""
    packages, last = stages[:-2], stages[-2:]
    if all(stage.cached for stage in stages):
        return "everything from the cache"
    made = [stage for stage in packages if not stage.cached]
    if not made:
        told = "; ".join(f"{stage.name} again: {stage.because}" for stage in last if _own(stage))
        return f"packages from the cache; {told or 'the rest again'}"
    kept = [stage.name for stage in packages if stage.cached]
    told = "; ".join(f"{stage.name}: {stage.because}" for stage in (made[0], *(stage for stage in last if _own(stage))))
    if not kept:
        return f"all packages again, from {told}"
    return f"packages from the cache up to {kept[-1]}; again from {told}"


def _own(stage: StageReport) -> bool:
    return not stage.because.startswith(("on ", "for ", "with ", "not made"))


def _why_layer(layer: Layer, inputs: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "not made before"
    if before.get("rules") != inputs["rules"]:
        return "the rules for packages changed, or rastos did"
    old, new = before["packages"], inputs["packages"]
    changes = [_change(name, old.get(name), text) for name, text in layer.contents.items() if old.get(name) != text]
    changes += [f"{name} gone" for name in old if name not in new]
    return _listed(changes) or "no longer in the cache"


def _change(name: str, old: str | None, new: str) -> str:
    if old is None:
        return f"{name} added"
    versions = old.split(" ")[0], new.split(" ")[0]
    return f"{name} {versions[0]} → {versions[1]}" if versions[0] != versions[1] else f"{name} was built again"


def _why(name: str, inputs: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "not made before"
    old, new = before["profile"], inputs["profile"]
    changed = [key for key in new if old.get(key) != new[key] and (key in _DISK) == (name == "disk")]
    return f"{_listed([key.replace('_', '-') for key in changed])} changed" if changed else ""


def _listed(changes: Sequence[str]) -> str:
    more = len(changes) - NAMED
    return ", ".join(changes[:NAMED]) + (f" and {more} more" if more > 0 else "")
