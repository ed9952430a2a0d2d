"""The kernel's own package in Arch's layout: /usr/lib/modules/<release>/{vmlinuz,pkgbase,config,modules…}."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rastos.errors import HostError
from rastos.host import run
from rastos.kernel.initramfs import FACTS
from rastos.kernel.packaging.layout import LICENSE, URL, Layout, index_modules
from rastos.kernel.secureboot import sign_efi
from rastos.package import PackageMetadata

# from the build tree; absent ones stay absent (no modules.order without CONFIG_MODULES)
INDEXES = ("modules.builtin", "modules.builtin.modinfo", "modules.order")

# Runs inside the tree. Only the system that is running from this very tree has to be told.
SCRIPT = """\
post_upgrade() {{
    [ "$(stat -c %d:%i /proc/1/root/ 2>/dev/null)" = "$(stat -c %d:%i /)" ] || return 0
    echo "{name}: the kernel in use stays $(uname -r) until the next start, which takes {release}"
}}
"""

# What packages of modules put into updates/ has to be found by modprobe; Arch's kmod has such a hook, Debian's has none.
HOOK = """\
[Trigger]
Type = Path
Operation = Install
Operation = Upgrade
Operation = Remove
Target = usr/lib/modules/{release}/updates/*

[Action]
Description = Indexing the modules of {release}...
When = PostTransaction
Exec = /usr/sbin/depmod {release}
Depends = kmod
"""


def stage(layout: Layout) -> Path:
    """Kernel image, configuration, modules with their indexes; the image's path."""
    plan, modules = layout.plan, layout.modules
    modules.mkdir(parents=True)
    built = plan.tree / "arch/x86/boot/bzImage"
    if not built.is_file():
        raise HostError("make ended well but left no kernel image", on=built, next_step=f"see the log {plan.log}")
    image = modules / "vmlinuz"
    shutil.copyfile(built, image)
    if plan.secure_boot is not None:
        sign_efi(image, plan.secure_boot)
    (modules / "pkgbase").write_text(f"{plan.profile.package}\n", encoding="utf-8")
    shutil.copyfile(plan.tree / ".config", modules / "config")
    profile = plan.profile
    facts = {"profile": profile.name, "initramfs": profile.initramfs, "command_line": profile.command_line}
    (modules / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for name in INDEXES:
        if (plan.tree / name).is_file():
            shutil.copyfile(plan.tree / name, modules / name)
    if layout.config.get("MODULES") == "y":
        _modules(layout)
    for name in ("build", "source"):  # links into the build machine
        (modules / name).unlink(missing_ok=True)
    index_modules(layout.root, layout.release, plan.tree / "System.map")
    return image


def metadata(layout: Layout) -> PackageMetadata:
    """What the package says of itself."""
    plan = layout.plan
    beside = [f"{plan.profile.package}-{kind}" for kind in plan.packages]
    whats = {"headers": "to build modules for this kernel", "debug": "symbols for gdb, crash and perf"}
    return PackageMetadata(
        name=plan.profile.package,
        version=layout.version,
        description=f"The Linux kernel {plan.source.version}, rastOS profile {plan.profile.name}",
        arch="x86_64",
        url=URL,
        license=LICENSE,
        provides=("linux",),
        optdepends=tuple(f"{name}: {whats[name.rpartition('-')[2]]}" for name in beside),
        builddate=plan.source.epoch,
    )


def install(layout: Layout) -> str:
    """The text of `.install` (PKGBUILD(5)): nothing happens when it is first installed."""
    return SCRIPT.format(name=layout.plan.profile.package, release=layout.release)


def _modules(layout: Layout) -> None:
    plan = layout.plan
    run(
        plan.make(f"INSTALL_MOD_PATH={layout.root / 'usr'}", "INSTALL_MOD_STRIP=1", "DEPMOD=true", "modules_install"),
        env=layout.env,
        log=plan.log,
        what="install the kernel's modules into the package",
    )
    hook = layout.root / f"usr/share/libalpm/hooks/60-{plan.profile.package}-depmod.hook"
    hook.parent.mkdir(parents=True)
    hook.write_text(HOOK.format(release=layout.release), encoding="utf-8")
