"""More rules of the house: what modules say of themselves, how errors are worded, that README and commands agree."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

from tests.commands import leaves
from tests.conftest import ROOT, need

SOURCES = sorted((ROOT / "rastos").rglob("*.py"))
ERRORS = {"RastosError", "UserError", "HostError", "IntegrityError", "BusyError", "ExternalError"}
# places that exist only on one developer's machine
PLACES = re.compile(r"(?<![\w.])/" + r"(?:work|tmp/seed|home/\w+/src)(?:/|\b)")


def tracked() -> list[Path]:
    need("git")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_every_module_says_what_it_is_for() -> None:
    assert not [str(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_every_command_of_the_readme_exists() -> None:
    from rastos.cli.app import cli

    listed = re.findall(r"^\| `(rastos [^`]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(listed) == set(leaves(cli, "rastos"))


def test_every_error_has_a_next_step() -> None:
    from rastos import errors

    for name in ERRORS:
        assert getattr(errors, name).default_next_step, name
    empty = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS):
                continue
            given = {word.arg: word.value for word in node.keywords}
            step = given.get("next_step")
            if isinstance(step, ast.Constant) and not step.value:
                empty.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not empty


def test_what_fails_is_one_sentence_without_a_full_stop() -> None:
    wrong = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and str(first.value).endswith((".", "\n")):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def test_no_place_of_a_developers_machine_is_in_the_files() -> None:
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        if PLACES.search(text):
            found.append(str(path.relative_to(ROOT)))
    assert not found


def test_what_is_imported_from_a_lazy_package_is_there() -> None:
    """mypy can't tell: a package with `__getattr__` has every name."""
    import importlib

    missing = []
    for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "bench").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("rastos.")):
                continue
            module = importlib.import_module(str(node.module))
            if not hasattr(module, "__getattr__"):
                continue
            for item in node.names:
                place = f"{node.module}.{item.name}"
                if not hasattr(module, item.name) and importlib.util.find_spec(place) is None:
                    missing.append(f"{path.relative_to(ROOT)}: {place}")
    assert not missing


def test_what_the_story_installs_is_new_to_the_image() -> None:
    from rastos.package import load_manifest

    script = (ROOT / "scripts/quickstart").read_text()
    added = re.findall(r"--install (\S+)", script)
    manifest = load_manifest(ROOT / "packages.toml")
    assert added and not set(added) & set(manifest.select(["server"]))
