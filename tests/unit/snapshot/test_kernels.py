"""Kernels side by side in one tree: which is the newest, and which a deployment boots."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.snapshot.kernels import TreeKernel, choose_kernel, kernel_release, kernels_in

CONTAINER = TreeKernel("6.12.117-rastos-container", "linux-rastos-container", "container")
PRODUCTION = TreeKernel("6.12.117-rastos-production", "linux-rastos-production", "production")
NEWER = TreeKernel("6.12.120-rastos-container", "linux-rastos-container", "container")
FOREIGN = TreeKernel("6.1.0-9-amd64", "", "")


def put(tree: Path, kernel: TreeKernel) -> None:
    folder = tree / "usr/lib/modules" / kernel.release
    folder.mkdir(parents=True)
    (folder / "vmlinuz").write_bytes(b"kernel")
    if kernel.package:
        (folder / "pkgbase").write_text(f"{kernel.package}\n")
        (folder / "rastos.json").write_text(json.dumps({"profile": kernel.profile}))


def test_kernels_of_a_tree_newest_first(tmp_path: Path) -> None:
    assert kernels_in(tmp_path) == () and kernel_release(tmp_path) == ""
    for kernel in (FOREIGN, CONTAINER, NEWER):
        put(tmp_path, kernel)
    (tmp_path / "usr/lib/modules/6.99-removed").mkdir()  # modules without a kernel
    assert kernels_in(tmp_path) == (NEWER, CONTAINER, FOREIGN)
    assert kernel_release(tmp_path) == NEWER.release
    (tmp_path / "usr/lib/modules" / NEWER.release / "rastos.json").write_text("{")
    assert kernels_in(tmp_path)[0] == TreeKernel(NEWER.release, NEWER.package, "")


@pytest.mark.parametrize("name", ["production", "linux-rastos-production", "6.12.117-rastos-production"])
def test_one_can_be_named(name: str) -> None:
    assert choose_kernel((CONTAINER, PRODUCTION), name, [CONTAINER]) == PRODUCTION.release
    with pytest.raises(UserError, match=f"no kernel '{name}'") as caught:
        choose_kernel((CONTAINER, FOREIGN), name, [])
    assert "container (6.12.117-rastos-container), ? (6.1.0-9-amd64)" in caught.value.next_step


def test_what_was_booted_is_followed() -> None:
    assert choose_kernel((PRODUCTION, CONTAINER), "", []) == PRODUCTION.release, "nothing was booted: the first"
    assert choose_kernel((PRODUCTION, CONTAINER), "", [CONTAINER]) == CONTAINER.release, "another one came beside it"
    assert choose_kernel((NEWER, PRODUCTION), "", [CONTAINER]) == NEWER.release, "its package was updated"
    assert choose_kernel((NEWER, CONTAINER), "", [CONTAINER]) == CONTAINER.release, "the very same one is there"
    assert choose_kernel((PRODUCTION,), "", [CONTAINER]) == PRODUCTION.release, "it is gone"
    assert choose_kernel((CONTAINER, PRODUCTION), "", [PRODUCTION, CONTAINER]) == PRODUCTION.release
    assert choose_kernel((CONTAINER, FOREIGN), "", [FOREIGN]) == FOREIGN.release
    assert choose_kernel((), "", [CONTAINER]) == ""
