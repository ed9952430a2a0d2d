"""Formats of image files: converting there and back, archives of the tree, what is refused, and what a failure leaves."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import BusyError, ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.host import attached, mounted, run
from rastos.installer import FORMATS, convert_image, open_image, plan_compact, plan_convert, plan_resize
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.partition import plan_layout, write_layout
from rastos.progress import Advanced, Event, Progress
from rastos.snapshot import MtoolsEsp, Store, import_archive
from tests.conftest import ROOT, need
from tests.system.test_image_create import Workshop, shop

__all__ = ["shop"]
SIZE = 512 << 20
DISKS = [name for name, kind in FORMATS.items() if kind.kind == "disk"]


def small_image(folder: Path, size: int = SIZE) -> Path:
    """A raw image with a store, an ESP and a few files, but no system."""
    need("sfdisk", "mkfs.vfat", "mkfs.btrfs", "qemu-img", "qemu-storage-daemon", "mcopy")
    place = folder / "small.raw"
    layout = plan_layout(size, 40 << 20, seed="formats")
    with open(place, "xb") as stream:
        stream.truncate(layout.size)
    write_layout(place, layout)
    make_esp(place, layout.esp, volume_id="12345678")
    (folder / "top").mkdir()
    with attached(place, offset=layout.root.start, size=layout.root.size) as device:
        make_root(device)
        with mounted(device, folder / "top", "btrfs") as top:
            esp = MtoolsEsp(place, layout.esp.start, layout.esp.size)
            Store.initialise(top, esp, root_partuuid=layout.root.uuid, cmdline="")
            (top / "note").write_bytes(b"kept " * 200_000)
            (top / "noise").write_bytes(os.urandom(20 << 20))
    return place


def copied(source: Path, target: Path) -> Path:
    run(["cp", "--sparse=always", source, target])
    return target


def unchanged(path: Path) -> tuple[int, ...]:
    """What would be another one after any write."""
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_image(tmp_path_factory.mktemp("original"))


@pytest.fixture
def image(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return copied(original, tmp_path / "small.raw")


@pytest.fixture(scope="module")
def created(shop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with a system in it."""
    place = tmp_path_factory.mktemp("created") / "tiny.qcow2"
    shop.create(place, hostname="tree")
    return place


def converted(image: Path, output: Path, **words: Any) -> Path:
    convert_image(plan_convert(image, output, **words), Progress())
    return output


def described(path: Path, driver: str = "qcow2") -> dict[str, Any]:
    """What qemu-img says of it; it does not recognise a fixed vhd by itself."""
    found: dict[str, Any] = json.loads(run(["qemu-img", "info", "--output=json", "-f", driver, path]).stdout)
    return found


