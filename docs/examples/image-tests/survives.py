"""Checks in Python: `rastos image test survives.py`."""

from rastos.testing import Machine, machine

MACHINES = [machine("box", boot="direct", memory=512)]


def test_data_survives_a_power_cut(box: Machine) -> None:
    box.succeed("echo kept > /var/lib/data && sync")
    box.crash()
    box.start()
    box.wait_agent()
    assert box.succeed("cat /var/lib/data") == "kept\n"


def test_it_is_the_same_system_after_a_reboot(box: Machine) -> None:
    before = box.succeed("cat /etc/machine-id")
    box.reboot()
    assert box.succeed("cat /etc/machine-id") == before
