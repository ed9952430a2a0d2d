"""The end of the index tells how far the ids went, without reading the rest."""

from __future__ import annotations

from pathlib import Path

from rastos.snapshot.index import NAME, TAIL, Index

LONG = "x" * 900


def test_the_last_lines_tell_the_largest_id(tmp_path: Path) -> None:
    place = tmp_path / NAME
    assert Index(tmp_path).last() == -1
    for content, last in (
        (b"", -1),
        (b'[3,1,2,3,{}]\n\n[12,1,2,3,{"tags":["99"]}]\n', 12),
        (b'[3,1,2,3,{}]\n[41,1,2,3,{"a"', 3),  # torn
        (b'garbage\n["7",1]\n[7.5,1]\n[-7,1]\n{"8":1}\n', -1),
        (b"\0" * 4096, -1),
    ):
        place.write_bytes(content)
        assert Index(tmp_path).last() == last, content
    lines = [f'[{number},1,2,3,{{"note":"{LONG}"}}]' for number in range(200)]
    place.write_text("\n".join(lines) + "\n")
    assert place.stat().st_size > 2 * TAIL and Index(tmp_path).last() == 199
