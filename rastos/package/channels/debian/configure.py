"""Maintainer scripts, run in one pass after the transaction: dpkg unpacks everything and configures then; so do we.

`preinst` is not run: it wants to come before the unpacking, which libalpm does as one step, and on a fresh tree there
is nothing for it to move aside. `postinst configure` runs in dependency order, then every trigger once.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host import run_in_root, system_mounts
from rastos.progress import Progress, Step

from . import relations
from .convert import INFO
from .index import split_dependency
from .status import Installed, configured, installed, write_status

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
_POLICY = "#!/bin/sh\n# no service is started while packages are configured\nexit 101\n"
_TIMEOUT = 600.0


def configure_packages(root: Path, names: Sequence[str], progress: Progress, *, epoch: int) -> None:
    """Configure what is in `root` and not configured yet; `names` are configured again even if they are.

    ExternalError names the package whose script failed, with its output; those before it stay configured.
    """
    packages = installed(root)
    if not packages:
        return
    done = {name: version for name, version in configured(root).items() if name in packages}
    chosen = [n for n in packages if n in set(names) or done.get(n) != packages[n].fields["Version"]]
    write_status(root, packages, done)
    if not chosen:
        with _no_services(root):  # takes away what a killed run left
            return
    order = configuration_order(packages, chosen)
    label = "running maintainer scripts"
    with progress.step(label, total=len(order), unit="packages") as step, system_mounts(root), _no_services(root):
        try:
            for number, name in enumerate(order):
                step.advance(number, name)
                if packages[name].file(root, "postinst").is_file():
                    arguments = ("configure", done.get(name, ""))
                    _run_script(root, packages[name], "postinst", arguments, epoch, step)
                done[name] = packages[name].fields["Version"]
        finally:
            write_status(root, packages, done)
        step.advance(len(order), "triggers")
        for name, triggers in _activated(root, packages, order).items():
            _run_script(root, packages[name], "postinst", ("triggered", " ".join(triggers)), epoch, step)
        (root / "var/lib/dpkg/triggers/Unincorp").unlink(missing_ok=True)
        step.outcome = f"{len(order)} packages"


def before_removal(root: Path, names: Sequence[str], progress: Progress, *, epoch: int) -> None:
    """Run `prerm remove` of packages that libalpm is about to remove."""
    packages = installed(root)
    chosen = [n for n in names if n in packages and packages[n].file(root, "prerm").is_file()]
    if chosen:
        with progress.step("running removal scripts") as step, system_mounts(root), _no_services(root):
            for name in chosen:
                _run_script(root, packages[name], "prerm", ("remove",), epoch, step)


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


def _activated(root: Path, packages: Mapping[str, Installed], changed: Sequence[str]) -> dict[str, list[str]]:
    """Package → triggers it is interested in that `changed` or its scripts activated (deb-triggers(5))."""
    interest: dict[str, list[str]] = {}
    for name, package in packages.items():
        for words in map(str.split, package.lines(root, "triggers")):
            if len(words) > 1 and words[0].startswith("interest"):
                interest.setdefault(words[1], []).append(name)
    active: set[str] = set()
    for name in changed:
        for words in map(str.split, packages[name].lines(root, "triggers")):
            if len(words) > 1 and words[0].startswith("activate"):
                active.add(words[1])
        paths = [trigger for trigger in interest if trigger.startswith("/")]
        listed = packages[name].lines(root, "list") if paths else []
        active |= {t for t in paths if any(line == t or line.startswith(t + "/") for line in listed)}
    asked = root / "var/lib/dpkg/triggers/Unincorp"
    if asked.is_file():
        active |= {line.split()[0] for line in asked.read_text().splitlines() if line.strip()}
    found: dict[str, list[str]] = {}
    for trigger in sorted(active):
        for name in interest.get(trigger, ()):
            if packages[name].file(root, "postinst").is_file():
                found.setdefault(name, []).append(trigger)
    return found


def _run_script(root: Path, package: Installed, script: str, arguments: Sequence[str], epoch: int, step: Step) -> None:
    environment = {
        "DEBIAN_FRONTEND": "noninteractive",
        "DEBCONF_NONINTERACTIVE_SEEN": "true",
        "DPKG_MAINTSCRIPT_PACKAGE": package.name,
        "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT": "1",
        "DPKG_MAINTSCRIPT_ARCH": package.fields.get("Architecture", "amd64").replace("all", "amd64"),
        "DPKG_MAINTSCRIPT_NAME": script,
        "DPKG_RUNNING_VERSION": "1.21.22",
        "DPKG_ADMINDIR": "/var/lib/dpkg",
        "DPKG_ROOT": "",
        "SYSTEMD_OFFLINE": "1",
        "SOURCE_DATE_EPOCH": str(epoch),
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
    }
    path = f"/{INFO}/{package.stem}.{script}"
    try:
        run_in_root(
            root,
            [path, *arguments],
            env=environment,
            on_line=lambda line: step.note(f"{package.name}: {line}", "log"),
            timeout=_TIMEOUT,
            what=f"configure {package.name}",
        )
    except ExternalError as error:
        raise ExternalError(
            f"the {script} script of {package.name} failed ({' '.join(arguments).strip()}, status {error.status})",
            on=root,
            next_step="its last lines are below; the packages configured before it stay configured",
            argv=error.argv,
            status=error.status,
            tail=error.tail,
        ) from error


@contextmanager
def _no_services(root: Path) -> Iterator[None]:
    policy = root / "usr/sbin/policy-rc.d"
    if policy.exists() and policy.read_text(errors="replace") != _POLICY:
        yield
        return
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(_POLICY)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)
