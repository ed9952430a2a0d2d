"""The build key: the same for the same inputs, another for each input that matters."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.kernel import BuildPlan, Toolchain, load_profile, plan_build
from rastos.kernel import plan as room
from rastos.kernel.plan import build_key
from rastos.kernel.signing import SigningKey
from rastos.kernel.sources import file_digest
from rastos.package import LocalRepository


@pytest.fixture
def source(tmp_path: Path) -> Path:
    tree = tmp_path / "linux"
    tree.mkdir()
    (tree / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 9\nEXTRAVERSION = -rc1\n")
    (tree / "main.c").write_text("int main;\n")
    return tree


def plan(tmp_path: Path, source: Path, fragment: str = "CONFIG_A=y\n", jobs: int = 2, extra: str = "") -> BuildPlan:
    folder = tmp_path / "profiles/kernel/fragments"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "one.config").write_text(fragment)
    (folder.parent / "mine.toml").write_text('fragments = ["one"]\n')
    more = []
    if extra:
        more = [tmp_path / "extra.config"]
        more[0].write_text(extra)
    return plan_build(
        load_profile("mine", [tmp_path / "profiles"]),
        source=str(source),
        extra_fragments=more,
        jobs=jobs,
        cache=tmp_path / "cache",
        repository=LocalRepository(tmp_path / "repository"),
    )


def test_same_inputs_same_key(tmp_path: Path, source: Path) -> None:
    first = plan(tmp_path, source)
    assert first.source.version == "6.12.9-rc1"
    assert not first.cached
    assert plan(tmp_path, source, jobs=7).key == first.key
    assert plan(tmp_path, source, "# talk\n\nCONFIG_A=y\n").key == first.key


def test_touched_but_equal_source_keeps_the_key(tmp_path: Path, source: Path) -> None:
    first = plan(tmp_path, source).key
    (source / "main.c").write_text("int main;\n")
    assert plan(tmp_path, source).key == first


def test_each_input_changes_the_key(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [plan(tmp_path, source).key, plan(tmp_path, source, "CONFIG_A=m\n").key]
    keys.append(plan(tmp_path, source, extra="CONFIG_B=y\n").key)
    with monkeypatch.context() as patch:
        patch.setattr(room, "find_toolchain", lambda name: Toolchain(name, "gcc", "ld", (), ("gcc 99", "ld 99")))
        keys.append(plan(tmp_path, source).key)
    with monkeypatch.context() as patch:
        patch.setattr(room, "PACKAGING", "next")
        keys.append(plan(tmp_path, source).key)
    (source / "main.c").write_text("int mean;\n")
    keys.append(plan(tmp_path, source).key)
    (source / "new.c").write_text("")
    keys.append(plan(tmp_path, source).key)
    assert len(set(keys)) == len(keys)


def test_what_else_changes_the_key(tmp_path: Path, source: Path) -> None:
    first = plan(tmp_path, source, "CONFIG_MODULE_SIG=y\n")
    keys = [
        build_key(first),
        build_key(replace(first, reproducible=False)),
        build_key(replace(first, packages=("debug",))),
    ]
    keys += [build_key(replace(first, signing=SigningKey(tmp_path, word))) for word in ("one", "other")]
    keys.append(build_key(replace(first, tools=replace(first.tools, variables=("LLVM=1",)))))
    assert len(set(keys)) == len(keys)
    assert build_key(replace(first, signing=SigningKey(tmp_path / "moved", "one"))) == keys[3], (
        "the file's place doesn't"
    )
    named = plan(tmp_path, source, 'CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_KEY="mine.pem"\n')
    assert not named.signs and first.signs


def test_folders_given_relative_are_settled(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = plan(tmp_path, source)
    monkeypatch.chdir(tmp_path)
    made = plan(Path("."), source)
    assert made.tree == whole.tree and made.state == whole.state, "make runs in other folders"


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    first = file_digest(file, tmp_path / "cache")
    assert first == hashlib.sha256(b"one").hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr("rastos.kernel.sources.source.sha256_file", lambda path: pytest.fail("read again"))
        assert file_digest(file, tmp_path / "cache") == first
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # somebody hides it
    assert file_digest(file, tmp_path / "cache") == hashlib.sha256(b"two").hexdigest()


def test_not_a_kernel_tree(tmp_path: Path, source: Path) -> None:
    (source / "Makefile").write_text("all:\n")
    with pytest.raises(UserError, match="not a kernel source tree"):
        plan(tmp_path, source)


def test_tree_with_build_output_is_refused(tmp_path: Path, source: Path) -> None:
    (source / ".config").write_text("")
    with pytest.raises(UserError) as caught:
        plan(tmp_path, source)
    assert "mrproper" in caught.value.next_step


def test_no_such_source(tmp_path: Path, source: Path) -> None:
    with pytest.raises(UserError, match="there is no kernel source at"):
        plan(tmp_path, tmp_path / "nowhere")
