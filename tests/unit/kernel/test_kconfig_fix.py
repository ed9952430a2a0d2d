"""Why a request was dropped and the fewest lines that would satisfy it, on a tree with every kind of obstacle."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.kernel import Dropped, merge
from rastos.kernel import kconfig as room

KCONFIG = """\
mainmenu "Small"

config MODULES
\tbool "Modules"
\tmodules

config EXPERT
\tbool "Expert"

menu "Buses"

menuconfig BUS
\ttristate "Bus"

if BUS

config BUS_HOST
\tbool "Host controller"
\tdefault y

config BUS_DISK
\ttristate "Disks on the bus"
\tdepends on BUS_HOST && LIBRARY

endif

endmenu

config LIBRARY
\ttristate

config NET
\tbool "Networking"
\tselect LIBRARY

config ARCHIVE
\tbool "Archives"
\tselect LIBRARY
\tselect CHECKSUM

config CHECKSUM
\tbool "Checksums" if EXPERT

choice
\tprompt "Preemption"

config PREEMPT_NONE
\tbool "None"

config PREEMPT_FULL
\tbool "Full"

endchoice

config LATENCY
\tbool "Latency"
\tdepends on PREEMPT_FULL && !NET

config SHIFT
\tint "Shift"
\trange 12 25
\tdefault 17

config ALONE
\tbool

config MODE
\tstring "Mode"
\tdefault "plain"

config PLUGINS
\tbool "Plugins of the compiler"
\tdepends on NET && $(shell,echo n)

