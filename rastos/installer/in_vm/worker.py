"""Inside the machine: takes the plan from the port, makes the image as guest root, and says how it goes.

The plan comes as a pickle, from the process that started the machine and holds all its files: whoever can write there is
the user himself. What goes back is JSON.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rastos.errors import HostError, RastosError
from rastos.host import copy_extents, data_extents
from rastos.progress import Progress

from .messages import error_line, event_line, result_line

if TYPE_CHECKING:
    from rastos.package import Channel

    from ..image import ImagePlan

HANDOVER = Path("/run/handover")  # init.sh mounts it
STANDING = 60.0  # seconds between two reports of where it stands
LENGTH = 8  # bytes that say how long the work's description is


@dataclass(frozen=True, slots=True)
class Work:
    """What the machine is to do: the plan with its output below the handover folder, and what belongs to it."""

    plan: ImagePlan
    channels: Sequence[Channel]
    cache: Path
    passphrase: bytes | None = None


def main() -> int:
    """Do the work of the port; the exit status."""
    from ..image import create_image

    # where it stands, for the words of an error that says the machine took too long
    faulthandler.dump_traceback_later(STANDING, repeat=True, file=open("/dev/console", "wb", buffering=0))
    port = os.open(_port(), os.O_RDWR | os.O_CLOEXEC)
    lock = threading.Lock()

    def say(line: bytes) -> None:
        with lock:
            while line:
                line = line[os.write(port, line) :]

    try:
        work: Work = pickle.loads(_exactly(port, int.from_bytes(_exactly(port, LENGTH), "little")))
        place = work.cache / "images" / ".to-hand-over"
        place.mkdir(parents=True)
        plan = replace(work.plan, output=place / work.plan.output.name)
        progress = Progress(lambda event: say(event_line(event)))
        image = create_image(plan, work.channels, cache=work.cache, progress=progress, passphrase=work.passphrase)
        names = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
        with progress.step("Hand the image over"):
            for name in names:
                _copy(place / name, HANDOVER / name)
        result: dict[str, Any] = {"files": names, "seconds": [list(lap) for lap in image.seconds]}
        say(result_line(result))
    except RastosError as error:
        say(error_line(error))
    except Exception as error:
        detail = traceback.format_exc()
        say(
            error_line(
                HostError(f"{type(error).__name__} in the virtual machine: {error}", next_step=_REPORT, detail=detail)
            )
        )
    return 0


_REPORT = "run it again with --debug; if it fails only there, run it as root"


def _copy(source: Path, target: Path) -> None:
    """Copy what isn't a hole, by plain writes: sendfile(2) to 9p without a cache was seen to hang (6.12)."""
    with open(target, "xb") as stream:
        os.truncate(stream.fileno(), source.stat().st_size)
    copy_extents(source, target, data_extents(source))


def _port() -> str:
    """The device of the only port there is (Documentation/ABI/testing/sysfs-devices: virtio-ports)."""
    return f"/dev/{min(os.listdir('/sys/class/virtio-ports'))}"


def _exactly(port: int, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        piece = os.read(port, min(count - len(found), 1 << 16))
        if not piece:
            raise EOFError("the host closed the port")
        found += piece
    return bytes(found)


if __name__ == "__main__":
    sys.exit(main())
