"""Files on the ESP with which systemd-boot enrols keys into firmware that is in setup mode (systemd-boot(7), loader.conf(5))."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rastos.errors import UserError
from rastos.host import require_programs, run, working_directory
from rastos.kernel import SecureBootKey
from rastos.snapshot import Esp

CONFIGURATION = "/loader/loader.conf"
FOLDERS = {"manual": "/loader/keys/rastos", "force": "/loader/keys/auto"}
VARIABLES = ("db", "KEK", "PK")  # the platform key last: it ends setup mode
_SETTING = re.compile(r"^secure-boot-enroll .*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EnrolmentPlan:
    """What will be written: `mode` is loader.conf's word for secure-boot-enroll, `files` are paths on the ESP."""

    mode: str
    subject: str
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self)


def plan_enrolment(esp: Esp, key: SecureBootKey, *, automatic: bool) -> EnrolmentPlan:
    """Plan it. `automatic`: at the next boot in setup mode, else when somebody chooses it in the loader's menu.

    Raises UserError where the loader on the ESP is not signed by that key: it could not start any more.
    """
    require_programs("cert-to-efi-sig-list", "sign-efi-sig-list", "sbverify")
    with working_directory(Path("/tmp"), "rastos-enrol") as place:
        (place / "loader.efi").write_bytes(esp.read("/EFI/BOOT/BOOTX64.EFI"))
        signed = run(["sbverify", "--cert", key.certificate, place / "loader.efi"], check=False).status == 0
    if not signed:
        raise UserError(
            "the boot loader of this disk is not signed by that key; it would not start once the key is enrolled",
            on=key.certificate,
            next_step="make the image with --secure-boot-key and --secure-boot-cert",
        )
    mode = "force" if automatic else "manual"
    return EnrolmentPlan(mode, key.subject, tuple(f"{FOLDERS[mode]}/{name}.auth" for name in VARIABLES))


def write_enrolment(esp: Esp, plan: EnrolmentPlan, key: SecureBootKey, *, owner: str) -> None:
    """Write the files, then the setting that lets the loader use them. `owner`: a GUID, whose signature lists these are."""
    with working_directory(Path("/tmp"), "rastos-enrol") as place:
        run(["cert-to-efi-sig-list", "-g", owner, key.certificate, place / "esl"], what="make a signature list")
        for name, path in zip(VARIABLES, plan.files, strict=True):
            signing: list[str | Path] = ["sign-efi-sig-list", "-g", owner, "-k", key.key, "-c", key.certificate]
            run([*signing, name, place / "esl", place / "auth"], what=f"sign the signature list for {name}")
            esp.write(path, (place / "auth").read_bytes())
    text = _SETTING.sub("", esp.read(CONFIGURATION).decode(errors="replace"))
    esp.write(CONFIGURATION, f"{text.rstrip()}\nsecure-boot-enroll {plan.mode}\n".encode())
