"""The parts of an image as SPDX 2.3 JSON (spdx.github.io/spdx-spec/v2.3)."""

from __future__ import annotations

import re
from typing import Any

from .manifest import ImageManifest
from .parts import Part

NOTHING = "NOASSERTION"
_ID = re.compile(r"[^A-Za-z0-9.-]")
_PERSON = re.compile(r"[^<>()]*<[^<>@\s]+@[^<>\s]+>\Z")


def spdx(manifest: ImageManifest, *, tool: str, timestamp: str, serial: str) -> dict[str, Any]:
    """The document as a value. `timestamp` is ISO 8601 ending in Z, `serial` a UUID."""
    name = f"rastos-{manifest.profile or 'image'}"
    ids = _identifiers(manifest.packages)
    system = {
        "SPDXID": "SPDXRef-System",
        "name": name,
        "versionInfo": manifest.tree_digest[:16],
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "supplier": NOTHING,
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "comment": f"kernel {manifest.kernel.release or 'none'}, configuration sha256 "
        f"{manifest.kernel.config_sha256 or 'unknown'}, tree digest {manifest.tree_digest}",
    }
    relations = [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-System")]
    for part in manifest.packages:
        relations.append(_relation("SPDXRef-System", "CONTAINS", ids[part.name]))
        if part.source:
            relations.append(_relation(ids[part.name], "GENERATED_FROM", _source_id(part)))
        relations += [_relation(ids[part.name], "DEPENDS_ON", ids[other]) for other in part.depends if other in ids]
    sources = {_source_id(part): part for part in manifest.packages if part.source}
    licences = sorted({pair for part in manifest.packages for pair in part.licences.references})
    document: dict[str, Any] = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://spdx.org/spdxdocs/{name}-{serial}",
        "creationInfo": {"created": timestamp, "creators": [f"Tool: rastos-{tool}"]},
        "packages": [
            system,
            *(_package(part, ids[part.name]) for part in manifest.packages),
            *(_source_package(place, sources[place]) for place in sorted(sources)),
        ],
        "relationships": relations,
    }
    if licences:
        document["hasExtractedLicensingInfos"] = [
            {"licenseId": reference, "name": text, "extractedText": f"named '{text}' in the package's copyright file"}
            for reference, text in dict(licences).items()
        ]
    return document


def _package(part: Part, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "SPDXID": place,
        "name": part.name,
        "versionInfo": part.version,
        "packageFileName": part.file.rpartition("/")[2] or None,
        "supplier": _supplier(part.supplier),
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "homepage": part.url if part.url.startswith(("http://", "https://")) and " " not in part.url else None,
        "licenseConcluded": NOTHING,
        "licenseDeclared": part.licences.expression or NOTHING,
        "copyrightText": NOTHING,
        "summary": part.description or None,
        "comment": f"channel {part.channel or 'unknown'}; file {part.file_size} bytes; "
        f"installed {part.installed_size} bytes; {part.reason}",
        "primaryPackagePurpose": "LIBRARY" if part.name.startswith("lib") else "APPLICATION",
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": part.purl}
        ],
    }
    if part.source:
        found["sourceInfo"] = f"built from {part.source} {part.source_version}"
    if part.file_sha256:
        found["checksums"] = [{"algorithm": "SHA256", "checksumValue": part.file_sha256}]
    return {key: value for key, value in found.items() if value is not None}


def _source_package(place: str, part: Part) -> dict[str, Any]:
    return {
        "SPDXID": place,
        "name": part.source,
        "versionInfo": part.source_version,
        "supplier": _supplier(part.supplier),
        "downloadLocation": NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": NOTHING,
        "licenseDeclared": NOTHING,
        "copyrightText": NOTHING,
        "primaryPackagePurpose": "SOURCE",
    }


def _supplier(text: str) -> str:
    """SPDX 2.3, 7.5: a person or organisation with an address in parentheses."""
    if not text:
        return NOTHING
    if _PERSON.match(text):
        name, _, address = text.partition("<")
        return f"Person: {name.strip() or address.rstrip('>')} ({address.rstrip('>')})"
    return "Organization: " + " ".join(re.sub(r"[()<>]", " ", text).split())


def _identifiers(parts: tuple[Part, ...]) -> dict[str, str]:
    """An id for each package: letters, digits, dots and dashes; + becomes a word, so that no two meet."""
    return {part.name: "SPDXRef-Package-" + _clean(part.name) for part in parts}


def _source_id(part: Part) -> str:
    return f"SPDXRef-Source-{_clean(part.source)}-{_clean(part.source_version)}"


def _clean(text: str) -> str:
    return _ID.sub(lambda found: f"-x{ord(found[0]):x}-", text)


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
