"""What the last boots came to, from the lines they left."""

from __future__ import annotations

import json

from rastos.snapshot import read_boots, verdict


def line(boot: str, deployment: int, event: str, failed: str = "", *, counted: bool = True) -> str:
    value = {"time": "2026-01-01T00:00:00+00:00", "boot": boot, "deployment": deployment, "snapshot": deployment * 10}
    return json.dumps({**value, "counted": "yes" if counted else "no", "event": event, "failed": failed})


def good(boot: str, deployment: int, *, counted: bool = False) -> list[str]:
    return [line(boot, deployment, "started", counted=counted), line(boot, deployment, "good", counted=counted)]


def test_lines_of_a_boot_come_together_and_torn_ones_are_passed_over() -> None:
    found = read_boots([*good("a", 1), "{torn", "[]", '{"boot": "x"}', line("b", 2, "started")])
    assert [(boot.boot, boot.outcome) for boot in found] == [("a", "good"), ("b", "unfinished")]


def test_the_boot_that_runs_is_not_called_unfinished() -> None:
    lines = [*good("a", 1), line("b", 2, "started")]
    assert read_boots(lines, booted=2)[-1].outcome == "running"
    assert read_boots(lines, booted=1)[-1].outcome == "unfinished"


def test_a_snapshot_that_fails_alone_is_bad() -> None:
    bad = [line(name, 2, event, "unit:web.service") for name in "bcd" for event in ("started", "failed")]
    judged = verdict(read_boots([*good("a", 1), *bad, *good("e", 1)]))
    assert judged is not None
    assert (judged.cause, judged.snapshot, judged.deployment, judged.boots) == ("snapshot", 20, 2, 3)
    assert judged.failed == ("unit:web.service",)


def test_a_check_that_fails_after_the_fallback_too_is_the_state() -> None:
    bad = [line("b", 2, "failed", "check:database unit:web.service")]
    judged = verdict(read_boots([*good("a", 1), *bad, line("c", 1, "failed", "check:database", counted=False)]))
    assert judged is not None
    assert (judged.cause, judged.failed) == ("state", ("check:database",))


def test_a_hang_is_a_failure_without_names() -> None:
    judged = verdict(read_boots([*good("a", 1), line("b", 2, "started"), *good("c", 1)]))
    assert judged is not None
    assert (judged.cause, judged.failed) == ("snapshot", ())


def test_nothing_is_said_of_a_deployment_that_came_up_at_last() -> None:
    assert verdict(read_boots([*good("a", 1), line("b", 2, "failed", "x"), *good("c", 2, counted=True)])) is None
    assert verdict(read_boots([])) is None


def test_a_good_deployment_that_fails_later_is_not_on_trial() -> None:
    assert verdict(read_boots([*good("a", 1), line("b", 1, "failed", "unit:x.service", counted=False)])) is None
