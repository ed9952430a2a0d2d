"""The initramfs: which modules, in which order, and an archive that is always the same."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from rastos.errors import IntegrityError
from rastos.kernel import plan_initramfs, write_initramfs
from rastos.kernel.initramfs import cpio
from rastos.kernel.initramfs.modules import firmware_of, read_modules

RELEASE = "6.12.1-test"
MODULES = {
    "kernel/fs/btrfs/btrfs.ko.zst": ["kernel/lib/raid6_pq.ko", "kernel/crypto/xor.ko"],
    "kernel/lib/raid6_pq.ko": [],
    "kernel/crypto/xor.ko": [],
    "kernel/crypto/blake2b-generic.ko.gz": [],
    "kernel/drivers/block/virtio_blk.ko": [],
    "kernel/drivers/usb/storage/usb-storage.ko": [],
    "kernel/drivers/net/dummy.ko": [],
}
Make = Callable[..., Path]


def content(path: str) -> bytes:
    return f"ELF {path}\0firmware=acme/{Path(path).name}.bin\0".encode()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A tree with a kernel that depmod indexed; `config` are its CONFIG_ lines."""

    def tree(config: str = "CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n", **facts: object) -> Path:
        folder = tmp_path / "usr/lib/modules" / RELEASE
        for name in MODULES:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content(name)
            if name.endswith(".zst"):
                data = zstandard.ZstdCompressor().compress(data)
            if name.endswith(".gz"):
                data = gzip.compress(data)
            path.write_bytes(data)
        lines = [f"{name}: {' '.join(needs)}" for name, needs in MODULES.items()]
        (folder / "modules.dep").write_text("\n".join(lines) + "\n")
        (folder / "modules.softdep").write_text("# soft\nsoftdep btrfs pre: blake2b-generic\n")
        (folder / "modules.alias").write_text("alias virtio:d00000002v* virtio_blk\nalias rtnl-link-dummy dummy\n")
        (folder / "modules.builtin").write_text("kernel/drivers/nvme/host/nvme.ko\n")
        (folder / "config").write_text(config)
        (folder / "rastos.json").write_text(json.dumps(facts))
        (tmp_path / "usr/lib/rastos").mkdir(parents=True, exist_ok=True)
        (tmp_path / "usr/lib/rastos/initramfs").write_bytes(b"program")
        return tmp_path

    return tree


def listed(archive: bytes) -> list[str]:
    done = subprocess.run(["cpio", "-it", "--quiet"], input=archive, capture_output=True, check=True)
    return done.stdout.decode().split()


def test_modules_that_may_find_the_root_each_after_what_it_needs(make: Make) -> None:
    plan = plan_initramfs(make(), RELEASE)
    assert plan is not None
    names = [item.name for item in plan.modules]
    assert names.index("blake2b_generic") < names.index("btrfs")  # a soft dependency
    assert names.index("raid6_pq") < names.index("btrfs") and names.index("xor") < names.index("btrfs")
    assert {item.name for item in plan.modules if item.always} == {"raid6_pq", "xor", "blake2b_generic", "btrfs"}
    assert "virtio_blk" in names and "usb_storage" in names and "dummy" not in names
    assert plan.builtin == ("nvme",)


def test_a_profile_adds_modules_and_hears_of_missing_ones(make: Make) -> None:
    plan = plan_initramfs(make(initramfs=["dummy", "no-such-module", "nvme"]), RELEASE)
    assert plan is not None
    assert "dummy" in [item.name for item in plan.modules]
    assert plan.missing == ("no-such-module",)


def test_a_kernel_without_modules_needs_none(make: Make) -> None:
    assert plan_initramfs(make("CONFIG_BTRFS_FS=y\n"), RELEASE) is None


def test_a_kernel_whose_modules_are_of_other_kinds_needs_none(make: Make) -> None:
    tree = make()
    folder = tree / "usr/lib/modules" / RELEASE
    (folder / "modules.dep").write_text("kernel/drivers/net/dummy.ko:\n")
    assert plan_initramfs(tree, RELEASE) is None


def test_a_kernel_that_unpacks_none_is_refused(make: Make) -> None:
    with pytest.raises(IntegrityError, match="CONFIG_BLK_DEV_INITRD"):
        plan_initramfs(make("CONFIG_MODULES=y\n"), RELEASE)


def test_a_tree_without_the_program_is_refused(make: Make) -> None:
    tree = make()
    (tree / "usr/lib/rastos/initramfs").unlink()
    with pytest.raises(IntegrityError, match="usr/lib/rastos/initramfs"):
        plan_initramfs(tree, RELEASE)


