"""SyncIndex: the tables kept beside a large database, when they are used and when they are not."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.package import database
from rastos.package.database import SyncIndex


def packed(path: Path, count: int, version: str = "1-1", split: bool = False) -> Path:
    """A database of so many packages; `split` puts relations into a file of their own, as old repositories do."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(count):
            name = f"p{number}"
            desc = f"%NAME%\n{name}\n\n%VERSION%\n{version}\n\n%ARCH%\nany\n\n%GROUPS%\nall\n\n"
            relations = f"%DEPENDS%\nlibc\n\n%PROVIDES%\nvirtual={number}\nüml-{number % 7}\n\n"
            parts = {"desc": desc, "depends": relations} if split else {"desc": desc + relations}
            for kind, text in parts.items():
                member = tarfile.TarInfo(f"{name}-{version}/{kind}")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
    path.write_bytes(out.getvalue())
    return path


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_SMALL", 1000)


def answers(index: SyncIndex) -> tuple[object, ...]:
    records = [index.record(name) for name in index.names()]
    return (
        index.names(),
        records,
        index.providers("virtual"),
        index.providers("üml-3"),
        index.providers("nobody"),
        [record.name for record in index.group("all")],
        index.near("p1x"),
        "p1" in index,
        "p" in index,
        list(index.bodies()),
    )


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_tables_say_what_the_database_says(tmp_path: Path, large: None, count: int, split: bool) -> None:
    path = packed(tmp_path / "x.db", count, split=split)
    first = SyncIndex.load(path)
    second = SyncIndex.load(path)
    assert answers(first) == answers(second)
    assert len(second.names()) == count and len(second.providers("virtual")) == count
    if count:
        assert (tmp_path / "x.db.tables").is_file()
        assert second.record("p0").depends == ("libc",)
    with pytest.raises(KeyError):
        second.record("nobody")


def test_a_changed_database_is_read_again(tmp_path: Path, large: None) -> None:
    path = packed(tmp_path / "x.db", 20)
    held = SyncIndex.load(path)
    packed(tmp_path / "new", 20, "2-1").rename(path)
    assert SyncIndex.load(path).record("p1").version == "2-1"
    assert held.record("p1").version == "1-1", "who has the old one open keeps it"


@pytest.mark.parametrize("damage", [b"", b"rastosT1", b"x" * 5000])
def test_damaged_tables_are_made_again(tmp_path: Path, large: None, damage: bytes) -> None:
    path = packed(tmp_path / "x.db", 20)
    SyncIndex.load(path)
    tables = tmp_path / "x.db.tables"
    whole = tables.read_bytes()
    tables.write_bytes(damage)
    assert len(SyncIndex.load(path).names()) == 20
    assert tables.read_bytes() == whole
    tables.write_bytes(whole[:-1])
    assert len(SyncIndex.load(path).names()) == 20


def test_small_databases_and_foreign_folders_have_no_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "x.db", 20)
    assert len(SyncIndex.load(path).names()) == 20
    assert [item.name for item in tmp_path.iterdir()] == ["x.db"]
    monkeypatch.setattr(database, "_SMALL", 1000)
    monkeypatch.setattr("os.access", lambda *_: False)
    assert len(SyncIndex.load(path).names()) == 20
    assert [item.name for item in tmp_path.iterdir()] == ["x.db"]


def test_a_cut_database_is_refused_and_leaves_nothing(tmp_path: Path, large: None) -> None:
    path = packed(tmp_path / "x.db", 20)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(IntegrityError, match="damaged"):
        SyncIndex.load(path)
    assert [item.name for item in tmp_path.iterdir()] == ["x.db"]
