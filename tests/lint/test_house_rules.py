"""House rules that no tool knows: file length, names, lazy imports, errors with a next step, nothing of this machine."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from conftest import ROOT, need

SOURCES = sorted((ROOT / "rastos").rglob("*.py"))
LONGEST = 400  # lines
HEAVY = ("rich", "pyalpm", "asyncio", "qemu", "btrfsutil", "subprocess", "tomllib")
ERRORS = {"RastosError", "UserError", "HostError", "IntegrityError", "BusyError", "ExternalError"}
# places that exist only on one developer's machine
PLACES = re.compile(r"(?<![\w.])/" + r"(?:work|tmp/seed|home/\w+/src)(?:/|\b)")


def tracked() -> list[Path]:
    need("git")
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_is_too_long() -> None:
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST}


def test_no_module_is_called_after_nothing() -> None:
    names = {"utils", "util", "helper", "helpers", "manager", "common", "misc"}
    assert not [path for path in SOURCES if names & {path.stem, path.parent.name}]


def test_every_module_says_what_it_is_for() -> None:
    assert not [str(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, json\nfrom rastos.cli.app import run\nassert run(['--help']) == 0\n"
        "print('@' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.rpartition("@")[2])
    assert not [name for name in loaded if name.partition(".")[0] in HEAVY]


def _leaves(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from _leaves(below, (*words, name))
    else:
        yield " ".join(words)


def test_every_command_is_in_the_readme_and_has_help() -> None:
    from rastos.cli.app import cli

    readme = (ROOT / "README.md").read_text()
    leaves = list(_leaves(cli, ("rastos",)))
    assert len(leaves) > 15
    assert not [words for words in leaves if f"`{words}`" not in readme]


def test_every_command_of_the_readme_exists() -> None:
    from rastos.cli.app import cli

    listed = re.findall(r"^\| `(rastos [^`]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(listed) == set(_leaves(cli, ("rastos",)))


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


def _configured_hosts() -> set[str]:
    """Host names in this machine's apt configuration, but for Debian's public ones."""
    hosts: set[str] = set()
    for path in Path("/etc/apt").rglob("*"):
        if path.is_file() and path.suffix in (".list", ".sources", ".conf", ""):
            text = path.read_text(errors="replace") if path.stat().st_size < 1 << 20 else ""
            hosts |= set(re.findall(r"https?://(?:[^/@\s\"]*@)?([A-Za-z0-9.-]+)", text))
    public = ("debian.org", "ubuntu.com", "example.com", "example.org")
    return {host for host in hosts if not host.endswith(public) and host not in ("localhost", "127.0.0.1")}


def test_nothing_of_this_machine_is_in_the_files() -> None:
    hosts = _configured_hosts()
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        if PLACES.search(text) or any(host in text for host in hosts):
            found.append(str(path.relative_to(ROOT)))
    assert not found


def test_only_the_owner_imports_a_library() -> None:
    """Outside libraries have one owner each; the layers themselves are import-linter's."""
    owners = {
        "subprocess": ("host/run.py",),
        "pyalpm": ("package/alpm/worker.py", "package/alpm/session.py"),
        "btrfsutil": ("snapshot/subvolume.py",),
        "qemu": ("installer/vm/monitor.py",),
        "rich": ("cli/",),
        "click": ("cli/",),
    }
    wrong = []
    for path in SOURCES:
        here = str(path.relative_to(ROOT / "rastos"))
        for node in ast.walk(ast.parse(path.read_text())):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module]
            for name in names:
                allowed = owners.get(name.partition(".")[0])
                if allowed and not here.startswith(allowed):
                    wrong.append(f"{here}:{node.lineno} imports {name}")
    assert not wrong
