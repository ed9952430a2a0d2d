"""What the options of a kernel tree are called and where its menus have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import read_json, write_json
from rastos.kernel.kconfig_question import ask

FORMAT = 1


@dataclass(frozen=True, slots=True)
class MenuEntry:
    """An option: its prompt ("" where it has none), the prompts of the menus that lead to it, its type."""

    prompt: str
    menu: tuple[str, ...]
    type: str


@dataclass(frozen=True, slots=True)
class KernelTree:
    """An unpacked source: where, which version, and the digest that changes with its content."""

    path: Path
    version: str
    digest: str


def menus_of(tree: KernelTree, cache: Path) -> Mapping[str, MenuEntry]:
    """Every option of the tree; read once per content and kept in <cache>/configs. UserError: it can't be read."""
    kept = cache / "configs" / f"menus-{FORMAT}-{tree.digest[:32]}.json"
    if kept.is_file():
        try:
            return {name: MenuEntry(item[0], tuple(item[1]), item[2]) for name, item in read_json(kept).items()}
        except (IntegrityError, ValueError, LookupError, AttributeError):
            pass  # damaged: read the tree again
    found = ask({"ask": "menus"}, tree.path, tree.version)["symbols"]
    entries = {name: MenuEntry(item["prompt"], tuple(item["menu"]), item["type"]) for name, item in found.items()}
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {name: list(asdict(item).values()) for name, item in entries.items()})
    return entries


def nearest_tree(version: str, cache: Path) -> KernelTree | None:
    """The unpacked source in the cache whose version is nearest to `version`; None where there is none."""
    found = []
    for facts in sorted((cache / "sources").glob("*/source.json")):
        try:
            item = read_json(facts)
            found.append(KernelTree(facts.with_name("tree"), str(item["version"]), str(item["digest"])))
        except (IntegrityError, OSError, LookupError, TypeError):
            continue
    wanted = _numbers(version)
    return min(
        found, key=lambda tree: [abs(a - b) for a, b in zip(_numbers(tree.version), wanted, strict=True)], default=None
    )


def menus_or_nothing(tree: KernelTree | None, cache: Path) -> Mapping[str, MenuEntry]:
    """As `menus_of`; nothing where there is no tree or it can't be read: names then stand without their prompts."""
    try:
        return {} if tree is None else menus_of(tree, cache)
    except UserError:
        return {}


def _numbers(version: str) -> tuple[int, int, int]:
    parts = [int(part) for part in re.findall(r"\d+", version)[:3]]
    first, second, third = (*parts, 0, 0, 0)[:3]
    return first, second, third
