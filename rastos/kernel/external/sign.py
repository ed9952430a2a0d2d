"""Signatures on modules, by the kernel's own scripts/sign-file (Documentation/admin-guide/module-signing.rst)."""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Sequence
from pathlib import Path

from rastos.errors import HostError, UserError
from rastos.host import rename_durable, run
from rastos.kernel.config_file import read_config
from rastos.kernel.elf import SIGNED, module_facts

_TRAILER = 12  # bytes of struct module_signature, the last four of which are the signature's length, big endian


def sign_modules(headers: Path, key: Path, files: Sequence[Path]) -> None:
    """Sign in place, each in one step; an earlier signature is replaced. `key` is a PEM file with key and certificate.

    All files are looked at before the first is touched. UserError: no module, compressed, for another kernel, or the kernel
    knows no signatures; ExternalError: the key can't be used.
    """
    config = read_config(headers / ".config")
    tool = headers / "scripts/sign-file"
    if config.get("MODULE_SIG") != "y" or not tool.is_file():
        raise UserError(
            "this kernel knows no signed modules: CONFIG_MODULE_SIG is not set",
            on=headers.parent.name,
            next_step="build the kernel with --set CONFIG_MODULE_SIG=y",
        )
    if not key.is_file():
        raise HostError(
            "there is no key to sign modules with",
            on=key,
            next_step="it is made with the first kernel that signs its modules; or give one: --key FILE.pem",
        )
    release = (headers / "include/config/kernel.release").read_text(encoding="utf-8").strip()
    for path in files:
        check_module(path, release)
    for path in files:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        try:
            _without_signature(path, temporary)
            hashed = config.get("MODULE_SIG_HASH", '"sha512"').strip('"')
            run([tool, hashed, key, key, temporary], what=f"sign {path.name}")
            temporary.chmod(path.stat().st_mode & 0o777)
            rename_durable(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def check_module(path: Path, release: str) -> dict[str, str]:
    """What a module says of itself, if it is one for this release. UserError: it is another thing."""
    if not path.is_file():
        raise UserError("there is no such file", on=path, next_step="give the path of a .ko file")
    if path.suffix in (".zst", ".xz", ".gz"):
        raise UserError(
            "a compressed module: its signature has to be inside",
            on=path,
            next_step="unpack it, sign it, pack it again",
        )
    facts = module_facts(path)
    magic = facts.get("vermagic", "").split(" ")[0]
    if magic != release:
        raise UserError(
            f"this module is for the kernel {magic or '?'}, not for {release}",
            on=path,
            next_step="build it against the headers of this kernel: rastos kernel module build",
        )
    return facts


def _without_signature(path: Path, target: Path) -> None:
    data = path.read_bytes()
    while _ends_signed(data):
        (size,) = struct.unpack_from(">I", data, len(data) - len(SIGNED) - 4)
        rest = len(data) - len(SIGNED) - _TRAILER - size
        if rest <= 0:
            raise UserError("the signature at its end is damaged", on=path, next_step="build the module again")
        data = data[:rest]
    with open(target, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _ends_signed(data: bytes) -> bool:
    """Whether one is left; a module may have been signed twice."""
    return data.endswith(SIGNED) and len(data) > len(SIGNED) + _TRAILER
