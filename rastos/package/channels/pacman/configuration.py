"""pacman.conf and mirror lists: what they say of repositories, read without pacman (pacman.conf(5))."""

from __future__ import annotations

import difflib
import glob
import platform
from dataclasses import dataclass, field
from pathlib import Path

from rastos.errors import UserError

USAGE = ("sync", "search", "install", "upgrade", "all")
DEEPEST = 10  # files that include files, as pacman
_WHEN = ("never", "optional", "required")
_ALLOWED = ("trustedonly", "trustall")
_REPOSITORY = ("Server", "CacheServer", "Include", "SigLevel", "Usage")
# directives of [options] that name something; those that concern repositories are kept, the others are pacman's own
_OPTIONS = (
    "RootDir DBPath CacheDir HookDir GPGDir LogFile HoldPkg IgnorePkg IgnoreGroup Include Architecture XferCommand "
    "NoUpgrade NoExtract CleanMethod SigLevel LocalFileSigLevel RemoteFileSigLevel ParallelDownloads DownloadUser"
).split()
_FLAGS = (
    "UseSyslog Color NoProgressBar CheckSpace VerbosePkgLists DisableDownloadTimeout ILoveCandy TotalDownload UseDelta "
    "DisableSandbox DisableSandboxFilesystem DisableSandboxSyscalls"
).split()


@dataclass(frozen=True)
class SignatureLevel:
    """When signatures are checked, of databases and of packages, and whether any key of the keyring is good enough."""

    database: str = "optional"
    package: str = "optional"
    database_trust_all: bool = False
    package_trust_all: bool = False

    def after(self, words: str) -> SignatureLevel:
        """This level with the words of a SigLevel line on top, left to right. ValueError names a word that is none."""
        values = {"database": self.database, "package": self.package}
        trust_all = {"database": self.database_trust_all, "package": self.package_trust_all}
        for word in words.split():
            lower = word.lower()
            prefix = next((name for name in values if lower.startswith(name)), "")
            rest = lower.removeprefix(prefix)
            for kind in (prefix,) if prefix else tuple(values):
                if rest in _WHEN:
                    values[kind] = rest
                elif rest in _ALLOWED:
                    trust_all[kind] = rest == "trustall"
                else:
                    raise ValueError(word)
        return SignatureLevel(values["database"], values["package"], trust_all["database"], trust_all["package"])


@dataclass(frozen=True)
class Repository:
    """One repository section; `$repo` and `$arch` are replaced, `where` is file:line of its name."""

    name: str
    servers: tuple[str, ...]
    cache_servers: tuple[str, ...]
    level: SignatureLevel
    usage: frozenset[str]
    where: str


@dataclass(frozen=True)
class PacmanConfiguration:
    """What a pacman.conf says, in its own order; `warnings` are lines about what was not understood."""

    path: Path
    repositories: tuple[Repository, ...]
    architectures: tuple[str, ...]
    gpgdir: Path
    warnings: tuple[str, ...]

    def repository(self, name: str) -> Repository:
        """The section of that name. UserError: none."""
        for found in self.repositories:
            if found.name == name:
                return found
        names = [found.name for found in self.repositories]
        close = difflib.get_close_matches(name, names, n=1)
        step = f"did you mean '{close[0]}'?" if close else f"sections there are: {', '.join(names) or 'none'}"
        raise UserError(f"there is no section [{name}]", on=self.path, next_step=step)


@dataclass
class _Section:
    name: str
    where: str
    servers: list[str] = field(default_factory=list)
    cache_servers: list[str] = field(default_factory=list)
    levels: list[tuple[str, str]] = field(default_factory=list)
    usage: set[str] = field(default_factory=set)


def read_configuration(path: Path, root: Path = Path("/")) -> PacmanConfiguration:
    """Read a pacman.conf and everything it includes (absolute includes count from `root`). UserError names file:line."""
    return _Reader(root).read(path)


def read_mirrorlist(path: Path, name: str, architecture: str = "") -> tuple[str, ...]:
    """The servers of a mirror list for the repository `name`. UserError: malformed, or it names none."""
    reader = _Reader(Path("/"))
    reader.current = section = _Section(name, f"{path}:1")
    reader.parse(path, "", 0)
    if not section.servers:
        raise UserError("the mirror list names no server", on=path, next_step="uncomment one")
    return tuple(expand(server, name, architecture) for server in section.servers)


def expand(server: str, name: str, architecture: str = "") -> str:
    """An address with `$repo` and `$arch` replaced and no slash at its end."""
    return server.replace("$repo", name).replace("$arch", architecture or platform.machine()).rstrip("/")


