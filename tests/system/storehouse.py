"""A store for tests: btrfs on a loop file, an ESP in a FAT file, trees that look like systems."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rastos.host import attached, mounted, run, sha256_file, working_directory
from rastos.kernel import plan_initramfs, write_initramfs
from rastos.snapshot import MtoolsEsp, Snapshot, Store, create_session
from rastos.snapshot.bootentry import ENTRIES, parse_entry
from tests.conftest import need

ESP_SIZE = 40 << 20
_MADE: dict[str, str] = {}  # key of an initramfs (a digest of all that goes in): digest of the file
MACHINE_ID = "0123456789abcdef0123456789abcdef\n"


def make_files(folder: Path) -> None:
    """The two files, formatted and empty."""
    for name, size in (("root.img", 512 << 20), ("esp.img", ESP_SIZE)):
        with open(folder / name, "xb") as stream:
            stream.truncate(size)
    run(["mkfs.btrfs", "-q", folder / "root.img"])
    run(["mkfs.vfat", "-F", "16", "-n", "ESP", folder / "esp.img"])


@contextmanager
def mounted_store(folder: Path, *, fresh: bool = False, writable: bool = True) -> Iterator[Store]:
    """Mount them and open (or lay out) the store."""
    esp = MtoolsEsp(folder / "esp.img", 0, ESP_SIZE)
    (folder / "top").mkdir(exist_ok=True)
    with attached(folder / "root.img") as device, mounted(device, folder / "top", "btrfs") as top:
        if fresh:
            yield Store.initialise(
                top, esp, root_partuuid="11111111-2222-4333-8444-555555555555", cmdline="console=ttyS0"
            )
        else:
            yield Store.open(top, esp, writable=writable)


@contextmanager
def furnished(folder: Path) -> Iterator[Store]:
    """A new store on new files; a test that leaves something behind in it, or an entry that can't start, fails."""
    need("mkfs.btrfs", "mkfs.vfat", "mcopy")
    make_files(folder)
    with mounted_store(folder, fresh=True) as store:
        yield store
        assert leftovers(store) == []
        assert flaws(store) == []


def fill(tree: Path, *, release: str = "6.1-test", kernel: bytes = b"kernel one") -> None:
    """Make an empty tree look like a system."""
    files = {
        f"usr/lib/modules/{release}/vmlinuz": kernel,
        f"usr/lib/modules/{release}/modules.dep": b"kernel/btrfs.ko:\n",
        f"usr/lib/modules/{release}/kernel/btrfs.ko": b"ELF one",
        f"usr/lib/modules/{release}/config": b"CONFIG_MODULES=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_RD_ZSTD=y\n",
        "usr/lib/rastos/init": b"#!init",
        "usr/lib/rastos/initramfs": b"#!initramfs",
        "usr/lib/sysimage/pacman/local/base-1.0-1/desc": b"%NAME%\nbase\n\n%VERSION%\n1.0-1\n\n",
        "etc/hostname": b"test\n",
        "etc/machine-id": b"",
        "etc/app.conf": b"one\n",
        "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
        "var/lib/app/data": b"shipped\n",
        "root/.profile": b"",
    }
    for name, content in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    for name in ("home", "srv"):
        (tree / name).mkdir(exist_ok=True)


def first_snapshot(store: Store) -> Snapshot:
    """Snapshot 0."""
    with create_session(store, None, "test") as session:
        fill(session.tree)
        return session.commit("first")


def child(store: Store, base: int, description: str, files: dict[str, str | None]) -> Snapshot:
    """A snapshot that changes some files of its base; None removes one."""
    with create_session(store, base, "test") as session:
        for name, content in files.items():
            place = session.tree / name
            if content is None:
                place.unlink()
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content)
        return session.commit(description)


def flaws(store: Store) -> list[str]:
    """What stands against booting: every entry must start a complete deployment, and there must be one.

    Looks at the disk alone, knowing nothing of journals: what it sees is what the boot loader would.
    """
    found = []
    entries = store.entries()
    if not entries:
        found.append("no boot entry")
    for entry in entries:
        values = parse_entry(store.esp.read(f"{ENTRIES}/{entry.name}").decode())
        words = dict(word.partition("=")[::2] for word in values.get("options", "").split())
        snapshot, deployment = words.get("rastos.snapshot", ""), words.get("rastos.deployment", "")
        if deployment != str(entry.number):
            found.append(f"{entry.name} starts deployment {deployment!r}")
        if (
            words.get("rootflags") != f"subvol=snapshots/{snapshot}/tree"
            or not (store.top / f"snapshots/{snapshot}/tree/usr/lib/rastos/init").is_file()
        ):
            found.append(f"{entry.name}: its snapshot is not there")
        etc = store.top / f"deployments/{deployment}/etc"
        if not (etc / "hostname").is_file() or not (etc / "rastos/deployment.json").is_file():
            found.append(f"{entry.name}: its /etc is not complete")
        linux = values.get("linux", "")
        kernels = sorted((store.top / f"snapshots/{snapshot}/tree/usr/lib/modules").glob("*/vmlinuz"))
        on_esp = store.esp.read(linux) if linux and store.esp.exists(linux) else b""
        vmlinuz = next((path for path in kernels if path.read_bytes() == on_esp), None)
        if not on_esp:
            found.append(f"{entry.name}: its kernel is not on the ESP")
        elif vmlinuz is None:
            found.append(f"{entry.name}: the kernel is not the one of its snapshot")
        elif sha256_file(vmlinuz)[:16] not in linux:
            found.append(f"{entry.name}: the kernel's name is not its digest")
        found += [f"{entry.name}: {flaw}" for flaw in _initramfs_flaws(store, values.get("initrd", ""), vmlinuz)]
    return found


def _initramfs_flaws(store: Store, initrd: str, vmlinuz: Path | None) -> list[str]:
    """Against one that is made again from the snapshot's tree."""
    plan = plan_initramfs(vmlinuz.parents[4], vmlinuz.parent.name) if vmlinuz is not None else None
    if vmlinuz is not None and plan is None and not initrd:
        return []  # a kernel that needs none
    if vmlinuz is None or plan is None or not initrd or not store.esp.exists(initrd):
        return ["its initramfs is not on the ESP"]
    tree = vmlinuz.parents[4]
    if plan.key not in _MADE:
        with working_directory(Path("/tmp"), "rastos-test-") as place:
            write_initramfs(plan, tree, place / "initramfs")
            _MADE[plan.key] = sha256_file(place / "initramfs")
    same = _MADE[plan.key] == hashlib.sha256(store.esp.read(initrd)).hexdigest()
    return [] if same else ["the initramfs is not the one of its snapshot"]


def leftovers(store: Store) -> list[str]:
    """What a recovered store must not have."""
    places = [*store.top.glob("snapshots/.new-*"), *store.top.glob("deployments/.new-*")]
    places += [*store.top.glob("sessions/*"), *store.top.glob("journal/*")]
    names = {entry.number for entry in store.entries()}
    found = [str(path.relative_to(store.top)) for path in places]
    found += [f"deployment {item.number} without an entry" for item in store.deployments() if item.number not in names]
    found += [name for name in store.esp.list(ENTRIES) if name.endswith(".new")]
    values = [parse_entry(store.esp.read(f"{ENTRIES}/{entry.name}").decode()) for entry in store.entries()]
    used = {entry[key].split("/")[2] for entry in values for key in ("linux", "initrd", "efi") if key in entry}
    return found + [f"kernel or initramfs {name}" for name in store.esp.list("/rastos") if name not in used]
