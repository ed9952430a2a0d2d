"""The whole suite of this host's apt sources: every relation, once mapped, holds exactly where dpkg says it holds."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rastos.errors import HostError
from rastos.package import Change, apply_plan, load_manifest, plan_change, target_for
from rastos.package.channels.debian import DebianChannel, explicit, from_host
from rastos.package.channels.debian import index as debian_index
from rastos.package.channels.debian.versions import encode
from rastos.package.records import PackageRecord
from rastos.package.relations import parse_dependency, satisfies
from rastos.progress import Noted, Progress
from tests.conftest import ROOT, need

DEPENDS, AGAINST = ("Pre-Depends", "Depends"), ("Breaks", "Conflicts", "Replaces")
# deb-relations(7) as this test reads it, on its own: name, qualifier, operator, version
RELATION = re.compile(r"([^\s:(]+)(?::(\S+?))?(?:\s*\(\s*([<>=]+)\s*([^\s)]+)\s*\))?")
HOLDS = {
    "<<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    "<": lambda order: order <= 0,
    "=": lambda order: order == 0,
    ">=": lambda order: order >= 0,
    ">": lambda order: order >= 0,
    ">>": lambda order: order > 0,
}


@dataclass(frozen=True)
class Stanza:
    name: str
    version: str
    allowed: bool
    fields: dict[str, str]


def weight(character: str) -> int:
    """`order()` of lib/dpkg/version.c."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def verrevcmp(one: str, two: str) -> int:
    """lib/dpkg/version.c, line by line."""
    i = j = 0
    while i < len(one) or j < len(two):
        while (i < len(one) and not one[i].isdigit()) or (j < len(two) and not two[j].isdigit()):
            left = weight(one[i]) if i < len(one) and not one[i].isdigit() else 0
            right = weight(two[j]) if j < len(two) and not two[j].isdigit() else 0
            if left != right:
                return -1 if left < right else 1
            i, j = i + 1, j + 1
        start, begin = i, j
        while i < len(one) and one[i].isdigit():
            i += 1
        while j < len(two) and two[j].isdigit():
            j += 1
        left, right = int(one[start:i] or 0), int(two[begin:j] or 0)
        if left != right:
            return -1 if left < right else 1
    return 0


@cache
def split(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    upstream, dash, revision = (rest if colon else version).rpartition("-")
    return int(epoch) if colon else 0, upstream if dash else revision, revision if dash else ""


@cache
def dpkg_order(one: str, two: str) -> int:
    if one == two:
        return 0
    first, second = split(one), split(two)
    if first[0] != second[0]:
        return -1 if first[0] < second[0] else 1
    return verrevcmp(first[1], second[1]) or verrevcmp(first[2], second[2])


class Archive:
    """The suite as dpkg sees it."""

    def __init__(self, texts: list[str]) -> None:
        self.stanzas = [stanza for text in texts for stanza in self._read(text)]
        self.real: dict[str, list[Stanza]] = defaultdict(list)
        self.virtual: dict[str, list[tuple[Stanza, str]]] = defaultdict(list)
        for stanza in self.stanzas:
            self.real[stanza.name].append(stanza)
            for name, qualifier, _, version in clauses(stanza.fields.get("Provides", "")):
                assert not qualifier
                self.virtual[name].append((stanza, version))

    def _read(self, text: str) -> Iterator[Stanza]:
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line[:1].isalpha() and ": " in line)
            if fields:
                yield Stanza(fields["Package"], fields["Version"], fields.get("Multi-Arch") == "allowed", fields)

    def meets(self, stanza: Stanza, relation: tuple[str, str, str, str], depends: bool) -> bool:
        """dpkg's depcon.c for one relation and one package, in a tree of one architecture."""
        name, qualifier, operator, version = relation
        native = qualifier in ("", "amd64", "native") or (qualifier == "any" and (stanza.allowed or not depends))
        if not native:
            return False
        if stanza.name == name and (not operator or HOLDS[operator](dpkg_order(stanza.version, version))):
            return True
        return any(
            provided == name and (not operator or (offered and HOLDS[operator](dpkg_order(offered, version))))
            for provided, _, _, offered in clauses(stanza.fields.get("Provides", ""))
        )

    def named(self, name: str) -> Iterator[Stanza]:
        seen = set()
        for stanza in (*self.real.get(name, ()), *(owner for owner, _ in self.virtual.get(name, ()))):
            if (stanza.name, stanza.version) not in seen:
                seen.add((stanza.name, stanza.version))
                yield stanza


