"""What boots next against what booted: deployments that wait for their first boot, cancelled or kept."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rastos.errors import UserError
from rastos.host import faults, write_json

from .bootentry import ENTRIES, PENDING, EntryName, boot_paths, entry_name, parse_entry, write_entry
from .deployment import entry_words
from .metadata import Deployment
from .recovery import collect, drop_deployment, kernels_wanted
from .store import Store


@dataclass(frozen=True, slots=True)
class Pending:
    """A deployment that has not been found good yet; `tries` are left, `done` were used."""

    deployment: int
    snapshot: int
    description: str
    created: str
    tries: int
    done: int
    trial: bool


@dataclass(frozen=True, slots=True)
class BootState:
    """What runs (None for an image), boots next, is started when that fails, booted well last; what waits, newest first.

    `tried`: trials that have had their one boot.
    """

    booted: Deployment | None
    next: Deployment | None
    fallback: Deployment | None
    good: Deployment | None
    pending: tuple[Pending, ...]
    tried: tuple[Pending, ...] = ()


@dataclass(frozen=True, slots=True)
class CancelPlan:
    """Deployments that go, newest first, and the one that boots then."""

    deployments: tuple[int, ...]
    next: Deployment


@dataclass(frozen=True, slots=True)
class KeepPlan:
    """A deployment that will count as good, and the name its boot entry has now."""

    deployment: Deployment
    entry: str
    left: int | None


def boot_state(store: Store) -> BootState:
    """What the boot loader will do. Raises IntegrityError where a deployment's record is gone."""
    entries = store.entries()
    usable = sorted((entry.number for entry in entries if entry.state != "bad"), reverse=True)
    good = [entry.number for entry in entries if entry.state == "good"]
    base = _base(store, entries)
    waiting = [entry for entry in reversed(entries) if entry.state == "new" and entry.number > base]
    return BootState(
        booted=store.deployment(store.booted) if store.booted is not None else None,
        next=store.deployment(usable[0]) if usable else None,
        # the loader goes by the number alone, whether or not that one has proved itself
        fallback=store.deployment(usable[1]) if len(usable) > 1 else None,
        good=store.deployment(max(good)) if good else None,
        pending=tuple(_pending(store, entry) for entry in waiting),
        tried=tuple(item for entry in entries if entry.state == "bad" if (item := _pending(store, entry)).trial),
    )


def _base(store: Store, entries: list[EntryName]) -> int:
    """What runs, else the newest one found good: what is newer waits."""
    if store.booted is not None:
        return store.booted
    return max((entry.number for entry in entries if entry.state == "good"), default=-1)


def _pending(store: Store, entry: EntryName) -> Pending:
    made = store.deployment(entry.number)
    return Pending(entry.number, made.snapshot, made.description, made.created, entry.left or 0, entry.done, made.trial)


def plan_cancel(store: Store, number: int | None = None, *, every: bool = False) -> CancelPlan:
    """Take back the newest pending deployment, the one named, or `every` one.

    Raises UserError: nothing waits, it runs, or nothing else could be started.
    """
    waiting = [item.deployment for item in boot_state(store).pending]
    if number is not None and number not in waiting:
        raise UserError(
            f"deployment {number} is not pending" + (": it runs now" if number == store.booted else ""),
            next_step=f"pending: {', '.join(map(str, waiting)) or 'none'}",
        )
    going = waiting if every else [number] if number is not None else waiting[:1]
    if not going:
        raise UserError("nothing is pending: what boots next has booted before", next_step="`rastos snapshot pending`")
    left = [entry.number for entry in store.entries() if entry.state != "bad" and entry.number not in going]
    if not left:
        raise UserError(
            f"without deployment {going[-1]} nothing could be started",
            next_step="deploy another snapshot first: `rastos snapshot deploy ID`",
        )
    return CancelPlan(tuple(sorted(going, reverse=True)), store.deployment(max(left)))


def cancel(store: Store, plan: CancelPlan) -> None:
    """Carry it out: the boot entry goes first, so nothing ever starts what is half gone."""
    intent = store.journal.begin("cancel", deployments=list(plan.deployments))
    faults.reached("cancel.journaled")
    for number in plan.deployments:
        drop_deployment(store, number)
        faults.reached("cancel.dropped")
    collect(store, keep_kernels=kernels_wanted(store))
    faults.reached("cancel.collected")
    store.sync()  # what was given up is gone for good before the journal forgets it
    intent.close()


def plan_keep(store: Store, number: int | None = None) -> KeepPlan:
    """Let a deployment count as good: the one named, else the one that runs, else the newest. Raises UserError."""
    entries = {entry.number: entry for entry in store.entries()}
    chosen = number if number is not None else store.booted if store.booted is not None else max(entries, default=None)
    if chosen is None or chosen not in entries:
        raise UserError(
            f"there is no deployment {chosen}" if chosen is not None else "nothing is deployed",
            next_step=f"deployments: {', '.join(map(str, entries)) or 'none'}",
        )
    made = store.deployment(chosen)
    if entries[chosen].state == "good" and not made.trial:
        raise UserError(f"deployment {chosen} counts as good already", next_step="`rastos snapshot pending` shows all")
    return KeepPlan(made, entries[chosen].name, entries[chosen].left)


def keep(store: Store, plan: KeepPlan) -> Deployment:
    """Carry it out: its entry loses the counter, and what held it to one boot."""
    number = plan.deployment.number
    made = replace(plan.deployment, trial=False)
    name = f"{ENTRIES}/{entry_name(number, None)}"
    intent = store.journal.begin("keep", deployment=number)
    faults.reached("keep.journaled")
    if plan.left is not None:
        values = parse_entry(store.esp.read(f"{ENTRIES}/{plan.entry}").decode())
        title, options = entry_words(store, made)
        text = write_entry(
            number=number,
            title=title,
            kernel=boot_paths(values)[0],
            options=options,
            initrd=values.get("initrd"),
            unified="efi" in values,
        )
        store.esp.put(name + PENDING, text.encode())
        faults.reached("keep.entry")
        store.esp.rename(name + PENDING, name)
        faults.reached("keep.committed")
        store.esp.remove(f"{ENTRIES}/{plan.entry}")
    write_json(store.deployment_path(number) / "deployment.json", made.to_json())
    faults.reached("keep.recorded")
    collect(store, keep_kernels=kernels_wanted(store))
    store.sync()  # what was given up is gone for good before the journal forgets it
    intent.close()
    return made
