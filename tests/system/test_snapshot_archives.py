"""Snapshots as OCI images and tar archives, and back; archives that want out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.package import exact_manifest, tree_differences
from rastos.progress import Progress
from rastos.snapshot import Store, create_session, export_oci, export_tar, import_archive
from tests.conftest import need
from tests.system.storehouse import fill, leftovers, make_files, mounted_store

ODD = "usr/share/a b\n\udcffé"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    need("mkfs.btrfs", "mkfs.vfat")
    make_files(tmp_path)
    with mounted_store(tmp_path, fresh=True) as opened:
        yield opened
        assert not [item for item in leftovers(opened) if "/" in item]


@pytest.fixture
def tree(store: Store) -> Path:
    """Snapshot 0, with everything that a tree may hold."""
    with create_session(store, None, "test") as session:
        root = session.tree
        fill(root)
        (root / "usr/share").mkdir(exist_ok=True)
        Path(os.fsdecode(os.fsencode(root / ODD))).write_text("odd")
        os.symlink("../etc/app conf", root / "usr/link")
        os.symlink("/etc", root / "usr/absolute")
        os.link(root / "etc/app.conf", root / "usr/share/second name")
        os.mkfifo(root / "usr/share/pipe", 0o640)
        (root / "usr/share/sticky").mkdir()
        os.chmod(root / "usr/share/sticky", 0o1777)
        (root / "usr/share/su").write_bytes(b"")
        os.chown(root / "usr/share/su", 12, 34)
        os.chmod(root / "usr/share/su", 0o4750)
        os.setxattr(
            root / "usr/share/su", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000")
        )
        os.setxattr(root / "etc", "user.note", b"\xff\x00=1 2")
        os.utime(root / "etc/hostname", (10, 10))
        os.chmod(root, 0o755)
        (root / ("usr/" + "long/" * 40)).mkdir(parents=True)
        session.commit("a tree", name="odd")
    store.update(replace(store.snapshot(0), tags=("web",), note="why", stamps=(("postgresql", "15"),)))
    return store.tree(0)


def _same(store: Store, number: int) -> bool:
    one, two = exact_manifest(store.tree(0)), exact_manifest(store.tree(number))
    assert tree_differences(one, two) == ()
    return (store.tree(number) / "etc/hostname").stat().st_mtime == 10


@pytest.mark.parametrize("name", ["x.tar", "x.tar.zst", "x.tar.gz"])
def test_a_tar_and_back(store: Store, tree: Path, tmp_path: Path, name: str) -> None:
    made = export_tar(store, 0, tmp_path / name, Progress())
    assert made.digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert _same(store, import_archive(store, tmp_path / name, Progress()).snapshot.id)
    assert store.snapshot(1).description == f"imported from {name}" and store.snapshot(1).parent is None
    with pytest.raises(UserError, match="there already"):
        export_tar(store, 0, tmp_path / name, Progress())
    if name == "x.tar":  # the same bytes again, and another program reads them
        assert export_tar(store, 0, tmp_path / "again.tar", Progress()).digest == made.digest
        (tmp_path / "gnu").mkdir()
        argv = ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", tmp_path / name, "-C"]
        subprocess.run([*argv, tmp_path / "gnu"], check=True)
        assert tree_differences(exact_manifest(tree), exact_manifest(tmp_path / "gnu")) == ()
        subprocess.run(
            ["tar", "--xattrs", "--xattrs-include=*", "-cf", tmp_path / "gnu.tar", "-C", tmp_path / "gnu", "."]
        )
        assert _same(store, import_archive(store, tmp_path / "gnu.tar", Progress()).snapshot.id)


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_an_oci_image_and_back(store: Store, tree: Path, tmp_path: Path, compression: str) -> None:
    made = export_oci(store, 0, tmp_path / "image", Progress(), compression=compression)
    index = json.loads((tmp_path / "image/index.json").read_text())
    assert index["manifests"][0]["digest"] == made.digest
    assert index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] == "odd"
    for path in (tmp_path / "image/blobs/sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert sorted(path.name for path in (tmp_path / "image").iterdir()) == ["blobs", "index.json", "oci-layout"]
    back = import_archive(store, tmp_path / "image", Progress(), name="back").snapshot
    assert _same(store, back.id)
    was = store.snapshot(0)
    assert (back.name, back.tags, back.note, back.stamps) == ("back", ("web",), "why", was.stamps)
    assert back.origin == was.uuid and back.uuid != was.uuid and back.kernel == "6.1-test"


def test_a_changed_blob_is_refused(store: Store, tree: Path, tmp_path: Path) -> None:
    export_oci(store, 0, tmp_path / "image", Progress())
    for path in sorted((tmp_path / "image/blobs/sha256").iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        with pytest.raises(IntegrityError):
            import_archive(store, tmp_path / "image", Progress())
        path.write_bytes(whole)
    index = tmp_path / "image/index.json"
    index.write_text(index.read_text().replace("sha256:", "sha256:../../../../etc/"))
    with pytest.raises(IntegrityError, match="digest"):
        import_archive(store, tmp_path / "image", Progress())
    assert [item.id for item in store.snapshots()] == [0]


def _tar(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, more in members:
            member = tarfile.TarInfo(name)
            member.type, data = kind, bytes(more.get("data", b""))  # type: ignore[call-overload]
            member.size = len(data)
            for key, value in more.items():
                if key != "data":
                    setattr(member, key, value)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _layers(folder: Path, *tars: bytes, sign: Callable[[bytes], bytes] = lambda data: data) -> Path:
    """An image of somebody else's, of several layers."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"digest": f"sha256:{name}", "size": len(data)}

    kind = "application/vnd.oci.image.layer.v1.tar"
    layers = [{**put(data), "mediaType": kind} for data in tars]
    ids = [f"sha256:{hashlib.sha256(sign(data)).hexdigest()}" for data in tars]
    config = put(json.dumps({"rootfs": {"type": "layers", "diff_ids": ids}}).encode())
    manifest = put(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode())
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return folder


