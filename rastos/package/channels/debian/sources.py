"""Where a Debian archive is: the host's own apt configuration (sources.list(5), both formats), or the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import HostError

from .control import paragraphs

DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_ONE_LINE = re.compile(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$")


@dataclass(frozen=True)
class Source:
    """One suite of one archive: `uri` without trailing slash, signed by a key of `keyring`."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: Path = DEFAULT_KEYRING

    @property
    def dists(self) -> str:
        """Address of the suite's index directory."""
        return f"{self.uri}/dists/{self.suite}"


def explicit(
    uri: str, suites: Iterable[str], components: Iterable[str], keyring: Path | None = None
) -> tuple[Source, ...]:
    """Sources as a manifest names them."""
    return tuple(Source(uri.rstrip("/"), suite, tuple(components), keyring or DEFAULT_KEYRING) for suite in suites)


def from_host(root: Path = Path("/")) -> tuple[Source, ...]:
    """The Debian archives of the host's apt, `main` only, third parties left out; HostError if there is none."""
    found: list[Source] = []
    directory = root / "etc/apt/sources.list.d"
    files = [root / "etc/apt/sources.list"]
    if directory.is_dir():
        files += sorted(directory.iterdir())
    for path in files:
        if path.is_file() and path.suffix in (".list", ".sources"):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += _deb822(text) if path.suffix == ".sources" else _one_line(text)
    codename = _codename(root)
    kept = tuple(dict.fromkeys(s for s in found if _is_debian(s) and _is_wanted(s, codename)))
    if not kept:
        raise HostError(
            "apt on this machine names no Debian archive",
            on=root / "etc/apt",
            next_step="name one in packages.toml: [channels.debian] uri, suites, components, keyring",
        )
    return tuple(Source(s.uri, s.suite, ("main",), s.keyring) for s in kept)


def _codename(root: Path) -> str:
    for path in (root / "etc/os-release", root / "usr/lib/os-release"):
        if path.is_file():
            found = re.search(r'^VERSION_CODENAME="?([a-z]+)', path.read_text(), re.MULTILINE)
            if found:
                return found[1]
    return ""


def _is_wanted(source: Source, codename: str) -> bool:
    # apt takes nothing from backports unless asked; with "the newest wins" they would take over the system
    if "main" not in source.components or re.search(r"backports|proposed|experimental", source.suite):
        return False
    return not codename or source.suite.split("-")[0].split("/")[0] in (codename, "stable", "oldstable")


def _is_debian(source: Source) -> bool:
    # An archive of Debian itself is signed by Debian's keyring; third parties bring their own.
    return source.keyring.name.startswith("debian-archive") and bool(re.search(r"/debian(-[a-z-]+)?(/|$)", source.uri))


def _deb822(text: str) -> list[Source]:
    found = []
    for fields in paragraphs(text.splitlines()):
        values = {name.lower(): value for name, value in fields.items()}
        if "deb" not in values.get("types", "").split() or values.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        signed = values.get("signed-by", "")
        keyring = Path(signed) if signed.startswith("/") else (Path("inline") if signed else DEFAULT_KEYRING)
        for uri in values.get("uris", "").split():
            for suite in values.get("suites", "").split():
                components = tuple(values.get("components", "").split())
                found.append(Source(uri.rstrip("/"), suite, components, keyring))
    return found


def _one_line(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        match = _ONE_LINE.match(line.strip())
        if not match:
            continue
        options, uri, suite, components = match.groups()
        keyring = DEFAULT_KEYRING
        for option in (options or "").split():
            name, _, value = option.partition("=")
            if name.lower() == "signed-by":
                keyring = Path(value.split(",")[0])
        found.append(Source(uri.rstrip("/"), suite, tuple(components.split()), keyring))
    return found
