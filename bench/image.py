"""Making an image against doing it by hand with mmdebstrap: cold, warm, and the size of the qcow2. `bench/image.py`, alone.

The peer installs the same Debian packages (every one named), by dpkg and with their scripts, from files that were fetched
before, into the same kind of disk: GPT, ESP with systemd-boot and a boot entry, btrfs with the same compression, the same
kernel package, qcow2 at the end. Both sides have their packages on disk when the clock starts. Beside seconds there is
processor time, of the command and all it starts: on a machine that does other things only that can be compared.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("RASTOS_CACHE", str(ROOT / ".rastos/cache"))
os.environ.setdefault("RASTOS_STATE", str(ROOT / ".rastos/state"))
RASTOS = [sys.executable, "-m", "rastos"]
PROFILE = "server"
ESP = 1 << 20, 256 << 20  # start and size, as the profile has them
SIZE = 4 << 30
ADDED = "tree"  # a package that the profile doesn't have
# what debootstrap does for a merged /usr; the packages expect it
MERGED = 'for name in bin sbin lib lib64; do mkdir -p "$1/usr/$name"; ln -s "usr/$name" "$1/$name"; done'


@dataclass(frozen=True)
class Cost:
    """Of one way to do it: seconds, processor seconds, MiB of the result on disk."""

    seconds: float
    processor: float
    size: int = 0


def timed(work: Callable[[], object]) -> Cost:
    """What it costs, with everything it starts and waits for."""
    usage, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    work()
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(seconds, after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime)


def command(*words: str | Path, text: str | None = None) -> str:
    """Run a program; its failure ends the bench and shows what it said."""
    done = subprocess.run([str(word) for word in words], cwd=ROOT, input=text, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))[:200]}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
    return done.stdout


def row(name: str, cost: Cost, peer: Cost | None = None, aim: str = "-") -> None:
    """One line; the ratios are of seconds and of processor time."""
    ratios = f"{cost.seconds / peer.seconds:6.2f}× {cost.processor / peer.processor:6.2f}×" if peer else " " * 15
    size = f"{cost.size:5d} MiB" if cost.size else " " * 9
    print(f"{name:<46} {cost.seconds:7.1f} s {cost.processor:7.1f} s {size} {ratios}   aim {aim}", flush=True)


def on_disk(path: Path) -> int:
    """MiB that a file takes."""
    return path.stat().st_blocks * 512 >> 20


def fetched(folder: Path) -> tuple[list[str], Path, Path]:
    """The names of the profile's Debian packages, a repository of their files, and the kernel's package."""
    from rastos.cli.app import Application
    from rastos.host import sha256_file
    from rastos.installer import load_image_profile
    from rastos.installer.image import packages_of
    from rastos.package import LocalRepository, load_manifest, open_channels
    from rastos.progress import Progress

    config = Application().config
    manifest, repository = load_manifest(config.manifest), LocalRepository(config.repository)
    channels = open_channels(manifest, cache=config.cache, repository=repository)
    profile = load_image_profile(PROFILE, config.profile_folders)
    kernel, plan = packages_of(profile, manifest, channels, repository, cache=config.cache, progress=Progress())
    ours = {item.name for item in repository.packages()}
    names = [record.name for record in plan.records if record.name not in ours]
    debs = folder / "debs"
    debs.mkdir()
    subprocess.run(["apt-get", "--quiet=2", "download", *names], cwd=debs, check=True, capture_output=True)
    with open(debs / "Packages", "w") as index:  # as dpkg-scanpackages(1) writes it
        for deb in sorted(debs.glob("*.deb")):
            fields = command("dpkg-deb", "--field", deb)
            index.write(f"{fields}Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {sha256_file(deb)}\n\n")
    return names, debs, kernel.path


def by_hand(folder: Path, names: list[str], debs: Path, kernel: Path) -> Path:
    """A bootable disk without rastos; what somebody would write into a script."""
    disk, top, root_at = folder / "hand.raw", folder / "hand", sum(ESP)
    disk.unlink(missing_ok=True)
    with open(disk, "xb") as stream:
        stream.truncate(SIZE)
    table = (
        f"label: gpt\nstart={ESP[0] // 512}, size={ESP[1] // 512}, type=uefi\n"
        "type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709\n"
    )
    command("sfdisk", "--quiet", disk, text=table)
    command("mkfs.vfat", "-F", "32", "-s", "1", f"--offset={ESP[0] // 512}", disk, str(ESP[1] // 1024))
    size = json.loads(command("sfdisk", "--json", disk))["partitiontable"]["partitions"][1]["size"] * 512
    words = ["losetup", "--find", "--show", "--offset", str(root_at), "--sizelimit", str(size), disk]
    loop = command(*words).strip()
    top.mkdir(exist_ok=True)
    try:
        command("mkfs.btrfs", "--quiet", "--force", loop)
        command("mount", "-o", "noatime,compress=zstd:1", loop, top)
        try:
            words = ["mmdebstrap", "--mode=root", "--variant=custom", f"--include={','.join(names)}"]
            words += [f"--setup-hook={MERGED}", "bookworm", top, f"deb [trusted=yes] copy:{debs} ./"]
            command(*words)
            command("tar", "--zstd", "-xf", kernel, "-C", top, "usr")
            release = next(path.parent.name for path in (top / "usr/lib/modules").glob("*/vmlinuz"))
            command("depmod", "-b", top / "usr", release)
            (top / "etc/hostname").write_text("by-hand\n")
            _boot_files(folder, disk, top, release)
            command("fstrim", top)
        finally:
            command("umount", top)
    finally:
        command("losetup", "--detach", loop)
    output = folder / "hand.qcow2"
    command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", disk, output)
    disk.unlink()
    return output


def _boot_files(folder: Path, disk: Path, top: Path, release: str) -> None:
    part = json.loads(command("sfdisk", "--json", disk))["partitiontable"]["partitions"][1]["uuid"]
    entry = folder / "entry.conf"
    entry.write_text(f"title by hand\nlinux /vmlinuz\noptions root=PARTUUID={part} rw console=ttyS0\n")
    esp = f"{disk}@@{ESP[0]}"
    for name in ("EFI", "EFI/BOOT", "loader", "loader/entries"):
        command("mmd", "-i", esp, f"::/{name}")
    files = {
        top / "usr/lib/systemd/boot/efi/systemd-bootx64.efi": "EFI/BOOT/BOOTX64.EFI",
        top / "usr/lib/modules" / release / "vmlinuz": "vmlinuz",
        entry: "loader/entries/by-hand.conf",
    }
    for source, target in files.items():
        command("mcopy", "-i", esp, source, f"::/{target}")


def create(folder: Path, *words: str, profile: str | Path = PROFILE) -> tuple[Cost, str]:
    """One `rastos image create`; what it cost and what it says was made again."""
    output = folder / "rastos.qcow2"
    said: list[str] = []
    argv = [*RASTOS, "image", "create", "--profile", profile, "--output", output, "--force", "--json", *words]
    cost = timed(lambda: said.append(command(*argv)))
    found = json.loads(said[0])
    for name, seconds in found["seconds"].items():
        print(f"    {name:<60} {seconds:7.2f} s", flush=True)
    return Cost(cost.seconds, cost.processor, on_disk(output)), str(found["why"])


def main() -> None:
    """Everything, once each way and once back; needs root, the profile's kernel, mmdebstrap and the network once."""
    from rastos.host import private_mounts

    private_mounts()  # what is mounted by hand is seen by nobody else, who could hold it
    cache = Path(os.environ["RASTOS_CACHE"])
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-image-", dir=cache) as name:
        folder = Path(name)
        names, debs, kernel = fetched(folder)
        profiles = folder / "profiles"
        profiles.mkdir()
        (profiles / "added.toml").write_text(f'inherits = "{PROFILE}"\npackages = ["{ADDED}"]\n')
        command(*RASTOS, "image", "create", "--profile", "minimal", "--output", folder / "warm-up.qcow2", "--force")
        print(f"{len(names)} packages of {PROFILE}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"{'what':<46} {'wall':>9} {'processor':>9} {'qcow2':>9} {'ratios':>15}")
        cold, _ = create(folder, "--no-cache")
        made: list[Path] = []
        peer = timed(lambda: made.append(by_hand(folder, names, debs, kernel)))
        peer = Cost(peer.seconds, peer.processor, on_disk(made[0]))
        row("mmdebstrap, mkfs, systemd-boot by hand", peer)
        row("image create, cold", cold, peer, "≤ 1.2×, qcow2 ≤ theirs")
        changes: list[tuple[str, list[str], str | Path, str]] = [
            ("nothing changed", [], PROFILE, "-"),
            ("host name changed", ["--hostname", "other"], PROFILE, "less than a package"),
            ("one package added", [], profiles / "added.toml", "≤ 5 s"),
            ("another kernel", ["--kernel", "ci"], PROFILE, "-"),
        ]
        for what, words, profile, aim in changes:
            cost, why = create(folder, *words, profile=profile)
            row(f"image create, {what}", cost, peer, aim)
            print(f"    {why}", flush=True)


if __name__ == "__main__":
    main()
