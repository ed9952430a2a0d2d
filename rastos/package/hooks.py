"""The manifest's hooks: programs run before and after transactions. libalpm's own hooks are libalpm's business."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rastos.errors import ExternalError
from rastos.progress import Progress

from .policy import ManifestHook, matching


def run_hooks(hooks: Sequence[ManifestHook], when: str, names: Sequence[str], root: Path, progress: Progress) -> None:
    """Run those whose packages are among `names`, in order. ExternalError: one failed; the ones after it were not run."""
    from rastos.host import run, run_in_root, system_mounts

    for hook in hooks:
        found = matching(names, hook.on)
        if not found:
            continue
        what = f"run the {when} hook {hook.run[0]}"
        given = "".join(f"{name}\n" for name in found)
        with progress.step(f"{when} hook {' '.join(hook.run)}") as step:

            def said(line: str, note: object = step.note) -> None:
                note(line, "log")  # type: ignore[operator]

            try:
                if hook.in_root:
                    with system_mounts(root):
                        run_in_root(root, hook.run, stdin=given, on_line=said, what=what)
                else:
                    run(hook.run, stdin=given, on_line=said, what=what, env={"RASTOS_ROOT": str(root)}, guarded=True)
            except ExternalError as error:
                if when == "pre":
                    error.next_step = "correct the hook in packages.toml; no package was changed"
                else:
                    error.next_step = "the packages are in; correct the hook and apply again, which runs it again"
                raise
