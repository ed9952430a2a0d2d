"""Keyrings that a channel gets by itself: five masters, packagers they certified, and packages that only look right."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, UserError
from rastos.package import ChannelSpec, LocalRepository, PackageMetadata, Wanted, write_package
from rastos.package.channels.pacman import PacmanChannel
from rastos.package.keys import read_keys
from rastos.progress import Noted, Progress
from tests.conftest import need
from tests.system.misbehaving import Keys, Mirrors, agents, mirrors

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
MASTERS = ("m1", "m2", "m3", "m4", "m5")


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    need("gpg", "gpgv")
    with tempfile.TemporaryDirectory(prefix="k") as folder:
        found = Keys(Path(folder))
        yield found
        found.close()


@dataclass
class Distribution:
    """A repository with a keyring package, as a distribution makes it, and a channel of it on a foreign host."""

    base: Path
    keys: Keys
    mirrors: Mirrors
    notes: list[str]

    @property
    def repository(self) -> LocalRepository:
        return LocalRepository(self.base / "repo", "test")

    @property
    def progress(self) -> Progress:
        return Progress(lambda event: self.notes.append(event.text) if isinstance(event, Noted) else None)

    @property
    def masters(self) -> tuple[str, ...]:
        return tuple(self.keys.key(name) for name in MASTERS)

    def packager(self, name: str, count: int = 3) -> str:
        return self.keys.certified(name, *MASTERS[:count])

    def package(
        self, name: str, signer: str, built: int = 1, files: dict[str, bytes] | None = None, inside: str = ""
    ) -> Path:
        tree = Path(tempfile.mkdtemp(dir=self.base))
        for path, content in (files or {f"usr/share/{name}": b"x"}).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
        made = write_package(PackageMetadata(inside or name, f"{built}-1", builddate=built), tree, self.base / "built")
        self.keys.sign(made, signer)
        self.repository.add(made)
        return self.repository.directory / made.name

    def keyring(
        self,
        signer: str,
        *members: str,
        built: int = 1,
        revoked: tuple[str, ...] = (),
        named: tuple[str, ...] | None = None,
        more: dict[str, bytes] | None = None,
    ) -> Path:
        """The keyring package; its keyring has the masters and these members."""
        exported = self.keys.export(self.base / "export.gpg", *self.masters, signer, *members)
        folder = "usr/share/pacman/keyrings"
        files = {
            f"{folder}/test.gpg": exported.read_bytes(),
            f"{folder}/test-trusted": "".join(f"{key}:4:\n" for key in named or self.masters).encode(),
            f"{folder}/test-revoked": "".join(f"{key}\n" for key in revoked).encode(),
        }
        return self.package("test-keyring", signer, built, {**files, **(more or {})})

    def channel(self, *, trusted: tuple[str, ...] | None = None, keyring: Path | None = None) -> PacmanChannel:
        spec = ChannelSpec(
            "test",
            "pacman",
            (f"{self.mirrors.url}/a",),
            keyring=keyring or self.base / "no-such-keyring.gpg",
            siglevel=("optional", "required"),
            keyring_package="test-keyring",
            trusted=self.masters if trusted is None else trusted,
        )
        return PacmanChannel(spec, self.base / "cache")

    def get(self, channel: PacmanChannel, name: str = "app") -> None:
        channel.refresh(self.progress)
        entry = self.repository.find(name)
        assert entry is not None
        wanted = Wanted(name, entry.version, entry.record.filename, entry.sha256, entry.record.download_size)
        channel.fetch([wanted], self.base / "into", self.progress)
        (self.base / "into" / wanted.filename).unlink()


@pytest.fixture
def there(tmp_path: Path, keys: Keys) -> Iterator[Distribution]:
    (tmp_path / "repo").mkdir()
    with mirrors(a=tmp_path / "repo") as running:
        yield Distribution(tmp_path, keys, running, [])
    assert not [line for line in agents() if "rastos" in line], "no agent stays"
    assert not list(Path(tempfile.gettempdir()).glob(f".rastos-gnupg.{os.getpid()}.*"))


def test_a_keyring_proves_itself_and_then_judges(there: Distribution) -> None:
    alice, bob, weak = there.packager("alice"), there.packager("bob", 4), there.packager("weak", 2)
    there.keyring(alice, bob, weak)
    there.package("app", bob)
    channel = there.channel()
    there.get(channel)
    rows = {item.key.name.split(" ")[0]: item for item in channel.keyring.keys()}
    assert {name for name, item in rows.items() if item.trusted} == {*MASTERS, "alice", "bob"}
    assert (len(rows["bob"].key.certified_by), len(rows["weak"].key.certified_by)) == (4, 2)
    assert channel.keyring.accepted is not None and channel.keyring.accepted.signer == alice
    there.package("app", weak, built=2)
    with pytest.raises(IntegrityError, match=r"weak.*only 2 masters certified, expected 3"):
        there.get(channel)


def test_a_keyring_signed_by_a_key_that_one_master_certified(there: Distribution) -> None:
    there.keyring(there.packager("lonely", 1))
    channel = there.channel()
    with pytest.raises(IntegrityError, match="is certified by 1 trusted master keys, expected 3"):
        channel.refresh(there.progress)
    assert channel.keyring.accepted is None and not channel.database.exists()


def test_a_keyring_with_other_masters(there: Distribution) -> None:
    alice = there.packager("alice")
    there.keyring(alice)
    others = tuple(there.keys.key(name) for name in ("x1", "x2", "x3", "x4"))
    with pytest.raises(IntegrityError, match="holds 0 of the 4 master keys"):
        there.channel(trusted=others).refresh(there.progress)
    with pytest.raises(IntegrityError, match="holds 2 of the 5 master keys"):
        there.channel(trusted=(*there.masters[:2], *others[:3])).refresh(there.progress)
    # evil names its own masters in the package; the manifest's count
    evil = there.keys.certified("evil", "x1", "x2", "x3")
    there.keyring(evil, *others, built=2, named=others)
    with pytest.raises(IntegrityError, match="is certified by 0 trusted"):
        there.channel().refresh(there.progress)
    assert there.channel().keyring.accepted is None


def test_a_keyring_whose_signature_or_content_is_not_right(there: Distribution) -> None:
    alice, stranger = there.packager("alice"), there.keys.key("stranger")
    package = there.keyring(alice)
    there.keys.sign(package, stranger)  # not even in the keyring it brings
    there.repository.add(package)
    with pytest.raises(IntegrityError, match="not in the keyring"):
        there.channel().refresh(there.progress)
    there.package("test-keyring", alice, 2)  # no keyring in it
    with pytest.raises(IntegrityError, match="holds 0 keyrings"):
        there.channel().refresh(there.progress)
    there.keyring(alice, built=3, more={"usr/share/pacman/keyrings/test.gpg": b"no keys at all"})
    with pytest.raises(IntegrityError):
        there.channel().refresh(there.progress)
    # another package of the distribution, well signed, under the keyring's name
    other = there.package("other", alice, 4, {"usr/share/pacman/keyrings/test.gpg": b"x"})
    shutil.copy(other, there.base / "repo/test-keyring-9-1-x86_64.pkg.tar.zst")
    entry = there.repository.find("other")
    assert entry is not None
    names = {"name": "test-keyring", "version": "9-1", "filename": "test-keyring-9-1-x86_64.pkg.tar.zst"}
    there.repository.write([replace(entry.record, **names)])
    with pytest.raises(IntegrityError, match="is the package 'other'"):
        there.channel().refresh(there.progress)


def test_an_unsigned_keyring_and_one_without_masters(there: Distribution) -> None:
    package = there.keyring(there.packager("alice"))
    with pytest.raises(UserError, match="nothing says which keys") as caught:
        there.channel(trusted=()).refresh(there.progress)
    assert "trusted =" in caught.value.next_step
    Path(f"{package}.sig").unlink()
    there.repository.add(package)
    with pytest.raises(IntegrityError, match="is not signed"):
        there.channel().refresh(there.progress)


def test_a_newer_keyring_replaces_the_one_in_use_an_older_never(there: Distribution) -> None:
    alice, bob, carol = (there.packager(name) for name in ("alice", "bob", "carol"))
    there.keyring(alice, bob, built=5)
    there.package("app", carol)
    channel = there.channel()
    with pytest.raises(IntegrityError, match="not in the keyring"):
        there.get(channel)
    there.keyring(bob, alice, carol, built=6, revoked=(alice,))
    there.get(channel)
    accepted = channel.keyring.accepted
    assert (
        accepted is not None
        and accepted.version == "6-1"
        and len(list((there.base / "cache/keys").glob("p*.gpg"))) == 1
    )
    assert {item.key.name[:5]: item.why for item in channel.keyring.keys()}["alice"] == "revoked"

    there.package("app", alice, built=2)
    with pytest.raises(IntegrityError, match=r"alice.*a key that was revoked"):
        there.get(channel)
    # alice, revoked, makes a keyring that doesn't know of it
    there.keyring(alice, bob, built=7)
    with pytest.raises(IntegrityError, match="which was revoked"):
        channel.refresh_keyring(there.progress)
    assert channel.keyring.accepted == accepted and any("keyring stays as it is" in note for note in there.notes)
    old = there.keyring(bob, alice, built=4)
    with pytest.raises(IntegrityError, match="is older than 6-1"):
        channel.keyring.accept(old, Path(f"{old}.sig"), "test-keyring")
    assert channel.keyring.accepted == accepted


def test_an_old_keyring_file_vouches_for_the_first_package(there: Distribution) -> None:
    """An old host: its keyring knows bob, not carol; no masters in the manifest."""
    bob, carol, eve = there.packager("bob"), there.packager("carol"), there.keys.key("eve")
    ring = there.keys.export(there.base / "old.gpg", *there.masters, bob)
    there.keyring(eve, carol)
    there.package("app", carol)
    with pytest.raises(IntegrityError, match="not in the keyring"):
        there.channel(trusted=(), keyring=ring).refresh(there.progress)
    there.keyring(bob, carol, built=2)
    channel = there.channel(trusted=(), keyring=ring)
    there.get(channel)
    # the file's -trusted and -revoked count where there are some
    (there.base / "old-trusted").write_text("".join(f"{key}:4:\n" for key in there.masters))
    plain = PacmanChannel(
        ChannelSpec("plain", "pacman", (f"{there.mirrors.url}/a",), keyring=ring), there.base / "plain"
    )
    assert {item.key.name[:3] for item in plain.keyring.keys() if item.trusted} >= {"bob", "m1 "}
    (there.base / "old-revoked").write_text(f"{bob}\n")
    assert [item.trusted for item in plain.keyring.keys() if item.key.fingerprint == bob] == [False]


def test_certifications_that_do_not_count(there: Distribution, tmp_path: Path) -> None:
    """Those of keys that are no masters, and of masters that were revoked."""
    keys = there.keys
    taken = keys.certified("taken", "m1", "m2", "m3")
    masters = (keys.key("m1"), keys.key("m2"), keys.certified("m9"))
    number = keys.certified("shaky", "m1", "m2", "m9")
    ring = [keys.export(tmp_path / "one.gpg", *masters, number, taken)]
    found = {key.name.split(" ")[0]: key for key in read_keys(ring, masters)}
    assert len(found["shaky"].certified_by) == 3 and len(found["taken"].certified_by) == 2
    keys.gpg("--quick-revoke-sig", number, masters[1])
    ring = [keys.export(tmp_path / "revoked.gpg", *masters, number)]
    assert len({key.fingerprint: key for key in read_keys(ring, masters)}[number].certified_by) == 2
    keys.revoke(masters[2])
    ring = [keys.export(tmp_path / "two.gpg", *masters, number)]
    found = {key.name.split(" ")[0]: key for key in read_keys(ring, masters)}
    assert found["m9"].revoked and len(found["shaky"].certified_by) == 1
    # the revocation stays known where an older copy is merged
    both = [*ring, keys.export(tmp_path / "three.gpg", masters[0], number)]
    assert len({key.name: key for key in read_keys(both, masters)}["shaky <shaky@example.org>"].certified_by) == 1


# commands


def rastos(there: Distribution, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    places = {"RASTOS_CACHE": str(there.base / "c"), "RASTOS_STATE": str(there.base / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "rastos", "package", *map(str, words)],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def declared(there: Distribution) -> Path:
    path = there.base / "packages.toml"
    path.write_text(
        f'[channels.test]\nkind = "pacman"\nserver = "{there.mirrors.url}/a"\nkeyring = "none.gpg"\n'
        f'keyring_package = "test-keyring"\ntrusted = {json.dumps(list(there.masters))}\n'
    )
    return path


def test_keys_list_refresh_trust(there: Distribution) -> None:
    alice, weak = there.packager("alice"), there.packager("weak", 2)
    there.keyring(alice, weak)
    manifest = declared(there)
    listing = rastos(there, "keys", "list", "--manifest", manifest)
    assert "there is no keyring" in listing.stderr
    assert "test-keyring" in rastos(there, "keys", "refresh", "--dry-run", "--manifest", manifest).stdout
    assert "a new keyring" in rastos(there, "keys", "refresh", "--manifest", manifest).stdout
    assert json.loads(rastos(there, "keys", "refresh", "--json", "--manifest", manifest).stdout) == {"test": False}
    rows = {
        row["fingerprint"]: row
        for row in json.loads(rastos(there, "keys", "list", "--json", "--manifest", manifest).stdout)
    }
    assert rows[alice]["trusted"] and rows[alice]["certified_by"] == 3 and rows[alice]["channel"] == "test"
    assert not rows[weak]["trusted"] and (rows[weak]["certified_by"], rows[weak]["needed"]) == (2, 3)
    assert "2 of 3" in rastos(there, "keys", "list", "--manifest", manifest).stdout

    rastos(there, "keys", "trust", weak, "--dry-run", "--manifest", manifest)
    short = rastos(there, "keys", "trust", weak[-16:], "--manifest", manifest, status=1)
    assert "40 hex digits" in short.stderr
    rastos(there, "keys", "trust", weak, "--manifest", manifest)
    rows = {
        row["fingerprint"]: row
        for row in json.loads(rastos(there, "keys", "list", "--json", "--manifest", manifest).stdout)
    }
    assert rows[weak]["trusted"] and rows[weak]["why"] == "by you"


def test_keys_import(there: Distribution) -> None:
    there.keyring(there.packager("alice"))
    manifest = declared(there)
    own, other = there.keys.key("own"), there.keys.key("other")
    file = there.keys.export(there.base / "own.gpg", own)
    refused = rastos(there, "keys", "import", file, "--manifest", manifest, status=1)
    assert "nobody can be asked" in refused.stderr and own[:4] in refused.stderr
    wrong = rastos(there, "keys", "import", file, "--fingerprint", other, "--manifest", manifest, status=1)
    assert "has no key" in wrong.stderr
    assert not (there.base / "c/channels/test/keys/own.json").exists()
    spaced = " ".join(own[at : at + 4] for at in range(0, 40, 4)).lower()
    rastos(there, "keys", "import", file, "--fingerprint", spaced, "--channel", "test", "--manifest", manifest)
    rows = json.loads(rastos(there, "keys", "list", "--json", "--manifest", manifest).stdout)
    assert [row["why"] for row in rows if row["fingerprint"] == own] == ["by you"]
    # what it signs is taken, before there is any keyring package and after
    there.package("app", own)
    rastos(there, "keys", "refresh", "--manifest", manifest)
    rows = json.loads(rastos(there, "keys", "list", "--json", "--manifest", manifest).stdout)
    assert len(rows) == 7 and [row["trusted"] for row in rows if row["fingerprint"] == own] == [True]
    both = there.keys.export(there.base / "both.gpg", own, other)
    many = rastos(there, "keys", "import", both, "--manifest", manifest, status=1)
    assert "holds 2 keys" in many.stderr


@pytest.mark.parametrize(("answer", "taken"), [(b"y\n", True), (b"n\n", False)])
def test_keys_import_asks_on_a_terminal(there: Distribution, answer: bytes, taken: bool) -> None:
    manifest, own = declared(there), there.keys.key("own")
    file = there.keys.export(there.base / "own.gpg", own)
    parent, child = pty.openpty()
    places = {"RASTOS_CACHE": str(there.base / "c"), "RASTOS_STATE": str(there.base / "state")}
    command = [sys.executable, "-m", "rastos", "package", "keys", "import", str(file), "--manifest", str(manifest)]
    with subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env={**os.environ, **places}, start_new_session=True
    ) as running:
        os.close(child)
        shown = b""
        while b"trust this key?" not in shown:
            shown += os.read(parent, 4096)
        os.write(parent, answer)
        try:
            while os.read(parent, 4096):
                pass
        except OSError:
            pass
    os.close(parent)
    assert " ".join(own[at : at + 4] for at in range(0, 40, 4)).encode() in shown
    assert (running.returncode == 0) == taken == (there.base / "c/channels/test/keys/own.json").exists()


def test_without_any_keyring_nothing_is_taken(there: Distribution) -> None:
    there.package("app", there.keys.key("own"))
    spec = ChannelSpec("test", "pacman", (f"{there.mirrors.url}/a",), keyring=there.base / "none.gpg")
    channel = PacmanChannel(spec, there.base / "cache")
    with pytest.raises(HostError, match="no keyring") as caught:
        there.get(channel)
    assert "keys import" in caught.value.next_step
