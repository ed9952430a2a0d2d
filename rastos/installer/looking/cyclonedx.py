"""The parts of an image as CycloneDX 1.6 JSON (cyclonedx.org/docs/1.6/json)."""

from __future__ import annotations

from typing import Any

from .manifest import ImageManifest
from .parts import Part

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"


def cyclonedx(manifest: ImageManifest, *, tool: str, timestamp: str, serial: str) -> dict[str, Any]:
    """The document as a value. `timestamp` is ISO 8601, `serial` a UUID."""
    names = {part.name for part in manifest.packages}
    system = {
        "type": "operating-system",
        "bom-ref": "system",
        "name": f"rastos-{manifest.profile or 'image'}",
        "version": manifest.tree_digest[:16],
        "description": f"{manifest.distribution.name} {manifest.distribution.version}".strip(),
        "properties": [
            {"name": f"rastos:{name}", "value": value}
            for name, value in (
                ("image-key", manifest.key),
                ("kernel", manifest.kernel.release),
                ("kernel-config-sha256", manifest.kernel.config_sha256),
                ("package-digest", manifest.package_digest),
                ("tree-digest", manifest.tree_digest),
            )
            if value
        ],
    }
    explicit = sorted(part.purl for part in manifest.packages if part.reason == "explicit")
    refs = {part.name: part.purl for part in manifest.packages}
    depends = [{"ref": "system", "dependsOn": explicit}]
    depends += [
        {"ref": part.purl, "dependsOn": sorted(refs[name] for name in part.depends if name in names)}
        for part in manifest.packages
    ]
    return {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "rastos", "version": tool}]},
            "component": system,
        },
        "components": [_component(part) for part in manifest.packages],
        "dependencies": depends,
    }


def _component(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library" if part.name.startswith("lib") else "application",
        "bom-ref": part.purl,
        "name": part.name,
        "version": part.version,
        "description": part.description,
        "purl": part.purl,
    }
    if part.supplier:
        found["supplier"] = {"name": part.supplier}
    if part.file_sha256:
        found["hashes"] = [{"alg": "SHA-256", "content": part.file_sha256}]
    if part.licences.expression:
        found["licenses"] = [{"expression": part.licences.expression}]
    if part.url.startswith(("http://", "https://")) and " " not in part.url:
        found["externalReferences"] = [{"type": "website", "url": part.url}]
    found["properties"] = [
        {"name": f"rastos:{name}", "value": str(value)}
        for name, value in (
            ("channel", part.channel),
            ("file", part.file),
            ("file-size", part.file_size or ""),
            ("install-reason", part.reason),
            ("installed-size", part.installed_size),
            ("source", f"{part.source} {part.source_version}" if part.source else ""),
        )
        if value != ""
    ]
    return found
