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
from typing import Any

import pytest

from rastos.errors import ExternalError, IntegrityError, UserError
from rastos.kernel import Meant
from rastos.kernel.checks import (
    BUSES,
    CONTAINERS,
    HARDENING,
    BootFacts,
    Facts,
    Finding,
    Rule,
    boot_needs,
    from_file,
    from_package,
    hold,
    of_running,
    parse,
    public_verdict,
    running_facts,
)
from tests.conftest import ROOT


def rule(text: str, **more: Any) -> Rule:
    return Rule(parse(text), "why", **more)


def found(text: str, config: dict[str, str] | None = None, **facts: Any) -> list[Finding]:
    return list(hold("x", [rule(text)], Facts(config or {}, facts.pop("version", "6.12.9"), **facts)).findings)


@pytest.mark.parametrize(
    ("text", "good", "bad", "fix"),
    [
        ("A", {"A": "m"}, {}, "CONFIG_A=y"),
        ("A=y", {"A": "y"}, {"A": "m"}, "CONFIG_A=y"),
        ("A=n", {"A": "n"}, {"A": "m"}, "# CONFIG_A is not set"),
        ("A=n", {"A": '""'}, {"A": '"x"'}, "# CONFIG_A is not set"),
        ("A=0x0", {"A": "0x0"}, {"A": "0x1"}, "CONFIG_A=0x0"),
        ("A>=32", {"A": "33"}, {"A": "28"}, "CONFIG_A=32"),
        ("A=max", {"A": "33", "A_MAX": "33"}, {"A": "32", "A_MAX": "33"}, "CONFIG_A=32"),
        ("A=max", {"A": "32"}, {"A": "28"}, "CONFIG_A=32"),
        ("A | B=y", {"B": "y"}, {"B": "m"}, "CONFIG_A=y"),
        ("A & B=n", {"A": "y"}, {"A": "y", "B": "y"}, "# CONFIG_B is not set"),
        ("A | B & C", {"B": "y", "C": "y"}, {"B": "y"}, "CONFIG_A=y"),
    ],
)
def test_values_that_will_do(text: str, good: dict[str, str], bad: dict[str, str], fix: str) -> None:
    assert not found(text, good)
    (finding,) = found(text, bad)
    assert (finding.subject, finding.fix) == ("CONFIG_A", fix)


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("cmdline:slab_nomerge", "quiet slab-nomerge", "quiet"),
        ("cmdline:x=1", "x=0 x=on", "x=1 x=0"),
        ("cmdline:x=0", "x=N", "x"),
        ("cmdline:x=-", "y", "x"),
        ("cmdline:x!=off", "x=auto", "x=off"),
        ("cmdline:x!=off", "x=auto", ""),
        ("cmdline:mitigations=auto,nosmt", "mitigations=auto,nosmt", "mitigations=auto"),
        ("cmdline:vdso32=1", "vdso32=1", "vdso32=on"),
        ("cmdline:x=1 | X=y & cmdline:x=-", "y", "x=0"),
    ],
)
def test_command_lines(text: str, good: str, bad: str) -> None:
    assert not found(text, {"X": "y"}, command_line=good)
    assert found(text, {"X": "y"}, command_line=bad)
    assert hold("x", [rule(text)], Facts({"X": "y"})).rules == 0, "without a command line nothing is said of it"


def test_versions_and_running_systems() -> None:
    assert not found("A | linux>=6.6.8", version="6.6.8") and found("A | linux>=6.6.8", version="6.6.7-rc1")
    assert not found("sysctl:a.b=2", sysctls={"a.b": "2"}) and found("sysctl:a.b=2", sysctls={})
    assert not found("sysctl:a.b>10", sysctls={"a.b": "11"}) and found("sysctl:a.b>10", sysctls={"a.b": "10"})
    assert not found("cgroup:io", controllers=frozenset({"io"})) and found("cgroup:io", controllers=frozenset())
    with pytest.raises(ValueError, match="no term"):
        parse("A = y")


def test_rules_for_other_kernels_are_left_out() -> None:
    young, old = rule("A", since=(6, 17)), rule("A", until=(6, 1))
    assert [hold("x", [young], Facts({}, text)).rules for text in ("6.12.1", "6.17", "7.0-rc1", "")] == [0, 1, 1, 1]
    assert [hold("x", [old], Facts({}, text)).rules for text in ("6.0.9", "6.1", "6.12")] == [1, 0, 0]


def test_a_finding_names_what_the_recommendation_depends_on() -> None:
    (finding,) = found("A=n & B & C", {"B": "y"})
    assert (finding.subject, finding.got, finding.fix) == ("CONFIG_A", "unset, CONFIG_C unset", "CONFIG_C=y")
    (finding,) = found("A | B | C & D=n")
    assert finding.otherwise == ("CONFIG_B=y", "CONFIG_C=y, # CONFIG_D is not set")


