"""Real transactions by libalpm into a scratch root, and everything that may stand against them.

The packages, repositories, keys and signatures are made here, with our writer and with GnuPG.
"""

from __future__ import annotations

import functools
import gc
import http.server
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rastos.errors import BusyError, ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.host import private_mounts
from rastos.package import (
    Change,
    Channel,
    LocalRepository,
    Manifest,
    PackageMetadata,
    Plan,
    Result,
    Target,
    apply_plan,
    installed,
    load_manifest,
    open_channels,
    plan_change,
    target_for,
    write_package,
)
from rastos.package.alpm import session
from rastos.progress import Noted, Progress
from tests.conftest import need

pytest.importorskip("pyalpm")


@dataclass
class Place:
    """A repository, a root, and the verbs of the tests."""

    base: Path
    notes: list[str] = field(default_factory=list)
    manifest: Manifest | None = None

    @property
    def repository(self) -> LocalRepository:
        return LocalRepository(self.base / "repo", "test")

    @property
    def target(self) -> Target:
        return target_for(self.base / "root", self.base / "cache")

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def progress(self) -> Progress:
        return Progress(lambda event: self.notes.append(event.text) if isinstance(event, Noted) else None)

    @property
    def channels(self) -> list[Channel]:
        if self.manifest is not None:
            return open_channels(self.manifest, cache=self.base / "cache", repository=None)
        manifest = self.write_manifest(f'[channels.test]\nkind = "local"\nserver = "{self.repository.directory}"\n')
        return open_channels(manifest, cache=self.base / "cache", repository=None)

    def write_manifest(self, text: str) -> Manifest:
        path = self.base / "packages.toml"
        path.write_text(text)
        return load_manifest(path)

    def make(self, name: str, version: str = "1-1", *, files: dict[str, str] | None = None, **fields: object) -> Path:
        install = fields.pop("install", None)
        tree = self.base / "trees" / f"{name}-{version}"
        for path, content in (files or {f"usr/share/{name}/file": f"{name} {version}\n"}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(content)
        metadata = PackageMetadata(name, version, **fields)  # type: ignore[arg-type]
        package = write_package(metadata, tree, self.base / "built", install=install)  # type: ignore[arg-type]
        self.repository.add(package)
        return self.repository.directory / package.name

    def plan(self, *names: str, remove: tuple[str, ...] = (), upgrade: bool = False) -> Plan:
        return plan_change(self.target, self.channels, Change(names, remove, upgrade), self.progress)

    def apply(self, *names: str, remove: tuple[str, ...] = (), upgrade: bool = False) -> Result:
        return apply_plan(self.target, self.channels, self.plan(*names, remove=remove, upgrade=upgrade), self.progress)

    def there(self) -> dict[str, tuple[str, str]]:
        return {item.name: (item.version, item.reason) for item in installed(self.target)}

    def refused(self, kind: type[RastosError], *names: str, **wish: object) -> RastosError:
        """The plan or its application fails, and the tree is as it was."""
        before = self.there()
        with pytest.raises(kind) as caught:
            self.apply(*names, **wish)  # type: ignore[arg-type]
        assert caught.value.next_step
        assert self.there() == before
        assert not (self.target.database / "db.lck").exists()
        return caught.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def test_install_upgrade_remove(place: Place) -> None:
    place.make("lib", "1-1")
    place.make("app", depends=("lib",))
    result = place.apply("app")
    assert result.installed == ("app", "lib")
    assert place.there() == {"app": ("1-1", "explicit"), "lib": ("1-1", "dependency")}
    assert (place.root / "usr/share/lib/file").read_text() == "lib 1-1\n"
    assert place.apply("app") == Result(), "a second time there is nothing to do"

    place.make("lib", "2-1")
    assert place.apply(upgrade=True).upgraded == ("lib",)
    assert place.there()["lib"] == ("2-1", "dependency"), "an upgrade keeps the reason"
    assert place.apply("lib").upgraded == ()
    assert place.there()["lib"] == ("2-1", "explicit"), "asked for by name now"

    assert place.apply(remove=("app",)).removed == ("app",)
    assert place.there() == {"lib": ("2-1", "explicit")}
    assert not (place.root / "usr/share/app").exists()
    assert str(place.root) not in mounts()
    assert not list((place.target.database / "sync").iterdir())
    assert (place.root / "tmp").stat().st_mode & 0o7777 == 0o1777


def test_pacman_agrees_with_the_database(place: Place) -> None:
    need("pacman")
    place.make("lib", "1-1")
    place.make("app", depends=("lib",))
    place.apply("app")
    config = place.base / "pacman.conf"
    config.write_text(f"[options]\nRootDir={place.root}\nDBPath={place.target.database}\nSigLevel=Never\n")
    for query, expected in (("-Q", "app 1-1\nlib 1-1\n"), ("-Qqe", "app\n"), ("-Qk", "")):
        done = subprocess.run(["pacman", "--config", config, query], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not expected or done.stdout == expected


def test_scriptlets_run_inside_with_system_mounts(place: Place) -> None:
    need("ldd")
    listed = subprocess.run(["ldd", "/bin/dash", "/bin/ls"], check=True, capture_output=True, text=True).stdout
    libraries = {word for word in listed.split() if word.startswith("/") and not word.endswith(":")}
    for path, name in {
        **{library: library for library in libraries},
        "/bin/dash": "/bin/sh",
        "/bin/ls": "/bin/ls",
    }.items():
        inside = place.root / name.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, inside)
    place.make("app", install="post_install() {\n  echo made > /made\n  ls /proc/self/status /dev/null > /seen\n}\n")
    place.apply("app")
    assert (place.root / "made").read_text() == "made\n"
    assert (place.root / "seen").read_text().split() == ["/dev/null", "/proc/self/status"]
    assert list((place.root / "dev").iterdir()) == []


def test_missing_dependencies_and_names_are_all_shown(place: Place) -> None:
    place.make("app", depends=("gone>=2", "lost"))
    place.make("other", depends=("gone",))
    error = place.refused(UserError, "app", "other", "othre")
    assert "4 problems" in error.what
    for line in ("app 1-1 needs gone>=2", "app 1-1 needs lost", "other 1-1 needs gone", "did you mean 'other'"):
        assert line in error.detail


def test_conflicts_with_packages_and_with_what_is_there(place: Place) -> None:
    place.make("one", conflicts=("two",))
    place.make("two")
    assert "one 1-1 and two 1-1 can't be together" in place.refused(UserError, "one", "two").what
    place.apply("two")
    assert "can't be together" in place.refused(UserError, "one").what


def test_wrong_architecture(place: Place) -> None:
    place.make("app", arch="aarch64")
    assert "is for aarch64" in place.refused(UserError, "app").what


def test_removal_of_what_is_needed(place: Place) -> None:
    place.make("lib")
    place.make("app", depends=("lib",))
    place.apply("app")
    assert "lib is needed by app" in place.refused(UserError, remove=("lib",)).what


def test_replaces(place: Place) -> None:
    place.make("old")
    place.apply("old")
    place.make("new", conflicts=("old",), replaces=("old",), provides=("old",))
    result = place.apply("new")
    assert (result.installed, result.removed) == (("new",), ("old",))


def test_file_conflict_with_another_package_and_with_a_stray_file(place: Place) -> None:
    place.make("one", files={"usr/bin/tool": "one"})
    place.make("two", files={"usr/bin/tool": "two"})
    place.apply("one")
    error = place.refused(UserError, "two")
    assert "usr/bin/tool" in error.detail
    assert (place.root / "usr/bin/tool").read_text() == "one"
    (place.root / "usr/share/three").mkdir(parents=True)
    (place.root / "usr/share/three/file").write_text("mine")
    place.make("three")
    assert "usr/share/three/file" in place.refused(UserError, "three").detail
    assert (place.root / "usr/share/three/file").read_text() == "mine"


@pytest.mark.parametrize("where", ["prepare", "commit", "package"])
def test_a_crash_of_libalpm_is_an_error_and_leaves_no_lock(
    place: Place, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.make("lib")
    place.make("app", depends=("lib",))
    monkeypatch.setattr(session, "crash_at", where)
    with pytest.raises(ExternalError, match="SIGSEGV") as caught:
        place.apply("app")
    assert caught.value.status == -11
    assert not (place.target.database / "db.lck").exists()
    assert str(place.root) not in mounts()
    monkeypatch.setattr(session, "crash_at", "")
    place.apply("app")
    assert set(place.there()) == {"app", "lib"}
    assert (place.root / "usr/share/lib/file").read_text() == "lib 1-1\n"


def test_a_stale_lock_is_cleared_and_a_living_one_respected(place: Place) -> None:
    place.make("app")
    place.target.database.mkdir(parents=True)
    lock = place.target.database / "db.lck"
    with lock.open("w"):
        with pytest.raises(BusyError) as caught:
            place.apply("app")
        assert str(os.getpid()) in caught.value.holder
        assert lock.exists() and place.there() == {}
    place.apply("app")
    assert "app" in place.there() and any("stale" in note for note in place.notes)


def test_a_plan_for_a_tree_that_changed_is_refused(place: Place) -> None:
    place.make("app", "1-1")
    place.apply("app")
    place.make("app", "2-1")
    place.make("other")
    removal = place.plan(remove=("app",))
    place.apply("app")
    with pytest.raises(UserError, match="has changed since"):
        apply_plan(place.target, place.channels, removal, place.progress)


def test_an_altered_package_file(place: Place) -> None:
    path = place.make("app")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert "digest differs" in place.refused(IntegrityError, "app").what


def hostile(place: Place, *members: tarfile.TarInfo) -> None:
    """A package whose archive holds these members beside a good .PKGINFO."""
    import zstandard

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        content = b"pkgname = bad\npkgver = 1-1\narch = any\nsize = 1\n"
        entry = tarfile.TarInfo(".PKGINFO")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size) if member.isreg() else None)
    path = place.base / "bad-1-1-any.pkg.tar.zst"
    path.write_bytes(zstandard.compress(buffer.getvalue()))
    place.repository.add(path)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
    return entry


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([member("usr/../../escaped")], "outside the tree"),
        ([member("/escaped")], "outside the tree"),
        ([member("out", tarfile.SYMTYPE, "../.."), member("out/escaped")], "through a link"),
        ([member("usr/x", tarfile.LNKTYPE, "../../etc/passwd")], "hard link"),
        ([member("dev/sda", tarfile.BLKTYPE)], "device node"),
    ],
)
def test_hostile_packages(place: Place, members: list[tarfile.TarInfo], reason: str) -> None:
    hostile(place, *members)
    assert reason in place.refused(IntegrityError, "bad").what
    assert not list(place.base.parent.rglob("escaped"))


