"""Passwords become hashes before they are kept anywhere."""

from __future__ import annotations

from rastos.errors import UserError
from rastos.host import run

from .words import HASH


def hash_password(text: str) -> str:
    """A crypt(5) hash (SHA-512, salted), made by openssl, which gets the password on its standard input. A hash stays as it is.

    UserError: the password is empty or has several lines.
    """
    if HASH.fullmatch(text):
        return text
    if not text or "\n" in text:
        raise UserError("the password is empty" if not text else "the password has several lines", next_step="give one")
    return run(["openssl", "passwd", "-6", "-stdin"], stdin=text, what="hash the password").stdout.strip()