@cache
def clauses(field: str) -> tuple[tuple[str, str, str, str], ...]:
    """Every relation of a field, alternatives one by one."""
    found = (RELATION.fullmatch(text.strip()) for text in re.split("[,|]", field) if text.strip())
    return tuple((m[1], m[2] or "", m[3] or "", m[4] or "") for m in found if m)


@pytest.fixture(scope="module")
def channel() -> DebianChannel:
    need("gpgv")
    cache = Path(os.environ.get("RASTOS_CACHE") or ROOT / ".rastos/cache")
    try:
        made = DebianChannel(cache / "channels/debian", from_host())
        try:
            made.refresh(Progress(), offline=True)
        except HostError:
            made.refresh(Progress())
    except HostError as error:
        pytest.skip(f"no Debian archive here: {error}")
    return made


def test_every_relation_of_the_suite(channel: DebianChannel) -> None:
    started = time.monotonic()
    texts = channel.index_texts()
    archive = Archive([text for text, _ in texts])
    allowed = frozenset[str]().union(*(debian_index.allowed_names(text) for text, _ in texts))
    assert allowed == {stanza.name for stanza in archive.stanzas if stanza.allowed}
    mapped = [record for text, uri in texts for record in debian_index.records(text, uri, allowed)]
    left_out = [s for s in archive.stanzas if s.name in debian_index.LEFT_OUT]
    assert len(mapped) == len(archive.stanzas) - len(left_out), "a stanza that could not be mapped"
    ours = {(record.name, record.debian_version): alpm(record) for record in mapped}
    merged = debian_index.merge(mapped)
    newest = {name: alpm(record) for name, record in merged.items()}
    groups: dict[str, set[str]] = defaultdict(set)
    for record in merged.values():
        for text in record.provides:
            if text.startswith("any:"):
                groups[text].add(record.name)
    count: Counter[str] = Counter()
    wrong: list[str] = []

    @cache
    def single(relation: tuple[str, str, str, str], text: str, depends: bool) -> int:
        wanted = parse_dependency(text)
        compared = 0
        for stanza in archive.named(relation[0]):
            record = ours.get((stanza.name, stanza.version))
            if record is None:
                continue
            compared += 1
            if (bool(text) and satisfies(record, wanted)) != archive.meets(stanza, relation, depends):
                wrong.append(f"{relation} as {text} against {stanza.name} {stanza.version}")
        return compared

    @cache
    def either(group: tuple[tuple[str, str, str, str], ...], text: str) -> int:
        compared = 0
        wanted = parse_dependency(text)
        for stanza in {s.name: s for part in group for s in archive.named(part[0])}.values():
            for other in archive.real[stanza.name]:
                record = newest.get(other.name)
                if record is None or merged[other.name].debian_version != other.version:
                    continue
                compared += 1
                holds = any(archive.meets(other, part, True) for part in group)
                if satisfies(record, wanted) != holds or (other.name in groups[text]) != holds:
                    wrong.append(f"{group} as {text} against {other.name} {other.version}")
        return compared

    by_key = {(record.name, record.debian_version): record for record in mapped}
    for stanza in archive.stanzas:
        record = by_key.get((stanza.name, stanza.version))
        if record is None:
            continue
        texts_of = iter(record.depends)
        seen: set[str] = set()
        for clause in (c for f in DEPENDS for c in stanza.fields.get(f, "").split(",") if c.strip()):
            group = tuple(dict.fromkeys(clauses(clause)))
            count["relations"] += len(group)
            (text,) = debian_index.relations.depends(clause, allowed=allowed)
            if text not in seen:
                seen.add(text)
                assert next(texts_of) == text, f"{stanza.name}: {clause} is not in its record"
            if not text.startswith("any:"):
                count["compared"] += single(group[0], text, True)
            elif merged[stanza.name].debian_version == stanza.version:
                count["compared"] += either(group, text)
            else:  # a version that a newer one hides: its alternatives are in no database, each counts by itself
                for part in group:
                    alone = debian_index.relations.depends(field_of(part), allowed=allowed)
                    count["compared"] += single(part, alone[0], True)
        assert next(texts_of, None) is None
        for field in AGAINST:
            stored = record.replaces if field == "Replaces" else record.conflicts
            for relation in clauses(stanza.fields.get(field, "")):
                count["relations"] += 1
                text = "".join(debian_index.relations.replaces(field_of(relation)))
                if relation[0] == stanza.name and field != "Replaces":
                    continue  # dpkg doesn't hold a package against itself
                assert not text or text in stored
                count["compared"] += single(relation, text, False)
        for relation in clauses(stanza.fields.get("Provides", "")):
            count["relations"] += 1
            version = relation[3] and f"={encode(relation[3])}"
            assert relation[0] + version in record.provides, f"{stanza.name} provides {relation}"
    seconds = time.monotonic() - started
    sys.stderr.write(
        f"{len(archive.stanzas)} packages, {count['relations']} relations, {count['compared']} comparisons, "
        f"{len(wrong)} wrong, {seconds:.1f} s\n"
    )
    assert count["relations"] > 100_000 or "CI" not in os.environ
    assert wrong == [], f"{len(wrong)} of {count['compared']}: {wrong[:20]}"
    assert seconds < 60


