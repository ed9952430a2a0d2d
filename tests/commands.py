"""The command line as tests use it: all its commands, and typing one at a store that is open already."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest

import rastos.cli.snapshot
from rastos.cli.app import run
from rastos.snapshot import Store

Typed = Callable[..., Any]


def leaves(command: click.Command, *words: str) -> Iterator[str]:
    """Every command that does something, below `command`, as it is typed after `words`."""
    if not isinstance(command, click.Group):
        yield " ".join(words)
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None, name
        yield from leaves(below, *words, name)


def typing_at(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    """Type `rastos snapshot WORDS` at this store: what it prints, with --json the value; where it must fail, what it says."""

    @contextmanager
    def opened(app: object, image: object, *, writable: bool, purpose: str) -> Iterator[Store]:
        yield Store.open(store.top, store.esp, writable=writable)

    for item in pkgutil.iter_modules(rastos.cli.snapshot.__path__):
        module = importlib.import_module(f"rastos.cli.snapshot.{item.name}")
        if item.name != "places" and hasattr(module, "opened_store"):
            monkeypatch.setattr(module, "opened_store", opened)
    monkeypatch.setenv("RASTOS_CACHE", str(folder / "cache"))
    monkeypatch.chdir(folder)

    def typed(*words: str, status: int = 0) -> Any:
        capfd.readouterr()
        assert run(["snapshot", *words]) == status
        out, err = capfd.readouterr()
        return json.loads(out) if "--json" in words and not status else err if status and not out else out

    return typed
