"""`rastos doctor`: exit status 1 only where the main job can't run; the same findings as table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rastos import host
from rastos.cli import app
from rastos.host import Finding

FINE = Finding("btrfs", "ok", "there", group="machine")
SLOW = Finding("KVM", "degraded", "software emulation", required=False, group="machine")
EXTRA = Finding("shellcheck", "degraded", "for lint", "install it: x", required=False)
STOPS = Finding("mcopy", "missing", "for the ESP", "install it: apt-get install mtools")

Say = Callable[..., None]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Say:
    """Let the survey find this."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rastos.cli.doctor._kvm", lambda cache: SLOW)

    def found(*findings: Finding) -> None:
        monkeypatch.setattr(host, "survey", lambda cache, extra=(): [*findings, *extra])

    return found


@pytest.mark.parametrize(
    ("findings", "status"), [((FINE,), 0), ((FINE, EXTRA), 0), ((FINE, STOPS), 1), ((EXTRA, STOPS), 1)]
)
def test_only_what_the_main_job_needs_counts(
    say: Say, findings: tuple[Finding, ...], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    say(*findings)
    assert app.run(["doctor"]) == status
    text = capsys.readouterr().out
    assert ("The main job can't run here: mcopy." in text) == bool(status)
    assert app.run(["doctor", "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert told["ready"] == (not status)
    assert [item["name"] for item in told["findings"]] == [*(one.name for one in findings), "KVM"]


def test_what_is_there_is_counted_and_what_is_missing_shown(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    tools = [Finding(name, "ok", f"/usr/bin/{name}") for name in ("bc", "flex", "bison")]
    say(*tools, STOPS)
    app.run(["doctor"])
    text = capsys.readouterr().out
    assert "3 of 4 tools" in text and "/usr/bin/flex" not in text and "for the ESP" in text
    app.run(["doctor", "--all"])
    assert "/usr/bin/flex" in capsys.readouterr().out


def test_a_probe_that_fails_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from rastos import installer
    from rastos.cli.doctor import _kvm
    from rastos.errors import HostError

    def fail(cache: Path) -> None:
        raise HostError("no QEMU here")

    monkeypatch.setattr(installer, "probe_accelerator", fail)
    finding = _kvm(tmp_path)
    assert finding.status == "degraded" and not finding.required and "no QEMU here" in finding.detail
