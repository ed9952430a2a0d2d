"""Templates: files in which {hostname} and the like are replaced by what the profile says."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from .keys import near
from .values import ImageProfile

NAMES = ("hostname", "locale", "keymap", "timezone", "kernel", "profile")


def template_values(profile: ImageProfile) -> dict[str, str]:
    """What a template may name: those of the profile, and its own [values] before them."""
    known = {name: str(getattr(profile, "name" if name == "profile" else name)) for name in NAMES}
    return {**known, **dict(profile.values)}


def template_fault(text: str, known: Mapping[str, str]) -> tuple[str, str]:
    """What is wrong with a template, and what to do; two empty texts where nothing is."""
    step = "write {{ and }} for braces that are meant as such"
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return f"a template with a brace that is not closed ({error})", step
    for _, name, form, conversion in parts:
        if name is not None and (form or conversion or name not in known):
            word = name if not (form or conversion) else f"{name}!{conversion}" if conversion else f"{name}:{form}"
            return f"a template names {{{word}}}, which is no value", f"{near(word, known)}; or {step}"
    return "", ""


def filled(text: str, known: Mapping[str, str]) -> str:
    """The template with its values; it has none of the faults above. Names alone: no attribute of anything is ever read."""
    return "".join(before + (known[name] if name is not None else "") for before, name, _, _ in Formatter().parse(text))
