"""Headers, debug symbols, modules from outside the tree: the micro kernel's real packages, the real compiler."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import HostError, IntegrityError, UserError
from rastos.kernel import BuiltKernel
from rastos.kernel.elf import build_id, module_facts, signed
from rastos.kernel.external import BuiltModule, build_module, open_headers, plan_module, read_source, sign_modules
from rastos.package import LocalRepository
from rastos.progress import Progress
from tests.conftest import ROOT, need
from tests.micro_kernel import CACHE, build_tree_key, plan_micro

HELLO = ROOT / "docs/examples/hello-module"


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    need("bsdtar", "strip", "objcopy", "readelf", "modinfo", "depmod")


def unpacked(package: Path, into: Path) -> Path:
    into.mkdir()
    subprocess.run(["bsdtar", "-xf", package, "-C", into], check=True)
    return into


def build_hello(kernel: BuiltKernel, place: Path, *, source: Path = HELLO, key: Path | None = None) -> BuiltModule:
    repository = LocalRepository(place)
    plan = plan_module(
        read_source(source), kernel, key=key or build_tree_key(), jobs=2, cache=CACHE, repository=repository
    )
    return build_module(plan, Progress())


@pytest.fixture(scope="module")
def hello(micro_kernel: BuiltKernel, tmp_path_factory: pytest.TempPathFactory) -> BuiltModule:
    return build_hello(micro_kernel, tmp_path_factory.mktemp("hello"))


def test_headers_hold_no_path_of_this_machine(micro_kernel: BuiltKernel, tmp_path: Path) -> None:
    further = micro_kernel.further("headers")
    assert further is not None and further.name == "linux-rastos-micro-headers"
    tree = unpacked(further.path, tmp_path / "tree")
    build = tree / "usr/lib/modules" / micro_kernel.release / "build"
    for name in ("Makefile", "Module.symvers", "scripts/mod/modpost", "include/generated/autoconf.h", "init/Kconfig"):
        assert (build / name).is_file(), name
    assert (tree / "usr/src/linux-rastos-micro").resolve() == build
    assert (build.parent / "source").resolve() == build
    plan = plan_micro()
    words = [str(plan.source.tree).encode(), str(plan.tree).encode()]
    named = [path for path in tree.rglob("*") if path.is_file() and any(word in path.read_bytes() for word in words)]
    assert not named
    assert not [path for path in tree.rglob("*") if path.is_symlink() and not path.exists()], "links that lead nowhere"
    kept = [path for path in build.rglob("*") if path.suffix in (".o", ".cmd", ".pem", ".x509")]
    assert not kept, "neither objects nor keys"


def test_symbols_are_found_by_name_and_by_build_id(micro_kernel: BuiltKernel, tmp_path: Path) -> None:
    further = micro_kernel.further("debug")
    assert further is not None
    debug = unpacked(further.path, tmp_path / "tree") / "usr/lib/debug"
    here = debug / "lib/modules" / micro_kernel.release
    kernel = unpacked(micro_kernel.package, tmp_path / "kernel")
    module = next((kernel / "usr/lib/modules" / micro_kernel.release).rglob("test_module.ko"))
    number = build_id(module)
    assert number in subprocess.run(["readelf", "-n", module], check=True, capture_output=True, text=True).stdout
    found = debug / ".build-id" / number[:2] / f"{number[2:]}.debug"
    assert found.resolve() == here / "kernel/lib/test_module.ko.debug"
    symbols = subprocess.run(["nm", here / "vmlinux"], check=True, capture_output=True, text=True).stdout
    assert " start_kernel" in symbols


def test_module_becomes_a_package(micro_kernel: BuiltKernel, hello: BuiltModule, tmp_path: Path) -> None:
    assert (hello.name, hello.version, hello.signed) == ("hello-micro", "1.0-1", True)
    record = LocalRepository(hello.package.parent).find("hello-micro")
    assert record is not None
    assert f"linux-rastos-micro={micro_kernel.version}" in [str(item) for item in record.record.depends]
    tree = unpacked(hello.package, tmp_path / "tree")
    module = tree / hello.modules[0]
    assert module.relative_to(tree).as_posix() == f"usr/lib/modules/{micro_kernel.release}/updates/hello.ko"
    assert signed(module)
    assert module_facts(module)["vermagic"].split()[0] == micro_kernel.release
    told = subprocess.run(["modinfo", module], check=True, capture_output=True, text=True).stdout
    assert "sig_hashalgo:   sha512" in told
    # the kernel's package brings what makes modprobe find it
    kernel = unpacked(micro_kernel.package, tmp_path / "kernel")
    hook = next((kernel / "usr/share/libalpm/hooks").iterdir()).read_text()
    assert f"Target = usr/lib/modules/{micro_kernel.release}/updates/*" in hook
    shutil.copytree(tree / "usr", kernel / "usr", dirs_exist_ok=True)
    (kernel / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", kernel, micro_kernel.release], check=True)
    assert "updates/hello.ko:" in (kernel / "usr/lib/modules" / micro_kernel.release / "modules.dep").read_text()


def test_same_source_elsewhere_gives_the_same_package(
    micro_kernel: BuiltKernel, hello: BuiltModule, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(HELLO, tmp_path / "somewhere-else"))
    again = build_hello(micro_kernel, tmp_path / "repository", source=copy)
    assert again.package.read_bytes() == hello.package.read_bytes()


def test_what_cannot_be_built_is_said(micro_kernel: BuiltKernel, tmp_path: Path) -> None:
    source = Path(shutil.copytree(HELLO, tmp_path / "broken"))
    (source / "hello.c").write_text((source / "hello.c").read_text().replace("return 0;", "return nonsense;"))
    with pytest.raises(UserError, match=r"hello\.c:\d+:\d+: error: .nonsense. undeclared") as caught:
        build_hello(micro_kernel, tmp_path / "repository", source=source)
    assert str(CACHE) not in caught.value.what
    (source / "Kbuild").write_text("obj-m :=\n")
    with pytest.raises(UserError, match=r"no hello\.ko, which dkms\.conf names"):
        build_hello(micro_kernel, tmp_path / "repository", source=source)
    assert not (tmp_path / "repository").exists()
    assert not list((CACHE / "work").glob(".module-*"))
    with pytest.raises(UserError, match="no headers package"):
        build_hello(replace(micro_kernel, others=()), tmp_path / "repository")


def test_signing_refuses_what_it_cannot_vouch_for(
    micro_kernel: BuiltKernel, hello: BuiltModule, tmp_path: Path
) -> None:
    headers = open_headers(micro_kernel, CACHE)
    module = unpacked(hello.package, tmp_path / "tree") / hello.modules[0]
    before = module.read_bytes()
    sign_modules(headers, build_tree_key(), [module])
    assert module.read_bytes() == before, "a second signature takes the place of the first"
    other = tmp_path / "other.ko"
    text = f"vermagic={micro_kernel.release}".encode()
    assert text in before
    other.write_bytes(before.replace(text, text[:-1] + b"X"))
    with pytest.raises(UserError, match="is for the kernel"):
        sign_modules(headers, build_tree_key(), [module, other])
    with pytest.raises(HostError, match="no key"):
        sign_modules(headers, tmp_path / "none.pem", [module])
    (tmp_path / "text.ko").write_text("no module")
    with pytest.raises(IntegrityError, match="not a 64-bit ELF"):
        sign_modules(headers, build_tree_key(), [tmp_path / "text.ko"])
    assert module.read_bytes() == before
    assert sorted(path.name for path in module.parent.iterdir()) == ["hello.ko"]
