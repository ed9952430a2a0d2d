"""The configuration that somebody names on the command line: a profile, a package, a file, the running kernel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rastos.cli.app import Application
from rastos.cli.kernel import places

if TYPE_CHECKING:
    from rastos.kernel import KernelTree
    from rastos.kernel.checks import ConfigOrigin


@dataclass(frozen=True, slots=True)
class Compared:
    """A configuration, and the source whose menus know its options (the nearest there is, or None)."""

    origin: ConfigOrigin
    tree: KernelTree | None

    @property
    def exact(self) -> bool:
        """Whether that source is of the configuration's own version."""
        return self.tree is not None and self.tree.version == self.origin.version


def configuration(app: Application, which: str, source: str | None = None) -> ConfigOrigin:
    """The configuration somebody names; a profile that isn't built, or that is wanted on the kernel `source`, is configured.

    Raises UserError where it is nothing of that.
    """
    import difflib

    from rastos.errors import UserError
    from rastos.kernel import built, distro_request

    found = None if source and which in _profiles(app) else _there(app, which)
    if found is None and which in _profiles(app):
        found = _resolved(app, which, source).origin
    if found is not None:
        return found
    near = difflib.get_close_matches(which, _profiles(app), n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    if distro_request(which) is not None:
        hint = "the distribution's kernel isn't here yet: `rastos kernel distro`; "
    names = ", ".join(item.profile for item in built(places.cache(app), places.repository(app))) or "none"
    raise UserError(
        f"'{which}' is no profile, built kernel, package or configuration file",
        next_step=f"{hint}`rastos kernel profiles` lists the profiles; else a path, or 'running'; built: {names}",
    )


def compared(app: Application, which: str) -> Compared:
    """One side of a comparison: PROFILE and PROFILE@SOURCE as they would be configured, the rest as `configuration`."""
    from rastos.kernel import nearest_tree

    name, _, source = which.partition("@")
    if not Path(which).is_file() and name in _profiles(app):
        return _resolved(app, name, source or None)
    origin = configuration(app, which)
    return Compared(origin, nearest_tree(origin.version, places.cache(app)) if origin.version else None)


def _there(app: Application, which: str) -> ConfigOrigin | None:
    from rastos.kernel.checks import from_file, from_package, of_running

    if which == "running":
        return of_running()
    path = Path(which)
    if path.is_file():
        return from_package(path) if ".pkg.tar." in path.name else from_file(path)
    repository = places.repository(app)
    package = repository.find(which) or repository.find(f"linux-rastos-{which}")
    return from_package(package.path) if package is not None else None


def _profiles(app: Application) -> list[str]:
    from rastos.kernel import profiles

    return [item.name for item in profiles(app.config.profile_folders)]


def _resolved(app: Application, name: str, source: str | None) -> Compared:
    """What building the profile would configure."""
    from rastos.kernel import KernelTree, resolve_config
    from rastos.kernel.checks import ConfigOrigin

    found = resolve_config(places.plan(app, name, source=source), app.progress)
    # a plain dict: what is judged compares it with other configurations
    origin = ConfigOrigin(f"profile {name}", found.version, dict(found.values))
    return Compared(origin, KernelTree(found.plan.source.tree, found.version, found.plan.source.digest))
