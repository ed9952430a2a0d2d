"""Where kernel source comes from: apt, kernel.org, git, a tarball or a folder, with or without patches.

`find_source` says which and gives its digest without unpacking; `open_source` gives the verified, unpacked tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rastos.errors import UserError
from rastos.kernel.sources import debian, folder, git, kernelorg, patched, tarball
from rastos.kernel.sources.apt import Offer, offers
from rastos.kernel.sources.kernelorg import Release, releases, trust_keys
from rastos.kernel.sources.listing import Listed, list_sources
from rastos.kernel.sources.patched import Patch, read_series
from rastos.kernel.sources.source import MIRROR, Kind, Source, Wanted, file_digest, kernel_version, known, settle
from rastos.progress import Progress

__all__ = [
    "Listed",
    "MIRROR",
    "Offer",
    "Patch",
    "Release",
    "Source",
    "file_digest",
    "find_source",
    "kernel_version",
    "list_sources",
    "offers",
    "open_source",
    "read_series",
    "releases",
    "trust_keys",
]

# in the order in which they are asked whether it is theirs; apt comes last, a version is all it needs
KINDS: dict[str, Kind] = {
    "git": git,
    "kernel.org": kernelorg,
    "folder": folder,
    "tarball": tarball,
    "deb": debian,
}


def find_source(
    wanted: str | None,
    cache: Path,
    *,
    ref: str | None = None,
    patches: Sequence[Patch] = (),
    mirror: str = MIRROR,
    keyring: Path | None = None,
) -> Source:
    """The source for `wanted`; None: the newest that apt offers. With `patches` it is a copy with these applied.

    "6.12", "6.12@bookworm-backports" (apt), "kernel.org:6.12.30", "https://…/linux-6.12.30.tar.xz", "git:URL#REF", a local
    repository with `ref`, a tarball, a folder. Raises UserError for something that is none of these, HostError where apt
    knows no source package.
    """
    request = Wanted(wanted, cache, ref, mirror.rstrip("/"), keyring)
    for kind in KINDS.values():
        found = kind.find(request)
        if found is not None:
            if ref is not None and found.kind != "git":
                raise UserError("only a git source has refs", on=found.title, next_step="take --ref out")
            found = known(found)
            return patched.find(found, tuple(patches), cache) if patches else found
    raise AssertionError("the last kind takes it or raises")


def open_source(source: Source, cache: Path, progress: Progress) -> Source:
    """The same with its tree on disk, digest, version and epoch filled in; unpacks once.

    Raises IntegrityError for an archive that isn't what its digest or signature says or that reaches outside its folder,
    UserError for a patch that doesn't apply.
    """
    if source.unpacked:
        return known(source)
    if source.base is not None:
        base = open_source(source.base, cache, progress)
        return settle(patched.apply(patched.find(base, patched.of(source), cache), cache, progress))
    return settle(KINDS[source.kind].open(source, cache, progress))
