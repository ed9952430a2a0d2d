"""Files, paths, locks, the journal and faults."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rastos.errors import BusyError, HostError, IntegrityError, UserError
from rastos.host import (
    Journal,
    copy_file,
    digest_of,
    faults,
    locked,
    read_json,
    safe_join,
    working_directory,
    write_atomic,
)


def test_write_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "file"
    write_atomic(place, "old")
    monkeypatch.setattr("os.fsync", lambda number: (_ for _ in ()).throw(OSError(5, "injected")))
    with pytest.raises(OSError, match="injected"):
        write_atomic(place, "new")
    assert place.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(IntegrityError) as caught:
        read_json(tmp_path / "x.json")
    assert "x.json" in caught.value.on


@pytest.mark.parametrize("hostile", ["/etc/passwd", "../x", "a/../../x", "", ".", "a\0b", "link/x", "link/../x"])
def test_no_path_leads_out(tmp_path: Path, hostile: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(IntegrityError):
        safe_join(root, hostile)


def test_paths_inside_are_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to("real")
    assert safe_join(tmp_path, "alias/x") == tmp_path.resolve() / "real/x"
    assert safe_join(tmp_path, "./new/file") == tmp_path.resolve() / "new/file"


def test_copy_keeps_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with open(source, "wb") as stream:
        stream.truncate(64 << 20)
        stream.seek(32 << 20)
        stream.write(b"middle")
    copy_file(source, tmp_path / "target")
    assert (tmp_path / "target").stat().st_size == 64 << 20
    assert (tmp_path / "target").stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "target").read_bytes()[32 << 20 : (32 << 20) + 6] == b"middle"


def test_parts_of_a_digest_do_not_run_together() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_working_directory_of_a_dead_process_goes(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = tmp_path / f".job.{dead.pid}.00000000.work"
    (stale / "below").mkdir(parents=True)
    with working_directory(tmp_path, "job") as place:
        assert place.is_dir()
        assert not stale.exists()
    assert not list(tmp_path.iterdir())


HOLD = """
import sys, time
from pathlib import Path
from rastos.host import locked
with locked(Path(sys.argv[1]), "holding it for a test"):
    print("held", flush=True)
    time.sleep(100)
"""


def test_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(place)], stdout=subprocess.PIPE)
    assert other.stdout and other.stdout.readline() == b"held\n"
    with pytest.raises(BusyError) as caught, locked(place, "wanting it"):
        pass
    assert str(other.pid) in caught.value.holder
    assert "holding it for a test" in caught.value.holder
    other.kill()
    other.wait()
    other.stdout.close()
    with locked(place, "after the kill"):
        assert json.loads(place.read_text())["purpose"] == "after the kill"


def test_lock_waits_as_long_as_asked(tmp_path: Path) -> None:
    started = time.monotonic()
    with (
        locked(tmp_path / "lock", "first"),
        pytest.raises(BusyError),
        locked(tmp_path / "lock", "second", wait=0.3),
    ):
        pass
    assert time.monotonic() - started >= 0.3


def test_journal_forgets_a_torn_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    intent = journal.begin("deploy", deployment=3)
    intent.record("etc", path="x")
    with open(intent.path, "a") as stream:
        stream.write('{"step": "ker')
    (found,) = Journal(tmp_path).open_intents()
    assert (found.operation, found.detail, found.steps) == ("deploy", {"deployment": 3}, ["etc"])
    found.close()
    assert Journal(tmp_path).open_intents() == []


def test_journal_drops_what_was_never_begun(tmp_path: Path) -> None:
    (tmp_path / "000001.intent").write_text('{"operation": "dep')
    assert Journal(tmp_path).open_intents() == []
    assert not list(tmp_path.iterdir())


def test_faults_fire_where_armed() -> None:
    faults.arm("here=error,there=enospc")
    try:
        faults.reached("elsewhere")
        with pytest.raises(HostError):
            faults.reached("here")
        with pytest.raises(OSError, match="No space"):
            faults.reached("there")
    finally:
        faults.disarm()
    faults.reached("here")
    with pytest.raises(UserError):
        faults.arm("here=explode")
