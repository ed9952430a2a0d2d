"""What to read before a stranger's recipe is built: the changes since the last time, and lines that deserve a look."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .recipe import Recipe
from .sources import Checkout, git

_FINDINGS = (
    (re.compile(r"\b(curl|wget)\b[^\n|]*\|\s*(ba|z|da)?sh\b"), "runs what it downloads"),
    (re.compile(r"\b(sudo|su|pkexec|doas)\s"), "asks for privileges"),
    (re.compile(r"\bbase64\s+(-d|--decode)\b|\bxxd\s+-r\b"), "decodes hidden content"),
    (re.compile(r"\beval\b"), "runs text as code"),
    (
        re.compile(r"\bchmod\b[^\n]*(\+s|[24675]\d{3}\b)|\binstall\b[^\n]*-D?m\s*0?[2467][0-7]{3}\b"),
        "sets user or group id",
    ),
    (
        re.compile(r"(>|\btee\b|\bcp\b|\bmv\b|\brm\b)[^\n]*\s[\"']?(/etc|/usr|/home|/root|/boot|/var)/"),
        "names a path of the system",
    ),
    (re.compile(r"\b(npm|pip|cargo|go)\s+(install|get|i)\b"), "fetches from another registry"),
    (re.compile(r"/dev/(tcp|udp)/"), "opens a network connection"),
)


@dataclass(frozen=True)
class Remark:
    """A line that deserves a look: file, number, the line, why."""

    file: str
    line: int
    text: str
    why: str


@dataclass(frozen=True)
class Review:
    """What is new in a recipe: `text` is a diff against `previous`, or all files the first time."""

    base: str
    commit: str
    previous: str
    text: str
    remarks: tuple[Remark, ...]

    @property
    def unchanged(self) -> bool:
        """Whether this very commit was accepted before."""
        return self.commit == self.previous


def review_of(checkout: Checkout) -> Review:
    """Everything there is to read. Binary files are named, not shown."""
    folder, previous = checkout.folder, checkout.reviewed
    if previous:
        text = git(folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", previous, "HEAD")
    else:
        empty = git(folder, "hash-object", "-t", "tree", "/dev/null").strip()
        text = git(folder, "diff", "--no-ext-diff", "--no-textconv", "--no-color", empty, "HEAD")
    text = "".join(letter if letter.isprintable() or letter in "\n\t" else "�" for letter in text)
    remarks = [*_recipe_remarks(checkout.recipe), *_line_remarks(checkout)]
    return Review(checkout.recipe.base, checkout.commit, previous, text, tuple(remarks))


def accept(checkout: Checkout) -> None:
    """Remember that this commit was read."""
    from rastos.host import write_atomic

    write_atomic(checkout.folder.with_name(f"{checkout.folder.name}.reviewed"), f"{checkout.commit}\n".encode())


def _line_remarks(checkout: Checkout) -> list[Remark]:
    found = []
    for name in git(checkout.folder, "ls-tree", "-r", "--name-only", "-z", "HEAD").split("\0"):
        path = checkout.folder / name
        scripts = name == "PKGBUILD" or name.endswith((".install", ".sh", ".hook"))
        if not name or not scripts or path.is_symlink() or not path.is_file():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            found += [
                Remark(name, number, line.strip()[:160], why) for pattern, why in _FINDINGS if pattern.search(line)
            ]
    return found


def _recipe_remarks(recipe: Recipe) -> list[Remark]:
    found = []
    for package in recipe.packages:
        if package.install:
            found.append(Remark(package.install, 1, package.name, "a script that runs as root when it is installed"))
    sums = [values for _, values in recipe.checksums]
    for number, source in enumerate(recipe.source):
        address = source.split("::")[-1]
        skipped = all(number >= len(values) or values[number] == "SKIP" for values in sums)
        if skipped and address.startswith(("http://", "https://", "ftp://")) and not address.endswith((".sig", ".asc")):
            found.append(Remark(".SRCINFO", 1, address[:160], "a download that no checksum holds to"))
        elif address.startswith("http://"):
            found.append(Remark(".SRCINFO", 1, address[:160], "a download without encryption"))
    return found
