"""Drawing the snapshot tree as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from rastos.cli.render import age

if TYPE_CHECKING:
    from rastos.snapshot import Node


def draw_tree(nodes: Sequence[Node]) -> list[Text]:
    """One line per snapshot; the one that boots next is marked and bold."""
    lines: list[Text] = []
    for node in nodes:
        lines.append(_line("", node))
        lines += _below(node, "")
    return lines or [Text("no snapshots yet")]


def _below(node: Node, indent: str) -> Iterator[Text]:
    # a loop over an explicit stack: a chain of thousands of snapshots must not exhaust Python's own
    stack = [(child, indent, index == len(node.children) - 1) for index, child in enumerate(node.children)][::-1]
    while stack:
        item, lead, last = stack.pop()
        yield _line(lead + ("└─ " if last else "├─ "), item)
        below = lead + ("   " if last else "│  ")
        stack += [(child, below, index == len(item.children) - 1) for index, child in enumerate(item.children)][::-1]


def _line(lead: str, node: Node) -> Text:
    item = node.snapshot
    text = Text(lead, style="dim")
    text.append("● " if node.next else "○ ", style="green" if node.next else "dim")
    text.append(str(item.id), style="bold green" if node.next else "bold")
    if item.name:
        text.append(f" {item.name}", style="cyan")
    if item.description:
        text.append(f"  {item.description}", style="bold" if node.next else "")
    facts = [item.delta.words(), item.kernel, age(item.created)]
    text.append("  " + ", ".join(fact for fact in facts if fact), style="dim")
    if node.next:
        text.append(f"  boots next (deployment {node.deployments[-1]})", style="green")
    elif node.deployments:
        text.append(f"  deployment {', '.join(map(str, node.deployments))}", style="yellow")
    return text


def shown_version(version: str) -> str:
    """A version as its distribution writes it."""
    from rastos.package import shown_version as shown

    return shown(version)
