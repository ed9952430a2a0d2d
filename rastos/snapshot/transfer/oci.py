"""OCI image layouts (opencontainers/image-spec 1.1): a snapshot as an image of one layer, and the way back.

    oci-layout, index.json                    the only files with fixed names
    blobs/sha256/<digest>                     manifest, configuration, layers: each is what its name says

The folder gets its name when all of it is there.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import zstandard

from rastos.errors import IntegrityError, UserError
from rastos.host import sync_directory

LAYOUT = "oci-layout"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ANNOTATION = "org.rastos.snapshot"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_LARGEST_JSON = 4 << 20
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_DOCKER = ("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.container.image.v1+json")


@dataclass(frozen=True, slots=True)
class OciImage:
    """An image that was found sound as far as its JSON goes: layers from the lowest, with the digests of their tars."""

    folder: Path
    layers: tuple[Path, ...]
    diff_ids: tuple[str, ...]
    annotations: dict[str, str]


class HashingWriter:
    """Writes through, and knows the digest and the size of what went by."""

    def __init__(self, target: IO[bytes]) -> None:
        self.target = target
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        """As a file's."""
        self.digest.update(data)
        self.size += len(data)
        self.target.write(data)
        return len(data)

    def flush(self) -> None:
        """As a file's."""
        self.target.flush()


class HashingReader:
    """Reads through, and knows the digest of what went by."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        data = self.source.read(size)
        self.digest.update(data)
        return data


@contextmanager
def layer_writer(folder: Path, blobs: dict[str, Any], compression: str) -> Iterator[HashingWriter]:
    """A tar stream that becomes the only layer, compressed by zstd or gzip; its digests and size are put into `blobs`."""
    place = folder / "blobs/sha256"
    place.mkdir(parents=True)
    with open(place / "layer", "xb") as file:
        packed = HashingWriter(file)
        with _packer(packed, compression) as stream:
            plain = HashingWriter(stream)
            yield plain
        file.flush()
        os.fsync(file.fileno())
    name = packed.digest.hexdigest()
    os.rename(place / "layer", place / name)
    blobs |= {
        "kind": f"{LAYER}+{compression}",
        "digest": f"sha256:{name}",
        "size": packed.size,
        "diff_id": f"sha256:{plain.digest.hexdigest()}",
    }


def _packer(target: HashingWriter, compression: str) -> AbstractContextManager[IO[bytes]]:
    stream = cast("IO[bytes]", target)
    if compression == "gzip":
        return cast("AbstractContextManager[IO[bytes]]", gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0))
    packer = zstandard.ZstdCompressor(level=3, threads=-1)
    return cast("AbstractContextManager[IO[bytes]]", packer.stream_writer(stream, closefd=False))


def finish_layout(folder: Path, layer: dict[str, Any], *, created: str, name: str, annotations: dict[str, str]) -> str:
    """Configuration, manifest and index around a written layer; the digest of the manifest."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Labels": annotations},
        "rootfs": {"type": "layers", "diff_ids": [layer["diff_id"]]},
        "history": [{"created": created, "created_by": "rastos snapshot export"}],
    }
    described = _blob(folder, CONFIG, config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described,
        "layers": [{"mediaType": layer["kind"], "digest": layer["digest"], "size": layer["size"]}],
        "annotations": annotations,
    }
    found = _blob(folder, MANIFEST, manifest)
    found["platform"] = {"architecture": architecture, "os": "linux"}
    found["annotations"] = {"org.opencontainers.image.ref.name": name}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [found]}
    _durable(folder / "index.json", json.dumps(index).encode())
    _durable(folder / LAYOUT, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
    for place in (folder / "blobs/sha256", folder / "blobs", folder):
        sync_directory(place)
    return str(found["digest"])


def read_layout(folder: Path, reference: str = "") -> OciImage:
    """The image of a layout: the one named, or the only one for this architecture. UserError: which?

    IntegrityError: something is not what its digest says, or of another kind.
    """
    try:
        layout = json.loads((folder / LAYOUT).read_bytes())
        index = json.loads(_limited(folder / "index.json"))
        if not str(layout["imageLayoutVersion"]).startswith("1."):
            raise ValueError("its version")
        manifest = _manifest(folder, list(index["manifests"]), reference)
        config = json.loads(_checked(folder, manifest["config"]))
        kinds = [str(item.get("mediaType", "")) for item in manifest["layers"]]
        if not all(kind.startswith((LAYER, _DOCKER_LAYER)) and "nondistributable" not in kind for kind in kinds):
            raise ValueError("a layer that is no tar archive")
        layers = tuple(_blob_path(folder, item["digest"]) for item in manifest["layers"])
        diff_ids = tuple(str(item) for item in config["rootfs"]["diff_ids"])
        for path, item in zip(layers, manifest["layers"], strict=True):
            if path.stat().st_size != int(item["size"]):
                raise ValueError("a layer of another size")
        if len(diff_ids) != len(layers) or not layers:
            raise ValueError("the number of its layers")
        labels = (config.get("config") or {}).get("Labels") or {}
        words = {**labels, **(manifest.get("annotations") or {})}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        raise IntegrityError(
            f"not a sound OCI image layout: {error}", on=folder, next_step="export or copy the image again"
        ) from error
    return OciImage(folder, layers, diff_ids, {str(key): str(value) for key, value in words.items()})


def check_layer(path: Path) -> None:
    """IntegrityError unless a layer's file is what its name says."""
    with open(path, "rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != path.name:
            raise IntegrityError("a layer is not what its digest says", on=path, next_step="copy the image again")


def _manifest(folder: Path, entries: list[dict[str, Any]], reference: str, depth: int = 0) -> dict[str, Any]:
    named = "org.opencontainers.image.ref.name"
    if reference:
        entries = [item for item in entries if (item.get("annotations") or {}).get(named) == reference]
    ours = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    fitting = [item for item in entries if (item.get("platform") or {}).get("architecture", ours) == ours]
    if len(fitting) != 1:
        names = ", ".join(str((item.get("annotations") or {}).get(named, "?")) for item in fitting)
        raise UserError(
            f"the layout has {len(fitting)} images that fit{f': {names}' if names else ''}",
            on=folder,
            next_step="name one: --reference NAME",
        )
    value: dict[str, Any] = json.loads(_checked(folder, fitting[0]))
    if value.get("mediaType", fitting[0].get("mediaType")) == INDEX and depth < 2:
        return _manifest(folder, list(value["manifests"]), "", depth + 1)
    if value.get("mediaType", MANIFEST) not in (MANIFEST, *_DOCKER):
        raise ValueError("a manifest of another kind")
    return value


def _checked(folder: Path, descriptor: dict[str, Any]) -> bytes:
    data = _limited(_blob_path(folder, descriptor["digest"]))
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != descriptor["digest"] or len(data) != int(descriptor["size"]):
        raise ValueError(f"{descriptor['digest'][:19]} is not what its digest says")
    return data


def _blob_path(folder: Path, digest: Any) -> Path:
    found = _DIGEST.match(str(digest))
    if not found:
        raise ValueError("a digest that is no SHA-256")
    return folder / "blobs/sha256" / found[1]


def _limited(path: Path) -> bytes:
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"{path.name} is too large")
    return path.read_bytes()


def _blob(folder: Path, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(value, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    _durable(folder / "blobs/sha256" / digest, data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def _durable(path: Path, data: bytes) -> None:
    with open(path, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
