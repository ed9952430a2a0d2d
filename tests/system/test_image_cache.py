"""The kept stages of images: what a change makes again, that the result is a cold build's, and what damage does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.host import attached, faults, mounted
from rastos.installer import Image, ImagePlan, create_image, inspect_image, making, open_image
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.open import OPTIONS
from rastos.installer.partition import write_layout
from rastos.package import digest_of_tree, load_manifest, target_for
from rastos.progress import Noted, Progress
from rastos.snapshot import MtoolsEsp, subvolume
from tests.conftest import ROOT
from tests.system.test_image_create import Workshop, shop

__all__ = ["shop"]
EXTRA = {"usr/share/extra/file": "extra"}


@pytest.fixture(autouse=True)
def _extra(shop: Workshop) -> None:
    shop.package("extra", EXTRA)


def layers(made: Image) -> list[str]:
    """The layers that were installed for an image."""
    return [name.removeprefix("install packages: ") for name, _ in made.seconds if name.startswith("install packages")]


def tree_digest(path: Path) -> str:
    """Of the first snapshot; what names the disk is left out."""
    with open_image(path, writable=False, purpose="test") as image:
        return digest_of_tree(target_for(image.top / "snapshots/0/tree", path.parent, immutable=True))


def stages_of(shop: Workshop) -> list[Path]:
    return sorted((shop.cache / "stages").glob("*.btrfs"))


def warnings_of(shop: Workshop, plan: ImagePlan) -> tuple[Image, list[str]]:
    events: list[object] = []
    made = create_image(plan, shop.channels, cache=shop.cache, progress=Progress(events.append))
    return made, [event.text for event in events if isinstance(event, Noted) and event.level == "warning"]


def test_only_what_depends_on_a_change_is_made_again(shop: Workshop, tmp_path: Path) -> None:
    shop.create(tmp_path / "first.qcow2")
    user = shop.plan(tmp_path / "user.qcow2", root_password="$6$new")
    assert user.why == "packages from the cache; configuration again: root-password changed"
    assert [stage.cached for stage in user.stages] == [True, True, False, False]
    assert layers(create_image(user, shop.channels, cache=shop.cache, progress=Progress())) == []
    more = shop.plan(tmp_path / "more.qcow2", packages=("extra",))
    assert more.why.startswith("packages from the cache up to tiny; again from the profile's: extra added")
    assert layers(create_image(more, shop.channels, cache=shop.cache, progress=Progress())) == [
        "the profile's",
        "kernel",
    ]
    shop.package("extra", {**EXTRA, "usr/share/extra/file": "other"}, version="2-1")
    again = shop.plan(tmp_path / "again.qcow2", packages=("extra",))
    assert "again from the profile's: extra 1-1 → 2-1" in again.why
    made = create_image(again, shop.channels, cache=shop.cache, progress=Progress())
    assert layers(made) == ["the profile's", "kernel"]
    with open_image(made.path, writable=False, purpose="test") as image:
        assert (image.top / "snapshots/0/tree/usr/share/extra/file").read_text() == "other"
        assert sorted(path.name for path in image.top.iterdir() if path.name in ("stages", "tree")) == []
        inside = {fact.path for fact in subvolume.listed(image.top)}
        assert inside == {
            "snapshots/0/tree",
            "deployments/1/etc",
            *(f"state/{n}" for n in ("var", "home", "root", "srv")),
        }
    # other sets, other disk: the packages below are the same
    large = shop.plan(tmp_path / "large.qcow2", packages=("extra",), size=600 << 20)
    assert all(stage.cached for stage in large.stages[:-2]) and "disk again: size changed" in large.why
    assert layers(create_image(large, shop.channels, cache=shop.cache, progress=Progress())) == []


def test_the_same_tree_as_a_cold_build(shop: Workshop, tmp_path: Path) -> None:
    shop.create(tmp_path / "below.qcow2", hostname="below")
    warm = shop.create(tmp_path / "warm.qcow2", packages=("extra",), hostname="same")
    assert "packages from the cache" in dict(warm.seconds)
    plan = shop.plan(tmp_path / "cold.qcow2", packages=("extra",), hostname="same")
    assert plan.cached
    cold = create_image(replace(plan, use_cache=False), shop.channels, cache=shop.cache, progress=Progress())
    assert not cold.cached and layers(cold) == ["tiny", "the profile's", "kernel"]
    assert tree_digest(warm.path) == tree_digest(cold.path) and warm.key == cold.key
    changed = shop.create(tmp_path / "changed.qcow2", packages=("extra",), hostname="other")
    assert tree_digest(changed.path) != tree_digest(cold.path), "the digest tells trees apart"


def test_images_of_one_stage_can_be_open_together(shop: Workshop, tmp_path: Path) -> None:
    one = shop.create(tmp_path / "one.raw", format="raw", hostname="one")
    two = shop.create(tmp_path / "two.raw", format="raw", hostname="two")
    with open_image(one.path, writable=True, purpose="test") as first:
        with open_image(two.path, writable=True, purpose="test") as second:
            assert subvolume.file_system(first.top) != subvolume.file_system(second.top)


@pytest.mark.parametrize("damage", ["cut", "edited"])
def test_a_damaged_stage_is_made_again(shop: Workshop, tmp_path: Path, damage: str) -> None:
    shop.create(tmp_path / "first.qcow2", hostname="undamaged")
    for place in stages_of(shop):
        with open(place, "r+b") as stream:
            if damage == "cut":
                stream.truncate(1 << 20)
            else:  # the btrfs superblock is the first thing there
                stream.seek((64 << 10) + 100)
                stream.write(b"damaged")
    made, said = warnings_of(shop, shop.plan(tmp_path / f"{damage}.qcow2", hostname=damage))
    assert layers(made) == ["tiny", "kernel"] and any("a cached stage is damaged" in text for text in said)
    with open_image(made.path, writable=False, purpose="test") as image:
        assert (image.top / "deployments/1/etc/hostname").read_text() == f"{damage}\n"
    assert len(stages_of(shop)) == 1


@pytest.mark.parametrize("damage", ["cut", "edited", "no record"])
def test_a_damaged_image_in_the_cache_is_made_again(shop: Workshop, tmp_path: Path, damage: str) -> None:
    name = f"kept-{damage.replace(' ', '-')}"
    made = shop.create(tmp_path / "first.qcow2", hostname=name)
    place = shop.cache / "images" / f"{made.key}.qcow2"
    if damage == "no record":
        place.with_suffix(".json").unlink()
    with open(place, "r+b") as stream:
        if damage == "cut":
            stream.truncate(place.stat().st_size - 4096)
        else:
            stream.seek(place.stat().st_size - 4096)  # the last cluster is never a hole
            stream.write(b"damaged")
    again, said = warnings_of(shop, shop.plan(tmp_path / "again.qcow2", hostname=name))
    assert not again.cached and (damage == "no record" or any("is damaged" in text for text in said))
    assert [path.name for path in tmp_path.glob(".again.qcow2.*.new")] == []
    last = shop.create(tmp_path / "last.qcow2", hostname=name)
    assert last.cached and last.path.read_bytes() == again.path.read_bytes()


TWO = """
import sys
from pathlib import Path
from tests.system.test_image_create import Workshop
made = Workshop(Path(sys.argv[1])).create(Path(sys.argv[2]), hostname=sys.argv[3], packages=("extra",))
print(made.cached, flush=True)
"""


@pytest.mark.parametrize("names", [("same", "same"), ("left", "right")])
def test_two_at_once(shop: Workshop, tmp_path: Path, names: tuple[str, str]) -> None:
    shop.package("extra", EXTRA, version=f"{names[1]}-1")
    children = [
        subprocess.Popen(
            [sys.executable, "-c", TWO, str(shop.base), str(tmp_path / f"{number}.qcow2"), f"two-{name}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(names)
    ]
    said = sorted(child.communicate()[0].strip() for child in children)
    assert [child.returncode for child in children] == [0, 0]
    assert said == (["False", "True"] if names[0] == names[1] else ["False", "False"])
    for number, name in enumerate(names):
        with open_image(tmp_path / f"{number}.qcow2", writable=False, purpose="test") as image:
            assert (image.top / "deployments/1/etc/hostname").read_text() == f"two-{name}\n"
    assert shop.leftovers() == []


def test_no_room_to_keep_a_stage_is_no_failure(shop: Workshop, tmp_path: Path) -> None:
    plan = shop.plan(tmp_path / "full.qcow2", hostname="no-room", packages=("extra",))
    (tmp_path / "cache").mkdir()
    (shop.cache / "stages").mkdir(exist_ok=True)
    with mounted("tmpfs", shop.cache / "stages", "tmpfs", ("size=256k",)):
        made, said = warnings_of(shop, plan)
        assert list((shop.cache / "stages").glob("*.btrfs")) == []
    assert made.path.is_file() and any("were not kept for the next image: No space left" in text for text in said)


def test_without_memory_the_work_is_done_on_disk(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = shop.create(tmp_path / "memory.qcow2", hostname="workshop")
    monkeypatch.setattr(making, "available_memory", lambda: 0)
    plan = replace(shop.plan(tmp_path / "disk.qcow2", hostname="workshop"), use_cache=False)
    on_disk = create_image(plan, shop.channels, cache=shop.cache, progress=Progress())
    assert tree_digest(on_disk.path) == tree_digest(in_memory.path) and shop.leftovers() == []


def test_a_failed_layer_is_not_kept(shop: Workshop, tmp_path: Path) -> None:
    shop.package("extra", EXTRA, version="fails-1")
    before = stages_of(shop)
    faults.arm("packages-installed=error")
    with pytest.raises(Exception, match="injected"):
        shop.create(tmp_path / "fails.qcow2", packages=("extra",))
    faults.disarm()
    assert stages_of(shop) == before and shop.leftovers() == []
    assert layers(shop.create(tmp_path / "works.qcow2", packages=("extra",)))[-2:] == ["the profile's", "kernel"]


def test_hooks_of_the_manifest_run_for_every_image(shop: Workshop, tmp_path: Path) -> None:
    place = shop.base / "packages.toml"
    text = place.read_text()
    place.write_text(text + '[[hooks]]\nwhen = "post"\non = ["*"]\nrun = ["/usr/bin/systemctl", "hooked"]\n')
    try:
        assert load_manifest(place).hooks
        for name in ("hooked-1", "hooked-2"):
            made = shop.create(tmp_path / f"{name}.qcow2", hostname=name)
            assert layers(made) == ["packages"] and "packages from the cache" not in dict(made.seconds)
    finally:
        place.write_text(text)


def test_a_disk_that_is_there(shop: Workshop, tmp_path: Path) -> None:
    """Filled directly, without the cache: the same tree as an image's."""
    made = shop.create(tmp_path / "image.raw", format="raw", hostname="disk")
    plan = shop.plan(tmp_path / "disk.raw", format="raw", hostname="disk")
    layout, disk = plan.layout, tmp_path / "disk.raw"
    with open(disk, "xb") as stream:
        stream.truncate(layout.size)
    write_layout(disk, layout)
    make_esp(disk, layout.esp, volume_id="12345678")
    with attached(disk, offset=layout.root.start, size=layout.root.size) as device:
        make_root(device)
        (tmp_path / "top").mkdir()
        with mounted(device, tmp_path / "top", "btrfs", OPTIONS) as top:
            esp = MtoolsEsp(disk, layout.esp.start, layout.esp.size)
            making.fill_disk(plan, shop.channels, shop.cache, esp, top, Progress())
    assert tree_digest(disk) == tree_digest(made.path)
    assert inspect_image(disk).entries == inspect_image(made.path).entries
