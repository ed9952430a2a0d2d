"""The configured system: what makes a tree of packages this machine. Written into the tree before it becomes a snapshot."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from rastos.errors import UserError
from rastos.host import run_in_root, safe_join, system_mounts

from .partition import Partition
from .profiles import ImageProfile, User

NETWORK = """\
# Written by rastos: addresses by DHCP on every wired interface.
[Match]
Name=en* eth*

[Network]
DHCP=yes
"""
HOST_KEYS = """\
[Unit]
Description=Make SSH host keys on the first boot
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key
Before=ssh.service sshd.service

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
"""
BUILT_IN_LOCALES = ("c", "posix", "c.utf-8", "c.utf8")
UNITS = "usr/lib/systemd/system"
# what is mounted before or by systemd can't be made later: the root is read-only
MOUNT_POINTS = {"efi": 0o755, "proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777}
MOUNT_POINTS |= {"etc": 0o755, "var": 0o755, "home": 0o755, "root": 0o700, "srv": 0o755}


def configure_system(tree: Path, profile: ImageProfile, esp: Partition) -> None:
    """Write the profile into the tree. Raises UserError for what the tree doesn't have (time zone, group)."""
    for name, mode in MOUNT_POINTS.items():
        if not (tree / name).exists():
            (tree / name).mkdir()
            (tree / name).chmod(mode)
    _identity(tree, profile)
    _time_and_language(tree, profile)
    _network(tree)
    _ssh(tree, profile)
    _people(tree, profile)
    _disks(tree, esp)
    _temporary(tree)
    _services(tree, profile)


