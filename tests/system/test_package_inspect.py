"""Looking at real trees: owners, chains, orphans, verification, digests, configuration files, the cache."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import (
    Graph,
    altered_packages,
    apply_plan,
    chosen_config,
    config_difference,
    digest_of_tree,
    files,
    find_config_files,
    manifest_of_tree,
    merge_config,
    owners,
    plan_cleaning,
    read_local,
    settle_config,
    target_for,
    tree_differences,
    verify,
)
from rastos.package import clean as clean_cache
from rastos.progress import Progress
from tests.conftest import ROOT, need
from tests.system.test_package_apply import Place

pytest.importorskip("pyalpm")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def rastos(place: Place, *words: str, status: int = 0) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RASTOS_MANIFEST": str(place.base / "packages.toml"),
        "RASTOS_CACHE": str(place.base / "c"),
        "RASTOS_STATE": str(place.base / "s"),
    }
    argv = [sys.executable, "-m", "rastos", "package", *words]
    done = subprocess.run(argv, env=environment, cwd=place.base, capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def graph(place: Place) -> Graph:
    return Graph(read_local(place.target.database))


def world(place: Place) -> None:
    place.make("libz", "1-1", provides=("z=1",))
    place.make("tool", depends=("z>=1",), optdepends=("extra: for more",))
    place.make("app", depends=("tool",))
    place.make("extra", depends=("extra-lib",))
    place.make("extra-lib")
    place.make("left")
    place.apply("app", "extra", "left")
    place.repository.remove("left")
    subprocess.run(
        [sys.executable, "-c", _DEMOTE, str(place.root), str(place.target.database), "extra", "left"], check=True
    )


_DEMOTE = """
import sys, pyalpm
handle = pyalpm.Handle(sys.argv[1], sys.argv[2])
for name in sys.argv[3:]:
    handle.set_pkgreason(handle.get_localdb().get_pkg(name), pyalpm.PKG_REASON_DEPEND)
