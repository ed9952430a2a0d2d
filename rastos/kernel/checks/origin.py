"""Where a configuration is: a file, a kernel's package, the running kernel."""

from __future__ import annotations

import gzip
import platform
import re
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError

from .judge import Rule
from .terms import Facts

_LARGEST = 1 << 24
_HEAD = re.compile(r"^# Linux/\S+ (\d+\.\d+\S*) Kernel Configuration", re.MULTILINE)


@dataclass(frozen=True)
class ConfigOrigin:
    """A configuration by symbol, the kernel's version as far as it says, and where it is from."""

    name: str
    version: str
    values: dict[str, str]


def from_file(path: Path) -> ConfigOrigin:
    """A .config, or its gzip. UserError: there is none, or it isn't one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"cannot read the configuration: {error.strerror}", on=path, next_step="check the path"
        ) from error
    return _parsed(data, str(path))


def of_running() -> ConfigOrigin:
    """The running kernel's: /proc/config.gz, else the file distributions put beside it. UserError: neither."""
    release = platform.release()
    for place in ("/proc/config.gz", f"/boot/config-{release}", f"/usr/lib/modules/{release}/config"):
        if Path(place).is_file():
            found = from_file(Path(place))
            return ConfigOrigin(f"the running kernel {release} ({place})", release, found.values)
    raise UserError(
        "the running kernel doesn't tell its configuration",
        on=release,
        next_step="it has no CONFIG_IKCONFIG_PROC and no file in /boot; name its .config file instead of 'running'",
    )


def running_facts(
    origin: ConfigOrigin, rules: Iterable[Rule], *, proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")
) -> Facts:
    """What the rules ask about the running system beside its configuration: command line, sysctls, controllers."""
    names = {term.name for rule in rules for part in rule.wanted for term in part if term.kind == "sysctl"}
    values = {name: value for name in names if (value := _said(proc / "sys" / name.replace(".", "/"))) is not None}
    controllers = _said(cgroup / "cgroup.controllers")
    return Facts(
        origin.values,
        origin.version,
        _said(proc / "cmdline") or "",
        values,
        None if controllers is None else frozenset(controllers.split()),
    )


def _said(path: Path) -> str | None:
    """A file of the kernel's; None where it isn't, or isn't for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def from_package(path: Path) -> ConfigOrigin:
    """The `config` in a kernel package (usr/lib/modules/*/config). IntegrityError: it has none, or is damaged."""
    from rastos.package import open_decompressed

    try:
        with open_decompressed(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                parts = member.name.removeprefix("./").split("/")
                if parts[:3] == ["usr", "lib", "modules"] and parts[4:] == ["config"] and member.size < _LARGEST:
                    data = archive.extractfile(member)
                    assert data is not None
                    return _parsed(data.read(), path.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise IntegrityError(f"a damaged package: {error}", on=path) from error
    raise IntegrityError("this package has no kernel configuration", on=path)


def _parsed(data: bytes, name: str) -> ConfigOrigin:
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise IntegrityError(f"a damaged configuration: {error}", on=name) from error
    text = data.decode("utf-8", "replace")
    values = {}
    for line in text.splitlines():
        if line.startswith("CONFIG_"):
            symbol, separator, value = line.removeprefix("CONFIG_").partition("=")
            if separator:
                values[symbol] = value
    if not values:
        raise UserError("this is no kernel configuration", on=name, next_step="name a .config file")
    head = _HEAD.search(text)
    return ConfigOrigin(name, head[1] if head else "", values)