def _write(tree: Path, path: str, text: str, mode: int = 0o644) -> None:
    place = safe_join(tree, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    place.write_text(text, encoding="utf-8")
    place.chmod(mode)


def _link(tree: Path, path: str, to: str) -> None:
    place = safe_join(tree, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        place.unlink()
    place.symlink_to(to)


def _identity(tree: Path, profile: ImageProfile) -> None:
    _write(tree, "etc/hostname", f"{profile.hostname}\n")
    name = profile.hostname.partition(".")[0]
    names = profile.hostname if name == profile.hostname else f"{profile.hostname} {name}"
    _write(tree, "etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n")
    # machine-id(5): empty means "make one at boot"; every machine made from this image gets its own
    _write(tree, "etc/machine-id", "", 0o444)
    dbus = tree / "var/lib/dbus/machine-id"
    if dbus.exists() and not dbus.is_symlink():
        dbus.unlink()


def _time_and_language(tree: Path, profile: ImageProfile) -> None:
    if not safe_join(tree, f"usr/share/zoneinfo/{profile.timezone}").is_file():
        raise UserError(
            f"unknown time zone '{profile.timezone}'",
            on=profile.path,
            next_step="use a name such as Europe/Berlin; the packages must include tzdata",
        )
    _link(tree, "etc/localtime", f"/usr/share/zoneinfo/{profile.timezone}")
    _write(tree, "etc/timezone", f"{profile.timezone}\n")
    if profile.locale.lower() not in BUILT_IN_LOCALES:
        _make_locale(tree, profile)
    _write(tree, "etc/locale.conf", f"LANG={profile.locale}\n")
    if (tree / "etc/default").is_dir():
        _write(tree, "etc/default/locale", f"LANG={profile.locale}\n")


def _make_locale(tree: Path, profile: ImageProfile) -> None:
    """Compile a locale that glibc doesn't bring; its sources and `locale-gen` have to be among the packages."""
    sources = tree / "usr/share/i18n/SUPPORTED"
    known = sources.read_text(encoding="utf-8").splitlines() if sources.is_file() else []
    line = next((row for row in known if row.split()[:1] == [profile.locale]), None)
    if line is None:
        near = difflib.get_close_matches(profile.locale, [row.split()[0] for row in known if row.strip()], n=1)
        step = f"did you mean '{near[0]}'?" if near else "use C.UTF-8, or add the package that has locales to make"
        raise UserError(f"there is no locale '{profile.locale}'", on=profile.path, next_step=step)
    _write(tree, "etc/locale.gen", f"{line}\n")
    with system_mounts(tree):
        run_in_root(tree, ["locale-gen"], what=f"make the locale {profile.locale}")


def _network(tree: Path) -> None:
    _write(tree, "etc/systemd/network/80-rastos-dhcp.network", NETWORK)
    if (tree / "usr/lib/systemd/systemd-resolved").exists():
        _link(tree, "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")


def _ssh(tree: Path, profile: ImageProfile) -> None:
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    if (tree / "usr/bin/ssh-keygen").exists():
        _write(tree, f"{UNITS}/rastos-host-keys.service", HOST_KEYS)
        _link(tree, f"{UNITS}/multi-user.target.wants/rastos-host-keys.service", "../rastos-host-keys.service")
    if profile.ssh_keys:
        _authorize(tree, "root", 0, 0, profile.ssh_keys)


def _authorize(tree: Path, home: str, uid: int, gid: int, keys: tuple[str, ...]) -> None:
    folder = safe_join(tree, f"{home}/.ssh")
    folder.mkdir(mode=0o700, exist_ok=True)
    place = folder / "authorized_keys"
    place.write_text("".join(f"{key}\n" for key in keys), encoding="utf-8")
    place.chmod(0o600)
    for path in (folder, place):
        os.chown(path, uid, gid)


def _people(tree: Path, profile: ImageProfile) -> None:
    _set_password(tree, "root", profile.root_password)
    if not profile.users:
        return
    with system_mounts(tree):
        for user in profile.users:
            _add_user(tree, user, profile)


def _add_user(tree: Path, user: User, profile: ImageProfile) -> None:
    argv = ["useradd", "--create-home", "--shell", user.shell]
    groups = {line.split(":")[0] for line in (tree / "etc/group").read_text().splitlines()}
    missing = [name for name in user.groups if name not in groups]
    if missing:
        raise UserError(
            f"user {user.name} is to be in a group that isn't there: {', '.join(missing)}",
            on=profile.path,
            next_step="add the package that makes the group, or leave it out",
        )
    if user.groups:
        argv += ["--groups", ",".join(user.groups)]
    run_in_root(tree, [*argv, user.name], what=f"add the user {user.name}")
    _set_password(tree, user.name, user.password)
    if user.ssh_keys:
        row = next(row for row in (tree / "etc/passwd").read_text().splitlines() if row.startswith(f"{user.name}:"))
        _, _, uid, gid, _, home, _ = row.split(":")
        _authorize(tree, home.lstrip("/"), int(uid), int(gid), user.ssh_keys)


def _set_password(tree: Path, name: str, password: str) -> None:
    """shadow(5): the hash, or "!*" for locked."""
    place = safe_join(tree, "etc/shadow")
    rows = place.read_text(encoding="utf-8").splitlines()
    changed = [_with_password(row, password) if row.startswith(f"{name}:") else row for row in rows]
    place.write_text("".join(f"{row}\n" for row in changed), encoding="utf-8")


def _with_password(row: str, password: str) -> str:
    fields = row.split(":")
    fields[1] = password or "!*"
    return ":".join(fields)


def _disks(tree: Path, esp: Partition) -> None:
    _write(
        tree,
        "etc/fstab",
        "# The root, /etc and the state are mounted before systemd starts, by /usr/lib/rastos/init.\n"
        f"PARTUUID={esp.uuid} /efi vfat umask=0077,noauto,nofail,x-systemd.automount,x-systemd.idle-timeout=60 0 0\n",
    )
    # pacman(8) looks in /var/lib/pacman; the database belongs to the snapshot
    if not os.path.lexists(tree / "var/lib/pacman"):
        _link(tree, "var/lib/pacman", "../../usr/lib/sysimage/pacman")


def _temporary(tree: Path) -> None:
    """/tmp in memory: the root can't be written, and systemd builds the private /dev of its services there."""
    shipped = tree / "usr/share/systemd/tmp.mount"  # Debian's place for it; elsewhere it is a unit already
    unit = tree / UNITS / "tmp.mount"
    if shipped.is_file() and not unit.exists():
        _write(tree, f"{UNITS}/tmp.mount", shipped.read_text(encoding="utf-8"))
    if unit.exists():
        _link(tree, f"{UNITS}/local-fs.target.wants/tmp.mount", "../tmp.mount")


def _services(tree: Path, profile: ImageProfile) -> None:
    wanted = [*profile.enable, "systemd-networkd.service"]
    if (tree / f"{UNITS}/systemd-resolved.service").exists():
        wanted.append("systemd-resolved.service")
    # nothing here waits for "online", and waiting for it costs boot time
    unwanted = ["systemd-networkd-wait-online.service"]
    with system_mounts(tree):
        run_in_root(tree, ["systemctl", "enable", *wanted], what="enable services")
        run_in_root(tree, ["systemctl", "disable", *unwanted], check=False)
        if profile.mask:
            run_in_root(tree, ["systemctl", "mask", *profile.mask], what="mask services")
