"""Changing a tree, whatever it is: a plain folder, a btrfs subvolume (swapped in when complete), or an image.

    with changed_tree_of(app, root, image, command=command_line(), dry_run=dry_run) as changing:
        plan = plan_change(changing.target, ...)             # nothing is made yet
        if not dry_run:
            result = changing.apply(channels, plan)          # history begin, work copy, libalpm, swap or deploy, history end

`apply` is `begin(plan)`, `apply_plan(changing.target, ...)` and `finish(plan, result)`; between those two `target` is the work
copy. Leaving the block by an error, or without `finish`, leaves the old tree and says so in the history.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rastos.cli.app import Application

if TYPE_CHECKING:
    from rastos.package import Channel, History, PackageChange, Plan, Result, Target

F = TypeVar("F", bound=Callable[..., Any])
_NAMED = 4  # packages that are named in a description


def change_options(function: F) -> F:
    """--root, --image, --no-deploy: the tree a command changes."""
    for option in (
        click.option("--no-deploy", is_flag=True, help="With --image: make the snapshot, leave what boots next."),
        click.option(
            "--image", type=click.Path(path_type=Path, dir_okay=False), help="Change a copy of what this image boots."
        ),
        click.option(
            "--root", type=click.Path(path_type=Path, file_okay=False), help="Change the tree in this folder."
        ),
    ):
        function = option(function)
    return function


def command_line() -> str:
    """The command as it was typed, for the history."""
    return shlex.join(["rastos", *sys.argv[1:]])


class Changing:
    """A tree about to be changed: plan against `target`, then `apply`. This class: in place."""

    def __init__(self, app: Application, target: Target, log: Path, command: str, manifest: Path | None) -> None:
        self.app = app
        self.tree = target
        self.target = target
        self.log = log  # the root of the tree that has the history
        self.command = command
        self.manifest = manifest
        self.stack = ExitStack()  # the work copy
        self.number = 0
        self.started = 0.0

    @property
    def history(self) -> History:
        """The history; looked at anew each time, for what packages do to the folders above it."""
        from rastos.package import history_of

        return history_of(self.log)

    def apply(self, channels: Sequence[Channel], plan: Plan, *, undoes: int | None = None, **options: Any) -> Result:
        """Carry a plan out, recorded; `options` go to `apply_plan`."""
        from rastos.package import apply_plan, planned_changes, read_local

        packages = planned_changes(plan, read_local(self.target.database))
        if not packages:
            return self._nothing(channels, plan, options)
        self.begin(packages, undoes=undoes)
        result = apply_plan(self.target, channels, plan, self.app.progress, **options)
        self.finish(plan, result)
        return result

    def begin(
        self, packages: Sequence[PackageChange], *, undoes: int | None = None, source: Path | None = None
    ) -> None:
        """Write the intent into the history, and make the work copy (of `source`, if that is another tree)."""
        from rastos.host import require_root, sha256_file
        from rastos.package import HistoryEntry

        require_root("change packages")
        uid, user = _author()
        manifest = sha256_file(self.manifest) if self.manifest is not None and self.manifest.is_file() else ""
        entry = HistoryEntry(
            uid=uid,
            user=user,
            command=self.command,
            manifest=manifest,
            packages=tuple(packages),
            undoes=undoes,
            base=self._base(),
        )
        self.started = time.monotonic()
        self.number = self.history.begin(entry, at_least=self._at_least())
        self._enter(source)

    def finish(self, plan: Plan | None = None, result: Result | None = None) -> None:
        """It is complete: make it the tree."""
        self.history.end(self.number, "done", seconds=time.monotonic() - self.started)

    def abandon(self, error: BaseException) -> None:
        """It failed: the work copy goes, the history says why. The error names the tree, not the copy."""
        from rastos.errors import RastosError

        if isinstance(error, RastosError) and self.target is not self.tree:
            error.on = error.on.replace(str(self.target.root), str(self.tree.root))
            error.detail = error.detail.replace(str(self.target.root), str(self.tree.root))
        try:
            self.stack.__exit__(type(error), error, error.__traceback__)
        finally:
            try:
                self._failed(error)
            except (OSError, RastosError):
                pass  # a full disk; what has no end reads as interrupted

    def _failed(self, error: BaseException) -> None:
        if self.number and self.history.entry(self.number).result != "done":
            result = "failed" if isinstance(error, Exception) else "interrupted"
            text = "stopped by the user" if isinstance(error, KeyboardInterrupt) else f"{error}"
            self.history.end(self.number, result, error=text, seconds=time.monotonic() - self.started)

    def _nothing(self, channels: Sequence[Channel], plan: Plan, options: dict[str, Any]) -> Result:
        from rastos.package import apply_plan

        # an earlier change that did not finish is completed by this
        return apply_plan(self.target, channels, plan, self.app.progress, **options)

    def _base(self) -> int | None:
        return None

    def _at_least(self) -> int:
        return 1

    def _enter(self, source: Path | None) -> None:
        assert source is None


@contextmanager
def changed_tree_of(
    app: Application,
    root: Path | None,
    image: Path | None,
    *,
    command: str,
    dry_run: bool,
    no_deploy: bool = False,
    manifest: Path | None = None,
) -> Iterator[Changing]:
    """The tree that `change_options` name, locked against other changes (not with `dry_run`: then it is only read).

    UserError: none is named, or the running system. BusyError: somebody else changes it.
    """
    if root is not None and image is not None:
        raise click.UsageError("--root and --image name two trees; give one.")
    if no_deploy and image is None:
        raise click.UsageError("--no-deploy belongs to --image.")
    with ExitStack() as stack:
        if image is not None:
            from rastos.cli.package.changing_copies import image_change

            changing: Changing = image_change(
                app, image, command, manifest, stack, dry_run=dry_run, no_deploy=no_deploy
            )
        else:
            changing = _folder_change(app, _folder(root), command, manifest, stack, dry_run=dry_run)
        try:
            yield changing
            if changing.number and changing.history.entry(changing.number).result != "done":
                raise RuntimeError("the change was begun and not finished")
        except BaseException as error:
            changing.abandon(error)
            raise


def _folder(root: Path | None) -> Path:
    from rastos.errors import UserError

    running = root is None or root.resolve() == Path("/")
    if running and any(word.startswith("rastos.deployment=") for word in Path("/proc/cmdline").read_text().split()):
        raise UserError(
            "the running rastOS system can't be changed in place: its tree is read-only",
            next_step="change its disk or image from outside: --image FILE; it will come with `snapshot` on the running system",
        )
    if root is None:
        raise UserError(
            "no tree is named", next_step="name one: --root DIR or --image FILE (this system itself: --root /)"
        )
    return root


def _folder_change(
    app: Application, root: Path, command: str, manifest: Path | None, stack: ExitStack, *, dry_run: bool
) -> Changing:
    from rastos.cli.package.opening import target_of
    from rastos.host import locked
    from rastos.package import history_of

    target = target_of(app, root)
    history_of(target.root)  # an error now rather than half-way
    if os.geteuid() == 0 and target.root.is_dir():
        from rastos.snapshot import SwapPlace, opened_place, why_not_swapped

        if not why_not_swapped(target.root):
            from rastos.cli.package.changing_copies import SwappedChange

            purpose = f"changing the packages of {target.root}"
            place = SwapPlace(target.root.resolve()) if dry_run else stack.enter_context(opened_place(root, purpose))
            return SwappedChange(app, target, target.root, command, manifest, place)
    if not dry_run and os.geteuid() == 0:
        lock = target.cache / "locks" / f"{target.key}.change.lock"
        stack.enter_context(locked(lock, f"changing the packages of {target.root}"))
    return Changing(app, target, target.root, command, manifest)


def described(packages: Sequence[PackageChange]) -> str:
    """A change in a few words: +htop −vim, 12 upgraded."""
    named = [change for change in packages if change.reason == "explicit" or change.action == "remove"]
    words = []
    for sign, action in (("+", "install"), ("−", "remove"), ("↑", "upgrade"), ("↓", "downgrade"), ("=", "reinstall")):
        names = [change.name for change in packages if change.action == action]
        asked = [change.name for change in named if change.action == action] or names
        words += [f"{sign}{name}" for name in asked[:_NAMED]]
        if len(names) > len(asked[:_NAMED]):
            words.append(f"{sign}{len(names) - len(asked[:_NAMED])} more")
    marks = sum(change.action == "reason" for change in packages)
    return " ".join(words) or (f"{marks} reasons" if marks else "")


def _author() -> tuple[int, str]:
    """Who is at work: behind sudo, the one who called it."""
    import pwd

    behind = os.environ.get("SUDO_UID", "")
    uid = int(behind) if behind.isdigit() and os.getuid() == 0 else os.getuid()
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, os.environ.get("SUDO_USER", "")
