"""A module from outside the tree in a booted kernel: it greets where its signature holds, and is refused where it doesn't."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from rastos.kernel import BuiltKernel
from rastos.kernel.elf import SIGNED
from rastos.kernel.external import build_module, open_headers, plan_module, read_source, sign_modules
from rastos.kernel.initramfs.cpio import directory, file, node, write_cpio
from rastos.package import LocalRepository
from rastos.progress import Progress
from tests.conftest import ROOT, need
from tests.micro_kernel import CACHE, build_tree_key

# loads what lies in /modules in the order of names and says how that went
LOADER = r"""
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    struct dirent **names;
    int count = scandir("/modules", &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char path[300];
        if (names[i]->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
        int number = open(path, O_RDONLY);
        int failed = syscall(SYS_finit_module, number, "whom=tester", 0);
        printf("loader: %s: %s\n", names[i]->d_name, failed ? strerror(errno) : "loaded");
        if (!failed)
            syscall(SYS_delete_module, "hello", O_NONBLOCK);
        close(number);
    }
    fflush(stdout);
    reboot(RB_AUTOBOOT);
}
"""


@pytest.fixture(scope="module")
def modules(micro_kernel: BuiltKernel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The sample module: signed, without a signature, changed after it was signed, signed by somebody else."""
    place = tmp_path_factory.mktemp("modules")
    source = read_source(ROOT / "docs/examples/hello-module")
    plan = plan_module(
        source,
        micro_kernel,
        key=build_tree_key(),
        jobs=2,
        cache=CACHE,
        repository=LocalRepository(place / "repository"),
    )
    built = build_module(plan, Progress())
    subprocess.run(["bsdtar", "-xf", built.package, "-C", place], check=True)
    signed = (place / built.modules[0]).read_bytes()
    size = int.from_bytes(signed[-len(SIGNED) - 4 : -len(SIGNED)], "big")
    plain = signed[: len(signed) - len(SIGNED) - 12 - size]
    (place / "stranger.ko").write_bytes(plain)
    key = place / "stranger.pem"
    words = "req -new -x509 -newkey rsa:2048 -nodes -subj /CN=stranger -days 2 -keyout".split()
    subprocess.run(["openssl", *words, key, "-out", place / "certificate"], check=True, capture_output=True)
    key.write_bytes(key.read_bytes() + (place / "certificate").read_bytes())
    sign_modules(open_headers(micro_kernel, CACHE), key, [place / "stranger.ko"])
    return {
        "a-signed.ko": signed,
        "b-plain.ko": plain,
        "c-tampered.ko": signed.replace(b"greetings", b"gratings!", 1),
        "d-stranger.ko": (place / "stranger.ko").read_bytes(),
    }


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("loader")
    (place / "loader.c").write_text(LOADER)
    subprocess.run(["gcc", "-Os", "-static", "-o", place / "loader", place / "loader.c"], check=True)
    return (place / "loader").read_bytes()


def boot(kernel: BuiltKernel, loader: bytes, modules: dict[str, bytes], place: Path, words: str = "") -> str:
    """What the console said until the machine ended."""
    need("qemu-system-x86_64", "bsdtar")
    name = f"usr/lib/modules/{kernel.release}/vmlinuz"
    subprocess.run(["bsdtar", "-xf", kernel.package, "-C", place, name], check=True)
    with (place / "initrd").open("wb") as out:
        files = [file(f"modules/{name}", content) for name, content in modules.items()]
        write_cpio([file("init", loader, 0o755), directory("dev"), node("dev/console", 0o600, 5, 1), *files], out)
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nographic", "-nodefaults", "-serial", "stdio"]
    argv += ["-no-reboot", "-kernel", str(place / name), "-initrd", str(place / "initrd")]
    argv += ["-append", f"console=ttyS0 panic=1 {words}"]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(console: str) -> dict[str, str]:
    return dict(re.findall(r"loader: (\S+): ([^\r\n]+)", console))


def test_only_what_bears_the_kernels_signature_is_loaded(
    micro_kernel: BuiltKernel, loader: bytes, modules: dict[str, bytes], tmp_path: Path
) -> None:
    console = boot(micro_kernel, loader, modules, tmp_path, "module.sig_enforce=1")
    assert told(console) == {
        "a-signed.ko": "loaded",
        "b-plain.ko": "Key was rejected by service",
        "c-tampered.ko": "Key was rejected by service",
        "d-stranger.ko": "Required key not available",
    }, console[-3000:]
    assert console.count("hello: greetings, tester") == 1


def test_without_enforcement_what_is_not_signed_is_loaded(
    micro_kernel: BuiltKernel, loader: bytes, modules: dict[str, bytes], tmp_path: Path
) -> None:
    console = boot(micro_kernel, loader, {"b-plain.ko": modules["b-plain.ko"]}, tmp_path)
    assert told(console) == {"b-plain.ko": "loaded"}, console[-3000:]
    assert "hello: greetings, tester" in console
