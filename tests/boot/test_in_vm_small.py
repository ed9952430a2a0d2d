"""The same image in the machine as here, of a few small packages: byte for byte, with progress and errors as they are here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import RastosError
from rastos.installer import Image, create_image_in_vm
from rastos.package import LocalRepository
from rastos.progress import Began, Event, Progress
from tests.boot.conftest import environment
from tests.conftest import need, unmet
from tests.system.test_image_create import Workshop, shop  # noqa: F401  (a fixture)

pytestmark = pytest.mark.long  # they need the container kernel, which takes long to build


def in_vm(shop: Workshop, output: Path, progress: Progress, **changes: object) -> Image:  # noqa: F811
    need("qemu-system-x86_64")
    repository = LocalRepository(Path(environment()["RASTOS_STATE"]) / "repository")
    if repository.find("linux-rastos-container") is None:
        unmet("kernel container: `rastos kernel build --profile container`")
    plan = replace(shop.plan(output, **changes), use_cache=False)
    return create_image_in_vm(plan, shop.channels, repository, cache=shop.cache, progress=progress, timeout=300)


def test_the_machine_makes_the_image_root_makes(shop: Workshop, tmp_path: Path) -> None:  # noqa: F811
    here, there = tmp_path / "here.raw", tmp_path / "there.raw"
    first = shop.create(here, format="raw", hostname="box")
    seen: list[Event] = []
    second = in_vm(shop, there, Progress(seen.append), format="raw", hostname="box")
    assert second.key == first.key and not second.cached
    kept = {"keep the packages for the next image"}  # nobody would see what the machine keeps
    assert {name for name, _ in first.seconds} - kept <= {name for name, _ in second.seconds}
    assert any(isinstance(event, Began) and event.label == "First snapshot" for event in seen)
    with here.open("rb") as one, there.open("rb") as other:  # the partition table and the ESP, bit by bit
        assert one.read(41 << 20) == other.read(41 << 20)
    assert shop.leftovers() == [] and shop.plan(tmp_path / "again.raw", format="raw", hostname="box").cached


def test_an_error_in_the_machine_is_the_error_here(shop: Workshop, tmp_path: Path) -> None:  # noqa: F811
    output = tmp_path / "out/tiny.qcow2"
    with pytest.raises(RastosError) as here:
        shop.create(output, enable=("nothing.service",))
    with pytest.raises(RastosError) as there:
        in_vm(shop, output, Progress(), enable=("nothing.service",))
    assert (type(there.value), there.value.what, there.value.next_step) == (
        type(here.value),
        here.value.what,
        here.value.next_step,
    )
    assert not output.exists() and shop.leftovers() == []
