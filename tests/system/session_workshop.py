"""A store whose snapshots can run programs, and packages to be had from a repository made here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from rastos.host import copy_file
from rastos.package import Change, LocalRepository, PackageMetadata, load_manifest, open_channels, write_package
from rastos.progress import Progress
from rastos.snapshot import (
    Intent,
    PackageSource,
    Snapshot,
    Store,
    change_packages,
    create_session,
    plan_packages,
    run_in_session,
)
from tests.conftest import need
from tests.system.storehouse import ESP_SIZE, make_files, mounted_store

PROGRAMS = ("dash", "cat", "mknod", "mount", "touch", "rm", "sleep", "stty", "tty")


@dataclass
class Workshop:
    """Packages and a store in a folder."""

    base: Path

    @property
    def source(self) -> PackageSource:
        text = f'[channels.test]\nkind = "local"\nserver = "{self.repository.directory}"\n'
        (self.base / "packages.toml").write_text(text)
        manifest = load_manifest(self.base / "packages.toml")
        channels = open_channels(manifest, cache=self.base / "cache", repository=None)
        return PackageSource(channels, self.base / "cache", manifest)

    @property
    def repository(self) -> LocalRepository:
        return LocalRepository(self.base / "repo", "test")

    def package(
        self, name: str, version: str = "1-1", *, files: dict[str, str] | None = None, **fields: object
    ) -> None:
        tree = self.base / "trees" / f"{name}-{version}"
        for path, content in (files or {f"usr/share/{name}": f"{name} {version}\n"}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
        metadata = PackageMetadata(name, version, **fields)  # type: ignore[arg-type]
        self.repository.add(write_package(metadata, tree, self.base / "built"))

    def made(self, store: Store, base: int | None, *command: str, name: str = "", **wish: tuple[str, ...]) -> Snapshot:
        """A snapshot as `snapshot run` makes it; `install`, `remove` and a command."""
        intent = Intent(wish.get("install", ()), wish.get("remove", ()), commands=(command,) if command else ())
        with create_session(store, base, "test") as session:
            if base is None:
                fill(session.tree)
            if intent.install or intent.remove:
                source = self.source
                plan = plan_packages(session.tree, source, Change(intent.install, intent.remove), Progress())
                change_packages(session, source, plan, Progress())
            if command:
                assert run_in_session(session, command) == 0
            return session.commit(name or "test", name=name, intent=intent)


def fill(tree: Path) -> None:
    """A shell and a few programs of this machine, with their libraries."""
    for program in PROGRAMS:
        found = shutil.which(program)
        assert found is not None
        lines = subprocess.run(["ldd", found], capture_output=True, text=True).stdout.splitlines()
        for name in (found, *(word for line in lines for word in line.split() if word.startswith("/"))):
            place = tree / Path(name).resolve().relative_to("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, place)
    for link, target in (("bin", "usr/bin"), ("lib64", "usr/lib64"), ("lib", "usr/lib")):
        if not (tree / link).exists() and Path(f"/{link}").is_symlink():
            (tree / target).mkdir(parents=True, exist_ok=True)
            (tree / link).symlink_to(target)
    for line in subprocess.run(["ldd", "/bin/dash"], capture_output=True, text=True).stdout.splitlines():
        for word in line.split():
            if word.startswith("/") and not (tree / word[1:]).exists():
                (tree / word[1:]).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, tree / word[1:])
    (tree / "usr/bin/sh").symlink_to("dash")
    for name in ("etc", "home", "srv", "root", "var/lib"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "etc/shared").write_text("base\n")
    (tree / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The store with its first snapshot, and the packages; tests get copies of the store."""
    need("mkfs.btrfs", "mkfs.vfat", "mcopy", "ldd", "unshare", "setpriv")
    pytest.importorskip("pyalpm")
    shop = Workshop(tmp_path_factory.mktemp("sessions"))
    shop.package("lib")
    shop.package("tool", depends=("lib",))
    shop.package("extra")
    shop.package("rival", conflicts=("extra",))
    shop.package("broken", depends=("nowhere",))
    make_files(shop.base)
    with mounted_store(shop.base, fresh=True) as store:
        shop.made(store, None, name="base")
    return shop


@pytest.fixture
def shop(prepared: Workshop, tmp_path: Path) -> Iterator[Workshop]:
    for name in ("root.img", "esp.img"):
        copy_file(prepared.base / name, tmp_path / name)
    for name in ("repo", "cache"):
        if (prepared.base / name).exists():
            shutil.copytree(prepared.base / name, tmp_path / name)
    yield Workshop(tmp_path)
    for name in ("root.img", "esp.img"):
        (tmp_path / name).unlink()


def text(store: Store, number: int, path: str) -> str:
    """A file of a snapshot; "" where it is not there."""
    place = store.tree(number) / path
    return place.read_text() if place.exists() else ""


@contextmanager
def command_line(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The command line works on the store instead of an image."""
    import rastos.installer
    from rastos.snapshot import MtoolsEsp

    @contextmanager
    def opened(path: Path, *, writable: bool, purpose: str) -> Iterator[SimpleNamespace]:
        with mounted_store(shop.base, writable=False) as store:
            yield SimpleNamespace(top=store.top, esp=MtoolsEsp(shop.base / "esp.img", 0, ESP_SIZE))

    assert shop.source
    monkeypatch.setattr(rastos.installer, "open_image", opened)
    monkeypatch.setenv("RASTOS_CACHE", str(shop.base / "cache"))
    monkeypatch.setenv("RASTOS_STATE", str(shop.base / "state"))
    monkeypatch.setenv("RASTOS_IMAGE", os.devnull)
    monkeypatch.chdir(shop.base)
    yield