def files(folder: Path) -> list[str]:
    """What lies in a folder, but for the locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("kind", DISKS)
def test_there_and_back(original: Path, tmp_path: Path, kind: str) -> None:
    there = converted(original, tmp_path / f"there{FORMATS[kind].suffix}", kind=kind)
    driver = FORMATS[kind].driver
    assert described(there, driver)["virtual-size"] == SIZE
    run(["qemu-img", "compare", "-f", "raw", "-F", driver, original, there])
    assert run(["qemu-img", "check", "-f", driver, there], check=False).status in (0, 63)
    assert there.stat().st_blocks * 512 < 100 << 20, "it must stay sparse"
    back = converted(there, tmp_path / "back.qcow2")
    with open_image(back, writable=False, purpose="test") as opened:
        assert (opened.top / "note").read_bytes() == b"kept " * 200_000
    assert files(tmp_path) == sorted({there.name, back.name})


def test_what_the_clouds_ask_for(original: Path, tmp_path: Path) -> None:
    vhd = converted(original, tmp_path / "azure.vhd")
    assert vhd.stat().st_size == SIZE + 512 and vhd.read_bytes()[-512:-504] == b"conectix"
    stream = converted(original, tmp_path / "vsphere.stream.vmdk")
    assert b'createType="streamOptimized"' in stream.read_bytes()[:4096]
    plain = converted(original, tmp_path / "workstation.vmdk")
    assert b'createType="monolithicSparse"' in plain.read_bytes()[:4096]
    assert stream.stat().st_size < plain.stat().st_size


def test_a_size_that_is_no_whole_number_of_mib(original: Path, tmp_path: Path) -> None:
    odd = copied(original, tmp_path / "odd.raw")
    os.truncate(odd, SIZE + 4096)
    for name, driver in (("odd.vhd", "vpc"), ("odd.vhdx", "vhdx")):
        there = converted(odd, tmp_path / name)
        assert described(there, driver)["virtual-size"] == SIZE + (1 << 20)
    assert files(tmp_path) == ["odd.raw", "odd.vhd", "odd.vhdx"]


def test_compression(original: Path, tmp_path: Path) -> None:
    plain = converted(original, tmp_path / "plain.qcow2")
    for name in ("zlib", "zstd"):
        packed = converted(original, tmp_path / f"{name}.qcow2", compression=name)
        assert described(packed)["format-specific"]["data"]["compression-type"] == name
        assert packed.stat().st_size < plain.stat().st_size - (1 << 20)
        assert plan_compact(packed).compression == name, "compacting keeps it"
        run(["qemu-img", "compare", original, packed])


def test_the_tree_as_an_archive(created: Path, tmp_path: Path) -> None:
    one, two = converted(created, tmp_path / "one.tar"), converted(created, tmp_path / "two.tar")
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as tar:
        members = tar.getmembers()
        content = tar.extractfile("etc/hostname")
        assert content is not None and content.read() == b"tree\n"
    names = [member.name for member in members]
    assert "usr/lib/rastos/init" in names and "usr/bin/systemctl" in names and "etc/hostname" in names
    assert not any(member.uname or member.gname for member in members)
    assert len({member.mtime for member in members if member.name.startswith("etc")}) >= 1
    packed = converted(created, tmp_path / "packed.tar.zst")
    assert packed.read_bytes()[:4] == b"\x28\xb5\x2f\xfd"


def test_the_tree_as_a_container_image(created: Path, tmp_path: Path) -> None:
    one = converted(created, tmp_path / "one.oci.tar")
    time.sleep(1.1)  # a time of day in it would be another one now
    two = converted(created, tmp_path / "two", kind="oci")
    assert one.read_bytes() == two.read_bytes()
    with tarfile.open(one) as tar:
        contents = {item.name: tar.extractfile(item) for item in tar.getmembers() if item.isfile()}
        read = {name: stream.read() for name, stream in contents.items() if stream is not None}
    assert json.loads(read["oci-layout"])["imageLayoutVersion"] == "1.0.0"
    manifest = json.loads(read["index.json"])["manifests"][0]
    for name, data in read.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    assert f"blobs/sha256/{manifest['digest'].removeprefix('sha256:')}" in read
    (tmp_path / "layout").mkdir()
    run(["tar", "-xf", one, "-C", tmp_path / "layout"])
    into = Path(shutil.copy(created, tmp_path / "into.qcow2"))
    with open_image(into, writable=True, purpose="test") as opened:
        store = Store.open(opened.top, opened.esp, writable=True)
        made = import_archive(store, tmp_path / "layout", Progress()).snapshot
        assert (store.tree(made.id) / "etc/hostname").read_text() == "tree\n"
        assert made.kernel == store.snapshot(0).kernel


@pytest.mark.parametrize("kind", ["vmdk", "vhd", "tar", "oci"])
def test_created_in_that_format(shop: Workshop, tmp_path: Path, kind: str) -> None:
    output = tmp_path / f"made{FORMATS[kind].suffix}"
    first = shop.create(output, format=kind, hostname="formats")
    content = output.read_bytes()
    assert not first.cached and shop.leftovers() == []
    assert shop.create(output, format=kind, hostname="formats").cached and output.read_bytes() == content
    if FORMATS[kind].kind == "disk":
        with open_image(converted(output, tmp_path / "back.raw"), writable=False, purpose="test") as opened:
            assert (opened.top / "deployments/1/etc/hostname").read_text() == "formats\n"


def test_neither_a_folder_nor_a_device_is_replaced(shop: Workshop, image: Path) -> None:
    with pytest.raises(UserError, match="a folder"):
        shop.create(image.parent, format="raw")
    with attached(image) as device, pytest.raises(UserError, match="a device"):
        shop.create(device, format="raw")


def test_created_compressed(shop: Workshop, tmp_path: Path) -> None:
    plain = shop.create(tmp_path / "plain.qcow2", hostname="packed")
    packed = shop.create(tmp_path / "packed.qcow2", hostname="packed", compress="zstd")
    assert packed.key != plain.key and packed.bytes_on_disk < plain.bytes_on_disk
    assert described(packed.path)["format-specific"]["data"]["compression-type"] == "zstd"


# what is refused


@pytest.mark.parametrize(
    ("output", "words", "what", "step"),
    [
        ("new.xyz", {}, "says no format", "vmdk"),
        ("new.qcow2", {"kind": "qcow"}, "unknown format 'qcow'", "did you mean 'qcow2'?"),
        ("new.qcow2", {"compression": "zst"}, "unknown compression 'zst'", "did you mean 'zstd'?"),
        ("new.vmdk", {"compression": "zstd"}, "can't be chosen for format vmdk", "qcow2"),
        ("", {"kind": "vmdk"}, "is a folder", ".vmdk"),
        ("there.qcow2", {}, "the output exists", "--force"),
        ("small.raw", {"force": True}, "the image itself", "another output"),
    ],
)
def test_bad_output(image: Path, output: str, words: dict[str, Any], what: str, step: str) -> None:
    (image.parent / "there.qcow2").write_text("somebody's")
    before = files(image.parent)
    with pytest.raises(UserError) as caught:
        plan_convert(image, image.parent / output, **words)
    assert what in caught.value.what and step in caught.value.next_step
    assert files(image.parent) == before


def test_a_device_is_no_output(image: Path) -> None:
    with attached(image) as device, pytest.raises(UserError, match="device"):
        plan_convert(image, device, kind="raw", force=True)
    with attached(image) as device, pytest.raises(UserError, match="disk, not an image"):
        plan_convert(device, image.with_name("new.qcow2"))


def test_force_replaces_what_nobody_uses(image: Path) -> None:
    target = converted(image, image.with_name("target.qcow2"))
    converted(image, target, force=True)
    with open_image(target, writable=True, purpose="the holder"):
        with pytest.raises(BusyError) as caught:
            converted(image, target, force=True)
    assert "the holder" in caught.value.holder


@pytest.mark.parametrize("kind", ["qcow2", "vmdk", "vdi", "vhdx", "vhd"])
def test_cut_off(original: Path, tmp_path: Path, kind: str) -> None:
    """qemu-img itself reads zeros where a file ends too early, and says nothing."""
    place = converted(original, tmp_path / f"cut{FORMATS[kind].suffix}")
    end = place.stat().st_size
    os.truncate(place, end - (8 << 20))
    with pytest.raises((IntegrityError, UserError)) as caught:
        plan_convert(place, tmp_path / "new.raw")
    assert caught.value.on == str(place) and caught.value.next_step
    assert files(tmp_path) == [place.name]


def test_a_raw_image_cut_off_and_no_image(image: Path) -> None:
    os.truncate(image, SIZE // 2)
    with pytest.raises(RastosError):
        plan_convert(image, image.with_name("new.qcow2"))
    image.write_bytes(b"text\n" * 1000)
    with pytest.raises(UserError, match="GPT"):
        plan_convert(image, image.with_name("new.qcow2"))
    with pytest.raises(UserError, match="no such image"):
        plan_convert(image.with_name("nowhere.raw"), image.with_name("new.qcow2"))


def test_an_image_that_names_another_file(image: Path) -> None:
    """A stranger's qcow2 could have /etc/shadow for its backing file, and a conversion would copy it in."""
    secret = image.with_name("secret")
    secret.write_bytes(b"secret" * 10000)
    hostile = image.with_name("hostile.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, hostile])
    for plan in (lambda: plan_convert(hostile, image.with_name("new.raw")), lambda: plan_compact(hostile)):
        with pytest.raises(UserError, match="not whole by itself") as caught:
            plan()
        assert str(secret) in caught.value.what
    descriptor = image.with_name("hostile.vmdk")
    lines = ["# Disk DescriptorFile", "version=1", "CID=00000001", "parentCID=ffffffff", 'createType="monolithicFlat"']
    lines += [f'RW {secret.stat().st_size // 512} FLAT "{secret}" 0', 'ddb.adapterType = "ide"']
    descriptor.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError):
        plan_convert(descriptor, image.with_name("new.raw"))
    over = image.with_name("over.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", image, over])
    flat = converted(over, image.with_name("flat.raw"), overlay=True)
    run(["qemu-img", "compare", image, flat])