config FANCY
\tbool "Fancy"
\tdepends on MODE = "fancy" && SHIFT > 3
"""


def explained(tmp_path: Path, text: str, final: str) -> dict[str, Dropped]:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "Kconfig").write_text(KCONFIG)
    (tmp_path / "one.config").write_text(text)
    (tmp_path / ".config").write_text(final)
    merged = merge([tmp_path / "one.config"])
    dropped = room.compare(merged, room.read_config(tmp_path / ".config"))
    return {item.request.symbol: item for item in room.explain(dropped, merged, tmp_path / ".config", tree, "6.12.0")}


def test_fewest_lines_through_menus_and_selected_symbols(tmp_path: Path) -> None:
    found = explained(tmp_path, "CONFIG_BUS_DISK=y\nCONFIG_LIBRARY=y\n", "CONFIG_PREEMPT_NONE=y\nCONFIG_SHIFT=17\n")
    disk = found["BUS_DISK"]
    # BUS_HOST is `default y`, but allnoconfig turns off what nobody asks for; NET is the shorter way to LIBRARY
    assert set(disk.fix[:-1]) == {"CONFIG_BUS=y", "CONFIG_BUS_HOST=y"} and disk.fix[-1] == "CONFIG_NET=y"
    assert "needs BUS_HOST and LIBRARY and BUS" in str(disk) and "; add CONFIG_BUS=y" in str(disk)
    library = found["LIBRARY"]
    assert library.fix == ("CONFIG_NET=y",)
    assert "selected by NET, ARCHIVE" in library.note


def test_a_module_needs_modules_and_a_module_limits(tmp_path: Path) -> None:
    final = "CONFIG_NET=y\nCONFIG_BUS=y\nCONFIG_BUS_HOST=y\nCONFIG_BUS_DISK=y\n"
    assert explained(tmp_path, "CONFIG_BUS_DISK=m\n", final)["BUS_DISK"].fix == ("CONFIG_MODULES=y",)


def test_a_module_below_is_what_limits(tmp_path: Path) -> None:
    final = "CONFIG_MODULES=y\nCONFIG_NET=y\nCONFIG_BUS=m\nCONFIG_BUS_HOST=y\nCONFIG_BUS_DISK=m\n"
    asked = "CONFIG_BUS=m\nCONFIG_BUS_DISK=y\nCONFIG_EXPERT=m\n"
    found = explained(tmp_path, asked, final)
    assert found["BUS_DISK"].unmet == ("BUS (which is m)",)
    assert found["BUS_DISK"].fix == ()
    assert "one.config:1 asks for CONFIG_BUS=m" in str(found["BUS_DISK"])
    assert "on or off, never a module" in found["EXPERT"].note


def test_a_choice_and_a_request_in_the_way(tmp_path: Path) -> None:
    asked = "CONFIG_PREEMPT_NONE=y\nCONFIG_NET=y\nCONFIG_LATENCY=y\nCONFIG_PREEMPT_FULL=y\n"
    found = explained(tmp_path, asked, "CONFIG_PREEMPT_NONE=y\nCONFIG_NET=y\n")
    assert found["PREEMPT_FULL"].unmet == ("to be chosen in place of PREEMPT_NONE",)
    assert "one.config:1 asks for CONFIG_PREEMPT_NONE=y" in found["PREEMPT_FULL"].note
    assert not found["LATENCY"].fix, "no lines could satisfy it without changing what was asked"
    assert "one.config:2 asks for CONFIG_NET=y" in found["LATENCY"].note


def test_off_but_selected(tmp_path: Path) -> None:
    asked = "CONFIG_NET=y\n# CONFIG_CHECKSUM is not set\nCONFIG_PREEMPT_NONE=n\n"
    final = "CONFIG_NET=y\nCONFIG_ARCHIVE=y\nCONFIG_LIBRARY=y\nCONFIG_CHECKSUM=y\nCONFIG_PREEMPT_NONE=y\n"
    found = explained(tmp_path, asked, final)
    assert found["CHECKSUM"].forced_by == ("ARCHIVE",)
    assert found["CHECKSUM"].fix == ("# CONFIG_ARCHIVE is not set",)
    assert "ask for another: PREEMPT_FULL" in str(found["PREEMPT_NONE"])


def test_off_but_selected_by_what_was_asked_for(tmp_path: Path) -> None:
    asked = "CONFIG_ARCHIVE=y\nCONFIG_EXPERT=y\nCONFIG_CHECKSUM=n\n"
    final = "CONFIG_ARCHIVE=y\nCONFIG_EXPERT=y\nCONFIG_LIBRARY=y\nCONFIG_CHECKSUM=y\n"
    found = explained(tmp_path, asked, final)["CHECKSUM"]
    assert found.forced_by == ("ARCHIVE",) and not found.fix
    assert "one.config:1 asks for CONFIG_ARCHIVE=y" in str(found)


def test_texts_numbers_and_what_nothing_selects(tmp_path: Path) -> None:
    asked = "CONFIG_SHIFT=99\nCONFIG_FANCY=y\nCONFIG_ALONE=y\n"
    found = explained(tmp_path, asked, 'CONFIG_SHIFT=17\nCONFIG_MODE="plain"\n')
    assert found["SHIFT"].unmet == ("a number from 12 to 25",)
    assert found["FANCY"].fix == ('CONFIG_MODE="fancy"',)
    assert "nothing selects it" in found["ALONE"].note


def test_what_a_probe_of_the_compiler_decides(tmp_path: Path) -> None:
    found = explained(tmp_path, "CONFIG_PLUGINS=y\nCONFIG_NET=y\n", "CONFIG_NET=y\n")["PLUGINS"]
    assert len(found.unmet) == 1 and "a probe of compiler or system didn't find (in Kconfig, line " in found.unmet[0]
    assert not found.fix


def test_the_error_ends_with_the_lines_to_add(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        tree = tmp_path / "tree"
        tree.mkdir()
        (tree / "Kconfig").write_text(KCONFIG)
        (tmp_path / "one.config").write_text("CONFIG_BUS_HOST=y\nCONFIG_LIBRARY=y\n")
        (tmp_path / ".config").write_text("")
        room.check(merge([tmp_path / "one.config"]), tmp_path / ".config", tree, "6.12.0")
    assert caught.value.next_step.startswith("add to a fragment: CONFIG_BUS=y, CONFIG_NET=y; or take")
