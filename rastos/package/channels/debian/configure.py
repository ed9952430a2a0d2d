"""Maintainer scripts around a transaction, in dpkg's order as far as one transaction for everything allows.

    dpkg, one by one                      here, all together
    prerm upgrade (old), preinst (new)    `before_unpacking`, if the tree has a shell and what the script pre-depends on
    unpack                                libalpm
    postinst configure                    `configure_packages`, in dependency order, then triggers
    prerm remove; postrm remove           before libalpm removes; after it, in `configure_packages`

In a fresh tree no script can run before there is a shell: there `preinst install` comes directly before its `postinst`.
A diversion made so late renames nothing; `takeover.settle` puts diverted files where they belong.
"""

from __future__ import annotations

import graphlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rastos.host import safe_join, system_mounts
from rastos.progress import Progress, Step

from . import relations, removal, takeover
from .control import paragraph
from .convert import INFO, merged
from .converted import control_of, listing
from .index import split_dependency
from .scripts import no_services, run_script
from .status import Installed, configured, installed, write_status
from .triggers import Triggers

# these make the users and files everybody else's scripts expect
_FIRST = (
    "base-passwd",
    "base-files",
    "libc6",
    "dpkg",
    "libc-bin",
    "perl-base",
    "debconf",
    "passwd",
    "init-system-helpers",
)
# what dpkg runs scripts from that are not unpacked yet; debconf knows the name
_NEW = "var/lib/dpkg/tmp.ci"
_NO_RENAME = """#!/bin/sh
# the files are unpacked already: a diversion is noted, rastos moves the files
for word do
    shift
    test "$word" = --rename && word=--no-rename
    set -- "$@" "$word"
done
exec /usr/bin/dpkg-divert "$@"
"""
PackageFile = Callable[[str], Path | None]


