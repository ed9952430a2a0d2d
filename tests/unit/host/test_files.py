"""Files: atomic replacement, paths that stay inside, folders of dead processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.host import (
    copy_file,
    digest_of,
    exchange,
    read_json,
    safe_join,
    working_directory,
    write_atomic,
    write_json,
)


@pytest.mark.parametrize(
    "hostile", ["../x", "a/../../x", "/etc/passwd", "..", "a/..", "", ".", "a\0b", "./../x", "a//../b"]
)
def test_hostile_paths_are_refused(tmp_path: Path, hostile: str) -> None:
    with pytest.raises(IntegrityError):
        safe_join(tmp_path, hostile)


@pytest.mark.parametrize("good", ["a", "a/b/c", "./a", "a//b", "..a/b..", "a/...", "ä/ö"])
def test_good_paths_stay_inside(tmp_path: Path, good: str) -> None:
    assert tmp_path.resolve() in safe_join(tmp_path, good).parents


def test_symlinks_lead_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    for name, target in (("absolute", outside), ("relative", "../outside"), ("up", ".."), ("chain", "absolute")):
        (root / name).symlink_to(target)
        with pytest.raises(IntegrityError):
            safe_join(root, f"{name}/file")
    (root / "usr").mkdir()
    (root / "bin").symlink_to("usr")
    assert safe_join(root, "bin/sh") == root.resolve() / "usr/sh"
    assert safe_join(root, "absolute") == root.resolve() / "absolute"  # named, not followed


def test_write_atomic_replaces_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "one", mode=0o600)
    write_atomic(path, b"two", mode=0o640)
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o640
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_write_atomic_failing_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def fail(number: int) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="injected"):
        write_atomic(path, "new")
    assert path.read_text() == "old" and [item.name for item in tmp_path.iterdir()] == ["file"]


def test_json_damaged(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, Path("/x")]})
    assert read_json(tmp_path / "a.json") == {"b": [1, "/x"]}
    (tmp_path / "a.json").write_text('{"b": [1')
    with pytest.raises(IntegrityError, match="damaged"):
        read_json(tmp_path / "a.json")


def test_digest_parts_do_not_run_together() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc") != digest_of("abc")
    assert digest_of("ä") == digest_of("ä".encode())


def test_copy_keeps_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as stream:
        stream.truncate(64 << 20)
        stream.seek(32 << 20)
        stream.write(b"middle")
    copy_file(source, target)
    assert target.stat().st_size == 64 << 20 and target.stat().st_blocks * 512 < 2 << 20
    with target.open("rb") as stream:
        stream.seek(32 << 20)
        assert stream.read(7) == b"middle\0"


def test_working_directories_of_the_dead_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom rastos.host import working_directory\n"
        "with working_directory(Path(sys.argv[1]), 'job') as here:\n"
        " (here / 'x').write_text('x')\n os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path])
    assert len(list(tmp_path.iterdir())) == 1
    with working_directory(tmp_path, "job") as here:
        assert list(tmp_path.iterdir()) == [here]
        with working_directory(tmp_path, "job") as other:
            assert here.exists() and other != here
    assert not list(tmp_path.iterdir())


def test_exchange_swaps_two_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (one / "file").write_text("x")
    other.write_text("y")
    exchange(one, other)
    assert one.read_text() == "y" and (other / "file").read_text() == "x"
    with pytest.raises(FileNotFoundError):
        exchange(one, tmp_path / "none")
    assert one.read_text() == "y"
