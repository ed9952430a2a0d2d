"""Building: configure, check every requested option, make, package, add to the local repository.

The build tree is kept: an interrupted build continues in it, and a changed option makes only what depends on it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import ExternalError, HostError, UserError
from rastos.host import (
    copy_file,
    faults,
    find_program,
    locked,
    read_json,
    require_programs,
    run,
    sha256_file,
    write_atomic,
    write_json,
)
from rastos.kernel.config_file import read_config
from rastos.kernel.kconfig import check
from rastos.kernel.makelog import MakeLog, drop_suspicious, objects_in
from rastos.kernel.packaging import package_kernel
from rastos.kernel.plan import IDENTITY, RELEASE, BuildPlan, series, settled
from rastos.kernel.signing import module_key, place_key
from rastos.kernel.sources import open_source
from rastos.kernel.store import BuiltKernel, record
from rastos.kernel.toolchain import require_version
from rastos.progress import Progress

PROGRAMS = ("make", "bc", "flex", "bison", "perl", "tar", "depmod")
MARKER = "rastos-build.json"
ALSO = {"MODULES": "modules", "GDB_SCRIPTS": "scripts_gdb"}  # option: what make is asked for besides the image
FULL = 256_000_000  # bytes free; make that fails with no word below it, failed for that
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build(plan: BuildPlan, progress: Progress, *, debug: bool = False, output: Path | None = None) -> BuiltKernel:
    """Carry a plan out; the finished kernel, at once where the plan found it built. `output` gets a copy.

    Raises UserError for dropped options and for code that doesn't compile (file, line, the compiler's words),
    HostError for missing tools and a full disk.
    """
    kernel = plan.existing
    if kernel is None:
        require_programs(*PROGRAMS)
        with locked(plan.cache / "locks" / plan.tree.name, f"build kernel {plan.profile.name}"):
            with locked(plan.cache / "locks" / "sources", "unpack kernel source", wait=600.0):
                source = open_source(plan.source, plan.cache, progress)
            require_version(plan.tools, source.tree)
            plan = settled(plan, source, module_key(plan.state) if plan.signs else None)
            kernel = plan.existing or _build(plan, progress, debug)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        for path in (kernel.package, *(item.path for item in kernel.others)):
            copy_file(path, output / path.name)
    return kernel


def _build(plan: BuildPlan, progress: Progress, debug: bool) -> BuiltKernel:
    started = time.monotonic()
    plan.log.parent.mkdir(parents=True, exist_ok=True)
    plan.log.unlink(missing_ok=True)
    log = _opening(plan)
    fresh = not log.present
    with progress.step("Configure") as step:
        configure(plan, log)
        drops = check(plan.merged, plan.tree / ".config", plan.source.tree, plan.source.version, plan.profile.may_drop)
        for item in drops:
            step.note(f"CONFIG_{item.request.symbol} is not in Linux {plan.source.version}: {item.accepted}")
        chosen = len(read_config(plan.tree / ".config"))
        step.outcome = f"{len(plan.merged.requests) - len(drops)} options asked for, all there; {chosen} set in all"
    _mark(plan, finished=False)
    values = read_config(plan.tree / ".config")
    targets = ["bzImage", *(target for symbol, target in ALSO.items() if values.get(symbol) == "y")]
    with progress.step("Compile", total=log.total, unit="objects") as step:

        def line(text: str) -> None:
            if log.line(text):
                step.advance(log.done, log.current, total=log.total)
            if debug:
                step.note(text, "log")

        if not fresh:
            step.note(f"continuing: {log.done:,} objects are there already")
        _make(plan, targets, log=log, on_line=line, **prefix_maps(plan))
        step.outcome = f"{log.made:,} objects, {log.warnings} warnings, {plan.jobs} jobs; log {plan.log}"
    faults.reached("kernel-compiled")
    _remember_count(plan, log, fresh)
    with progress.step("Package") as step:
        release = (plan.tree / "include/config/kernel.release").read_text(encoding="utf-8").strip()
        version = f"{plan.source.version.replace('-', '_')}-{RELEASE}"
        seconds = time.monotonic() - started
        made = package_kernel(plan, release, version, environment(plan), debug=debug)
        faults.reached("kernel-packaged")
        config = plan.cache / "built" / f"{plan.key}.config"
        config.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(config, (plan.tree / ".config").read_bytes())
        kernel = BuiltKernel(
            name=plan.profile.package,
            profile=plan.profile.name,
            release=release,
            version=version,
            source=plan.source.title,
            package=made.path,
            sha256=sha256_file(made.path),
            key=plan.key,
            config=config,
            seconds=round(seconds, 1),
            warnings=log.warnings,
            objects=len(objects_in(plan.tree)),
            image_size=made.image_size,
            package_size=made.path.stat().st_size,
            created=int(time.time()),
            others=made.others,
        )
        record(plan.cache, kernel)
        sizes = [(made.path.name, kernel.package_size), *((item.path.name, item.size) for item in made.others)]
        step.outcome = "; ".join(f"{name}, {size / 1e6:.1f} MB" for name, size in sizes)
    _mark(plan, finished=True)
    return kernel


def environment(plan: BuildPlan) -> dict[str, str]:
    """What make sees: identical for identical keys, apart from where the compiler cache lies.

    Documentation/kbuild/reproducible-builds.rst. Where the build needn't be reproducible, time, user and host are the real ones.
    """
    epoch = plan.source.epoch
    # the release names the profile, so that kernels of one version keep their modules apart
    env = {"LOCALVERSION": f"-rastos-{plan.profile.name}", "PATH": PATH}
    if plan.reproducible:
        stamp = time.strftime("%a %b %e %H:%M:%S UTC %Y", time.gmtime(epoch))
        env = {**IDENTITY, **env, "KBUILD_BUILD_TIMESTAMP": stamp, "SOURCE_DATE_EPOCH": str(epoch)}
    return env | compiler_cache(plan)


def compiler_cache(plan: BuildPlan) -> dict[str, str]:
    """ccache in front of the compiler, where it is there: under the compiler's own name, so that objects stay valid when it
    comes or goes. Nothing for a compiler that is named by its path."""
    ccache = find_program("ccache")
    if ccache is None or "/" in plan.tools.compiler:
        return {}
    folder = plan.cache / "ccache-bin"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / plan.tools.compiler
    if not link.is_symlink() or link.readlink() != ccache:
        link.unlink(missing_ok=True)
        link.symlink_to(ccache)
    # the build tree's path is in no object (`prefix_maps`), so another tree of the same source may have its objects
    env = {"PATH": f"{folder}:{PATH}", "CCACHE_DIR": str(plan.cache / "ccache"), "CCACHE_NOHASHDIR": "1"}
    # the kernel has the compiler write each object's dependencies: nothing needs to be preprocessed to be looked up, or stored
    return {**env, "CCACHE_DEPEND": "1"}


def prefix_maps(plan: BuildPlan) -> dict[str, str]:
    """Flags that keep this machine's folders out of debug information; what isn't debug information the kernel's own
    flags cover. ccache leaves these options out of what it compares."""
    if read_config(plan.tree / ".config").get("DEBUG_INFO") != "y":
        return {}
    flags = f"-ffile-prefix-map={plan.source.tree}/= -ffile-prefix-map={plan.tree}=."
    return {"KCFLAGS": flags, "KAFLAGS": flags}


def configure(plan: BuildPlan, log: MakeLog) -> None:
    """Write the build tree's .config from base and fragments; kconfig leaves it alone where nothing changed."""
    requested = plan.tree / "requested.config"
    write_atomic(requested, plan.requested)
    if plan.signing is not None:
        place_key(plan.signing, plan.tree)
    if plan.profile.base == "allnoconfig":
        _make(plan, ["allnoconfig"], log=log, KCONFIG_ALLCONFIG=str(requested))
    else:
        _make(plan, [plan.profile.base], log=log)
        with (plan.tree / ".config").open("a", encoding="utf-8") as config:
            config.write(plan.requested)
    complete(plan, log)


