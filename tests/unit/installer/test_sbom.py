"""Bills of materials: the same for the same image, complete, and what the formats' own schemas ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import UserError
from rastos.installer import SBOM_FORMATS, ImageManifest, bill_of_materials
from rastos.installer.looking.licences import Licences, expression_of
from rastos.installer.looking.manifest import KernelFacts
from rastos.installer.looking.parts import Distribution, Part
from tests.conftest import unmet

NEEDED = "pip install 'cyclonedx-python-lib[json-validation]' spdx-tools (extra `dev` of pyproject.toml)"


def part(name: str, licences: Licences, **changes: object) -> Part:
    made = Part(
        name=name,
        version="1:2.0-3+b1",
        arch="x86_64",
        description=f"the package {name}",
        url="https://example.org/",
        supplier="Ann Other <ann@example.org>",
        reason="dependency",
        channel="debian",
        file=f"pool/main/{name}.deb",
        file_sha256="ab" * 32,
        file_size=1234,
        installed_size=5678,
        licences=licences,
        source=f"{name}-source",
        source_version="1:2.0-3",
        purl=f"pkg:deb/debian/{name.replace('+', '%2B')}@1%3A2.0-3%2Bb1?arch=amd64&distro=debian-12",
        depends=(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


PARTS = (
    part("lib++", expression_of(["GPL-2+", "public-domain"])),
    part("lib-x2b-", expression_of(["GPL-1+ or Artistic", "GPL-2 with Linux-syscall-note exception"])),
    part("shell", Licences(), depends=("lib++", "lib-x2b-"), reason="explicit", url="", supplier="A Team (of two)"),
    part(
        "own",
        Licences(),
        source="",
        source_version="",
        file_sha256="",
        file_size=0,
        supplier="rastos",
        purl="pkg:alpm/rastos/own@1-1?arch=any",
    ),
)
MANIFEST = ImageManifest(
    path=Path("one.qcow2"),
    format="qcow2",
    size=1 << 30,
    profile="server",
    key="cd" * 32,
    distribution=Distribution("debian", "Debian GNU/Linux", "12"),
    snapshot=0,
    snapshot_uuid="u",
    created="2026-01-02T03:04:05+00:00",
    package_digest="ef" * 32,
    tree_digest="01" * 32,
    kernel=KernelFacts("6.1-x", "linux-x", "x", "23" * 32, "45" * 32),
    partitions=(),
    esp_sha256="67" * 32,
    deployments=(),
    packages=PARTS,
)


@pytest.mark.parametrize("kind", SBOM_FORMATS)
def test_the_same_image_gives_the_same_text(kind: str) -> None:
    one = json.dumps(bill_of_materials(MANIFEST, kind))
    assert one == json.dumps(bill_of_materials(MANIFEST, kind))
    other = replace(MANIFEST, packages=PARTS[1:])
    assert one != json.dumps(bill_of_materials(other, kind))
    elsewhere = replace(MANIFEST, path=Path("renamed.raw"), format="raw")
    assert one == json.dumps(bill_of_materials(elsewhere, kind)), "what the file is called is no part of it"


def test_the_date_is_the_snapshots_or_the_one_asked_for() -> None:
    assert bill_of_materials(MANIFEST, "spdx")["creationInfo"]["created"] == "2026-01-02T03:04:05Z"
    assert bill_of_materials(MANIFEST, "spdx", epoch=0)["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    assert bill_of_materials(MANIFEST, "cyclonedx", epoch=86400)["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"


def test_sizes_digests_sources_and_dependencies_are_there() -> None:
    spdx = bill_of_materials(MANIFEST, "spdx")
    packages = {item["name"]: item for item in spdx["packages"]}
    assert packages["shell"]["checksums"] == [{"algorithm": "SHA256", "checksumValue": "ab" * 32}]
    assert "1234 bytes" in packages["shell"]["comment"] and "5678 bytes" in packages["shell"]["comment"]
    relations = {(r["spdxElementId"], r["relationshipType"], r["relatedSpdxElement"]) for r in spdx["relationships"]}
    ids = {name: item["SPDXID"] for name, item in packages.items()}
    assert len(set(ids.values())) == len(ids), "names that look alike have ids of their own"
    assert (ids["shell"], "DEPENDS_ON", ids["lib++"]) in relations
    assert (ids["shell"], "GENERATED_FROM", ids["shell-source"]) in relations
    assert "checksums" not in packages["own"]
    cyclonedx = bill_of_materials(MANIFEST, "cyclonedx")
    found = {item["name"]: item for item in cyclonedx["components"]}
    assert found["shell"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    depends = {item["ref"]: item["dependsOn"] for item in cyclonedx["dependencies"]}
    assert depends[found["shell"]["purl"]] == sorted([found["lib++"]["purl"], found["lib-x2b-"]["purl"]])
    assert depends["system"] == [found["shell"]["purl"]]


def test_unknown_formats_are_refused() -> None:
    with pytest.raises(UserError, match="no format"):
        bill_of_materials(MANIFEST, "csv")


def test_cyclonedx_holds_its_schema() -> None:
    try:
        from cyclonedx.schema import SchemaVersion
        from cyclonedx.validation.json import JsonStrictValidator
    except ImportError:
        unmet(NEEDED)
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill_of_materials(MANIFEST, "cyclonedx"))) is None
    broken = bill_of_materials(MANIFEST, "cyclonedx")
    broken["components"][0]["hashes"][0]["content"] = "no digest"
    assert validator.validate_str(json.dumps(broken)) is not None


def test_spdx_holds_its_specification(tmp_path: Path) -> None:
    try:
        from spdx_tools.spdx.parser.json.json_parser import parse_from_file
        from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document
    except ImportError:
        unmet(NEEDED)
    place = tmp_path / "image.spdx.json"

    def complaints(value: object) -> list[str]:
        place.write_text(json.dumps(value))
        found = validate_full_spdx_document(parse_from_file(str(place)), "SPDX-2.3")
        return [item.validation_message for item in found]

    assert complaints(bill_of_materials(MANIFEST, "spdx")) == []
    broken = bill_of_materials(MANIFEST, "spdx")
    broken["relationships"].append(
        {"spdxElementId": "SPDXRef-System", "relationshipType": "CONTAINS", "relatedSpdxElement": "SPDXRef-Nobody"}
    )
    assert complaints(broken)
