"""The packages of a tree as parts of a system: version, origin, licence, source, and who needs whom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from rastos.errors import IntegrityError
from rastos.host import safe_join
from rastos.package import Graph, PackageRecord, read_local, read_origins, shown_version, target_for

from .licences import Licences, licences_of

DPKG = "var/lib/dpkg/status"
_SOURCE = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]*)(?: \((?P<version>[^)\s]+)\))?\Z")
_ARCHITECTURES = {"x86_64": "amd64", "any": "all"}  # Debian's names


@dataclass(frozen=True, slots=True)
class Part:
    """One package. Sizes in bytes; `version` as its distribution writes it; `file_*` are of the file in the channel's
    archive, "" and 0 where nobody recorded them; `source` is the source package and `depends` the packages it needs."""

    name: str
    version: str
    arch: str
    description: str
    url: str
    supplier: str
    reason: str
    channel: str
    file: str
    file_sha256: str
    file_size: int
    installed_size: int
    licences: Licences
    source: str
    source_version: str
    purl: str
    depends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """What os-release(5) of a tree says: `id` debian or arch, `version` "" for a rolling one."""

    id: str = "linux"
    name: str = "Linux"
    version: str = ""


def distribution_of(tree: Path) -> Distribution:
    """Read from the tree; the defaults are os-release's own."""
    values: dict[str, str] = {}
    for name in ("etc/os-release", "usr/lib/os-release"):
        text = _text(tree, name)
        for line in text.splitlines():
            key, equals, value = line.partition("=")
            if equals:
                values.setdefault(key.strip(), value.strip().strip("\"'"))
    known = re.fullmatch(r"[a-z0-9._-]+", values.get("ID", ""))
    return Distribution(
        known[0] if known else "linux", values.get("NAME", "Linux")[:80], values.get("VERSION_ID", "")[:40]
    )


def parts_of(tree: Path) -> tuple[Part, ...]:
    """Every package that libalpm's database of the tree has, by name."""
    target = target_for(tree, tree)
    packages, origins = read_local(target.database), read_origins(target.database)
    graph, sources, distribution = Graph(packages), _sources(tree), distribution_of(tree)
    found = []
    for name, record in sorted(packages.items()):
        origin = origins.get(name)
        if origin is not None and origin.version != record.version:
            origin = None
        version = shown_version(record.version)
        debian = name in sources
        source, source_version = sources.get(name, ("", ""))
        found.append(
            Part(
                name=name,
                version=version,
                arch=record.arch,
                description=record.description,
                url=record.url,
                supplier=record.packager,
                reason=record.reason,
                channel=origin.channel if origin else "",
                file=origin.location if origin else "",
                file_sha256=origin.sha256 if origin else "",
                file_size=origin.size if origin else 0,
                installed_size=record.installed_size,
                licences=licences_of(record.license, tree, name),
                source=source,
                source_version=source_version or (version if source else ""),
                purl=_purl(record, version, distribution, debian),
                depends=tuple(sorted({edge.to for edge in graph.needs(name)})),
            )
        )
    return tuple(found)


def _purl(record: PackageRecord, version: str, distribution: Distribution, debian: bool) -> str:
    """A package URL (purl specification, types deb and alpm); a package built here has rastos as its vendor."""
    name = quote(record.name, safe="")
    if debian:
        arch = _ARCHITECTURES.get(record.arch, record.arch)
        distro = f"&distro={distribution.id}-{distribution.version}" if distribution.version else ""
        return f"pkg:deb/{distribution.id}/{name}@{quote(version, safe='')}?arch={arch}{distro}"
    vendor = "rastos" if record.packager == "rastos" else distribution.id
    return f"pkg:alpm/{vendor}/{name.lower()}@{quote(version, safe='')}?arch={record.arch}"


def _sources(tree: Path) -> dict[str, tuple[str, str]]:
    """Debian packages with their source package and its version ("" where it is the package's own)."""
    found: dict[str, tuple[str, str]] = {}
    for stanza in _text(tree, DPKG).split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in stanza.splitlines() if line[:1].isalpha())
        if name := fields.get("Package", ""):
            source = _SOURCE.match(fields.get("Source", name))
            found[name] = (source["name"], source["version"] or "") if source else (name, "")
    return found


def _text(tree: Path, name: str) -> str:
    try:
        place = safe_join(tree, name)
        return "" if place.is_symlink() else place.read_text(encoding="utf-8", errors="replace")
    except (OSError, IntegrityError):
        return ""
