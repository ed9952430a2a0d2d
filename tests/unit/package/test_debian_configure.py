"""configure, status, convert: order of scripts, dpkg's status file, links over the merged /usr."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.package.channels.debian.configure import configuration_order
from rastos.package.channels.debian.convert import INFO, link_target
from rastos.package.channels.debian.status import Installed, configured, installed, write_status


def made(**fields: str) -> Installed:
    return Installed({key.replace("_", "-"): value for key, value in fields.items()}, fields["Package"])


def test_order() -> None:
    packages = {
        p.name: p
        for p in (
            made(Package="app", Depends="lib (>= 1) | other, mail"),
            made(Package="lib"),
            made(Package="mta", Provides="mail", Depends="ring"),
            made(Package="ring", Depends="mta"),
            made(Package="base-passwd", Depends="lib"),
            made(Package="base-files"),
        )
    }
    order = configuration_order(packages, list(packages))
    assert order[:2] == ["base-passwd", "base-files"]
    assert order.index("lib") < order.index("app") and order.index("mta") < order.index("app")
    assert sorted(order) == sorted(packages), "a cycle is cut, nobody is lost"


def test_status_comes_back(tmp_path: Path) -> None:
    info = tmp_path / INFO
    info.mkdir(parents=True)
    (info / "one.control").write_text("Package: one\nVersion: 2\nDescription: a\n long\n .\n text\n")
    (info / "one.conffiles").write_text("/etc/one\n")
    (info / "two:amd64.control").write_text("Package: two\nVersion: 1\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/one").write_text("x")
    packages = installed(tmp_path)
    assert packages["two"].stem == "two:amd64"
    write_status(tmp_path, packages, {"one": "1", "two": "1"})
    text = (tmp_path / "var/lib/dpkg/status").read_text()
    assert "Package: one\nStatus: install ok unpacked\n" in text and " long\n .\n text\n" in text
    assert " /etc/one 9dd4e461268c8034f5c8564e155c67a6\n" in text
    assert configured(tmp_path) == {"one": "1", "two": "1"}, "an upgrade remembers what was configured before"


@pytest.mark.parametrize(
    ("path", "target", "wanted"),
    [
        ("lib/x/a", "../y/b", "../y/b"),
        ("lib/x/a", "../../usr/lib/z", "../z"),
        ("usr/lib/x/a.so", "../../../lib/x/a.so.1", "a.so.1"),
        ("usr/bin/a", "/bin/a", None),
        ("bin/a", "../usr/bin/a", None),
        ("usr/bin/a", "/etc/alternatives/a", "/etc/alternatives/a"),
        ("usr/share/a", "../../../../etc/shadow", "../../etc/shadow"),
    ],
)
def test_links(path: str, target: str, wanted: str | None) -> None:
    assert link_target(path, target) == wanted
