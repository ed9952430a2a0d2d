"""Mounts that end with their block, always in the private namespace; and running programs inside another root."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rastos.errors import HostError
from rastos.host.namespace import private_mounts
from rastos.host.run import Completed, run

# mount(2), umount2(2)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 1024, 4096, 16384
MNT_DETACH = 2
FLAGS = {"nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC, "noatime": MS_NOATIME, "ro": MS_RDONLY}
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: Path, fstype: str, flags: int, data: str = "") -> None:
    if _libc.mount(source.encode(), os.fsencode(target), fstype.encode() or None, flags, data.encode() or None) != 0:
        number = ctypes.get_errno()
        raise HostError(
            f"cannot mount {fstype or 'bind'} {source}: {os.strerror(number)}",
            on=target,
            next_step="run `rastos doctor`; it says whether this kernel has that file system",
        ) from OSError(number, os.strerror(number))


def _unmount(target: Path) -> None:
    for attempt in range(50):
        if _libc.umount2(os.fsencode(target), 0) == 0:
            return
        if ctypes.get_errno() != errno.EBUSY:
            break
        time.sleep(0.02 * (attempt + 1) if attempt < 10 else 0.2)
    # somebody still holds it: off the tree now, gone when they let go
    _libc.umount2(os.fsencode(target), MNT_DETACH)


def mount_points(below: Path) -> tuple[Path, ...]:
    """Places at or below a folder where this process sees something mounted (proc_pid_mountinfo(5))."""
    base = below.resolve()
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        text = line.split(" ", 5)[4]
        for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            text = text.replace(escape, character)
        place = Path(text)
        if place == base or base in place.parents:
            found.append(place)
    return tuple(sorted(set(found)))


@contextmanager
def mounted(
    source: str | Path, target: Path, fstype: str, options: Sequence[str] = (), *, read_only: bool = False
) -> Iterator[Path]:
    """Mount a file system for the length of the block. Options the kernel knows as flags are passed as such."""
    private_mounts()
    flags = MS_RDONLY if read_only else 0
    data = []
    for option in options:
        if option in FLAGS:
            flags |= FLAGS[option]
        else:
            data.append(option)
    _mount(os.fspath(source), target, fstype, flags, ",".join(data))
    try:
        yield target
    finally:
        _unmount(target)


@contextmanager
def bound(source: Path, target: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Show a folder or file at another place for the length of the block."""
    private_mounts()
    _mount(os.fspath(source), target, "", MS_BIND)
    try:
        if read_only:
            _mount("none", target, "", MS_BIND | MS_REMOUNT | MS_RDONLY)
        yield target
    finally:
        _unmount(target)


@contextmanager
def overlaid(lower: Path, scratch: Path, target: Path) -> Iterator[Path]:
    """Show a folder at `target` so that what is written there stays in `scratch` (two folders are made in it).

    `scratch` must not lie below `lower`: the kernel refuses that (filesystems/overlayfs.rst).
    """
    private_mounts()
    for name in ("upper", "work"):
        (scratch / name).mkdir(mode=0o755, exist_ok=True)
    options = (f"lowerdir={_escaped(lower)}", f"upperdir={scratch / 'upper'}", f"workdir={scratch / 'work'}")
    with mounted("overlay", target, "overlay", options) as shown:
        yield shown


def _escaped(path: Path) -> str:
    return os.fspath(path).replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