"""


def test_why_tree_and_orphans(place: Place) -> None:
    world(place)
    why = graph(place).why("libz")
    assert [[(edge.source, edge.wanted, edge.to) for edge in chain] for chain in why.chains] == [
        [("app", "tool", "tool"), ("tool", "z>=1", "libz")]
    ]
    assert why.breaks == ("tool", "app")
    assert [edge.source for edge in graph(place).why("extra").optional] == ["tool"]
    orphans = graph(place).orphans()
    assert orphans.names == ("left",)
    assert dict(orphans.optional) == {"extra": ("tool",), "extra-lib": ()}
    tree = rastos(place, "tree", "app", "--root", "root")
    assert tree.splitlines() == ["app 1-1", "└─ tool 1-1", "   └─ libz 1-1  (z>=1)"]
    reverse = rastos(place, "tree", "libz", "--reverse", "--root", "root")
    assert reverse.splitlines()[1].startswith("└─ tool")
    assert "without it could not stay: tool, app" in rastos(place, "why", "libz", "--root", "root")
    with pytest.raises(UserError) as caught:
        graph(place).why("lbz")
    assert "libz" in caught.value.next_step


def test_owners_follow_links_inside_the_tree_only(place: Place) -> None:
    place.make("app", files={"usr/bin/app": "x"})
    place.apply("app")
    (place.root / "bin").symlink_to("/usr/bin")
    (place.root / "loop").symlink_to("loop")
    found = owners(place.target, ["/bin/app", str(place.root / "usr/bin/app"), "/etc/passwd", "../../usr/bin/app"])
    assert [item.packages for item in found] == [("app",), ("app",), (), ("app",)]
    assert [item.there for item in found] == [True, True, False, True]
    with pytest.raises(UserError, match="too many links"):
        owners(place.target, ["/loop/x"])
    assert files(place.target, "app") == ("/usr/", "/usr/bin/", "/usr/bin/app")
    assert "owned by nobody" in rastos(place, "owner", "/etc/passwd", "--root", "root", status=1)


def test_verify_finds_every_kind_of_change(place: Place) -> None:
    tree = {f"usr/share/app/{name}": name for name in ("content", "size", "mode", "owner", "gone", "kind", "fine")}
    place.make("app", files={**tree, "etc/app.conf": "shipped"}, backup=("etc/app.conf",))
    link = place.base / "trees/link-1-1/usr/share/link"
    link.mkdir(parents=True)
    (link / "to").symlink_to("fine")
    place.make("link", files={"usr/share/link/file": "x"})
    place.apply("app", "link")
    assert verify(place.target, (), Progress()).findings == ()

    base = place.root / "usr/share/app"
    (base / "content").write_text("CONTENT")
    (base / "size").write_text("longer")
    (base / "mode").chmod(0o600)
    os.chown(base / "owner", 7, 8)
    (base / "gone").unlink()
    (base / "kind").unlink()
    (base / "kind").mkdir()
    (place.root / "etc/app.conf").write_text("edited!")
    (place.root / "usr/share/link/to").unlink()
    (place.root / "usr/share/link/to").symlink_to("elsewhere")
    found = verify(place.target, (), Progress())
    assert {item.path.rsplit("/", 1)[1]: item.problems for item in found.findings} == {
        "content": ("SHA256 checksum mismatch",),
        "size": ("Size mismatch",),
        "mode": ("Permissions mismatch",),
        "owner": ("UID mismatch", "GID mismatch"),
        "gone": ("No such file or directory",),
        "kind": ("File type mismatch",),
        "app.conf": ("SHA256 checksum mismatch",),
        "to": ("Symlink path mismatch",),
    }
    assert [item.path for item in found.findings if item.backup] == ["/etc/app.conf"]
    assert altered_packages(place.target, Progress()) == ("app", "link")
    said = rastos(place, "verify", "--root", "root", status=1)
    assert "warning: app: /usr/share/app/mode (Permissions mismatch)" in said
    assert "backup file: app: /etc/app.conf" in said


def test_a_folder_that_became_a_link(place: Place) -> None:
    place.make("app", files={"var/lock/a": "x", "usr/old/b": "x", "usr/gone/c": "x"})
    place.apply("app")
    for name, target in (("var/lock", "/run/nowhere/lock"), ("usr/old", "new"), ("usr/gone", "/nowhere")):
        folder = place.root / name
        next(folder.iterdir()).unlink()
        folder.rmdir()
        folder.symlink_to(target)
    (place.root / "usr/new").mkdir()
    found = {item.path: item.problems for item in verify(place.target, (), Progress()).findings}
    assert "/var/lock" not in found and "/usr/old" not in found
    assert found["/usr/gone"] == ("File type mismatch",)


def test_verify_agrees_with_pacman(place: Place) -> None:
    need("pacman")
    place.make("app", files={f"usr/share/app/{n}": str(n) for n in range(20)})
    place.apply("app")
    for number in (3, 5, 8):
        (place.root / f"usr/share/app/{number}").write_text("altered")
    config = place.base / "pacman.conf"
    config.write_text(f"[options]\nRootDir={place.root}\nDBPath={place.target.database}\nSigLevel=Never\n")
    done = subprocess.run(["pacman", "--config", config, "-Qkk"], capture_output=True, text=True)
    assert "3 altered files" in done.stdout + done.stderr
    assert len(verify(place.target, (), Progress()).altered) == 3


def test_repair_brings_altered_files_back(place: Place) -> None:
    place.make("app", files={"usr/share/app/file": "right"})
    place.make("other")
    place.apply("app", "other")
    place.write_manifest(f'[channels.test]\nkind = "local"\nserver = "{place.repository.directory}"\n')
    (place.root / "usr/share/app/file").write_text("wrong")
    said = rastos(place, "verify", "--repair", "--dry-run", "--root", "root")
    assert "1 to install again" in said and (place.root / "usr/share/app/file").read_text() == "wrong"
    rastos(place, "verify", "--repair", "--root", "root")
    assert (place.root / "usr/share/app/file").read_text() == "right"
    assert "0 altered" in rastos(place, "verify", "--root", "root")


def test_a_hostile_list_of_files_leads_nowhere(place: Place) -> None:
    place.make("app")
    place.apply("app")
    folder = place.target.database / "local/app-1-1"
    for line in (b"./../../etc/passwd type=file", b"./usr/../../x type=file", b".//etc/passwd type=file"):
        (folder / "mtree").write_bytes(gzip.compress(b"#mtree\n" + line + b" mode=644 uid=0 gid=0 size=1\n"))
        with pytest.raises(IntegrityError, match="damaged list of files"):
            verify(place.target, (), Progress())
    (folder / "mtree").write_bytes(b"\x1f\x8b rubbish")
    with pytest.raises(IntegrityError):
        verify(place.target, (), Progress())


def test_the_digest_says_what_and_not_when(place: Place, tmp_path: Path) -> None:
    place.make("lib")
    place.make("app", depends=("lib",))
    one = target_for(tmp_path / "one", tmp_path / "cache")
    two = target_for(tmp_path / "two", tmp_path / "cache")
    from rastos.package import Change, plan_change

    def install(target: object, *names: str) -> None:
        plan = plan_change(target, place.channels, Change(names), Progress())  # type: ignore[arg-type]
        apply_plan(target, place.channels, plan, Progress())  # type: ignore[arg-type]

    install(one, "app", "lib")
    time.sleep(1.1)
    install(two, "lib")
    install(two, "app")
    leaves = manifest_of_tree(one)
    assert tree_differences(leaves, manifest_of_tree(two)) == ()
    assert digest_of_tree(one) == digest_of_tree(two)
    (two.root / "var/log").mkdir(parents=True, exist_ok=True)
    (one.root / "var/log").mkdir(parents=True, exist_ok=True)
    (two.root / "var/log/anything").write_text("said")
    assert digest_of_tree(one) == digest_of_tree(two)

    leaves = manifest_of_tree(one)
    before = digest_of_tree(two)
    file = two.root / "usr/share/app/file"
    seen = {before}
    for change in (
        lambda: os.setxattr(file, "user.note", b"1"),
        lambda: file.chmod(0o755),
        lambda: os.chown(file, 1, 1),
        lambda: file.write_text("APP 1-1\n"),
        lambda: (two.root / "usr/more").symlink_to("share"),
        lambda: os.link(file, two.root / "usr/share/app/again"),
    ):
        change()
        seen.add(digest_of_tree(two))
    assert len(seen) == 7, "every change counts"
    assert {item.path for item in tree_differences(leaves, manifest_of_tree(two))} == {
        "usr/share/app/file",
        "usr/share/app/again",
        "usr/more",
    }
    assert "3 of" in rastos(place, "digest", "--root", "one", "--compare", "two", status=1)


def test_new_configuration_is_found_compared_and_merged(place: Place) -> None:
    base = "".join(f"line {n}\n" for n in range(12))
    for version, text in (("1-1", base), ("2-1", base.replace("line 10", "line ten"))):
        place.make("app", version, files={"etc/app.conf": text}, backup=("etc/app.conf",))
        if version == "1-1":
            place.apply("app")
            (place.root / "etc/app.conf").write_text(base.replace("line 1\n", "line one\n"))
            (place.root / "etc/app.conf").chmod(0o640)
    place.apply("app")
    (found,) = find_config_files(place.target)
    assert (found.path, found.other, found.package, found.kind) == (
        "/etc/app.conf",
        "/etc/app.conf.pacnew",
        "app",
        "new",
    )
    assert found.edited and not found.same
    item = chosen_config(place.target, "/etc/app.conf")
    assert "+line ten\n" in config_difference(place.target, item)
    merged = merge_config(place.target, item, [place.target.packages])
    assert (merged.conflicts, merged.base) == (0, "app-1-1-x86_64.pkg.tar.zst")
    settle_config(place.target, item, merged.text)
    mine = place.root / "etc/app.conf"
    assert "line one\n" in mine.read_text() and "line ten\n" in mine.read_text()
    assert mine.stat().st_mode & 0o777 == 0o640
    assert not (place.root / "etc/app.conf.pacnew").exists()
    assert find_config_files(place.target) == ()


def test_configuration_changed_on_both_sides_is_not_written(place: Place) -> None:
    place.make("app", "1-1", files={"etc/app.conf": "one\n"}, backup=("etc/app.conf",))
    place.apply("app")
    (place.root / "etc/app.conf").write_text("mine\n")
    place.make("app", "2-1", files={"etc/app.conf": "theirs\n"}, backup=("etc/app.conf",))
    place.apply("app")
    environment = place.base / "c/install"
    environment.mkdir(parents=True)
    shutil.copytree(place.target.packages, environment / "packages")
    said = rastos(place, "config", "merge", "/etc/app.conf", "--root", "root", status=1)
    assert "<<<<<<< yours\nmine\n" in said and "theirs\n" in said
    assert (place.root / "etc/app.conf").read_text() == "mine\n"
    assert "/etc/app.conf.pacnew" in rastos(place, "config", "list", "--root", "root")
    rastos(place, "config", "merge", "/etc/app.conf", "--take", "new", "--root", "root")
    assert (place.root / "etc/app.conf").read_text() == "theirs\n"
    assert json.loads(rastos(place, "config", "list", "--json", "--root", "root")) == []


def test_the_cache_is_cleaned_of_old_versions(tmp_path: Path) -> None:
    folder = tmp_path / "install/packages"
    converted = tmp_path / "channels/debian/converted/abc"
    for place in (folder, converted, tmp_path / "channels/debian/debs"):
        place.mkdir(parents=True)
    for version in ("1-1", "2-1", "10-1"):
        (folder / f"app-{version}-any.pkg.tar.zst").write_bytes(b"x" * 100)
    (folder / "app-other-1-1-any.pkg.tar.zst").write_bytes(b"x")
    (converted / "app-2-1-any.pkg.tar.zst").hardlink_to(folder / "app-2-1-any.pkg.tar.zst")
    (tmp_path / "channels/debian/debs/left.deb").write_bytes(b"y" * 5)
    plan = plan_cleaning(tmp_path, keep=1, needed=["app-1-1-any.pkg.tar.zst"])
    assert [path.name for path in plan.remove] == ["app-2-1-any.pkg.tar.zst"] * 2 + ["left.deb"]
    assert plan.freed == 105
    clean_cache(plan)
    assert sorted(path.name for path in folder.iterdir()) == [
        "app-1-1-any.pkg.tar.zst",
        "app-10-1-any.pkg.tar.zst",
        "app-other-1-1-any.pkg.tar.zst",
    ]
    assert not converted.exists()
