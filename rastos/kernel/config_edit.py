"""A profile's configuration changed by hand in the kernel's own menu, and saved as the fewest lines that give it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import UserError
from rastos.host import converse, working_directory, write_atomic
from rastos.kernel.building import complete, environment
from rastos.kernel.config_file import read_config
from rastos.kernel.fragments import Merged, Request, merge
from rastos.kernel.kconfig import compare
from rastos.kernel.kconfig_question import ask
from rastos.kernel.makelog import MakeLog
from rastos.kernel.plan import BuildPlan, settled
from rastos.kernel.profile import DEFAULT_BASE
from rastos.kernel.resolve import configured, resolve_config
from rastos.progress import Progress

ROUNDS = 3  # of trying lines and adding what comes out otherwise
_MADE_HERE = ("MODULE_SIG_KEY",)  # a build names its own key

Editor = Callable[[BuildPlan], None]
"""Changes `plan.tree / ".config"`: a menu on the terminal, or what a test does in its place."""


@dataclass(frozen=True, slots=True)
class EditedConfig:
    """What an edit comes to: `lines` beside the profile give exactly the edited configuration; `text` is the fragment.

    `changed` are the options whose value differs from the profile's, those that only follow from others included;
    `same` says that the editor left everything as it was.
    """

    lines: tuple[Request, ...]
    changed: int
    text: str
    output: Path
    same: bool


def menu_editor(target: str = "menuconfig") -> Editor:
    """The kernel's own menu (a make target: menuconfig, nconfig) on our terminal."""

    def edit(plan: BuildPlan) -> None:
        alone = replace(plan, jobs=1)  # one job has the terminal for itself
        converse(alone.make("-s", target), env=environment(alone), what=f"edit the configuration with {target}")

    return edit


def edit_config(plan: BuildPlan, editor: Editor, output: Path, progress: Progress) -> EditedConfig:
    """Let `editor` change what `plan` would configure; where it changed something, `text` is to be saved to `output`.

    Where `output` is there already, its lines are where the edit starts, and the new ones take their place. Changes
    only caches: saving is for `save_edited`. Raises UserError where no lines can give what was edited; what was edited
    is then kept and named.
    """
    base, start = _ends(plan, output)
    without = resolve_config(base, progress)
    begun = resolve_config(start, progress) if start.merged != base.merged else without
    source = without.plan.source
    base, start = replace(base, source=source), replace(start, source=source)
    with working_directory(plan.cache / "work", "edit-") as work:
        scratch = replace(start, cache=work / "edited")
        config = scratch.tree / ".config"
        scratch.tree.mkdir(parents=True)
        scratch.log.parent.mkdir(parents=True)
        config.write_bytes(begun.config.read_bytes())
        editor(scratch)
        complete(scratch, MakeLog())
        edited = config.read_bytes()
        after = read_config(config)
        if after == begun.values:
            return EditedConfig((), 0, "", output, same=True)
        with progress.step("Find the fewest lines that give it"):
            needed, possible = _candidates(base, without.config, config)
            given = _explicit(config)
            differing: Sequence[str] = ()
            for _ in range(ROUNDS):
                lines = _fewest(base, without.config, needed, possible)
                text = _text(base, lines)
                differing = _tried(base, text, after, work)
                if not differing:
                    changed = sum(after.get(name) != without.values.get(name) for name in {*after, *without.values})
                    requests = tuple(Request(name, value, output.name, 0) for name, value in lines.items())
                    return EditedConfig(requests, changed, text, output, same=False)
                # a menu keeps the value of what nobody asked for; a build takes the default, which may be another now
                possible |= {name: given.get(name, "n") for name in differing if name not in needed}
    kept = plan.cache / "configs" / f"{plan.profile.name}-edited.config"
    write_atomic(kept, edited)
    raise UserError(
        f"no lines beside the profile's give what was edited: {', '.join(differing[:5])} would differ",
        on=plan.profile.name,
        next_step=f"what was edited is in {kept}: compare it with `rastos kernel config diff`",
    )


