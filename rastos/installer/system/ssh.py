"""SSH: keys of the host, and who may log in by a key."""

from __future__ import annotations

import os
from pathlib import Path

from rastos.host import safe_join

from ..profile import ImageProfile
from .writing import wanted_by

HOST_KEYS = """\
[Unit]
Description=Make SSH host keys on the first boot
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key
Before=ssh.service sshd.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A
"""


def prepare_ssh(tree: Path, profile: ImageProfile) -> None:
    """No machine has the keys that a package's script made on the builder."""
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    if profile.host_keys == "first-boot" and (tree / "usr/bin/ssh-keygen").exists():
        wanted_by(tree, "rastos-host-keys.service", HOST_KEYS)
    if profile.ssh_keys:
        authorize(tree, "root", 0, 0, profile.ssh_keys)


def authorize(tree: Path, home: str, uid: int, gid: int, keys: tuple[str, ...]) -> None:
    """Put keys into a home folder, as sshd(8) wants them: nobody else may write there."""
    folder = safe_join(tree, f"{home}/.ssh")
    folder.mkdir(mode=0o700, exist_ok=True)
    place = folder / "authorized_keys"
    place.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    place.chmod(0o600)
    for path in (folder, place):
        os.chown(path, uid, gid)
