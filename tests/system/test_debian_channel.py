"""The debian channel against a small suite made, signed and tampered with here."""

from __future__ import annotations

import functools
import http.server
import io
import os
import random
import shutil
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard

from rastos.errors import HostError, IntegrityError, UserError
from rastos.package.channels import Wanted
from rastos.package.channels.debian import DebianChannel, encode, explicit
from rastos.progress import Progress
from tests.system.archive import Suite, suite, unpack, wanted, with_tools

__all__ = ["suite"]
pytestmark = with_tools


def desc(database: Path) -> dict[str, str]:
    data = zstandard.ZstdDecompressor().stream_reader(database.read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name.rsplit("-", 2)[0]: archive.extractfile(m).read().decode() for m in archive}  # type: ignore[union-attr]


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


def test_keys_of_a_newer_suite_come_from_one_that_is_trusted(suite: Suite, tmp_path: Path) -> None:
    """The host's keyring lacks the new key; the keyring package of its own suite has it. Nobody else may bring keys."""
    (tmp_path / "new/gnupg").mkdir(parents=True, mode=0o700)
    newer = Suite(tmp_path / "new", tmp_path / "new/gnupg")
    newer.gpg("--passphrase", "", "--quick-generate-key", "newer", "ed25519", "sign", "never")
    newer.keyring.write_bytes(newer.gpg("--export"))
    newer.deb("one", "1", {"usr/x": "x"})
    newer.publish()
    both = suite.keyring.read_bytes() + newer.keyring.read_bytes()
    suite.deb("debian-archive-keyring", "2", {"usr/share/keyrings/debian-archive-keyring.gpg": both})
    suite.publish()
    home = explicit(f"file://{suite.base / 'archive'}", ["toy"], ["main"], suite.keyring)
    sources = explicit(f"file://{newer.base / 'archive'}", ["toy"], ["main"], suite.keyring)
    channel = DebianChannel(tmp_path / "c1", sources, home=home)
    assert "one" in desc(channel.refresh(Progress()).path)
    shutil.rmtree(suite.base / "archive")
    assert DebianChannel(tmp_path / "c1", sources, home=home).refresh(Progress(), offline=True)
    other = explicit(f"file://{newer.base / 'archive'}", ["toy"], ["main"], tmp_path / "theirs.gpg")
    shutil.copy(suite.keyring, tmp_path / "theirs.gpg")
    with pytest.raises(IntegrityError, match="not signed") as refused:
        DebianChannel(tmp_path / "c2", other, home=home).refresh(Progress())
    assert "keyring" in refused.value.next_step
    suite.deb("debian-archive-keyring", "2", {"usr/share/keyrings/debian-archive-keyring.gpg": both})
    suite.publish(tamper="inrelease")
    with pytest.raises(IntegrityError):
        DebianChannel(tmp_path / "c3", sources, home=home).refresh(Progress())


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


class Slow(http.server.SimpleHTTPRequestHandler):
    """A line that gives every file its time."""

    rate = 1e6  # bytes a second, all connections together
    line = threading.Lock()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        while block := source.read(1 << 14):
            with self.line:
                time.sleep(len(block) / self.rate)
            outputfile.write(block)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_conversion_costs_nothing_on_a_slow_line(suite: Suite, tmp_path: Path) -> None:
    """Packages are converted while others come: the whole takes as long as the downloads and the last conversion."""
    chance = random.Random(1)
    names = [f"big{number}" for number in range(48)]
    for name in names:
        suite.deb(name, "1", {f"usr/{name}/{n}": chance.randbytes(20).hex() for n in range(250)})
    suite.publish()
    near = suite.channel()
    near.refresh(Progress())
    started = time.monotonic()
    near.fetch(wanted(near, *names), tmp_path / "b", Progress())
    local = time.monotonic() - started
    pool = suite.base / "archive/pool"
    size = sum(deb.stat().st_size for deb in pool.iterdir())
    download = 1.5 * local
    Slow.rate = size / download
    handler = functools.partial(Slow, directory=str(suite.base / "archive"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        slow = DebianChannel(tmp_path / "slow", explicit(uri, ["toy"], ["main"], suite.keyring))
        slow.refresh(Progress())
        started = time.monotonic()
        slow.fetch(wanted(slow, *names), tmp_path / "a", Progress())
        total = time.monotonic() - started
        server.shutdown()
    print(f"download {download:.2f} s, conversion {local:.2f} s, together {total:.2f} s")
    # one after the other it would be download + conversion
    assert total < download + local / 3
