"""Maintainer scripts, diversions and taken-over files of the debian channel, in a tree with a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import ExternalError
from rastos.package import Change, apply_plan, plan_change, target_for
from rastos.package.channels.debian import DebianChannel
from rastos.progress import Progress
from tests.system.archive import Suite, Tree, as_root, suite, tree, wanted, with_tools

__all__ = ["suite", "tree"]
pytestmark = with_tools

LOG = 'echo $DPKG_MAINTSCRIPT_NAME $DPKG_MAINTSCRIPT_PACKAGE "$@" >> /order\n'
SH = "#!/bin/sh\nset -e\n"


@as_root
def test_maintainer_scripts(suite: Suite, tree: Tree) -> None:
    policy = "test -x /usr/sbin/policy-rc.d\n"
    suite.deb("app", "1", {"usr/app/x": "x"}, {"postinst": SH + policy + LOG}, Depends="lib")
    triggers = {"postinst": SH + LOG, "triggers": "interest-noawait /usr/app\n"}
    suite.deb("lib", "1", {"usr/lib2/x": "x"}, triggers)
    suite.publish()
    channel = tree.install("app", "lib")
    root = tree.root
    assert tree.text("order") == "postinst lib configure \npostinst app configure \n", "lib has seen the files"
    status = (root / "var/lib/dpkg/status").read_text()
    assert status.count("Status: install ok installed") == 2
    assert not (root / "usr/sbin/policy-rc.d").exists()
    channel.configure(root, [], Progress())
    assert tree.text("order").count("\n") == 2, "nothing runs twice"
    channel.configure(root, ["app"], Progress())
    assert tree.text("order").splitlines()[2:] == ["postinst app configure 1", "postinst lib triggered /usr/app"]
    (root / "var/lib/dpkg/info/app.postinst").write_text("#!/bin/sh\necho it broke\nexit 7\n")
    with pytest.raises(ExternalError, match="postinst script of app failed") as failed:
        channel.configure(root, ["app"], Progress())
    assert failed.value.status == 7 and "it broke" in failed.value.tail
    assert str(root) not in Path("/proc/self/mounts").read_text()


@as_root
def test_explicit_triggers_wait_for_nobody_who_is_still_to_be_configured(suite: Suite, tree: Tree) -> None:
    suite.deb("boot", "1", {"usr/b": "x"}, {"postinst": SH + LOG, "triggers": "interest signed\n"}, Depends="efi")
    suite.deb("efi", "1", {"usr/e": "x"}, {"postinst": SH + LOG, "triggers": "activate signed\n"})
    suite.publish()
    channel = tree.install("boot", "efi")
    assert "triggered" not in tree.text("order")
    channel.configure(tree.root, ["efi"], Progress())
    assert tree.text("order").endswith("postinst efi configure 1\npostinst boot triggered signed\n")


@as_root
def test_preinst_and_prerm_come_when_dpkg_runs_them(suite: Suite, tree: Tree) -> None:
    """In a fresh tree directly before the postinst, in one with a shell before anything is unpacked."""
    seen = "test -e /usr/one && echo unpacked $(cat /usr/one) >> /order || echo not unpacked >> /order\n"
    scripts = {"preinst": SH + LOG + seen, "postinst": SH + LOG, "prerm": SH + LOG}
    suite.deb("one", "1", {"usr/one": "1"}, scripts)
    suite.publish()
    tree.install("one")
    assert tree.text("order") == "preinst one install\nunpacked 1\npostinst one configure \n"
    (tree.root / "order").unlink()
    suite.deb("one", "2", {"usr/one": "2"}, scripts)
    suite.deb("two", "1", {"usr/two": "2"}, {"preinst": SH + LOG + "cat /usr/two || true\n", "postinst": SH + LOG})
    suite.deb("three", "1", {"usr/three": "3"}, {"preinst": SH + LOG}, Pre_Depends="two")
    suite.publish()
    tree.install("one", "two", "three")
    assert tree.text("order").splitlines() == [
        "prerm one upgrade 2",
        "preinst one upgrade 1 2",
        "unpacked 1",
        "preinst two install",
        "postinst one configure 1",
        "postinst two configure ",
        "preinst three install",
    ]
    assert not (tree.root / "var/lib/dpkg/tmp.ci").exists()


@as_root
def test_preinst_that_refuses_stops_before_anything_is_unpacked(suite: Suite, tree: Tree) -> None:
    suite.deb("one", "1", {"usr/one": "1"}, {"postinst": SH})
    suite.publish()
    tree.install("one")
    suite.deb("bad", "1", {"usr/bad": "1"}, {"preinst": "#!/bin/sh\necho no\nexit 3\n"})
    suite.publish()
    with pytest.raises(ExternalError, match="preinst script of bad failed"):
        tree.install("bad")
    assert not (tree.root / "usr/bad").exists() and not (tree.root / "var/lib/dpkg/tmp.ci").exists()


@as_root
def test_what_a_late_preinst_clears_away_comes_back(suite: Suite, tree: Tree) -> None:
    suite.deb("one", "1", {"usr/one": "1", "usr/two": "2"}, {"preinst": SH + "rm -f /usr/one\n"})
    suite.publish()
    tree.install("one")
    assert tree.text("usr/one") == "1"


def take_out(tree: Tree, *paths: str) -> None:
    """As libalpm does it."""
    for path in paths:
        (tree.root / path).unlink()


@as_root
def test_postrm_runs_when_its_package_is_gone(suite: Suite, tree: Tree) -> None:
    seen = "test -e /usr/one && echo still || echo gone\n"
    scripts = {"prerm": SH + LOG, "postrm": SH + LOG + f"({seen}) >> /order\n"}
    suite.deb("one", "1", {"usr/one": "1"}, scripts)
    suite.deb("two", "1", {"usr/two": "2"}, {"postrm": "#!/bin/sh\necho it broke\nexit 4\n"})
    suite.deb("stays", "1", {"usr/stays": "x"})
    suite.publish()
    channel = tree.install("one", "two", "stays")
    channel.before_removal(tree.root, ["one", "two"], Progress())
    info = "var/lib/dpkg/info"
    channel.configure(tree.root, [], Progress())
    assert tree.text("order") == "prerm one remove\n", "the change was given up: nothing is gone"
    channel.before_removal(tree.root, ["one", "two"], Progress())
    for name in ("one", "two"):
        take_out(tree, f"usr/{name}", *(f"{info}/{name}.{kind}" for kind in ("control", "list", "postrm")))
    (tree.root / f"{info}/one.prerm").unlink()
    warnings: list[str] = []
    channel.configure(tree.root, [], Progress(lambda event: warnings.append(getattr(event, "text", ""))))
    assert tree.text("order").splitlines()[2:] == ["postrm one remove", "gone"]
    assert [text for text in warnings if "postrm script of two failed" in text]
    assert not (tree.root / "var/lib/dpkg/rastos-removed").exists()


DIVERT = SH + "dpkg-divert --package vim --add --rename --divert /usr/doc/help.tiny /usr/doc/help >/dev/null\n"


@as_root
@pytest.mark.parametrize("together", [True, False])
def test_diverted_files(suite: Suite, tree: Tree, together: bool) -> None:
    """Both in one transaction (libalpm has unpacked one over the other), or the diverting one later."""
    suite.deb("tiny", "1", {"usr/doc/help": "tiny 1", "usr/bin/tiny": "x"})
    postrm = {"postrm": SH + "true\n"}
    suite.deb("vim", "1", {"usr/doc/help": "vim"}, {"preinst": DIVERT, **postrm})
    suite.publish()
    if together:
        channel = suite.channel()
        channel.refresh(Progress())
        channel.fetch(wanted(channel, "vim", "tiny"), tree.into, Progress())
        assert channel.overwrites(["vim", "tiny"], tree.root) == ("usr/doc/help",)
        tree.install("vim", "tiny")
    else:
        channel = tree.install("tiny")
        channel.fetch(wanted(channel, "vim"), tree.into, Progress())
        assert channel.overwrites(["vim"], tree.root) == ("usr/doc/help",)
        tree.install("vim")
    assert (tree.text("usr/doc/help"), tree.text("usr/doc/help.tiny")) == ("vim", "tiny 1")
    suite.deb("tiny", "2", {"usr/doc/help": "tiny 2"})
    suite.publish()
    channel = tree.install("tiny")
    assert (tree.text("usr/doc/help"), tree.text("usr/doc/help.tiny")) == ("vim", "tiny 2")
    channel.before_removal(tree.root, ["vim"], Progress())
    for path in ("usr/doc/help", "var/lib/dpkg/info/vim.control", "var/lib/dpkg/info/vim.list"):
        (tree.root / path).unlink()  # as libalpm does
    channel.configure(tree.root, [], Progress())
    assert tree.text("usr/doc/help") == "tiny 2" and not (tree.root / "usr/doc/help.tiny").exists()
    assert tree.text("var/lib/dpkg/diversions") == ""


@as_root
@pytest.mark.parametrize("order", [("new", "old"), ("old", "new")])
def test_replaced_files(suite: Suite, tree: Tree, order: tuple[str, str]) -> None:
    suite.deb("old", "1", {"usr/x": "old", "usr/y": "old"})
    suite.deb("new", "1", {"usr/x": "new"}, Replaces="old (<< 2)")
    suite.deb("other", "1", {"usr/y": "other"}, Replaces="old (<< 1)")
    suite.publish()
    channel = suite.channel()
    channel.refresh(Progress())
    channel.fetch(wanted(channel, "old", "new", "other"), tree.into, Progress())
    assert channel.overwrites(["old", "new", "other"]) == ("usr/x",), "not what a later version would give up"
    for name in order:
        tree.install(name)
    assert (tree.text("usr/x"), tree.text("usr/y")) == ("new", "old")
    channel = suite.channel()
    channel.before_removal(tree.root, ["old"], Progress())
    for path in ("usr/x", "usr/y", "var/lib/dpkg/info/old.control", "var/lib/dpkg/info/old.list"):
        (tree.root / path).unlink()
    channel.configure(tree.root, [], Progress())
    assert tree.text("usr/x") == "new" and not (tree.root / "usr/y").exists()
    assert not (tree.root / "var/lib/dpkg/rastos-kept").exists()


@as_root
def test_diversions_mean_names_and_leave_directories(suite: Suite, tree: Tree) -> None:
    """Debian 13's protective diversions of /lib64 and of the loader's old name touch nothing that is in place."""
    scripts = "dpkg-divert --package base --add --no-rename --divert /.lib64.usr-is-merged /lib64\n"
    scripts += "dpkg-divert --package base --add --no-rename --divert /lib64/ld.usr-is-merged /lib64/ld >/dev/null\n"
    suite.deb("base", "1", {"usr/lib64/ld": "loader"}, {"preinst": SH + scripts})
    suite.deb("other", "1", {"lib64/x": "x"})
    suite.publish()
    tree.install("base", "other")
    assert (tree.text("usr/lib64/ld"), tree.text("usr/lib64/x")) == ("loader", "x")
    assert not (tree.root / ".lib64.usr-is-merged").exists() and (tree.root / "lib64").is_symlink()


def change(tree: Tree, channel: DebianChannel, *names: str, upgrade: bool = False) -> None:
    """A real transaction by libalpm."""
    target = target_for(tree.root, tree.suite.base / "place")
    plan = plan_change(target, [channel], Change(names, upgrade=upgrade), Progress())
    apply_plan(target, [channel], plan, Progress())


@as_root
def test_conffiles(suite: Suite, tree: Tree) -> None:
    """What the administrator changed stays, the new one comes as .pacnew; what nobody changed is renewed."""
    pytest.importorskip("pyalpm")
    scripts = {"conffiles": "/etc/mine.conf\n/etc/plain.conf\n/etc/gone.conf\n", "postinst": SH + LOG}
    tree_files = {"etc/mine.conf": "a=1\n", "etc/plain.conf": "b=1\n", "etc/gone.conf": "c=1\n"}
    suite.deb("one", "1", tree_files, scripts)
    suite.publish()
    change(tree, suite.channel(), "one")
    (tree.root / "etc/mine.conf").write_text("a=mine\n")
    (tree.root / "etc/gone.conf").write_text("c=mine\n")
    scripts["conffiles"] = "/etc/mine.conf\n/etc/plain.conf\n"
    suite.deb("one", "2", {"etc/mine.conf": "a=2\n", "etc/plain.conf": "b=2\n"}, scripts)
    suite.publish()
    change(tree, suite.channel(), upgrade=True)
    assert tree.text("etc/mine.conf") == "a=mine\n" and tree.text("etc/mine.conf.pacnew") == "a=2\n"
    assert tree.text("etc/plain.conf") == "b=2\n" and not (tree.root / "etc/plain.conf.pacnew").exists()
    assert tree.text("etc/gone.conf.pacsave") == "c=mine\n", "no longer a conffile, but somebody's work"
    assert tree.text("order") == "postinst one configure \npostinst one configure 1\n"
    status = tree.text("var/lib/dpkg/status")
    assert "Conffiles:\n /etc/mine.conf " in status and "/etc/gone.conf" not in status


@as_root
def test_scripts_come_in_dpkgs_order_around_libalpm(suite: Suite, tree: Tree) -> None:
    pytest.importorskip("pyalpm")
    seen = "echo $(cat /usr/one) >> /order\n"
    scripts = {"preinst": SH + LOG + seen, "postinst": SH + LOG + seen, "prerm": SH + LOG + seen}
    suite.deb("one", "1", {"usr/one": "1"}, scripts)
    suite.publish()
    change(tree, suite.channel(), "one")
    (tree.root / "order").unlink()
    suite.deb("one", "2", {"usr/one": "2"}, scripts)
    suite.publish()
    change(tree, suite.channel(), upgrade=True)
    lines = ["prerm one upgrade 2", "1", "preinst one upgrade 1 2", "1", "postinst one configure 1", "2"]
    assert tree.text("order").splitlines() == lines