def before_unpacking(root: Path, files: Mapping[str, Path], progress: Progress, *, epoch: int) -> set[str]:
    """Run `prerm upgrade` of old versions and `preinst` of the packages in `files` (name → converted package).

    The names whose preinst has run; those of the others run when they are configured: the tree has no shell yet, or not
    what they pre-depend on. ExternalError: a script refused, nothing was unpacked.
    """
    packages, done = installed(root), configured(root)
    if not files or not done or not (root / "usr/bin/sh").exists() or not (root / "usr/bin/dpkg").exists():
        return set()
    ran: set[str] = set()
    folder = root / _NEW
    with progress.step("running preinst scripts") as step, system_mounts(root), no_services(root):
        write_status(root, packages, done)
        try:
            for name, path in files.items():
                old = done.get(name, "")
                scripted = any(line.endswith(".preinst") and line.startswith(INFO) for line in listing(path))
                if not old and not scripted:
                    continue
                new = control_of(path)
                fields = paragraph(new.get("control", (b"", 0))[0].decode("utf-8", "replace"))
                if old and name in packages and packages[name].file(root, "prerm").is_file():
                    run_script(root, packages[name], "prerm", ("upgrade", fields.get("Version", "")), epoch, step)
                if "preinst" not in new or not _met(fields.get("Pre-Depends", ""), packages, done):
                    continue
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                for kind, (content, mode) in new.items():
                    (folder / kind).write_bytes(content)
                    (folder / kind).chmod(0o755 if mode & 0o111 else 0o644)
                arguments = ("upgrade", old, fields["Version"]) if old else ("install",)
                run_script(root, Installed(fields, name), "preinst", arguments, epoch, step, program=f"/{_NEW}/preinst")
                ran.add(name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        step.outcome = f"{len(ran)} packages"
    return ran


def configure_packages(
    root: Path,
    names: Sequence[str],
    progress: Progress,
    *,
    epoch: int,
    begun: set[str] | frozenset[str] = frozenset(),
    package_file: PackageFile = lambda name: None,
) -> None:
    """Configure what is in `root` and not configured yet; `names` are configured again even if they are.

    `begun` are those whose preinst has run. ExternalError names the package whose script failed, with its output; those
    before it stay configured.
    """
    packages = installed(root)
    if not packages:
        return
    done = {name: version for name, version in configured(root).items() if name in packages}
    chosen = [n for n in packages if n in set(names) or done.get(n) != packages[n].fields["Version"]]
    write_status(root, packages, done)
    takeover.put_back(root, packages)
    removal.run_removed(root, packages, progress, epoch=epoch)
    if not chosen:
        with no_services(root):  # takes away what a killed run left
            return
    order = configuration_order(packages, chosen)
    label = "running maintainer scripts"
    with progress.step(label, total=len(order), unit="packages") as step, system_mounts(root), no_services(root):
        triggers = Triggers(root, packages, order)
        settled = False
        try:
            for number, name in enumerate(order):
                step.advance(number, name)
                package = packages[name]
                if name not in begun and package.file(root, "preinst").is_file():
                    _late_preinst(root, package, done.get(name, ""), epoch, step, package_file)
                if not settled:
                    # before the first script that needs its files, and again at the end for late diversions
                    takeover.settle(root, packages, order, package_file, step)
                    settled = True
                triggers.configuring(name)
                if package.file(root, "postinst").is_file():
                    run_script(root, package, "postinst", ("configure", done.get(name, "")), epoch, step)
                done[name] = package.fields["Version"]
                triggers.configured(name)
            takeover.settle(root, packages, order, package_file, step)
        finally:
            write_status(root, packages, done)
        step.advance(len(order), "triggers")
        for name, activated in triggers.pending().items():
            run_script(root, packages[name], "postinst", ("triggered", " ".join(activated)), epoch, step)
        step.outcome = f"{len(order)} packages"


def before_removal(root: Path, names: Sequence[str], progress: Progress, *, epoch: int) -> None:
    """Run `prerm remove` of packages that libalpm is about to remove; keep their `postrm` and what others took over."""
    packages = installed(root)
    takeover.keep(root, packages, names)
    removal.keep_scripts(root, packages, names)
    chosen = [n for n in names if n in packages and packages[n].file(root, "prerm").is_file()]
    if chosen:
        with progress.step("running removal scripts") as step, system_mounts(root), no_services(root):
            for name in chosen:
                run_script(root, packages[name], "prerm", ("remove",), epoch, step)


def configuration_order(packages: Mapping[str, Installed], chosen: Sequence[str]) -> list[str]:
    """`chosen` with dependencies before dependents; the base of the system first, cycles cut at Depends."""
    providers: dict[str, list[str]] = {}
    for name, package in packages.items():
        for provided in (name, *relations.provides(package.fields.get("Provides", ""))):
            providers.setdefault(split_dependency(provided).name, []).append(name)
    needs = {}
    for name in chosen:
        fields = packages[name].fields
        texts = relations.depends(fields.get("Pre-Depends", ""), fields.get("Depends", ""))
        flat = [part for text in texts for part in (relations.alternatives_of(text) or (text,))]
        wanted = {
            owner for part in flat for owner in providers.get(split_dependency(part).name.removesuffix(":any"), ())
        }
        needs[name] = (wanted & set(chosen)) - {name}
    first = [name for name in _FIRST if name in needs]
    order: list[str] = list(first)
    for name in first:
        needs.pop(name)
    for name in needs:
        needs[name] -= set(first)
    while True:
        try:
            return order + list(graphlib.TopologicalSorter(needs).static_order())
        except graphlib.CycleError as error:
            cycle = error.args[1]
            needs[cycle[1]].discard(cycle[0])


def _met(field: str, packages: Mapping[str, Installed], done: Mapping[str, str]) -> bool:
    """Whether something configured stands for every Pre-Depends; versions are the plan's business."""
    there = {n for n in done if n in packages}
    names = {
        split_dependency(p).name for n in there for p in relations.provides(packages[n].fields.get("Provides", ""))
    }
    groups = relations.parse(field)
    return all(any(part.name.partition(":")[0] in there | names for part in group) for group in groups)


def _late_preinst(root: Path, package: Installed, old: str, epoch: int, step: Step, package_file: PackageFile) -> None:
    """A preinst after the unpacking: it must not rename by diversion, and what it clears away comes back."""
    own = [merged(line[1:]) for line in package.lines(root, "list") if line.startswith("/") and line != "/."]
    before = [path for path in own if _there(root, path)]
    divert = root / _NEW / "bin/dpkg-divert"
    divert.parent.mkdir(parents=True, exist_ok=True)
    try:
        divert.write_text(_NO_RENAME)
        divert.chmod(0o755)
        arguments = ("upgrade", old, package.fields["Version"]) if old else ("install",)
        run_script(root, package, "preinst", arguments, epoch, step, first=f"/{_NEW}/bin")
    finally:
        shutil.rmtree(root / _NEW, ignore_errors=True)
    gone = [path for path in before if not _there(root, path)]
    if gone:
        takeover.extract(root, package.name, {path: path for path in gone}, package_file, step)


def _there(root: Path, path: str) -> bool:
    return os.path.lexists(safe_join(root, path))


__all__ = ["INFO", "before_removal", "before_unpacking", "configuration_order", "configure_packages"]
