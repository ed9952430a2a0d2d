"""What a profile writes into a tree, key by key; the tree has what a few packages would bring, and programs that only take notes."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rastos.errors import IntegrityError, UserError
from rastos.installer import load_image_profile
from rastos.installer.partition import Partition
from rastos.installer.profile import FirstBootStep, Group, ImageProfile, ProfileFile, User
from rastos.installer.system import configure_system
from tests.conftest import need
from tests.system.test_image_create import KEY, PROGRAM, SYSTEM

NOTERS = ("systemctl", "useradd", "groupadd", "locale-gen", "setupcon", "sudo", "visudo")
MORE = {
    "usr/share/systemd/kbd-model-map": "de-latin1-nodeadkeys de pc105 nodeadkeys -\nfr fr pc105 - -\n",
    "usr/share/X11/xkb/rules/base.lst": "! model\n  pc105 x\n! layout\n  de German\n! variant\n  nodeadkeys de: x\n! option\n",
    "usr/lib/systemd/system/one.service": "[Service]\n",
    "usr/lib/systemd/system/two.timer": "[Timer]\n",
    "usr/lib/systemd/system/getty@.service": "[Service]\n",
    "usr/lib/systemd/systemd-resolved": "",
}
EVERYTHING = f"""
hostname = "every.example.org"
locale = "de_DE.UTF-8"
keymap = "de-latin1-nodeadkeys"
timezone = "Europe/Berlin"
root-password = "$6$s$h"
ssh-keys = ["{KEY}"]
enable = ["one", "getty@tty2"]
disable = ["two.timer"]
mask = ["example"]
groups = [{{ name = "crew", gid = 1234 }}]
sysctl = {{ "net.ipv4.ip_forward" = 1, vm = {{ swappiness = 7 }} }}
values = {{ greeting = "hello" }}

[[users]]
name = "ada"
uid = 1500
comment = "Ada L."
home = "/home/lovelace"
groups = ["crew", "sudo"]
shell = "/bin/bash"
password = "$6$a$b"
sudo = "no-password"
ssh-keys = ["{KEY}"]

[network]
dhcp = false
[[network.interfaces]]
match = "lan0"
addresses = ["192.0.2.5/24"]
gateway = "192.0.2.1"
dns = ["192.0.2.53"]
domains = ["example.org"]
mtu = 1400
[[network.interfaces]]
mac = "52:54:00:12:34:56"
dhcp = "ipv6"
[[network.interfaces]]
match = "vlan7"
vlan = 7
parent = "lan0"
dhcp = true

[[files]]
path = "/etc/app/motd"
template = "motd"
mode = "4750"
group = "crew"
[[files]]
path = "/home/lovelace/.config/deep/note"
source = "note"
owner = "ada"
group = "1500"

[[first-boot]]
name = "one"
run = "echo once"
[[first-boot]]
name = "two"
run = "#!/usr/bin/python3\\nprint(2)"
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("gcc")
    place = tmp_path_factory.mktemp("program")
    (place / "program.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-Os", "-static", "-o", place / "program", place / "program.c"], check=True)
    return place / "program"


