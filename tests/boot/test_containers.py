"""Container runtimes prove the kernel: crun and podman in a booted guest, with limits, networks, drivers, filters, users."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rastos.installer.vm.purposes import PURPOSES
from tests.boot.conftest import Rastos, environment
from tests.conftest import unmet


@pytest.fixture(scope="module")
def kernel(rastos: Rastos) -> str:
    """The container kernel if it is built already (that takes long), else the distribution's; the ci kernel has too little."""
    wanted = os.environ.get("RASTOS_TEST_KERNEL", "container")
    folder = Path(environment()["RASTOS_STATE"]) / "repository"
    if list(folder.glob(f"linux-rastos-{wanted}-*.pkg.tar.zst")):
        return wanted
    try:
        rastos("image", "create", "--profile", "container", "--kernel", "distro", "--dry-run", "--json")
    except AssertionError as error:
        unmet(f"a kernel for containers: `rastos kernel build --profile container`, or the distribution's: {error}")
    return "distro"


@pytest.fixture(scope="module")
def image(rastos: Rastos, kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("containers") / "container.qcow2"
    rastos("image", "create", "--profile", "container", "--kernel", kernel, "--output", path)
    return path


def test_containers_run(rastos: Rastos, image: Path) -> None:
    words = ("image", "test", "--direct", "--for", "containers", "--timeout", "600", "--image", image, "--json")
    report = json.loads(rastos(*words))
    seen = {check["name"]: check for check in report["checks"]}
    assert report["passed"]
    for check in PURPOSES["containers"]:
        assert seen[check.name]["passed"]
        assert "left out" not in seen[check.name]["detail"], "the image has all programs for it"
    assert "67108864 16 20000 100000" in seen["crun: limits are those asked for"]["detail"]
    assert "192.0.2" not in seen["podman on btrfs"]["detail"] and "10.88." in seen["podman on btrfs"]["detail"]


# What breaks each check: a file put over another one in the guest, and the words it then has to fail with.
# `edited` gives crun an edited configuration, `without` leaves an option and its value out of a command line.
def edited(expression: str) -> tuple[str, str]:
    script = f"""#!/bin/sh
case "$*" in *" run "*) for word; do [ -f "$word/config.json" ] && sed -i '{expression}' "$word/config.json"; done ;; esac
exec /var/tmp/broken/real "$@"
"""
    return "/usr/bin/crun", script


def without(program: str, option: str) -> tuple[str, str]:
    return (
        program,
        f"""#!/bin/bash
words=()
while [ $# -gt 0 ]; do
    if [ "$1" = {option} ]; then shift 2; else words+=("$1"); shift; fi
done
exec /var/tmp/broken/real "${{words[@]}}"
""",
    )


BREAK: dict[str, tuple[tuple[str, str], str]] = {
    "cgroup v2 has its controllers": (("/sys/fs/cgroup/cgroup.controllers", "cpu io pids\n"), "no controller cpuset"),
    "overlay file systems work": (
        ("/usr/bin/mount", "#!/bin/sh\nexec /var/tmp/broken/real --bind lower merged\n"),
        "a write went astray",
    ),
    "crun: limits are those asked for": (edited("s/67108864/67112960/"), "memory.max pids.max cpu.max are 67112960"),
    "crun: out of its memory, a process dies": (edited("s/33554432/50331648/g"), "it had "),
    "crun: one process too many is refused": (edited('s/"limit": 8/"limit": 80/'), "not in time: at_least"),
    "crun: processor time is limited": (edited('s/"quota": 10000/"quota": 100000/'), ""),
    "crun: a seccomp filter refuses calls": (edited("s/SCMP_ACT_ERRNO/SCMP_ACT_ALLOW/"), "mkdir was not refused"),
    "crun: a user namespace maps users": (edited('s/"hostID": 200000/"hostID": 300000/'), "not in time: grep"),
    "bridge, veth and nftables NAT": (
        ("/usr/sbin/nft", '#!/bin/sh\nsed s/masquerade/accept/ | /var/tmp/broken/real "$@"\n'),
        "not masqueraded: outside saw 10.231.0.2",
    ),
    # the one on btrfs is the same script; 2048 is what podman takes by itself
    "podman on overlay": (without("/usr/bin/podman", "--pids-limit"), "its limits are 67108864 2048"),
    "podman without root": (("/usr/bin/newuidmap", "#!/bin/false\n"), ""),
}


@pytest.mark.long
def test_every_check_can_fail(rastos: Rastos, image: Path) -> None:
    """Each in a guest where only what it is about was broken: one that holds all the same proves nothing."""
    from rastos.errors import ExternalError
    from rastos.installer.vm import booted
    from rastos.installer.vm.purposes import prove

    checks = [item for item in PURPOSES["containers"] if item.name != "podman on btrfs"]
    assert {item.name for item in checks} == set(BREAK)
    with booted(image, cache=Path(environment()["RASTOS_CACHE"]), way="direct") as machine:
        machine.wait_agent(600)
        machine.execute("systemctl is-system-running --wait", 300)
        machine.succeed("mkdir -p /var/tmp/broken")
        wrong = []
        for item in checks:
            (place, text), words = BREAK[item.name]
            machine.succeed(f"rm -f /var/tmp/broken/*; cp -L {place} /var/tmp/broken/real")
            machine.put("/var/tmp/broken/file", text.encode())
            machine.succeed(f"chmod 4755 /var/tmp/broken/file && mount --bind /var/tmp/broken/file {place}")
            try:
                wrong.append(f"{item.name} holds: {prove(machine, 'containers', item, 600)}")
            except ExternalError as error:
                if words not in error.tail:
                    wrong.append(f"{item.name} fails with {error.tail}")
            machine.succeed(f"umount {place}")
    assert not wrong, "\n".join(wrong)