def test_in_use(image: Path) -> None:
    with open_image(image, writable=True, purpose="the writer"), pytest.raises(BusyError) as caught:
        converted(image, image.with_name("new.qcow2"))
    assert "the writer" in caught.value.holder
    argv = ["qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-m", "64"]
    with subprocess.Popen([*argv, "-drive", f"file={image},format=raw,if=virtio"]) as machine:
        try:
            deadline = time.monotonic() + 60
            while run(["qemu-io", "-f", "raw", "-c", "quit", image], check=False).status == 0:
                assert time.monotonic() < deadline and machine.poll() is None, "QEMU never took the image"
                time.sleep(0.1)
            for plan in (
                lambda: plan_convert(image, image.with_name("new.qcow2")),
                lambda: plan_resize(image, 2 * SIZE),
                lambda: plan_compact(image),
            ):
                with pytest.raises(BusyError) as caught:
                    plan()
                assert "virtual machine" in caught.value.holder
        finally:
            machine.kill()
    assert files(image.parent) == ["small.raw"]


def test_no_space(original: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    with mounted("tmpfs", tmp_path / "full", "tmpfs", ("size=8m",)) as full:
        with pytest.raises(HostError, match="MiB are needed") as caught:
            plan_convert(original, full / "new.qcow2")
        assert "free" in caught.value.next_step and files(full) == []


def test_the_disk_fills_up_on_the_way(original: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    with mounted("tmpfs", tmp_path / "full", "tmpfs", ("size=64m",)) as full:
        plan = plan_convert(original, full / "new.qcow2")
        (full / "somebody").write_bytes(bytes(55 << 20))
        with pytest.raises(ExternalError) as caught:
            convert_image(plan, Progress())
        assert "larger disk" in caught.value.next_step and "No space left" in caught.value.tail
        assert files(full) == ["somebody"]


def test_it_tells_how_far_it_is(original: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    convert_image(plan_convert(original, tmp_path / "new.vdi"), Progress(seen.append))
    shares = [event.done for event in seen if isinstance(event, Advanced)]
    assert shares == sorted(shares) and shares[-1] == 100


CHILD = """
import sys
from pathlib import Path
from rastos.host import faults
from rastos.installer import *
from rastos.progress import Advanced, Event, Progress
step, verb, image, argument = sys.argv[1:]
faults.arm(f"{step}=kill")
if verb == "convert":
    convert_image(plan_convert(Path(image), Path(argument)), Progress())
elif verb == "resize":
    resize_image(plan_resize(Path(image), int(argument)), Progress())
else:
    compact_image(plan_compact(Path(image)), Progress())
"""


def killed_at(step: str, verb: str, image: Path, argument: object = "") -> None:
    """Do it in another process, which dies at a step."""
    code = CHILD.replace(
        "from rastos.installer import *",
        "from rastos.installer import convert_image, plan_convert, "
        "resize_image, plan_resize, compact_image, plan_compact",
    )
    done = subprocess.run(
        [sys.executable, "-c", code, step, verb, str(image), str(argument)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_killed_while_converting(image: Path) -> None:
    before = unchanged(image)
    target = image.with_name("new.qcow2")
    killed_at("convert.written", "convert", image, target)
    assert not target.exists() and unchanged(image) == before
    converted(image, target)
    assert files(image.parent) == ["new.qcow2", "small.raw"], "the dead one's work folder is gone as well"
