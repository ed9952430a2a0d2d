"""make's lines, as recorded from real kernel builds, as progress and as errors."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.kernel.makelog import MakeLog, drop_suspicious, objects_in

RECORDED = """\
make: Entering directory '/src'
make[1]: Entering directory '/build'
  GEN     Makefile
  SYNC    include/config/auto.conf
  HOSTCC  scripts/basic/fixdep
  HOSTCC  scripts/kconfig/conf.o
  UPD     include/generated/utsrelease.h
  CALL    /src/scripts/checksyscalls.sh
  CC      kernel/bounds.s
  CC      init/main.o
  AS      arch/x86/entry/entry_64.o
  LDS     arch/x86/entry/vdso/vdso.lds
  AR      init/built-in.a
  CC [M]  net/foo.o
  LD [M]  net/foo.ko
  OBJCOPY arch/x86/boot/vmlinux.bin
/src/kernel/fork.c:101:5: warning: unused variable 'x' [-Wunused-variable]
  BUILD   arch/x86/boot/bzImage
Kernel: arch/x86/boot/bzImage is ready  (#1)
"""

FAILED = """\
  CC      init/main.o
/src/init/main.c: In function 'start_kernel':
/src/init/main.c:925:2: error: implicit declaration of function 'nonsense' [-Werror=implicit-function-declaration]
  925 |  nonsense();
      |  ^~~~~~~~
cc1: some warnings being treated as errors
make[4]: *** [/src/scripts/Makefile.build:244: init/main.o] Error 1
make[3]: *** [/src/scripts/Makefile.build:485: init] Error 2
"""


def test_counts_objects_and_warnings() -> None:
    log = MakeLog(expected=10).feed(RECORDED.splitlines())
    assert log.present == {
        "scripts/kconfig/conf.o",
        "init/main.o",
        "arch/x86/entry/entry_64.o",
        "init/built-in.a",
        "net/foo.o",
        "net/foo.ko",
    }
    assert (log.done, log.made, log.total, log.warnings) == (6, 6, 10, 1)
    assert log.current == "BUILD arch/x86/boot/bzImage"
    assert log.first_error(Path("/src")) == ""


def test_total_is_revised_when_exceeded() -> None:
    assert MakeLog(expected=2).feed(RECORDED.splitlines()).total == 6
    assert MakeLog().feed(RECORDED.splitlines()).total is None


def test_continuing_counts_an_object_once() -> None:
    log = MakeLog(expected=10, present={"init/main.o", "lib/string.o"}).feed(RECORDED.splitlines())
    assert log.done == 7
    assert log.made == 6


def test_first_error_in_the_compiler_s_words() -> None:
    log = MakeLog().feed(FAILED.splitlines())
    assert log.first_error(Path("/src")) == (
        "init/main.c:925:2: error: implicit declaration of function 'nonsense' [-Werror=implicit-function-declaration]"
    )


def test_make_s_own_words_where_no_compiler_spoke() -> None:
    log = MakeLog().feed(["make: *** No rule to make target 'bzImage'.  Stop."])
    assert log.first_error(Path("/src")) == "No rule to make target 'bzImage'.  Stop."


def test_missing_header_and_undefined_symbol() -> None:
    header = MakeLog().feed(["/src/tools/elf.h:10:10: fatal error: gelf.h: No such file or directory"])
    assert "gelf.h: No such file" in header.first_error(Path("/src"))
    linked = MakeLog().feed(["ld: init/main.o: in function `f':", "main.c:(.text+0x1): undefined reference to `g'"])
    assert "undefined reference to `g'" in linked.first_error(Path("/src"))


def test_objects_of_the_tools_are_named_as_the_others(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/a.o").write_text("")
    log = MakeLog(2, tmp_path, objects_in(tmp_path)).feed([f"  CC      {tmp_path}/tools/a.o", "  CC      init/main.o"])
    assert log.present == {"tools/a.o", "init/main.o"}, "none is counted twice"
    assert MakeLog(tree=tmp_path).feed([f"  LD      {tmp_path}/tools/a.o"]).current == "LD tools/a.o"


def test_killed_compiler_and_full_disk() -> None:
    assert MakeLog().feed(["gcc: fatal error: Killed signal terminated program cc1"]).out_of_memory
    assert MakeLog().feed(["/src/a.c: fatal error: error writing to /tmp/x.s: No space left on device"]).disk_full
    killed = "make[3]: *** [scripts/Makefile.build:229: mm/slub.o] Error 137"
    assert MakeLog().feed([killed]).out_of_memory
    assert not MakeLog().feed([killed.replace("137", "1")]).out_of_memory


def test_object_of_a_killed_compiler_is_dropped(tmp_path: Path) -> None:
    for name, age in (("whole.o", 5), ("torn.o", -5)):
        (tmp_path / name).write_text("x")
        (tmp_path / f".{name}.cmd").write_text("cmd")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
        os.utime(tmp_path / f".{name}.cmd", (1000, 1000))
    assert drop_suspicious(tmp_path) == 1
    assert objects_in(tmp_path) == {"whole.o"}
