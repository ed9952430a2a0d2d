"""What a store says of itself, in store.json: its identity and the next ids. Lost or damaged, it is told anew.

The identity (all but the next ids) is in a second file as well, written when it changes. Where both are lost, the boot
entries tell the disk and the command line; the next ids are always told by what is there.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

from rastos.errors import IntegrityError, UserError
from rastos.host import read_json, write_json

from .bootentry import ENTRIES, parse_entry, parse_name
from .esp import Esp
from .index import Index

FILE, COPY = "store.json", "store.copy.json"
FORMAT = 1
_COUNTERS = ("next_snapshot", "next_deployment")
# words of a command line that each deployment gets of its own (bootentry.kernel_options)
_OWN = ("root=", "rootfstype=", "rootflags=", "init=", "rastos.deployment=", "rastos.snapshot=", "rastos.trial", "ro")


def read_info(top: Path, esp: Esp) -> dict[str, Any]:
    """What store.json says, told anew where it is lost; nothing is written.

    Raises UserError where there is no store, IntegrityError where it is of a later format or nothing tells what it said.
    """
    info = said(top / FILE)
    if info is None:
        if not all((top / name).is_dir() for name in ("snapshots", "deployments", "state")):
            raise UserError(
                "this file system holds no rastos store", on=top, next_step="make an image: `rastos image create`"
            )
        info = _told_anew(top, esp)
    if info["format"] != FORMAT:
        raise IntegrityError(f"store of format {info['format']}", next_step="use the rastos version that made it")
    return info


def said(place: Path) -> dict[str, Any] | None:
    """The content of such a file; None where it is lost, damaged or not what rastos writes."""
    try:
        value = read_json(place)
    except (OSError, IntegrityError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("format"), int):
        return None
    texts = all(isinstance(value.get(key), str) for key in ("uuid", "root_partuuid", "cmdline"))
    counters = all(isinstance(value.get(key, 0), int) for key in _COUNTERS)
    return value if value["format"] != FORMAT or (texts and counters) else None


def keep_copy(top: Path, info: dict[str, Any]) -> None:
    """See to it that both files are there: the copy wherever the identity is another one, store.json where it was lost."""
    if said(top / FILE) is None:
        write_json(top / FILE, info)
    identity = {key: value for key, value in info.items() if key not in _COUNTERS}
    if said(top / COPY) != identity:
        write_json(top / COPY, identity)


def _told_anew(top: Path, esp: Esp) -> dict[str, Any]:
    info = dict(said(top / COPY) or _from_entries(top, esp))
    for kind, first in (("snapshot", 0), ("deployment", 1)):
        names = [name.removeprefix(".new-") for name in os.listdir(top / f"{kind}s")]
        info[f"next_{kind}"] = max([first, *(int(name) + 1 for name in names if name.isdigit())])
    info["next_snapshot"] = max(info["next_snapshot"], Index(top).last() + 1)
    found = [parse_name(name) for name in esp.list(ENTRIES)]
    info["next_deployment"] = max([info["next_deployment"], *(item.number + 1 for item in found if item)])
    return info


def _from_entries(top: Path, esp: Esp) -> dict[str, Any]:
    for name, text in sorted(esp.read_all(ENTRIES).items(), reverse=True):
        if parse_name(name) is None:
            continue
        values = parse_entry(text.decode(errors="replace"))
        words = values.get("options", "").split()
        disk = [word.removeprefix("root=PARTUUID=") for word in words if word.startswith("root=PARTUUID=")]
        if disk:
            rest = " ".join(word for word in words if not word.startswith(_OWN[:-1]) and word != _OWN[-1])
            return {
                "format": FORMAT,
                "uuid": str(uuid.uuid4()),
                "root_partuuid": disk[0],
                "cmdline": rest,
                "uki": "efi" in values,
            }
    raise IntegrityError(
        "store.json is lost, and neither its copy nor a boot entry tells what it said",
        on=top / FILE,
        next_step="write it by hand: format (1), uuid, root_partuuid and cmdline; the rest is found",
    )
