"""`.SRCINFO`: what a PKGBUILD says, without running it (PKGBUILD(5), makepkg --printsrcinfo)."""

from __future__ import annotations

from dataclasses import dataclass

from rastos.errors import IntegrityError

from .rpc import NAME

_LISTS: tuple[str, ...] = (
    "depends",
    "makedepends",
    "checkdepends",
    "optdepends",
    "provides",
    "conflicts",
    "replaces",
    "groups",
    "arch",
)
_LISTS += ("source", "validpgpkeys", "backup", "license")
# what a split package may say anew; the base's counts where it doesn't
_INHERITED = ("depends", "optdepends", "provides", "conflicts", "replaces", "groups", "arch", "backup", "license")


@dataclass(frozen=True)
class RecipePackage:
    """One package a recipe makes."""

    name: str
    depends: tuple[str, ...] = ()
    optdepends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    arch: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    install: str = ""


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; `version` is `[epoch:]pkgver-pkgrel`."""

    base: str
    version: str
    packages: tuple[RecipePackage, ...]
    makedepends: tuple[str, ...] = ()
    checkdepends: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    arch: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    validpgpkeys: tuple[str, ...] = ()
    checksums: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the packages it makes."""
        return tuple(package.name for package in self.packages)

    @property
    def tracks_a_repository(self) -> bool:
        """Whether its version is made when it is built: a source from a version control system."""
        return any(text.split("::")[-1].split("+")[0] in ("git", "svn", "hg", "bzr", "fossil") for text in self.source)


def parse_srcinfo(text: str, arch: str = "x86_64", on: object = ".SRCINFO") -> Recipe:
    """Read a `.SRCINFO`; values of another architecture are left out. IntegrityError: damaged, or hostile names."""
    sections: list[dict[str, list[str]]] = []
    for line in text.splitlines():
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or line.lstrip().startswith("#"):
            continue
        if key in ("pkgbase", "pkgname"):
            if (key == "pkgbase") == bool(sections):
                raise IntegrityError("a damaged recipe: pkgbase comes once and first", on=on)
            sections.append({key: [value]})
            continue
        if not sections:
            raise IntegrityError("a damaged recipe: it doesn't begin with pkgbase", on=on)
        plain, _, suffix = key.partition("_")  # no key has one, x86_64 has
        if plain in _LISTS or plain.endswith("sums"):
            if suffix in ("", arch):
                sections[-1].setdefault(plain, []).append(value)
            continue
        sections[-1].setdefault(key, []).append(value)
    if len(sections) < 2:
        raise IntegrityError("a damaged recipe: it makes no package", on=on)
    head = sections[0]
    for name in [head["pkgbase"][0], *(section["pkgname"][0] for section in sections[1:])]:
        if not NAME.match(name):
            raise IntegrityError(f"a recipe with an impossible name: {name!r}", on=on)

    def many(section: dict[str, list[str]], key: str) -> tuple[str, ...]:
        found = section.get(key)
        if found is None and section is not head and key in _INHERITED:
            found = head.get(key)
        return tuple(item for item in found or () if item)

    packages = tuple(
        RecipePackage(
            name=section["pkgname"][0],
            install=(section.get("install") or head.get("install") or [""])[0],
            **{key: many(section, key) for key in _INHERITED},
        )
        for section in sections[1:]
    )
    return Recipe(
        base=head["pkgbase"][0],
        version=_version(head, on),
        packages=packages,
        checksums=tuple((key, tuple(head[key])) for key in sorted(head) if key.endswith("sums")),
        **{
            key: many(head, key) for key in ("makedepends", "checkdepends", "depends", "arch", "source", "validpgpkeys")
        },
    )


def _version(head: dict[str, list[str]], on: object) -> str:
    version, release = (head.get("pkgver") or [""])[0], (head.get("pkgrel") or [""])[0]
    epoch = (head.get("epoch") or ["0"])[0]
    if not version or not release or any(letter in version for letter in ":/- "):
        raise IntegrityError("a damaged recipe: no usable version", on=on)
    return f"{epoch}:{version}-{release}" if epoch not in ("", "0") else f"{version}-{release}"
