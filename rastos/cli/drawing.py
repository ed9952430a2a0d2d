"""Drawing the snapshot tree as lines of text.

A straight line of snapshots stays in one column, the oldest on top; what branches off stands indented before the line goes
on. The line that goes on is the one with the newest snapshot. Straight runs of nothing special are folded in large trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from rastos.cli.render import age, size

if TYPE_CHECKING:
    from rastos.snapshot import Node, Sizes, Tree

LARGE = 40  # nodes; a smaller tree is drawn whole
RUN = 4  # the shortest run worth folding
MARKS = {
    "booted": ("running", "bold green"),
    "next": ("boots next", "green"),
    "good": ("last good", "cyan"),
    "bad": ("failed to boot", "bold red"),
    "session": ("in a session", "yellow"),
    "pinned": ("pinned", "magenta"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what stands before the node, and the nodes (more than one: a folded run)."""

    lead: str
    nodes: tuple[int, ...]


def draw_tree(
    tree: Tree,
    sizes: Mapping[int, Sizes] | None = None,
    *,
    roots: Sequence[int] | None = None,
    whole: bool = False,
    width: int | None = None,
) -> list[Text]:
    """One line per snapshot with its facts in columns; `width`: cut descriptions so that a line fits."""
    rows = layout(tree, tree.roots if roots is None else roots, fold=not whole and len(tree.nodes) > LARGE)
    if not rows:
        return [Text("no snapshots yet")]
    facts = [_facts(tree, row, sizes or {}) if len(row.nodes) == 1 else [] for row in rows]
    columns = [
        max((len(row[index]) for row in facts if row), default=0) for index in range(max(map(len, facts), default=0))
    ]
    marks = [_marks(tree.nodes[row.nodes[0]]) if len(row.nodes) == 1 else Text() for row in rows]
    taken = sum(length + 2 for length in columns if length) + max(map(len, marks))
    heads = [_head(tree, row) for row in rows]
    room = max(24, width - taken) if width else None
    longest = max((min(len(head), room) if room else len(head)) for head in heads)
    lines: list[Text] = []
    for row, head, found, said in zip(rows, heads, facts, marks, strict=True):
        if row.nodes and lines and not row.lead and row.nodes[0] in tree.roots:
            lines.append(Text(""))
        if room is not None and found and len(head) > room:
            head.truncate(room, overflow="ellipsis")
        if found:
            head.pad_right(longest - len(head))
            for text, length in zip(found, columns, strict=True):
                if length:
                    head.append("  ").append(text.ljust(length), style="dim")
            head.append(said)
        head.rstrip()
        lines.append(head)
    return lines


def layout(tree: Tree, roots: Sequence[int], *, fold: bool) -> list[Row]:
    """Which node stands on which line, behind which lead."""
    newest = _newest(tree)
    rows: list[Row] = []
    waiting = [(number, "", "") for number in reversed(roots)]
    while waiting:
        number, lead, below = waiting.pop()
        run = _run(tree, number, newest) if fold and lead == below else [number]
        if len(run) >= RUN:
            rows.append(Row(lead, tuple(run)))
            number = run[-1]
        else:
            rows.append(Row(lead, (number,)))
        children = sorted(tree.nodes[number].children)
        if children:
            straight = max(children, key=lambda child: newest[child])
            waiting.append((straight, below, below))
            for child in reversed(children):
                if child != straight:
                    waiting.append((child, below + "├─", below + "│ "))
    return rows


def _newest(tree: Tree) -> dict[int, int]:
    """The largest id in each node's part of the tree."""
    order: list[int] = []
    waiting = list(tree.roots)
    while waiting:
        number = waiting.pop()
        order.append(number)
        waiting += tree.nodes[number].children
    newest: dict[int, int] = {}
    for number in reversed(order):
        newest[number] = max([number, *(newest[child] for child in tree.nodes[number].children)])
    return newest


def _run(tree: Tree, number: int, newest: Mapping[int, int]) -> list[int]:
    """From here on down, as long as there is one child and nothing to say; never a root, never the last of a line."""
    run: list[int] = []
    while True:
        node = tree.nodes[number]
        if number in tree.roots or len(node.children) != 1 or node.marks or node.snapshot.name or node.snapshot.tags:
            return run
        run.append(number)
        number = node.children[0]


def _head(tree: Tree, row: Row) -> Text:
    text = Text().append(row.lead, style="dim")
    if len(row.nodes) > 1:
        return text.append(f"┊ {len(row.nodes)} snapshots, {row.nodes[0]} … {row.nodes[-1]}", style="dim")
    node = tree.nodes[row.nodes[0]]
    item = node.snapshot
    live = "booted" in node.marks or "next" in node.marks
    glyph = "◉" if "booted" in node.marks else "●" if "next" in node.marks else "○"
    text.append(glyph + " ", style="green" if live else "dim")
    text.append(str(item.id), style="bold green" if live else "bold")
    if item.name:
        text.append(f" {item.name}", style="cyan")
    for tag in item.tags:
        text.append(f" #{tag}", style="blue")
    if item.description:
        text.append(f"  {item.description}", style="bold" if live else "")
    return text


def _facts(tree: Tree, row: Row, sizes: Mapping[int, Sizes]) -> list[str]:
    """Package changes, age, kernel where it is another than the parent's, sizes."""
    item = tree.nodes[row.nodes[0]].snapshot
    parent = tree.nodes.get(item.parent) if item.parent is not None else None
    kernel = "" if parent is not None and parent.snapshot.kernel == item.kernel else item.kernel
    facts = [item.delta.words(), age(item.created), kernel]
    if sizes:
        found = sizes.get(item.id)
        facts.append(f"{size(found.exclusive)} own + {size(found.shared)} shared" if found else "")
    return facts


def _marks(node: Node) -> Text:
    text = Text()
    for mark in node.marks:
        word, style = MARKS[mark]
        text.append(f"  {word}", style=style)
    if node.deployments:
        plural = "deployments" if len(node.deployments) > 1 else "deployment"
        text.append(f"  {plural} {', '.join(map(str, node.deployments))}", style="yellow")
    return text


def shown_version(version: str) -> str:
    """A version as its distribution writes it."""
    from rastos.package import shown_version as shown

    return shown(version)
