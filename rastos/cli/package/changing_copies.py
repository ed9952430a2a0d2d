"""Changes that are made on a copy: of a btrfs subvolume, swapped in when complete; of an image's snapshot, deployed then."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rastos.cli.app import Application
from rastos.cli.package.changing import Changing, described

if TYPE_CHECKING:
    from rastos.package import Channel, History, PackageChange, Plan, Result, Target
    from rastos.snapshot import Intent, Session, Snapshot, Store, SwapPlace


STATE = "state"  # of a store: the parent of its var


class CopiedChange(Changing):
    """What both have in common: an empty plan makes nothing, and the copy's own journal goes with the copy."""

    def _nothing(self, channels: Sequence[Channel], plan: Plan, options: dict[str, Any]) -> Result:
        from rastos.package import Result

        return Result()

    def _work_on(self, tree: Path) -> None:
        from rastos.package import target_for

        immutable = None if isinstance(self, SwappedChange) else True
        self.target = target_for(tree, self.target.cache, immutable=immutable)
        # of a copy that is no more, or of one that fails: the next copy under this name knows nothing of it
        journal = self.target.cache / "journal" / self.target.key
        shutil.rmtree(journal, ignore_errors=True)
        self.stack.callback(shutil.rmtree, journal, ignore_errors=True)


class SwappedChange(CopiedChange):
    """A root folder that is a btrfs subvolume. `place` is locked, except for looking."""

    def __init__(
        self, app: Application, target: Target, log: Path, command: str, manifest: Path | None, place: SwapPlace
    ) -> None:
        super().__init__(app, target, log, command, manifest)
        self.place = place

    def finish(self, plan: Plan | None = None, result: Result | None = None) -> None:
        """Swap the trees. The end of the history entry is in the copy: it becomes true in the same instant."""
        from rastos.package import history_of

        history_of(self.target.root).end(self.number, "done", seconds=time.monotonic() - self.started)
        self.stack.close()
        self.target = self.tree

    def _at_least(self) -> int:
        return max(self.place.kept(), default=0) + 1

    def _enter(self, source: Path | None) -> None:
        from rastos.host import write_atomic
        from rastos.package import history_of
        from rastos.snapshot import changed_tree

        work = self.stack.enter_context(
            changed_tree(self.place, self.number, source=source, keep=self.app.config.kept_trees)
        )
        self._work_on(work)
        if source is not None:
            # an old tree knows its own past only; what came after it stays in the history
            log = history_of(work).path
            log.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(log, self.history.path.read_bytes())


class ImageChange(CopiedChange):
    """What an image boots next: changed in a session, committed as a snapshot, deployed."""

    def __init__(
        self,
        app: Application,
        target: Target,
        log: Path,
        command: str,
        manifest: Path | None,
        *,
        store: Store,
        base: Snapshot,
        no_deploy: bool,
    ) -> None:
        super().__init__(app, target, log, command, manifest)
        self.store = store
        self.base = base
        self.no_deploy = no_deploy
        self.session: Session | None = None
        self.packages: tuple[PackageChange, ...] = ()

    def begin(
        self, packages: Sequence[PackageChange], *, undoes: int | None = None, source: Path | None = None
    ) -> None:
        """Also keep what the snapshot's description will say."""
        self.packages = tuple(packages)
        super().begin(packages, undoes=undoes, source=source)

    def finish(self, plan: Plan | None = None, result: Result | None = None) -> None:
        """Commit the session, and deploy its snapshot."""
        assert self.session is not None
        made = self.session.commit(described(self.packages), intent=_intent(self.packages))
        self.stack.close()
        self.target = self.tree
        self.app.out.say(f"snapshot {made.id}, child of {self.base.id}: {made.description}")
        if self.no_deploy:
            passed = time.monotonic() - self.started
            self.history.end(self.number, "done", seconds=passed, snapshot=made.id)
            self.app.out.say(f"next: rastos snapshot deploy {made.id}")
        else:
            self.deploy(made.id)

    def deploy(self, snapshot: int) -> None:
        """Deploy a snapshot and end the entry with it."""
        from rastos.snapshot import deploy, plan_deploy

        self.history.note(self.number, snapshot=snapshot)
        made = deploy(self.store, plan_deploy(self.store, snapshot), self.app.progress)
        passed = time.monotonic() - self.started
        self.history.end(self.number, "done", seconds=passed, snapshot=snapshot, deployment=made.number)
        self.app.out.say(f"deployment {made.number} boots next: snapshot {snapshot}")

    def _base(self) -> int | None:
        return self.base.id

    def _enter(self, source: Path | None) -> None:
        from rastos.snapshot import create_session

        if source is None:
            self.session = self.stack.enter_context(create_session(self.store, self.base.id, self.command))
            self._work_on(self.session.tree)


def image_change(
    app: Application,
    image: Path,
    command: str,
    manifest: Path | None,
    stack: ExitStack,
    *,
    dry_run: bool,
    no_deploy: bool,
) -> ImageChange:
    """Open the image for the length of the stack; the change starts from what boots next."""
    from rastos.installer import open_image
    from rastos.package import target_for
    from rastos.snapshot import Store

    opened = stack.enter_context(open_image(image, writable=not dry_run, purpose="change packages"))
    store = Store.open(opened.top, opened.esp, writable=not dry_run)
    current = store.current()
    base = store.snapshot(current.snapshot if current else "latest")
    target = target_for(store.tree(base.id), app.config.cache / "install", immutable=True)
    history = image_history(store)
    last = history.entries()[-1:]
    if current and not dry_run and last and not last[0].ended and last[0].snapshot == current.snapshot:
        # killed behind the commit point of the deploy: it is what boots
        history.end(last[0].number, "done", deployment=current.number)
    log = store.top / STATE
    return ImageChange(app, target, log, command, manifest, store=store, base=base, no_deploy=no_deploy)


def _intent(packages: Sequence[PackageChange]) -> Intent:
    """What a rebase asks again: packages asked for by name, and those taken out."""
    from rastos.snapshot import Intent

    came = [item.name for item in packages if item.action == "install" and item.reason == "explicit"]
    went = [item.name for item in packages if item.action == "remove"]
    newer = any(item.action == "upgrade" for item in packages)
    return Intent(tuple(came), tuple(went), newer and not came)


def image_history(store: Store) -> History:
    """The history of an image: in its state, which all of its snapshots share."""
    from rastos.package import history_of

    return history_of(store.top / STATE)
