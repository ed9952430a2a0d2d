"""A kernel tarball on this machine. Where its signature lies beside it (`.tar.sign`), it is held to it."""

from __future__ import annotations

from pathlib import Path

from rastos.errors import HostError
from rastos.host import sha256_file
from rastos.kernel.sources.signed import signature_of, unpack_signed
from rastos.kernel.sources.source import Source, Wanted, file_digest
from rastos.kernel.sources.unpack import unpack_tarball
from rastos.progress import Progress


def find(wanted: Wanted) -> Source | None:
    """The tarball, if `wanted` is a file."""
    if wanted.text is None or wanted.ref is not None:
        return None
    path = Path(wanted.text).expanduser()
    if not path.is_file():
        return None
    path = path.resolve()
    digest = file_digest(path, wanted.cache)
    tree = wanted.cache / "sources" / f"tarball-{digest[:16]}" / "tree"
    return Source("tarball", tree.parent.name, path.name, digest, "", tree, origin=path, keyring=wanted.keyring)


def open(source: Source, cache: Path, progress: Progress) -> Source:
    """Unpack it. Raises IntegrityError where it is damaged, hostile, or not what the signature beside it is for."""
    assert source.origin is not None
    if not source.origin.is_file() or sha256_file(source.origin) != source.digest:
        raise HostError("the tarball changed while it was used", on=source.origin, next_step="run the command again")
    signature = signature_of(source.origin)
    with progress.step(f"Unpack {source.title}") as step:
        if signature is not None and source.keyring is not None and source.keyring.is_file():
            size, signer = unpack_signed(source.origin, signature, source.keyring, source.tree, cache / "work")
            step.note(f"signed by {signer}")
        else:
            if signature is not None:
                step.note(f"{signature.name} is not checked: no key of kernel.org is trusted here", "warning")
            size = unpack_tarball(source.origin, source.tree, cache / "work")
        step.outcome = f"{size / 1e9:.1f} GB in {source.tree}"
    return source
