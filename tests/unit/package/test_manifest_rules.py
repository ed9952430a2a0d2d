"""The manifest's rules, conditions, includes and schema; editing that keeps comments and order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rastos.errors import UserError
from rastos.package import DeclaredPackage, Facts, Manifest, add_packages, json_schema, load_manifest, remove_packages
from rastos.package.manifest.keys import MANIFEST, Key
from rastos.package.manifest.model import Constraint

PROJECT = Path(__file__).parents[3]


def read(tmp_path: Path, text: str) -> Manifest:
    path = tmp_path / "packages.toml"
    path.write_text(text)
    return load_manifest(path)


def test_packages_with_demands(tmp_path: Path) -> None:
    text = """
pin = { lib = ">=1, <2" }
[sets.base]
packages = ["plain", "extra/named", "old<3", { name = "full", version = "1.2", source = "aur", reason = "why not" }]
[sets.more]
include = ["base"]
packages = [{ name = "full", version = ">=1" }]
"""
    manifest = read(tmp_path, text)
    assert manifest.pin["lib"] == (Constraint(">=", "1"), Constraint("<", "2"))
    plain, named, old, full = manifest.declared(["more"])
    assert plain == DeclaredPackage("plain")
    assert (named.channel, named.target) == ("extra", "extra/named")
    assert old.version == (Constraint("<", "3"),)
    assert [str(item) for item in full.version] == ["=1.2", ">=1"], "demands add up"
    assert (full.source, full.reason) == ("aur", "why not")


def test_conditions(tmp_path: Path) -> None:
    text = """
[sets.base]
packages = ["always", { name = "web", when = { host = "web*" } }]
[sets.big]
include = ["base"]
exclude = ["alw*"]
when = { arch = ["x86_64"], profile = "server" }
packages = ["big"]
"""
    manifest = read(tmp_path, text)
    assert manifest.select(["base"]) == ("always",)
    assert manifest.select(["base"], Facts(host="web3")) == ("always", "web")
    assert manifest.select(["big"], Facts(host="web3", profile="server", arch="x86_64")) == ("web", "big")
    assert manifest.select(["big"], Facts(profile="server", arch="riscv64")) == ()


def test_includes_are_merged_and_said_where_they_disagree(tmp_path: Path) -> None:
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts/a.toml").write_text('hold = ["glibc"]\n[sets.extra]\ninclude = ["base"]\npackages = ["x"]')
    manifest = read(
        tmp_path, 'include = "hosts/*.toml"\nhold = ["linux"]\nuse = ["extra"]\n[sets.base]\npackages = ["b"]'
    )
    assert manifest.select(manifest.used_sets) == ("b", "x")
    assert manifest.hold == ("linux", "glibc")
    (tmp_path / "hosts/b.toml").write_text('[sets.base]\npackages = ["other"]')
    with pytest.raises(UserError, match="sets.base is here and in"):
        load_manifest(tmp_path / "packages.toml")
    (tmp_path / "hosts/b.toml").write_text('include = "../packages.toml"')
    with pytest.raises(UserError, match="include each other"):
        load_manifest(tmp_path / "packages.toml")
    (tmp_path / "hosts/b.toml").write_text("[sets.b]\npackags = []")
    with pytest.raises(UserError) as caught:
        load_manifest(tmp_path / "packages.toml")
    assert caught.value.on == f"{tmp_path}/hosts/b.toml:2:1", "the error names the file it is in"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('pin = { a = "newest" }', "", "expected versions"),
        ("[pin]\na = 3", "2:1", "a is 3, expected versions"),
        ('undeclared = "drop"', "1:1", "expected one of keep, remove"),
        ('[sets.x]\npackages = [{ nam = "a" }]', "2:15", "unknown key 'nam'"),
        ("[sets.x]\npackages = [{ version = '1' }]", "", "lacks 'name'"),
        ('[[hooks]]\nwhen = "post"', "1:3", "lacks 'run'"),
        ('[channels.a]\nkind = "pacman"\nserver = "x"\ntrusted = ["DEADBEEF"]', "4:13", "expected a fingerprint"),
        ('use = ["nope"]\n[sets.a]\npackages = []', "1:9", "unknown set 'nope'"),
        ('packages = ["../x"]', "1:14", "expected a name"),
        ('include = "nothing*.toml"', "1:12", "include names no file"),
        ("schema = true", "1:1", "expected 1"),
        ("replace = { a = true }", "1:13", "expected a name"),
    ],
)
def test_errors_say_where_and_what(tmp_path: Path, text: str, where: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, text)
    if where:
        assert caught.value.on == f"{tmp_path / 'packages.toml'}:{where}"
    assert what in caught.value.what
    assert caught.value.next_step


def test_the_digest_follows_what_decides_and_nothing_else(tmp_path: Path) -> None:
    def digest(text: str) -> str:
        manifest = read(tmp_path, text)
        return manifest.digest(manifest.declared(manifest.used_sets))

    base = digest('packages = ["a", "b"]')
    assert digest('# hello\npackages = ["b", "a"]') == base, "order and comments decide nothing"
    assert digest('packages = [{ name = "a", reason = "x" }, "b"]') == base
    assert digest('packages = ["a", "b>1"]') != base
    assert digest('packages = ["a", "b"]\n[prefer]\nawk = "mawk"') != base


def _walk(keys: tuple[Key, ...], schema: dict[str, Any]) -> int:
    assert set(schema["properties"]) == {key.name for key in keys}
    assert schema["additionalProperties"] is False
    count = len(keys)
    for key in keys:
        below = schema["properties"][key.name]
        assert below["description"] == key.help
        if key.table:
            inner = below.get("items") or below.get("additionalProperties") or below
            count += _walk(key.table, inner.get("anyOf", [inner])[0])
    return count


def test_the_json_schema_has_every_key() -> None:
    assert _walk(MANIFEST, json_schema()) > 40


def test_adding_keeps_comments_and_order(tmp_path: Path) -> None:
    path = tmp_path / "packages.toml"
    path.write_text('# mine\nschema = 1\n[sets.base]\npackages = [\n  "bash",  # the shell\n  "vim",\n]\n')
    edit = add_packages(path, ["htop", "vim"], into="base")
    assert edit.added == (("base", "htop"),)
    assert (
        edit.text == '# mine\nschema = 1\n[sets.base]\npackages = [\n  "bash",  # the shell\n  "vim",\n  "htop",\n]\n'
    )
    with_version = add_packages(path, ["htop"], into="base", version=">=3", reason="to look")
    assert '{name = "htop", version = ">=3", reason = "to look"}' in with_version.text
    made = add_packages(path, ["podman"], into="container")
    path.write_text(made.text)
    assert load_manifest(path).select(["container"]) == ("podman",)
    assert made.text.startswith("# mine\n")
    with pytest.raises(UserError) as caught:
        add_packages(path, ["../x"])
    assert str(path) in caught.value.on


def test_removing(tmp_path: Path) -> None:
    path = tmp_path / "packages.toml"
    path.write_text('[sets]\na = ["x", "y"]\n[sets.b]\npackages = [\n  "x>=1", # keep me company\n  "z",\n]\n')
    edit = remove_packages(path, ["x"])
    assert edit.removed == (("a", "x"), ("b", "x"))
    path.write_text(edit.text)
    assert load_manifest(path).select(["a", "b"]) == ("y", "z")
    with pytest.raises(UserError, match="'q' is not declared"):
        remove_packages(path, ["q"])