def save_edited(edited: EditedConfig) -> None:
    """Write the fragment, whole or not at all."""
    edited.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(edited.output, edited.text)


def _ends(plan: BuildPlan, output: Path) -> tuple[BuildPlan, BuildPlan]:
    """The plan without the file that is to be written, and the plan with it as it is now."""
    own = output.resolve()
    before = tuple(path for path in plan.fragments if path.resolve() != own)
    if len(before) != len(plan.fragments) and plan.fragments[-1].resolve() != own:
        raise UserError(
            "this fragment is one of the profile's, and others come after it: they would win over what is saved",
            on=output,
            next_step="save to another file: --output FILE",
        )
    base = _with(plan, before)
    return base, _with(plan, (*before, output)) if output.is_file() else base


def _with(plan: BuildPlan, fragments: tuple[Path, ...]) -> BuildPlan:
    return settled(replace(plan, fragments=fragments, merged=merge(fragments)), plan.source, plan.signing)


def _explicit(config: Path) -> dict[str, str]:
    """Symbol → value of a .config, "n" where it says "is not set"; what isn't mentioned is absent."""
    values = {}
    for line in config.read_text(encoding="utf-8").splitlines():
        if line.startswith("CONFIG_"):
            name, _, value = line.removeprefix("CONFIG_").partition("=")
            values[name] = value
        elif line.startswith("# CONFIG_") and line.endswith(" is not set"):
            values[line.removeprefix("# CONFIG_").removesuffix(" is not set")] = "n"
    return values


def _candidates(base: BuildPlan, before: Path, edited: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Lines that have to be (a request of the profile isn't fulfilled any more), and those that may have to."""
    was, now, after = _explicit(before), _explicit(edited), read_config(edited)
    lost = {item.request.symbol for item in compare(base.merged, read_config(before))}
    needed = {
        item.request.symbol: now.get(item.request.symbol, "n")
        for item in compare(base.merged, after)
        if item.request.symbol not in lost or now.get(item.request.symbol) != was.get(item.request.symbol)
    }
    changed = {name: value for name, value in now.items() if was.get(name) != value}
    possible = {name: value for name, value in changed.items() if name not in needed and name not in _MADE_HERE}
    return needed, possible


def _fewest(base: BuildPlan, before: Path, needed: Mapping[str, str], possible: Mapping[str, str]) -> dict[str, str]:
    question = {
        "ask": "fewest",
        "base": base.profile.base,
        "config": "" if base.profile.base == DEFAULT_BASE else str(before),
        "requests": [[item.symbol, item.value] for item in base.merged.requests],
        "needed": list(needed.items()),
        "possible": list(possible.items()),
    }
    try:
        kept = ask(question, base.source.tree, base.source.version)["kept"]
    except UserError:
        kept = list(possible)  # a tree that can't be read: all lines, they are tried below
    return {**{name: value for name, value in possible.items() if name in kept}, **needed}


def _text(base: BuildPlan, lines: Mapping[str, str]) -> str:
    merged = Merged(tuple(Request(name, value, "", 0) for name, value in lines.items()))
    name, version = base.profile.name, base.source.version
    return (
        f"# On top of the kernel profile {name}: changed with `rastos kernel config edit --profile {name}`, Linux {version}.\n\n"
        f"## Local changes: what this place wants other than {name} has it\n{merged.text()}"
    )


def _tried(base: BuildPlan, text: str, wanted: Mapping[str, str], work: Path) -> Sequence[str]:
    """Configure profile and fragment as a build would; the symbols that come out otherwise than `wanted`."""
    fragment = work / "tried.config"
    fragment.write_text(text, encoding="utf-8")
    got = read_config(configured(replace(base, merged=merge([*base.fragments, fragment])), work / "edited"))
    names = {*got, *wanted} - set(_MADE_HERE)
    return [name for name in sorted(names) if got.get(name) != wanted.get(name)]
