"""Programs inside a session: its tree is their root, with mounts of their own, and nothing of the running system to write to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rastos.errors import IntegrityError, UserError
from rastos.host import bound, interact_in_root, run_in_root, safe_join, system_mounts

from .metadata import Intent
from .session import Session

SHELLS = ("bin/bash", "bin/sh")
RESOLVER = "etc/resolv.conf"


def run_in_session(
    session: Session, command: Sequence[str], *, network: bool = False, on_line: Callable[[str], None] | None = None
) -> int:
    """Run a command in the session, noted in its intent; its status. What it did stays, however it ends."""
    intent = Intent(commands=(tuple(command),), network=network)
    with session.step(f"run {' '.join(command)}"[:200], intent), _inside(session.tree, network):
        return run_in_root(session.tree, command, check=False, network=network, on_line=on_line, sealed=True).status


def shell_in_session(
    session: Session, script: bytes | None, *, network: bool = False, on_line: Callable[[str], None] | None = None
) -> int:
    """A shell in the session, on a terminal of its own, or (a script is given) reading that; its status.

    What was typed is known to nobody: a rebase carries the files over. UserError: the tree has no shell.
    """
    shell = next((name for name in SHELLS if _is_program(session.tree, name)), None)
    if shell is None:
        raise UserError(
            "there is no shell in this tree", on=session.tree, next_step="install one: --install bash, or run a program"
        )
    with session.step("a shell", Intent(files=True, network=network)), _inside(session.tree, network):
        if script is None:
            words = [f"/{shell}", "-l"] if shell == "bin/bash" else [f"/{shell}"]
            return interact_in_root(session.tree, words, env={"HISTFILE": ""}, network=network)
        command = [f"/{shell}", "-s"]
        done = run_in_root(
            session.tree, command, stdin=script, check=False, network=network, on_line=on_line, sealed=True
        )
        return done.status


@contextmanager
def _inside(tree: Path, network: bool) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(system_mounts(tree))
        if network:
            stack.enter_context(_resolver(tree))
        yield


@contextmanager
def _resolver(tree: Path) -> Iterator[None]:
    """The host's resolv.conf(5) for the length of the block, where the tree has that name; the tree's own is untouched."""
    place, own = tree / RESOLVER, Path("/etc/resolv.conf")
    if not own.is_file():
        yield
    elif place.is_symlink():
        # as a rule into /run, which is ours alone while programs run
        link = os.readlink(place)
        inner = link.lstrip("/") if link.startswith("/") else os.path.normpath(f"etc/{link}")
        if inner.startswith("run/") and ".." not in inner.split("/"):
            target = tree / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(own.read_bytes())
        yield
    elif place.is_file():
        with bound(own.resolve(), place, read_only=True):
            yield
    else:
        yield


def _is_program(tree: Path, name: str) -> bool:
    """Links are followed inside the tree."""
    for _ in range(10):
        try:
            path = safe_join(tree, name)
        except IntegrityError:
            return False
        if not path.is_symlink():
            return path.is_file() and os.access(path, os.X_OK)
        link = os.readlink(path)
        parent = os.path.relpath(path.parent, tree.resolve())
        name = link.lstrip("/") if link.startswith("/") else os.path.normpath(f"{parent}/{link}")
    return False
