"""The micro kernel of tests/kernels, built once per machine: what tests of modules, signing and packages start from.

Its sources and build tree lie in the cache that the environment names (RASTOS_CACHE, else the checkout's .rastos/cache), so
that a second session finds it built; its packages go to a repository of their own beside it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rastos.kernel import BuildPlan, BuiltKernel, build, load_profile, plan_build
from rastos.package import LocalRepository
from rastos.progress import Progress
from tests.conftest import ROOT, need

CACHE = Path(os.environ.get("RASTOS_CACHE") or ROOT / ".rastos/cache").absolute() / "kernel"
REPOSITORY = LocalRepository(CACHE.parent / "tests/micro-repository")
FOLDERS = [ROOT / "tests/kernels", ROOT / "profiles"]


def plan_micro(settings: tuple[str, ...] = ()) -> BuildPlan:
    """The plan of the micro kernel, `settings` like "X=y" beside its fragment."""
    profile = load_profile("micro", FOLDERS)
    jobs = len(os.sched_getaffinity(0))
    return plan_build(profile, settings=settings, jobs=jobs, cache=CACHE, repository=REPOSITORY)


@pytest.fixture(scope="session")
def micro_kernel() -> BuiltKernel:
    """The packaged micro kernel; its build tree (objects, .config, certs) is `plan_micro().tree`."""
    need("gcc", "make", "bc", "flex", "bison", "depmod", "apt-get")
    return build(plan_micro(), Progress())


def build_tree_key() -> Path:
    """The key that signed the modules of the micro kernel: key and certificate in one PEM file."""
    certs = plan_micro().tree / "certs"
    ours = certs / "rastos-signing.pem"
    return ours if ours.exists() else certs / "signing_key.pem"
