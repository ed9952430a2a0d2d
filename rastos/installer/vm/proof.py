"""Proof before promotion: a candidate is deployed in a throw-away overlay, booted and checked, before it is deployed for good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError
from rastos.host import run, working_directory
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

    Raises IntegrityError naming what failed; the snapshot is marked bad then, and the console log it names is kept.
    """
    with (
        image_lock(image.absolute(), "proving a deployment", shared=True),
        working_directory(cache / "vm", "proof") as place,
    ):
        overlay = place / f"{image.stem}-candidate.qcow2"
        kind = image_format(image)
        argv: list[str | Path] = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", kind, "-b", image.absolute()]
        run([*argv, overlay], what="make a throw-away overlay")
        with open_image(overlay, writable=True, purpose="prove a deployment") as opened:
            store = Store.open(opened.top, opened.esp, writable=True)
            candidate = deploy(store, plan_deploy(store, snapshot, **planned), progress)
        report = test_image(overlay, cache=cache, progress=progress, ways=("uefi",), timeout=timeout)
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
            next_step="it was not deployed; correct the snapshot, or deploy without --prove",
            detail=first.detail if first else "",
        )
    return report
