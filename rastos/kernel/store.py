"""What was built: one record per build key beside the cache, valid while its package is in the local repository."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rastos.host import read_json, sha256_file, write_json
from rastos.package import LocalRepository


@dataclass(frozen=True, slots=True)
class BuiltKernel:
    """A packaged kernel. Sizes in bytes, `created` seconds since 1970, `seconds` the run that
    finished it (an interrupted build continues)."""

    name: str
    profile: str
    release: str
    version: str
    source: str
    package: Path
    sha256: str
    key: str
    config: Path
    seconds: float
    warnings: int
    objects: int
    image_size: int
    package_size: int
    created: int
    cached: bool = False


def record(cache: Path, kernel: BuiltKernel) -> None:
    """Remember a finished build under its key."""
    facts = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(kernel).items()}
    (cache / "built").mkdir(parents=True, exist_ok=True)
    write_json(cache / "built" / f"{kernel.key}.json", facts)


def recorded(cache: Path, repository: LocalRepository, key: str) -> BuiltKernel | None:
    """The finished build of this key whose package is still the one in the repository; None otherwise."""
    path = cache / "built" / f"{key}.json"
    kernel = _load(path) if path.is_file() else None
    return kernel if kernel is not None and _present(kernel, repository) else None


def built(cache: Path, repository: LocalRepository) -> tuple[BuiltKernel, ...]:
    """Every kernel built here whose package is in the repository, newest first."""
    loaded = (_load(path) for path in (cache / "built").glob("*.json"))
    found = [kernel for kernel in loaded if kernel is not None and _present(kernel, repository)]
    newest: dict[Path, BuiltKernel] = {}  # two keys may have given the same bytes
    for kernel in sorted(found, key=lambda kernel: kernel.created, reverse=True):
        newest.setdefault(kernel.package, kernel)
    return tuple(newest.values())


def _load(path: Path) -> BuiltKernel | None:
    try:
        facts = read_json(path)
        kernel = BuiltKernel(**{**facts, "package": Path(facts["package"]), "config": Path(facts["config"])})
    except (ValueError, TypeError, KeyError):
        return None  # written by another version: as good as not built
    return replace(kernel, cached=True)


def _present(kernel: BuiltKernel, repository: LocalRepository) -> bool:
    entry = repository.find(kernel.name)
    if entry is None or entry.version != kernel.version or not kernel.package.is_file():
        return False
    return kernel.package.stat().st_size == kernel.package_size and sha256_file(kernel.package) == kernel.sha256
