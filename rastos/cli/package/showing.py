"""How a plan looks: what comes and goes and why, then, apart, what deserves a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rastos.cli.app import Application
from rastos.cli.render import size

if TYPE_CHECKING:
    from rastos.package import Plan, PlannedPackage

_NAMED = 12  # names shown of a list that isn't the change itself


def show_plan(app: Application, plan: Plan) -> None:
    """Print a plan."""
    if plan.empty:
        app.out.print("nothing to do" if plan.nothing else "no package changes")
    else:
        kinds = (
            ("+", plan.install),
            ("↑", plan.upgrade),
            ("↓", plan.downgrade),
            ("↻", plan.reinstall),
            ("−", plan.remove),
        )
        rows = [_row(sign, item) for sign, items in kinds for item in items]
        app.out.table("", ["", "package", "version", "channel", "size", "because of"], rows)
        words = [("install", plan.install), ("upgrade", plan.upgrade), ("downgrade", plan.downgrade)]
        words += [("install again", plan.reinstall), ("remove", plan.remove)]
        counts = ", ".join(f"{len(items)} to {word}" for word, items in words if items)
        grown = f"{'grows' if plan.growth >= 0 else 'shrinks'} by {size(abs(plan.growth))}"
        app.out.print(f"{counts}; download {size(plan.download_size)}, the tree {grown}")
    reasons = [*(f"{name} (asked for)" for name in plan.explicit), *(f"{name} (dependency)" for name in plan.demote)]
    there = {item.name for item in plan.incoming}
    marked = [text for text in reasons if text.split()[0] not in there]
    for label, names in (
        ("install reason changes", marked),
        ("upgrades left alone by `ignore`", [f"{name} {version}" for name, version in plan.ignored]),
        ("declared nowhere (--prune takes out what nothing needs)", list(plan.undeclared)),
        ("needed by nobody (--prune takes them out)", list(plan.orphans)),
    ):
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            app.out.print(f"{label}: {', '.join(names[:_NAMED])}{more}")


def _row(sign: str, item: PlannedPackage) -> list[str]:
    versions = item.shown_version
    if sign in "↑↓":
        versions = f"{item.old_version} → {item.shown_version}"
    if sign == "−":
        why = f"replaced by {item.because}" if item.because and " " not in item.because else item.because
    elif item.reason == "explicit" and len(item.why) < 2:
        why = item.note or "asked for"
    else:
        why = " → ".join(item.why[:-1])
    return [sign, item.name, versions, item.channel, size(item.installed_size), why]
