"""`rastos kernel config …` as it is typed, on a small kernel: what is said, what is written, which status."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest

from rastos.cli import app
from tests.conftest import ROOT
from tests.unit.kernel.small_kernel import project

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a project of its own."""
    folder = project(tmp_path / "project")
    monkeypatch.chdir(folder)
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"RASTOS_{name}", str(tmp_path / name.lower()))
    monkeypatch.delenv("RASTOS_PROFILES", raising=False)
    return folder


def said(capsys: Capture, *words: str, status: int = 0) -> str:
    assert app.run(["kernel", *words]) == status, capsys.readouterr()
    return capsys.readouterr().out


def test_show(place: Path, capsys: Capture) -> None:
    words = ("config", "show", "--profile", "small", "--source", "old")
    text = said(capsys, *words)
    assert "10-one.config:3 (small)" in text and "in place of y (10-one.config:2)" in text
    text = said(capsys, *words, "BUS_HOST", "SUMS")
    assert "nobody asked for it: allnoconfig turns off" in text and "Drives the bus." in text
    assert "Buses → Bus" in text and "NET (is n)" in text
    (option,) = json.loads(said(capsys, *words, "--json", "--config", "more", "CONFIG_MODULES"))
    assert option["value"] == "y" and option["asked"]["request"]["fragment"] == "82-more.config"
    facts = json.loads(said(capsys, *words, "--json", "--set", "BUS=n"))
    assert [item["value"] for item in facts["options"]] == ["n", "n"] and facts["version"] == "6.12.9"
    assert app.run([*("kernel", *words), "BUS_HOTS"]) == 1
    assert "did you mean BUS_HOST" in capsys.readouterr().err


def test_diff(place: Path, capsys: Capture) -> None:
    text = said(capsys, "config", "diff", "small@old", "small@new")
    assert "profile small (6.12.9) → profile small (6.18.1)" in text
    assert "− BUS: on → no such option  (Bus)" in text and "2 options differ: 1 off, 1 other value" in text
    facts = json.loads(said(capsys, "diff", "small@old", "small@new", "--json"))
    assert facts["counts"]["off"] == 1 and facts["differences"][0]["symbol"] == "BUS"
    assert app.run(["kernel", "config", "diff", "smal@old", "small@new"]) == 1


def test_port(place: Path, capsys: Capture) -> None:
    words = ("config", "port", "--profile", "small", "--from", "old", "--source", "new")
    text = said(capsys, *words, status=1)
    assert "1 of 2 requests are fulfilled, 1 gone, 0 dropped; 1 of these lost" in text
    assert "perhaps CONFIG_TRAIN: same prompt (Bus)" in text
    with (place / "profiles/kernel/small.toml").open("a") as file:
        file.write('[[may-drop]]\nsymbol = "BUS"\nreason = "gone since 6.18"\n')
    facts = json.loads(said(capsys, *words, "--json"))
    assert facts["lost"] == 0 and facts["report"]["gone"][0]["accepted"] == "gone since 6.18"


def test_check_configures_a_profile_that_is_not_built(place: Path, capsys: Capture) -> None:
    text = said(capsys, "check", "small", "--source", "old", "--for", "boot", status=1)
    assert text.startswith("profile small (Linux 6.12.9)") and "CONFIG_EFI_STUB is unset" in text


def on_a_terminal(place: Path, *words: str) -> tuple[int, str]:
    """Run rastos on a terminal of its own; its status and what it wrote."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(place)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-m", "rastos", "kernel", *words])
    text = b""
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:  # EIO: the other end is closed
            break
        if not block:
            break
        text += block
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text.decode()


def test_edit_on_a_terminal(place: Path) -> None:
    fragment = place / "profiles/kernel/fragments/small-local.config"
    words = ("config", "--profile", "small", "--source", "old", "--with", "nconfig")
    status, text = on_a_terminal(place, *words, "--dry-run")
    assert status == 0 and "menu nconfig" in text and "not saved" in text and not fragment.exists()
    status, text = on_a_terminal(place, "config", "edit", *words[1:-2])
    assert status == 0 and "menu menuconfig" in text
    assert "build it: rastos kernel build --profile small --config small-local" in text
    assert fragment.read_text().splitlines()[-1] == "CONFIG_NET=y"
    status, text = on_a_terminal(place, *words)
    assert status == 0 and "nothing was changed" in text


def test_edit_needs_a_terminal_and_a_profile(place: Path, capsys: Capture) -> None:
    assert app.run(["kernel", "config", "edit", "--profile", "small"]) == 1
    assert "needs a terminal" in capsys.readouterr().err
    assert app.run(["kernel", "config", "edit"]) == 2
    assert app.run(["kernel", "config", "--profile", "small", "show"]) == 2
    assert "Commands:" in said(capsys, "config")