def complete(plan: BuildPlan, log: MakeLog) -> None:
    """Let kconfig fill in what the build tree's .config doesn't say, and drop what can't be."""
    _make(plan, ["olddefconfig"], log=log)


def _opening(plan: BuildPlan) -> MakeLog:
    """The state of the build tree as the start of this build's count."""
    plan.tree.mkdir(parents=True, exist_ok=True)
    marker = plan.tree / MARKER
    before = read_json(marker) if marker.is_file() else {}
    expected = plan.expected_objects(plan.source.version)
    if before and not before["finished"]:
        drop_suspicious(plan.tree)
    if not before:
        return MakeLog(expected, plan.tree)
    if before["key"] == plan.key:
        return MakeLog(expected, plan.tree, objects_in(plan.tree))
    return MakeLog(tree=plan.tree)  # other options: only make knows how much of the tree they touch


def _mark(plan: BuildPlan, *, finished: bool) -> None:
    write_json(plan.tree / MARKER, {"key": plan.key, "finished": finished})


def _remember_count(plan: BuildPlan, log: MakeLog, fresh: bool) -> None:
    """Keep the number of objects of a complete build of the profile as shipped."""
    if not fresh or log.expected is None or plan.merged.changed(plan.profile.fragments):
        return
    path = plan.cache / "counts.json"
    known = read_json(path) if path.is_file() else {}
    write_json(path, {**known, f"{plan.profile.name} {series(plan.source.version)}": log.done})


def _make(
    plan: BuildPlan,
    targets: list[str],
    *,
    log: MakeLog | None = None,
    on_line: Callable[[str], None] | None = None,
    **extra: str,
) -> None:
    """Run make; `log` reads its lines for errors, and `on_line` where given must feed it."""
    reader = log or MakeLog()

    def read(text: str) -> None:
        reader.line(text)

    with _compiler_words(plan, reader):
        run(
            plan.make(*targets),
            env={**environment(plan), **extra},
            log=plan.log,
            on_line=on_line or read,
            what=f"make {' '.join(targets)}",
            guarded=True,
        )


@contextmanager
def _compiler_words(plan: BuildPlan, log: MakeLog) -> Iterator[None]:
    """A failed make as what the compiler said first, where in the source."""
    try:
        yield
    except ExternalError as error:
        # ccache keeps the compiler's words in a file, which a full disk swallows; what was half written is gone by now
        silent = not log.error and not log.out_of_memory and shutil.disk_usage(plan.tree).free < FULL
        if log.disk_full or silent:
            raise HostError(
                "the disk is full", on=plan.tree, next_step="free space and run it again: the build continues"
            ) from error
        if log.out_of_memory:
            raise HostError(
                "the compiler was killed, for want of memory most likely",
                on=log.first_error(plan.source.tree),
                next_step=f"run it again with fewer jobs than {plan.jobs} (--jobs): the build continues",
            ) from error
        words = log.first_error(plan.source.tree)
        if not words:
            raise
        raise UserError(
            f"the kernel doesn't compile: {words}",
            on=plan.source.title,
            next_step=f"the whole log is in {plan.log}",
            detail=error.tail,
        ) from error
