"""What the AUR knows of packages: its RPC interface, version 5 (aurweb, doc/rpc.txt), JSON over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rastos.errors import ExternalError, IntegrityError, UserError

_BATCH = 100  # names in one question; addresses end at about 8,000 characters
_LARGEST = 1 << 26  # bytes of an answer
NAME = re.compile(r"[a-z0-9@_+][a-z0-9@._+-]*\Z")
_TEXTS = {"Name": "name", "PackageBase": "base", "Version": "version", "Description": "description", "URL": "url"}
_TEXTS |= {"Maintainer": "maintainer"}
_LISTS = {"Depends": "depends", "MakeDepends": "makedepends", "CheckDepends": "checkdepends", "Provides": "provides"}
_LISTS |= {"OptDepends": "optdepends", "Conflicts": "conflicts", "Replaces": "replaces"}


@dataclass(frozen=True)
class AurPackage:
    """One package as the AUR tells of it; `out_of_date` and `modified` in seconds since 1970, 0: not."""

    name: str
    base: str
    version: str
    description: str = ""
    url: str = ""
    maintainer: str = ""
    votes: int = 0
    popularity: float = 0.0
    out_of_date: int = 0
    modified: int = 0
    depends: tuple[str, ...] = ()
    makedepends: tuple[str, ...] = ()
    checkdepends: tuple[str, ...] = ()
    optdepends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


class Aur:
    """An AUR at an address; answers are kept nowhere but in this object."""

    def __init__(self, address: str, work: Path) -> None:
        self.address = address.rstrip("/")
        self._work = work
        self._known: dict[str, AurPackage | None] = {}

    def search(self, words: Sequence[str], *, by: str = "name-desc") -> tuple[AurPackage, ...]:
        """Packages whose name or description has every word, the most voted first; `by="provides"` asks for that."""
        first, *others = sorted(words, key=len, reverse=True)
        found = self._ask(f"search/{quote(first, safe='')}?by={by}")
        kept = [
            item for item in found if all(word.lower() in f"{item.name} {item.description}".lower() for word in others)
        ]
        return tuple(sorted(kept, key=lambda item: (-item.votes, item.name)))

    def info(self, names: Iterable[str]) -> dict[str, AurPackage]:
        """The packages of these names that exist."""
        wanted = list(dict.fromkeys(names))
        missing = [name for name in wanted if name not in self._known]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            query = "&".join(f"arg[]={quote(name, safe='')}" for name in batch)
            answers = {item.name: item for item in self._ask(f"info?{query}")}
            self._known.update({name: answers.get(name) for name in batch})
        return {name: found for name in wanted if (found := self._known[name]) is not None}

    def git_address(self, base: str) -> str:
        """Where the recipe's repository is."""
        return f"{self.address}/{checked_name(base)}.git"

    def _ask(self, what: str) -> list[AurPackage]:
        from rastos.host import Request, fetch, working_directory

        address = f"{self.address}/rpc/v5/{what}"
        with working_directory(self._work, "rpc-") as folder:
            answer = fetch(Request(address, folder / "answer", None, None))
            if answer.stat().st_size > _LARGEST:
                raise IntegrityError("the AUR's answer is absurdly large", on=address)
            text = answer.read_text(encoding="utf-8", errors="replace")
        try:
            document = json.loads(text)
            if document.get("type") == "error":
                raise ExternalError(f"the AUR refuses: {document.get('error')}", on=address, next_step="ask for less")
            return [_package(item) for item in document["results"]]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            step = "check the address (--aur, RASTOS_AUR)"
            raise IntegrityError(f"this is not an answer of an AUR: {error!r}", on=address, next_step=step) from error


def checked_name(name: str) -> str:
    """A name that may become part of a path or an address. UserError: it may not."""
    if not NAME.match(name) or len(name) > 200:
        raise UserError(f"'{name}' is no name of a package", next_step="AUR names have a-z, 0-9 and @ . _ + -")
    return name


def _package(item: Any) -> AurPackage:
    texts: dict[str, Any] = {field: str(item.get(key) or "") for key, field in _TEXTS.items()}
    lists: dict[str, Any] = {field: tuple(str(text) for text in item.get(key) or ()) for key, field in _LISTS.items()}
    for name in (texts["name"], texts["base"]):
        if not NAME.match(name):
            raise ValueError(f"an impossible name {name!r}")
    return AurPackage(
        **texts,
        **lists,
        votes=int(item.get("NumVotes") or 0),
        popularity=float(item.get("Popularity") or 0),
        out_of_date=int(item.get("OutOfDate") or 0),
        modified=int(item.get("LastModified") or 0),
    )
