"""The sets of packages.toml: each installs with every maintainer script and boots with no failed unit; its parts work."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rastos.installer import load_image_profile
from tests.boot.conftest import Rastos, environment

Made = Callable[[str], Path]

SERVER = """
set -e
nft add table inet t && nft list tables | grep -q 'inet t'
chronyc -n tracking >/dev/null; test "$(systemctl is-active chrony)" = active; ! test -e /lib/systemd/systemd-timesyncd
sudo -n true; tmux new-session -d 'sleep 9'; tmux kill-server; vim --version | grep -q 'IMproved'; htop --version
python3 -c 'import ssl, sqlite3, ctypes'; curl --version; crun --version
test -z "$(ls -A /usr/share/vim/vim90/doc/*.vim-tiny 2>/dev/null)"
"""
# sway refuses to be root; the kernel has no graphics driver, so the screen is one in memory
DESKTOP = """
set -e
test "$(systemctl is-active greetd)" = active; pgrep agreety
useradd -m me; install -d -o me -m 700 /run/me
cat > /run/me/sway.conf <<'END'
output HEADLESS-1 resolution 640x480
exec foot sh -c "echo shown > /run/me/shown; sleep 60"
END
cat > /run/me/session <<'END'
export XDG_RUNTIME_DIR=/run/me WLR_BACKENDS=headless WLR_RENDERER=pixman WLR_LIBINPUT_NO_DEVICES=1
sway -c /run/me/sway.conf >/run/me/log 2>&1 & pid=$!
for i in $(seq 60); do test -e /run/me/shown && break; sleep 1; done
SWAYSOCK=$(ls /run/me/sway-ipc.*) swaymsg -t get_tree > /run/me/tree; kill $pid; wait $pid
END
runuser -u me -- sh /run/me/session || true
test -e /run/me/shown && grep '"app_id": "foot"' /run/me/tree || { cat /run/me/log; exit 1; }
"""
BUILDER = """
set -e
cd /var/tmp; printf 'int main(void){return 0;}' > x.c; gcc -O2 -o x x.c; ./x; git init -q repo
id builder >/dev/null 2>&1 || useradd -r -m -d /var/lib/builder builder
mkdir -p pkg && cd pkg && cat > PKGBUILD <<'END'
pkgname=hello
pkgver=1
pkgrel=1
arch=(any)
package() { install -D /var/tmp/x "$pkgdir/usr/bin/hello-rastos"; }
END
chown -R builder . && runuser -u builder -- env PKGDEST=$PWD PKGEXT=.pkg.tar.zst makepkg -d
bsdtar -tf hello-1-1-any.pkg.tar.zst | grep -q usr/bin/hello-rastos
"""
NEEDS_MORE = ("nft ", 'test "$(systemctl is-active greetd)"')  # than the ci kernel: a packet filter, terminals
CHECKS = {"server": SERVER, "desktop": DESKTOP, "builder": BUILDER}


# every run has the server set; test_containers.py boots the container set
PROFILES = [pytest.param(name, marks=[pytest.mark.long] if name != "server" else []) for name in sorted(CHECKS)]


@pytest.fixture(scope="module")
def kernel(ci_kernel: dict[str, Any]) -> str:
    """The container kernel if it is built already (that takes long), else the one of ci, which has neither packet filter nor terminals."""
    folder = Path(environment()["RASTOS_STATE"]) / "repository"
    wanted = os.environ.get("RASTOS_TEST_KERNEL", "container")
    return wanted if list(folder.glob(f"linux-rastos-{wanted}-*.pkg.tar.zst")) else "ci"


@pytest.fixture(scope="module")
def made(rastos: Rastos, kernel: str, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The image of a profile; RASTOS_TEST_IMAGES keeps them from one run to the next."""
    kept = os.environ.get("RASTOS_TEST_IMAGES")
    place = Path(kept) if kept else tmp_path_factory.mktemp("sets")

    def image(profile: str) -> Path:
        path = place / f"{profile}.qcow2"
        rastos("image", "create", "--profile", profile, "--kernel", kernel, "--output", path, "--force")
        return path

    return image


@pytest.mark.parametrize("profile", PROFILES)
def test_set_boots_clean_and_works(rastos: Rastos, made: Made, kernel: str, profile: str) -> None:
    image = made(profile)
    checks = CHECKS[profile]
    if kernel == "ci":
        checks = "".join(line for line in checks.splitlines(True) if not line.startswith(NEEDS_MORE))
    text = rastos("image", "test", "--direct", "--image", image, "--run", checks, "--json")
    report = json.loads(text)
    assert report["passed"]
    assert "system is running, no failed units" in {check["name"] for check in report["checks"]}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_package_of_the_set_is_configured(rastos: Rastos, made: Made, profile: str) -> None:
    """dpkg's own view of the tree: everything installed, nothing half done."""
    image = made(profile)
    ask = r"dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n'; dpkg --audit"
    seen = rastos("image", "boot", "--image", image, "--", ask)
    lines = [line for line in seen.splitlines() if line.strip()]
    packages = [line.split() for line in lines if line.startswith("ii ")]
    assert len(packages) > 120
    assert len(packages) == len(lines), [line for line in lines if not line.startswith("ii ")]


def test_the_images_are_made_by_the_profiles_of_the_project() -> None:
    root = Path(__file__).parents[2]
    for name in CHECKS:
        assert name in load_image_profile(name, [root / "profiles"]).sets
    assert subprocess.run(["grep", "-q", "^exclude", root / "packages.toml"], check=False).returncode == 0
