"""The kernel source packages that the host's apt offers. apt verifies the archive's signature and each file's digest.

Runs `apt-cache` and `apt-get download` only: nothing is installed. The choice is remembered until apt's lists change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.host import find_program, read_json, run, sha256_file, working_directory, write_json
from rastos.progress import Step

LISTS = Path("/var/lib/apt/lists")
SETTINGS = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class Offer:
    """A source package at the version apt would install, with the digest of its file."""

    package: str
    version: str
    sha256: str


def choose(wanted: str | None, cache: Path) -> Offer:
    """The newest kernel source apt offers, or the one whose version starts with `wanted`.

    Raises HostError where apt offers none, UserError where none matches.
    """
    found = sorted(offers(cache), key=lambda offer: _numbers(offer.package))
    if not found:
        raise HostError(
            "apt offers no kernel source package (linux-source-*)",
            next_step="run `apt-get update` as root, or give a source tree or tarball: --source PATH",
        )
    if wanted is None:
        return found[-1]
    series = wanted.removeprefix("linux-source-")
    for offer in reversed(found):
        if offer.package == f"linux-source-{series}" or f"{offer.version}.".startswith((f"{series}.", f"{series}-")):
            return offer
    raise UserError(
        f"apt offers no kernel source of version '{wanted}'",
        next_step=f"it offers: {', '.join(f'{offer.package} ({offer.version})' for offer in found)}",
    )


def offers(cache: Path) -> tuple[Offer, ...]:
    """Every versioned kernel source package of the host's apt."""
    if find_program("apt-cache") is None:
        raise HostError(
            "this host has no apt to take a kernel source package from",
            next_step="give a source tree or tarball: --source PATH",
        )
    memory = cache / "apt-offers.json"
    state = _state()
    if memory.is_file():
        known = read_json(memory)
        if known["state"] == state:
            return tuple(Offer(*item) for item in known["offers"])
    what = "ask apt for kernel source packages"
    names = run(["apt-cache", "search", "--names-only", r"^linux-source-[0-9.]+$"], what=what).stdout
    packages = [line.split(" ", 1)[0] for line in names.splitlines() if line.startswith("linux-source-")]
    found: list[Offer] = []
    if packages:
        shown = run(["apt-cache", "show", "--no-all-versions", *packages], what=what).stdout
        for paragraph in shown.split("\n\n"):
            fields = dict(re.findall(r"(?m)^(Package|Version|SHA256): (.*)$", paragraph))
            if len(fields) == 3:
                found.append(Offer(fields["Package"], fields["Version"], fields["SHA256"]))
    if found:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"state": state, "offers": [[item.package, item.version, item.sha256] for item in found]})
    return tuple(found)


def download(offer: Offer, cache: Path, step: Step) -> Path:
    """The package's file in <cache>/downloads. Raises HostError without network, IntegrityError on a wrong digest."""
    folder = cache / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{offer.package}_{re.sub(r'[^A-Za-z0-9.+~-]', '_', offer.version)}.deb"
    if target.is_file() and sha256_file(target) == offer.sha256:
        return target
    with working_directory(cache / "work", "download-") as work:
        argv = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", f"{offer.package}={offer.version}"]
        try:
            run(argv, cwd=work, on_line=lambda line: step.note(line, "log"), what=f"download {offer.package}")
        except ExternalError as error:
            raise HostError(
                f"apt could not download {offer.package} {offer.version}",
                next_step="check the network and run `apt-get update`, or give a source: --source PATH",
                detail=error.detail,
            ) from error
        files = sorted(work.glob("*.deb"))
        if len(files) != 1 or sha256_file(files[0]) != offer.sha256:
            raise IntegrityError(
                "the kernel source package is not the one that apt's lists name",
                on=offer.package,
                next_step="run `apt-get update` and try again; nothing of it was used",
            )
        files[0].rename(target)
    return target


def _state() -> str:
    """Changes whenever apt's lists or sources do."""
    paths = [LISTS, SETTINGS, SETTINGS / "sources.list", SETTINGS / "sources.list.d", SETTINGS / "preferences.d"]
    return " ".join(str(path.stat().st_mtime_ns) for path in paths if path.exists())


def _numbers(package: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", package))
