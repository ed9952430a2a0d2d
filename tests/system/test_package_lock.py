"""Lockfiles: what they pin, what they refuse, drift, bundles, and the same tree from the same lockfile."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import (
    Lockfile,
    apply_plan,
    bundle_channels,
    bundle_repository,
    drift,
    installed,
    make_lock,
    plan_locked,
    read_lockfile,
    stale,
    target_for,
    write_bundle,
    write_lockfile,
)
from rastos.progress import Progress
from tests.conftest import ROOT
from tests.system.test_package_apply import Place

pytest.importorskip("pyalpm")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def declare(place: Place, text: str) -> None:
    repository = f'\n[channels.test]\nkind = "local"\nserver = "{place.repository.directory}"\n'
    place.manifest = place.write_manifest(text + repository)


def lock(place: Place, **options: Any) -> Lockfile:
    assert place.manifest
    sets = place.manifest.used_sets
    return make_lock(place.target, place.channels, place.manifest, sets, place.progress, **options)


def apply(place: Place, locked: Lockfile, root: str = "root", channels: Any = None) -> None:
    target = target_for(place.base / root, place.base / f"cache-{root}")
    channels = channels or place.channels
    apply_plan(target, channels, plan_locked(target, locked, channels), place.progress)


def versions(place: Place, root: str = "root") -> dict[str, str]:
    target = target_for(place.base / root, place.base / f"cache-{root}")
    return {item.name: f"{item.version} {item.reason}" for item in installed(target)}


def test_locked_versions_stay_until_they_are_told_to_move(place: Place) -> None:
    place.make("lib", "1-1")
    place.make("app", "1-1", depends=("lib",))
    place.make("other", "1-1")
    declare(place, 'packages = ["app", "other"]')
    first = lock(place)
    assert [package.record.name for package in first.packages] == ["lib", "app", "other"]
    assert [package.record.reason for package in first.packages] == ["dependency", "explicit", "explicit"]
    assert all(len(package.file.sha256) == 64 and package.file.size for package in first.packages)

    for name in ("lib", "app", "other"):
        place.make(name, "2-1", depends=("lib",) if name == "app" else ())
    assert lock(place, previous=first).packages == first.packages
    moved = lock(place, previous=first, update=("other",))
    assert {package.record.name: package.record.version for package in moved.packages} == {
        "lib": "1-1",
        "app": "1-1",
        "other": "2-1",
    }
    fresh = lock(place, previous=first, update=())
    assert [(item.kind, item.subject, item.was, item.now) for item in drift(first, fresh)] == [
        ("version", "app", "1-1", "2-1"),
        ("version", "lib", "1-1", "2-1"),
        ("version", "other", "1-1", "2-1"),
    ]


def test_a_lockfile_is_read_back_as_it_was_written(place: Place, tmp_path: Path) -> None:
    place.make("gawk", provides=("awk=1",), description='odd "quotes" \\ and ünïcode \x7f', groups=("tools",))
    place.make("mawk", provides=("awk",), groups=("tools",))
    place.make("app", depends=("awk",))
    declare(place, 'packages = ["app", "tools"]\n[prefer]\nawk = "mawk"')
    made = lock(place)
    assert dict(made.groups) == {"tools": ("gawk", "mawk")}
    write_lockfile(tmp_path / "packages.lock", made)
    again = read_lockfile(tmp_path / "packages.lock")
    assert again == made
    assert lock(place).text() == made.text(), "the same input gives the same bytes"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('filename = "app', 'filename = "../app'),
        ('location = "', 'location = "../'),
        ('sha256 = "', 'sha256 = "zz'),
        ("[[package]]", "[[package]]\nwhat = 1"),
        ("size = ", "size = ["),
    ],
)
def test_a_tampered_lockfile_is_refused(place: Place, tmp_path: Path, old: str, new: str) -> None:
    place.make("app")
    declare(place, 'packages = ["app"]')
    path = tmp_path / "packages.lock"
    path.write_text(lock(place).text().replace(old, new, 1))
    with pytest.raises(IntegrityError, match="damaged lockfile"):
        read_lockfile(path)


def test_a_lockfile_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "packages.lock").write_text("format = 99\n")
    with pytest.raises(UserError, match="format 99"):
        read_lockfile(tmp_path / "packages.lock")


def test_stale_when_the_manifest_moves(place: Place) -> None:
    for name in ("app", "more"):
        place.make(name)
    declare(place, 'packages = ["app"]')
    made = lock(place)
    assert place.manifest and stale(made, place.manifest) == ""
    declare(place, 'packages = ["app", "more"]')
    assert stale(made, place.manifest) == "more is declared but not locked"
    declare(place, 'packages = ["app"]\n[pin]\napp = "1"')
    assert "has changed" in stale(made, place.manifest)


def test_a_locked_apply_brings_exactly_that(place: Place) -> None:
    place.make("lib", "1-1")
    place.make("app", "1-1", depends=("lib",))
    place.make("extra")
    declare(place, 'packages = ["app"]')
    made = lock(place)
    old = {path.name: path.read_bytes() for path in place.repository.directory.glob("*.pkg.tar.zst")}
    place.make("lib", "2-1")
    place.apply("lib", "extra")
    assert place.there()["lib"] == ("2-1", "explicit")
    for name, content in old.items():
        (place.repository.directory / name).write_bytes(content)
    target = place.target
    plan = plan_locked(target, made, place.channels)
    assert [p.name for p in plan.downgrade] == ["lib"]
    assert [p.name for p in plan.remove] == ["extra"]
    assert plan.demote == ("lib",)
    apply_plan(target, place.channels, plan, place.progress)
    assert place.there() == {"app": ("1-1", "explicit"), "lib": ("1-1", "dependency")}
    assert plan_locked(target, made, place.channels).nothing


def test_another_file_of_the_same_name_and_version_is_refused(place: Place) -> None:
    place.make("app", files={"usr/share/app/file": "one"})
    declare(place, 'packages = ["app"]')
    made = lock(place)
    place.make("app", files={"usr/share/app/other": "two"})
    with pytest.raises(IntegrityError):
        apply(place, made)
    assert versions(place) == {}


def test_a_bundle_builds_without_the_channel(place: Place, tmp_path: Path) -> None:
    place.make("lib")
    place.make("app", depends=("lib",))
    declare(place, 'packages = ["app"]')
    made = lock(place)
    folder = tmp_path / "bundle"
    bundle = write_bundle(made, place.channels, folder, Progress())
    assert bundle.packages == 2
    channels = place.channels
    shutil.rmtree(place.repository.directory)
    apply(place, made, "offline", bundle_channels(folder, made, channels))
    assert versions(place, "offline") == {"app": "1-1 explicit", "lib": "1-1 dependency"}

    with pytest.raises(UserError, match="another lockfile"):
        bundle_channels(folder, replace(made, manifest="0" * 64), channels)
    victim = next(folder.glob("lib-*.pkg.tar.zst"))
    victim.write_bytes(victim.read_bytes()[:-9] + b"tampered!")
    with pytest.raises(IntegrityError, match="isn't the file that was locked"):
        apply(place, made, "second", bundle_channels(folder, made, channels))
    assert versions(place, "second") == {}


def test_a_bundle_that_has_to_be_signed(place: Place, tmp_path: Path) -> None:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    words = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
    try:
        subprocess.run(
            [*words, "--quick-generate-key", "us", "ed25519", "sign", "never"], check=True, capture_output=True
        )
        ring = tmp_path / "us.gpg"
        ring.write_bytes(subprocess.run([*words, "--export"], check=True, capture_output=True).stdout)
        place.make("app")
        declare(place, 'packages = ["app"]')
        made, folder, channels = lock(place), tmp_path / "bundle", place.channels
        write_bundle(made, channels, folder, Progress())
        with pytest.raises(IntegrityError, match="not signed"):
            bundle_channels(folder, made, channels, keyring=ring)
        bundle_repository(folder).sign("", home)
        apply(place, made, "signed", bundle_channels(folder, made, channels, keyring=ring))
        assert versions(place, "signed") == {"app": "1-1 explicit"}
        database = bundle_repository(folder).database
        database.write_bytes(database.read_bytes() + b"x")
        with pytest.raises(IntegrityError, match="the bundle: the signature is wrong"):
            bundle_channels(folder, made, channels, keyring=ring)
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


def test_what_a_bundle_has_too_much_goes(place: Place, tmp_path: Path) -> None:
    place.make("app", "1-1")
    declare(place, 'packages = ["app"]')
    folder = tmp_path / "bundle"
    write_bundle(lock(place), place.channels, folder, Progress())
    place.make("app", "2-1")
    bundle = write_bundle(lock(place), place.channels, folder, Progress())
    assert bundle.removed == ("app-1-1-x86_64.pkg.tar.zst",)
    assert len(list(folder.glob("*.pkg.tar.zst"))) == 1


def test_the_commands(place: Place, tmp_path: Path) -> None:
    place.make("app")
    declare(place, 'packages = ["app"]')
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RASTOS_MANIFEST": str(place.base / "packages.toml"),
        "RASTOS_CACHE": str(tmp_path / "c"),
        "RASTOS_STATE": str(tmp_path / "s"),
    }

    def rastos(*words: str, status: int = 0) -> str:
        argv = [sys.executable, "-m", "rastos", "package", *words]
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "there is no lockfile" in rastos("apply", "--locked", "--root", "tree", status=1)
    assert "would lock 1 packages" in rastos("lock", "--dry-run")
    assert not (place.base / "packages.lock").exists()
    assert "locked 1 packages" in rastos("lock")
    assert "fits the manifest; nothing has moved" in rastos("lock", "--check")
    assert "1 installed" in rastos("apply", "--locked", "--root", "tree")
    assert "1 packages" in rastos("fetch", "--locked", "bundle")
    assert "1 installed" in rastos("apply", "--locked", "--from", "bundle", "--root", "other")
    place.make("app", "2-1")
    assert json.loads(_json(rastos, "lock", "--check", "--json"))["drift"][0]["now"] == "2-1"
    rastos("add", "gone")
    assert "stale: gone is declared but not locked" in rastos("lock", "--check", status=1)
    assert "the lockfile is stale" in rastos("apply", "--locked", "--root", "tree", status=1)
    assert "--locked installs exactly" in rastos("apply", "--locked", "--root", "tree", "app", status=2)


def test_a_day_of_a_dated_archive(place: Place, tmp_path: Path) -> None:
    from rastos.package import LocalRepository, open_channels

    for day, version in (("20260131", "1-1"), ("20260228", "2-1")):
        path = place.make("app", version)
        LocalRepository(tmp_path / "archive" / day, "test").add(path)
    place.manifest = place.write_manifest(
        'packages = ["app"]\n[channels.test]\nkind = "pacman"\nsiglevel = "never"\n'
        f'server = "{tmp_path / "archive/20260228"}"\narchive = "file://{tmp_path}/archive/{{date}}"\n'
    )

    def versions_of(as_of: str) -> list[str]:
        assert place.manifest
        channels = open_channels(place.manifest, cache=tmp_path / "c", repository=None, as_of=as_of)
        made = make_lock(place.target, channels, place.manifest, ["default"], place.progress, as_of=as_of)
        apply(place, made, f"day{as_of}", channels)
        return [package.record.version for package in made.packages]

    assert versions_of("") == ["2-1"]
    assert versions_of("2026-01-31") == ["1-1"]
    assert versions_of("") == ["2-1"], "a past day is no replayed index of today"
    assert versions(place, "day2026-01-31") == {"app": "1-1 explicit"}
    with pytest.raises(UserError, match="is not a date"):
        versions_of("last week")
    declare(place, 'packages = ["app"]')
    old = place.write_manifest('packages = ["app"]\n[channels.test]\nkind = "pacman"\nserver = "/x"\n')
    with pytest.raises(UserError, match="names no dated archive"):
        open_channels(old, cache=tmp_path / "c", repository=None, as_of="2026-01-31")


def test_planning_and_looking_need_no_libalpm(place: Place, tmp_path: Path) -> None:
    place.make("app")
    declare(place, 'packages = ["app"]')
    place.apply("app")
    blocked = tmp_path / "blocked/pyalpm"
    blocked.mkdir(parents=True)
    (blocked / "__init__.py").write_text('raise ImportError("libalpm.so.99: cannot open shared object file")\n')
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'blocked'}:{ROOT}", "RASTOS_CACHE": str(tmp_path / "c")}
    environment |= {"RASTOS_STATE": str(tmp_path / "s"), "RASTOS_MANIFEST": str(place.base / "packages.toml")}
    root = ("--root", str(place.root))
    for words in (
        ("plan", *root),
        ("plan", "--root", "new"),
        ("list", *root),
        ("info", "app"),
        ("search", "app"),
        ("why", "app", *root),
        ("verify", *root),
        ("digest", *root),
        ("lock",),
        ("history", *root),
    ):
        argv = [sys.executable, "-m", "rastos", "package", *words]
        done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"


def _json(rastos: Any, *words: str) -> str:
    text = rastos(*words)
    return text[text.index("{") : text.rindex("}") + 1]
