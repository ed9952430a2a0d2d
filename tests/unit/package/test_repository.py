"""The local repository: pacman reads what we write, we read what repo-add writes, damage is named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import LocalRepository, PackageMetadata, write_package
from rastos.package.database import SyncIndex
from rastos.package.repository import read_database
from tests.conftest import need


def make(folder: Path, name: str = "demo", version: str = "1:2.0-1", **fields: object) -> Path:
    tree = folder / f"tree-{name}"
    (tree / "usr/share" / name).mkdir(parents=True, exist_ok=True)
    (tree / "usr/share" / name / "file").write_text(f"{name} {version}\n")
    return write_package(PackageMetadata(name, version, **fields), tree, folder / "out")  # type: ignore[arg-type]


def rich(folder: Path) -> Path:
    return make(
        folder,
        description="A thing, described",
        license=("MIT", "BSD"),
        depends=("bash>=5", "libz"),
        provides=("thing=2",),
        conflicts=("other<1",),
        replaces=("old",),
        optdepends=("x: for y",),
        groups=("tools",),
        url="https://example.org/",
        builddate=1_700_000_000,
    )


def test_add_find_replace_remove(tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "repo")
    assert repository.packages() == ()
    repository.add(make(tmp_path, "demo", "1-1"))
    repository.add(make(tmp_path, "other"))
    repository.add(make(tmp_path, "demo", "2-1"))
    assert [(p.name, p.version) for p in repository.packages()] == [("demo", "2-1"), ("other", "1:2.0-1")]
    found = repository.find("demo")
    assert found is not None and found.path.is_file() and found.record.installed_size > 0
    repository.remove("demo")
    assert repository.find("demo") is None and not found.path.exists()
    with pytest.raises(UserError, match="no package 'demo'"):
        repository.remove("demo")
    assert not [path for path in repository.directory.iterdir() if path.name.endswith(".part")]


def test_same_packages_same_bytes(tmp_path: Path) -> None:
    package = rich(tmp_path)
    one, two = LocalRepository(tmp_path / "one"), LocalRepository(tmp_path / "two")
    one.add(package)
    two.add(package)
    assert one.database.read_bytes() == two.database.read_bytes()


def test_our_record_is_repo_adds_record(tmp_path: Path) -> None:
    need("repo-add")
    package = rich(tmp_path)
    repository = LocalRepository(tmp_path / "repo")
    repository.add(package)
    (tmp_path / "ref").mkdir()
    subprocess.run(
        ["repo-add", "-q", tmp_path / "ref/rastos-local.db.tar.gz", package], check=True, capture_output=True
    )
    theirs = read_database(tmp_path / "ref/rastos-local.db.tar.gz", "rastos-local")
    assert theirs == [package.record for package in repository.packages()]


def test_pacman_reads_it(tmp_path: Path) -> None:
    need("pacman", "fakeroot")
    repository = LocalRepository(tmp_path / "repo")
    repository.add(rich(tmp_path))
    config = tmp_path / "pacman.conf"
    (tmp_path / "db").mkdir()
    config.write_text(
        f"[options]\nRootDir={tmp_path}\nDBPath={tmp_path}/db\nSigLevel=Never\nArchitecture=x86_64\n"
        f"[rastos-local]\nServer=file://{repository.directory}\n"
    )
    root = [] if os.geteuid() == 0 else ["fakeroot"]
    subprocess.run([*root, "pacman", "--config", config, "-Sy"], check=True, capture_output=True)
    done = subprocess.run(["pacman", "--config", config, "-Si", "demo"], check=True, capture_output=True, text=True)
    for word in ("1:2.0-1", "bash>=5", "thing=2", "other<1", "A thing, described", "MIT", "tools"):
        assert word in done.stdout
    group = subprocess.run(["pacman", "--config", config, "-Sg", "tools"], check=True, capture_output=True, text=True)
    assert "tools demo" in group.stdout


def test_what_is_not_a_package_is_refused(tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "repo")
    for content in (b"", b"no package", b"\x28\xb5\x2f\xfdbroken"):
        path = tmp_path / "x-1-1-any.pkg.tar.zst"
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match="not a pacman package|damaged"):
            repository.add(path)
    whole = rich(tmp_path)
    cut = tmp_path / "cut.pkg.tar.zst"
    cut.write_bytes(whole.read_bytes()[:60])
    with pytest.raises(IntegrityError):
        repository.add(cut)
    with pytest.raises(UserError, match="no such package file"):
        repository.add(tmp_path / "none")
    assert not repository.database.exists()


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "repo")
    repository.add(rich(tmp_path))
    whole = repository.database.read_bytes()
    repository.database.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="damaged"):
        repository.packages()


def test_an_index_knows_providers_and_near_names(tmp_path: Path) -> None:
    repository = LocalRepository(tmp_path / "repo")
    repository.add(rich(tmp_path))
    repository.add(make(tmp_path, "thing"))
    index = SyncIndex.load(repository.database, "x")
    assert index.providers("thing") == ["demo"]
    assert index.near("demp") == ["demo"]
    assert [record.name for record in index.group("tools")] == ["demo"]
