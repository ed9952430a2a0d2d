"""The debian channel against a small suite made, signed and tampered with here."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest
import zstandard

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.package.channels import Wanted
from rastos.package.channels.debian import DebianChannel, encode, explicit
from rastos.progress import Progress

TOOLS = ("dpkg-deb", "gpg", "gpgv", "ar")
_MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
if _MISSING and os.environ.get("CI"):
    raise RuntimeError(f"missing on a CI machine: {_MISSING}")
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"install dpkg-dev, gnupg, gpgv, binutils for {_MISSING}")


@dataclass
class Suite:
    """A suite on disk, published again after every change."""

    base: Path
    home: Path

    @property
    def keyring(self) -> Path:
        return self.base / "keyring.gpg"

    @property
    def dists(self) -> Path:
        return self.base / "archive/dists/toy"

    def gpg(self, *arguments: str | Path) -> bytes:
        argv = ["gpg", "--homedir", self.home, "--batch", "--yes", "--quiet", *arguments]
        return subprocess.run(argv, check=True, capture_output=True).stdout

    def deb(
        self, name: str, version: str, tree: dict[str, str], scripts: dict[str, str] | None = None, **fields: str
    ) -> Path:
        work = self.base / "work" / name
        shutil.rmtree(work, ignore_errors=True)
        (work / "DEBIAN").mkdir(parents=True)
        values = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "T <t@example.org>"}
        values |= {key.replace("_", "-"): value for key, value in fields.items()} | {"Description": f"toy {name}"}
        (work / "DEBIAN/control").write_text("".join(f"{k}: {v}\n" for k, v in values.items()))
        for path, content in tree.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                (work / path).symlink_to(content[3:])
            else:
                (work / path).write_text(content)
        for script, text in (scripts or {}).items():
            (work / "DEBIAN" / script).write_text(text)
            (work / "DEBIAN" / script).chmod(0o755 if text.startswith("#!") else 0o644)
        target = self.base / "archive/pool" / f"{name}.deb"
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-b", work, target], check=True, capture_output=True)
        return target

    def publish(self, *, valid_for: float = 3600, tamper: str = "", date: float = 0) -> None:
        stanzas = []
        for deb in sorted((self.base / "archive/pool").iterdir()):
            control = subprocess.run(["dpkg-deb", "-f", deb], check=True, capture_output=True, text=True).stdout
            digest = hashlib.sha256(deb.read_bytes()).hexdigest()
            stanzas.append(f"{control}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
        packages = gzip.compress("\n".join(stanzas).encode(), mtime=0)
        path = self.dists / "main/binary-amd64/Packages.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packages + (b"tampered" if tamper == "packages" else b""))
        now = time.time()
        release = self.base / "Release"
        digest = hashlib.sha256(packages).hexdigest()
        release.write_text(
            f"Suite: toy\nCodename: toy\nDate: {formatdate(now + date)}\nValid-Until: {formatdate(now + valid_for)}\n"
            f"Components: main\nSHA256:\n {digest} {len(packages)} main/binary-amd64/Packages.gz\n"
        )
        self.gpg("--clearsign", "-o", self.dists / "InRelease", release)
        if tamper == "inrelease":
            signed = self.dists / "InRelease"
            signed.write_text(signed.read_text().replace("Components: main", "Components: evil"))

    def channel(self, cache: str = "cache") -> DebianChannel:
        uri = f"file://{self.base / 'archive'}"
        return DebianChannel(self.base / cache, explicit(uri, ["toy"], ["main"], self.keyring))


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Suite]:
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    made = Suite(tmp_path, home)
    made.gpg("--passphrase", "", "--quick-generate-key", "toy", "ed25519", "sign", "never")
    made.keyring.write_bytes(made.gpg("--export"))
    yield made
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "gpg-agent"], check=False)


def wanted(channel: DebianChannel, *names: str) -> list[Wanted]:
    return [Wanted(r.name, r.version, r.filename) for r in channel.records(names).values()]


def desc(database: Path) -> dict[str, str]:
    data = zstandard.ZstdDecompressor().stream_reader(database.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name.rsplit("-", 2)[0]: archive.extractfile(m).read().decode() for m in archive}  # type: ignore[union-attr]


def unpack(package: Path, root: Path) -> dict[str, tarfile.TarInfo]:
    data = zstandard.ZstdDecompressor().stream_reader(package.read_bytes(), read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(root)
        return {m.name: m for m in archive}


def test_index_and_cache(suite: Suite) -> None:
    suite.deb("one", "1:2.0-1", {"usr/x": "x"}, Depends="two (>= 1.0) | three, two", Breaks="old (<< 3)")
    suite.deb("two", "1.0~rc1", {"usr/y": "y"}, Provides="virtual")
    suite.deb("three", "1", {"usr/z": "z"})
    suite.publish()
    channel = suite.channel()
    database = channel.refresh(Progress())
    found = desc(database.path)
    group = f"any:two{{ge}}{encode('1.0')}|three"
    assert f"%DEPENDS%\n{group}\ntwo\n" in found["one"] and f"%CONFLICTS%\nold<{encode('3')}\n" in found["one"]
    assert "%PROVIDES%\nvirtual\n\n" in found["two"], "1.0~rc1 does not satisfy >= 1.0"
    assert group in found["three"]
    before = database.path.stat().st_mtime_ns
    assert channel.refresh(Progress()).path.stat().st_mtime_ns == before
    shutil.rmtree(suite.base / "archive")
    assert suite.channel().refresh(Progress(), offline=True).path == database.path


def test_offline_without_cache(suite: Suite) -> None:
    with pytest.raises(HostError):
        suite.channel().refresh(Progress(), offline=True)


@pytest.mark.parametrize("tamper", ["packages", "inrelease"])
def test_tampered_index_keeps_the_old_one(suite: Suite, tamper: str) -> None:
    suite.deb("one", "1", {"usr/x": "x"})
    suite.publish()
    old = suite.channel().refresh(Progress()).path
    content = old.read_bytes()
    suite.deb("one", "2", {"usr/x": "x"})
    suite.publish(tamper=tamper)
    with pytest.raises(IntegrityError):
        suite.channel().refresh(Progress())
    assert old.read_bytes() == content


def test_wrong_key(suite: Suite, tmp_path: Path) -> None:
    suite.deb("one", "1", {"usr/x": "x"})
    suite.publish()
    other = Suite(tmp_path, tmp_path / "other")
    other.home.mkdir(mode=0o700)
    other.gpg("--passphrase", "", "--quick-generate-key", "other", "ed25519", "sign", "never")
    suite.keyring.write_bytes(other.gpg("--export"))
    with pytest.raises(IntegrityError, match="not signed"):
        suite.channel().refresh(Progress())


def test_expired_and_replayed(suite: Suite) -> None:
    suite.deb("one", "1", {"usr/x": "x"})
    suite.publish(valid_for=-10)
    with pytest.raises(IntegrityError, match="expired"):
        suite.channel().refresh(Progress())
    suite.publish()
    suite.channel().refresh(Progress())
    suite.publish(date=-5000)
    with pytest.raises(IntegrityError, match="older"):
        suite.channel().refresh(Progress())


def test_conversion(suite: Suite, tmp_path: Path) -> None:
    tree = {
        "bin/tool": "tool",
        "lib/demo/lib.so.1": "lib",
        "usr/lib/demo/lib.so": "-> ../../../lib/demo/lib.so.1",
        "lib/demo/data": "-> ../../usr/share/demo",
        "usr/bin/tool": "-> /bin/tool",
        "usr/share/demo/climb": "-> ../../../../../../etc/passwd",
        "etc/demo.conf": "a=1\n",
    }
    suite.deb(
        "demo",
        "1.0-1",
        tree,
        {"conffiles": "/etc/demo.conf\n", "postinst": "#!/bin/sh\n"},
        Architecture="amd64",
        Multi_Arch="same",
    )
    suite.publish()
    channel = suite.channel()
    channel.refresh(Progress())
    (want,) = wanted(channel, "demo")
    channel.fetch([want], tmp_path / "a", Progress())
    suite.channel("other").refresh(Progress())
    suite.channel("other").fetch([want], tmp_path / "b", Progress())
    assert (tmp_path / "a" / want.filename).read_bytes() == (tmp_path / "b" / want.filename).read_bytes()
    root = tmp_path / "root"
    found = unpack(tmp_path / "a" / want.filename, root)
    assert not [name for name in found if name.split("/")[0] in ("bin", "lib")]
    assert (root / "usr/bin/tool").read_text() == "tool"
    assert (root / "usr/lib/demo/lib.so").read_text() == "lib"
    assert os.readlink(root / "usr/lib/demo/data") == "../../share/demo"
    assert os.readlink(root / "usr/share/demo/climb") == "../../../etc/passwd"
    assert "backup = etc/demo.conf\n" in (root / ".PKGINFO").read_text()
    assert "/bin/tool\n" in (root / "var/lib/dpkg/info/demo:amd64.list").read_text()


def data_deb(suite: Suite, members: list[tarfile.TarInfo]) -> None:
    """Replace the data of a good package by these members."""
    deb = suite.deb("evil", "1", {"usr/x": "x"})
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"!" * member.size) if member.isreg() else None)
    work = suite.base / "ar"
    work.mkdir()
    subprocess.run(["ar", "x", deb], check=True, cwd=work)
    (control,) = work.glob("control.tar*")
    (work / "data.tar").write_bytes(data.getvalue())
    deb.unlink()
    subprocess.run(["ar", "rcS", deb, "debian-binary", control.name, "data.tar"], check=True, cwd=work)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../../evil", size=3)],
        [member("./usr/../../evil", size=3)],
        [member("/etc/evil", size=3)],
        [member("usr/link", tarfile.SYMTYPE, "/etc"), member("usr/link/evil", size=3)],
        [member("usr/hard", tarfile.LNKTYPE, "../../etc/shadow")],
        [member("usr/hard", tarfile.LNKTYPE, "/etc/shadow")],
        [member("usr/hard", tarfile.LNKTYPE, "etc/shadow")],
        [member("dev/sda", tarfile.BLKTYPE)],
        [member("usr/pipe", tarfile.FIFOTYPE)],
        [member("usr/twice", size=3), member("usr/twice", tarfile.SYMTYPE, "x")],
    ],
)
def test_hostile_package(suite: Suite, tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    data_deb(suite, members)
    suite.publish()
    channel = suite.channel()
    channel.refresh(Progress())
    with pytest.raises(IntegrityError):
        channel.fetch(wanted(channel, "evil"), tmp_path / "into", Progress())
    assert list((tmp_path / "into").iterdir()) == []
    assert not list((suite.base / "cache/converted").rglob("*.zst"))


def test_changed_package_is_refused(suite: Suite, tmp_path: Path) -> None:
    deb = suite.deb("one", "1", {"usr/x": "x"})
    suite.publish()
    channel = suite.channel()
    channel.refresh(Progress())
    want = wanted(channel, "one")
    deb.write_bytes(deb.read_bytes()[:-1] + b"X")
    with pytest.raises(IntegrityError):
        channel.fetch(want, tmp_path / "into", Progress())
    with pytest.raises(UserError, match="index"):
        channel.fetch([Wanted("gone", "b1bb00b-1", "gone-b1bb00b-1-any.pkg.tar.zst")], tmp_path / "into", Progress())


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: the scripts run in a chroot")
def test_maintainer_scripts(suite: Suite, tmp_path: Path) -> None:
    log = 'echo $DPKG_MAINTSCRIPT_PACKAGE "$@" >> /order\n'
    policy = "test -x /usr/sbin/policy-rc.d\n"
    suite.deb("app", "1", {"usr/app/x": "x"}, {"postinst": "#!/bin/sh\nset -e\n" + policy + log}, Depends="lib")
    triggers = {"postinst": "#!/bin/sh\n" + log, "triggers": "interest-noawait /usr/app\n"}
    suite.deb("lib", "1", {"usr/lib2/x": "x"}, triggers)
    suite.publish()
    channel = suite.channel()
    channel.refresh(Progress())
    channel.fetch(wanted(channel, "app", "lib"), tmp_path / "into", Progress())
    root = tmp_path / "root"
    for package in sorted((tmp_path / "into").iterdir()):
        unpack(package, root)
    for name in ("/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
        (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, root / name[1:])
    channel.configure(root, ["app", "lib"], Progress())
    assert (root / "order").read_text() == "lib configure \napp configure \nlib triggered /usr/app\n"
    status = (root / "var/lib/dpkg/status").read_text()
    assert status.count("Status: install ok installed") == 2
    assert not (root / "usr/sbin/policy-rc.d").exists()
    channel.configure(root, [], Progress())
    assert (root / "order").read_text().count("\n") == 3, "nothing runs twice"
    (root / "var/lib/dpkg/info/app.postinst").write_text("#!/bin/sh\necho it broke\nexit 7\n")
    with pytest.raises(ExternalError, match="postinst script of app failed") as failed:
        channel.configure(root, ["app"], Progress())
    assert failed.value.status == 7 and "it broke" in failed.value.tail
    assert str(root) not in Path("/proc/self/mounts").read_text()
