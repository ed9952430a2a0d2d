"""A system from nothing on an image that is there: a root beside the first one, configured and bootable like it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError
from rastos.host import faults
from rastos.installer import ImageProfile, create_root, open_image, plan_root
from rastos.package import load_manifest
from rastos.progress import Progress
from rastos.snapshot import Store, deploy, plan_deploy
from tests.system.storehouse import flaws, leftovers
from tests.system.test_image_create import Workshop, shop

__all__ = ["shop"]


def test_a_root_from_nothing(shop: Workshop, tmp_path: Path) -> None:
    shop.package("extra", {"usr/share/extra/file": "extra"})
    made = shop.create(tmp_path / "image.raw")
    profile = ImageProfile("tiny", sets=("tiny",), kernel="tiny", packages=("extra",), hostname="fresh")
    known = {"cache": shop.cache, "progress": Progress()}
    with open_image(made.path, writable=True, purpose="test") as image:
        store = Store.open(image.top, image.esp, writable=True)
        manifest = load_manifest(shop.base / "packages.toml")
        plan = plan_root(store, profile, manifest, shop.channels, shop.repository, **known)  # type: ignore[arg-type]
        assert {item.name for item in plan.packages.install} >= {"extra", "system", "linux-rastos-tiny"}
        faults.arm("packages-installed=error")
        with pytest.raises(HostError, match="injected"):
            create_root(store, plan, shop.channels, **known)  # type: ignore[arg-type]
        faults.disarm()
        assert len(store.snapshots()) == 1 and leftovers(store) == []
        fresh = create_root(store, plan, shop.channels, name="fresh", **known)  # type: ignore[arg-type]
        assert (fresh.parent, fresh.name, fresh.kernel) == (None, "fresh", store.snapshot(0).kernel)
        tree = store.tree(fresh.id)
        assert (tree / "etc/hostname").read_text() == "fresh\n" and (tree / "usr/share/extra/file").is_file()
        assert (tree / "etc/fstab").read_text() == (store.tree(0) / "etc/fstab").read_text()
        deploy(store, plan_deploy(store, fresh.id), Progress())
        assert flaws(store) == [] and leftovers(store) == []
        (store.top / "image.json").write_text("{}")
        with pytest.raises(IntegrityError, match="partitions"):
            plan_root(store, replace(profile), manifest, shop.channels, shop.repository, **known)  # type: ignore[arg-type]
