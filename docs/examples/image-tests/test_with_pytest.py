"""Tests of an image with pytest: `pytest --rastos-image images/server.qcow2 test_with_pytest.py`."""

from collections.abc import Callable

import pytest

from rastos.testing import Machine

pytestmark = pytest.mark.machine(boot="direct", memory=512)


def test_no_unit_failed(machine: Machine) -> None:
    assert machine.succeed("systemctl list-units --failed --no-legend --plain").strip() == ""


def test_ssh_listens(machine: Machine) -> None:
    machine.wait_for_port(22)


def test_two_machines(machines: Callable[..., tuple[Machine, ...]]) -> None:
    _, client = machines("web", "client", network="lan", boot="direct", memory=512)
    client.wait_until_succeeds("ping -c1 web")