def test_a_database_with_a_hostile_file_name(place: Place) -> None:
    place.make("app")
    record = place.repository.packages()[0].record
    place.repository.write([replace(record, filename="../../etc/passwd")])
    assert "impossible file" in place.refused(IntegrityError, "app").what


def test_no_room(place: Place) -> None:
    need("mkfs.ext4", "mount", "losetup")
    image = place.base / "small.img"
    with image.open("wb") as stream:
        stream.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    place.root.mkdir()
    private_mounts()  # else `apply` enters the namespace later, and the umount below is not seen outside
    subprocess.run(["mount", "-o", "loop", image, place.root], check=True)
    try:
        place.make("big", files={"usr/share/big": "x" * (60 << 20)})
        assert "too small" in place.refused(HostError, "big").what
        # a package that says it is small gets past our sum: libalpm itself has to stop
        record = place.repository.packages()[0].record
        place.repository.write([replace(record, installed_size=1)])
        with pytest.raises(RastosError) as caught:
            place.apply("big")
        assert caught.value.next_step and not (place.target.database / "db.lck").exists()
        if Path("/etc/mtab").exists():  # without it libalpm can't look, and stops at the first write that fails
            assert "big" not in place.there()
    finally:
        subprocess.run(["umount", place.root], check=True)


def test_fault_before_the_transaction_changes_nothing(place: Place) -> None:
    from rastos.host import faults

    place.make("app")
    faults.arm("packages-fetched=enospc")
    try:
        with pytest.raises(OSError, match="No space"):
            place.apply("app")
    finally:
        faults.disarm()
    assert place.there() == {}
    place.apply("app")
    assert "app" in place.there()


