"""What the machine does once it is installed."""

from __future__ import annotations

from rastos.host import run

from .answers import AFTER


def leave_machine(after: str) -> None:
    """Power off or reboot the machine that ran the installation; "nothing" does nothing."""
    assert after in AFTER
    if after != "nothing":
        run(["systemctl", "--no-block", after], what=f"{after} after the installation")
