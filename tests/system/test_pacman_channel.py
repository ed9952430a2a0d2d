"""The pacman channel against mirrors that misbehave, and against databases and signatures that are not what they seem."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from rastos.errors import ExternalError, HostError, IntegrityError, RastosError
from rastos.host import download
from rastos.package import ChannelSpec, LocalRepository, PackageMetadata, Wanted, write_package
from rastos.package.channels.pacman import PacmanChannel, host_channels
from rastos.progress import Noted, Progress
from tests.conftest import need
from tests.system.misbehaving import Keys, Mirrors, ago, mirrors

# the connection of a refused request is left to the garbage collector, which warns
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
BUILT = 1_700_000_000


@dataclass
class Site:
    """One repository behind two mirrors and a cache, and a channel of it."""

    base: Path
    mirrors: Mirrors
    notes: list[str] = field(default_factory=list)

    @property
    def repository(self) -> LocalRepository:
        return LocalRepository(self.base / "repo", "test")

    @property
    def progress(self) -> Progress:
        return Progress(lambda event: self.notes.append(event.text) if isinstance(event, Noted) else None)

    def make(self, name: str, version: str = "1-1", built: int = BUILT, size: int = 300_000) -> Path:
        tree = self.base / "trees" / f"{name}-{version}-{built}"
        (tree / "usr").mkdir(parents=True, exist_ok=True)
        (tree / "usr" / name).write_bytes(f"{name} {version}".encode() + Path("/dev/urandom").open("rb").read(size))
        package = write_package(PackageMetadata(name, version, builddate=built), tree, self.base / "built")
        self.repository.add(package)
        self.age()
        return self.repository.directory / package.name

    def age(self, seconds: float = 1000) -> None:
        for path in self.repository.directory.iterdir():
            if ".db" in path.name and not path.is_symlink():
                ago(path, seconds)

    def channel(self, *servers: str, **fields: object) -> PacmanChannel:
        addresses = tuple(f"{self.mirrors.url}/{server}" for server in servers or ("a", "b"))
        spec = ChannelSpec("test", "pacman", addresses, siglevel=("never", "never"))
        return PacmanChannel(replace(spec, **fields), self.base / "cache")  # type: ignore[arg-type]

    def wanted(self, name: str = "app") -> Wanted:
        entry = self.repository.find(name)
        assert entry is not None
        record = entry.record
        return Wanted(name, record.version, record.filename, record.sha256, record.download_size)

    def get(self, channel: PacmanChannel, name: str = "app") -> Path:
        """Refresh, and fetch one package."""
        channel.refresh(self.progress)
        wanted = self.wanted(name)
        channel.fetch([wanted], self.base / "into", self.progress)
        path = self.base / "into" / wanted.filename
        assert path.read_bytes() == (self.repository.directory / wanted.filename).read_bytes()
        assert {item.name for item in path.parent.iterdir()} == {wanted.filename}, "nothing else is left"
        return path

    def refused(self, channel: PacmanChannel, words: str, kind: type[RastosError] = IntegrityError) -> RastosError:
        """Getting the package fails, and nothing is left of it."""
        with pytest.raises(kind, match=words) as caught:
            self.get(channel)
        assert caught.value.next_step
        folder = self.base / "into"
        assert not folder.exists() or not [item for item in folder.iterdir() if not item.name.startswith(".")]
        return caught.value


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    monkeypatch.setattr(download, "PATIENCE", 1.0)
    repo = tmp_path / "repo"
    repo.mkdir()
    (tmp_path / "copies").mkdir()
    with mirrors(a=repo, b=repo, cache=tmp_path / "copies") as running:
        yield Site(tmp_path, running)


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    need("gpg", "gpgv")
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        found = Keys(Path(folder))
        yield found
        found.close()


# databases


def test_an_unchanged_database_is_not_sent_again(site: Site) -> None:
    site.make("app")
    channel = site.channel("a")
    channel.refresh(site.progress)
    assert [answer.status for answer in site.mirrors.of("/a/test.db")] == [200]
    for _ in range(2):
        channel.refresh(site.progress)
    assert [(answer.status, answer.sent > 0) for answer in site.mirrors.of("/a/test.db")] == [
        (200, True),
        (304, False),
        (304, False),
    ]
    other = site.channel("b")
    other.refresh(site.progress)
    assert [answer.status for answer in site.mirrors.of("/b/test.db")] == [304], "another mirror is asked by the date"
    site.make("more")
    site.age(500)
    channel.refresh(site.progress)
    assert site.mirrors.of("/a/test.db")[-1].status == 200
    site.get(channel, "more")


def test_a_database_written_in_the_second_it_was_fetched_is_asked_for_again(site: Site) -> None:
    site.mirrors.faults["a", "test.db"] = "no-etag"
    site.make("app")
    site.age(0)
    channel = site.channel("a")
    channel.refresh(site.progress)
    channel.refresh(site.progress)
    assert [answer.status for answer in site.mirrors.of("/a/test.db")] == [200, 200]


def test_a_damaged_cached_database_is_fetched_again(site: Site) -> None:
    site.make("app")
    channel = site.channel("a")
    channel.refresh(site.progress)
    whole = channel.database.read_bytes()
    channel.database.write_bytes(whole[:-20])
    channel.refresh(site.progress)
    assert channel.database.read_bytes() == whole


@pytest.mark.parametrize("fault", ["404", "503", "cut", "stall", "drip", "flip", "short"])
def test_a_bad_database_of_one_mirror(site: Site, fault: str) -> None:
    site.make("app")
    site.mirrors.faults["a", "test.db"] = fault
    started = time.monotonic()
    site.get(site.channel())
    assert time.monotonic() - started < 8
    assert any("trying the next server" in note for note in site.notes)
    before = len(site.mirrors.of("/a/test.db"))
    site.channel().refresh(site.progress)
    assert len(site.mirrors.of("/a/test.db")) == before, "the mirror that failed is asked last"
    (site.base / "cache/mirrors.json").unlink()
    with pytest.raises((HostError, ExternalError, IntegrityError)) as caught:
        site.mirrors.faults["b", "test.db"] = fault
        (site.base / "cache/test.db.json").unlink()
        site.channel().refresh(site.progress)
    assert caught.value.next_step and "/a/test.db" in caught.value.detail and "/b/test.db" in caught.value.detail
    assert site.channel().database.is_file(), "the old one stays"
    assert not list((site.base / "cache").glob(".*.work")) and not list((site.base / "cache").glob("*.part"))


def test_an_old_database_is_refused_signed_or_not(site: Site, keys: Keys) -> None:
    site.make("app", "1-1", BUILT)
    old = site.repository.database.read_bytes()
    site.make("app", "2-1", BUILT + 1000)
    site.channel("a").refresh(site.progress)
    site.repository.database.write_bytes(old)
    site.age(100)  # the server says it is new
    error = site.refused(site.channel("a"), "an old package database")
    assert "last build" in error.what
    site.channel("a").refresh(site.progress, offline=True)
    kept = site.channel("a").database.read_bytes()
    assert kept != old
    allowed = site.channel("a")
    allowed.allow_older = True
    allowed.refresh(site.progress)
    assert allowed.database.read_bytes() == old


def test_a_repository_from_which_the_newest_package_was_taken_is_not_old(site: Site) -> None:
    site.make("app", "1-1", BUILT)
    site.make("new", "1-1", BUILT + 1000)
    channel = site.channel("a")
    channel.refresh(site.progress)
    site.repository.remove("new")
    site.age(5000)
    with pytest.raises(IntegrityError, match="old package database"):
        channel.refresh(site.progress)
    site.age(100)
    channel.refresh(site.progress)
    site.get(channel)


def test_signed_databases_are_compared_by_their_signatures(site: Site, keys: Keys) -> None:
    number, database = keys.key("signer"), site.repository.database
    ring = keys.export(site.base / "ring.gpg", number)
    now = int(time.time())
    link = site.repository.directory / "test.db"
    site.make("app", "1-1")
    keys.sign(link, number, now + 50 - 100)
    channel = site.channel(keyring=ring, siglevel=("required", "never"))
    old = database.read_bytes(), Path(f"{link}.sig").read_bytes()
    site.make("other")
    keys.sign(link, number, now)
    channel.refresh(site.progress)
    new = database.read_bytes(), Path(f"{link}.sig").read_bytes()

    stale = site.base / "stale"
    stale.mkdir()
    (stale / "test.db").write_bytes(old[0])
    (stale / "test.db.sig").write_bytes(old[1])
    site.mirrors.folders["a"] = stale
    channel.refresh(site.progress)  # b is current
    assert channel.database.read_bytes() == new[0]
    assert any("it was signed on" in note for note in site.notes)
    site.mirrors.folders["b"] = stale
    with pytest.raises(IntegrityError, match="it was signed on"):
        channel.refresh(site.progress)
    (stale / "test.db.sig").unlink()
    optional = site.channel(keyring=ring, siglevel=("optional", "never"))
    with pytest.raises(IntegrityError, match="was signed before and isn't now"):
        optional.refresh(site.progress)
    assert channel.database.read_bytes() == new[0]


# packages


@pytest.mark.parametrize("fault", ["404", "503", "cut", "stall", "drip", "flip", "short", "long"])
def test_a_bad_package_of_one_mirror(site: Site, fault: str) -> None:
    site.make("app")
    name = site.wanted().filename
    site.mirrors.faults["a", name] = fault
    channel = site.channel()
    started = time.monotonic()
    site.get(channel)
    assert time.monotonic() - started < 8
    assert channel.mirrors.ordered()[0].endswith("/b"), "the failure is remembered"
    assert any("/a failed" in note for note in site.notes)
    (site.base / "into" / name).unlink()
    before = len(site.mirrors.of(f"/a/{name}"))
    site.get(site.channel())
    assert len(site.mirrors.of(f"/a/{name}")) == before


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("404", ExternalError, "404"),
        ("cut", HostError, "broke off"),
        ("stall", HostError, "stalled"),
        ("flip", IntegrityError, "SHA-256"),
        ("long", IntegrityError, "expected"),
        ("short", IntegrityError, "expected"),
    ],
)
def test_a_package_that_no_mirror_has_right(site: Site, fault: str, kind: type[RastosError], words: str) -> None:
    site.make("app")
    for mirror in "ab":
        site.mirrors.faults[mirror, site.wanted().filename] = fault
    error = site.refused(site.channel(), words, kind)
    assert "/a/" in error.detail and "/b/" in error.detail


def test_a_cut_transfer_goes_on_where_it_was_also_elsewhere(site: Site) -> None:
    site.make("app")
    name = site.wanted().filename
    site.mirrors.faults["a", name] = "cut-once"
    site.get(site.channel("a"))
    first, second = site.mirrors.of(f"/a/{name}")
    assert second.asked["Range"] == f"bytes={first.sent}-" and second.status == 206
    assert first.sent + second.sent == site.wanted().size, "nothing is transferred twice"

    (site.base / "into" / name).unlink()
    site.mirrors.faults["a", name] = "stall"
    site.get(site.channel("a", "b"))
    assert site.mirrors.of(f"/b/{name}")[-1].asked["Range"] == "bytes=10-"


def test_many_packages_from_two_mirrors_of_which_one_is_dead(site: Site) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        site.make(name, size=2000)
    channel = site.channel()
    channel.refresh(site.progress)
    for name in names:
        site.mirrors.faults["a", site.wanted(name).filename] = "stall"
    started = time.monotonic()
    channel.fetch([site.wanted(name) for name in names], site.base / "into", site.progress)
    assert time.monotonic() - started < 4, "only the first ones wait for it"
    assert len(list((site.base / "into").iterdir())) == 8


def test_cache_servers(site: Site) -> None:
    site.make("app")
    site.make("other")
    copies = site.mirrors.folders["cache"]
    (copies / site.wanted().filename).write_bytes((site.repository.directory / site.wanted().filename).read_bytes())
    channel = site.channel("a", cache_server=(f"{site.mirrors.url}/cache",))
    site.get(channel)
    assert not site.mirrors.of("/cache/test.db") and site.mirrors.of(f"/cache/{site.wanted().filename}")
    assert not site.mirrors.of(f"/a/{site.wanted().filename}")
    (site.base / "into" / site.wanted().filename).unlink()
    site.mirrors.faults["cache", site.wanted().filename] = "flip"
    site.get(channel)
    (site.base / "into" / site.wanted().filename).unlink()
    site.get(channel, "other")  # it hasn't got that one
    assert not site.notes and not (site.base / "cache/mirrors.json").exists(), "nothing is said of caches"


# signatures


def signed(site: Site, keys: Keys, number: str, **fields: object) -> PacmanChannel:
    """A channel whose package is signed by that key."""
    keys.sign(site.make("app"), number)
    ring = site.base / "ring.gpg"
    if not ring.exists():
        keys.export(ring, number)
    return site.channel(**{"keyring": ring, "siglevel": ("never", "required"), **fields})


def test_a_wrong_signature_of_one_mirror(site: Site, keys: Keys) -> None:
    channel = signed(site, keys, keys.key("signer"))
    other = site.base / "other"
    other.mkdir()
    for path in site.repository.directory.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    (other / f"{site.wanted().filename}.sig").write_bytes(b"\x88nonsense")
    site.mirrors.folders["a"] = other
    site.get(channel)
    assert any("has it right" in note for note in site.notes)
    site.mirrors.folders["b"] = other
    (site.base / "cache/signatures" / f"{site.wanted().filename}.sig").unlink()
    (site.base / "into" / site.wanted().filename).unlink()
    site.refused(channel, "no signature|could not be verified")


def test_unknown_expired_and_revoked_keys(site: Site, keys: Keys) -> None:
    signer, stranger = keys.key("signer"), keys.key("stranger")
    keys.export(site.base / "ring.gpg", signer)
    assert "not in the keyring" in site.refused(signed(site, keys, stranger), "not in the keyring").what

    expiring = keys.key("expiring", "seconds=2")
    keys.export(site.base / "ring.gpg", expiring)
    channel = signed(site, keys, expiring)
    time.sleep(3.1)
    site.refused(channel, "has expired")

    gone = keys.key("gone")
    channel = signed(site, keys, gone)
    keys.export(site.base / "ring.gpg", gone)
    site.get(channel)
    keys.revoke(gone)
    keys.export(site.base / "ring.gpg", gone)
    (site.base / "into" / site.wanted().filename).unlink()
    site.refused(channel, "was revoked")


def test_a_bad_signature_of_the_database(site: Site, keys: Keys) -> None:
    number = keys.key("signer")
    site.make("app")
    link = site.repository.directory / "test.db"
    channel = site.channel(keyring=keys.export(site.base / "ring.gpg", number), siglevel=("required", "never"))
    site.refused(channel, "is not signed")
    keys.sign(link, keys.key("stranger"))
    site.refused(channel, "not in the keyring")
    keys.sign(link, number)
    site.get(channel)
    # a level that is raised later is asked of what is cached too
    site.make("more")
    site.age(500)
    never = site.channel(siglevel=("never", "never"))
    never.refresh(site.progress)
    with pytest.raises(IntegrityError, match="is not signed"):
        channel.refresh(site.progress)


# the host's configuration


def test_every_section_of_the_hosts_configuration(site: Site, keys: Keys) -> None:
    number = keys.key("signer")
    keys.sign(site.make("app"), number)
    gnupg = Path(tempfile.mkdtemp(prefix="k", dir=keys.home))
    gnupg.chmod(0o700)
    theirs = Keys(gnupg)
    theirs.gpg("--import", keys.export(site.base / "one.asc", number))
    configuration = site.base / "pacman.conf"
    configuration.write_text(
        f"[options]\nGPGDir = {gnupg}\nSigLevel = Required DatabaseOptional\nMistake = 1\n"
        f"[test]\nServer = {site.mirrors.url}/a\n[more]\nUsage = Search\nServer = {site.mirrors.url}/b\n"
    )
    test, more = host_channels(configuration, site.base / "channels")
    assert (test.name, more.name) == ("test", "more") and not more.allows("sync") and more.allows("search")
    with pytest.raises(HostError, match="no trusted key"):  # imported, but nobody signed it locally
        test.refresh(site.progress)
        test.fetch([site.wanted()], site.base / "into", site.progress)
    assert any("'Mistake' in [options]" in note for note in site.notes)
    theirs.gpg("--import-ownertrust", stdin=f"{number}:6:\n")
    theirs.gpg("--check-trustdb")
    site.get(test)
    theirs.close()
    with pytest.raises(HostError, match="not cached"):
        more.refresh(site.progress)


def test_pacman_itself_takes_what_we_take(site: Site, keys: Keys) -> None:
    """The same configuration given to pacman: our reading of it is not our own invention."""
    need("pacman")
    site.make("app")
    root = site.base / "root"
    (root / "var/lib/pacman").mkdir(parents=True)
    configuration = site.base / "pacman.conf"
    mirrorlist = site.base / "mirrorlist"
    mirrorlist.write_text(f"# no\nServer = {site.mirrors.url}/a\n")
    configuration.write_text(
        f"[options]\nRootDir = {root}\nDBPath = {root}/var/lib/pacman\nArchitecture = auto\n"
        f"[test]\nSigLevel = Never\nInclude = {mirrorlist}\n"
    )
    done = subprocess.run(["pacman", "--config", configuration, "-Sy"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (channel,) = host_channels(configuration, site.base / "channels")
    site.get(channel)
    assert (root / "var/lib/pacman/sync/test.db").read_bytes() == channel.database.read_bytes()
