"""Whether KVM runs guests: the probe's guest must work where guests run, and its verdict come in seconds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rastos.installer.vm import accelerator, probe_accelerator
from tests.conftest import need


def test_the_guest_of_the_probe_speaks_where_guests_run(tmp_path: Path) -> None:
    need("qemu-system-x86_64")
    found = accelerator._probe(tmp_path, accel="tcg", cpu="max")
    assert found.verdict == "TCG runs guests", found.reason
    assert not list(tmp_path.iterdir())


def test_a_guest_that_says_nothing_is_no_accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("qemu-system-x86_64")
    hang = bytes.fromhex("faebfe").ljust(510, b"\0") + b"\x55\xaa"  # cli; jmp $
    monkeypatch.setattr(accelerator, "SECTOR", hang)
    began = time.monotonic()
    found = accelerator._probe(tmp_path, accel="tcg", cpu="max")
    assert time.monotonic() - began < 6 + 2
    assert (found.name, found.cpu) == ("tcg", accelerator.TCG_CPU)
    assert "did not answer in 4 s" in found.reason


def test_the_verdict_is_remembered_for_this_boot_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("qemu-system-x86_64")
    first = probe_accelerator(tmp_path)
    probes: list[Path] = []

    def probe(cache: Path) -> accelerator.Accelerator:
        probes.append(cache)
        return first

    monkeypatch.setattr(accelerator, "_probe", probe)
    assert probe_accelerator(tmp_path) == first
    assert not probes
    memory = tmp_path / "accelerator.json"
    for damage in ('{"boot": ', "[]", "{}", json.dumps({**json.loads(memory.read_text()), "boot": "another"})):
        memory.write_text(damage)
        probes.clear()
        assert probe_accelerator(tmp_path) == first
        assert len(probes) == 1, damage
