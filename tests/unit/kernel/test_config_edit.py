"""A configuration edited by a program in the menu's place: the fewest lines, which give exactly what was edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.kernel import BuildPlan, EditedConfig, Editor, edit_config, parse_fragment, save_edited
from rastos.progress import Progress
from tests.unit.kernel.small_kernel import Planner, planner, resolved, source

__all__ = ["planner"]


def writes(*lines: str) -> Editor:
    """An editor that replaces or adds lines, as a person would in the file."""

    def edit(plan: BuildPlan) -> None:
        config = plan.tree / ".config"
        names = {line.removeprefix("# ").split("=")[0].split()[0] for line in lines}
        kept = [
            line
            for line in config.read_text().splitlines()
            if line.removeprefix("# ").split("=")[0].split()[:1] not in [[name] for name in names]
        ]
        config.write_text("\n".join([*kept, *lines, ""]))

    return edit


def edited(plan: BuildPlan, output: Path, *lines: str) -> EditedConfig:
    return edit_config(plan, writes(*lines), output, Progress())


def asked(result: EditedConfig) -> dict[str, str]:
    return {item.symbol: item.value for item in result.lines}


def test_the_fewest_lines_give_what_was_edited(tmp_path: Path, planner: Planner) -> None:
    plan = planner(source(tmp_path / "linux"))
    output = tmp_path / "out/small-local.config"
    result = edited(plan, output, "CONFIG_NET=y", "CONFIG_SUMS=y", 'CONFIG_NAME="mine"', "CONFIG_PREEMPT_FULL=y")
    # SUMS is selected by NET, and PREEMPT_NONE gives way to PREEMPT_FULL
    assert asked(result) == {"NET": "y", "NAME": '"mine"', "PREEMPT_FULL": "y"}
    assert result.changed == 6 and not output.exists()
    save_edited(result)
    assert {item.symbol: item.value for item in parse_fragment(output)} == asked(result)
    assert not list((tmp_path / "cache/work").iterdir())


def test_default_of_what_becomes_visible_and_a_value_that_a_menu_keeps(tmp_path: Path, planner: Planner) -> None:
    plan = planner(source(tmp_path / "linux"))
    result = edited(plan, tmp_path / "o.config", "CONFIG_BUS_HOST=y", "CONFIG_BUS_DISK=y")
    # SLOTS stays 4 in a menu; a build of profile and fragment would make it 16, so it needs a line
    assert asked(result) == {"BUS_HOST": "y", "BUS_DISK": "y", "BUS_SLOTS": "4"}


def test_off_takes_the_profiles_requests_along(tmp_path: Path, planner: Planner) -> None:
    plan = planner(source(tmp_path / "linux"), "CONFIG_BUS=y\nCONFIG_BUS_HOST=y\nCONFIG_NET=y\n")
    result = edited(plan, tmp_path / "o.config", "# CONFIG_BUS is not set")
    # without the line for BUS_HOST a build would refuse it as dropped
    assert asked(result) == {"BUS": "n", "BUS_HOST": "n"}
    assert "# CONFIG_BUS is not set\n" in result.text


def test_what_was_selected_and_stays_in_the_menu(tmp_path: Path, planner: Planner) -> None:
    plan = planner(source(tmp_path / "linux"), "CONFIG_NET=y\n")
    result = edited(plan, tmp_path / "o.config", "# CONFIG_NET is not set")
    # the menu leaves SUMS on, a build wouldn't; TABLES follows from it
    assert asked(result) == {"SUMS": "y", "NET": "n"}


def test_nothing_changed_and_nothing_but_comments(tmp_path: Path, planner: Planner) -> None:
    plan = planner(source(tmp_path / "linux"))
    assert edited(plan, tmp_path / "o.config", "# a comment").same


def test_a_second_edit_starts_from_the_first_and_replaces_it(tmp_path: Path, planner: Planner) -> None:
    tree = source(tmp_path / "linux")
    output = tmp_path / "profiles/kernel/fragments/small-local.config"
    save_edited(edited(planner(tree), output, "CONFIG_NET=y"))
    result = edited(planner(tree), output, "CONFIG_MODULES=y")
    assert asked(result) == {"NET": "y", "MODULES": "y"}, "whether or not the profile names the fragment"
    assert edited(planner(tree), output, "# CONFIG_NET is not set", "# CONFIG_SUMS is not set").text.count("=") == 0


def test_on_a_defconfig(tmp_path: Path, planner: Planner) -> None:
    tree = source(tmp_path / "linux", defconfig="CONFIG_NET=y\n")
    plan = planner(tree, "CONFIG_MODULES=y\n", 'base = "small_defconfig"\n')
    result = edited(plan, tmp_path / "o.config", "CONFIG_BUS=y", "CONFIG_BUS_HOST=y", "# CONFIG_NET is not set")
    # on a defconfig BUS_HOST is on by default; SUMS was only selected, and stays on as the menu's own value
    assert asked(result) == {"BUS": "y", "NET": "n"}


def test_what_the_menu_breaks_off_changes_nothing(tmp_path: Path, planner: Planner) -> None:
    def stops(plan: BuildPlan) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        edit_config(planner(source(tmp_path / "linux")), stops, tmp_path / "o.config", Progress())
    assert not list((tmp_path / "cache/work").iterdir()) and not (tmp_path / "o.config").exists()


def test_a_fragment_in_the_middle_is_refused(tmp_path: Path, planner: Planner) -> None:
    folder = tmp_path / "profiles/kernel/fragments"
    folder.mkdir(parents=True)
    (folder / "small-local.config").write_text("")
    plan = planner(source(tmp_path / "linux"))
    with pytest.raises(UserError, match="others come after it"):
        edited(plan, folder / "10-one.config", "CONFIG_NET=y")


def test_resolved_is_kept_and_needs_no_compiler_output(tmp_path: Path, planner: Planner) -> None:
    tree = source(tmp_path / "linux")
    first = resolved(planner(tree))
    assert first.values["BUS"] == "y" and "BUS_HOST" not in first.values
    (tree / "Kconfig").write_text("nonsense")
    assert first.config.read_text() and first.config.parent.name == "configs"
