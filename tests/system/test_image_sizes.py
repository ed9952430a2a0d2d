"""Another size for an image, and a smaller file for the same size: content, tables, and what a stop at each step leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rastos.cli.app import run as run_command
from rastos.errors import HostError, RastosError, UserError
from rastos.host import faults, run
from rastos.installer import compact_image, open_image, plan_compact, plan_resize, resize_image
from rastos.installer.formats.gpt import end_of_root
from rastos.installer.partition import read_layout
from rastos.progress import Progress
from tests.conftest import need
from tests.system.test_image_formats import SIZE, converted, copied, files, killed_at, small_image, unchanged

GIB = 1 << 30


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    raw = small_image(tmp_path_factory.mktemp("originals"))
    return {"raw": raw, "qcow2": converted(raw, raw.with_name("small.qcow2"))}


@pytest.fixture(params=["raw", "qcow2"])
def image(originals: dict[str, Path], request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copied(originals[request.param], tmp_path / f"small.{request.param}")


def resized(image: Path, size: int) -> None:
    resize_image(plan_resize(image, size), Progress())


def check(image: Path, size: int | None = None) -> int:
    """The image is sound and holds what it held; the size of its file system."""
    need("sgdisk")
    raw = image.with_name("check.raw")
    run(["qemu-img", "convert", "-O", "raw", image, raw])
    assert "No problems found" in run(["sgdisk", "--verify", raw]).stdout
    root = read_layout(raw)[-1]
    if size is not None:
        assert raw.stat().st_size == size and root.start + root.size == end_of_root(size)
    raw.unlink()
    with open_image(image, writable=True, purpose="test") as opened:
        assert (opened.top / "note").read_bytes() == b"kept " * 200_000
        assert opened.esp.size() > 30 << 20
        (opened.top / "more").write_text("it can be written")
        run(["btrfs", "scrub", "start", "-B", opened.top])
        status = os.statvfs(opened.top)
    if size is not None:
        assert root.size - (1 << 20) < status.f_blocks * status.f_frsize <= root.size
    return status.f_blocks * status.f_frsize


def test_larger_and_smaller_again(image: Path) -> None:
    resized(image, 2 * GIB)
    check(image, 2 * GIB)
    assert image.stat().st_blocks * 512 < 200 << 20, "it must stay sparse"
    resized(image, 700 << 20)
    check(image, 700 << 20)
    assert plan_resize(image, 700 << 20).root_wanted == plan_resize(image, 700 << 20).root.size
    assert files(image.parent) == [image.name]


@pytest.mark.parametrize("image", ["raw"], indirect=True)
def test_sizes_are_whole_mib(image: Path) -> None:
    resized(image, GIB + 1)
    check(image, GIB + (1 << 20))


@pytest.mark.parametrize("image", ["qcow2"], indirect=True)
def test_too_small_names_the_least_and_the_least_works(image: Path) -> None:
    resized(image, GIB)
    for wanted in (20 << 20, 90 << 20):
        with pytest.raises(UserError, match="are too few") as caught:
            resized(image, wanted)
        check(image, GIB)
    least = int(caught.value.next_step.rpartition(" ")[2].removesuffix("M`")) << 20
    assert 90 << 20 < least < SIZE
    resized(image, least)
    check(image, least)


def test_a_dry_run_changes_nothing(image: Path) -> None:
    before = unchanged(image)
    plan = plan_resize(image, 2 * GIB)
    assert json.loads(json.dumps(plan.to_json()))["steps"] == ["the file", "the partition table", "the file system"]
    assert plan_resize(image, 400 << 20).steps()[0] == "the file system"
    assert unchanged(image) == before


@pytest.mark.parametrize("image", ["qcow2"], indirect=True)
@pytest.mark.parametrize("step", ["resize.file", "resize.backup", "resize.table"])
def test_killed_while_growing(image: Path, step: str) -> None:
    killed_at(step, "resize", image, GIB)
    with open_image(image, writable=False, purpose="a look after the kill") as opened:
        assert (opened.top / "note").is_file()
    resized(image, GIB)
    check(image, GIB)
    assert files(image.parent) == [image.name]


@pytest.mark.parametrize("image", ["raw"], indirect=True)
@pytest.mark.parametrize("step", ["resize.shrunk", "resize.backup", "resize.table", "resize.file"])
def test_killed_while_shrinking(image: Path, step: str) -> None:
    resized(image, GIB)
    killed_at(step, "resize", image, 600 << 20)
    with open_image(image, writable=True, purpose="a look after the kill") as opened:
        assert (opened.top / "note").is_file()
        (opened.top / "between").write_bytes(os.urandom(1 << 20))
    resized(image, 600 << 20)
    check(image, 600 << 20)


@pytest.mark.parametrize("image", ["raw"], indirect=True)
@pytest.mark.parametrize("fault", ["resize.file=error", "resize.table=enospc", "resize.backup=eio"])
def test_a_failure_leaves_an_image_that_works(image: Path, fault: str) -> None:
    faults.arm(fault)
    try:
        with pytest.raises((RastosError, OSError)):
            resized(image, GIB)
    finally:
        faults.disarm()
    with open_image(image, writable=False, purpose="a look after the failure") as opened:
        assert (opened.top / "note").is_file()
    resized(image, GIB)
    check(image, GIB)


def test_only_the_last_partition_can_change(originals: dict[str, Path], tmp_path: Path) -> None:
    image = copied(originals["raw"], tmp_path / "three.raw")
    os.truncate(image, GIB)
    run(["sgdisk", "--move-second-header", "--new=3:0:+64M", image])
    with pytest.raises(UserError, match="not the last partition"):
        plan_resize(image, 2 * GIB)
    vdi = converted(originals["raw"], tmp_path / "small.vdi")
    with pytest.raises(UserError, match="can't be changed here") as caught:
        plan_resize(vdi, 2 * GIB)
    assert "image convert" in caught.value.next_step


def fill_and_empty(image: Path) -> None:
    with open_image(image, writable=True, purpose="test") as opened:
        (opened.top / "passing").write_bytes(os.urandom(60 << 20))
        run(["sync", "--file-system", opened.top])
        (opened.top / "passing").unlink()


def test_compact(image: Path) -> None:
    fill_and_empty(image)
    before = image.stat().st_blocks * 512
    mode = image.stat().st_mode
    made = compact_image(plan_compact(image), Progress())
    assert not made.kept and made.before == before and made.after == image.stat().st_blocks * 512
    assert made.after < before - (50 << 20) and image.stat().st_mode == mode
    check(image, SIZE)
    again = compact_image(plan_compact(image, balance=30), Progress())
    assert again.after <= made.after + (8 << 20)
    assert files(image.parent) == [image.name]


@pytest.mark.parametrize("image", ["qcow2"], indirect=True)
@pytest.mark.parametrize("step", ["compact.trimmed", "compact.written"])
def test_killed_while_compacting(image: Path, step: str) -> None:
    fill_and_empty(image)
    before = unchanged(image)
    killed_at(step, "compact", image)
    assert unchanged(image) == before
    assert not compact_image(plan_compact(image), Progress()).kept
    check(image, SIZE)
    assert files(image.parent) == [image.name]


def test_compacting_without_space(originals: dict[str, Path], tmp_path: Path) -> None:
    from rastos.host import mounted

    (tmp_path / "full").mkdir()
    with mounted("tmpfs", tmp_path / "full", "tmpfs", ("size=56m",)) as full:
        image = converted(originals["raw"], full / "small.qcow2", compression="zstd")
        with pytest.raises(HostError, match="MiB are needed"):
            plan_compact(image)
        assert files(full) == [image.name]


def test_as_commands(originals: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image = str(copied(originals["qcow2"], tmp_path / "small.qcow2"))
    output = str(tmp_path / "small.vmdk")

    def typed(*words: str, status: int = 0) -> tuple[str, str]:
        capfd.readouterr()
        assert run_command(["image", *words]) == status
        return capfd.readouterr()

    before = unchanged(Path(image))
    for words in (("convert", image, output), ("resize", image, "+512M"), ("compact", image, "--balance")):
        assert image in typed(*words, "--dry-run")[1]
        assert json.loads(typed(*words, "--dry-run", "--json")[0])["image"] == image
    assert unchanged(Path(image)) == before and files(tmp_path) == ["small.qcow2"]
    assert output in typed("convert", image, output)[0]
    assert "did you mean 'vmdk'?" in typed("convert", image, output, "--format", "vmkd", status=1)[1]
    assert "--force" in typed("convert", image, output, status=1)[1]
    made = json.loads(typed("convert", image, output, "--force", "--json")[0])
    assert made["format"] == "vmdk" and made["replaces"] and made["bytes_on_disk"] > 20 << 20
    assert "1.0 GiB" in typed("resize", image, "+512M")[0]
    assert "->" in typed("compact", image, "--compress", "zstd")[0]
    for _ in range(4):  # opening it writes a little, so the first may still gain some blocks
        before = unchanged(Path(image))
        if "stays" in typed("compact", image)[0]:
            break
    assert unchanged(Path(image)) == before and files(tmp_path) == ["small.qcow2", "small.vmdk"]
    assert "->" in typed("compact", image, "--compress", "none")[0], "larger, but asked for"
    check(Path(image), GIB)