@pytest.fixture
def tree(program: Path, tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for path, text in {**SYSTEM, **MORE}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for name in NOTERS:
        shutil.copy(program, root / "usr/bin" / name)
    (root / "usr/sbin").symlink_to("bin")
    (root / "home").mkdir()
    return root


def configure(tree: Path, profile: ImageProfile) -> None:
    configure_system(tree, profile, Partition(1, "ESP", "type", "1234-abcd", 1 << 20, 64 << 20))


def profile(tmp_path: Path, text: str) -> ImageProfile:
    (tmp_path / "motd").write_text("{greeting} from {hostname}, {{braces}}\n")
    (tmp_path / "note").write_text("{as it is}\n")
    (tmp_path / "every.toml").write_text(text)
    return load_image_profile(str(tmp_path / "every.toml"), [])


def test_every_key_is_in_the_tree(tree: Path, tmp_path: Path) -> None:
    configure(tree, profile(tmp_path, EVERYTHING))
    etc = tree / "etc"
    assert (etc / "hostname").read_text() == "every.example.org\n"
    assert (etc / "vconsole.conf").read_text() == "KEYMAP=de-latin1-nodeadkeys\n"
    assert 'XKBLAYOUT="de"\nXKBVARIANT="nodeadkeys"' in (etc / "default/keyboard").read_text()
    assert os.readlink(etc / "localtime") == "/usr/share/zoneinfo/Europe/Berlin"
    assert (etc / "sysctl.d/90-rastos.conf").read_text().splitlines()[1:] == [
        "net.ipv4.ip_forward = 1",
        "vm.swappiness = 7",
    ]
    calls = (tree / "usr/share/calls").read_text().splitlines()
    assert "groupadd --gid 1234 crew " in calls
    assert (
        "useradd --create-home --shell /bin/bash --uid 1500 --comment Ada L. --home-dir /home/lovelace --groups crew,sudo ada "
        in calls
    )
    assert "systemctl enable one.service getty@tty2.service systemd-networkd.service " in calls
    assert "systemctl disable two.timer " in calls and "systemctl mask example.service " in calls
    assert "setupcon --force --save-only " in calls and "locale-gen " in calls
    assert "visudo --check --quiet --file /etc/sudoers.d/ada " in calls
    rule = etc / "sudoers.d/ada"
    assert rule.read_text().endswith("ada ALL=(ALL:ALL) NOPASSWD:ALL\n") and rule.stat().st_mode & 0o777 == 0o440
    shadow = dict(row.split(":")[:2] for row in (etc / "shadow").read_text().splitlines())
    assert shadow == {"root": "$6$s$h", "ada": "$6$a$b"}
    motd = etc / "app/motd"
    assert motd.read_text() == "hello from every.example.org, {braces}\n"
    assert (motd.stat().st_mode & 0o7777, motd.stat().st_uid, motd.stat().st_gid) == (0o4750, 0, 1234)
    assert motd.parent.stat().st_uid == 0
    note = tree / "home/lovelace/.config/deep/note"
    assert note.read_text() == "{as it is}\n"
    assert {path.stat().st_uid for path in (note, note.parent, note.parent.parent)} == {1500}
    assert (tree / "home/lovelace/.ssh/authorized_keys").read_text() == f"{KEY}\n"


def test_networks(tree: Path, tmp_path: Path) -> None:
    configure(tree, profile(tmp_path, EVERYTHING))
    folder = tree / "etc/systemd/network"
    assert sorted(path.name for path in folder.iterdir()) == [
        "20-lan0.network",
        "21-52-54-00-12-34-56.network",
        "22-vlan7.netdev",
        "22-vlan7.network",
    ]
    lan = (folder / "20-lan0.network").read_text()
    for row in ("Name=lan0", "MTUBytes=1400", "DHCP=no", "Address=192.0.2.5/24", "Gateway=192.0.2.1", "VLAN=vlan7"):
        assert f"\n{row}\n" in lan
    assert "DNS=192.0.2.53\nDomains=example.org\n" in lan and "LinkLocalAddressing" not in lan
    assert (
        "MACAddress=52:54:00:12:34:56\n\n[Network]\nDHCP=ipv6\n"
        in (folder / "21-52-54-00-12-34-56.network").read_text()
    )
    assert "[NetDev]\nName=vlan7\nKind=vlan\n\n[VLAN]\nId=7\n" in (folder / "22-vlan7.netdev").read_text()
    if shutil.which("systemd-analyze"):  # systemd reads them as they are meant
        done = subprocess.run(
            ["systemd-analyze", "verify", tree / "usr/lib/systemd/system/rastos-first-boot.service"],
            capture_output=True,
            text=True,
            env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"},
        )
        assert "Unknown" not in done.stderr, done.stderr


def test_host_keys_are_made_or_not(tree: Path) -> None:
    unit = tree / "usr/lib/systemd/system/multi-user.target.wants/rastos-host-keys.service"
    configure(tree, ImageProfile("plain", host_keys="none"))
    assert not os.path.lexists(unit) and not list((tree / "etc/ssh").glob("ssh_host_*"))
    configure(tree, ImageProfile("plain"))
    assert os.path.lexists(unit)


@pytest.mark.parametrize(
    ("changes", "what", "step"),
    [
        ({"users": (User("games"),)}, "the user name 'games' is taken by the system (uid 5)", "another"),
        ({"users": (User("me", uid=5),)}, "uid 5 is games's already", "another"),
        ({"groups": (Group("sudo"),)}, "the group name 'sudo' is taken", "another"),
        ({"users": (User("me", shell="/bin/zsh"),)}, "shell /bin/zsh isn't in the image", "/bin/bash"),
        ({"users": (User("me", groups=("sdo",)),)}, "a group that isn't there: sdo", "'sudo'"),
        ({"enable": ("exampel.service",)}, "no unit 'exampel.service' to enable", "'example.service'"),
        ({"mask": ("zzz.socket",)}, "no unit 'zzz.socket' to mask", "add the package"),
        ({"keymap": "de-nodeadkey"}, "there is no keymap 'de-nodeadkey'", "'de-latin1-nodeadkeys'"),
        ({"keymap": "fr"}, "there is no keymap 'fr'", "console-setup"),
        ({"timezone": "Europe/Berln"}, "unknown time zone", "'Europe/Berlin'"),
        ({"files": (ProfileFile("/etc/ssh", "", b""),)}, "/etc/ssh is a folder", "name a file"),
        ({"files": (ProfileFile("/etc/x", "", b"", owner="nobody"),)}, "the user 'nobody', which isn't there", "known"),
    ],
)  # fmt: skip
def test_what_the_tree_lacks(tree: Path, changes: dict[str, object], what: str, step: str) -> None:
    with (tree / "etc/passwd").open("a") as stream:
        stream.write("games:x:5:60::/:/bin/false\n")
    with pytest.raises(UserError) as caught:
        configure(tree, replace(ImageProfile("plain"), **changes))  # type: ignore[arg-type]
    assert what in caught.value.what and step in caught.value.next_step


def test_sudo_that_is_not_there_or_refuses(tree: Path) -> None:
    (tree / "usr/bin/visudo").unlink()
    shutil.copy(shutil.which("false") or "/bin/false", tree / "usr/bin/visudo")  # needs a library that the tree has not
    with pytest.raises(UserError, match="sudo can't be given to me"):
        configure(tree, ImageProfile("plain", users=(User("me", sudo="password"),)))
    (tree / "usr/bin/sudo").unlink()
    with pytest.raises(UserError, match="sudo, which isn't in the image"):
        configure(tree, ImageProfile("plain", users=(User("you", uid=1001, sudo="password"),)))


def test_a_link_in_the_tree_leads_nowhere_else(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tree / "etc/app").symlink_to(tmp_path / "outside")
    with pytest.raises(IntegrityError, match="leads out"):
        configure(tree, ImageProfile("plain", files=(ProfileFile("/etc/app/x", "", b"x"),)))
    (tree / "etc/motd").symlink_to(tmp_path / "outside/motd")
    configure(tree, ImageProfile("plain", files=(ProfileFile("/etc/motd", "", b"mine"),)))
    assert (tree / "etc/motd").read_bytes() == b"mine" and list((tmp_path / "outside").iterdir()) == []


def steps(tree: Path, tmp_path: Path, **scripts: str) -> tuple[Path, Path]:
    """The runner of these steps, on this host, with its folders below the test's; and where it keeps records."""
    records = tmp_path / "records"
    configure(
        tree,
        ImageProfile(
            "x", first_boot=tuple(FirstBootStep(name, f"#!/bin/sh -e\n{text}\n") for name, text in scripts.items())
        ),
    )
    runner = tmp_path / "runner"
    text = (tree / "usr/lib/rastos/first-boot-steps").read_text()
    text = text.replace("STEPS=/usr", f"STEPS={tree}/usr").replace(
        "RECORDS=/var/lib/rastos/first-boot", f"RECORDS={records}"
    )
    runner.write_text(text.replace("/dev/console", "/dev/null"))
    runner.chmod(0o755)
    return runner, records


def test_first_boot_steps_run_once_and_in_order(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner, records = steps(tree, tmp_path, b=f"echo b >> {out}", a=f"echo a >> {out}; echo said")
    for _ in range(3):
        subprocess.run([runner], check=True)
    assert out.read_text() == "b\na\n" and (records / "a.log").read_text() == "said\n"
    assert [row.split()[0] for row in (records / "a").read_text().splitlines()] == ["began", "done"]


def test_a_step_that_failed_or_was_cut_off_is_not_run_again(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner, records = steps(
        tree, tmp_path, a=f"echo a >> {out}", b=f"echo b >> {out}; echo why; exit 3", c=f"echo c >> {out}"
    )
    for _ in range(2):
        done = subprocess.run([runner], capture_output=True, text=True)
        assert (
            done.returncode == 1
            and "step b" in done.stderr
            and "why" in done.stderr
            and f"rm {records}/b" in done.stderr
        )
    assert out.read_text() == "a\nb\n" and "failed 3" in (records / "b").read_text()
    (records / "b").write_text("began 2026-01-01T00:00:00Z\n")  # as a power cut leaves it
    for _ in range(2):
        assert subprocess.run([runner], capture_output=True).returncode == 1
    assert out.read_text() == "a\nb\n" and "interrupted" in (records / "b").read_text()
    (records / "b").unlink()
    (tree / "usr/lib/rastos/first-boot/02-b").write_text("#!/bin/sh\n")
    subprocess.run([runner], check=True)
    assert out.read_text() == "a\nb\nc\n"
