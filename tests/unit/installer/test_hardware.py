"""What a machine has besides disk and memory: a user's words, and QEMU's."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import BusyError, UserError
from rastos.installer.vm import Hardware, MachineSpec, argv, parse_disk, parse_forward, parse_share
from rastos.installer.vm.fitting import fitted, network_folder
from rastos.installer.vm.hardware import ExtraDisk, Fitted, FittedDisk, Forward, PrivateLink, Share, hardware_words

SPEC = MachineSpec(runtime=Path("/run/vm"), accel="tcg", cpu="max", ssh_port=2222)


def after(words: list[str], option: str) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_forwards_listen_on_the_loopback_only() -> None:
    spec = replace(SPEC, fitted=Fitted(forwards=(Forward(8080, 80), Forward(5353, 53, "udp"))))
    assert after(argv(spec), "-netdev") == [
        "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:5353-:53"
    ]


def test_a_plain_machine_has_nothing_of_it() -> None:
    assert hardware_words(Fitted()) == []
    assert after(argv(SPEC), "-display") == ["none"] and "-vnc" not in argv(SPEC)


def test_every_piece_has_its_words() -> None:
    link = PrivateLink("52:54:00:01:02:03", Path("/n/a.in"), Path("/n/a.out"))
    words = hardware_words(
        Fitted(
            shares=(Share(Path("/s,1"), "one"), Share(Path("/s2"), "two", writable=True)),
            disks=(FittedDisk(Path("/d"), "raw", keep=True), FittedDisk(Path("/e"), "qcow2")),
            tpm=Path("/t"),
            screen=True,
            vnc=3,
            link=link,
            control=Path("/c"),
            name="web",
        )
    )
    devices = after(words, "-device")
    assert "VGA" in devices and "tpm-tis,tpmdev=tpm" in devices
    assert "virtio-net-pci,netdev=private,mac=52:54:00:01:02:03,romfile=" in devices
    assert after(words, "-netdev") == [
        "dgram,id=private,local.type=unix,local.path=/n/a.in,remote.type=unix,remote.path=/n/a.out"
    ]
    assert after(words, "-vnc") == ["127.0.0.1:3"]
    first, second = after(words, "-fsdev")
    assert first.endswith("readonly=on") and "path=/s,,1" in first, "read-only unless asked, commas doubled"
    assert "mapped-xattr" in second and "readonly" not in second
    kept, thrown = after(words, "-drive")
    assert kept.endswith("cache=writeback") and thrown.endswith("cache=unsafe")


@pytest.mark.parametrize("text", ["80", "80:", "0:80", "8080:65536", "a:b", "80:80/icmp", "1:2:3"])
def test_what_is_no_forward_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no port forward"):
        parse_forward(text)


def test_shares(tmp_path: Path) -> None:
    folder = tmp_path / "my folder"
    folder.mkdir()
    assert parse_share(str(folder)) == Share(folder, "my-folder")
    assert parse_share(f"{folder}:data:rw") == Share(folder, "data", writable=True)
    for text, what in (
        (f"{tmp_path}/none", "no such folder"),
        (f"{folder}:a b", "no tag"),
        (f"{folder}:a:ro", "no shared"),
    ):
        with pytest.raises(UserError, match=what):
            parse_share(text)


def test_a_disk_is_a_file_or_a_size(tmp_path: Path) -> None:
    (tmp_path / "d.raw").touch()
    assert parse_disk(str(tmp_path / "d.raw")) == ExtraDisk(tmp_path / "d.raw")
    assert parse_disk("4G") == ExtraDisk(None, 4 << 30) and parse_disk("512m") == ExtraDisk(None, 512 << 20)
    with pytest.raises(UserError, match="no such disk"):
        parse_disk(str(tmp_path / "none"))


def test_a_port_in_use_is_told_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        wanted = Hardware(forwards=(Forward(port, 80),))
        with (
            pytest.raises(UserError, match=f"port {port} of 127.0.0.1 is in use"),
            fitted(wanted, SPEC, cache=tmp_path),
        ):
            pass
    with fitted(wanted, SPEC, cache=tmp_path) as found:
        assert found.forwards == wanted.forwards


def test_two_shares_of_one_tag(tmp_path: Path) -> None:
    wanted = Hardware(shares=(Share(tmp_path, "a"), Share(tmp_path, "a")))
    with pytest.raises(UserError, match="two shares have the tag 'a'"), fitted(wanted, SPEC, cache=tmp_path):
        pass


def test_sockets_of_a_network_fit_into_their_addresses(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 120)
    folder = network_folder(long, "lan")
    assert len(bytes(folder)) < 85 and folder == network_folder(long, "lan") != network_folder(long, "other")
    folder.rmdir()


def test_networks_of_two_test_runs_are_apart(tmp_path: Path) -> None:
    one, other = (Hardware(network="lan", name="web", networks=tmp_path / name) for name in "ab")
    with fitted(one, SPEC, cache=tmp_path) as first, fitted(other, SPEC, cache=tmp_path) as second:
        assert first.link and second.link and first.link.mac == second.link.mac
        assert first.link.local != second.link.local
        with pytest.raises(BusyError), fitted(one, SPEC, cache=tmp_path):
            pass
