"""A small Debian suite made, signed and published on the spot, and a tree its maintainer scripts can run in."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import pytest
import zstandard

from rastos.package.channels import Wanted
from rastos.package.channels.debian import DebianChannel, explicit
from rastos.progress import Progress

TOOLS = ("dpkg-deb", "gpg", "gpgv", "ar")
_MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
if _MISSING and os.environ.get("CI"):
    raise RuntimeError(f"missing on a CI machine: {_MISSING}")
with_tools = pytest.mark.skipif(bool(_MISSING), reason=f"install dpkg-dev, gnupg, gpgv, binutils for {_MISSING}")


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
        self,
        name: str,
        version: str,
        tree: Mapping[str, str | bytes],
        scripts: dict[str, str] | None = None,
        **fields: str,
    ) -> Path:
        work = self.base / "work" / name
        shutil.rmtree(work, ignore_errors=True)
        (work / "DEBIAN").mkdir(parents=True)
        values = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "T <t@example.org>"}
        values |= {key.replace("_", "-"): value for key, value in fields.items()} | {"Description": f"toy {name}"}
        (work / "DEBIAN/control").write_text("".join(f"{k}: {v}\n" for k, v in values.items()))
        for path, content in tree.items():
            (work / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                (work / path).write_bytes(content)
            elif content.startswith("-> "):
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


def unpack(package: Path, root: Path) -> dict[str, tarfile.TarInfo]:
    data = zstandard.ZstdDecompressor().stream_reader(package.read_bytes(), read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(root)
        return {m.name: m for m in archive}


class Tree:
    """A root that maintainer scripts can run in: the host's shell, and its libraries, bound to nothing else."""

    def __init__(self, suite: Suite, root: Path) -> None:
        self.suite, self.root = suite, root
        self.into = suite.base / "into"
        for program in ("sh", "cat", "mkdir", "rm", "mv", "dpkg-divert", "dpkg"):
            found = Path(str(shutil.which(program))).resolve()
            self.copy(found, f"usr/bin/{program}")
        for folder in ("bin", "lib", "lib64"):
            (root / "usr" / folder).mkdir(parents=True, exist_ok=True)
            (root / folder).symlink_to(f"usr/{folder}")
        (root / "usr/lib64").mkdir(exist_ok=True)
        for program in list((root / "usr/bin").iterdir()):
            lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout.splitlines()
            for word in (word for line in lines for word in line.split() if word.startswith("/")):
                target = word.removeprefix("/usr")
                self.copy(Path(word).resolve(), f"usr{target}")

    def copy(self, source: Path, path: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, self.root / path)

    def install(self, *names: str, channel: DebianChannel | None = None) -> DebianChannel:
        """As a transaction does it, with a plain unpacking in the place of libalpm's."""
        channel = channel or self.suite.channel()
        channel.refresh(Progress())
        want = wanted(channel, *names)
        channel.fetch(want, self.into, Progress())
        channel.before_unpacking(self.root, names, Progress())
        for item in want:
            unpack(self.into / item.filename, self.root)
        channel.configure(self.root, names, Progress())
        return channel

    def text(self, path: str) -> str:
        return (self.root / path).read_text()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="run as root: the scripts run in a chroot")


@pytest.fixture
def tree(suite: Suite, tmp_path: Path) -> Tree:
    return Tree(suite, tmp_path / "root")
