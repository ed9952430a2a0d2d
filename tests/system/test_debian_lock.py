"""The real archive of this host: a lockfile of the base set, installed twice, gives the same tree to the last attribute."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.package import (
    LocalRepository,
    apply_plan,
    find_config_files,
    load_manifest,
    make_lock,
    manifest_of_tree,
    open_channels,
    plan_locked,
    read_lockfile,
    target_for,
    tree_differences,
    verify,
    write_lockfile,
)
from rastos.progress import Progress
from tests.conftest import ROOT


def test_two_trees_of_one_lockfile_are_the_same(tmp_path: Path) -> None:
    cache = Path(os.environ.get("RASTOS_CACHE", tmp_path / "cache"))
    manifest = load_manifest(ROOT / "packages.toml")
    repository = LocalRepository(tmp_path / "repository")
    channels = open_channels(manifest, cache=cache, repository=repository)
    nowhere = target_for(tmp_path / "nowhere", cache)
    made = make_lock(nowhere, channels, manifest, ["base"], Progress())
    write_lockfile(tmp_path / "packages.lock", made)
    lock = read_lockfile(tmp_path / "packages.lock")
    trees = []
    for name in ("one", "two"):
        target = target_for(tmp_path / name, cache)
        apply_plan(target, channels, plan_locked(target, lock, channels), Progress())
        assert plan_locked(target, lock, channels).nothing
        found = verify(target, (), Progress())
        assert found.packages == len(lock.packages) > 100
        assert not found.altered, "what the maintainer scripts set counts as it was left"
        assert find_config_files(target) == ()
        trees.append(manifest_of_tree(target))
    assert len(trees[0]) > 8000
    assert tree_differences(*trees) == ()
