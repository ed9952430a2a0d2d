"""What is said of a candidate that did not prove itself, and what is noted of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rastos.errors import IntegrityError
from rastos.installer.vm import Check, TestReport, proof, prove_deployment
from rastos.progress import Progress


class _Store:
    @staticmethod
    def open(*_: object, **__: object) -> Any:
        return SimpleNamespace(snapshot=lambda number: f"snapshot {number}", deployment_path=lambda _: Path())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """No image and no machine: `report` is what the checks found; what was asked and noted is kept."""
    seen: dict[str, Any] = {"bad": [], "opened": []}

    @contextmanager
    def opened(path: Path, **_: object) -> Iterator[Any]:
        seen["opened"].append(path.name)
        yield SimpleNamespace(top=None, esp=None)

    @contextmanager
    def nothing(*_: object, **__: object) -> Iterator[None]:
        yield

    def checked(image: Path, **asked: object) -> TestReport:
        seen["asked"] = asked
        return TestReport(image, seen["checks"], (), (tmp_path / "console.log",))

    for name, value in {
        "image_lock": nothing,
        "image_format": lambda _: "qcow2",
        "run": lambda *_, **__: None,
        "open_image": opened,
        "Store": _Store,
        "plan_deploy": lambda *_, **__: None,
        "deploy": lambda *_: SimpleNamespace(number=7),
        "_stays_up": lambda _: None,
        "test_image": checked,
        "mark_bad": lambda *words: seen["bad"].append(words[1:]),
    }.items():
        monkeypatch.setattr(proof, name, value)
    return seen


def _prove(tmp_path: Path) -> TestReport:
    return prove_deployment(tmp_path / "a.qcow2", 4, {}, cache=tmp_path, progress=Progress(), timeout=9.0)


def test_the_refusal_names_check_log_and_what_to_do(world: dict[str, Any], tmp_path: Path) -> None:
    world["checks"] = (
        Check("boots", "uefi", True, "", 1.0),
        Check("deployment is known", "uefi", False, "deployment 6 runs, not 7: the boot loader fell back to it", 1.0),
        Check("powers off cleanly", "uefi", False, "", 1.0),
    )
    with pytest.raises(IntegrityError) as caught:
        _prove(tmp_path)
    error = caught.value
    assert str(error).startswith("snapshot 4 did not prove itself: deployment is known (")
    assert error.on == str(tmp_path / "console.log") and "fell back" in error.detail
    assert "it was not deployed" in error.next_step and "--timeout" in error.next_step
    assert world["bad"] == [("snapshot 4", 7, "failed its proof: deployment is known")]
    assert world["opened"] == ["a-candidate.qcow2", "a.qcow2"], "deployed in the overlay, noted in the image"
    assert (world["asked"]["expected_deployment"], world["asked"]["reboot"]) == (7, False)
    assert (world["asked"]["ways"], world["asked"]["timeout"]) == (("uefi",), 9.0)


def test_no_check_at_all_is_no_proof(world: dict[str, Any], tmp_path: Path) -> None:
    world["checks"] = ()
    with pytest.raises(IntegrityError, match="nothing could be checked"):
        _prove(tmp_path)
    assert len(world["bad"]) == 1


def test_what_comes_up_is_neither_refused_nor_marked(world: dict[str, Any], tmp_path: Path) -> None:
    world["checks"] = (Check("boots", "uefi", True, "", 1.0),)
    assert _prove(tmp_path).passed
    assert world["bad"] == [] and world["opened"] == ["a-candidate.qcow2"]