def test_a_change_that_ended_before_it_was_configured_is_completed(place: Place) -> None:
    from rastos.host import faults

    place.make("app")
    configured: list[list[str]] = []

    class Configuring:
        """A channel that has something to do after libalpm, as Debian's has."""

        def __init__(self, inner: Channel) -> None:
            self.inner, self.name = inner, inner.name

        def before_removal(self, root: Path, packages: list[str], progress: Progress) -> None:
            pass

        def configure(self, root: Path, packages: list[str], progress: Progress) -> None:
            configured.append(list(packages))

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

    channels: list[Channel] = [Configuring(channel) for channel in place.channels]  # type: ignore[misc]
    plan = plan_change(place.target, channels, Change(("app",)), place.progress)
    faults.arm("packages-installed=error")
    try:
        with pytest.raises(HostError, match="injected"):
            apply_plan(place.target, channels, plan, place.progress)
    finally:
        faults.disarm()
    assert "app" in place.there() and configured == []
    again = plan_change(place.target, channels, Change(("app",)), place.progress)
    assert again.empty
    apply_plan(place.target, channels, again, place.progress)
    assert configured == [[]], "the channel is asked to complete what is there"
    apply_plan(place.target, channels, again, place.progress)
    assert len(configured) == 1, "and only once"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_or_killed_then_completed(place: Place, number: signal.Signals) -> None:
    for index in range(60):
        place.make(f"p{index}", files={f"usr/share/p{index}/{part}": "x" * 50_000 for part in range(20)})
    place.plan("p1")  # writes the manifest
    command = [sys.executable, "-m", "rastos", "package", "apply", "--root", str(place.root)]
    command += ["--manifest", str(place.base / "packages.toml"), *(f"p{index}" for index in range(60))]
    places = {"RASTOS_CACHE": str(place.base / "cache"), "RASTOS_STATE": str(place.base / "state")}
    local = place.target.database / "local"
    interruptible = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        command,
        env={**os.environ, **places},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=interruptible,
    ) as running:
        while running.poll() is None and not (local.is_dir() and len(list(local.iterdir())) > 10):
            time.sleep(0.002)
        running.send_signal(number)
    assert running.returncode == (130 if number == signal.SIGINT else -number)
    assert len(place.there()) < 60, "it was stopped on the way"
    assert str(place.root) not in mounts()
    time.sleep(0.2)  # the worker dies with its parent
    done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(place.there()) == 60
    assert not (place.target.database / "db.lck").exists()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """GnuPG homes with one signing key each, and their exported keyrings beside them."""
    need("gpg", "gpgv")

    @functools.cache
    def home(name: str) -> Path:
        folder = tmp_path_factory.mktemp(f"gnupg-{name}")
        folder.chmod(0o700)
        gpg(folder, "--quick-gen-key", f"{name} <{name}@example.org>", "ed25519", "sign", "never")
        gpg(folder, "--output", str(folder / "ring.gpg"), "--export")
        return folder

    return home