@contextmanager
def system_mounts(root: Path) -> Iterator[Path]:
    """/proc, /sys (read-only), /run, /tmp and a small private /dev for programs that run inside `root`.

    Mount points that are missing are made and removed again. The host's own /dev is never shown.
    """
    private_mounts()
    with ExitStack() as stack:
        for name in ("proc", "sys", "dev", "run", "tmp"):
            stack.enter_context(_mount_point(root / name))
        stack.enter_context(mounted("proc", root / "proc", "proc", ("nosuid", "nodev", "noexec")))
        stack.enter_context(mounted("sysfs", root / "sys", "sysfs", ("nosuid", "nodev", "noexec"), read_only=True))
        dev = stack.enter_context(mounted("tmpfs", root / "dev", "tmpfs", ("nosuid", "mode=0755", "size=4m")))
        stack.enter_context(mounted("tmpfs", root / "run", "tmpfs", ("nosuid", "nodev", "mode=0755")))
        stack.enter_context(mounted("tmpfs", root / "tmp", "tmpfs", ("nosuid", "nodev", "mode=1777")))
        for name, (major, minor) in DEVICES.items():
            os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
            os.chmod(dev / name, 0o666)
        for name, link in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
            os.symlink(link if name == "fd" else f"/proc/self/{link}", dev / name)
        (dev / "shm").mkdir()
        (dev / "shm").chmod(0o1777)  # mkdir's mode is cut by the umask
        (dev / "pts").mkdir()
        stack.enter_context(mounted("devpts", dev / "pts", "devpts", ("newinstance", "ptmxmode=0666", "mode=620")))
        os.symlink("pts/ptmx", dev / "ptmx")
        yield root


@contextmanager
def _mount_point(path: Path) -> Iterator[None]:
    made = not path.exists()
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise HostError("a mount point is not a folder", on=path, next_step="the tree is damaged; make it again")
    if made:
        path.mkdir(parents=True)
    try:
        yield
    finally:
        if made:
            try:
                path.rmdir()
            except OSError:
                pass


def run_in_root(
    root: Path,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | str | None = None,
    check: bool = True,
    on_line: Callable[[str], None] | None = None,
    network: bool = False,
    timeout: float | None = None,
    log: Path | None = None,
    what: str = "",
    user: int | None = None,
    sealed: bool = False,
) -> Completed:
    """Run a program inside `root` in its own PID, IPC and UTS namespaces (and network, unless `network`).

    `user`: as that user and group id, with no other groups and no way to more privileges (PR_SET_NO_NEW_PRIVS).
    `sealed`: as root, but without the means to change the machine: see `argv_in_root`.
    Nothing it starts outlives it: the PID namespace dies with its first process. Expects `system_mounts(root)`.
    """
    command = argv_in_root(root, argv, network=network, user=user, sealed=sealed)
    return run(command, env=env, stdin=stdin, check=check, on_line=on_line, timeout=timeout, log=log, what=what)


# what a program in another root has no business with: mounting, device nodes, modules, ports, reboot, clock, network, log
_WITHHELD = "sys_admin,mknod,sys_module,sys_rawio,sys_boot,sys_time,net_admin,syslog,mac_admin,mac_override"
# the parts of /proc that act on the machine (proc(5)): to be read only
_SEAL = """root=$1; shift
for name in sys sysrq-trigger irq bus fs; do
	[ ! -e "$root/proc/$name" ] || mount -o bind,ro "$root/proc/$name" "$root/proc/$name" || exit 125
done
exec "$@"
"""


def argv_in_root(
    root: Path, argv: Sequence[str | Path], *, network: bool = False, user: int | None = None, sealed: bool = False
) -> list[str | Path]:
    """The command that runs a program inside `root`, as `run_in_root` does it.

    `sealed`: /proc/sys and its like can't be written, and the capabilities to mount, to make device nodes, to load
    modules, to set the clock or the network are gone for good (capabilities(7), bounding set).
    """
    private_mounts()
    isolation = ["--fork", "--pid", "--kill-child", "--ipc", "--uts", "--mount-proc=" + os.fspath(root / "proc")]
    if not network:
        isolation.append("--net")
    changing: list[str | Path] = ["chroot", root]
    if user is not None:
        # changing ids clears the signal for a parent's death: a first process that keeps ours holds the namespace, and
        # dies with us
        changing = ["unshare", "--fork", "--kill-child", "--", "setpriv", "--no-new-privs", "--inh-caps=-all", "--"]
        changing += ["chroot", f"--userspec=+{user}:+{user}", "--groups=", root]
    if sealed:
        withheld = ",".join(f"-{name}" for name in _WITHHELD.split(","))
        changing = ["sh", "-c", _SEAL, "sh", root, "setpriv", f"--bounding-set={withheld}", "--", *changing]
    return ["unshare", *isolation, "--", *changing, *argv]
