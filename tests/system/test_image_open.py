"""Opening images: raw and qcow2, in use, damaged, and killed while open."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rastos.errors import BusyError, HostError, IntegrityError, RastosError, UserError
from rastos.host import attached, mounted, run
from rastos.host.private_folder import RUNTIME
from rastos.installer import open as opening
from rastos.installer import open_image
from rastos.installer.filesystem import make_esp, make_root
from rastos.installer.open import image_lock
from rastos.installer.partition import plan_layout, read_layout, write_layout
from rastos.snapshot import MtoolsEsp, Store
from tests.conftest import ROOT, need


@pytest.fixture(params=["raw", "qcow2"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    need("sfdisk", "mkfs.vfat", "mkfs.btrfs", "qemu-img", "qemu-storage-daemon", "mcopy")
    place = tmp_path / "image.raw"
    layout = plan_layout(512 << 20, 40 << 20, seed="test")
    with open(place, "xb") as stream:
        stream.truncate(layout.size)
    write_layout(place, layout)
    make_esp(place, layout.esp, volume_id="12345678")
    (tmp_path / "top").mkdir()
    with attached(place, offset=layout.root.start, size=layout.root.size) as device:
        make_root(device)
        with mounted(device, tmp_path / "top", "btrfs") as top:
            esp = MtoolsEsp(place, layout.esp.start, layout.esp.size)
            Store.initialise(top, esp, root_partuuid=layout.root.uuid, cmdline="")
    assert [part.uuid for part in read_layout(place)] == [layout.esp.uuid, layout.root.uuid]
    if request.param == "raw":
        return place
    run(["qemu-img", "convert", "-O", "qcow2", place, tmp_path / "image.qcow2"])
    return tmp_path / "image.qcow2"


def _leftovers(image: Path) -> list[str]:
    loops = run(["losetup", "--list", "--noheadings", "--output", "BACK-FILE"], check=False).stdout
    daemons = subprocess.run(["pgrep", "-af", f"qemu-storage-daemon.*{image}"], capture_output=True, text=True).stdout
    lines = [line for line in (loops + daemons).splitlines() if str(image.parent) in line or _dead_or_ours(line)]
    return lines + [str(path) for path in RUNTIME.glob(".*")]


def _dead_or_ours(line: str) -> bool:
    """Whether a loop's backing file is of this process or of a dead one; another rastos may be at work beside us."""
    found = re.search(re.escape(str(RUNTIME)) + r"/\.image\.(\d+)\.", line)
    return found is not None and (int(found[1]) == os.getpid() or not Path(f"/proc/{found[1]}").exists())


def test_what_is_written_stays(image: Path) -> None:
    with open_image(image, writable=True, purpose="test") as opened:
        (opened.top / "note").write_text("kept")
        opened.esp.write("/loader/note", b"kept too")
    assert _leftovers(image) == []
    with open_image(image, writable=False, purpose="test") as opened:
        assert (opened.top / "note").read_text() == "kept"
        assert opened.esp.read("/loader/note") == b"kept too"
        with pytest.raises(OSError, match="Read-only"):
            (opened.top / "note").write_text("no")
    assert _leftovers(image) == []


def test_in_use_by_another_rastos(image: Path) -> None:
    with (
        open_image(image, writable=True, purpose="the first"),
        pytest.raises(BusyError) as caught,
        open_image(image, writable=True, purpose="the second"),
    ):
        pass
    assert "the first" in caught.value.holder


def test_a_reader_neither_meets_a_writer_nor_stops_readers(image: Path) -> None:
    with (
        open_image(image, writable=True, purpose="the writer"),
        pytest.raises(BusyError, match="in use"),
        open_image(image, writable=False, purpose="the reader"),
    ):
        pass
    with (
        open_image(image, writable=False, purpose="one") as one,
        open_image(image, writable=False, purpose="two") as two,
    ):
        assert (one.top / "store.json").read_text() == (two.top / "store.json").read_text()
    assert _leftovers(image) == []


def test_a_writer_waits_for_a_short_look(image: Path) -> None:
    done = threading.Event()

    def look() -> None:
        with image_lock(image, "a short look", shared=True):
            done.wait(0.5)

    thread = threading.Thread(target=look)
    thread.start()
    time.sleep(0.1)
    with open_image(image, writable=True, purpose="the writer"):
        pass
    done.set()
    thread.join()


