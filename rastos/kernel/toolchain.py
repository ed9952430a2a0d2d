"""Which compiler builds the kernel: GNU's, LLVM's, or the one of a prefix (Documentation/kbuild/llvm.rst, CROSS_COMPILE).

gcc, gcc-13        GNU tools; another version of the compiler
llvm, llvm-18      clang, lld and LLVM's binutils (LLVM=1, LLVM=-18)
/opt/llvm/bin/     LLVM from a folder (ends with a slash)
x86_64-linux-gnu-  GNU tools with a prefix, a path or a name (ends with a dash)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import find_program, how_to_install, run

FORMS = "gcc, gcc-N, llvm, llvm-N, a folder of LLVM's programs (DIR/), or a prefix of GNU's (PREFIX-)"
_MACHINES = ("x86_64", "amd64", "i686", "i586")  # compilers that make code for x86 (gcc and clang -dumpmachine)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """What make is told (`variables`), the programs it will start, and what they say they are (part of the build key)."""

    name: str
    compiler: str
    linker: str
    variables: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    @property
    def llvm(self) -> bool:
        """Whether it is clang with lld."""
        return any(item.startswith("LLVM=") for item in self.variables)


def find_toolchain(name: str = "gcc") -> Toolchain:
    """The toolchain of that name with its versions; HostError: it is not here or makes code for another machine."""
    found = _named(name)
    needed = [found.compiler, found.linker]
    if found.llvm:
        needed.append(found.linker.replace("ld.lld", "llvm-ar"))  # one for all of LLVM's binutils
    missing = [word for word in needed if not _there(word)]
    if missing:
        prefixed = found.variables and name not in ("llvm", "gcc")
        raise HostError(
            f"the toolchain '{name}' is not here: there is no {' and no '.join(missing)}",
            next_step=f"install it, or choose another: --toolchain {FORMS}" if prefixed else how_to_install(missing),
        )
    machine = run([found.compiler, "-dumpmachine"], what=f"ask {found.compiler} what it compiles for").stdout.strip()
    if not machine.startswith(_MACHINES):
        raise HostError(
            f"{found.compiler} makes code for {machine}, not for x86_64",
            next_step="install a compiler for x86_64 and name its prefix: --toolchain x86_64-linux-gnu-",
        )
    versions = tuple(
        run([word, "--version"], what=f"ask {word} for its version").stdout.partition("\n")[0]
        for word in (found.compiler, found.linker)
    )
    return Toolchain(name, found.compiler, found.linker, found.variables, versions)


def require_version(toolchain: Toolchain, source: Path) -> None:
    """Raise HostError where the source wants a newer compiler (its scripts/min-tool-version.sh)."""
    script = source / "scripts/min-tool-version.sh"
    kind = "llvm" if toolchain.llvm else "gcc"
    if not script.is_file():
        return
    answer = run(["sh", script, kind], check=False, cwd=source, env={"SRCARCH": "x86", "ARCH": "x86"})
    least, have = _numbers(answer.stdout), _numbers(toolchain.versions[0].rpartition(")")[2] or toolchain.versions[0])
    if answer.status == 0 and least and have and have < least:
        raise HostError(
            f"the compiler is too old for this kernel: {toolchain.versions[0]}",
            on=source,
            next_step=f"install {kind} {answer.stdout.strip()} or newer, and name it: --toolchain {kind}-N",
        )


def _named(name: str) -> Toolchain:
    version = re.fullmatch(r"(gcc|llvm)-(\d+)", name)
    if name == "gcc":
        return Toolchain(name, "gcc", "ld")
    if name == "llvm":
        return Toolchain(name, "clang", "ld.lld", ("LLVM=1",))
    if version and version[1] == "gcc":
        return Toolchain(name, name, "ld", (f"CC={name}", f"HOSTCC={name}"))
    if version:
        return Toolchain(name, f"clang-{version[2]}", f"ld.lld-{version[2]}", (f"LLVM=-{version[2]}",))
    if re.fullmatch(r"/[^\s:'\"$]*/", name):
        return Toolchain(name, f"{name}clang", f"{name}ld.lld", (f"LLVM={name}",))
    if re.fullmatch(r"[^\s:'\"$-][^\s:'\"$]*-", name):
        return Toolchain(name, f"{name}gcc", f"{name}ld", (f"CROSS_COMPILE={name}",))
    raise UserError(f"'{name}' is no toolchain", next_step=f"give one of: {FORMS}")


def _there(program: str) -> bool:
    return Path(program).is_file() if "/" in program else find_program(program) is not None


def _numbers(text: str) -> tuple[int, ...]:
    """The first dotted number: "gcc (Debian 12.2.0-14) 12.2.0" is cut before by its bracket."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
