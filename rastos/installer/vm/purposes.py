"""What an image is for, proved in the booted guest: checks as data, each a shell script of this package.

A script runs as root in the guest after the purpose's prelude, says what it saw in its last line, and fails with a status and
its reason on standard error. It cleans up after itself; the guest is thrown away anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError

from .machine import Machine

SECONDS = 300.0  # for one check; an emulated guest on a busy host takes a minute for podman


@dataclass(frozen=True, slots=True)
class GuestCheck:
    """One check: its name, the script, programs without which an image doesn't claim it, variables of the script."""

    name: str
    script: str
    needs: tuple[str, ...] = ("crun",)
    variables: tuple[tuple[str, str], ...] = ()


PURPOSES: dict[str, tuple[GuestCheck, ...]] = {
    "containers": (
        GuestCheck("cgroup v2 has its controllers", "controllers", ()),
        GuestCheck("overlay file systems work", "overlay", ()),
        GuestCheck("crun: limits are those asked for", "limits"),
        GuestCheck("crun: out of its memory, a process dies", "memory"),
        GuestCheck("crun: one process too many is refused", "processes"),
        GuestCheck("crun: processor time is limited", "processor"),
        GuestCheck("crun: a seccomp filter refuses calls", "seccomp"),
        GuestCheck("crun: a user namespace maps users", "userns"),
        GuestCheck("bridge, veth and nftables NAT", "network", ("nft", "ip", "python3", "curl")),
        GuestCheck("podman on overlay", "podman", ("podman",), (("DRIVER", "overlay"),)),
        GuestCheck("podman on btrfs", "podman", ("podman",), (("DRIVER", "btrfs"),)),
        GuestCheck("podman without root", "rootless", ("podman", "slirp4netns", "newuidmap")),
    ),
}


def prove(machine: Machine, purpose: str, check: GuestCheck, seconds: float = SECONDS) -> str:
    """Run one check; what it saw, or that the image lacks a program for it. ExternalError: it does not hold in `seconds`."""
    for program in check.needs:
        if machine.execute(f"command -v {program}").status != 0:
            return f"left out: the image has no {program}"
    folder = Path(__file__).with_name(purpose)
    variables = "".join(f"{name}={value}\n" for name, value in check.variables)
    script = (folder / "prelude.sh").read_text() + variables + (folder / f"{check.script}.sh").read_text()
    answer = machine.execute(script, seconds)
    if answer.status != 0:
        raise ExternalError(f"{check.name}: it does not", tail=answer.text[-2000:], status=answer.status)
    return (answer.stdout.strip().splitlines() or ["holds"])[-1]
