"""The kernel source packages that the host's apt offers. apt verifies the archive's signature and each file's digest.

Runs `apt-cache` and `apt-get download` only: nothing is installed. The choice is remembered until apt's lists change.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.host import find_program, read_json, run, sha256_file, working_directory, write_json
from rastos.progress import Step

LISTS = Path("/var/lib/apt/lists")
SETTINGS = Path("/etc/apt")


@dataclass(frozen=True, slots=True)
class Offer:
    """A source package at one version, with the digest of its file and the suites that have it.

    `candidate`: the version that apt itself would install.
    """

    package: str
    version: str
    sha256: str
    suites: tuple[str, ...] = ()
    candidate: bool = True


def choose(wanted: str | None, cache: Path) -> Offer:
    """The newest kernel source apt offers, or the one whose version starts with `wanted` ("6.12", "6.12.117",
    "6.12@bookworm-backports"). What apt would install comes before other versions.

    Raises HostError where apt offers none, UserError where none matches.
    """
    found = sorted(offers(cache), key=lambda offer: (_numbers(offer.package), offer.candidate))
    if not found:
        raise HostError(
            "apt offers no kernel source package (linux-source-*)",
            next_step="run `apt-get update` as root, or give a source tree or tarball: --source PATH",
        )
    if wanted is None:
        return found[-1]
    version, _, suite = wanted.partition("@")
    series = version.removeprefix("linux-source-")
    for offer in reversed(found):
        named = offer.package == f"linux-source-{series}" or f"{offer.version}.".startswith(
            (f"{series}.", f"{series}-")
        )
        if named and (not suite or suite in offer.suites):
            return offer
    shown = (f"{offer.package} ({offer.version}{_at(offer)})" for offer in found if offer.candidate or suite)
    raise UserError(
        f"apt offers no kernel source of version '{version}'{f' in {suite}' if suite else ''}",
        next_step=f"it offers: {', '.join(shown)}",
    )


def offers(cache: Path) -> tuple[Offer, ...]:
    """Every version of every versioned kernel source package that the host's apt knows; of a package the newest last."""
    if find_program("apt-cache") is None:
        raise HostError(
            "this host has no apt to take a kernel source package from",
            next_step="give a source tree or tarball: --source PATH",
        )
    memory = cache / "apt-sources.json"
    state = _state()
    if memory.is_file():
        known = read_json(memory)
        if known["state"] == state:
            return tuple(Offer(**{**item, "suites": tuple(item["suites"])}) for item in known["offers"])
    what = "ask apt for kernel source packages"
    names = run(["apt-cache", "search", "--names-only", r"^linux-source-[0-9.]+$"], what=what).stdout
    packages = [line.split(" ", 1)[0] for line in names.splitlines() if line.startswith("linux-source-")]
    found: list[Offer] = []
    if packages:
        every = run(["apt-cache", "show", *packages], what=what).stdout
        candidates = run(["apt-cache", "show", "--no-all-versions", *packages], what=what).stdout
        table = run(["apt-cache", "madison", *packages], what=what).stdout
        found = parse_offers(every, candidates, table)
    if found:
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_json(memory, {"state": state, "offers": [asdict(item) for item in found]})
    return tuple(found)


def parse_offers(every: str, candidates: str, table: str) -> list[Offer]:
    """Offers from what `apt-cache show`, `show --no-all-versions` and `madison` say; madison lists the newest first."""
    digests = _paragraphs(every)
    chosen = _paragraphs(candidates)
    suites: dict[tuple[str, str], dict[str, None]] = {}
    for line in table.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) == 3 and (place := re.fullmatch(r"\S+ (\S+)/\S+ \S+ Packages", columns[2])):
            suites.setdefault((columns[0], columns[1]), {})[place[1]] = None
    order = [key for key in suites if key in digests] + [key for key in digests if key not in suites]
    return [Offer(*key, digests[key], tuple(suites.get(key, ())), key in chosen) for key in reversed(order)]


def _paragraphs(shown: str) -> dict[tuple[str, str], str]:
    """(package, version) → SHA-256 of the file."""
    found: dict[tuple[str, str], str] = {}
    for paragraph in shown.split("\n\n"):
        fields = dict(re.findall(r"(?m)^(Package|Version|SHA256): (.*)$", paragraph))
        if len(fields) == 3:
            found.setdefault((fields["Package"], fields["Version"]), fields["SHA256"])
    return found


def _at(offer: Offer) -> str:
    return f" in {offer.suites[0]}" if offer.suites else ""


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