def field_of(relation: tuple[str, str, str, str]) -> str:
    name, qualifier, operator, version = relation
    return name + (f":{qualifier}" if qualifier else "") + (f" ({operator} {version})" if operator else "")


def alpm(record: debian_index.Record) -> PackageRecord:
    return PackageRecord(record.name, record.version, arch=record.arch, provides=record.provides)


def test_the_order_used_here_is_dpkgs(channel: DebianChannel) -> None:
    """Some hundred pairs, near ones too, put to dpkg itself."""
    if not shutil.which("dpkg"):
        pytest.skip("no dpkg")
    versions = [
        m[2] for text, _ in channel.index_texts() for m in re.finditer(r"^(Version): (\S+)$", text, re.MULTILINE)
    ]
    chance = random.Random(3)
    pairs = [(chance.choice(versions), chance.choice(versions)) for _ in range(150)]
    for version in chance.sample(versions, 250):
        at = chance.randrange(len(version) + 1)
        changed = version[:at] + chance.choice(["~", "+", ".", "0", "1", "a", "Z", "-1"]) + version[at:]
        if re.fullmatch(r"(\d+:)?\d[A-Za-z0-9.+~-]*", changed):
            pairs.append((version, changed))
    for one, two in pairs:
        for operator in ("lt", "eq"):
            status = subprocess.run(["dpkg", "--compare-versions", one, operator, two], check=False).returncode
            order = dpkg_order(one, two)
            assert (status == 0) == (order < 0 if operator == "lt" else order == 0), f"{one} {operator} {two}"
        mapped = debian_index.compare(encode(one) + "-1", encode(two) + "-1")
        assert mapped == dpkg_order(one, two)


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: the scripts run in a chroot")
@pytest.mark.skipif("RASTOS_TEST_NETWORK" not in os.environ, reason="downloads 50 MB: set RASTOS_TEST_NETWORK=1")
def test_base_of_a_newer_suite_on_this_host(channel: DebianChannel, tmp_path: Path) -> None:
    """`suites = ["trixie"]` on a bookworm host: keys, packages, every maintainer script."""
    pytest.importorskip("pyalpm")
    manifest = load_manifest(ROOT / "packages.toml")
    home = from_host()
    cache = Path(os.environ.get("RASTOS_CACHE") or ROOT / ".rastos/cache")
    newer = DebianChannel(cache / "channels/debian-trixie", explicit(home[0].uri, ["trixie"], ["main"]))
    target = target_for(tmp_path / "root", tmp_path / "place")
    plan = plan_change(target, [newer], Change(manifest.select(["base"])), Progress(), manifest=manifest)
    noted: list[str] = []
    progress = Progress(lambda event: noted.append(event.text) if isinstance(event, Noted) else None)
    apply_plan(target, [newer], plan, progress)
    status = (tmp_path / "root/var/lib/dpkg/status").read_text()
    assert status.count("Status: install ok installed") == len(plan.install) > 100
    release = (tmp_path / "root/etc/os-release").read_text()
    assert "VERSION_CODENAME=trixie" in release
    assert not [line for line in noted if "not at hand" in line]
