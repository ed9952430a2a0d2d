"""How many compilers at once: no more than cores, and no more than memory holds."""

from __future__ import annotations

GIGABYTE = 1_000_000_000
BASE = GIGABYTE  # bytes left to make, the linker and whoever else runs here
PER_JOB = GIGABYTE  # bytes: the largest compiler of an allmodconfig takes some 0.9 GB, the last link as much


def fitting_jobs(cores: int, available: int) -> int:
    """Parallel jobs for so many cores and bytes of available memory; at least one. `available` 0: unknown."""
    if available <= 0:
        return max(1, cores)
    return max(1, min(cores, (available - BASE) // PER_JOB))
