"""Operations on several snapshots that are all or none: what their journal has recorded is finished after a crash.

New snapshots stand complete under names that nothing reads (`.new-ID`) until one record in the journal says that all of
them are; from then on the renames only have to be done, by whoever comes next.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rastos.host import Intent, faults

if TYPE_CHECKING:
    from .store import Store

PUBLISH = "publish"


def publish(store: Store, intent: Intent, numbers: Sequence[int]) -> None:
    """Give complete snapshots their names. The commit point is the record: before it none is there, after it all are."""
    store.sync()
    faults.reached("copies.synced")
    intent.record(PUBLISH, snapshots=list(numbers))
    faults.reached("copies.recorded")
    _name(store, numbers)


def _name(store: Store, numbers: Sequence[int]) -> None:
    for number in numbers:
        building = store.top / "snapshots" / f".new-{number}"
        if building.is_dir():
            os.rename(building, store.snapshot_path(number))
            faults.reached("copies.named")
    store.sync()


def finish(store: Store, intents: Sequence[Intent]) -> None:
    """Finish what was recorded; called before anything unfinished is dropped. Doing it twice does no harm."""
    for intent in intents:
        for step, detail in intent.records:
            if step == PUBLISH:
                _name(store, [int(number) for number in detail.get("snapshots", ())])
        if intent.operation == "delete":
            from .removal import resume

            resume(store, intent.detail)
