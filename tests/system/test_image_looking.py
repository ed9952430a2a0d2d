"""Looking into images made here: what they hold, what differs, files out and in, and the same image twice."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rastos.cli.app import run as run_rastos
from rastos.errors import UserError
from rastos.host import sha256_file
from rastos.installer import (
    ImageReference,
    build_again,
    compare_builds,
    copy_from_image,
    copy_into_image,
    image_difference,
    image_manifest,
    inspect_image,
    list_image,
    opened_snapshot,
    read_from_image,
)
from rastos.installer import inspect as inspecting
from rastos.progress import Progress
from rastos.snapshot import create_session
from tests.conftest import ROOT
from tests.system.test_image_create import Workshop, shop

__all__ = ["shop"]
Typed = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def original(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image nobody changes."""
    return shop.create(tmp_path_factory.mktemp("original") / "tiny.raw", format="raw").path


@pytest.fixture
def image(original: Path, tmp_path: Path) -> Path:
    place = tmp_path / "tiny.raw"
    subprocess.run(["cp", "--sparse=always", original, place], check=True)
    return place


@pytest.fixture
def rastos(capfd: pytest.CaptureFixture[str]) -> Typed:
    def typed(*words: str | Path, status: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        assert run_rastos([str(word) for word in words]) == status
        out = capfd.readouterr()
        return out.out, out.err

    return typed


def content(reference: ImageReference, path: str) -> bytes:
    stream = io.BytesIO()
    read_from_image(reference, path, stream)
    return stream.getvalue()


def hostile(image: Path, tmp_path: Path) -> None:
    """A snapshot with links that want out, and things that are no files."""
    (tmp_path / "secret").write_text("the host's")
    with opened_snapshot(ImageReference(image), writable=True, purpose="test") as opened:
        with create_session(opened.store, 0, "test") as session:
            folder = session.tree / "usr/share/trap"
            folder.mkdir()
            (folder / "out").symlink_to(tmp_path)
            (folder / "climb").symlink_to("../" * 20 + str(tmp_path / "secret").lstrip("/"))
            (folder / "root").symlink_to("/usr/share/zoneinfo/UTC")
            (folder / "\x1b[2Jname").write_text("x")
            (folder / os.fsdecode(b"no\xffutf8")).write_text("x")
            os.mkfifo(folder / "pipe")
            os.mknod(folder / "disk", stat.S_IFBLK | 0o666, os.makedev(8, 0))
            (folder / "strong").write_text("#!")
            (folder / "strong").chmod(0o4755)
            session.commit("hostile")


def test_the_manifest_names_every_package_with_its_file(shop: Workshop, original: Path) -> None:
    found = image_manifest(ImageReference(original), Progress())
    packages = {part.name: part for part in found.packages}
    assert set(packages) == {"system", "linux-rastos-tiny", "rastos-init"}
    for name, part in packages.items():
        local = shop.repository.find(name)
        assert local is not None
        assert (part.version, part.channel) == (local.version, "rastos-local")
        assert (part.file_sha256, part.file_size) == (sha256_file(local.path), local.path.stat().st_size)
    assert packages["system"].reason == "explicit" and packages["system"].purl.startswith("pkg:alpm/rastos/system@1-1")
    assert found.profile == "tiny" and found.kernel.package == "pkgbase" and len(found.tree_digest) == 64
    assert found.kernel.sha256 == hashlib.sha256(b"vmlinuz").hexdigest()
    assert [part.name for part in found.partitions] == ["esp", "root"]
    assert [(item.number, item.state) for item in found.deployments] == [(1, "new")]
    assert f"root=PARTUUID={found.partitions[1].uuid}" in found.deployments[0].command_line


def test_manifest_and_bill_on_the_command_line(original: Path, tmp_path: Path, rastos: Typed) -> None:
    value = json.loads(rastos("image", "manifest", original, "--json")[0])
    assert [part["name"] for part in value["packages"]] == ["linux-rastos-tiny", "rastos-init", "system"]
    assert "system" in rastos("image", "manifest", original)[0]
    for kind, key in (("spdx", "packages"), ("cyclonedx", "components")):
        place = tmp_path / f"{kind}.json"
        rastos("image", "sbom", original, "--format", kind, "--output", place)
        assert {item["name"] for item in json.loads(place.read_text())[key]} >= {"system", "linux-rastos-tiny"}
        assert json.loads(rastos("image", "sbom", original, "--format", kind)[0]) == json.loads(place.read_text())


def test_files_are_those_of_the_machine_or_of_a_snapshot(image: Path) -> None:
    machine, snapshot = ImageReference(image), ImageReference(image, "0")
    with opened_snapshot(machine, writable=True, purpose="test") as opened:
        (opened.store.deployment_path(1) / "etc/hostname").write_text("changed\n")
        (opened.store.top / "state/var/lib/grown").write_text("grown\n")
    assert content(machine, "/etc/hostname") == b"changed\n"
    assert content(snapshot, "/etc/hostname") == b"rastos\n"
    assert content(machine, "var/lib/grown") == b"grown\n"
    assert "grown" not in [entry.path.rpartition("/")[2] for entry in list_image(snapshot, "/var/lib")]
    names = {entry.path: entry for entry in list_image(machine, "/etc")}
    assert names["/etc/shadow"].owner == "root" and names["/etc/shadow"].kind == "file"
    assert names["/etc/localtime"].target == "/usr/share/zoneinfo/UTC"
    assert [entry.path for entry in list_image(machine, "/etc/localtime")] == ["/etc/localtime"], "the link itself"
    assert "/usr/bin/systemctl" in {entry.path for entry in list_image(machine, "/usr", recursive=True)}
    with pytest.raises(UserError, match="has no /none"):
        list_image(machine, "/none")
    with pytest.raises(UserError, match="is a folder"):
        content(machine, "/etc")


def test_hostile_links_lead_nowhere(image: Path, tmp_path: Path, rastos: Typed) -> None:
    hostile(image, tmp_path)
    trap = ImageReference(image, "1")
    for path in ("out/secret", "climb"):
        with pytest.raises(UserError, match="has no"):
            content(trap, f"/usr/share/trap/{path}")
    assert content(trap, "/usr/share/trap/root") == b"TZif"
    with pytest.raises(UserError, match="is a pipe"):
        content(trap, "/usr/share/trap/pipe")
    kinds = {entry.path.rpartition("/")[2]: entry.kind for entry in list_image(trap, "/usr/share/trap")}
    assert kinds["disk"] == "block device" and kinds["out"] == "link"
    listed = rastos("image", "ls", f"{image}:1", "/usr/share/trap")[0]
    assert "\x1b" not in listed and "out -> " in listed
    assert "no\\udcffutf8" in listed
    names = [entry["path"] for entry in json.loads(rastos("image", "ls", f"{image}:1", "/usr/share/trap", "--json")[0])]
    assert os.fsdecode(b"/usr/share/trap/no\xffutf8") in names
    assert "\x1b" not in rastos("image", "diff", f"{image}:0", f"{image}:1", status=1)[0]
    copied = copy_from_image(trap, "/usr/share/trap", tmp_path / "copy")
    assert sorted(path for path, _ in copied.left_out) == ["/usr/share/trap/disk", "/usr/share/trap/pipe"]
    assert os.readlink(tmp_path / "copy/out") == str(tmp_path), "a link is copied as one"
    assert stat.S_IMODE((tmp_path / "copy/strong").stat().st_mode) == 0o755, "nobody's rights come out with it"
    copy_from_image(trap, "/usr/share/trap/strong", tmp_path / "strong", owners=True)
    assert stat.S_IMODE((tmp_path / "strong").stat().st_mode) == 0o4755
    with pytest.raises(UserError, match="is a pipe"):
        copy_from_image(trap, "/usr/share/trap/pipe", tmp_path / "pipe")
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".tiny.raw.lock"], "nothing half-made is left"


