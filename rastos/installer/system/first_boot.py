"""What a machine does once in its life: scripts in /usr, a unit that runs each once, records in /var/lib/rastos/first-boot."""

from __future__ import annotations

from pathlib import Path

from ..profile import ImageProfile
from .writing import wanted_by, write

RUNNER = Path(__file__).with_name("first-boot.sh")
STEPS = "usr/lib/rastos/first-boot"
UNIT = """\
[Unit]
Description=First-boot steps of the image profile
After=network.target systemd-tmpfiles-setup.service rastos-host-keys.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/lib/rastos/first-boot-steps
"""


def write_first_boot(tree: Path, profile: ImageProfile) -> None:
    """Nothing where the profile has no steps."""
    if not profile.first_boot:
        return
    write(tree, "usr/lib/rastos/first-boot-steps", RUNNER.read_text(encoding="utf-8"), 0o755)
    for number, step in enumerate(profile.first_boot, 1):
        write(tree, f"{STEPS}/{number:02d}-{step.name}", step.script, 0o755)
    wanted_by(tree, "rastos-first-boot.service", UNIT)