@pytest.mark.parametrize("path", ["/etc/shadow", "kernel/../../../../../etc/shadow"])
def test_modules_outside_the_folder_are_refused(make: Make, path: str) -> None:
    tree = make()
    with (tree / "usr/lib/modules" / RELEASE / "modules.dep").open("a") as file:
        file.write(f"{path}:\n")
    with pytest.raises(IntegrityError, match="outside"):
        plan_initramfs(tree, RELEASE)


def test_a_module_that_is_a_link_is_refused(make: Make) -> None:
    tree = make()
    module = tree / "usr/lib/modules" / RELEASE / "kernel/crypto/xor.ko"
    module.unlink()
    module.symlink_to("/etc/hostname")
    with pytest.raises(IntegrityError, match="isn't there"):
        plan_initramfs(tree, RELEASE)


def test_a_damaged_module_is_named(make: Make, tmp_path: Path) -> None:
    tree = make()
    plan = plan_initramfs(tree, RELEASE)
    assert plan is not None
    (tree / "usr/lib/modules" / RELEASE / "kernel/fs/btrfs/btrfs.ko.zst").write_bytes(b"not zstd")
    with pytest.raises(IntegrityError, match="damaged kernel module"):
        write_initramfs(plan, tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_archive_holds_what_was_planned(make: Make, tmp_path: Path) -> None:
    tree = make()
    plan = plan_initramfs(tree, RELEASE)
    assert plan is not None
    size = write_initramfs(plan, tree, tmp_path / "out")
    assert size == (tmp_path / "out").stat().st_size <= plan.size
    body = zstandard.ZstdDecompressor().stream_reader((tmp_path / "out").read_bytes()).read()
    names = listed(body)
    assert {"init", "dev/console", "rastos/modules", "lib/modules/btrfs.ko", "root"} <= set(names)
    assert content("kernel/fs/btrfs/btrfs.ko.zst") in body  # decompressed
    order = body[body.index(b"rastos/modules\0") :].split(b"\n")
    assert any(line.endswith(b"btrfs always blake2b_generic raid6_pq xor") for line in order)
    assert b"virtio_blk virtio:d00000002v*\n" in body and b"rtnl-link-dummy" not in body


def test_the_same_inputs_give_the_same_bytes_and_name(make: Make, tmp_path: Path) -> None:
    tree = make()
    plans = [plan_initramfs(tree, RELEASE) for _ in range(2)]
    for number, plan in enumerate(plans):
        assert plan is not None
        write_initramfs(plan, tree, tmp_path / f"out{number}")
    assert plans[0] == plans[1]
    assert (tmp_path / "out0").read_bytes() == (tmp_path / "out1").read_bytes()
    (tree / "usr/lib/modules" / RELEASE / "kernel/crypto/xor.ko").write_bytes(b"another")
    changed = plan_initramfs(tree, RELEASE)
    assert changed is not None and plans[0] is not None and changed.key != plans[0].key


def test_firmware_that_is_there_goes_in(make: Make, tmp_path: Path) -> None:
    tree = make("CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_GZIP=y\n")
    (tree / "usr/lib/firmware/acme").mkdir(parents=True)
    (tree / "usr/lib/firmware/acme/virtio_blk.ko.bin").write_bytes(b"blob")
    plan = plan_initramfs(tree, RELEASE)
    assert plan is not None and plan.firmware == ("acme/virtio_blk.ko.bin",)
    assert plan.compression == "gzip"
    write_initramfs(plan, tree, tmp_path / "out")
    assert "lib/firmware/acme/virtio_blk.ko.bin" in listed(gzip.decompress((tmp_path / "out").read_bytes()))


def test_microcode_comes_first_and_uncompressed(make: Make, tmp_path: Path) -> None:
    tree = make()
    for name in ("06-55-04", "06-8f-08"):
        path = tree / "usr/lib/firmware/intel-ucode" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    plan = plan_initramfs(tree, RELEASE)
    assert plan is not None and plan.microcode == ("intel-ucode/06-55-04", "intel-ucode/06-8f-08")
    write_initramfs(plan, tree, tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    assert listed(data)[-1] == "kernel/x86/microcode/GenuineIntel.bin"
    assert b"06-55-0406-8f-08" in data


def test_folders_come_before_what_is_in_them() -> None:
    out = io.BytesIO()
    cpio.write_cpio([cpio.file("a/b/c", b"x"), cpio.file("a/d", b"y")], out)
    assert listed(out.getvalue()) == ["a", "a/b", "a/b/c", "a/d"]


def test_firmware_names_of_a_module() -> None:
    assert firmware_of(b"license=GPL\0firmware=a/b.bin\0x\0firmware=c.fw\0") == ("a/b.bin", "c.fw")


def test_what_depmod_never_saw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"modules\.dep is missing"):
        read_modules(tmp_path)
