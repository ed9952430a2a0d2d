"""The QEMU command line as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import HostError
from rastos.installer.vm import MachineSpec, argv, qemu

SPEC = MachineSpec(runtime=Path("/run/vm"), accel="tcg,thread=multi", cpu="max", disk=Path("/run/vm/disk.qcow2"))


def values(spec: MachineSpec, option: str) -> list[str]:
    words = argv(spec)
    return [words[i + 1] for i, word in enumerate(words) if word == option]


def test_uefi_uses_the_code_read_only_and_its_own_variables() -> None:
    spec = replace(SPEC, firmware=(Path("/fw/CODE.fd"), Path("/run/vm/variables.fd")))
    code, variables, disk = values(spec, "-drive")
    assert code == "if=pflash,unit=0,format=raw,readonly=on,file=/fw/CODE.fd"
    assert variables == "if=pflash,unit=1,format=raw,file=/run/vm/variables.fd"
    assert disk.startswith("if=none,id=disk,format=qcow2,file=/run/vm/disk.qcow2,")
    assert "virtio-blk-pci,drive=disk,bootindex=0" in values(spec, "-device")
    assert "-kernel" not in argv(spec)


def test_direct_boot_hands_over_kernel_initrd_and_command_line() -> None:
    spec = replace(SPEC, kernel=Path("/k/vmlinuz"), initrd=Path("/k/initrd"), cmdline="root=/dev/vda2 ro, really")
    assert values(spec, "-kernel") == ["/k/vmlinuz"]
    assert values(spec, "-initrd") == ["/k/initrd"]
    assert values(spec, "-append") == ["root=/dev/vda2 ro, really"]
    assert "virtio-blk-pci,drive=disk" in values(spec, "-device"), "QEMU refuses a second boot index 0"
    assert not [drive for drive in values(spec, "-drive") if "pflash" in drive]


def test_only_a_disk_that_is_kept_pays_for_flushes() -> None:
    assert values(SPEC, "-drive")[0].endswith("cache=unsafe")
    assert values(replace(SPEC, keep=True), "-drive")[0].endswith("cache=writeback")


def test_ssh_is_forwarded_from_the_loopback_only() -> None:
    assert values(replace(SPEC, ssh_port=2222), "-netdev") == ["user,id=net,hostfwd=tcp:127.0.0.1:2222-:22"]
    assert not values(SPEC, "-netdev")


def test_the_key_is_a_systemd_credential_with_its_commas_doubled() -> None:
    spec = replace(SPEC, ssh_key="ssh-ed25519 AAAA a,b")
    assert values(spec, "-fw_cfg") == [
        "name=opt/io.systemd.credentials/ssh.authorized_keys.root,string=ssh-ed25519 AAAA a,,b"
    ]


def test_what_every_machine_has() -> None:
    devices = values(SPEC, "-device")
    for name in (
        "virtio-rng-pci",
        "pvpanic-pci",
        "i6300esb",
        "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
    ):
        assert name in devices
    assert values(SPEC, "-action") == ["panic=pause,watchdog=pause"]


def test_a_comma_in_a_path_never_becomes_an_option() -> None:
    spec = replace(
        SPEC, runtime=Path("/a,b"), disk=Path("/a,b/disk"), firmware=(Path("/a,b/CODE"), Path("/a,b/variables"))
    )
    for word in argv(spec):
        assert "/a,b" not in word.replace("/a,,b", ""), word


def test_sockets_can_lie_where_paths_are_short() -> None:
    spec = replace(SPEC, sockets=Path("/s"))
    assert (spec.monitor, spec.console, spec.agent) == (Path("/s/qmp"), Path("/s/console"), Path("/s/agent"))
    assert spec.console_log == Path("/run/vm/console.log")


def test_firmware_is_taken_as_a_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [(str(tmp_path / f"CODE{kind}"), str(tmp_path / f"VARS{kind}")) for kind in ("_4M", "")]
    monkeypatch.setattr(qemu, "FIRMWARE", tuple(names))
    with pytest.raises(HostError) as caught:
        qemu.find_firmware()
    assert "ovmf" in caught.value.next_step
    (tmp_path / "CODE_4M").touch()  # its variables are missing: of no use
    for name in names[1]:
        Path(name).touch()
    assert qemu.find_firmware() == (tmp_path / "CODE", tmp_path / "VARS")


def test_a_debugger_gets_a_socket_of_its_own_or_a_port_of_the_loopback() -> None:
    assert not values(SPEC, "-gdb") and "-S" not in argv(SPEC)
    by_socket = replace(SPEC, gdb=0, stopped=True)
    assert "socket,id=gdb,path=/run/vm/gdb,server=on,wait=off" in values(by_socket, "-chardev")
    assert by_socket.gdb_address == "/run/vm/gdb" and values(by_socket, "-gdb") == ["chardev:gdb"]
    assert "-S" in argv(by_socket)
    by_port = replace(SPEC, gdb=1234)
    assert "socket,id=gdb,host=127.0.0.1,port=1234,server=on,wait=off" in values(by_port, "-chardev")
    assert by_port.gdb_address == "127.0.0.1:1234"


def test_the_line_for_gdb_trusts_the_scripts_beside_vmlinux_and_nothing_else(tmp_path: Path) -> None:
    from typing import Any, cast

    from rastos.installer.vm import DebugPlan
    from rastos.kernel import Vmlinux

    plain = DebugPlan(cast(Any, None), Vmlinux(Path("/b/vmlinux"), None, False), None, 0, False, 512)
    assert plain.gdb("/s/gdb") == ["gdb", "/b/vmlinux", "-ex", "target remote /s/gdb"]
    with_scripts = replace(plain, vmlinux=Vmlinux(Path("/b/vmlinux"), Path("/b/vmlinux-gdb.py"), True))
    assert with_scripts.gdb(":1")[2:4] == ["-iex", "add-auto-load-safe-path /b"]


def test_secure_boot_keeps_the_variables_from_the_guest() -> None:
    files = (Path("/fw/CODE.secboot.fd"), Path("/run/vm/variables.fd"))
    assert values(replace(SPEC, firmware=files, secure=True), "-machine") == ["q35,smm=on"]
    assert "driver=cfi.pflash01,property=secure,value=on" in values(
        replace(SPEC, firmware=files, secure=True), "-global"
    )
    assert values(replace(SPEC, firmware=files), "-machine") == ["q35"]


def test_what_refused_to_start_something_is_told_from_the_console() -> None:
    from rastos.installer.vm.secureboot import refusal

    said = "Booting\nError loading \\rastos\\1\\rastos.efi: Access Denied\nBdsDxe: next: Security Violation\n"
    assert refusal(said).splitlines() == [
        "Error loading \\rastos\\1\\rastos.efi: Access Denied",
        "BdsDxe: next: Security Violation",
    ]
    assert refusal("Linux version 6.12\nlogin:") == ""


def test_the_second_disk_of_a_mirror_is_started_from_last() -> None:
    spec = replace(SPEC, second=Path("/run/vm/second.qcow2"))
    assert "virtio-blk-pci,drive=second,bootindex=1" in values(spec, "-device")
    assert values(spec, "-drive")[-1].startswith("if=none,id=second,format=qcow2,file=/run/vm/second.qcow2")
