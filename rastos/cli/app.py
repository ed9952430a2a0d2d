"""The command tree, loaded lazily, and the one place where errors become text and exit statuses."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rastos import __version__
from rastos.cli.lazy import LazyGroup

if TYPE_CHECKING:
    from rastos.cli.terminal import Terminal
    from rastos.config import Config
    from rastos.progress import Progress

# name -> (module, attribute, one line of help)
COMMANDS = {
    "doctor": ("doctor", "doctor", "What this machine can do, what is missing, how to get it."),
    "kernel": ("kernel", "kernel", "Build kernels from profiles and keep them as packages."),
    "package": ("package", "package", "Plan and install the declared packages."),
    "image": ("image", "image", "Create, inspect, boot and test disk images."),
    "install": ("install", "install", "Install a system onto a disk."),
    "adopt": ("adopt", "adopt", "Make an Arch system on btrfs the first snapshot of a store."),
    "snapshot": ("snapshot", "snapshot", "The tree of snapshots: create, run, deploy, roll back."),
    "config": ("config", "config", "Show the settings and where each comes from."),
}
MACHINE = Path("/etc/rastos/system")  # of a machine that rastos made


class Application:
    """What a command gets: settings, progress and output, each made when first used."""

    def __init__(self) -> None:
        self.debug = False
        self.options: dict[str, object] = {}

    @cached_property
    def project(self) -> Path:
        """The folder with rastos.toml or packages.toml, here or above; else the machine's own; else the current one."""
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / "rastos.toml").is_file() or (folder / "packages.toml").is_file():
                return folder
        return MACHINE if (MACHINE / "packages.toml").is_file() else here

    @cached_property
    def config(self) -> Config:
        """The merged settings."""
        from rastos import config

        files = sorted(Path("/etc/rastos").glob("*.toml")) + [self.project / "rastos.toml"]
        base = config.defaults(
            root=os.geteuid() == 0, home=Path.home(), project=self.project, cores=len(os.sched_getaffinity(0))
        )
        present = [path for path in files if path.is_file()]
        merged = config.load(base, present, os.environ, self.options, project=self.project)
        if merged.luks_passphrase_file:
            from rastos.installer import use_passphrase_file

            use_passphrase_file(Path(merged.luks_passphrase_file).expanduser())
        return merged

    @cached_property
    def out(self) -> Terminal:
        """Where results and talk go."""
        from rastos.cli.terminal import Terminal

        return Terminal(debug=self.debug)

    @cached_property
    def progress(self) -> Progress:
        """Progress shown on the terminal, or as lines in a pipe."""
        from rastos.progress import Progress

        return Progress(self.out.sink())


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    package="rastos.cli",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", message="rastos %(version)s")
@click.option("--debug", is_flag=True, envvar="RASTOS_DEBUG", help="Show whole logs and tracebacks.")
@click.option("--jobs", "-j", type=click.IntRange(min=1), help="Parallel jobs (RASTOS_JOBS).")
@click.pass_context
def cli(ctx: click.Context, debug: bool, jobs: int | None) -> None:
    """Build, boot and manage immutable Linux systems: kernel, packages, image, snapshots."""
    application: Application = ctx.ensure_object(Application)
    application.debug = debug
    application.options["jobs"] = jobs


def run(arguments: list[str]) -> int:
    """Run one command line; the exit status: 0 well, 1 failed, 2 wrong usage, 130 interrupted."""
    application = Application()
    try:
        with cli.make_context("rastos", list(arguments), obj=application) as ctx:
            _arm_faults()
            cli.invoke(ctx)
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return 1
    except (click.Abort, KeyboardInterrupt):
        _close(application)
        click.echo("interrupted; the same command again goes on from here", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:
        _close(application)
        return _report(error, debug=application.debug)


def _arm_faults() -> None:
    """Fault injection for tests and drills: RASTOS_FAULT="step=kill|error|enospc|eio"."""
    fault = os.environ.get("RASTOS_FAULT")
    if fault:
        from rastos.host import faults

        faults.arm(fault)


def _close(application: Application) -> None:
    if "out" in application.__dict__:
        application.out.close()


def _report(error: Exception, *, debug: bool) -> int:
    from rastos.errors import RastosError

    if not isinstance(error, RastosError):
        known: RastosError | None = _known(error)
        if known is None:
            import traceback

            if debug:
                traceback.print_exception(error)
            where = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
            place = f" ({Path(where.filename).name}:{where.lineno})" if where else ""
            click.echo(f"error: {type(error).__name__}: {error}{place}", err=True)
            click.echo("next: this is a defect of rastos; run again with --debug and report what it prints", err=True)
            return 1
        error = known
    from rastos.cli.render import error_lines

    for line in error_lines(error, debug=debug):
        click.echo(line, err=True)
    if debug:
        import traceback

        traceback.print_exception(error)
    return error.exit_status


def _known(error: Exception) -> Any:
    """Operating system errors that say themselves what is wrong."""
    import errno

    from rastos.errors import HostError

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return HostError("the disk is full", on=error.filename or "", next_step="free space and run the command again")
    if isinstance(error, OSError) and error.errno in (errno.EIO, errno.EROFS):
        step = "look at the disk (dmesg); the state from before is intact, the next command recovers"
        return HostError(f"the disk failed: {error.strerror}", on=error.filename or "", next_step=step)
    if isinstance(error, PermissionError):
        return HostError("permission denied", on=error.filename or "", next_step="run it as root (sudo)")
    return None
