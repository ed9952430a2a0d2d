"""Boot entries of type 1 and their counters (UAPI Boot Loader Specification; systemd, Automatic Boot Assessment)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rastos.errors import IntegrityError, UserError

if TYPE_CHECKING:
    from .esp import Esp
    from .store import Store

ENTRIES = "/loader/entries"
KERNELS = "/rastos"
TRIES = 3
PENDING = ".new"  # a suffix the loader ignores: it reads only *.conf
_NAME = re.compile(r"rastos-(?P<number>\d+)(?:\+(?P<left>\d+)(?:-(?P<done>\d+))?)?\.conf")


@dataclass(frozen=True, slots=True)
class EntryName:
    """An entry's file name taken apart: tries left is None once the entry was marked good."""

    name: str
    number: int
    left: int | None
    done: int

    @property
    def state(self) -> str:
        """good (booted and blessed), bad (no tries left), or new."""
        return "good" if self.left is None else "bad" if self.left == 0 else "new"


@dataclass(frozen=True, slots=True)
class BootFiles:
    """What a direct kernel boot of the next deployment needs; paths on the ESP.

    With `unified` the kernel's path is that of a unified kernel image, which holds the initramfs too.
    """

    kernel_esp_path: str
    initrd_esp_path: str | None
    options: str
    release: str
    deployment: int
    snapshot: int
    unified: bool = False


def parse_name(name: str) -> EntryName | None:
    """Take a file name apart; None for names that aren't ours."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    left = found["left"]
    return EntryName(name, int(found["number"]), None if left is None else int(left), int(found["done"] or 0))


def entry_name(number: int, tries: int | None) -> str:
    """A file name, with its counter; None: marked good."""
    return f"rastos-{number}.conf" if tries is None else f"rastos-{number}+{tries}.conf"


def boot_paths(values: dict[str, str]) -> tuple[str, ...]:
    """Files on the ESP that an entry starts: kernel and initramfs, or one EFI program."""
    return tuple(values[key] for key in ("linux", "initrd", "efi") if values.get(key))


def write_entry(
    *, number: int, title: str, kernel: str, options: str, initrd: str | None = None, unified: bool = False
) -> str:
    """The entry's text; lines in the order of the specification's examples. `unified`: the kernel is an EFI program as it is."""
    lines = [
        f"title {_line(title)}",
        f"version {number}",
        "sort-key rastos",
        f"{'efi' if unified else 'linux'} {kernel}",
    ]
    if initrd:
        lines.append(f"initrd {initrd}")
    return "\n".join([*lines, f"options {_line(options)}", ""])


def parse_entry(text: str) -> dict[str, str]:
    """Keys and values of an entry."""
    values = {}
    for line in text.splitlines():
        key, _, value = line.strip().partition(" ")
        if key and not key.startswith("#"):
            values[key] = value.strip()
    return values


def kernel_options(*, partuuid: str, snapshot: int, deployment: int, cmdline: str) -> str:
    """The kernel command line of a deployment."""
    return (
        f"root=PARTUUID={partuuid} rootfstype=btrfs rootflags=subvol=snapshots/{snapshot}/tree ro "
        f"init=/usr/lib/rastos/init rastos.deployment={deployment} rastos.snapshot={snapshot} {cmdline}"
    ).strip()


def boot_files(store: Store) -> BootFiles:
    """The kernel and command line that the loader would start now. Raises UserError where nothing is deployed."""
    names = [entry for entry in store.entries() if entry.state != "bad"] or store.entries()
    if not names:
        raise UserError("nothing is deployed", next_step="deploy a snapshot: `rastos snapshot deploy ID`")
    entry = max(names, key=lambda item: item.number)
    values = parse_entry(store.esp.read(f"{ENTRIES}/{entry.name}").decode())
    kernel = values.get("linux", values.get("efi"))
    if kernel is None or "options" not in values:
        raise IntegrityError("a boot entry is damaged", on=entry.name, next_step="deploy the snapshot again")
    words = dict(word.partition("=")[::2] for word in values["options"].split())
    deployment = store.deployment(entry.number)
    return BootFiles(
        kernel,
        values.get("initrd"),
        values["options"],
        deployment.kernel,
        entry.number,
        int(words.get("rastos.snapshot", deployment.snapshot)),
        "efi" in values,
    )


def boot_entries(esp: Esp) -> tuple[tuple[EntryName, dict[str, str], tuple[str, ...]], ...]:
    """Our boot entries by number: the name taken apart, what the file says, and the files on the ESP that it starts."""
    texts = esp.read_all(ENTRIES)
    found = []
    for name, content in texts.items():
        entry = parse_name(name)
        if entry is not None:
            values = parse_entry(content.decode("utf-8", "replace"))
            found.append((entry, values, boot_paths(values)))
    return tuple(sorted(found, key=lambda item: item[0].number))


def _line(text: str) -> str:
    return " ".join(text.split())
