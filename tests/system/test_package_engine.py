"""What the engine does above libalpm: policy, hooks, reasons, file conflicts, hostile archives, the pacman program."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import BusyError, ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.host import locked, private_mounts
from rastos.package import (
    Change,
    FileConflictError,
    ManifestHook,
    PackageMetadata,
    Plan,
    Result,
    TransactionPolicy,
    apply_plan,
    plan_change,
    write_package,
)
from rastos.package.alpm import session
from rastos.package.alpm.protocol import TransactionRequest
from tests.conftest import ROOT, need
from tests.system.test_package_apply import Place, hostile, member, mounts

pytest.importorskip("pyalpm")
ENGINES = ("libalpm", "pacman")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "pacman":
        need("pacman")
    return str(request.param)


def apply(place: Place, change: Change, engine: str = "auto", **policy: Any) -> Result:
    plan = planned(place, change)
    return carry_out(place, plan, engine, **policy)


def planned(place: Place, change: Change) -> Plan:
    return plan_change(
        place.target, place.channels, change, place.progress, decide=lambda question: question.answers[0]
    )


def carry_out(place: Place, plan: Plan, engine: str = "auto", **policy: Any) -> Result:
    return apply_plan(
        place.target, place.channels, plan, place.progress, policy=TransactionPolicy(**policy), engine=engine
    )


def shell_in(root: Path) -> None:
    """A shell and a few programs, with what they need."""
    need("ldd")
    programs = {"/bin/dash": "bin/sh", "/bin/ls": "bin/ls", "/bin/cat": "bin/cat"}
    listed = subprocess.run(["ldd", *programs], check=True, capture_output=True, text=True).stdout
    libraries = {word for word in listed.split() if word.startswith("/") and not word.endswith(":")}
    for source, name in {**{item: item.lstrip("/") for item in libraries}, **programs}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / name)


def hook(root: Path, folder: str, name: str, writes: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / f"{name}.hook").write_text(
        "[Trigger]\nOperation = Install\nOperation = Upgrade\nType = Package\nTarget = *\n"
        f"[Action]\nDescription = writes {writes}\nWhen = PostTransaction\nExec = /bin/sh -c 'echo {name} >> /{writes}'\n"
    )


def test_install_upgrade_downgrade_reinstall_replace_remove_at_once(place: Place, engine: str) -> None:
    for name in ("old", "up", "again", "gone"):
        place.make(name, "1-1")
    place.make("down", "2-1")
    apply(place, Change(("old", "up", "again", "gone", "down")))
    asked = plan_change(place.target, place.channels, Change(), place.progress)
    carry_out(place, replace(asked, demote=("up", "again", "down")))
    place.make("down", "1-1")
    place.make("up", "2-1")
    place.make("dep", "1-1")
    place.make("new", "1-1", depends=("dep",), replaces=("old",), conflicts=("old",))
    place.make("extra", "1-1")
    (place.root / "usr/share/again/file").write_text("altered")
    (place.repository.directory / "old-1-1-x86_64.pkg.tar.zst").unlink()
    records = [item.record for item in place.repository.packages() if item.record.name != "old"]
    place.repository.write(records)
    change = Change(("extra", "up"), remove=("gone",), reinstall=("again",), downgrade=True, upgrade=True)
    plan = planned(place, change)
    assert plan.replaces == (("new", "old"),)
    result = carry_out(place, plan, engine)
    assert result.installed == ("dep", "extra", "new")
    assert (result.upgraded, result.downgraded, result.reinstalled) == (("up",), ("down",), ("again",))
    assert set(result.removed) == {"gone", "old"}
    assert place.there() == {
        "again": ("1-1", "dependency"),
        "dep": ("1-1", "dependency"),
        "down": ("1-1", "dependency"),
        "extra": ("1-1", "explicit"),
        "new": ("1-1", "explicit"),  # old's reason
        "up": ("2-1", "explicit"),  # named now
    }
    assert (place.root / "usr/share/again/file").read_text() == "again 1-1\n"
    assert (place.root / "usr/share/down/file").read_text() == "down 1-1\n"
    assert not (place.root / "usr/share/old").exists()
    assert not list((place.target.cache / "journal").rglob("*.intent"))
    assert result.warnings == (), "what the plan says needs no warning"


def test_what_replaces_a_dependency_is_one(place: Place) -> None:
    place.make("old")
    place.make("app", depends=("old",))
    apply(place, Change(("app",)))
    place.make("new", replaces=("old",), conflicts=("old",), provides=("old",))
    place.repository.write([item.record for item in place.repository.packages() if item.record.name != "old"])
    apply(place, Change(upgrade=True))
    assert place.there() == {"app": ("1-1", "explicit"), "new": ("1-1", "dependency")}


def test_reasons_that_a_killed_change_did_not_come_to_are_set_by_the_next(place: Place) -> None:
    from rastos.host import Journal

    place.make("lib")
    place.make("app", depends=("lib",))
    apply(place, Change(("app",)))
    plan = plan_change(place.target, place.channels, Change(), place.progress)
    carry_out(place, replace(plan, explicit=("lib",)))
    journal = Journal(place.target.cache / "journal" / place.target.key)
    journal.begin("packages", install=["app", "lib"], remove=[], explicit=["app"], dependencies=["lib", "stranger"])
    carry_out(place, plan_change(place.target, place.channels, Change(), place.progress))
    assert place.there()["lib"] == ("1-1", "dependency")
    assert not journal.open_intents()


def test_paths_that_are_not_extracted_or_not_upgraded(place: Place, engine: str) -> None:
    paths = {"usr/share/doc/app/readme": "1", "usr/share/doc/app/licence": "1", "etc/app.conf": "1"}
    place.make("app", "1-1", files=paths)
    policy = {"no_extract": ("/usr/share/doc/*", "!usr/share/doc/*/licence"), "no_upgrade": ("etc/app.conf",)}
    apply(place, Change(("app",)), engine, **policy)
    assert not (place.root / "usr/share/doc/app/readme").exists()
    assert (place.root / "usr/share/doc/app/licence").read_text() == "1"
    (place.root / "etc/app.conf").write_text("mine")
    place.make("app", "2-1", files={key: "2" for key in paths})
    result = apply(place, Change(upgrade=True), engine, **policy)
    assert result.config_files == ("/etc/app.conf.pacnew",)
    assert (place.root / "etc/app.conf").read_text() == "mine"
    assert (place.root / "etc/app.conf.pacnew").read_text() == "2"
    assert (place.root / "usr/share/doc/app/licence").read_text() == "2"


def test_pacnew_and_pacsave_are_reported(place: Place, engine: str) -> None:
    for name in ("one", "two"):
        place.make(name, "1-1", files={f"etc/{name}": "1"}, backup=(f"etc/{name}",))
    apply(place, Change(("one", "two")), engine)
    for name in ("one", "two"):
        (place.root / "etc" / name).write_text("mine")
    place.make("one", "2-1", files={"etc/one": "2"}, backup=("etc/one",))
    result = apply(place, Change(remove=("two",), upgrade=True), engine)
    assert sorted(result.config_files) == ["/etc/one.pacnew", "/etc/two.pacsave"]
    assert (place.root / "etc/two.pacsave").read_text() == "mine"


def test_removed_optional_dependencies_are_warned_of(place: Place, engine: str) -> None:
    place.make("extra")
    place.make("app", optdepends=("extra: for more",))
    apply(place, Change(("app", "extra")), engine)
    result = apply(place, Change(remove=("extra",)), engine)
    assert any("app" in text and "extra" in text for text in result.warnings), result.warnings


def test_both_folders_of_hooks_run_and_the_trees_own_comes_first(place: Place, engine: str) -> None:
    shell_in(place.root)
    hook(place.root, "usr/share/libalpm/hooks", "10-vendor", "vendor")
    hook(place.root, "usr/share/libalpm/hooks", "20-both", "both-vendor")
    hook(place.root, "etc/pacman.d/hooks", "20-both", "both-admin")
    hook(place.root, "etc/pacman.d/hooks", "30-admin", "admin")
    place.make("app", install="post_install() {\n  echo a word from the script\n}\n")
    apply(place, Change(("app",)), engine)
    assert (place.root / "vendor").read_text() == "10-vendor\n"
    assert (place.root / "admin").read_text() == "30-admin\n"
    assert (place.root / "both-admin").exists() and not (place.root / "both-vendor").exists()
    assert any("app: a word from the script" in note for note in place.notes), place.notes
    if engine == "libalpm":
        assert "hook: writes admin" in place.notes


def test_hooks_of_a_folder_that_a_link_takes_outside_are_left_alone(place: Place) -> None:
    shell_in(place.root)
    outside = place.base / "outside"
    hook(outside, "", "evil", "seen")
    (place.root / "etc/pacman.d").mkdir(parents=True)
    (place.root / "etc/pacman.d/hooks").symlink_to(outside)
    place.make("app")
    apply(place, Change(("app",)))
    assert not (place.root / "seen").exists()


def test_without_ctypes_it_goes_on_with_a_warning(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make("app")
    monkeypatch.setattr(session, "crash_at", "native")
    result = apply(place, Change(("app",)))
    assert "app" in place.there() and any("overwrite patterns" in text for text in result.warnings)


def test_hooks_of_the_manifest(place: Place) -> None:
    shell_in(place.root)
    for name in ("app", "library"):
        place.make(name)
    log = place.base / "log"
    outside = ManifestHook(("sh", "-c", f'cat >> {log}; echo "$RASTOS_ROOT" >> {log}'), "pre", ("a*",), in_root=False)
    inside = ManifestHook(("/bin/sh", "-c", "cat > /touched"), "post")
    other = ManifestHook(("/bin/false",), "post", ("nothing*",))
    apply(place, Change(("app", "library")), pre_hooks=(outside,), post_hooks=(inside, other))
    assert log.read_text() == f"app\n{place.root}\n"
    assert (place.root / "touched").read_text().split() == ["app", "library"]


def test_a_failing_hook_before_changes_nothing_and_one_behind_is_run_again(place: Place) -> None:
    shell_in(place.root)
    place.make("app")
    plan = plan_change(place.target, place.channels, Change(("app",)), place.progress)
    with pytest.raises(ExternalError) as caught:
        carry_out(place, plan, pre_hooks=(ManifestHook(("/bin/sh", "-c", "exit 3"), "pre"),))
    assert "no package was changed" in caught.value.next_step and place.there() == {}
    assert not list((place.target.cache / "journal").rglob("*.intent"))
    behind = ManifestHook(("/bin/sh", "-c", "test -e /ready && cat > /ran"), "post")
    with pytest.raises(ExternalError, match="post hook"):
        carry_out(place, plan, post_hooks=(behind,))
    assert "app" in place.there()
    (place.root / "ready").write_text("")
    again = plan_change(place.target, place.channels, Change(("app",)), place.progress)
    assert again.nothing
    carry_out(place, again, post_hooks=(behind,))
    assert (place.root / "ran").read_text() == "app\n"


def test_held_packages_stay(place: Place, engine: str) -> None:
    for name in ("base-one", "base-two", "other"):
        place.make(name)
    apply(place, Change(("base-one", "base-two", "other")), engine)
    plan = plan_change(place.target, place.channels, Change(remove=("base-one", "other")), place.progress)
    with pytest.raises(UserError, match="base-one is held"):
        carry_out(place, plan, engine, hold=("base-*",))
    assert set(place.there()) == {"base-one", "base-two", "other"}
    assert carry_out(place, plan, engine, hold=("base-*",), force_hold=True).removed == ("base-one", "other")


def test_libalpms_side_refuses_held_packages_too(place: Place) -> None:
    place.make("app")
    apply(place, Change(("app",)))
    target = place.target
    request = TransactionRequest(
        str(target.root), str(target.database), str(target.packages), remove=("app",), hold=("a*",)
    )
    with pytest.raises(UserError, match="never be removed"):
        session.run_transaction(request, place.progress)
    assert "app" in place.there()


def test_the_database_alone(place: Place) -> None:
    place.make("app")
    apply(place, Change(("app",)))
    target = place.target
    request = TransactionRequest(
        str(target.root), str(target.database), str(target.packages), remove=("app",), dbonly=True
    )
    session.run_transaction(request, place.progress)
    assert place.there() == {} and (place.root / "usr/share/app/file").is_file()


# file conflicts


def test_every_file_conflict_is_listed_before_libalpm_starts(
    place: Place, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make("one", files={"usr/bin/tool": "one", "usr/bin/other": "one"})
    apply(place, Change(("one",)))
    (place.root / "usr/share/stray").mkdir(parents=True)
    (place.root / "usr/share/stray/file").write_text("mine")
    place.make("two", files={"usr/bin/tool": "two", "usr/bin/both": "two", "usr/share/stray/file": "two"})
    place.make("three", files={"usr/bin/both": "three", "usr/share/three": "three"})
    monkeypatch.setattr(session._Conversation, "listen", lambda *_: pytest.fail("libalpm was started"))
    with pytest.raises(FileConflictError) as caught:
        apply(place, Change(("two", "three")), engine)
    found = {(item.package, item.path, item.owner) for item in caught.value.conflicts}
    assert {("two", "/usr/bin/tool", "one"), ("two", "/usr/share/stray/file", "")} <= found
    assert found & {("two", "/usr/bin/both", "three"), ("three", "/usr/bin/both", "two")}
    assert len(found) == 3 and "owned by one" in caught.value.detail and "nobody" in caught.value.detail
    assert set(place.there()) == {"one"} and not (place.root / "usr/share/three").exists()
    assert not list((place.target.cache / "journal").rglob("*.intent"))


def test_overwrite_patterns(place: Place, engine: str) -> None:
    (place.root / "usr/share/app").mkdir(parents=True)
    (place.root / "usr/share/app/file").write_text("mine")
    (place.root / "usr/share/app/[x]").write_text("mine")
    place.make("app", files={"usr/share/app/file": "app", "usr/share/app/[x]": "app"})
    with pytest.raises(FileConflictError):
        apply(place, Change(("app",)), engine, overwrite=("usr/share/*", "!usr/share/app/file"))
    apply(place, Change(("app",)), engine, overwrite=(r"/usr/share/app/\[x\]", "usr/*/file"))
    assert (place.root / "usr/share/app/file").read_text() == "app"
    assert (place.root / "usr/share/app/[x]").read_text() == "app"


def test_what_changes_hands_or_is_configuration_is_no_conflict(place: Place, engine: str) -> None:
    place.make("one", "1-1", files={"usr/bin/tool": "one", "usr/bin/one": "one"})
    place.make("going", files={"usr/bin/going": "going"})
    apply(place, Change(("one", "going")))
    place.make("one", "2-1", files={"usr/bin/one": "one"})
    place.make("two", depends=("one>=2",), files={"usr/bin/tool": "two", "etc/two": "new"}, backup=("etc/two",))
    place.make("three", files={"usr/bin/going": "three"})
    (place.root / "etc").mkdir(exist_ok=True)
    (place.root / "etc/two").write_text("mine")
    apply(place, Change(("two", "three"), remove=("going",)), engine)
    assert (place.root / "usr/bin/tool").read_text() == "two"
    assert (place.root / "usr/bin/going").read_text() == "three"
    assert (place.root / "etc/two").read_text() == "mine"


def test_nothing_is_written_through_a_link_of_the_tree(place: Place, engine: str) -> None:
    outside = place.base / "outside"
    outside.mkdir()
    place.root.mkdir()
    (place.root / "opt").symlink_to(outside)
    (place.root / "srv").mkdir()
    (place.root / "srv/inner").symlink_to("../usr")
    hostile(place, member("opt/escaped"))
    with pytest.raises(FileConflictError, match="a file is in the way") as caught:
        apply(place, Change(("bad",)), engine)
    assert caught.value.conflicts[0].through == "/opt"
    assert list(outside.iterdir()) == [] and (place.root / "opt").is_symlink()
    place.make("app", files={"srv/inner/deep/file": "x"})
    with pytest.raises(FileConflictError) as caught:
        apply(place, Change(("app",)), engine, overwrite=("*",))
    assert {item.through for item in caught.value.conflicts} == {"/srv/inner"}


def test_a_folder_that_another_package_has_as_a_link(place: Place) -> None:
    hostile(place, member("usr/lib/place", tarfile.SYMTYPE, "/etc"))
    place.make("app", files={"usr/lib/place/passwd": "x"})
    with pytest.raises(FileConflictError) as caught:
        apply(place, Change(("bad", "app")))
    assert any(item.through == "/usr/lib/place" or item.path == "/usr/lib/place" for item in caught.value.conflicts)


def test_a_link_that_an_upgrade_turns_into_a_folder(place: Place) -> None:
    tree = place.base / "trees/link"
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share/app").symlink_to("elsewhere")
    place.repository.add(write_package(PackageMetadata("app", "1-1"), tree, place.base / "built"))
    apply(place, Change(("app",)))
    place.make("app", "2-1", files={"usr/share/app/file": "2"})
    apply(place, Change(upgrade=True))
    assert (place.root / "usr/share/app/file").read_text() == "2" and not (place.root / "usr/share/app").is_symlink()


# archives


def zeros(place: Place, size: int, *, said: int, name: str = "bomb") -> None:
    """A package of one file of `size` zeros, small on disk, that claims to have `said` bytes."""
    import zstandard

    info = f"pkgname = {name}\npkgver = 1-1\narch = any\nsize = {said}\n".encode()
    head = io.BytesIO()
    for path, length in ((".PKGINFO", len(info)), ("usr/share/zeros", size)):
        entry = tarfile.TarInfo(path)
        entry.size = length
        head.write(entry.tobuf(tarfile.GNU_FORMAT))
        if path == ".PKGINFO":
            head.write(info.ljust(512, b"\0"))
    block = 1 << 27
    frame = zstandard.ZstdCompressor(level=1).compress(bytes(block))
    path = place.base / f"{name}-1-1-any.pkg.tar.zst"
    path.write_bytes(zstandard.compress(head.getvalue()) + frame * (size // block + 1))
    assert path.stat().st_size < 4 << 20
    place.repository.add(path)


def test_ten_gigabytes_of_zeros(place: Place) -> None:
    zeros(place, 10 << 30, said=1 << 20)
    began = time.monotonic()
    error = place.refused(IntegrityError, "bomb")
    assert "is said to have 1 MiB" in error.what
    assert time.monotonic() - began < 5, "it was refused before it was unpacked"
    assert not list((place.target.cache / "inspected").glob("bomb*"))


def test_zeros_behind_the_end_and_more_than_said(place: Place) -> None:
    zeros(place, 0, said=1, name="tail")
    assert "behind its end" in place.refused(IntegrityError, "tail").what
    zeros(place, 100 << 20, said=40 << 20, name="more")
    assert "is said to have 40 MiB" in place.refused(IntegrityError, "more").what
    zeros(place, 100 << 20, said=100 << 20, name="honest")
    assert "behind its end" in place.refused(IntegrityError, "honest").what


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("usr/a"), member("usr/a", tarfile.SYMTYPE, "/etc/passwd")], "twice"),
        ([member("usr/b/c"), member("usr/b", tarfile.SYMTYPE, "/etc")], "in the place of a folder"),
        ([member("usr/l", tarfile.SYMTYPE, "/etc/passwd"), member("usr/h", tarfile.LNKTYPE, "usr/l")], "hard link"),
        ([member("usr/line\nbreak")], "line break"),
        ([member("usr/sparse", b"S")], "unknown kind"),
        ([member("usr//x")], "outside the tree"),
    ],
)
def test_more_hostile_packages(place: Place, members: list[tarfile.TarInfo], reason: str) -> None:
    hostile(place, *members)
    assert reason in place.refused(IntegrityError, "bad").what


def test_absolute_links_are_just_links(place: Place, engine: str) -> None:
    hostile(place, member("usr/bin/x", tarfile.SYMTYPE, "/etc/passwd"))
    apply(place, Change(("bad",)), engine)
    assert os.readlink(place.root / "usr/bin/x") == "/etc/passwd"


def test_a_file_that_holds_another_package(place: Place) -> None:
    other = place.make("other")
    place.make("app")
    record = next(item.record for item in place.repository.packages() if item.record.name == "other")
    place.repository.write([replace(record, name="app")])
    assert other.is_file()
    assert "holds other 1-1, not app 1-1" in place.refused(IntegrityError, "app").what


@pytest.fixture
def privileged(place: Place) -> Iterator[Place]:
    tree = place.base / "trees/su"
    for name, mode in (("usr/bin/su", 0o4755), ("usr/bin/wall", 0o2755), ("usr/bin/plain", 0o755)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("x")
        (tree / name).chmod(mode)
    (tree / "var/mail").mkdir(parents=True)
    (tree / "var/mail").chmod(0o2775)
    place.repository.add(write_package(PackageMetadata("su", "1-1"), tree, place.base / "built"))
    yield place


def test_setuid_files_where_the_policy_forbids_them(privileged: Place) -> None:
    plan = plan_change(privileged.target, privileged.channels, Change(("su",)), privileged.progress)
    with pytest.raises(UserError, match="2 files would run with other rights") as caught:
        carry_out(privileged, plan, setuid="deny")
    assert "su: /usr/bin/su (set-user-id)" in caught.value.detail and "wall (set-group-id)" in caught.value.detail
    with pytest.raises(UserError, match="1 file would"):
        carry_out(privileged, plan, setuid=("/usr/bin/su",))
    assert privileged.there() == {}
    carry_out(privileged, plan, setuid=("/usr/bin/su", "/usr/bin/wall"))
    assert (privileged.root / "usr/bin/su").stat().st_mode & 0o7777 == 0o4755


def test_file_capabilities_count_as_setuid(place: Place) -> None:
    import zstandard

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        content = b"pkgname = ping\npkgver = 1-1\narch = any\nsize = 1\n"
        entry = tarfile.TarInfo(".PKGINFO")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
        entry = tarfile.TarInfo("usr/bin/ping")
        entry.size, entry.mode = 1, 0o755
        entry.pax_headers = {"SCHILY.xattr.security.capability": "\x01\x00\x00\x02"}
        tar.addfile(entry, io.BytesIO(b"x"))
    path = place.base / "ping-1-1-any.pkg.tar.zst"
    path.write_bytes(zstandard.compress(buffer.getvalue()))
    place.repository.add(path)
    plan = plan_change(place.target, place.channels, Change(("ping",)), place.progress)
    with pytest.raises(UserError) as caught:
        carry_out(place, plan, setuid="deny")
    assert "/usr/bin/ping (capabilities)" in caught.value.detail


def test_a_package_is_inspected_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from rastos.package import inspection

    seen: list[str] = []
    real = inspection.inspect_package

    def counted(candidate: inspection.Candidate, ratio: float) -> inspection.Inspection:
        seen.append(candidate.record.name)
        return real(candidate, ratio)

    monkeypatch.setattr(inspection, "inspect_package", counted)
    place.make("app")
    apply(place, Change(("app",)))
    apply(place, Change(reinstall=("app",)))
    assert seen == ["app"]
    (memory,) = (place.target.cache / "inspected").glob("*.json")
    memory.write_text(memory.read_text()[:40])  # torn by a power cut
    apply(place, Change(reinstall=("app",)))
    assert seen == ["app", "app"]
    place.make("app", "2-1")
    apply(place, Change(upgrade=True))
    assert len(seen) == 3


# the second engine, locks, faults


def test_the_pacman_program_takes_over_where_the_binding_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    need("pacman")
    place.make("app")
    monkeypatch.setattr(session, "crash_at", "import")
    with pytest.raises(HostError, match="binding can't be used"):
        apply(place, Change(("app",)), "libalpm")
    assert place.there() == {} and not list((place.target.cache / "journal").rglob("*.intent"))
    apply(place, Change(("app",)))
    assert place.there() == {"app": ("1-1", "explicit")}
    assert any("using the pacman program" in note for note in place.notes)


def test_an_unknown_engine(place: Place) -> None:
    place.make("app")
    with pytest.raises(UserError, match="no engine 'dnf'"):
        apply(place, Change(("app",)), "dnf")
    assert place.there() == {}


def test_two_at_once(place: Place, engine: str) -> None:
    place.make("app")
    plan = plan_change(place.target, place.channels, Change(("app",)), place.progress)
    errors: list[RastosError] = []

    def second() -> None:
        try:
            carry_out(place, plan, engine)
        except RastosError as error:
            errors.append(error)

    with locked(place.target.cache / "locks" / f"{place.target.key}.lock", "changing the packages of a test"):
        other = threading.Thread(target=second)
        other.start()
        other.join()
    (busy,) = errors
    assert isinstance(busy, BusyError) and f"process {os.getpid()} (changing the packages" in busy.holder


def test_pacman_holds_the_database_lock(place: Place, engine: str) -> None:
    place.make("app")
    place.target.database.mkdir(parents=True)
    with (place.target.database / "db.lck").open("w"), pytest.raises(BusyError) as caught:
        apply(place, Change(("app",)), engine)
    assert str(os.getpid()) in caught.value.holder and place.there() == {}
    apply(place, Change(("app",)), engine)
    assert "app" in place.there()


STEPS = ("packages-fetched", "packages-inspected", "packages-begun", "packages-installed", "packages-configured")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_then_completed(place: Place, engine: str, step: str) -> None:
    place.make("lib")
    place.make("app", depends=("lib",))
    place.plan("app")  # writes the manifest
    words = ["package", "apply", "--root", place.root, "--manifest", place.base / "packages.toml", "app"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RASTOS_CACHE": str(place.base / "c"),
        "RASTOS_STATE": str(place.base / "s"),
        "RASTOS_ENGINE": engine,
    }

    def rastos(**more: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "rastos", *map(str, words)]
        return subprocess.run(argv, env={**environment, **more}, cwd=place.base, capture_output=True, text=True)

    killed = rastos(RASTOS_FAULT=f"{step}=kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert str(place.root) not in mounts()
    completed = rastos()
    assert completed.returncode == 0, completed.stderr
    assert place.there() == {"app": ("1-1", "explicit"), "lib": ("1-1", "dependency")}
    assert not list((place.base / "c").rglob("*.intent")) and not (place.target.database / "db.lck").exists()


def test_configuration_of_a_package_torn_while_unpacked(
    place: Place, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make(
        "app", files={"etc/app/kept": "new", "etc/app/script": "new", "usr/share/app": "x"}, backup=("etc/app/kept",)
    )
    torn = place.target.database / "local/app-1-1"
    torn.mkdir(parents=True)
    (torn / "mtree").write_bytes(b"")
    (place.target.packages).mkdir(parents=True)
    shutil.copy(place.repository.directory / "app-1-1-x86_64.pkg.tar.zst", place.target.packages)
    (place.root / "etc/app").mkdir(parents=True)
    (place.root / "etc/app/kept").write_text("mine")
    (place.root / "etc/app/script").write_text("ne")
    apply(place, Change(), engine)
    assert "app" in place.there() and (place.root / "etc/app/script").read_text() == "new"
    assert (place.root / "etc/app/kept").read_text() == "mine"
    assert (place.root / "etc/app/kept.pacnew").read_text() == "new"


@pytest.mark.parametrize("checked", [True, False])
def test_a_disk_that_becomes_full_half_way(
    place: Place, engine: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libalpm writes a package into its database though it could not unpack it: it must not count as installed."""
    need("mkfs.ext4", "mount", "losetup")
    image = place.base / "small.img"
    with image.open("wb") as stream:
        stream.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    place.root.mkdir()
    place.make("small")
    place.make("big", depends=("small",), files={f"usr/share/big/{n}": "x" * (1 << 20) for n in range(60)})
    records = [item.record for item in place.repository.packages()]
    place.repository.write([replace(record, installed_size=1) for record in records])
    if checked and not Path("/etc/mtab").exists():
        pytest.skip("libalpm can't look at the free space here")
    private_mounts()
    subprocess.run(["mount", "-o", "loop", image, place.root], check=True)
    try:
        if not checked:
            monkeypatch.setattr(session, "crash_at", "unchecked")
        with pytest.raises(HostError, match="too small" if checked else "became full") as caught:
            apply(place, Change(("big",)), engine)
        assert ("small" in place.there()) is not checked
        assert caught.value.next_step and not (place.target.database / "db.lck").exists()
        assert "big" not in place.there()
        shutil.rmtree(place.base / "trees/big-1-1")
        place.make("big", "1-1", depends=("small",), files={"usr/share/big/0": "small now"})
        apply(place, Change(("big",)), engine)
        assert place.there() == {"big": ("1-1", "explicit"), "small": ("1-1", "dependency")}
        assert (place.root / "usr/share/big/0").read_text() == "small now"
        assert not (place.root / "usr/share/big/1").exists(), "what the torn one left was cleared"
    finally:
        subprocess.run(["umount", place.root], check=True)
