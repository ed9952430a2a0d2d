"""Writing a disk in one of the formats: disks by qemu-img, trees by the snapshots' own export."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rastos.errors import ExternalError, UserError
from rastos.host import run, spawn
from rastos.package import read_local, target_for
from rastos.progress import Progress, Step
from rastos.snapshot import Store, export_oci, export_tar

from ..open import open_image
from .table import Format

SHARE = re.compile(rb"\(([0-9.]+)/100%\)")
PIECE, KEPT = 4096, 1 << 16
PIPE, STDOUT = -1, -2  # as subprocess has them


def write_format(
    disk: Path,
    driver: str,
    target: Path,
    kind: Format,
    progress: Progress,
    *,
    compression: str = "",
) -> None:
    """Write a disk (`driver`: qemu-img's name of its format) as a new file in another format, durably.

    `target` is in a folder of the caller's own, as half of it is left there on an error. Of a disk the tree formats hold the
    snapshot that boots next. Raises ExternalError with qemu-img's words, UserError.
    """
    if kind.kind == "tree":
        _write_tree(disk, target, kind, progress)
    else:
        with progress.step(f"Convert to {kind.name}", total=100, unit="%") as step:
            with ExitStack() as stack:
                if _size(disk, driver) % kind.multiple:
                    disk, driver = _padded(disk, driver, target, kind.multiple, stack), "qcow2"
                convert(disk, driver, target, kind, step, compression=compression)
            step.outcome = f"{target.stat().st_blocks * 512 / 1e6:.1f} MB on disk"
    _sync(target)


def convert(disk: Path, driver: str, target: Path, kind: Format, step: Step, *, compression: str = "") -> None:
    """`qemu-img convert`, its progress as the step's. Whatever is not zero is written, so files stay sparse."""
    options = list(kind.options)
    argv: list[str | Path] = ["qemu-img", "convert", "-p", "-f", driver, "-O", kind.driver]
    if compression:
        argv.append("-c")
        if compression != "zlib":  # zlib is what every QEMU reads: not named, no flag in the header
            options.append(f"compression_type={compression}")
    elif kind.driver in ("qcow2", "raw"):
        argv.append("-W")
    if options:
        argv += ["-o", ",".join(options)]
    _follow([*argv, disk.absolute(), target.absolute()], step)


def _follow(argv: Sequence[str | Path], step: Step) -> None:
    """Run qemu-img and tell how far it is: it writes "(12.34/100%)" and a carriage return. Its words come by the same pipe: a
    log beside the image would have no room on a disk that is full."""
    words = b""
    with spawn(argv, stdout=PIPE, stderr=STDOUT) as process:
        assert process.stdout
        while piece := os.read(process.stdout.fileno(), PIECE):
            words = (words + piece)[-KEPT:]
            if shares := SHARE.findall(piece):
                step.advance(float(shares[-1]))
        status = process.wait()
    if status != 0:
        text = SHARE.sub(b"", words).decode("utf-8", "replace").replace("\r", "\n")
        text = "\n".join(line.strip() for line in text.splitlines() if line.strip())
        full = "No space left" in text
        raise ExternalError(
            f"could not write the image: qemu-img ended with status {status}",
            on=argv[-1],
            next_step="free space, or name an output on a larger disk" if full else "read its words below",
            argv=[os.fspath(word) for word in argv],
            status=status,
            tail=text,
        )


def overlay_on(disk: Path, driver: str, overlay: Path, *, size: int | None = None) -> Path:
    """A throw-away qcow2 on top of an image: what is written to it never reaches the image."""
    argv: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", driver, "-b", disk.absolute(), overlay]
    run([*argv, str(size)] if size else argv, what="make a throw-away overlay")
    return overlay


def _padded(disk: Path, driver: str, target: Path, multiple: int, stack: ExitStack) -> Path:
    size = -(-_size(disk, driver) // multiple) * multiple
    overlay = target.with_name(f"{target.name}.padded")
    stack.callback(overlay.unlink, missing_ok=True)
    return overlay_on(disk, driver, overlay, size=size)


def _size(disk: Path, driver: str) -> int:
    import json

    done = run(["qemu-img", "info", "--output=json", "-f", driver, disk.absolute()], what="read the image's header")
    return int(json.loads(done.stdout)["virtual-size"])


def _write_tree(disk: Path, target: Path, kind: Format, progress: Progress) -> None:
    with open_image(disk, writable=False, purpose=f"write it as {kind.name}") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        current = store.current()
        if current is None:
            raise UserError(
                "nothing is deployed in this image",
                on=disk,
                next_step="choose a snapshot: `rastos snapshot export ID --tar FILE`",
            )
        as_of = newest_package(store.tree(current.snapshot))
        if kind.name == "tar":
            export_tar(store, current.snapshot, target, progress, as_of=as_of)
        else:
            folder = target.with_name("oci")
            export_oci(store, current.snapshot, folder, progress, as_of=as_of)
            _bundle(folder, target)


def newest_package(tree: Path) -> int:
    """When the newest package of a tree was built (seconds since 1970): the time that no file in an archive is newer than."""
    records = read_local(target_for(tree, tree, immutable=True).database)
    return max((record.builddate for record in records.values()), default=0)


def _bundle(folder: Path, target: Path) -> None:
    """An OCI image layout as one file, as `podman load` and skopeo's oci-archive: take it."""
    with tarfile.open(target, "x:", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*"), key=lambda item: item.relative_to(folder).parts):
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.mode = 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
                continue
            member.size = path.stat().st_size
            with path.open("rb") as content:
                tar.addfile(member, content)
            path.unlink()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
