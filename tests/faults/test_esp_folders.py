"""A deploy neither makes a folder on the ESP nor grows one: both are several writes, and torn they take all with them."""

from __future__ import annotations

from pathlib import Path

from rastos.host import run
from rastos.snapshot import MtoolsEsp
from rastos.snapshot.bootentry import ENTRIES, KERNELS
from tests.conftest import need
from tests.faults.fat import FatReader

SIZE = 40 << 20


def _esp(folder: Path) -> MtoolsEsp:
    need("mkfs.vfat", "mcopy")
    place = folder / "esp.img"
    with place.open("xb") as stream:
        stream.truncate(SIZE)
    run(["mkfs.vfat", "-F", "32", "-s", "1", place])
    return MtoolsEsp(place, 0, SIZE)


def _folders(esp: MtoolsEsp) -> list[tuple[int, str]]:
    """Which clusters belong to folders, by the folder's first cluster: a new name changes nothing here."""
    reader = FatReader(esp.file, 0, SIZE)
    first = {path: node.cluster for path, node in reader.nodes.items() if node.folder}
    return sorted((cluster, str(first.get(whose, 0))) for cluster, whose in reader.used.items())


def test_folders_stay_as_they_were_laid_out(tmp_path: Path) -> None:
    esp = _esp(tmp_path)
    esp.prepare()
    assert esp.list(KERNELS) == [] == esp.list(ENTRIES)
    before = _folders(esp)
    for number in range(16):
        esp.write(f"{KERNELS}/{number:016x}/vmlinuz", b"kernel" * 200)
        esp.put(f"{ENTRIES}/rastos-{number}+3.conf.new", b"title x\n")
        esp.rename(f"{ENTRIES}/rastos-{number}+3.conf.new", f"{ENTRIES}/rastos-{number}+3.conf")
        if number >= 8:
            esp.remove(f"{ENTRIES}/rastos-{number - 8}+3.conf")
            esp.remove(f"{KERNELS}/{number - 8:016x}")
    assert _folders(esp) == before
    assert len(esp.list(KERNELS)) == 8 == len(esp.list(ENTRIES))
    again = MtoolsEsp(esp.file, 0, SIZE)
    assert again.list(KERNELS) == esp.list(KERNELS) and again.list(ENTRIES) == esp.list(ENTRIES)
    reader = FatReader(esp.file, 0, SIZE)
    assert reader.read(f"{KERNELS}/{15:016x}/vmlinuz") == b"kernel" * 200 and reader.crossed == []


def test_without_folders_in_store_they_are_made(tmp_path: Path) -> None:
    esp = _esp(tmp_path)
    esp.write(f"{KERNELS}/one/vmlinuz", b"kernel")
    esp.remove(f"{KERNELS}/one")
    esp.write(f"{KERNELS}/two/vmlinuz", b"kernel two")
    assert esp.list(KERNELS) == ["two"] and esp.read(f"{KERNELS}/two/vmlinuz") == b"kernel two"