def gpg(home: Path, *arguments: str) -> None:
    base = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--yes"]
    subprocess.run([*base, *arguments], check=True, capture_output=True)


def sign(home: Path, path: Path) -> None:
    gpg(home, "--output", f"{path}.sig", "--detach-sign", str(path))


@pytest.fixture
def server(place: Place) -> Iterator[str]:
    """The repository over HTTP on loopback."""
    place.repository.directory.mkdir(exist_ok=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(place.repository.directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def declare(place: Place, server: str, level: str, keyring: Path | None) -> None:
    key = f'keyring = "{keyring}"\n' if keyring else ""
    place.manifest = place.write_manifest(
        f'[channels.test]\nkind = "pacman"\nserver = "{server}"\nsiglevel = "{level}"\n{key}'
    )


def test_signed_repository_over_http(place: Place, server: str, keys: Callable[[str], Path]) -> None:
    good = keys("good")
    package = place.make("app", "1:1.0-1")
    declare(place, server, "required", good / "ring.gpg")
    assert "is not signed" in place.refused(IntegrityError, "app").what

    sign(good, place.repository.directory / "test.db")
    assert "app 1:1.0-1 is not signed" in place.refused(IntegrityError, "app").what

    sign(keys("evil"), package)
    assert "not in the keyring" in place.refused(IntegrityError, "app").what

    sign(good, package)
    place.apply("app")
    assert "app" in place.there()
    assert not list(place.target.packages.glob("*.sig"))


def test_signature_over_other_content(place: Place, server: str, keys: Callable[[str], Path]) -> None:
    good = keys("good")
    package = place.make("app")
    sign(good, package)
    sign(good, place.repository.directory / "test.db")
    signatures = {path: path.read_bytes() for path in place.repository.directory.glob("*.sig")}
    place.make("app", "1-1", files={"usr/share/app/file": "changed"})
    for path, content in signatures.items():  # our writer takes them away
        path.write_bytes(content)
    declare(place, server, "required", good / "ring.gpg")
    assert "the file was changed" in place.refused(IntegrityError, "app").what, "the database"
    declare(place, server, "PackageRequired DatabaseNever", good / "ring.gpg")
    assert "the file was changed" in place.refused(IntegrityError, "app").what, "the package"


def test_optional_signatures_must_be_good_where_they_are(
    place: Place, server: str, keys: Callable[[str], Path]
) -> None:
    package = place.make("app")
    sign(keys("evil"), package)
    declare(place, server, "optional", keys("good") / "ring.gpg")
    assert "not in the keyring" in place.refused(IntegrityError, "app").what
    Path(f"{package}.sig").unlink()
    place.apply("app")
    assert "app" in place.there()


def test_an_armoured_keyring_and_a_missing_one(place: Place, server: str, keys: Callable[[str], Path]) -> None:
    good = keys("good")
    package = place.make("app")
    sign(good, package)
    declare(place, server, "PackageRequired DatabaseOptional", place.base / "none.gpg")
    assert "no keyring" in place.refused(HostError, "app").what
    gpg(good, "--armor", "--output", str(place.base / "ring.asc"), "--export")
    declare(place, server, "PackageRequired DatabaseOptional", place.base / "ring.asc")
    place.apply("app")


# a 404's connection is left to the garbage collector, which warns
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mirror_that_lacks_files_falls_over_to_the_next(place: Place, server: str) -> None:
    place.make("app")
    text = f'[channels.test]\nkind = "pacman"\nserver = ["{server}/nowhere", "{server}"]\nsiglevel = "never"\n'
    place.manifest = place.write_manifest(text)
    place.apply("app")
    place.manifest = place.write_manifest(text.replace(f', "{server}"', ""))
    with pytest.raises(RastosError) as caught:
        place.plan("app")
    assert "nowhere" in f"{caught.value.on}{caught.value.what}"
    del caught
    gc.collect()


def test_repo_add_and_a_folder_as_server(place: Place) -> None:
    need("repo-add")
    package = place.make("app")
    folder = place.base / "theirs"
    folder.mkdir()
    copy = folder / package.name
    copy.write_bytes(package.read_bytes())
    subprocess.run(["repo-add", "-q", folder / "test.db.tar.gz", copy], check=True, capture_output=True)
    declare(place, str(folder), "never", None)
    place.apply("app")
    assert "app" in place.there()
