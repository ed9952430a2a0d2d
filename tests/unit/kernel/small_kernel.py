"""A source tree of a page whose make configures by kconfiglib: Kconfig as it is, without the kernel's compile checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rastos.kernel import BuildPlan, ResolvedConfig, load_profile, plan_build, resolve_config
from rastos.package import LocalRepository
from rastos.progress import Progress

MAKEFILE = f"""\
# SPDX-License-Identifier: GPL-2.0
VERSION = {{version[0]}}
PATCHLEVEL = {{version[1]}}
SUBLEVEL = {{version[2]}}
EXTRAVERSION =
SRC := $(CURDIR)
RUN := cd $(SRC) && srctree=$(SRC) KCONFIG_CONFIG=$(O)/.config {sys.executable} -P -m
.PHONY: allnoconfig olddefconfig small_defconfig menuconfig nconfig
allnoconfig:
\t@$(RUN) allnoconfig >/dev/null
olddefconfig:
\t@$(RUN) olddefconfig >/dev/null
menuconfig nconfig:
\t@test -t 0 && test -t 1 && echo menu $@ && sed -i '/CONFIG_NET\\b/d' $(O)/.config && echo CONFIG_NET=y >> $(O)/.config
small_defconfig:
\t@cp $(SRC)/small_defconfig $(O)/.config && $(RUN) olddefconfig >/dev/null
"""

KCONFIG = """\
mainmenu "Small"

config MODULES
\tbool "Modules"
\toption modules

menu "Buses"

menuconfig BUS
\tbool "Bus"

if BUS

config BUS_HOST
\ttristate "Host controller"
\tdefault y
\thelp
\t  Drives the bus.

config BUS_DISK
\tbool "Disks on the bus"
\tdepends on BUS_HOST

config BUS_SLOTS
\tint "Slots"
\tdefault 16 if BUS_DISK
\tdefault 4

endif

endmenu

config NET
\tbool "Networking"
\tselect SUMS

config SUMS
\tbool "Checksums"
\tselect TABLES

config TABLES
\tbool

choice
\tprompt "Preemption"

config PREEMPT_NONE
\tbool "None"

config PREEMPT_FULL
\tbool "Full"

endchoice

config NAME
\tstring "Name"
\tdefault "small"
"""

Planner = Callable[..., BuildPlan]


def source(folder: Path, version: str = "6.12.9", kconfig: str = KCONFIG, defconfig: str = "") -> Path:
    """Write such a tree."""
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text(MAKEFILE.format(version=version.split(".")))
    (folder / "Kconfig").write_text(kconfig)
    (folder / "small_defconfig").write_text(defconfig)
    return folder


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    """Plans of the profile `small` in a project folder: fragment text and further keys of the profile."""

    def plan(tree: Path, fragment: str = "CONFIG_BUS=y\n", keys: str = "") -> BuildPlan:
        folder = tmp_path / "profiles/kernel/fragments"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "10-one.config").write_text(fragment)
        names = '"10-one"' + (', "small-local"' if (folder / "small-local.config").exists() and not keys else "")
        (folder.parent / "small.toml").write_text(f"fragments = [{names}]\n{keys}")
        return plan_build(
            load_profile("small", [tmp_path / "profiles"]),
            source=str(tree),
            jobs=1,
            cache=tmp_path / "cache",
            repository=LocalRepository(tmp_path / "repository"),
        )

    return plan


def project(folder: Path, fragment: str = "CONFIG_BUS=y\nCONFIG_NET=y\nCONFIG_NET=n\n") -> Path:
    """A project with the profile `small` and the sources old (6.12.9) and new (6.18.1)."""
    fragments = folder / "profiles/kernel/fragments"
    fragments.mkdir(parents=True)
    (fragments / "10-one.config").write_text(fragment)
    (fragments / "82-more.config").write_text("CONFIG_MODULES=y\n")
    (folder / "profiles/kernel/small.toml").write_text('fragments = ["10-one"]\n')
    (folder / "packages.toml").write_text("schema = 1\n")
    source(folder / "old")
    source(
        folder / "new", "6.18.1", KCONFIG.replace("config BUS\n", "config TRAIN\n").replace("if BUS\n", "if TRAIN\n")
    )
    return folder


def resolved(plan: BuildPlan) -> ResolvedConfig:
    """Configured, without a display."""
    return resolve_config(plan, Progress())
