"""Export and import: a snapshot as an archive that anybody can read, and an archive as a snapshot."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from rastos.errors import IntegrityError, UserError
from rastos.host import faults, rename_durable, working_directory
from rastos.package import open_decompressed
from rastos.progress import Progress

from ..metadata import Snapshot
from ..session import create_session
from ..store import Store
from ..verify.sealing import require_unchanged
from .incoming import clean_words
from .oci import (
    ANNOTATION,
    LAYOUT,
    HashingReader,
    HashingWriter,
    OciImage,
    check_layer,
    finish_layout,
    layer_writer,
    read_layout,
)
from .packing import write_tree
from .unpacking import unpack


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written; `digest` is the OCI manifest's, or the SHA-256 of the file."""

    snapshot: int
    target: Path
    digest: str
    paths: int


@dataclass(frozen=True, slots=True)
class Imported:
    """The snapshot an archive became; `left_out` extended attributes that belong to another file system."""

    snapshot: Snapshot
    paths: int
    left_out: int


def export_oci(
    store: Store,
    number: int,
    target: Path,
    progress: Progress,
    *,
    name: str = "",
    compression: str = "zstd",
    as_of: int | None = None,
) -> Exported:
    """Write a snapshot as an OCI image layout to a folder that is not there yet. UserError: it is there.

    `compression` of its layer: zstd, or gzip for programs that are older than image-spec 1.1. `as_of`: seconds since 1970
    that no time in it is later than; the snapshot's own record is left out then, so that the same tree gives the same image.
    """
    snapshot = store.snapshot(number)
    require_unchanged(store, number)
    _free(target)
    with (
        progress.step(f"Exporting snapshot {number}", unit="bytes") as step,
        working_directory(target.absolute().parent, "rastos-export") as folder,
    ):
        layer: dict[str, Any] = {}
        image = folder / "image"
        image.mkdir()
        with layer_writer(image, layer, compression) as stream:
            paths = write_tree(store.tree(number), cast("IO[bytes]", stream), step, as_of=as_of)
        faults.reached("export.written")
        digest = finish_layout(
            image,
            layer,
            created=snapshot.created if as_of is None else datetime.fromtimestamp(as_of, UTC).isoformat(),
            name=name or _reference(snapshot),
            annotations=_annotations(snapshot) if as_of is None else {},
        )
        rename_durable(image, target)
        step.outcome = f"{paths} paths, {layer['size'] / 1e6:.1f} MB"
    return Exported(number, target, digest, paths)


def export_tar(store: Store, number: int, target: Path, progress: Progress, *, as_of: int | None = None) -> Exported:
    """Write a snapshot as a tar archive; compressed as the file's name says: .zst, .gz, or not. `as_of`: as for export_oci."""
    require_unchanged(store, number)
    _free(target)
    with (
        progress.step(f"Exporting snapshot {number}", unit="bytes") as step,
        working_directory(target.absolute().parent, "rastos-export") as folder,
    ):
        with open(folder / "archive", "xb") as file:
            written = HashingWriter(file)
            with _compressed(target.suffix, cast("IO[bytes]", written)) as stream:
                paths = write_tree(store.tree(number), stream, step, as_of=as_of)
            file.flush()
            os.fsync(file.fileno())
        faults.reached("export.written")
        rename_durable(folder / "archive", target)
        step.outcome = f"{paths} paths, {written.size / 1e6:.1f} MB"
    return Exported(number, target, written.digest.hexdigest(), paths)


def import_archive(
    store: Store, source: Path, progress: Progress, *, description: str = "", name: str = "", reference: str = ""
) -> Imported:
    """Make a root snapshot of an OCI image layout (a folder) or a tar archive (plain, zst, gz, xz, bz2).

    IntegrityError: something in it is refused, or not what its digest says; nothing is left of it then.
    """
    image = read_layout(source, reference) if (source / LAYOUT).is_file() else None
    if image is None and not source.is_file():
        raise UserError(
            "neither an archive nor an OCI image layout", on=source, next_step="name a tar file or a layout's folder"
        )
    words = _words(image)
    with create_session(store, None, "import an archive") as session:
        with progress.step(f"Importing {source.name}", unit="bytes") as step:
            paths = left_out = 0
            for path, expected in zip(image.layers, image.diff_ids, strict=True) if image else ((source, ""),):
                with open_decompressed(path) as stream:
                    if image:
                        check_layer(path)
                    reader = HashingReader(stream)
                    done = unpack(cast("IO[bytes]", reader), session.tree, step, layer=image is not None)
                if expected and f"sha256:{reader.digest.hexdigest()}" != expected:
                    raise IntegrityError("a layer is not what the image says", on=path, next_step="copy it again")
                paths, left_out = paths + done.paths, left_out + done.left_out
            step.outcome = f"{paths} paths"
        faults.reached("import.unpacked")
        store.sync()  # the files' content, before the snapshot can be seen
        text = description or (words.description if words else "") or f"imported from {source.name}"
        made = session.commit(text, name=name)
    if words:
        made = replace(made, tags=words.tags, note=words.note, stamps=words.stamps, origin=words.origin)
        store.update(made)
    return Imported(made, paths, left_out)


def _annotations(snapshot: Snapshot) -> dict[str, str]:
    words = {
        "org.opencontainers.image.created": snapshot.created,
        "org.opencontainers.image.title": snapshot.name or f"snapshot {snapshot.id}",
        "org.opencontainers.image.description": snapshot.description,
        ANNOTATION: json.dumps(snapshot.to_json(), sort_keys=True),
    }
    return {key: value for key, value in words.items() if value}


def _words(image: OciImage | None) -> Snapshot | None:
    """What the image says of the snapshot it was; an image of somebody else's says nothing."""
    text = image.annotations.get(ANNOTATION, "") if image else ""
    try:
        return clean_words(json.loads(text)) if text else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _reference(snapshot: Snapshot) -> str:
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in snapshot.name.lower())
    return plain.strip("-") or f"snapshot-{snapshot.id}"


def _free(target: Path) -> None:
    if os.path.lexists(target):
        raise UserError("it is there already", on=target, next_step="choose another name, or remove it first")


@contextmanager
def _compressed(suffix: str, target: IO[bytes]) -> Iterator[IO[bytes]]:
    with ExitStack() as stack:
        if suffix == ".zst":
            packer = zstandard.ZstdCompressor(level=3, threads=-1, write_checksum=True)
            yield cast("IO[bytes]", stack.enter_context(packer.stream_writer(target, closefd=False)))
        elif suffix in (".gz", ".tgz"):
            import gzip

            yield cast("IO[bytes]", stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0)))
        elif suffix == ".tar":
            yield target
        else:
            raise UserError(
                f"archives ending in '{suffix}' can't be written", next_step="end the name in .tar, .tar.zst or .tar.gz"
            )
