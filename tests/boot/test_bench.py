"""`rastos kernel bench`: a guest is measured, the result kept and compared; one that doesn't come up is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rastos.installer.bench import FIGURES
from tests.boot.conftest import Rastos, environment


def leftovers() -> set[Path]:
    cache = Path(environment()["RASTOS_CACHE"])
    return {path for place in ("bench", "vm") for path in (cache / place).glob(".*.work")}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of tests aren't kept with others."""
    monkeypatch.setenv("RASTOS_STATE", str(tmp_path))
    return tmp_path


@pytest.mark.long
def test_a_kernel_is_measured_kept_and_compared(rastos: Rastos, ci_image: Path, state: Path) -> None:
    before = leftovers()
    words = ("kernel", "bench", ci_image, "--runs", "1", "--json")
    first: dict[str, Any] = json.loads(rastos(*words))
    (kernel,) = first["kernels"]
    assert kernel["release"].endswith("-rastos-ci") and kernel["package"] == "linux-rastos-ci"
    assert [item["name"] for item in kernel["figures"]] == list(FIGURES)
    figures = {item["name"]: item for item in kernel["figures"]}
    assert 0 < figures["boot to init"]["values"][0] < figures["boot to login"]["values"][0]
    assert 10 < figures["memory after boot"]["values"][0] < 1024
    assert all(item["n"] >= 5 for name, item in figures.items() if name in ("fork", "system call", "file read"))
    kept = state / "bench/kernel.jsonl"
    assert json.loads(kept.read_text())["kernels"][0]["sha256"] == kernel["sha256"]
    assert leftovers() <= before
    seen = rastos("kernel", "bench", "--history")
    assert kernel["release"] in seen


def test_a_guest_that_does_not_come_up_is_a_failure(rastos: Rastos, ci_image: Path, state: Path) -> None:
    before = leftovers()
    said = rastos("kernel", "bench", ci_image, "--runs", "1", "--timeout", "1", status=1)
    assert "login:" in said and "failed" in said and "not within 1 s" in said
    assert not (state / "bench/kernel.jsonl").exists()
    assert leftovers() <= before


def test_what_cannot_be_compared_or_measured_is_refused_at_once(rastos: Rastos, state: Path) -> None:
    assert "no built kernel and no image" in rastos("kernel", "bench", "nothing", status=1)
    said = rastos("kernel", "bench", "ci", "--compare", "last", "--dry-run", status=1)
    assert "no result of ci" in said
