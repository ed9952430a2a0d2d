"""The strict reader of package archives, and pacman's path patterns."""

from __future__ import annotations

import ctypes
import ctypes.util
import io
import tarfile

import pytest

from rastos.package.members import Member, read_members
from rastos.package.policy import matches, matching, pattern_of


def archive(*members: tarfile.TarInfo, kind: int = tarfile.GNU_FORMAT, content: bytes = b"x") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
        for entry in members:
            tar.addfile(entry, io.BytesIO(content * entry.size) if entry.isreg() else None)
    return buffer.getvalue()


def entry(name: str, size: int = 0, **values: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = size
    for key, value in values.items():
        setattr(made, key, value)
    return made


def read(data: bytes) -> list[Member]:
    return list(read_members(io.BytesIO(data)))


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_it_reads_what_tarfile_writes(kind: int) -> None:
    deep = "usr/" + "/".join(["folder" * 3] * 6) + "/ünï"
    members = [
        entry("usr/", type=tarfile.DIRTYPE, mode=0o755),
        entry(deep, 1000, mode=0o4755),
        entry("usr/link", type=tarfile.SYMTYPE, linkname="../" + "x" * 90),
        entry("usr/hard", type=tarfile.LNKTYPE, linkname=deep if kind != tarfile.USTAR_FORMAT else "usr/short"),
        entry("usr/pipe", type=tarfile.FIFOTYPE),
        entry("usr/device", type=tarfile.CHRTYPE),
        entry("./.PKGINFO", 7),
    ]
    found = read(archive(*members, kind=kind))
    assert [item.kind for item in found] == ["folder", "file", "link", "hard link", "pipe", "device", "file"]
    assert (found[1].name, found[1].size, found[1].mode) == (deep, 1000, 0o4755)
    assert found[2].link.endswith("x" * 90)
    assert found[6].content == b"xxxxxxx" and found[1].content == b""


def test_long_names_and_large_sizes() -> None:
    long = "usr/" + "n" * 300
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert [item.name for item in read(archive(entry(long, 5), entry("usr/after"), kind=kind))] == [
            long,
            "usr/after",
        ]
    header = entry("usr/zeros", 10 << 30).tobuf(tarfile.GNU_FORMAT)
    first = next(read_members(io.BytesIO(header)))
    assert first.size == 10 << 30, "told before any content is read"


def test_capabilities_are_seen() -> None:
    made = entry("usr/bin/ping", 1)
    made.pax_headers = {"SCHILY.xattr.security.capability": "x"}
    found = read(archive(made, entry("usr/bin/other", 1), kind=tarfile.PAX_FORMAT))
    assert [item.capabilities for item in found] == [True, False]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (archive(entry("a", 600))[:900], "before its end"),
        (b"", "before its end"),
        (b"x" * 1024, "tar format"),
        (archive(entry("a")).replace(b"ustar", b"vstar", 1), "tar format"),
        (archive(entry("a", 1)).replace(b"a", b"b", 1), "checksum"),
        (archive(entry("a", 1)) + b"more", "behind its end"),
        (archive(entry("a", type=b"S")), "unknown kind"),
        (archive(entry("a", type=b"7")), "unknown kind"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(data)


def test_sparse_and_global_headers_are_refused() -> None:
    made = entry("a", 1)
    made.pax_headers = {"GNU.sparse.name": "b"}
    with pytest.raises(ValueError, match="packages don't have"):
        read(archive(made, kind=tarfile.PAX_FORMAT))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "x"}) as tar:
        tar.addfile(entry("a"))
    with pytest.raises(ValueError, match="for all entries"):
        read(buffer.getvalue())


PATTERNS = [
    "usr/share/doc/*", "usr/*/x", "*", "usr/[ab]?", "usr/[!a]b", "usr/[a-c]b", "usr/[^a]b", r"usr/\[x\]", r"usr/\*", "a.c",
    "usr/[]]x", "usr/[", "usr/a]", "usr/[z-a]", "usr/ünï*",
]  # fmt: skip
PATHS = [
    "usr/share/doc/a/b", "usr/lib/x", "usr/ab", "usr/bb", "usr/cb", "usr/db", "usr/[x]", "usr/x", "usr/*", "a.c", "abc",
    "usr/]x", "usr/[", "usr/a]", "usr/\nx", "usr/ünïq", "usr/share/x/x",
]  # fmt: skip


def test_patterns_are_fnmatch() -> None:
    library = ctypes.CDLL(ctypes.util.find_library("c"))
    for pattern in PATTERNS:
        for path in PATHS:
            if path.isascii() and pattern.isascii():
                theirs = library.fnmatch(pattern.encode(), path.encode(), 0) == 0
                assert matches((pattern,), path) == theirs, (pattern, path)


def test_the_last_match_counts() -> None:
    rules = ("usr/share/*", "!usr/share/keep/*", "usr/share/keep/not")
    assert matches(rules, "usr/share/x")
    assert not matches(rules, "usr/share/keep/x")
    assert matches(rules, "usr/share/keep/not")
    assert not matches(rules, "etc/x") and not matches((), "usr/share/x")
    assert pattern_of("/usr/x") == "usr/x" and pattern_of("!/usr/x") == "!usr/x"


def test_names() -> None:
    assert matching(("linux", "lib"), ("l*x",)) == ("linux",)
    assert matching(("linux", "lib"), ()) == ("linux", "lib")
