"""A kernel tree of six files whose Makefile answers the kernel's targets: a build takes seconds instead of minutes."""

from __future__ import annotations

from pathlib import Path

COUNT = 6  # C files in the tiny tree

MAKEFILE = """\
# SPDX-License-Identifier: GPL-2.0
VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 9
EXTRAVERSION =
SRC := $(CURDIR)
OBJECTS := $(patsubst $(SRC)/src/%.c,$(O)/src/%.o,$(wildcard $(SRC)/src/*.c))
.PHONY: allnoconfig olddefconfig bzImage modules modules_install
allnoconfig:
\t@sh $(SRC)/conf.sh $(SRC)/Kconfig $(KCONFIG_ALLCONFIG) > $(O)/.config.new
\t@cmp -s $(O)/.config.new $(O)/.config || cp $(O)/.config.new $(O)/.config
olddefconfig:
\t@true
$(O)/src/%.o: $(SRC)/src/%.c $(O)/.config
\t@mkdir -p $(dir $@) && echo "  CC      src/$*.o"
\t@sleep $(shell cat $(SRC)/delay); gcc -c -o $@ $< && echo "cmd_src/$*.o := gcc" > $(O)/src/.$*.o.cmd
$(O)/built-in.a: $(OBJECTS)
\t@echo "  AR      built-in.a"; rm -f $@; ar rcD $@ $^
bzImage: $(O)/built-in.a
\t@mkdir -p $(O)/arch/x86/boot $(O)/include/config
\t@echo 6.12.9-tiny > $(O)/include/config/kernel.release
\t@cat $< > $(O)/arch/x86/boot/bzImage; echo "$$KBUILD_BUILD_TIMESTAMP" >> $(O)/arch/x86/boot/bzImage
\t@echo kernel/a.ko > $(O)/modules.builtin; : > $(O)/modules.builtin.modinfo
modules:
\t@echo kernel/b.o > $(O)/modules.order
modules_install:
\t@mkdir -p $(INSTALL_MOD_PATH)/lib/modules/6.12.9-tiny/kernel
\t@ln -s $(SRC) $(INSTALL_MOD_PATH)/lib/modules/6.12.9-tiny/build
\t@cp $(O)/modules.order $(INSTALL_MOD_PATH)/lib/modules/6.12.9-tiny/
"""

KCONFIG = (
    "".join(f'config {name}\n\tbool "{name}"\n' for name in ("MODULES", "NET", "USB", "EFI_STUB"))
    + 'config USB_STORAGE\n\tbool "Disks"\n\tdepends on USB\n'
)

CONF = """\
# allnoconfig with KCONFIG_ALLCONFIG: known symbols whose one dependency is asked for too
while read -r line; do
    name=${line#CONFIG_}; name=${name%%=*}
    case $line in CONFIG_*) ;; *) continue;; esac
    grep -q "^config $name$" "$1" || continue
    needs=$(sed -n "/^config $name$/,/^config /s/.*depends on //p" "$1")
    [ -z "$needs" ] || grep -q "^CONFIG_$needs=y" "$2" || continue
    echo "$line"
done < "$2"
"""


def write_tiny_kernel(source: Path) -> Path:
    """The tree, in a new folder."""
    (source / "src").mkdir(parents=True)
    (source / "Makefile").write_text(MAKEFILE)
    (source / "Kconfig").write_text(KCONFIG)
    (source / "conf.sh").write_text(CONF)
    (source / "delay").write_text("0\n")
    for number in range(COUNT):
        (source / f"src/f{number}.c").write_text(f"int f{number}(void) {{ return {number}; }}\n")
    return source
