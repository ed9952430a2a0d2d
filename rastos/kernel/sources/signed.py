"""Tarballs as kernel.org publishes them: the detached signature is over the tar inside (https://kernel.org/signature.html)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from rastos.errors import ExternalError, IntegrityError
from rastos.host import require_programs, run, working_directory
from rastos.kernel.sources.unpack import not_unpacked, room_for, unpack_tarball
from rastos.package import verify_detached

LARGEST = 4 << 30  # bytes of a tar; 6.12's has 1.5 GB
PLAIN = re.compile(r"\.tar(\.(xz|gz|zst|bz2))?$")
_DECOMPRESS = {".xz": "xz", ".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2"}


def signature_of(tarball: Path) -> Path | None:
    """The signature that lies beside a tarball: linux-6.12.tar.sign beside linux-6.12.tar.xz."""
    sign = tarball.with_name(f"{PLAIN.sub('', tarball.name)}.tar.sign")
    return sign if PLAIN.search(tarball.name) and sign.is_file() else None


def unpack_signed(tarball: Path, signature: Path, keyring: Path, tree: Path, work: Path) -> tuple[int, str]:
    """Verify the tar inside, then unpack just that tar; bytes unpacked and the signing key's fingerprint.

    Raises IntegrityError, before anything is unpacked, unless the signature is good and by a key of `keyring`.
    """
    with working_directory(work, "verify-") as folder:
        plain = _decompressed(tarball, folder)
        made = verify_detached(plain, signature, keyring, folder, tarball.name)
        return unpack_tarball(plain, tree, work), made[0].fingerprint


def _decompressed(tarball: Path, folder: Path) -> Path:
    copy = folder / tarball.name
    try:
        os.link(tarball, copy)
    except OSError:
        copy.symlink_to(tarball)
    tool = _DECOMPRESS.get(tarball.suffix)
    if tool is None:
        return copy
    require_programs(tool)
    room_for(folder, _size(tool, copy), "the kernel's tar")
    plain = copy.with_suffix("")
    try:
        # forced: it is a link, and stays
        run([tool, "--decompress", "--keep", "--force", copy], what=f"decompress {tarball.name}")
    except ExternalError as error:
        raise not_unpacked(error, tarball, folder, "the kernel tarball is damaged") from error
    return plain


def _size(tool: str, path: Path) -> int:
    """Bytes it will decompress to: what its own index says where there is one. IntegrityError: more than a kernel has."""
    size = path.stat().st_size * 12
    if tool == "xz":
        listed = run(["xz", "--robot", "--list", path], check=False).stdout
        found = re.search(r"(?m)^totals\t\d+\t\d+\t\d+\t(\d+)", listed)
        if found is None:
            raise IntegrityError(
                "the kernel tarball is damaged: it has no end",
                on=path.name,
                next_step="fetch it again from where it was published",
            )
        size = int(found[1])
    if size > LARGEST:
        raise IntegrityError(
            f"refused: {path.name} would decompress to {size / 1e9:.1f} GB, no kernel is as large",
            next_step="don't use it; nothing of it was kept",
        )
    return size
