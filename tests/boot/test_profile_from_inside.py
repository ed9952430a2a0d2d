"""What an image profile says, seen from inside the machine: one image with every key, one boot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.boot.conftest import Rastos, environment

if TYPE_CHECKING:
    from rastos.installer.vm.machine import Machine

pytestmark = pytest.mark.long
LONG = 300.0  # seconds: for what loads many libraries on an emulated, busy machine

HASH = (  # of hunter2
    "$6$Js/s0/EbXrcyeuw1$K5Qo3MOAZt5wcYSTvRpHutsmXfOrnrVBQ2HF7oeBawfdDcC9UTBv5wMaKpOq/ZEWwd95jCVOKSkT4Dimb8SfJ/"
)
PROFILE = """
inherits = "ci"
packages = ["sudo", "locales", "console-setup", "-curl"]
hostname = "every.example.org"
locale = "de_DE.UTF-8"
keymap = "de-latin1"
timezone = "Europe/Berlin"
enable = ["hello"]
disable = ["nftables"]
mask = ["fstrim.timer"]
groups = [{ name = "crew", gid = 1234 }]
sysctl = { vm.swappiness = 7, "net.ipv4.ip_forward" = 1 }

[[users]]
name = "ada"
uid = 1500
comment = "Ada L."
home = "/home/lovelace"
groups = ["crew"]
shell = "/bin/sh"
password = "HASH"
sudo = "no-password"
[[users]]
name = "bob"
password = "HASH"
sudo = true

[[network.interfaces]]
match = "en*"
dhcp = "ipv4"
addresses = ["192.0.2.5/24"]

[values]
greeting = "hello"
[[files]]
path = "/etc/systemd/system/hello.service"
content = '''
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
'''
[[files]]
path = "/etc/hello/motd"
template = "motd"
mode = "0640"
group = "crew"
[[files]]
path = "/home/lovelace/.config/note"
content = "mine"
owner = "ada"
group = "ada"

[[first-boot]]
name = "count"
run = "echo once >> /var/lib/count"
[[first-boot]]
name = "fails"
run = "echo why >&2; exit 7"
"""


@pytest.fixture(scope="module")
def machine(rastos: Rastos, ci_kernel: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    from rastos.installer.vm import booted

    place = tmp_path_factory.mktemp("profile")
    (place / "motd").write_text("{greeting} from {hostname}\n")
    (place / "every.toml").write_text(PROFILE.replace("HASH", HASH))
    image = place / "every.qcow2"
    rastos("image", "create", "--profile", place / "every.toml", "--output", image)
    with booted(image, cache=Path(environment()["RASTOS_CACHE"]), way="direct") as made:
        made.wait_agent(900)
        made.execute("systemctl is-system-running --wait", 900)
        yield made


def test_who_and_where_it_is(machine: Machine) -> None:
    assert machine.succeed("hostname").strip() == "every.example.org"
    assert machine.succeed("date +%Z").strip() in ("CET", "CEST")
    assert "Samstag" in machine.succeed(". /etc/locale.conf; export LANG; date -d 2026-11-21 +%A")
    assert "KEYMAP=de-latin1" in machine.succeed("cat /etc/vconsole.conf")
    assert "udiaeresis" in machine.succeed(
        "zcat /etc/console-setup/cached_UTF-8_del.kmap.gz"
    ) or "U+00fc" in machine.succeed("zcat /etc/console-setup/cached_UTF-8_del.kmap.gz")
    assert machine.execute("command -v curl").status != 0, "taken out of what ci has"


def test_people(machine: Machine) -> None:
    assert machine.succeed("getent passwd ada").strip() == "ada:x:1500:1500:Ada L.:/home/lovelace:/bin/sh"
    assert machine.succeed("id -nG ada").split() == ["ada", "crew"]
    assert machine.succeed("su ada -c 'sudo -n id -u'", LONG).strip() == "0"
    assert machine.execute("su bob -c 'sudo -n id -u'", LONG).status != 0, "bob's password is asked for"
    assert machine.succeed("su bob -c 'echo hunter2 | sudo -S id -u'", LONG).strip() == "0"
    assert machine.succeed("passwd -S root").split()[1] == "L"


def test_settings_files_and_units(machine: Machine) -> None:
    assert machine.succeed("sysctl -n vm.swappiness net.ipv4.ip_forward").split() == ["7", "1"]
    assert machine.succeed("stat -c '%a %U %G' /etc/hello/motd").split() == ["640", "root", "crew"]
    assert machine.succeed("cat /etc/hello/motd") == "hello from every.example.org\n"
    assert machine.succeed("su ada -c 'cat ~/.config/note && touch ~/.config/more'", LONG) == "mine"
    states = machine.execute("systemctl is-enabled hello nftables fstrim.timer").stdout.split()
    assert states == ["enabled", "disabled", "masked"]
    assert machine.succeed("systemctl is-active hello").strip() == "active"


def test_addresses(machine: Machine) -> None:
    seen = machine.succeed("ip -4 -brief address")
    assert "192.0.2.5/24" in seen and "10.0.2.15" in seen, "its own, and the one it asked for"


def test_first_boot_steps_ran_once_and_a_failure_is_seen(machine: Machine) -> None:
    def look() -> None:
        assert machine.succeed("cat /var/lib/count") == "once\n"
        failed = machine.succeed("systemctl list-units --failed --plain --no-legend")
        assert [row.split()[0] for row in failed.splitlines()] == ["rastos-first-boot.service"]
        assert "failed 7" in machine.succeed("cat /var/lib/rastos/first-boot/fails")
        assert machine.succeed("cat /var/lib/rastos/first-boot/fails.log") == "why\n"
        # the deployment is not to blame
        assert '"event": "good"' in machine.succeed("tail -n 1 /var/lib/rastos/boots")

    look()
    # as at every further boot: nothing is run again, and the failure stays in sight
    assert machine.execute("systemctl restart rastos-first-boot", LONG).status != 0
    look()
