"""A program's files for an initramfs, as a tree has them; and when an initramfs is made for the command line's sake."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rastos.errors import IntegrityError
from rastos.kernel import initramfs_words, plan_initramfs, write_initramfs
from rastos.kernel.initramfs.programs import program_files
from tests.conftest import need

RELEASE = "6.12.1-test"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a program that needs a library of its own and the C library, reached by links as distributions lay them."""
    need("gcc")
    (tmp_path / "usr/sbin").mkdir(parents=True)
    libraries = tmp_path / "usr/lib/x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("usr/lib64")
    (tmp_path / "usr/lib64").mkdir()
    build = tmp_path / "build"
    build.mkdir()
    (build / "own.c").write_text("int own(void) { return 7; }\n")
    (build / "main.c").write_text("int own(void);\nint main(void) { return own(); }\n")
    for words in (
        ["-shared", "-fPIC", "-Wl,-soname,libown.so.1", "-o", str(libraries / "libown.so.1.2"), "own.c"],
        ["-o", str(tmp_path / "usr/sbin/cryptsetup"), "main.c", str(libraries / "libown.so.1.2")],
    ):
        subprocess.run(["gcc", *words], cwd=build, check=True)
    (libraries / "libown.so.1").symlink_to("libown.so.1.2")
    for name in ("libc.so.6", "ld-linux-x86-64.so.2"):
        found = next(path for path in Path("/").glob(f"usr/lib*/**/{name}") if path.is_file())
        shutil.copyfile(found.resolve(), libraries / name)
    # as an absolute link leads in the tree, not on this machine
    (tmp_path / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    return tmp_path


def test_loader_and_libraries_come_from_the_tree(tree: Path) -> None:
    assert program_files(tree, "usr/sbin/cryptsetup") == {
        "lib64/ld-linux-x86-64.so.2": "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib/libc.so.6": "usr/lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib/libown.so.1": "usr/lib/x86_64-linux-gnu/libown.so.1.2",
        "usr/sbin/cryptsetup": "usr/sbin/cryptsetup",
    }


def test_a_library_that_is_missing_is_named(tree: Path) -> None:
    (tree / "usr/lib/x86_64-linux-gnu/libown.so.1").unlink()
    with pytest.raises(IntegrityError, match=r"needs libown\.so\.1"):
        program_files(tree, "usr/sbin/cryptsetup")


def test_links_never_lead_out_of_the_tree(tree: Path) -> None:
    (tree / "usr/sbin/cryptsetup").unlink()
    (tree / "usr/sbin/cryptsetup").symlink_to("../../../../../../../../../usr/bin/env")
    with pytest.raises(IntegrityError, match="is missing in this tree"):
        program_files(tree, "usr/sbin/cryptsetup")


def test_only_an_initramfs_opens_an_encrypted_root_or_gathers_a_mirror() -> None:
    line = "console=ttyS0 rastos.luks=1e75e793 ro rastos.degraded rastos.raid=8555b678 rastos.deployment=3"
    assert initramfs_words(line) == ("rastos.luks=1e75e793", "rastos.raid=8555b678")
    assert initramfs_words("console=ttyS0 rastos.swap") == ()


def test_a_kernel_with_everything_built_in_gets_one_for_them(tree: Path, tmp_path: Path) -> None:
    folder = tree / "usr/lib/modules" / RELEASE
    folder.mkdir(parents=True)
    (folder / "config").write_text("CONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\nCONFIG_BTRFS_FS=y\n")
    (tree / "usr/lib/rastos").mkdir()
    (tree / "usr/lib/rastos/initramfs").write_bytes(b"program")
    assert plan_initramfs(tree, RELEASE) is None
    mirror = plan_initramfs(tree, RELEASE, words=("rastos.raid=1",))
    assert mirror is not None and not mirror.programs and not mirror.modules
    with pytest.raises(IntegrityError, match="it has no dm-crypt"):
        plan_initramfs(tree, RELEASE, words=("rastos.luks=1",))
    (folder / "config").write_text("CONFIG_BLK_DEV_INITRD=y\nCONFIG_DM_CRYPT=y\n")
    plan = plan_initramfs(tree, RELEASE, words=("rastos.luks=1",))
    assert plan is not None and plan.key != mirror.key
    write_initramfs(plan, tree, tmp_path / "out")
    listed = subprocess.run(["bsdtar", "-tf", tmp_path / "out"], capture_output=True, text=True, check=True).stdout
    assert {"init", "usr/sbin/cryptsetup", "usr/lib/libown.so.1"} <= set(listed.split())
    (tree / "usr/sbin/cryptsetup").unlink()
    with pytest.raises(IntegrityError, match="which this tree lacks"):
        plan_initramfs(tree, RELEASE, words=("rastos.luks=1",))
