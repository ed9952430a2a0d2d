"""A TPM 2.0 of one machine alone: swtpm(8) beside QEMU. It ends with each QEMU, what it holds lasts as long as the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host import spawn

SECONDS = 10.0


@contextmanager
def emulated_tpm(control: Path, folder: Path) -> Iterator[None]:
    """Run one that listens on `control` and keeps its state in `folder`. ExternalError: it did not start."""
    state, log = folder / "tpm", folder / "swtpm.log"
    state.mkdir(exist_ok=True)
    control.unlink(missing_ok=True)
    argv: list[str | Path] = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "startup-clear"]
    argv += ["--ctrl", f"type=unixio,path={control}", "--terminate"]
    with log.open("wb") as words, spawn(argv, stdout=words, stderr=words, death_signal=9) as process:
        deadline = time.monotonic() + SECONDS
        while not control.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(errors="replace").strip()
                raise ExternalError("the TPM emulator did not start", status=process.poll(), tail=text)
            time.sleep(0.02)
        yield
