"""The distribution's kernel as a package of ours: laid out anew, found again, refused where it is none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.kernel import BuiltKernel, built, distro_kernel, distro_request, plan_distribution
from rastos.package import LocalRepository, PackageMetadata, write_package
from rastos.package.channels.local import LocalChannel
from rastos.progress import Progress
from tests.conftest import need

RELEASE = "6.1.0-9-cloud-amd64"
NAME = f"linux-image-{RELEASE}"
FILES = {
    f"boot/vmlinuz-{RELEASE}": "MZ kernel",
    f"boot/config-{RELEASE}": "CONFIG_MODULES=y\nCONFIG_VIRTIO_BLK=m\n",
    f"boot/System.map-{RELEASE}": "map",
    f"usr/lib/modules/{RELEASE}/modules.builtin": "kernel/fs/ext4/ext4.ko\n",
    f"usr/lib/modules/{RELEASE}/modules.order": "",
    f"usr/share/doc/{NAME}/copyright": "GPL-2",
    "etc/kernel/postinst.d/initramfs": "#!/bin/sh\nexit 1\n",
}
Archive = Callable[..., LocalChannel]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A channel with Debian's two packages: the name, and what it names today."""
    need("bsdtar", "depmod")

    def make(version: str = "6.1.9-1", **files: str) -> LocalChannel:
        repository = LocalRepository(tmp_path / "archive", "debian")
        tree = tmp_path / f"tree-{version}"
        for path, text in (files or FILES).items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        (tree / f"usr/lib/modules/{RELEASE}").mkdir(parents=True, exist_ok=True)
        (tree / f"usr/lib/modules/{RELEASE}/build").symlink_to(f"/usr/src/linux-headers-{RELEASE}")
        empty = tmp_path / f"empty-{version}"
        empty.mkdir()
        meta = {"description": "Linux", "arch": "x86_64", "builddate": 1_700_000_000}
        image = PackageMetadata(name=NAME, version=version, **meta)  # type: ignore[arg-type]
        names = PackageMetadata(name="linux-image-cloud-amd64", version=version, depends=(f"{NAME}={version}",), **meta)  # type: ignore[arg-type]
        for metadata, root in ((image, tree), (names, empty)):
            repository.add(write_package(metadata, root, tmp_path, epoch=1_700_000_000))
        return LocalChannel(repository)

    return make


def take(channel: LocalChannel, place: Path, package: str = "") -> BuiltKernel:
    repository = LocalRepository(place / "repository")
    plan = plan_distribution([channel], repository, place / "cache", Progress(), package=package)
    return distro_kernel(plan, [channel], repository, place / "cache", Progress())


def listing(package: Path, place: Path) -> set[str]:
    place.mkdir()
    subprocess.run(["bsdtar", "-xf", package, "-C", place], check=True)
    return {path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir()}


def test_it_is_laid_out_as_one_built_here(archive: Archive, tmp_path: Path) -> None:
    kernel = take(archive(), tmp_path)
    assert (kernel.name, kernel.profile, kernel.release) == ("linux-rastos-distro", "distro", RELEASE)
    assert kernel.source == f"{NAME} 6.1.9-1"
    there = listing(kernel.package, tmp_path / "unpacked")
    modules = f"usr/lib/modules/{RELEASE}"
    assert {f"{modules}/{name}" for name in ("vmlinuz", "config", "pkgbase", "rastos.json", "modules.dep")} <= there
    assert not [name for name in there if name.startswith(("boot/", "etc/")) or name.endswith(("/build", ".INSTALL"))]
    assert (tmp_path / "unpacked" / modules / "pkgbase").read_text() == "linux-rastos-distro\n"
    facts = json.loads((tmp_path / "unpacked" / modules / "rastos.json").read_text())
    assert facts == {"profile": "distro", "initramfs": [], "command_line": ""}
    assert "CONFIG_VIRTIO_BLK=m" in kernel.config.read_text()


def test_it_is_taken_once_and_again_when_there_is_a_newer_one(archive: Archive, tmp_path: Path) -> None:
    channel = archive()
    first = take(channel, tmp_path)
    again = take(channel, tmp_path)
    assert again.cached and again.package == first.package
    assert [item.name for item in built(tmp_path / "cache", LocalRepository(tmp_path / "repository"))] == [first.name]
    channel = archive("6.1.10-1")
    newer = take(channel, tmp_path)
    assert not newer.cached and newer.version == "6.1.10_1-1"
    elsewhere = take(channel, tmp_path / "elsewhere")
    assert elsewhere.package.read_bytes() == newer.package.read_bytes(), "same package, same bytes"


def test_another_of_its_kernels_has_another_name(archive: Archive, tmp_path: Path) -> None:
    channel = archive()
    kernel = take(channel, tmp_path, package=NAME)
    assert (kernel.name, kernel.profile) == (f"linux-rastos-distro-{RELEASE}", f"distro-{RELEASE}")
    assert take(channel, tmp_path).name == "linux-rastos-distro", "both are there"
    with pytest.raises(UserError, match="no channel has linux-image-rt-amd64"):
        take(channel, tmp_path, package="linux-image-rt-amd64")


@pytest.mark.parametrize(
    ("without", "message"), [("boot/vmlinuz", "no kernel image"), ("usr/lib/modules", "no modules of one kernel")]
)
def test_what_is_no_kernel_is_refused(archive: Archive, tmp_path: Path, without: str, message: str) -> None:
    files = {name: text for name, text in FILES.items() if not name.startswith(without)}
    channel = archive(**files)
    if without == "usr/lib/modules":
        other = PackageMetadata(name="linux", version="1-1", description="none", arch="x86_64")
        (tmp_path / "none").mkdir()
        channel.repository.add(write_package(other, tmp_path / "none", tmp_path, epoch=0))
    with pytest.raises(IntegrityError, match=message):
        take(channel, tmp_path, package="linux" if without == "usr/lib/modules" else "")
    assert not (tmp_path / "repository").exists(), "nothing is added"
    assert not list((tmp_path / "cache/work").glob("*/*"))


def test_how_it_is_named() -> None:
    assert distro_request("container") is None and distro_request("distro-amd64") is None
    assert distro_request("distro") == "" and distro_request("distro:linux-image-amd64") == "linux-image-amd64"
    for wrong in ("distro:", "distro:../x", "distro:a b"):
        with pytest.raises(UserError, match="can't be the name"):
            distro_request(wrong)
