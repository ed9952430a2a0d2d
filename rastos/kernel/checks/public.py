"""The public kernel-hardening-checker itself, where it is installed: its verdicts beside ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError
from rastos.host import run, working_directory

from .judge import Report

PROGRAM = "kernel-hardening-checker"


@dataclass(frozen=True, slots=True)
class PublicVerdict:
    """What the public program checked and what it fails; and where it and the list here disagree (names)."""

    checked: int
    failed: tuple[str, ...]
    only_there: tuple[str, ...]
    only_here: tuple[str, ...]


def public_verdict(
    program: Path, config: Mapping[str, str], version: str, command_line: str | None, report: Report, place: Path
) -> PublicVerdict:
    """Run the program on the same facts. ExternalError: it failed, or says nothing we know.

    The configuration is written anew for it, with the head line that it reads version, architecture and compiler from.
    """
    with working_directory(place, "public") as folder:
        (folder / "config").write_text(_written(config, version), encoding="utf-8")
        argv: list[str | Path] = [program, "-m", "json", "-c", folder / "config"]
        if command_line is not None:
            (folder / "cmdline").write_text(f"{command_line}\n", encoding="utf-8")
            argv += ["-l", folder / "cmdline"]
        said = run(argv, what=f"run {PROGRAM}", timeout=120).stdout
    try:
        rows = [row for row in json.loads(said) if isinstance(row, dict)]
        verdicts = {str(row["option_name"]): bool(row["check_result_bool"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise ExternalError(f"{PROGRAM} answers in a form unknown here", tail=said[-500:]) from error
    failed = tuple(sorted(name for name, fine in verdicts.items() if not fine))
    ours = {item.subject for item in report.findings}
    return PublicVerdict(
        len(rows), failed, _without(failed, ours), _without(sorted(ours & verdicts.keys()), set(failed))
    )


def _without(names: Iterable[str], others: set[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in others)


def _written(config: Mapping[str, str], version: str) -> str:
    lines = [f"# Linux/x86_64 {version} Kernel Configuration"]
    lines += [f"CONFIG_{name}={value}" for name, value in config.items() if value != "n"]
    return "\n".join(lines) + "\n"
