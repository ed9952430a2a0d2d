"""Initramfs: what a modular kernel needs before it has a root, from the tree it boots."""

from __future__ import annotations

from .plan import FACTS, InitramfsModule, InitramfsPlan, initramfs_words, kernel_facts, plan_initramfs
from .write import write_initramfs

__all__ = [
    "FACTS",
    "InitramfsModule",
    "InitramfsPlan",
    "initramfs_words",
    "kernel_facts",
    "plan_initramfs",
    "write_initramfs",
]