class _Reader:
    """Sections stay open over the end of an included file, as in pacman."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sections: dict[str, _Section] = {}
        self.options = _Section("options", "")
        self.current: _Section | None = None
        self.architectures: list[str] = []
        self.gpgdir = Path("/etc/pacman.d/gnupg")
        self.warnings: list[str] = []

    def read(self, path: Path) -> PacmanConfiguration:
        self.parse(path, "", 0)
        machines = [platform.machine() if word == "auto" else word for word in self.architectures]
        machine = machines[0] if machines else ""
        default = self.level(SignatureLevel(), self.options)
        repositories = tuple(
            Repository(
                section.name,
                tuple(expand(item, section.name, machine) for item in section.servers),
                tuple(expand(item, section.name, machine) for item in section.cache_servers),
                self.level(default, section),
                frozenset(section.usage or {"all"}),
                section.where,
            )
            for section in self.sections.values()
        )
        found = tuple(dict.fromkeys(machines or [platform.machine()]))
        return PacmanConfiguration(path, repositories, found, self.gpgdir, tuple(self.warnings))

    def level(self, start: SignatureLevel, section: _Section) -> SignatureLevel:
        for words, where in section.levels:
            try:
                start = start.after(words)
            except ValueError as error:
                raise UserError(
                    f"SigLevel has '{error}'",
                    on=where,
                    next_step="words: Never, Optional, Required, TrustedOnly, TrustAll; also with Package or Database",
                ) from None
        return start

    def parse(self, path: Path, included: str, depth: int) -> None:
        if depth > DEEPEST:
            raise UserError("files include each other", on=included, next_step="take that Include line out")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise UserError(
                f"cannot read {path if included else 'it'}: {reason}",
                on=included or path,
                next_step="correct the Include line" if included else "check the path",
            ) from error
        for number, raw in enumerate(lines, 1):
            line, where = raw.strip(), f"{path}:{number}"
            if not line or line.startswith("#"):
                continue
            if line.startswith("[") and line.endswith("]"):
                self.begin(line[1:-1].strip(), where)
                continue
            key, separator, value = (part.strip() for part in line.partition("="))
            self.directive(key, value if separator else None, where, depth)

    def begin(self, name: str, where: str) -> None:
        if not name or "/" in name or name.startswith((".", "-")) or name == "local":
            raise UserError(f"a section cannot be named '{name}'", on=where, next_step="use the repository's name")
        if name == "options":
            self.current = self.options
        elif name in self.sections:
            first = self.sections[name].where
            raise UserError(f"[{name}] is there twice, first at {first}", on=where, next_step="remove one")
        else:
            self.current = self.sections[name] = _Section(name, where)

    def directive(self, key: str, value: str | None, where: str, depth: int) -> None:
        section = self.current
        if section is None:
            raise UserError(f"'{key}' stands before any section", on=where, next_step="write [options] above it")
        known = _OPTIONS if section is self.options else _REPOSITORY
        if key not in known:
            if not (section is self.options and key in _FLAGS):
                self.warn(key, section, where, known)
            return
        if not value:
            raise UserError(f"{key} has no value", on=where, next_step=f"{key} = …")
        if key == "Include":
            self.include(value, where, depth)
        elif key in ("Server", "CacheServer"):
            if "://" not in value and not value.startswith("/"):
                raise UserError(
                    f"{key} is '{value}', expected an address", on=where, next_step="https://…, or file://…"
                )
            (section.servers if key == "Server" else section.cache_servers).append(value)
        elif key == "SigLevel":
            section.levels.append((value, where))
        elif key == "Usage":
            for word in value.split():
                if word.lower() not in USAGE:
                    step = "words: Sync, Search, Install, Upgrade, All"
                    raise UserError(f"Usage has '{word}'", on=where, next_step=step)
                section.usage.add(word.lower())
        elif key == "Architecture":
            self.architectures += value.split()
        elif key == "GPGDir":
            self.gpgdir = Path(value)

    def include(self, value: str, where: str, depth: int) -> None:
        pattern = str(self.root / value.lstrip("/")) if value.startswith("/") else value
        found = sorted(glob.glob(pattern))
        if not found and not glob.has_magic(pattern):
            found = [pattern]
        for name in found:
            self.parse(Path(name), where, depth + 1)

    def warn(self, key: str, section: _Section, where: str, known: list[str] | tuple[str, ...]) -> None:
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        self.warnings.append(f"{where}: '{key}' in [{section.name}] is not known{hint}")
