"""Proof before promotion: a candidate is deployed in a throw-away overlay, booted and checked, before it is deployed for good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import run, safe_join, working_directory, write_atomic
from rastos.progress import Progress
from rastos.snapshot import Store, deploy, mark_bad, plan_deploy

from ..open import image_format, image_lock, open_image
from .checks import BOOT_SECONDS, TestReport, test_image


def prove_deployment(
    image: Path,
    snapshot: int,
    planned: Mapping[str, Any],
    *,
    cache: Path,
    progress: Progress,
    timeout: float = BOOT_SECONDS,
) -> TestReport:
    """Boot what a deploy of this snapshot would make, by UEFI; `planned` are options of `plan_deploy`. Nothing is deployed.
    `timeout`: seconds for the boot, and for its services.

    Raises IntegrityError naming what failed; the snapshot is marked bad then, and the console log it names is kept.
    """
    with (
        image_lock(image.absolute(), "proving a deployment", shared=True),
        working_directory(cache / "vm", "proof") as place,
        progress.step(f"Prove snapshot {snapshot} in a virtual machine, on a throw-away overlay") as step,
    ):
        overlay = place / f"{image.stem}-candidate.qcow2"
        kind = image_format(image)
        argv: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image.absolute()]
        run([*argv, overlay], what="make a throw-away overlay")
        with open_image(overlay, writable=True, purpose="prove a deployment") as opened:
            store = Store.open(opened.top, opened.esp, writable=True)
            candidate = deploy(store, plan_deploy(store, snapshot, **planned), progress)
            _stays_up(store.deployment_path(candidate.number) / "etc")
        report = test_image(
            overlay,
            cache=cache,
            progress=progress,
            ways=("uefi",),
            expected_deployment=candidate.number,
            timeout=timeout,
            reboot=False,
        )
        step.outcome = "it came up" if report.passed else "it did not come up well"
    failed = [check for check in report.checks if not check.passed]
    if failed or not report.passed:
        first = failed[0] if failed else None
        why = first.name if first else "nothing could be checked"
        with open_image(image, writable=True, purpose="note that a snapshot failed its proof") as opened:
            store = Store.open(opened.top, opened.esp, writable=True)
            mark_bad(store, store.snapshot(snapshot), candidate.number, f"failed its proof: {why}")
        raise IntegrityError(
            f"snapshot {snapshot} did not prove itself: {why}",
            on=report.logs[0] if report.logs else image,
            next_step="it was not deployed; correct the snapshot, give it longer (--timeout), or deploy without --prove",
            detail=first.detail if first else "",
        )
    return report


def _stays_up(etc: Path) -> None:
    """In the overlay only: a candidate that fails its checks stays up, so that it can be asked what failed."""
    settings = safe_join(etc, "rastos/health.conf")
    known = settings.read_bytes() if settings.is_file() and not settings.is_symlink() else b""
    write_atomic(settings, known + b"\nON_FAILURE=stay\n")
