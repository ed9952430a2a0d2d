"""Reading a whole snapshot and holding it to its manifest, or to what its packages recorded where it has none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError
from rastos.package import Difference, exact_manifest, target_for, tree_differences
from rastos.package import verify as verify_packages
from rastos.progress import Progress

from ..signing import Trust
from ..store import Store
from .record import SnapshotManifest, read_manifest
from .sealing import quick_problems


@dataclass(frozen=True, slots=True)
class Damage:
    """One path that is not what it was; `what`: changed, missing, added or unreadable; `detail` which part of it."""

    path: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotCheck:
    """What a check came to. `basis`: manifest, packages, or quick; `signer`: who signed the manifest, or ""."""

    snapshot: int
    basis: str
    paths: int
    damage: tuple[Damage, ...]
    signer: str = ""
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Nothing was found."""
        return not self.damage and not self.notes


_PARTS = ("type", "mode", "owner", "content", "attributes")


def check_snapshot(
    store: Store, number: int, trust: Trust, progress: Progress, *, quick: bool = False, cache: Path | None = None
) -> SnapshotCheck:
    """Check one snapshot; `quick` reads no files. IntegrityError: its manifest is damaged or wrongly signed."""
    notes = quick_problems(store, number)
    if quick:
        return SnapshotCheck(number, "quick", 0, (), "", notes)
    manifest = read_manifest(store, number)
    if manifest is None:
        return _by_packages(store, number, progress, notes, cache or store.top)
    signer = signer_of(manifest, trust, number)
    with progress.step(f"Verifying snapshot {number}") as step:
        found = exact_manifest(store.tree(number))
        damage = tuple(_damage(item) for item in tree_differences(manifest.leaves, found))
        step.outcome = f"{len(found)} paths, {len(damage) or 'nothing'} changed"
    return SnapshotCheck(number, "manifest", len(manifest.leaves), damage, signer, notes)


def signer_of(manifest: SnapshotManifest, trust: Trust, number: int) -> str:
    """Who signed a manifest; "" for nobody, or where there is no keyring. IntegrityError: wrongly signed."""
    if not manifest.signature or trust.keyring is None or not trust.keyring.is_file():
        if trust.keyring is not None and trust.keyring.is_file() and not trust.unsigned:
            raise IntegrityError(
                f"the manifest of snapshot {number} is not signed, although there is a keyring of trusted keys",
                on=trust.keyring,
                next_step="sign it if you trust it: rastos snapshot verify ID --record, or take it: --unsigned",
            )
        return ""
    return trust.check(manifest.raw, manifest.signature, f"the manifest of snapshot {number}")


def _damage(found: Difference) -> Damage:
    if not found.after:
        return Damage(found.path, "missing")
    if not found.before:
        return Damage(found.path, "added")
    was, now = found.before.split(" ", 4), found.after.split(" ", 4)
    if now[3].startswith("unreadable:"):
        return Damage(found.path, "unreadable")
    pairs = zip(_PARTS, [*was, "", ""], [*now, "", ""], strict=False)
    return Damage(found.path, "changed", ", ".join(name for name, before, after in pairs if before != after))


def _by_packages(store: Store, number: int, progress: Progress, notes: tuple[str, ...], cache: Path) -> SnapshotCheck:
    """Without a manifest: every file has to be readable (btrfs checks its checksums), and packages know their own."""
    with progress.step(f"Verifying snapshot {number}, which has no manifest") as step:
        leaves = exact_manifest(store.tree(number))
        damage = [Damage(leaf.path, "unreadable") for leaf in leaves if " unreadable:" in leaf.text]
        target = target_for(store.tree(number), cache, immutable=True)
        try:
            known = verify_packages(target, (), progress)
        except IntegrityError as error:
            database = str(target.database.relative_to(target.root))
            return SnapshotCheck(
                number, "packages", len(leaves), (*damage, Damage(database, "unreadable", error.what)), "", notes
            )
        broken = {item.path for item in damage}
        for finding in known.altered:
            path = finding.path.lstrip("/")
            if path not in broken:
                missing = finding.problems == ("No such file or directory",)
                damage.append(Damage(path, "missing" if missing else "changed", ", ".join(finding.problems)))
        step.outcome = f"{known.files} files of packages, {len(damage) or 'nothing'} changed"
    return SnapshotCheck(number, "packages", len(leaves), tuple(damage), "", notes)
