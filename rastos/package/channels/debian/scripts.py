"""Running one maintainer script in a root: its environment, its failure as an error, and no service started by it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host import run_in_root
from rastos.progress import Step

from .convert import INFO
from .status import Installed

_POLICY = "#!/bin/sh\n# no service is started while packages are configured\nexit 101\n"
_TIMEOUT = 600.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run_script(
    root: Path,
    package: Installed,
    script: str,
    arguments: Sequence[str],
    epoch: int,
    step: Step,
    *,
    program: str = "",
    first: str = "",
) -> None:
    """Run `script` of a package as dpkg would; `program` if it lies elsewhere, `first` a folder to find programs in."""
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
        "PATH": f"{first}:{_PATH}" if first else _PATH,
        "LC_ALL": "C.UTF-8",
    }
    try:
        run_in_root(
            root,
            [program or f"/{INFO}/{package.stem}.{script}", *arguments],
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
def no_services(root: Path) -> Iterator[None]:
    """While this holds, `invoke-rc.d` in `root` starts nothing; a policy of the root's own is left alone."""
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
