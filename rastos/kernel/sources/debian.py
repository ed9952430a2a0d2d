"""Kernel source packages of the host's apt: "6.12", "6.12@bookworm-backports", "linux-source-6.1"."""

from __future__ import annotations

import re
from pathlib import Path

from rastos.errors import UserError
from rastos.kernel.sources import apt
from rastos.kernel.sources.source import Source, Wanted
from rastos.kernel.sources.unpack import unpack_deb
from rastos.progress import Progress

_VERSION = re.compile(r"(linux-source-)?\d[\w.+~-]*(@[\w./-]+)?")


def find(wanted: Wanted) -> Source | None:
    """The package for a version, perhaps of one suite. The last kind asked: raises UserError where it is no version."""
    if wanted.text is not None and not _VERSION.fullmatch(wanted.text):
        raise UserError(
            f"there is no kernel source at '{wanted.text}'",
            next_step="give a folder, a tarball, a version that apt offers such as 6.12, kernel.org:VERSION, or git:URL#REF",
        )
    return source_of(apt.choose(wanted.text, wanted.cache), wanted)


def source_of(offer: apt.Offer, wanted: Wanted) -> Source:
    """A package as a source."""
    name = re.sub(r"[^\w.+-]", "-", f"debian-{offer.version}")
    return Source(
        kind="deb",
        id=name,
        title=f"{offer.package} {offer.version}",
        digest=offer.sha256,
        version=re.split(r"[-~+]", offer.version.partition(":")[2] or offer.version)[0],
        tree=wanted.cache / "sources" / name / "tree",
        package=offer.package,
        package_version=offer.version,
    )


def open(source: Source, cache: Path, progress: Progress) -> Source:
    """Fetch the package and unpack the tree in it; apt verifies signature and digest."""
    offer = apt.Offer(source.package, source.package_version, source.digest)
    with progress.step(f"Fetch {source.title}") as step:
        archive = apt.download(offer, cache, step)
        step.outcome = f"{archive.stat().st_size / 1e6:,.0f} MB, signature and digest verified by apt"
    with progress.step(f"Unpack {source.title}") as step:
        size = unpack_deb(archive, source.tree, cache / "work")
        step.outcome = f"{size / 1e9:.1f} GB in {source.tree}"
    archive.unlink()
    return source