def test_two_images_of_one_origin(image: Path) -> None:
    """They have one file system id; what is written to one must not reach the other."""
    twin = image.with_name(f"twin{image.suffix}")
    shutil.copyfile(image, twin)
    with (
        open_image(image, writable=True, purpose="the one") as one,
        open_image(twin, writable=True, purpose="the other") as two,
    ):
        (one.top / "note").write_text("one")
        (two.top / "note").write_text("two")
    for path, text in ((image, "one"), (twin, "two")):
        with open_image(path, writable=False, purpose="test") as opened:
            assert (opened.top / "note").read_text() == text


def test_a_kernel_that_mounts_one_of_one_origin_at_a_time(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.7; here the refusal is played."""
    tries = iter(range(100))
    real = opening.mounted

    def refuse(source: Path, target: Path, fstype: str, *rest: Any, **named: Any) -> Any:
        if fstype == "btrfs" and next(tries) < patience:
            raise HostError("cannot mount") from OSError(errno.EEXIST, "File exists")
        return real(source, target, fstype, *rest, **named)

    monkeypatch.setattr(opening, "mounted", refuse)
    patience = 3
    with open_image(image, writable=True, purpose="test") as opened:
        assert (opened.top / "store.json").is_file()
    patience = 100
    monkeypatch.setattr(opening, "TWIN_SECONDS", 0.3)
    with pytest.raises(BusyError, match="same origin"), open_image(image, writable=True, purpose="test"):
        pass
    assert _leftovers(image) == []


def test_in_use_by_a_virtual_machine(image: Path) -> None:
    need("qemu-system-x86_64")
    kind = image.suffix[1:]
    argv = ["qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-m", "64"]
    argv += ["-drive", f"file={image},format={kind},if=virtio"]
    with subprocess.Popen(argv) as machine:
        try:
            time.sleep(1.5)
            with pytest.raises(BusyError) as caught, open_image(image, writable=True, purpose="test"):
                pass
            assert "virtual machine" in caught.value.holder
        finally:
            machine.kill()
    with open_image(image, writable=True, purpose="test"):
        pass


CHILD = """
import os, sys, time
from pathlib import Path
from rastos.installer import open_image
with open_image(Path(sys.argv[1]), writable=True, purpose="test") as image:
    with open(image.top / "half", "w") as stream:
        stream.write("half")
        stream.flush()
        os.fsync(stream.fileno())  # leaves a log that the next mount has to replay
    print("open", flush=True)
    time.sleep(100)
"""


def test_killed_while_open(image: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(image)], stdout=subprocess.PIPE, cwd=ROOT) as child:
        assert child.stdout and child.stdout.readline() == b"open\n"
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _leftovers(image) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _leftovers(image) == []
    with open_image(image, writable=False, purpose="a look after the kill") as opened:
        assert (opened.top / "store.json").is_file()
    with open_image(image, writable=True, purpose="after the kill") as opened:
        assert (opened.top / "half").read_text() == "half"
        assert (opened.top / "store.json").is_file()


@pytest.mark.parametrize("content", [b"", b"not an image" * 1000, None])
def test_what_is_no_image_of_ours(tmp_path: Path, content: bytes | None) -> None:
    need("qemu-img", "sfdisk")
    place = tmp_path / "file.img"
    if content is not None:
        place.write_bytes(content)
    with pytest.raises(UserError) as caught, open_image(place, writable=True, purpose="test"):
        pass
    assert caught.value.next_step


def test_a_qcow2_without_partitions(tmp_path: Path) -> None:
    need("qemu-img", "qemu-storage-daemon", "sfdisk")
    run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "empty.qcow2", "64M"])
    place = tmp_path / "empty.qcow2"
    with pytest.raises(UserError, match="GPT") as caught, open_image(place, writable=True, purpose="test"):
        pass
    assert caught.value.on == str(place)


@pytest.mark.parametrize("image", ["raw"], indirect=True)
def test_a_damaged_root(image: Path) -> None:
    with open(image, "r+b") as stream:
        stream.seek(41 << 20)
        stream.write(b"\xa5" * (128 << 20))
    with pytest.raises(IntegrityError) as caught, open_image(image, writable=True, purpose="test"):
        pass
    assert caught.value.on == str(image)
    assert _leftovers(image) == []


def test_a_truncated_qcow2(tmp_path: Path) -> None:
    need("qemu-img", "qemu-storage-daemon")
    run(["qemu-img", "create", "-q", "-f", "qcow2", tmp_path / "cut.qcow2", "64M"])
    with open(tmp_path / "cut.qcow2", "r+b") as stream:
        stream.truncate(100)
    with pytest.raises(RastosError), open_image(tmp_path / "cut.qcow2", writable=True, purpose="test"):
        pass
