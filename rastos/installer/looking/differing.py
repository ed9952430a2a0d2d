"""What differs between two images (or two snapshots of one): disk, boot entries, packages, kernel, services, /etc, files.

Each image is read by itself and closed before the other is opened: two copies of one image have one file system id, which
older kernels mount once only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import safe_join
from rastos.kernel import read_config
from rastos.package import Leaf, exact_manifest, read_local, shown_version, target_for
from rastos.progress import Progress
from rastos.snapshot import PackageChange, ValueChange, services

from .manifest import deployments_of, kernel_command_line, kernel_of
from .references import ImageReference, OpenSnapshot, opened_snapshot

IMAGE_SECTIONS = (
    "partitions",
    "boot",
    "packages",
    "kernel",
    "config",
    "command-line",
    "services",
    "etc",
    "files",
)
DATABASE = "usr/lib/sysimage/pacman"  # what differs there, the packages say
# words of a command line that name this disk, this snapshot and this deployment
_OWN_WORDS = ("root=", "rootflags=", "rastos.deployment=", "rastos.snapshot=")


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path relative to the root; `what` is added, removed or changed, `parts` what of it changed (type, mode, …)."""

    path: str
    what: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """One side of a comparison, read once; what was not asked for is empty."""

    name: str
    partitions: Mapping[str, str] = field(default_factory=dict)
    boot: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    kernel: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    command_line: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, str] = field(default_factory=dict)
    etc: tuple[Leaf, ...] = ()
    files: tuple[Leaf, ...] = ()
    installed_size: int = 0


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """All that differs between two images; empty sections: no difference there.

    `installed_size`: bytes of all packages, before and after; 0 where packages were not asked for.
    """

    before: str
    after: str
    partitions: tuple[ValueChange, ...] = ()
    boot: tuple[ValueChange, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    kernel: tuple[ValueChange, ...] = ()
    config: tuple[ValueChange, ...] = ()
    command_line: tuple[ValueChange, ...] = ()
    services: tuple[ValueChange, ...] = ()
    etc: tuple[FileChange, ...] = ()
    files: tuple[FileChange, ...] = ()
    installed_size: tuple[int, int] = (0, 0)

    def __bool__(self) -> bool:
        return any(getattr(self, name.replace("-", "_")) for name in IMAGE_SECTIONS)


def image_difference(
    before: ImageReference,
    after: ImageReference,
    progress: Progress,
    *,
    only: Collection[str] = IMAGE_SECTIONS,
    path: str = "",
) -> ImageDifference:
    """Compare two images in these sections, the files only at and below `path`. UserError: unknown section, no such path.

    Without a snapshot named an image is what it boots next, with the /etc of that deployment; else /etc is the snapshot's.
    """
    unknown = set(only) - set(IMAGE_SECTIONS)
    if unknown:
        raise UserError(
            f"a difference has no part '{sorted(unknown)[0]}'", next_step=f"its parts: {', '.join(IMAGE_SECTIONS)}"
        )
    sides = []
    for reference in (before, after):
        with progress.step(f"Reading {reference}"):
            with opened_snapshot(reference, writable=False, purpose="compare images") as opened:
                sides.append(describe(opened, str(reference), only, path.strip("/")))
    if path and not any(side.files or side.etc for side in sides):
        raise UserError(f"neither image has /{path.strip('/')}", next_step="name a path that one of them has")
    return compare(*sides)


def describe(opened: OpenSnapshot, name: str, only: Collection[str], path: str = "") -> Described:
    """Read one side."""
    tree, store = opened.tree, opened.store
    kernel = kernel_of(opened)
    etc = store.deployment_path(opened.deployment.number) / "etc" if opened.deployment else tree / "etc"
    in_etc = path == "etc" or path.startswith("etc/")
    whole = not path
    records = read_local(target_for(tree, tree).database) if "packages" in only else {}
    return Described(
        name,
        partitions={
            part.name
            or f"partition {part.number}": f"{part.size >> 20} MiB at {part.start >> 20} MiB, type {part.type}"
            for part in (opened.image.partitions if "partitions" in only else ())
        },
        boot={
            f"deployment {item.number}": f"snapshot {item.snapshot}, kernel {item.kernel}, {item.state}"
            for item in (deployments_of(store) if "boot" in only else ())
        },
        packages={key: record.version for key, record in records.items()},
        kernel={"release": kernel.release, "package": kernel.package, "vmlinuz sha256": kernel.sha256}
        if "kernel" in only
        else {},
        config=_config(tree, kernel.release) if "config" in only else {},
        command_line=_words(opened) if "command-line" in only else {},
        services=services(tree) if "services" in only else {},
        etc=_leaves(etc, path.removeprefix("etc").strip("/"), "etc") if "etc" in only and (whole or in_etc) else (),
        files=_leaves(tree, path, "") if "files" in only and (whole or not in_etc) else (),
        installed_size=sum(record.installed_size for record in records.values()),
    )


def compare(before: Described, after: Described) -> ImageDifference:
    """Put two sides beside each other."""
    versions = ({key: shown_version(text) for key, text in side.packages.items()} for side in (before, after))
    return ImageDifference(
        before.name,
        after.name,
        partitions=_values(before.partitions, after.partitions),
        boot=_values(before.boot, after.boot),
        packages=tuple(PackageChange(item.name, item.before, item.after) for item in _values(*versions)),
        kernel=_values(before.kernel, after.kernel),
        config=_values(before.config, after.config),
        command_line=_values(before.command_line, after.command_line),
        services=_values(before.services, after.services),
        etc=changed_paths(before.etc, after.etc),
        files=changed_paths(before.files, after.files),
        installed_size=(before.installed_size, after.installed_size),
    )


def _values(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[ValueChange, ...]:
    return tuple(
        ValueChange(name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def changed_paths(before: tuple[Leaf, ...], after: tuple[Leaf, ...]) -> tuple[FileChange, ...]:
    """The paths that differ between two lists of them; a folder that is new or gone is one line."""
    was, now = ({leaf.path: leaf.text for leaf in side} for side in (before, after))
    found: list[FileChange] = []
    whole = ""
    for path in sorted(was.keys() | now.keys()):
        if was.get(path) == now.get(path) or (whole and path.startswith(whole)):
            continue
        if path in was and path in now:
            found.append(FileChange(path, "changed", _parts(was[path], now[path])))
            continue
        text = was.get(path) or now[path]
        whole = f"{path}/" if text.startswith("folder ") else ""
        found.append(FileChange(path, "removed" if path in was else "added"))
    return tuple(found)


def _parts(before: str, after: str) -> tuple[str, ...]:
    one, two = before.split(" ", 4), after.split(" ", 4)
    names = ("type", "mode", "owner", "target" if one[0] == "link" else "content", "attributes")
    pairs = list(zip(names, (*one, ""), (*two, ""), strict=False))
    return tuple(
        f"{name} {was} → {now}" if name in ("mode", "owner", "type") else name for name, was, now in pairs if was != now
    )


def _leaves(root: Path, path: str, prefix: str) -> tuple[Leaf, ...]:
    """Paths below a folder as the root has them; () where it is not there. A file by itself is one."""
    try:
        place = safe_join(root, path) if path else root
    except IntegrityError:
        return ()
    if not place.exists() or place.is_symlink():
        return ()
    lead = "/".join(part for part in (prefix, path) if part)
    if not place.is_dir():
        name = path.rpartition("/")[2]
        return tuple(Leaf(lead, leaf.text) for leaf in exact_manifest(place.parent) if leaf.path == name)
    found = []
    for leaf in exact_manifest(place):
        full = lead or "." if leaf.path == "." else f"{lead}/{leaf.path}" if lead else leaf.path
        if prefix or not (full == DATABASE or full.startswith((f"{DATABASE}/", "etc/"))):
            found.append(Leaf(full, leaf.text))
    return tuple(found)


def _config(tree: Path, release: str) -> dict[str, str]:
    place = tree / "usr/lib/modules" / release / "config"
    try:
        return read_config(place) if release and place.is_file() else {}
    except (OSError, UnicodeDecodeError):
        return {}


def _words(opened: OpenSnapshot) -> dict[str, str]:
    """The command line's words by what is before the equals sign; a word said twice has both values."""
    number = opened.deployment.number if opened.deployment else 0
    line = next((item.command_line for item in deployments_of(opened.store) if item.number == number), "")
    if not line:
        try:
            line = kernel_command_line(opened.tree, opened.snapshot.kernel)
        except IntegrityError:
            line = ""
    found: dict[str, str] = {}
    for word in line.split():
        if not word.startswith(_OWN_WORDS):
            name, _, value = word.partition("=")
            found[name] = f"{found[name]}, {value}" if name in found else value or "set"
    return found
