"""What was built: one record per build key beside the cache, valid while its package is in the local repository."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rastos.host import read_json, write_json
from rastos.kernel.sources import file_digest
from rastos.package import LocalRepository


@dataclass(frozen=True, slots=True)
class FurtherPackage:
    """A package made beside the kernel's: `kind` headers or debug; `size` in bytes."""

    kind: str
    name: str
    path: Path
    sha256: str
    size: int


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
    others: tuple[FurtherPackage, ...] = ()

    def further(self, kind: str) -> FurtherPackage | None:
        """The package of that kind that was made beside the kernel's."""
        return next((item for item in self.others if item.kind == kind), None)


def record(cache: Path, kernel: BuiltKernel) -> None:
    """Remember a finished build under its key."""
    (cache / "built").mkdir(parents=True, exist_ok=True)
    write_json(cache / "built" / f"{kernel.key}.json", asdict(kernel))  # paths as text


def recorded(cache: Path, repository: LocalRepository, key: str) -> BuiltKernel | None:
    """The finished build of this key whose package is still the one in the repository; None otherwise."""
    path = cache / "built" / f"{key}.json"
    kernel = _load(path) if path.is_file() else None
    return kernel if kernel is not None and _present(kernel, repository, cache) else None


def built(cache: Path, repository: LocalRepository) -> tuple[BuiltKernel, ...]:
    """Every kernel built here whose package is in the repository, newest first."""
    loaded = (_load(path) for path in (cache / "built").glob("*.json"))
    found = [kernel for kernel in loaded if kernel is not None and _present(kernel, repository, cache)]
    newest: dict[Path, BuiltKernel] = {}  # two keys may have given the same bytes
    for kernel in sorted(found, key=lambda kernel: kernel.created, reverse=True):
        newest.setdefault(kernel.package, kernel)
    return tuple(newest.values())


def _load(path: Path) -> BuiltKernel | None:
    try:
        facts = read_json(path)
        others = tuple(FurtherPackage(**{**item, "path": Path(item["path"])}) for item in facts.get("others", ()))
        paths = {name: Path(facts[name]) for name in ("package", "config")}
        kernel = BuiltKernel(**{**facts, **paths, "others": others})
    except (ValueError, TypeError, KeyError):
        return None  # written by another version: as good as not built
    return replace(kernel, cached=True)


def _present(kernel: BuiltKernel, repository: LocalRepository, cache: Path) -> bool:
    versions = {entry.name: entry.version for entry in repository.packages()}
    files = [(kernel.name, kernel.package, kernel.package_size, kernel.sha256)]
    files += [(item.name, item.path, item.size, item.sha256) for item in kernel.others]
    return all(
        versions.get(name) == kernel.version
        and path.is_file()
        and path.stat().st_size == size
        and file_digest(path, cache) == digest  # a debug package has hundreds of MB: read again only when it changed
        for name, path, size, digest in files
    )
