"""The rules of the house, as tests: style, types, layers, sizes, names, what start-up loads, what the docs list."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import leaves

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted((ROOT / "rastos").rglob("*.py"))
BIN = Path(sys.executable).parent


def _run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in argv], cwd=ROOT, capture_output=True, text=True, check=False)


def _tracked() -> list[Path]:
    done = _run("git", "-c", f"safe.directory={ROOT}", "ls-files")
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize(
    "argv",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",), ("lint-imports",)],
    ids=["ruff", "format", "mypy", "import contracts"],
)
def test_checker(argv: tuple[str, ...]) -> None:
    done = _run(BIN / argv[0], *argv[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_shell_scripts() -> None:
    from tests.conftest import need

    need("shellcheck")
    done = _run("shellcheck", ".ci/run", *sorted((ROOT / "scripts").iterdir()))
    assert done.returncode == 0, done.stdout


def test_files_are_short() -> None:
    long = {path.name: count for path in SOURCES if (count := len(path.read_text().splitlines())) > 400}
    assert not long


def test_names_say_something() -> None:
    vague = {"utils", "util", "helper", "helpers", "manager", "common", "misc"}
    assert not [path for path in SOURCES if path.stem in vague]


# what one package gives to the others; everything below is its own affair
SURFACES = {
    "rastos.package.aur",
    "rastos.kernel.checks",
    "rastos.kernel.external",
    "rastos.installer.bench",
    "rastos.installer.vm",
}
DOMAINS = ("cli", "installer", "snapshot", "kernel", "package")


def test_packages_use_each_other_through_their_surfaces() -> None:
    wrong = []
    for path in SOURCES:
        own = path.relative_to(ROOT / "rastos").parts[0]
        if own == "__main__.py":  # starts the command line
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                parts = name.split(".")
                inner = parts[0] == "rastos" and len(parts) > 2 and parts[1] in DOMAINS and parts[1] != own
                if inner and name not in SURFACES:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_only_the_owners_import_outside_libraries() -> None:
    owners = {
        "subprocess": {"host/run.py"},
        "pyalpm": {"package/alpm/worker.py"},
        "ctypes": {"host/files.py", "host/mounts.py", "host/namespace.py", "host/run.py", "package/alpm/native.py"},
        "btrfsutil": {"snapshot/subvolume.py"},
        "qemu": {"installer/vm/monitor.py"},
        "merge3": {"package/text_merge.py"},
        "tomlkit": {"package/manifest/edit.py"},
        "rich": {"cli/terminal.py", "cli/drawing.py"},
    }
    wrong = []
    for path in SOURCES:
        place = str(path.relative_to(ROOT / "rastos"))
        for node in ast.walk(ast.parse(path.read_text())):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top in owners and place not in owners[top]:
                    wrong.append(f"{place} imports {name}")
    assert not wrong


def test_domain_code_neither_prints_nor_reads_the_environment() -> None:
    allowed = ("cli/", "host/run.py", "package/alpm/worker.py", "__main__.py", "kernel/kconfig_model.py")
    wrong = []
    for path in SOURCES:
        place = str(path.relative_to(ROOT / "rastos"))
        if place.startswith(allowed):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                wrong.append(f"{place}:{node.lineno} prints")
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                wrong.append(f"{place}:{node.lineno} reads the environment")
    assert not wrong


def test_packages_say_what_they_offer() -> None:
    for name in ("host", "package", "kernel", "snapshot", "installer", "installer.vm", "installer.bench"):
        module = __import__(f"rastos.{name}", fromlist=["__all__"])
        assert module.__all__ == sorted(module.__all__)
        for item in module.__all__:
            assert getattr(module, item) is not None, f"rastos.{name}.{item}"
        # importing a submodule binds its name in the package: which of the two one gets would depend on who came first
        folder = ROOT / "rastos" / name.replace(".", "/")
        files = {path.stem for path in folder.iterdir()} - {"run"}  # host says how it handles that one
        assert not files & set(module.__all__)


def test_every_error_has_a_next_step() -> None:
    from rastos import errors

    families = [
        item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, errors.RastosError)
    ]
    assert len(families) == 6
    for family in families:
        assert family("something failed").next_step


def test_help_loads_nothing_heavy() -> None:
    heavy = ("rich", "pyalpm", "asyncio", "qemu", "btrfsutil", "subprocess", "tomllib", "rastos.host", "rastos.package")
    code = (
        "import sys; sys.argv = ['rastos', '--help']\n"
        "from rastos.cli.app import run\n"
        "assert run(['--help']) == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = _run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout
    assert done.stderr.strip() == "[]"


def test_every_command_is_in_the_readme_and_explains_itself() -> None:
    from rastos.cli.app import cli

    text = (ROOT / "README.md").read_text()
    commands = list(leaves(cli, "rastos"))
    assert len(commands) > 15
    assert not [name for name in commands if f"`{name}`" not in text]


def test_nothing_of_this_machine_is_in_the_tree() -> None:
    hosts = set()
    for place in (Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")):
        if place.is_file():
            hosts |= set(re.findall(r"https?://([^/\s]+)", place.read_text(errors="replace")))
    hosts = {host for host in hosts if not host.startswith("snapshot.")}
    home = str(ROOT.parent)
    wrong = []
    for path in _tracked():
        text = path.read_text(errors="replace")
        wrong += [f"{path.name}: {host}" for host in hosts if host in text]
        if len(home) > len("/root") and home + os.sep in text:
            wrong.append(f"{path.name}: {home}")
    assert not wrong
