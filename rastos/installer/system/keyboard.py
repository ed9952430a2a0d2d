"""The keyboard: vconsole.conf(5), and Debian's keyboard(5), which its console and every desktop read."""

from __future__ import annotations

import re
from pathlib import Path

from rastos.errors import UserError
from rastos.host import run_in_root, system_mounts

from ..profile import ImageProfile
from ..profile.keys import near
from .writing import write

# where kbd has its keymaps, on one distribution or another
KEYMAPS = ("usr/share/kbd/keymaps", "usr/share/keymaps", "usr/lib/kbd/keymaps")
MODEL_MAP = "usr/share/systemd/kbd-model-map"  # keymap: X layout, model, variant, options; of systemd's localed
LAYOUTS = "usr/share/X11/xkb/rules/base.lst"


def set_keymap(tree: Path, profile: ImageProfile) -> None:
    """UserError: the tree has no such keymap, or nothing that would load one."""
    if not profile.keymap:
        return
    kbd, xkb = keymaps_of(tree), _layout(tree, profile.keymap)
    if profile.keymap in kbd or xkb is not None:
        write(tree, "etc/vconsole.conf", f"KEYMAP={profile.keymap}\n")
    else:
        known = kbd or {name for name, fields in model_map(tree).items() if _has(tree, fields[0], "")}
        raise UserError(
            f"there is no keymap '{profile.keymap}'",
            on=profile.origin("keymap"),
            next_step=keymap_step(profile.keymap, known),
        )
    if xkb is not None:
        layout, model, variant, options = xkb
        text = f'XKBMODEL="{model}"\nXKBLAYOUT="{layout}"\nXKBVARIANT="{variant}"\nXKBOPTIONS="{options}"\nBACKSPACE="guess"\n'
        write(tree, "etc/default/keyboard", text)
    if (tree / "usr/bin/setupcon").exists():
        with system_mounts(tree):  # what the console loads at boot is computed here: the root can't be written then
            run_in_root(tree, ["setupcon", "--force", "--save-only"], what=f"make the keymap {profile.keymap}")


def keymaps_of(tree: Path) -> frozenset[str]:
    """The console keymaps that a tree has."""
    found = (path for folder in KEYMAPS for path in (tree / folder).rglob("*.map*"))
    return frozenset(re.sub(r"\.map(\.gz|\.xz|\.zst)?$", "", path.name) for path in found)


def model_map(tree: Path) -> dict[str, tuple[str, str, str, str]]:
    """How systemd translates keymaps of the console to X layouts (layout, model, variant, options)."""
    place = tree / MODEL_MAP
    rows = place.read_text(encoding="utf-8").splitlines() if place.is_file() else []
    table = {}
    for row in rows:
        words = row.split("#")[0].split()
        if len(words) >= 4:
            layout, model, variant, options = (*words[1:], "-")[:4]
            table[words[0]] = (layout, model, *("" if item == "-" else item for item in (variant, options)))
    return {name: (row[0], row[1], row[2], row[3]) for name, row in table.items()}


def _layout(tree: Path, keymap: str) -> tuple[str, str, str, str] | None:
    """The X layout of a keymap, where the tree has such layouts (Debian's keyboard-configuration)."""
    if not (tree / LAYOUTS).is_file():
        return None
    found = model_map(tree).get(keymap)
    if found is None:  # a layout by its own name, perhaps with a variant: de, de-nodeadkeys
        layout, _, variant = keymap.partition("-")
        found = (layout, "pc105", variant, "")
    return found if all(_has(tree, name, found[2]) for name in found[0].split(",")) else None


def _has(tree: Path, layout: str, variant: str) -> bool:
    place = tree / LAYOUTS
    text = place.read_text(encoding="utf-8") if place.is_file() else ""
    body = text.partition("! layout")[2]
    layouts, _, variants = body.partition("! variant")
    if not re.search(rf"^\s*{re.escape(layout)}\s", layouts, re.MULTILINE):
        return False
    wanted = [item for item in variant.split(",") if item]
    return all(re.search(rf"^\s*{re.escape(item)}\s", variants, re.MULTILINE) for item in wanted)


def keymap_step(name: str, known: frozenset[str] | set[str]) -> str:
    """What to write instead, or what to add."""
    hint = near(name, known)
    step = 'add what loads keymaps: packages = ["console-setup"] on Debian, "kbd" elsewhere'
    return hint if hint.startswith("did") else step
