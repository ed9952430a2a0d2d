"""Two descriptions of images beside each other."""

from __future__ import annotations

import pytest

from rastos.errors import UserError
from rastos.installer import check_comparable
from rastos.installer.looking.differing import Described, FileChange, changed_paths, compare
from rastos.package import Leaf
from rastos.snapshot import PackageChange, ValueChange

ONE = Described(
    "a",
    partitions={"esp": "64 MiB", "root": "1 GiB"},
    packages={"bash": "5-1", "old": "1-1"},
    kernel={"release": "6.1"},
    command_line={"quiet": "set", "console": "ttyS0"},
    services={"ssh.service": "enabled (multi-user)"},
    files=(Leaf("a", "file 0644 0:0 x"),),
)
TWO = Described(
    "b",
    partitions={"esp": "128 MiB", "root": "1 GiB"},
    packages={"bash": "6-1", "new": "1-1"},
    kernel={"release": "6.1"},
    command_line={"console": "tty0"},
    services={"ssh.service": "masked"},
    files=(Leaf("a", "file 0600 0:0 x"),),
)


def test_the_same_is_no_difference() -> None:
    assert not compare(ONE, ONE)


def test_what_differs_is_named_part_by_part() -> None:
    found = compare(ONE, TWO)
    assert found
    assert found.partitions == (ValueChange("esp", "64 MiB", "128 MiB"),)
    assert found.packages == (
        PackageChange("bash", "5-1", "6-1"),
        PackageChange("new", "", "1-1"),
        PackageChange("old", "1-1", ""),
    )
    assert found.kernel == () and found.config == ()
    assert found.command_line == (ValueChange("console", "ttyS0", "tty0"), ValueChange("quiet", "set", ""))
    assert found.services == (ValueChange("ssh.service", "enabled (multi-user)", "masked"),)
    assert found.files == (FileChange("a", "changed", ("mode 0644 → 0600",)),)


def test_paths() -> None:
    before = (
        Leaf("gone", "folder 0755 0:0 "),
        Leaf("gone/a", "file 0644 0:0 x"),
        Leaf("gone/b/c", "file 0644 0:0 x"),
        Leaf("gone-not", "file 0644 0:0 x"),
        Leaf("kind", "file 0644 0:0 x"),
        Leaf("link", "link 0777 0:0 here"),
        Leaf("owner", "file 0644 0:0 x security.capability=01"),
    )
    after = (
        Leaf("gone-not", "file 0644 0:0 y"),
        Leaf("kind", "folder 0644 0:0 "),
        Leaf("link", "link 0777 0:0 there"),
        Leaf("new", "file 0644 0:0 x"),
        Leaf("owner", "file 0644 5:0 x"),
    )
    assert changed_paths(before, after) == (
        FileChange("gone", "removed"),
        FileChange("gone-not", "changed", ("content",)),
        FileChange("kind", "changed", ("type file → folder", "content")),
        FileChange("link", "changed", ("target",)),
        FileChange("new", "added"),
        FileChange("owner", "changed", ("owner 0:0 → 5:0", "attributes")),
    )


def test_formats_that_are_no_disk_are_not_compared() -> None:
    check_comparable("qcow2")
    with pytest.raises(UserError, match="format tar"):
        check_comparable("tar")
