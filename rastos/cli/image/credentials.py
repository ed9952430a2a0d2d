"""Passwords and keys as people give them on a command line or at a prompt."""

from __future__ import annotations

from pathlib import Path

import click


def password_hash(text: str, prompt: str) -> str:
    """The hash of a password, or a hash as it is; "-" asks for it on a terminal and reads one line in a pipe."""
    import sys

    from rastos.installer import hash_password

    if text == "-" and sys.stdin.isatty():
        text = click.prompt(prompt, hide_input=True, confirmation_prompt=True, err=True)
    elif text == "-":
        text = sys.stdin.readline().rstrip("\n")
    hashed: str = hash_password(text)
    return hashed


def public_key(path: Path) -> str:
    """The one line of a .pub file. UserError: it is none."""
    from rastos.errors import UserError
    from rastos.installer import public_key_fault

    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if fault := public_key_fault(text):
        raise UserError(fault, on=path, next_step="name the .pub file")
    return text
