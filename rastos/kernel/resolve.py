"""A plan's final configuration without building it: configured by the kernel's own kconfig in a folder of no consequence.

Kept under the build key in <cache>/configs, so that the same question is answered at once the second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rastos.host import locked, require_programs, working_directory, write_atomic
from rastos.kernel.building import configure
from rastos.kernel.config_file import read_config
from rastos.kernel.kconfig import Dropped, compare, explain
from rastos.kernel.kconfig_question import ask
from rastos.kernel.makelog import MakeLog
from rastos.kernel.plan import BuildPlan
from rastos.kernel.sources import open_source
from rastos.progress import Progress

PROGRAMS = ("make", "gcc", "ld", "flex", "bison")


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """What a plan's kernel is configured as; `plan.source` is unpacked, `dropped` are requests that it doesn't fulfil.

    `values` has no entry for what is off. The drops carry no reasons: `explained` gives them.
    """

    plan: BuildPlan
    config: Path
    values: Mapping[str, str]
    dropped: tuple[Dropped, ...]

    @property
    def version(self) -> str:
        """The kernel's version."""
        return self.plan.source.version

    @property
    def refused(self) -> tuple[Dropped, ...]:
        """The drops that the profile doesn't accept."""
        return tuple(item for item in self.dropped if not item.accepted)


def resolve_config(plan: BuildPlan, progress: Progress) -> ResolvedConfig:
    """Configure what `plan` would build, and compile nothing. Changes only the caches of sources and configurations.

    For whoever judges a profile that isn't built: `resolve_config(plan).values` is what `read_config` gives of a built
    one. Raises as unpacking a source and running make do; a dropped option is no error here.
    """
    require_programs(*PROGRAMS)
    with locked(plan.cache / "locks" / "sources", "unpack kernel source", wait=600.0):
        plan = replace(plan, source=open_source(plan.source, plan.cache, progress))
    made = plan.cache / "built" / f"{plan.key}.config"
    kept = made if made.is_file() else plan.cache / "configs" / f"{plan.key}.config"
    if not kept.is_file():
        with progress.step(f"Configure {plan.profile.name} on Linux {plan.source.version}"):
            with working_directory(plan.cache / "work", "config-") as work:
                text = configured(plan, work).read_bytes()
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(kept, text)
    values = read_config(kept)
    return ResolvedConfig(plan, kept, values, compare(plan.merged, values, plan.profile.may_drop))


def configured(plan: BuildPlan, work: Path) -> Path:
    """The .config of `plan`, made below the folder `work`; the build tree beside it can be configured further."""
    scratch = replace(plan, cache=work)
    for folder in (scratch.tree, scratch.log.parent):
        folder.mkdir(parents=True, exist_ok=True)
    configure(scratch, MakeLog())
    return scratch.tree / ".config"


def explained(resolved: ResolvedConfig) -> tuple[Dropped, ...]:
    """The refused drops with their reasons and what would satisfy them."""
    plan = resolved.plan
    if not resolved.refused:
        return ()
    return explain(
        resolved.refused, plan.merged, resolved.config, plan.source.tree, resolved.version, plan.profile.base
    )


def questioned(resolved: ResolvedConfig, what: str, **question: object) -> dict[str, Any]:
    """What the tree's Kconfig answers about this configuration. Raises UserError where it can't be read."""
    return ask({"ask": what, "config": str(resolved.config), **question}, resolved.plan.source.tree, resolved.version)