def test_exceptions_are_counted_apart_and_said_when_they_are_for_nothing() -> None:
    rules = [rule("A"), rule("B"), rule("cmdline:c")]
    meant = [Meant("x", "CONFIG_A", "so"), Meant("x", "B", "gone"), Meant("x", "c", "no line"), Meant("y", "A", "no")]
    report = hold("x", rules, Facts({"B": "y"}), meant)
    assert [(item.subject, item.meant) for item in report.findings] == [("CONFIG_A", "so")]
    assert (report.rules, report.missing, report.errors, report.unused) == (2, (), 0, ("B",))
    assert hold("x", rules, Facts({"B": "y"})).errors == 1


def test_the_lists_are_sound() -> None:
    for rules, least in ((CONTAINERS, 100), (HARDENING, 280)):
        assert len(rules) >= least
        terms = [term for item in rules for part in item.wanted for term in part]
        assert all(term.name.isupper() for term in terms if term.kind == "config")
        assert all(item.reason and item.source and item.group for item in rules)
        said = [(item.subject.subject, item.wanted) for item in rules]
        assert len(set(said)) == len(said) or rules is CONTAINERS, "nothing is asked twice"
    sources = {item.source for item in HARDENING}
    assert sources == {"defconfig", "kspp", "grsec", "clipos", "lockdown", "maintainer", "a13xp0p0v"}
    assert hold("c", CONTAINERS, Facts({}, "6.12")).errors == 34


def test_our_container_fragments_ask_for_all_that_containers_need() -> None:
    """The shipped profile against the shipped list, without building: every needed symbol is named in a fragment."""
    text = "".join(path.read_text() for path in (ROOT / "profiles/kernel/fragments").glob("[0-5]*.config"))
    asked = {line.removeprefix("CONFIG_").partition("=")[0] for line in text.splitlines() if line.startswith("CONFIG_")}
    selected = {"CGROUP_SCHED", "NF_NAT", "NAMESPACES", "KEYS"}  # by others, or by default
    report = hold("c", CONTAINERS, Facts(dict.fromkeys(asked | selected, "y"), "6.12"))
    assert not [item.subject for item in report.findings if item.severity == "error"]


def test_what_an_image_needs() -> None:
    def wanted(facts: BootFacts) -> dict[str, str]:
        return {item.subject.name: item.subject.value for item in boot_needs(facts)}

    plain = wanted(BootFacts(command_line="quiet console=ttyS0,115200 console=hvc0"))
    assert plain["VIRTIO_BLK"] == plain["BTRFS_FS"] == plain["SERIAL_8250_CONSOLE"] == plain["VIRTIO_CONSOLE"] == "y"
    assert plain["EFI_STUB"] == "y" and "BLK_DEV_NVME" not in plain and "AUTOFS_FS" in plain
    held = frozenset({"nvme", "ahci", "libata", "scsi_mod", "btrfs"})
    modular = wanted(BootFacts(buses=("nvme", "sata"), esp=False, modules=held))
    assert modular["BLK_DEV_NVME"] == modular["SATA_AHCI"] == modular["SCSI"] == modular["BTRFS_FS"] == ""
    assert modular["BLK_DEV_SD"] == "y", "a module that the initramfs lacks comes too late"
    assert modular["BLK_DEV_INITRD"] == "y" and "EFI_STUB" not in modular
    assert all(boot_needs(BootFacts(buses=(bus,))) for bus in BUSES)
    (late,) = [
        item for item in hold("b", boot_needs(BootFacts()), Facts({"BTRFS_FS": "m"})).findings if "BTRFS" in item.fix
    ]
    assert "there is no initramfs" in late.reason


def test_an_initramfs_made_for_the_image_holds_whatever_it_needs() -> None:
    from rastos.cli.kernel.check import _WHATEVER_IT_NEEDS

    modular = {"VIRTIO": "m", "VIRTIO_PCI": "m", "VIRTIO_BLK": "m", "BTRFS_FS": "m", "PCI": "y", "EFI_PARTITION": "y"}
    found = hold("b", boot_needs(BootFacts(modules=_WHATEVER_IT_NEEDS)), Facts(modular)).findings
    assert not [item for item in found if item.subject.removeprefix("CONFIG_") in modular]


