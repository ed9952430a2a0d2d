"""Asking a tree's Kconfig: `kconfig_model` in a child process, which takes tree and architecture from its environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import rastos
from rastos.errors import ExternalError, RastosError, UserError
from rastos.host import run

MODEL_TIMEOUT = 180.0  # seconds; a 6.12 tree takes about four


def ask(question: Mapping[str, object], source: Path, version: str) -> dict[str, Any]:
    """The model's answer. Raises UserError where it can't read this tree, with what it said."""
    compiler = run(["gcc", "--version"], what="ask the compiler for its version").stdout.partition("\n")[0]
    # what scripts/kconfig/Makefile and the top Makefile export before they start conf
    tools = {"CC": "gcc", "HOSTCC": "gcc", "LD": "ld", "NM": "nm", "OBJCOPY": "objcopy", "AR": "ar"}
    other = {"CC_VERSION_TEXT": compiler, "PAHOLE": "pahole", "RUSTC": "rustc", "BINDGEN": "bindgen"}
    place = {"PYTHONPATH": str(Path(rastos.__file__).parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    env = {"srctree": str(source), "ARCH": "x86", "SRCARCH": "x86", "KERNELVERSION": version, **tools, **other, **place}
    # -P: the tree is the working directory, and must not bring Python modules of its own
    argv = [sys.executable, "-s", "-P", "-m", "rastos.kernel.kconfig_model"]
    text = json.dumps(question)
    try:
        answer = run(argv, stdin=text, cwd=source, env=env, timeout=MODEL_TIMEOUT, what="read the kernel's Kconfig")
        found = json.loads(answer.stdout)
    except (RastosError, ValueError) as error:
        raise UserError(
            "the Kconfig files of this kernel can't be read",
            on=source,
            next_step="another version may do (`rastos kernel sources`); the last lines say what is not understood",
            detail=error.tail if isinstance(error, ExternalError) else str(error),
        ) from error
    assert isinstance(found, dict)
    return found