def test_files_out(original: Path, tmp_path: Path) -> None:
    reference = ImageReference(original)
    copied = copy_from_image(reference, "/usr/lib/systemd", tmp_path)
    assert copied.target == str(tmp_path / "systemd")
    assert (tmp_path / "systemd/system/example.service").read_text() == "[Service]\n"
    copy_from_image(reference, "/etc/hostname", tmp_path / "name")
    with pytest.raises(UserError, match="something of that name"):
        copy_from_image(reference, "/etc/hosts", tmp_path / "name")
    assert (tmp_path / "name").read_text() == "rastos\n"
    copy_from_image(reference, "/etc/hosts", tmp_path / "name", force=True)
    assert "localhost" in (tmp_path / "name").read_text()
    with pytest.raises(UserError, match="folder of that name"):
        copy_from_image(reference, "/usr/lib/systemd", tmp_path, force=True)
    with pytest.raises(UserError, match="no such folder"):
        copy_from_image(reference, "/etc/hosts", tmp_path / "none/name")


def test_files_in_make_a_snapshot_or_change_the_state(image: Path, tmp_path: Path, rastos: Typed) -> None:
    (tmp_path / "site.conf").write_bytes(b"\0\xff binary")
    reference = ImageReference(image)
    copied = copy_into_image(tmp_path / "site.conf", reference, "/etc/")
    assert copied.snapshot == 1 and content(ImageReference(image, "1"), "/etc/site.conf") == b"\0\xff binary"
    found = inspect_image(image)
    assert found.snapshots[1].parent == 0 and found.next == 1, "nothing is deployed by it"
    assert found.snapshots[1].intent.files
    with pytest.raises(UserError, match="no /etc/site.conf"):
        content(reference, "/etc/site.conf")
    said = rastos("image", "cp", tmp_path / "site.conf", f"{image}:/var/lib/site.conf")
    assert "no snapshot" in said[1] and len(inspect_image(image).snapshots) == 2
    assert content(reference, "/var/lib/site.conf") == b"\0\xff binary"
    with pytest.raises(UserError, match="something of that name"):
        copy_into_image(tmp_path / "site.conf", reference, "/etc/shadow")
    made = copy_into_image(tmp_path / "site.conf", reference, "/etc/shadow", force=True)
    before = {entry.path: entry for entry in list_image(reference, "/etc")}["/etc/shadow"]
    after = {entry.path: entry for entry in list_image(ImageReference(image, str(made.snapshot)), "/etc")}
    assert (after["/etc/shadow"].mode, after["/etc/shadow"].uid) == (before.mode, before.uid)
    assert len(inspect_image(image).sessions) == 0