def test_what_the_running_system_says(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel").mkdir(parents=True)
    (tmp_path / "sys/kernel/kptr_restrict").write_text("2\n")
    (tmp_path / "cmdline").write_text("quiet nosmt\n")
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    origin = from_file(_config(tmp_path))
    facts = running_facts(origin, (*HARDENING, *CONTAINERS), proc=tmp_path, cgroup=tmp_path)
    assert facts.command_line == "quiet nosmt" and facts.sysctls == {"kernel.kptr_restrict": "2"}
    assert facts.controllers == {"cpu", "memory"}
    missing = {item.subject for item in hold("c", CONTAINERS, facts).findings}
    assert {"pids", "kernel.keys.root_maxkeys"} <= missing and "cpu" not in missing
    assert running_facts(origin, (), proc=tmp_path, cgroup=tmp_path / "none").controllers is None


def test_the_running_kernel_where_it_tells() -> None:
    if not Path("/proc/config.gz").is_file():
        pytest.skip("this kernel has no /proc/config.gz")
    assert len(of_running().values) > 300


PUBLIC = """#!/bin/sh
grep -q '^# Linux/x86_64 6.12.9 Kernel' "$4" || exit 3
test "$(cat "$6")" = "quiet" || exit 4
echo '[{"option_name": "CONFIG_A", "check_result_bool": false}, {"option_name": "CONFIG_B", "check_result_bool": true}]'
"""


def test_the_public_checker_beside_ours(tmp_path: Path) -> None:
    report = hold("x", [rule("B")], Facts({}))
    program = tmp_path / "kernel-hardening-checker"
    program.write_text(PUBLIC)
    program.chmod(0o755)
    verdict = public_verdict(program, {"N": "3"}, "6.12.9", "quiet", report, tmp_path)
    assert (verdict.checked, verdict.failed) == (2, ("CONFIG_A",))
    assert (verdict.only_there, verdict.only_here) == (("CONFIG_A",), ("CONFIG_B",))
    program.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(ExternalError, match="unknown"):
        public_verdict(program, {}, "6.12.9", None, report, tmp_path)


def _config(folder: Path) -> Path:
    path = folder / "kernel.config"
    path.write_text(CONFIG)
    return path


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
    names = {term.name for item in CONTAINERS for part in item.wanted for term in part if term.kind == "config"}
    names -= {"LEGACY_VSYSCALL_NATIVE", "LEGACY_VSYSCALL_NONE"}
    good, bad = tmp_path / "good.config", tmp_path / "bad.config"
    head = "# Linux/x86 6.12.9 Kernel Configuration\n"
    good.write_text(head + "".join(f"CONFIG_{name}=y\n" for name in names))
    bad.write_text(head + "".join(f"CONFIG_{name}=y\n" for name in names if name not in ("VETH", "PSI", "EXT4_FS")))
    profile = tmp_path / "profiles/kernel"
    (profile / "fragments").mkdir(parents=True)
    (profile / "fragments/a.config").write_text("CONFIG_A=y\n")
    (profile / "mine.toml").write_text(
        'name = "mine"\nfragments = ["a"]\nchecks = ["containers"]\n'
        '[[exception]]\ncheck = "containers"\nsubject = "VETH"\nreason = "one host"\n'
        '[[exception]]\ncheck = "containers"\nsubject = "OVERLAY_FS"\nreason = "not so"\n'
    )
    (tmp_path / "packages.toml").write_text("schema = 1\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RASTOS_STATE": str(tmp_path), "RASTOS_CACHE": str(tmp_path)}

    def rastos(*words: str | Path, status: int = 0) -> str:
        argv = [sys.executable, "-m", "rastos", "kernel", *map(str, words)]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "95 of 95 hold, nothing missing" in rastos("check", good, "--for", "containers", "--strict")
    said = rastos("check", bad, "--for", "containers", status=1)
    assert "CONFIG_VETH is unset" in said and "92 of 95 hold, 3 missing (1 error, 1 warning, 1 note)" in said
    assert "EXT4_FS" not in said and "EXT4_FS" in rastos("check", bad, "--for", "containers", "--notes", status=1)
    said = rastos("check", bad, "--as", "mine", "--notes")
    assert "CONFIG_VETH is unset, meant: one host" in said and "1 meant, 2 missing" in said
    assert "exception for OVERLAY_FS is for nothing" in said and "hardening" not in said
    rastos("check", bad, "--as", "mine", "--strict", status=1)
    (report,) = json.loads(rastos("check", bad, "--for", "containers", "--json", status=1))["reports"]
    assert [item["subject"] for item in report["findings"]] == ["CONFIG_VETH", "CONFIG_PSI", "CONFIG_EXT4_FS"]
    assert (report["rules"], report["hold"], report["missing"]) == (95, 92, 3)
    assert "+ VETH: off → on" in rastos("diff", bad, good)
    assert "no difference" in rastos("diff", good, good)
    assert "is no profile, built kernel, package or configuration file" in rastos("check", "nothing", status=1)


def test_an_initramfs_that_will_be_made_holds_whatever_mounts_the_root() -> None:
    from rastos.cli.kernel.check import _WHATEVER_IT_NEEDS
    from rastos.kernel.checks import BootFacts, Facts, boot_needs, hold

    values = {
        "VIRTIO": "m",
        "VIRTIO_PCI": "m",
        "VIRTIO_BLK": "m",
        "BTRFS_FS": "m",
        "BLK_DEV_INITRD": "y",
        "RD_ZSTD": "y",
    }

    def missing(modules: frozenset[str] | None) -> set[str]:
        report = hold("boot", boot_needs(BootFacts(modules=modules)), Facts(values, "6.1"), ())
        return {item.subject for item in report.findings if item.group in ("disk", "root")}

    assert "CONFIG_BTRFS_FS" in missing(None) and "CONFIG_BTRFS_FS" in missing(frozenset())
    assert not {name for name in missing(_WHATEVER_IT_NEEDS) if "VIRTIO" in name or "BTRFS" in name}
    assert "CONFIG_VIRTIO_BLK" not in missing(frozenset({"virtio_blk"}))
