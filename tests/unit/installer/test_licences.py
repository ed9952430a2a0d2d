"""Licences as SPDX writes them: known names mapped, unknown ones named as such, nothing guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.installer.looking.licences import expression_of, licences_of


@pytest.mark.parametrize(
    ("names", "expression"),
    [
        (["GPL-2+"], "GPL-2.0-or-later"),
        (["GPL-2"], "GPL-2.0-only"),
        (["GPL-2.0+", "GPL-2+"], "GPL-2.0-or-later"),
        (["LGPL-2.1"], "LGPL-2.1-only"),
        (["Expat", "MIT"], "MIT"),
        (["BSD-3-clause", "ISC"], "BSD-3-Clause AND ISC"),
        (["GPL-1+ or Artistic"], "GPL-1.0-or-later OR Artistic-1.0-Perl"),
        (["GPL-1+ or Artistic", "ISC"], "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND ISC"),
        (["BSD-2-clause and ISC"], "BSD-2-Clause AND ISC"),
        (["GPL-2 with Linux-syscall-note exception"], "GPL-2.0-only WITH Linux-syscall-note"),
        (["Apache-2.0 with LLVM exception"], "Apache-2.0 WITH LLVM-exception"),
        (["GPL-3.0-or-later"], "GPL-3.0-or-later"),
        ([], ""),
        (["  "], ""),
    ],
)
def test_known_names(names: list[str], expression: str) -> None:
    found = expression_of(names)
    assert (found.expression, found.references) == (expression, ())


def test_what_is_unknown_is_named_and_not_guessed() -> None:
    found = expression_of(["public-domain", "GPL-3+ with Bison exception", "GPL-3 with Bison exception", "GPL-9"])
    assert dict(found.references) == {
        "LicenseRef-public-domain": "public-domain",
        "LicenseRef-GPL-3-or-later-with-Bison-exception": "GPL-3+ with Bison exception",
        "LicenseRef-GPL-3-with-Bison-exception": "GPL-3 with Bison exception",
        "LicenseRef-GPL-9": "GPL-9",
    }
    assert found.expression == " AND ".join(sorted(dict(found.references)))


def test_the_copyright_file_of_a_package(tmp_path: Path) -> None:
    place = tmp_path / "usr/share/doc/thing/copyright"
    place.parent.mkdir(parents=True)
    place.write_text("Format: https://x/1.0/\n\nFiles: *\nLicense: GPL-2+\n text\n\nFiles: y\nLicense: Expat\n")
    assert licences_of((), tmp_path, "thing").expression == "GPL-2.0-or-later AND MIT"
    assert licences_of(("ISC",), tmp_path, "thing").expression == "ISC", "what the channel says comes first"
    place.write_text("This is free text.\nLicense: GPL-2+\n")
    assert licences_of((), tmp_path, "thing").expression == ""
    assert licences_of((), tmp_path, "no-such").expression == ""


def test_a_copyright_file_that_leads_out_of_the_tree_is_not_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "copyright").write_text("Format: x\n\nLicense: ISC\n")
    tree = tmp_path / "tree"
    (tree / "usr/share/doc").mkdir(parents=True)
    (tree / "usr/share/doc/thing").symlink_to(outside)
    (tree / "usr/share/doc/other").mkdir()
    (tree / "usr/share/doc/other/copyright").symlink_to(outside / "copyright")
    assert licences_of((), tree, "thing").expression == ""
    assert licences_of((), tree, "other").expression == ""
