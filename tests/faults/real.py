"""Power cuts on an image of a real system: which disks there are around the commit, what is wrong with them, whether they boot."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rastos.host import run
from rastos.installer import open_image
from rastos.installer.partition import ESP_TYPE
from rastos.installer.vm import booted
from rastos.snapshot import Store
from rastos.snapshot.esp import SPARE
from tests.boot.conftest import environment
from tests.faults.disk import contents
from tests.faults.fat import FatReader
from tests.faults.recording import Recording
from tests.faults.replay import Point, cut
from tests.system.storehouse import flaws

BOOT = 1200.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What firmware would start on a disk, the last known-good deployments, and what stands against booting."""

    boots: int
    good: tuple[int, ...]
    wrong: tuple[str, ...]


class Firmware(FatReader):
    """As a boot loader sees the ESP: an entry with nothing in it is none."""

    def list(self, directory: str) -> list[str]:
        """Names in a folder."""
        names = super().list(directory)
        return [name for name in names if not name.endswith(".conf") or self.read(f"{directory}/{name}").strip()]


def raw_copy(image: Path, target: Path) -> Path:
    """The image as a raw file: that is what a recording is of."""
    run(["qemu-img", "convert", "-O", "raw", image, target])
    return target


def looked(disk: Path, etcs: dict[int, dict[str, str]]) -> Looked:
    """Look without recovering. `etcs`: the content of each /etc when all was well."""
    with open_image(
        disk, writable=True, purpose="look after a power cut"
    ) as opened:  # writable: the kernel replays its log
        part = next(part for part in opened.partitions if part.type == ESP_TYPE)
        reader = Firmware(disk, part.start, part.size)
        info = Store.open(opened.top, opened.esp, writable=False).info
        seen = Store(opened.top, reader, info)  # type: ignore[arg-type]
        try:
            entries = seen.entries()
            # a folder from the store with both its names: nothing is in it, and nothing will be (MountedEsp)
            wrong = flaws(seen) + [item for item in reader.crossed if SPARE not in item]
            for entry in entries:
                if contents(seen.deployment_path(entry.number) / "etc") != etcs.get(entry.number):
                    wrong.append(f"{entry.name}: its /etc is not whole")
        except (OSError, ValueError, KeyError) as error:
            return Looked(0, (), (f"can't be read: {error}",))
    esp = disk.with_name("esp.img")
    esp.write_bytes(_part(disk, part.start, part.size))
    said = run(["fsck.vfat", "-n", esp], check=False).stdout.splitlines()
    if not any(SPARE in item for item in reader.crossed):
        wrong += [f"fsck.vfat finds fault with {name}" for name in map(str.strip, said) if _complete(name)]
    usable = [entry for entry in entries if entry.state != "bad"]
    return Looked(
        max((entry.number for entry in usable), default=0),
        tuple(entry.number for entry in entries if entry.state == "good"),
        tuple(wrong),
    )


def _complete(line: str) -> bool:
    """Whether fsck.vfat names a file in this line that something may start from: what ends in .new was being written or removed."""
    return line.startswith("/") and "files," not in line and not line.upper().endswith(".NEW")


def _part(disk: Path, start: int, size: int) -> bytes:
    with disk.open("rb") as stream:
        stream.seek(start)
        return stream.read(size)


def known_etcs(disk: Path) -> dict[int, dict[str, str]]:
    """The /etc of each deployment. Changes the disk: it is mounted, which replays its log."""
    with open_image(disk, writable=True, purpose="look") as opened:
        store = Store.open(opened.top, opened.esp, writable=False)
        return {number: contents(store.deployment_path(number) / "etc") for number in store.deployment_numbers()}


def cuts(recording: Recording, first: int, *, each: int, seed: int) -> Iterator[Point]:
    """From an epoch on: at every flush, and `each` times a torn and reordered part of what came before the next."""
    chance = random.Random(seed)
    for number in range(first, len(recording.epochs)):
        epoch = recording.epochs[number]
        yield Point("flush", number, ())
        for turn in range(each if len(epoch) > 1 else 0):
            part = [write for write in epoch if chance.random() < (0.5, 0.9, 0.1)[turn % 3]]
            long = [place for place, write in enumerate(part) if len(write.data) > 512]
            if long and turn % 2:
                part[long[0]] = cut(part[long[0]], chance)
            yield Point("reordered", number, tuple(part))


def boots_as(disk: Path) -> int:
    """Boot it by UEFI on an overlay; the deployment that runs, with no unit failed."""
    with booted(disk, cache=Path(environment()["RASTOS_CACHE"]), way="uefi") as machine:
        machine.wait_agent(BOOT)
        state = machine.execute("systemctl is-system-running --wait", BOOT).stdout.strip()
        number = int(json.loads(machine.succeed("cat /etc/rastos/deployment.json"))["deployment"])
        assert state == "running", machine.succeed("systemctl list-units --failed --no-legend")
        machine.power_off(BOOT)
        return number
