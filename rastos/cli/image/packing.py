"""What commands that write image files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def compression_option(function: F) -> F:
    """--compress [zlib|zstd]: of qcow2's clusters; "" without."""
    return click.option(
        "--compress",
        "compression",
        is_flag=False,
        flag_value="zlib",
        default="",
        metavar="[zlib|zstd]",
        help="Compress a qcow2: zlib (every QEMU reads it) where nothing is said, or zstd (QEMU 5.1 and later).",
    )(function)
