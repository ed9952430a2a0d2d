"""Where kernels are kept: the cache and the repository of this configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rastos.cli.app import Application

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rastos.kernel import BuildPlan
    from rastos.package import LocalRepository


def cache(app: Application) -> Path:
    """Sources, build trees and records of kernels."""
    return app.config.cache / "kernel"


def keyring(app: Application) -> Path:
    """The keys that kernel.org's signatures are held to."""
    return app.config.state / "keys" / "kernel.org.gpg"


def jobs(app: Application) -> int:
    """Parallel compilers: the setting, else as many as cores and memory allow."""
    if app.config.origins["jobs"] != "default":
        return app.config.jobs
    from rastos.host import available_memory
    from rastos.kernel import fitting_jobs

    return fitting_jobs(app.config.jobs, available_memory())


def repository(app: Application) -> LocalRepository:
    """The repository that built kernels go to."""
    from rastos.package import LocalRepository

    return LocalRepository(app.config.repository)


def module_key(app: Application) -> Path:
    """The key that signs the modules of the kernels built here (it may not be there yet)."""
    return app.config.state / "keys/module-signing.pem"


def plan(
    app: Application,
    profile: str,
    *,
    source: str | None = None,
    fragments: Sequence[str] = (),
    settings: Sequence[str] = (),
) -> BuildPlan:
    """What building a profile would be, for those who only want its configuration; `fragments` are files or names."""
    from rastos.kernel import find_fragment, load_profile, plan_build

    search = app.config.profile_folders
    return plan_build(
        load_profile(profile, search),
        source=source,
        mirror=app.config.kernel_mirror,
        keyring=keyring(app),
        extra_fragments=[find_fragment(name, search) for name in fragments],
        settings=settings,
        jobs=app.config.jobs,
        cache=cache(app),
        repository=repository(app),
        state=app.config.state,
    )
