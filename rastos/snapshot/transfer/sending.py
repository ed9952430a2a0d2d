"""Sending: what to send on which base, and the parts of its container."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rastos.errors import ExternalError, HostError, UserError
from rastos.host import faults, rename_durable, spawn, working_directory
from rastos.progress import Progress, Step

from .. import subvolume
from ..metadata import Snapshot
from ..signing import Signer
from ..store import Store
from ..verify.sealing import recorded_digest, require_unchanged
from .container import CHUNK, End, Header, Part, Signature, make_chunk, make_header, make_index, write_part
from .have import Have


@dataclass(frozen=True, slots=True)
class SendItem:
    """One snapshot of a sending; `base`: the snapshot it is sent as a difference to; `kept`: digests of what arrived."""

    snapshot: int
    uuid: str
    description: str
    base: int | None
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SendPlan:
    """What goes, in order, and what is there already (ids)."""

    items: tuple[SendItem, ...]
    there: tuple[int, ...] = ()


def plan_send(
    store: Store, references: Sequence[int | str], *, base: int | str | None = None, have: Have | None = None
) -> SendPlan:
    """Choose a base for each snapshot: the one named, or its nearest relative of those that are there or go before it.

    `have`: what the receiver has; without it the first one goes whole. UserError: the base can't be one. IntegrityError: a
    snapshot was written to after it was recorded.
    """
    known = {item.id: item for item in store.snapshots()}
    chosen = sorted({store.snapshot(reference).id for reference in references})
    there = [number for number in chosen if have is not None and known[number].uuid in have.snapshots]
    common = {
        number for number in known if have and subvolume.identities(store.tree(number)).sent_as in have.subvolumes
    }
    items: list[SendItem] = []
    for number in chosen:
        if number in there:
            continue
        require_unchanged(store, number)
        on = _named_base(store, base, number) if base is not None and not items else _nearest(known, number, common)
        kept: tuple[str, ...] = ()
        if have is not None:
            own = subvolume.identities(store.tree(number)).sent_as
            kept = have.kept(own, subvolume.identities(store.tree(on)).sent_as if on is not None else "")
        items.append(SendItem(number, known[number].uuid, known[number].description, on, kept))
        common.add(number)
    return SendPlan(tuple(items), tuple(there))


def _named_base(store: Store, base: int | str, number: int) -> int:
    found = store.snapshot(base).id
    if found == number:
        raise UserError("a snapshot can't be its own base", next_step="name another one, or leave --parent out")
    return found


def _nearest(known: dict[int, Snapshot], number: int, common: set[int]) -> int | None:
    """The nearest ancestor that is there, else the newest of what is there."""
    step, seen = known[number].parent, {number}
    while step is not None and step in known and step not in seen:
        if step in common:
            return step
        seen.add(step)
        step = known[step].parent
    others = common - {number}
    return max(others) if others else None


def stream_header(store: Store, item: SendItem, *, signed: bool = False) -> Header:
    """What a receiver has to know before the stream; `signed`: a signature comes at its end."""
    snapshot = store.snapshot(item.snapshot)
    known = {other.id: other.uuid for other in store.snapshots()}
    value: dict[str, Any] = {
        "store": str(store.info.get("uuid", "")),
        "snapshot": snapshot.to_json(),
        "parent": known.get(snapshot.parent, "") if snapshot.parent is not None else "",
        "stream": subvolume.identities(store.tree(item.snapshot)).sent_as,
        "base": subvolume.identities(store.tree(item.base)).sent_as if item.base is not None else "",
        "base_snapshot": known[item.base] if item.base is not None else "",
        "signed": signed,
        "manifest": recorded_digest(store, item.snapshot),
    }
    return make_header(value)


def compressed_streams() -> bool:
    """Whether this kernel writes streams of version 2 (/sys/fs/btrfs/features/send_stream_version)."""
    try:
        return int(Path("/sys/fs/btrfs/features/send_stream_version").read_text()) >= 2
    except (OSError, ValueError):
        return False


def stream_of(store: Store, item: SendItem, *, compressed: bool = False) -> Iterator[bytes]:
    """The btrfs stream in pieces of CHUNK bytes, the last one shorter. ExternalError: btrfs could not.

    `compressed`: of version 2, with compressed data as it lies on disk (btrfs-send(8); Linux 6.0): not unpacked, not packed again.
    """
    argv: list[str | Path] = ["btrfs", "send", "-q", *(("--proto", "2", "--compressed-data") if compressed else ())]
    argv += ["-p", store.tree(item.base)] if item.base is not None else []
    with spawn([*argv, store.tree(item.snapshot)], stdout=-1, stderr=-1) as process:
        assert process.stdout and process.stderr
        while data := process.stdout.read(CHUNK):
            yield data
        words = process.stderr.read().decode("utf-8", "replace")
        status = process.wait()
    if status != 0 and "Read-only file system" in words:
        raise HostError(
            "the file system was not closed cleanly, and is open for reading only",
            on=store.top,
            next_step="open it for writing once, which repairs it: rastos snapshot receive --forget",
        )
    if status != 0:
        raise ExternalError(
            f"could not send snapshot {item.snapshot}: btrfs send ended with status {status}",
            next_step="read its words below; a damaged snapshot can be repaired: rastos snapshot repair",
            status=status,
            tail=words.strip(),
        )


def send_parts(store: Store, item: SendItem, signer: Signer, step: Step) -> Iterator[Part]:
    """The container of one snapshot, without the chunks that the receiver keeps and that are still the same."""
    header = stream_header(store, item, signed=bool(signer.key))
    yield header
    digests: list[str] = []
    kept, sent = list(item.kept), 0
    for number, data in enumerate(stream_of(store, item)):
        sent += len(data)
        step.advance(sent)
        digest = hashlib.sha256(data).hexdigest()
        digests.append(digest)
        if kept[: number + 1] == digests:
            continue
        kept = []
        yield make_chunk(number, data)
    index = make_index(header, digests)
    yield index
    signature = signer.sign(index.raw)
    if signature:
        yield Signature(signature)
    step.outcome = f"{sent / 1e6:.1f} MB in {len(digests)} chunks"
    yield End()


def send_to_file(store: Store, plan: SendPlan, target: Path, signer: Signer, progress: Progress) -> int:
    """Write a stream to a file that gets its name when it is complete and durable; its size in bytes."""
    with working_directory(target.absolute().parent, "rastos-send") as folder:
        with open(folder / "stream", "xb") as stream:
            send(store, plan, stream, signer, progress)
            stream.flush()
            os.fsync(stream.fileno())
            size = stream.tell()
        faults.reached("send.written")
        rename_durable(folder / "stream", target)
    return size


def send(store: Store, plan: SendPlan, target: IO[bytes], signer: Signer, progress: Progress) -> None:
    """Write the containers of a plan one after another."""
    for item in plan.items:
        on = f", as its difference to {item.base}" if item.base is not None else ""
        with progress.step(f"Sending snapshot {item.snapshot}{on}", unit="bytes") as step:
            for part in send_parts(store, item, signer, step):
                write_part(target, part)
            target.flush()
