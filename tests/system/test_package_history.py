"""History and undo of a plain folder and of an image's store, with real transactions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rastos.cli.app import Application
from rastos.cli.package.changing import changed_tree_of
from rastos.errors import BusyError, HostError, IntegrityError, RastosError, UserError
from rastos.host import faults, locked
from rastos.package import CacheChannel, Change, HistoryEntry, Result, Wanted, history_of, plan_change, plan_undo
from rastos.progress import Progress
from tests.conftest import ROOT
from tests.system.test_package_apply import Place

pytest.importorskip("pyalpm")

CHILD = """
import sys
from pathlib import Path
from rastos.cli import app
from tests.system.test_package_history import Place, change
app._arm_faults()
change(Place(Path(sys.argv[1])), *sys.argv[2:])
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("RASTOS_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("RASTOS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RASTOS_FAULT", raising=False)
    yield Place(tmp_path)
    faults.disarm()


def change(place: Place, *names: str, remove: tuple[str, ...] = (), upgrade: bool = False) -> Result:
    """What `package apply` does."""
    app = Application()
    manifest = place.base / "packages.toml"
    with changed_tree_of(
        app, place.root, None, command=f"test {' '.join(names)}", dry_run=False, manifest=manifest
    ) as changing:
        plan = plan_change(changing.target, place.channels, Change(names, remove, upgrade), place.progress)
        return changing.apply(place.channels, plan)


def rastos(place: Place, *words: str, fault: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rastos", "package", *words, "--root", str(place.root)]
    environment = {**os.environ, "RASTOS_FAULT": fault}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def undo(place: Place, *words: str) -> str:
    done = rastos(place, "undo", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def entries(place: Place) -> list[HistoryEntry]:
    return list(history_of(place.root).entries())


def packages_of(place: Place) -> Path:
    return place.base / "cache/install/packages"


def test_what_was_done_is_written_down(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "0")
    place.make("lib", "1-1")
    app = place.make("app", depends=("lib",))
    change(place, "app")
    place.make("lib", "2-1")
    change(place, remove=("app",), upgrade=True)
    change(place, "lib")
    first, second, third = entries(place)
    assert (first.number, first.result, first.user, first.uid, first.command) == (1, "done", "root", 0, "test app")
    assert first.seconds > 0 and first.started <= first.ended and len(first.manifest) == 64
    package = {change.name: change for change in first.packages}["app"]
    assert (package.action, package.version, package.filename) == ("install", "1-1", app.name)
    assert package.sha256 == {item.name: item.sha256 for item in place.repository.packages()}["app"]
    assert [(c.name, c.action, c.old_version, c.version) for c in second.packages] == [
        ("app", "remove", "1-1", ""),
        ("lib", "upgrade", "1-1", "2-1"),
    ]
    assert [(c.action, c.old_reason, c.reason) for c in third.packages] == [("reason", "dependency", "explicit")]

    # readable without rastos
    lines = [json.loads(line) for line in history_of(place.root).path.read_text().splitlines()]
    assert [(line["event"], line["number"]) for line in lines] == [(e, n) for n in (1, 2, 3) for e in ("begin", "end")]

    listed = rastos(place, "history")
    assert "−app ↑lib" in listed.stdout and "done" in listed.stdout
    shown = rastos(place, "history", "2")
    assert "↑ lib 1-1 → 2-1" in shown.stdout and "− app 1-1" in shown.stdout
    assert len(json.loads(rastos(place, "history", "--json").stdout)) == 3
    assert "there are 1 to 3" in rastos(place, "history", "9").stderr


def test_undo_each_kind_of_change_and_redo(place: Place) -> None:
    place.make("lib", "1-1")
    place.make("app", depends=("lib",))
    change(place, "app")
    start = place.there()
    place.make("lib", "2-1")
    place.make("more")
    change(place, "more", "lib", remove=("app",), upgrade=True)
    later = place.there()
    assert later == {"lib": ("2-1", "explicit"), "more": ("1-1", "explicit")}
    said = undo(place)
    assert "↓ lib 2-1 → 1-1" in said and "+ app 1-1" in said and "− more 1-1" in said
    assert place.there() == start and (place.root / "usr/share/lib/file").read_text() == "lib 1-1\n"
    undo(place)
    assert place.there() == later
    undo(place, "1")
    assert place.there() == {}
    undo(place)
    assert place.there() == later
    assert [item.undoes for item in entries(place)] == [None, None, 2, 3, 1, 5]
    assert {item.result for item in entries(place)} == {"done"}


def test_undo_of_a_reason(place: Place) -> None:
    place.make("lib")
    place.make("app", depends=("lib",))
    change(place, "app")
    change(place, "lib")
    assert place.there()["lib"] == ("1-1", "explicit")
    assert "· lib explicit → dependency" in undo(place)
    assert place.there()["lib"] == ("1-1", "dependency")


def test_dry_run_of_undo(place: Place) -> None:
    place.make("app")
    change(place, "app")
    assert "− app 1-1" in undo(place, "--dry-run")
    found = json.loads(undo(place, "--dry-run", "--json"))
    assert (found["way"], found["number"]) == ("packages", 1)
    assert "app" in place.there() and len(entries(place)) == 1


def test_undo_says_which_files_are_missing(place: Place) -> None:
    for name in ("one", "two"):
        place.make(name, "1-1")
    change(place, "one", "two")
    for name in ("one", "two"):
        place.make(name, "2-1")
    change(place, upgrade=True)
    packages = packages_of(place)
    gone = sorted(packages.glob("*-1-1-*"))
    assert len(gone) == 2
    altered = gone[0].read_bytes()
    gone[0].write_bytes(altered + b"x")  # what was altered is as good as gone
    gone[1].rename(place.base / gone[1].name)
    with pytest.raises(UserError) as caught:
        plan_undo(place.target, entries(place), None, [packages])
    assert caught.value.detail.split("\n") == ["one 1-1", "two 1-1"]
    assert caught.value.on and "archive" in caught.value.next_step
    assert rastos(place, "undo").returncode == 1 and len(entries(place)) == 2
    gone[0].write_bytes(altered)
    (place.base / gone[1].name).rename(packages / "two-1-1-x86_64.pkg.tar.zst")
    undo(place)
    assert place.there()["two"][0] == "1-1"


def test_undo_refuses_what_would_break_later_changes_of_others(place: Place) -> None:
    place.make("lib")
    change(place, "lib")
    place.make("app", depends=("lib",))
    place.apply("app")  # not in the history: another program did it
    with pytest.raises(UserError, match="stands against it") as caught:
        plan_undo(place.target, entries(place), None, [packages_of(place)])
    assert "app 1-1 needs lib" in caught.value.detail


def test_the_cache_channel_checks_what_it_gives(place: Place, tmp_path: Path) -> None:
    place.make("app")
    change(place, "app")
    change(place, remove=("app",))
    found = plan_undo(place.target, entries(place), None, [packages_of(place)])
    channel = CacheChannel(found.plan.records, found.files, tmp_path / "db/cache.db")
    assert channel.refresh(Progress()).path.is_file()
    record = found.plan.records[0]
    wanted = Wanted(record.name, record.version, record.filename, record.sha256)
    channel.fetch([wanted], tmp_path / "into", Progress())
    assert (tmp_path / "into" / record.filename).is_file()
    found.files["app"].write_bytes(b"other")
    with pytest.raises(IntegrityError, match="digest differs"):
        channel.fetch([wanted], tmp_path / "into", Progress())


def test_history_after_failure_and_crash(place: Place) -> None:
    place.make("app")
    faults.arm("packages-fetched=error")
    with pytest.raises(HostError, match="injected"):
        change(place, "app")
    faults.disarm()
    failed = entries(place)[0]
    assert failed.result == "failed" and "injected" in failed.error
    with pytest.raises(UserError):
        change(place, "nothing-like-this")
    assert len(entries(place)) == 1, "what could not be planned was not begun"
    for step in ("packages-fetched", "packages-installed"):
        command = [sys.executable, "-c", CHILD, str(place.base), "app"]
        done = subprocess.run(command, env={**os.environ, "RASTOS_FAULT": f"{step}=kill"}, cwd=ROOT)
        assert done.returncode == -signal.SIGKILL
        assert entries(place)[-1].result == "interrupted"
    with history_of(place.root).path.open("a") as stream:
        stream.write('{"event": "begin", "numb')  # the power went
    assert [item.number for item in entries(place)] == [1, 2, 3]
    with pytest.raises(UserError, match="no package change is recorded"):
        plan_undo(place.target, entries(place), None, [])
    change(place, "app")  # there already: completes what the killed one left, and is no change
    assert "− app" in undo(place, "3")
    assert place.there() == {}
    assert [(item.number, item.result) for item in entries(place)][2:] == [(3, "interrupted"), (4, "done")]


def test_two_at_once_and_links_that_lead_out(place: Place) -> None:
    place.make("app")
    change(place, "app")
    lock = place.target.cache / "install/locks" / f"{place.target.key}.change.lock"
    with locked(lock, "test"), pytest.raises(BusyError):
        change(place, remove=("app",))
    assert len(entries(place)) == 1
    log = place.root / "var/log"
    log.rename(place.base / "log")
    log.symlink_to(place.base / "log")
    with pytest.raises(IntegrityError, match="leads out"):
        change(place, remove=("app",))
    assert "app" in place.there()


def test_no_tree_is_named(place: Place) -> None:
    with (
        pytest.raises(RastosError, match="no tree is named") as caught,
        changed_tree_of(Application(), None, None, command="", dry_run=True),
    ):
        pass
    assert "--root /" in caught.value.next_step