REG, DIR, SYM, LNK, CHR = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE


def test_layers_and_their_whiteouts(store: Store, tmp_path: Path) -> None:
    lower = _tar(("a/one", REG, {"data": b"1"}), ("a/two", REG, {}), ("b", DIR, {}), ("b/x", REG, {}), ("c", REG, {}))
    upper = _tar(("a/.wh.one", REG, {}), ("b/.wh..wh..opq", REG, {}), ("b/y", REG, {}), (".wh.c", REG, {}))
    import_archive(store, _layers(tmp_path / "image", lower, upper), Progress())
    found = {str(path.relative_to(store.tree(0))) for path in store.tree(0).rglob("*")}
    assert found == {"a", "a/two", "b", "b/y"}
    wrong = _layers(tmp_path / "wrong", lower, sign=lambda data: data + b"x")
    with pytest.raises(IntegrityError, match="not what the image says"):
        import_archive(store, wrong, Progress())


OUT = "../../../../../../../../../../outside"
HOSTILE = {
    "up": [(OUT, REG, {"data": b"x"})],
    "up in the middle": [("a/../../x", REG, {})],
    "absolute": [("/outside", REG, {"data": b"x"})],
    "through a link": [("door", SYM, {"linkname": "@"}), ("door/outside", REG, {"data": b"x"})],
    "a folder through a link": [("door", SYM, {"linkname": "@"}), ("door/made", DIR, {})],
    "a second name through a link": [("door", SYM, {"linkname": "@"}), ("x", LNK, {"linkname": "door/outside"})],
    "a second name outside": [("x", LNK, {"linkname": OUT}), ("x", REG, {"data": b"x"})],
    "a second name of a link": [("l", SYM, {"linkname": "@/outside"}), ("x", LNK, {"linkname": "l"})],
    "a device": [("dev/sda", CHR, {"devmajor": 8})],
    "a file for a folder": [("a", DIR, {}), ("a", REG, {})],
    "the root": [(".", SYM, {"linkname": "@"})],
    "an attribute": [("x", REG, {"pax_headers": {"SCHILY.xattr.evil.x": "1"}})],
    "an unknown kind": [("x", REG, {}), ("y", b"Z", {})],
}


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_a_hostile_archive_writes_nothing(store: Store, tmp_path: Path, what: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("safe")
    os.utime(outside, (5, 5))
    members = [
        (
            name,
            kind,
            {
                key: value.replace("@", str(tmp_path)) if isinstance(value, str) else value
                for key, value in more.items()
            },
        )
        for name, kind, more in HOSTILE[what]
    ]
    (tmp_path / "x.tar").write_bytes(_tar(*members))  # type: ignore[arg-type]
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(IntegrityError, match="refused"):
        import_archive(store, tmp_path / "x.tar", Progress())
    assert (outside.read_text(), outside.stat().st_mtime, outside.stat().st_nlink) == ("safe", 5, 1)
    assert sorted(os.listdir(tmp_path)) == before
    assert store.snapshots() == ()


def test_what_is_no_archive_is_refused(store: Store, tmp_path: Path) -> None:
    whole = _tar(("a", REG, {"data": b"x" * 5000}))
    for content in (b"", b"something else" * 100, whole[:2000], whole[:-12000]):
        (tmp_path / "x.tar").write_bytes(content)
        with pytest.raises(IntegrityError):
            import_archive(store, tmp_path / "x.tar", Progress())
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="neither"):
        import_archive(store, tmp_path / "folder", Progress())
    assert store.snapshots() == ()
