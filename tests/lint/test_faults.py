"""No changing command and no named step without a fault test."""

from __future__ import annotations

import re

from tests.commands import leaves
from tests.conftest import ROOT
from tests.faults.verbs import READING, SAME_AS, VERBS


def test_every_snapshot_command_is_stopped_at_its_steps_or_says_why_not() -> None:
    from rastos.cli.snapshot import snapshot

    tried = {name.partition(" --")[0] for name in VERBS}
    assert not tried & READING and not tried & set(SAME_AS) and not READING & set(SAME_AS)
    assert set(leaves(snapshot)) == tried | READING | set(SAME_AS)


def test_a_test_that_is_named_is_there() -> None:
    for reason in SAME_AS.values():
        for name in re.findall(r"tests/[\w/]+\.py", reason):
            assert (ROOT / name).is_file(), name


def test_every_named_step_is_reached_by_some_test() -> None:
    """A step's first word names its operation: one of those that the fault tests take."""
    text = "".join(path.read_text() for path in sorted((ROOT / "rastos/snapshot").rglob("*.py")))
    operations = {name.partition(".")[0] for name in re.findall(r'faults\.reached\("([a-z.]+)"\)', text)}
    tests = "".join(
        path.read_text() for folder in ("system", "faults") for path in (ROOT / "tests" / folder).glob("*.py")
    )
    assert not [name for name in sorted(operations) if f'"{name}' not in tests and f'"{name}.' not in tests]
