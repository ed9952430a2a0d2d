"""The manifest of a snapshot: every path with all that counts of it, kept outside the tree it describes.

snapshots/<id>/manifest.zst      JSON: the snapshot's uuid, the digest over all paths, the paths
snapshots/<id>/manifest.zst.sig  detached OpenPGP signature, if a key is set
snapshots/<id>/seal.json         see `sealing`
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import zstandard

from rastos.errors import IntegrityError
from rastos.host import faults, write_atomic
from rastos.package import Leaf, digest_of_leaves, exact_manifest
from rastos.progress import Progress

from .. import subvolume
from ..signing import Signer
from ..store import Store
from .sealing import quick_problems, seal, write_seal

FILE = "manifest.zst"
SIGNATURE = "manifest.zst.sig"
_WHAT = "rastos snapshot manifest"
_LARGEST = 1 << 30  # bytes of a manifest, unpacked


@dataclass(frozen=True, slots=True)
class SnapshotManifest:
    """What a tree has to be: its paths, the digest over them, and the bytes that a signature is over."""

    uuid: str
    digest: str
    leaves: tuple[Leaf, ...]
    raw: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Recorded:
    """A manifest that was taken; `reused` contents were known from an ancestor."""

    snapshot: int
    paths: int
    reused: int
    digest: str
    signed: bool


def record(store: Store, number: int, signer: Signer, progress: Progress) -> Recorded:
    """Take the manifest of a snapshot. Files that are as in an ancestor with a manifest are not read again.

    IntegrityError: something in it can't be read; there is a manifest already that says otherwise.
    """
    snapshot = store.snapshot(number)
    with progress.step(f"Recording snapshot {number}") as step:
        if not subvolume.is_read_only(store.tree(number)):
            raise IntegrityError(
                f"the tree of snapshot {number} is writable",
                on=store.tree(number),
                next_step="whoever made it so may have changed it; compare: rastos snapshot diff",
            )
        known = _Known(store, number)
        leaves = known.untouched or exact_manifest(store.tree(number), known=known if known.contents else None)
        broken = [leaf.path for leaf in leaves if " unreadable:" in leaf.text]
        if broken:
            raise IntegrityError(
                f"{len(broken)} paths of snapshot {number} can't be read, the first is /{broken[0]}",
                next_step=f"repair it: rastos snapshot repair {number}",
            )
        made = _write(store.snapshot_path(number), snapshot.uuid, leaves, signer)
        seal(store, number, made)
        step.outcome = f"{len(leaves)} paths, {known.count} known already" if known.count else f"{len(leaves)} paths"
        return Recorded(number, len(leaves), known.count, made, bool(signer.key))


def record_missing(store: Store, signer: Signer, progress: Progress) -> tuple[Recorded, ...]:
    """Take the manifests that are not there yet, parents before children."""
    missing = (item.id for item in store.snapshots() if not (store.snapshot_path(item.id) / FILE).is_file())
    return tuple(record(store, number, signer, progress) for number in missing)


def record_received(folder: Path, uuid: str, expected: str) -> bool:
    """Take the manifest of a tree that has just arrived in `folder`, where its sender has one; False: it hasn't.

    IntegrityError: what arrived is not what was sent.
    """
    if not expected:
        return False
    leaves = exact_manifest(folder / "tree")
    if digest_of_leaves(leaves) != expected:
        raise IntegrityError(
            "the tree that arrived differs from the sender's manifest",
            next_step="nothing was kept of it; verify it on the sending side: rastos snapshot verify ID",
        )
    digest = _write(folder, uuid, leaves, Signer())
    subvolume.sync(folder)
    write_seal(folder, digest)
    return True


def read_manifest(store: Store, number: int) -> SnapshotManifest | None:
    """The manifest of a snapshot; None where none was taken. IntegrityError: damaged, or another snapshot's."""
    place = store.snapshot_path(number) / FILE
    if not place.is_file():
        return None
    raw = place.read_bytes()
    try:
        value = json.loads(zstandard.ZstdDecompressor().decompress(raw, max_output_size=_LARGEST))
        leaves = tuple(Leaf(str(path), str(text)) for path, text in value["paths"])
        found = SnapshotManifest(str(value["snapshot"]), str(value["digest"]), leaves, raw, _signature(place))
        sound = value["what"] == _WHAT and digest_of_leaves(leaves) == found.digest
    except (zstandard.ZstdError, ValueError, TypeError, KeyError) as error:
        raise _damaged(place, str(error)) from error
    if not sound:
        raise _damaged(place, "its digest is wrong")
    uuid = store.snapshot(number).uuid
    if uuid and found.uuid != uuid:
        raise _damaged(place, "it is another snapshot's")
    return found


class _Known:
    """Contents that need not be read: the file is the very one an ancestor has, untouched since.

    A snapshot shares inode numbers with its parent, and the change time moves with every write.
    """

    def __init__(self, store: Store, number: int) -> None:
        self.count = 0
        self.contents: dict[str, str] = {}
        self.tree = Path()
        self.untouched: tuple[Leaf, ...] = ()
        every = {item.id: item for item in store.snapshots()}
        step, seen = every[number].parent, {number}
        while step is not None and step in every and step not in seen:
            if (store.snapshot_path(step) / FILE).is_file() and not quick_problems(store, step):
                manifest = read_manifest(store, step)
                assert manifest is not None
                self.tree = store.tree(step)
                own, theirs = subvolume.identities(store.tree(number)), subvolume.identities(self.tree)
                if (own.parent, own.changed) == (theirs.uuid, theirs.changed):  # made as a copy, and left as it was
                    self.untouched, self.count = manifest.leaves, len(manifest.leaves)
                files = (leaf for leaf in manifest.leaves if leaf.text.startswith("file "))
                self.contents = {leaf.path: leaf.text.split(" ", 4)[3] for leaf in files}
                return
            seen.add(step)
            step = every[step].parent

    def __call__(self, path: str, status: os.stat_result) -> str | None:
        content = self.contents.get(path)
        if content is None:
            return None
        try:
            was = os.lstat(self.tree / path)
        except OSError:
            return None
        same = (was.st_ino, was.st_ctime_ns, was.st_size) == (status.st_ino, status.st_ctime_ns, status.st_size)
        if not same or not stat.S_ISREG(was.st_mode):
            return None
        self.count += 1
        return content


def _write(folder: Path, uuid: str, leaves: tuple[Leaf, ...], signer: Signer) -> str:
    digest = digest_of_leaves(leaves)
    paths = [[leaf.path, leaf.text] for leaf in leaves]
    text = json.dumps({"what": _WHAT, "format": 1, "snapshot": uuid, "digest": digest, "paths": paths})
    raw = zstandard.ZstdCompressor(level=3).compress(text.encode())
    signature = signer.sign(raw)
    (folder / SIGNATURE).unlink(missing_ok=True)  # it was over the one before
    write_atomic(folder / FILE, raw)
    faults.reached("record.written")
    if signature:
        write_atomic(folder / SIGNATURE, signature)
    return digest


def _signature(place: Path) -> bytes:
    beside = place.with_name(SIGNATURE)
    return beside.read_bytes() if beside.is_file() else b""


def _damaged(place: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"the manifest of the snapshot is damaged: {why}",
        on=place,
        next_step="compare with another copy of the snapshot; take it anew only if you trust the tree: --record",
    )