def test_cat_is_byte_for_byte(original: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run_rastos(["image", "cat", f"{original}:/usr/bin/systemctl"]) == 0
    out = capfdbinary.readouterr().out
    assert out[:4] == b"\x7fELF" and out == content(ImageReference(original), "/usr/bin/systemctl")


def test_difference_and_its_status(shop: Workshop, original: Path, tmp_path: Path, rastos: Typed) -> None:
    assert "no difference" in rastos("image", "diff", original, f"{original}")[0]
    shop.package("extra", {"usr/share/extra/file": "extra"})
    modules = "usr/lib/modules/6.2-other"
    files: dict[str, str | Path] = {f"{modules}/{name}": name for name in ("vmlinuz", "pkgbase", "kernel/.keep")}
    files |= {f"{modules}/modules.{name}": "" for name in ("order", "builtin")}
    shop.package("linux-rastos-other", {**files, f"{modules}/config": "CONFIG_BTRFS_FS=y\n"}, version="6.2-1")
    changes = {
        "hostname": "other",
        "size": 600 << 20,
        "cmdline": "quiet",
        "kernel": "other",
        "mask": ("example.service",),
    }
    other = shop.create(tmp_path / "other.raw", format="raw", packages=("extra",), **changes).path
    value: dict[str, Any] = json.loads(rastos("image", "diff", original, other, "--json", status=1)[0])
    found = value["difference"]
    assert value["same"] is False
    named = [item["name"] for item in found["packages"]]
    assert named == ["extra", "linux-rastos-other", "linux-rastos-tiny"]
    assert {"name": "release", "before": "6.1-tiny", "after": "6.2-other"} in found["kernel"]
    assert [(item["name"].removeprefix("CONFIG_"), item["after"]) for item in found["config"]] == [("BTRFS_FS", "y")]
    assert [item["name"] for item in found["partitions"]] == ["root"]
    assert {item["name"] for item in found["command_line"]} >= {"quiet", "console"}
    assert {(item["path"], item["what"]) for item in found["etc"]} >= {("etc/hostname", "changed")}
    assert ("usr/share/extra", "added") in {(item["path"], item["what"]) for item in found["files"]}
    assert all(not item["path"].startswith("usr/lib/sysimage/pacman") for item in found["files"])
    text = rastos("image", "diff", original, other, "--path", "/usr/share/extra/file", status=1)[0]
    assert "+ /usr/share/extra/file" in text and "hostname" not in text
    assert "no difference" in rastos("image", "diff", original, other, "--path", "/usr/bin")[0]
    with pytest.raises(UserError, match="no part"):
        image_difference(ImageReference(original), ImageReference(other), Progress(), only=("nothing",))
    with pytest.raises(UserError, match="neither image"):
        image_difference(ImageReference(original), ImageReference(other), Progress(), path="/none", only=("files",))


def test_a_look_without_root(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = inspect_image(original)
    monkeypatch.setattr(inspecting.Privilege, "current", lambda: inspecting.Privilege(1000, False))
    found = inspect_image(original)
    assert whole.complete and not found.complete and found.snapshots == ()
    assert (found.partitions, found.entries, found.next) == (whole.partitions, whole.entries, whole.next)
    assert (found.size, found.esp_free, found.esp_size) == (whole.size, whole.esp_free, whole.esp_size)
    assert (found.encrypted, found.mirrored) == (whole.encrypted, whole.mirrored) == (False, False)
    part = whole.partitions[1]
    with open(original.with_name("luks.raw"), "wb") as stream:  # as much of an encrypted one as can be seen
        stream.write(original.read_bytes()[: part.start] + b"LUKS\xba\xbe\x00\x02" + bytes(4096))
        stream.truncate(whole.size)
    assert inspect_image(original.with_name("luks.raw")).encrypted
    assert found.entries[0].starts and "root=PARTUUID=" in found.entries[0].options


def test_the_same_image_twice(shop: Workshop, tmp_path: Path) -> None:
    plan = shop.plan(tmp_path / "one.raw", format="raw", ssh_keys=())
    first = shop.create(tmp_path / "one.raw", format="raw").path
    again = build_again(plan, shop.channels, first, cache=shop.cache, progress=Progress())
    assert again.identical, again
    assert again.tree_digests[0] == again.tree_digests[1]
    # what must not pass unseen: another content, another time, another byte on the ESP
    other = shop.create(tmp_path / "two.raw", format="raw", hostname="other").path
    compared = compare_builds(first, other, Progress())
    assert not compared.identical and not compared.table
    assert {"tree/etc/hostname", "etc/hostname"} <= {item.path for item in compared.paths}
    with opened_snapshot(ImageReference(first), writable=True, purpose="test") as opened:
        opened.image.esp.write("/loader/loader.conf", b"timeout 9\n")
        os.utime(opened.store.top / "state/var", ns=(1, 1))
    compared = compare_builds(first, tmp_path / "two.raw", Progress())
    assert not compared.esp
    assert replace(compared, table=True, esp=True, paths=(), times=("tree/x",)).identical is False


def test_a_shell_is_thrown_away_or_kept(image: Path, shop: Workshop) -> None:
    """The shell of this tree is a C program that writes down how it was called; the image says whether it ran."""
    argv = [sys.executable, "-m", "rastos", "image", "shell", str(image)]
    shop_environment = {**os.environ, "RASTOS_CACHE": str(shop.cache)}

    def shell(*words: str, status: int = 0) -> str:
        done = subprocess.run(
            [*argv, *words], input="true\n", cwd=ROOT, env=shop_environment, capture_output=True, text=True
        )
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    assert "no shell in this tree" in shell(status=1)
    with opened_snapshot(ImageReference(image), writable=True, purpose="test") as opened:
        with create_session(opened.store, 0, "test") as session:
            os.link(session.tree / "usr/bin/systemctl", session.tree / "bin/sh")
            session.commit("with a shell", name="shell")
    argv[-1] = f"{image}:shell"
    before = sha256_file(image)
    assert "discarded" in shell()
    assert sha256_file(image) == before, "not a byte of the image was written"
    shell("--keep", "work")
    assert [(record.name, record.base) for record in inspect_image(image).sessions] == [("work", 1)]
    assert "snapshot 2" in shell("--commit", "by hand")
    assert inspect_image(image).snapshots[2].description == "by hand"
    assert b"sh -s" in content(ImageReference(image, "2"), "/usr/share/calls")
    assert list((shop.cache / "vm").glob(".*")) == []
