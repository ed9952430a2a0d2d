"""Package records as libalpm stores them: `desc` files, one block of lines per `%FIELD%` (repo-add(8), alpm local database)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """One package of a sync database, or an installed one (`reason` is set then). Sizes in bytes."""

    name: str
    version: str
    arch: str = "any"
    description: str = ""
    url: str = ""
    filename: str = ""
    download_size: int = 0
    installed_size: int = 0
    sha256: str = ""
    signature: str = ""
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    optdepends: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()
    builddate: int = 0
    packager: str = ""
    channel: str = ""
    reason: str = ""


def parse_fields(text: str) -> dict[str, list[str]]:
    """Every `%FIELD%` of a desc file with its lines."""
    fields: dict[str, list[str]] = {}
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        if len(lines[0]) > 2 and lines[0][0] == lines[0][-1] == "%":
            fields[lines[0][1:-1]] = lines[1:]
    return fields


def parse_desc(text: str, channel: str = "") -> PackageRecord:
    """A record from a desc file. ValueError where name or version is missing or a size is no number."""
    fields = parse_fields(text)

    def one(key: str) -> str:
        return (fields.get(key) or [""])[0]

    def many(key: str) -> tuple[str, ...]:
        return tuple(fields.get(key, ()))

    if not one("NAME") or not one("VERSION"):
        raise ValueError("a package entry without name or version")
    installed = "CSIZE" not in fields and "FILENAME" not in fields
    return PackageRecord(
        name=one("NAME"),
        version=one("VERSION"),
        arch=one("ARCH") or "any",
        description=one("DESC"),
        url=one("URL"),
        filename=one("FILENAME"),
        download_size=int(one("CSIZE") or 0),
        installed_size=int(one("ISIZE") or one("SIZE") or 0),
        sha256=one("SHA256SUM"),
        signature=one("PGPSIG"),
        depends=many("DEPENDS"),
        provides=many("PROVIDES"),
        conflicts=many("CONFLICTS"),
        replaces=many("REPLACES"),
        optdepends=many("OPTDEPENDS"),
        groups=many("GROUPS"),
        license=many("LICENSE"),
        backup=many("BACKUP"),
        builddate=int(one("BUILDDATE") or 0),
        packager=one("PACKAGER"),
        channel=channel,
        reason=("dependency" if one("REASON") == "1" else "explicit") if installed else "",
    )


def format_desc(record: PackageRecord) -> str:
    """The desc file of a sync database, fields in repo-add's order; empty ones are left out."""
    blocks: list[tuple[str, Iterable[object]]] = [
        ("FILENAME", (record.filename,)),
        ("NAME", (record.name,)),
        ("VERSION", (record.version,)),
        ("DESC", (record.description,)),
        ("GROUPS", record.groups),
        ("CSIZE", (record.download_size,)),
        ("ISIZE", (record.installed_size,)),
        ("SHA256SUM", (record.sha256,)),
        ("PGPSIG", (record.signature,)),
        ("URL", (record.url,)),
        ("LICENSE", record.license),
        ("ARCH", (record.arch,)),
        ("BUILDDATE", (record.builddate,)),
        ("PACKAGER", (record.packager,)),
        ("REPLACES", record.replaces),
        ("CONFLICTS", record.conflicts),
        ("PROVIDES", record.provides),
        ("DEPENDS", record.depends),
        ("OPTDEPENDS", record.optdepends),
    ]
    parts = []
    for field, values in blocks:
        lines = [str(value) for value in values if str(value) != ""]
        if lines:
            parts.append(f"%{field}%\n" + "".join(line + "\n" for line in lines))
    return "\n".join(parts) + "\n"


# .PKGINFO key -> field of the record
_MANY = {
    "depend": "depends",
    "provides": "provides",
    "conflict": "conflicts",
    "replaces": "replaces",
    "optdepend": "optdepends",
    "group": "groups",
    "license": "license",
    "backup": "backup",
}
_ONE = {
    "pkgname": "name",
    "pkgver": "version",
    "arch": "arch",
    "pkgdesc": "description",
    "url": "url",
    "packager": "packager",
}
_NUMBERS = {"size": "installed_size", "builddate": "builddate"}


def parse_package_info(text: str, facts: Mapping[str, object]) -> PackageRecord:
    """A record from `.PKGINFO`, completed by `facts` (filename, sizes, digest). ValueError without name or version."""
    values: dict[str, object] = dict(facts)
    lists: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        key, value = key.strip(), " ".join(value.split())
        if not separator or key.startswith("#"):
            continue
        if key in _MANY:
            lists.setdefault(_MANY[key], []).append(value)
        elif key in _ONE:
            values[_ONE[key]] = value
        elif key in _NUMBERS:
            values[_NUMBERS[key]] = int(value)
    if not values.get("name") or not values.get("version"):
        raise ValueError("the package information names no package or no version")
    if "/" in str(values["name"]) or "/" in str(values["version"]) or str(values["name"]).startswith((".", "-")):
        raise ValueError("the package information names an impossible package")
    return PackageRecord(**values, **{key: tuple(found) for key, found in lists.items()})  # type: ignore[arg-type]


def shown_version(version: str) -> str:
    """An installed version as its distribution writes it (Debian's mapped versions are recognised)."""
    from .channels.debian import decode

    return decode(version) if version else ""
