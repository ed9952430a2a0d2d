"""The documentation knows every command and every key."""

from __future__ import annotations

import re
from pathlib import Path

import click

from rastos.package.manifest.keys import MANIFEST, Key
from tests.commands import leaves
from tests.conftest import ROOT

DOCS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}


def _names(keys: tuple[Key, ...]) -> set[str]:
    return {key.name for key in keys} | {name for key in keys for name in _names(key.table)}


def test_every_key_of_the_manifest_is_documented() -> None:
    known = set(re.findall(r"`(\w+)`", DOCS["manifest.md"])) | set(re.findall(r"\b(\w+) = ", DOCS["manifest.md"]))
    assert not _names(MANIFEST) - known


def test_the_manifest_shown_is_one(tmp_path: object) -> None:
    from pathlib import Path

    from rastos.package import load_manifest

    blocks = re.findall(r"```toml\n(.*?)```", DOCS["manifest.md"], re.DOTALL)
    whole = next(block for block in blocks if "[channels.core]" in block)
    folder = Path(str(tmp_path))
    (folder / "hosts").mkdir()
    (folder / "hosts/one.toml").write_text("schema = 1\n")
    (folder / "packages.toml").write_text(whole)
    manifest = load_manifest(folder / "packages.toml")
    assert manifest.used_sets == ("server",) and manifest.hooks and manifest.replace and manifest.pin


def test_every_package_command_has_an_example() -> None:
    from rastos.cli.package import package

    text = "\n".join(DOCS.values())
    assert not [name for name in sorted(leaves(package, "rastos", "package")) if name not in text]


def test_options_of_examples_exist() -> None:
    from rastos.cli.app import cli

    wrong = []
    for line in "\n".join(DOCS.values()).splitlines():
        for example in re.findall(r"(?:^|\s{2,}|`)(rastos [a-z](?:(?!  )[^#`])*)", line):
            words = example.split()
            command: click.Command | None = cli
            context = click.Context(cli)
            while isinstance(command, click.Group) and len(words) > 1 and not words[1].startswith("-"):
                words = words[1:]
                command = command.get_command(context, words[0])
            if command is None:
                wrong.append(example)
                continue
            known = {option for item in command.params for option in (*item.opts, *item.secondary_opts)}
            used = (
                [word for word in words[: words.index("--")] if word.startswith("-")]
                if "--" in words
                else [word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)]
            )
            wrong += [f"{example.strip()}: {option}" for option in used if option not in {*known, "--help"}]
    assert not wrong


def test_every_kernel_option_belongs_to_a_group_with_a_purpose() -> None:
    from rastos.kernel import fragment_files, option_groups

    groups = option_groups(fragment_files([ROOT / "profiles"]))
    assert len(groups) > 40
    assert not [f"{item.fragment}: {', '.join(item.symbols)}" for item in groups if not item.purpose]
    assert not [f"{item.fragment}:{item.line} {item.title}" for item in groups if not item.requests]


def test_the_table_of_option_groups_is_what_the_fragments_say() -> None:
    """Where it isn't: put what `rastos kernel profiles --groups` prints at the end of docs/kernel-profiles.md."""
    from rastos.cli.kernel.profiles import group_table
    from rastos.kernel import fragment_files, profiles

    folders = [ROOT / "profiles"]
    written = DOCS["kernel-profiles.md"].partition("\n| group |")[2]
    assert f"| group |{written}" == group_table(profiles(folders), fragment_files(folders))


def test_every_kernel_config_command_has_an_example() -> None:
    from rastos.cli.kernel.config import config

    text = "\n".join(DOCS.values())
    assert not [name for name in sorted(leaves(config, "rastos", "kernel", "config")) if name not in text]


def test_the_tables_of_profile_keys_are_what_the_code_reads() -> None:
    """Where they aren't: put what `rastos image profiles --keys` prints at the end of docs/image-profiles.md."""
    from rastos.cli.image.profiles import key_tables
    from rastos.installer import IMAGE_KEYS

    text = DOCS["image-profiles.md"]
    assert text.partition("prints these tables.\n\n")[2] == key_tables(IMAGE_KEYS)


def test_the_profile_shown_is_one(tmp_path: Path) -> None:
    from rastos.installer import load_image_profile

    (block,) = re.findall(r"```toml\n(.*?)```", DOCS["image-profiles.md"], re.DOTALL)
    place = tmp_path / "web.toml"
    place.write_text(block)
    shown = load_image_profile(str(place), [ROOT / "profiles"])
    assert (
        shown.ancestors == ("server", "minimal")
        and "crun" not in shown.packages
        and shown.network.interfaces[1].vlan == 7
    )


def test_every_shipped_profile_is_documented() -> None:
    from rastos.installer import image_profiles

    names = set(re.findall(r"^\| `([a-z-]+)`", DOCS["image-profiles.md"], re.MULTILINE))
    assert set(image_profiles([ROOT / "profiles"])) <= names
