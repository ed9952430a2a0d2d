"""Rules held against configurations, command lines and images."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.kernel.checks import (
    COMMAND_LINE,
    CONTAINERS,
    HARDENING,
    Rule,
    boot_needs,
    check_command_line,
    check_config,
    from_file,
    from_package,
)
from tests.conftest import ROOT


def found(rule: Rule, config: dict[str, str], version: str = "6.12") -> list[tuple[str, str, str]]:
    return [(item.subject, item.got, item.fix) for item in check_config("x", [rule], config, version).findings]


def test_values_that_will_do() -> None:
    one = Rule(("A",), "set", "why")
    assert found(one, {"A": "y"}) == found(one, {"A": "m"}) == []
    assert found(one, {}) == [("CONFIG_A", "unset", "CONFIG_A=y")]
    assert found(Rule(("A",), "y", "why"), {"A": "m"}) == [("CONFIG_A", "m", "CONFIG_A=y")]
    assert found(Rule(("A",), "unset", "why"), {"A": "y"}) == [("CONFIG_A", "y", "# CONFIG_A is not set")]
    assert found(Rule(("N",), ">=32", "why"), {"N": "28"}) == [("CONFIG_N", "28", "CONFIG_N=32")]
    assert found(Rule(("N",), ">=32", "why"), {"N": "33"}) == []
    either = Rule(("A", "B"), "set", "why")
    assert found(either, {"B": "y"}) == []
    assert found(either, {})[0][0] == "CONFIG_A or CONFIG_B"


def test_rules_for_other_kernels_and_moot_ones_are_left_out() -> None:
    young = Rule(("A",), "set", "why", since=(6, 17))
    assert check_config("x", [young], {}, "6.12.1").rules == 0
    assert check_config("x", [young], {}, "7.0-rc1").rules == 1
    assert check_config("x", [young], {}, "").rules == 1, "of unknown version everything is asked"
    assert check_config("x", [Rule(("A",), "set", "why", until=(6, 1))], {}, "6.12").rules == 0
    assert check_config("x", [Rule(("A",), "set", "why", unless=("B",))], {"B": "y"}).rules == 0


def test_the_lists_are_sound() -> None:
    for rules in (CONTAINERS, HARDENING):
        assert len(rules) > 50
        names = [name for rule in rules for name in rule.symbols]
        assert all(name.replace("_", "").isalnum() and name.isupper() for name in names)
        assert all(rule.reason and rule.severity in ("error", "warning", "note") for rule in rules)
    assert check_config("c", CONTAINERS, {}).errors == sum(rule.severity == "error" for rule in CONTAINERS)


def test_our_container_fragments_ask_for_all_that_containers_need() -> None:
    """The shipped profile against the shipped list, without building: every needed symbol is named in a fragment."""
    text = "".join(path.read_text() for path in (ROOT / "profiles/kernel/fragments").glob("[0-9]*.config"))
    asked = {line.removeprefix("CONFIG_").partition("=")[0] for line in text.splitlines() if line.startswith("CONFIG_")}
    config = dict.fromkeys(asked, "y")
    selected = {"CGROUP_SCHED", "NF_NAT", "NAMESPACES", "KEYS"}  # by others, or by default
    missing = [item.subject for item in check_config("c", CONTAINERS, config).findings if item.severity == "error"]
    assert not [name for name in missing if name.removeprefix("CONFIG_") not in selected]


def test_what_an_image_needs() -> None:
    plain = {
        rule.symbols[0]: rule.wanted for rule in boot_needs(command_line="quiet console=ttyS0,115200 console=hvc0")
    }
    assert plain["VIRTIO_BLK"] == plain["BTRFS_FS"] == plain["SERIAL_8250_CONSOLE"] == plain["VIRTIO_CONSOLE"] == "y"
    assert plain["EFI_STUB"] == "y" and "BLK_DEV_NVME" not in plain
    modular = {rule.symbols[0]: rule.wanted for rule in boot_needs(buses=["nvme", "sata"], uefi=False, initramfs=True)}
    assert modular["BLK_DEV_NVME"] == modular["SATA_AHCI"] == modular["BTRFS_FS"] == "set"
    assert modular["BLK_DEV_INITRD"] == "y" and "EFI_STUB" not in modular
    (finding,) = check_config(
        "boot", [r for r in boot_needs() if r.symbols == ("BTRFS_FS",)], {"BTRFS_FS": "m"}
    ).findings
    assert "there is no initramfs" in finding.reason


def test_command_lines() -> None:
    report = check_command_line("c", COMMAND_LINE, "quiet slab-nomerge vsyscall=emulate randomize_kstack_offset=on")
    assert {item.subject: item.got for item in report.findings} == {
        "page_alloc.shuffle": "not given",
        "vsyscall": "emulate",
    }


CONFIG = "#\n# Linux/x86 6.12.9 Kernel Configuration\n#\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_N=3\n"


def test_where_configurations_are(tmp_path: Path) -> None:
    plain = tmp_path / "config"
    plain.write_text(CONFIG)
    assert (from_file(plain).version, from_file(plain).values) == ("6.12.9", {"A": "y", "N": "3"})
    packed = tmp_path / "config.gz"
    packed.write_bytes(gzip.compress(CONFIG.encode()))
    assert from_file(packed).values == {"A": "y", "N": "3"}
    packed.write_bytes(gzip.compress(CONFIG.encode())[:-9])
    with pytest.raises(IntegrityError):
        from_file(packed)
    for content in ("", "hello\n", "\0\0"):
        plain.write_text(content)
        with pytest.raises(UserError, match="no kernel configuration"):
            from_file(plain)
    with pytest.raises(UserError, match="cannot read"):
        from_file(tmp_path / "none")


def test_the_configuration_in_a_package(tmp_path: Path) -> None:
    package = tmp_path / "linux-1-1-any.pkg.tar.gz"
    for name, fine in (("usr/lib/modules/6.12/config", True), ("usr/lib/other/config", False)):
        with tarfile.open(package, "w:gz") as archive:
            entry = tarfile.TarInfo(name)
            entry.size = len(CONFIG)
            archive.addfile(entry, io.BytesIO(CONFIG.encode()))
        if fine:
            assert from_package(package).values == {"A": "y", "N": "3"}
        else:
            with pytest.raises(IntegrityError, match="no kernel configuration"):
                from_package(package)


def test_the_commands(tmp_path: Path) -> None:
    names = {name: "y" for rule in CONTAINERS for name in rule.symbols}
    good, bad = tmp_path / "good.config", tmp_path / "bad.config"
    good.write_text("".join(f"CONFIG_{name}=y\n" for name in names))
    bad.write_text("".join(f"CONFIG_{name}=y\n" for name in names if name not in ("OVERLAY_FS", "CGROUP_PIDS")))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RASTOS_STATE": str(tmp_path), "RASTOS_CACHE": str(tmp_path)}

    def rastos(*words: str | Path, status: int = 0) -> str:
        argv = [sys.executable, "-m", "rastos", "kernel", *map(str, words)]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "64 of 64 hold" in rastos("check", good, "--for", "containers")
    said = rastos("check", bad, "--for", "containers", status=1)
    assert "CONFIG_OVERLAY_FS is unset" in said and "1 error, 1 warning" in said
    report = json.loads(rastos("check", bad, "--for", "containers", "--json", status=1))
    assert [item["subject"] for item in report["reports"][0]["findings"]] == ["CONFIG_OVERLAY_FS", "CONFIG_CGROUP_PIDS"]
    assert "+ CONFIG_OVERLAY_FS: unset → y" in rastos("diff", bad, good)
    assert "no difference" in rastos("diff", good, good)
    assert "is no built kernel" in rastos("check", "nothing", status=1)
