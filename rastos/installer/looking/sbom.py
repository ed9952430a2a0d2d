"""A software bill of materials of an image: the same image gives the same text."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import rastos
from rastos.errors import UserError
from rastos.host import digest_of

from .cyclonedx import cyclonedx
from .manifest import ImageManifest
from .spdx import spdx

SBOM_FORMATS = ("spdx", "cyclonedx")


def bill_of_materials(manifest: ImageManifest, kind: str, *, epoch: int | None = None) -> dict[str, Any]:
    """SPDX 2.3 or CycloneDX 1.6 as a JSON value. `epoch`: its date (SOURCE_DATE_EPOCH), default the snapshot's.

    The serial number follows from the content. UserError: unknown kind.
    """
    if kind not in SBOM_FORMATS:
        raise UserError(f"there is no format '{kind}' for a bill of materials", next_step="use spdx or cyclonedx")
    made = datetime.fromtimestamp(epoch, UTC) if epoch is not None else datetime.fromisoformat(manifest.created)
    timestamp = made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    write = spdx if kind == "spdx" else cyclonedx
    named = {"tool": rastos.__version__, "timestamp": timestamp}
    plain = write(manifest, serial="", **named)
    digest = digest_of(kind, json.dumps(plain, sort_keys=True))
    return write(manifest, serial=str(uuid.UUID(digest[:32], version=5)), **named)
