"""What is told about why an image is made again."""

from __future__ import annotations

from dataclasses import replace

from rastos.installer.profile import ImageProfile
from rastos.installer.reasons import in_a_line, inputs_of, report
from rastos.package import Layer, Plan

PROFILE = ImageProfile("tiny", root_password="$6$salt$hash")


def layers(**contents: str) -> tuple[Layer, ...]:
    """base has libc, the others one each."""
    parts = {"base": {"libc": "1 c aa"}, **{key: {key: text} for key, text in contents.items()}}
    return tuple(Layer(name, Plan(), name, found) for name, found in parts.items())


def told(before: tuple[Layer, ...] | None, after: tuple[Layer, ...], done: int, **changes: object) -> str:
    other = {"secure-boot-key": ""}
    old = inputs_of(PROFILE, before, rules="r", other=other) if before else None
    rules = str(changes.pop("rules", "r"))
    new = inputs_of(replace(PROFILE, **changes), after, rules=rules, other=other)  # type: ignore[arg-type]
    return in_a_line(report(after, done=done, whole=False, inputs=new, before=old))


def test_one_line() -> None:
    now = layers(app="1 c bb")
    assert told(None, now, 0) == "all packages again, from base: not made before"
    assert told(now, now, 2, hostname="x", root_password="y") == (
        "packages from the cache; configuration again: hostname, root-password changed"
    )
    assert told(now, now, 2, size=5) == "packages from the cache; disk again: size changed"
    assert told(now, layers(app="2 c cc"), 1) == "packages from the cache up to base; again from app: app 1 → 2"
    assert told(now, layers(app="1 c cc"), 1) == (
        "packages from the cache up to base; again from app: app was built again"
    )
    assert "again from new: new added" in told(now, layers(app="1 c bb", new="1 c dd"), 2)
    assert "again from app: app 1 → 2; configuration: hostname changed" in told(
        now, layers(app="2 c cc"), 1, hostname="x"
    )
    assert (
        told(now, now, 0, rules="s") == "all packages again, from base: the rules for packages changed, or rastos did"
    )
    assert told(now, now, 1) == "packages from the cache up to base; again from app: no longer in the cache"


def test_every_stage_says_why() -> None:
    now = layers(app="2 c cc", last="1 c dd")
    old = inputs_of(PROFILE, layers(app="1 c bb", last="1 c dd"), rules="r", other={})
    found = report(now, done=1, whole=False, inputs=inputs_of(PROFILE, now, rules="r", other={}), before=old)
    assert [(stage.name, stage.cached, stage.because) for stage in found] == [
        ("base", True, ""),
        ("app", False, "app 1 → 2"),
        ("last", False, "on app"),
        ("configuration", False, "on app"),
        ("disk", False, "on app"),
    ]
    whole = report(now, done=0, whole=True, inputs=old, before=None)
    assert all(stage.cached for stage in whole) and in_a_line(whole) == "everything from the cache"


def test_no_secret_is_kept() -> None:
    kept = repr(inputs_of(PROFILE, layers(), rules="r", other={}))
    assert PROFILE.root_password not in kept
