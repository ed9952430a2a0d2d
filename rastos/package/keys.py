"""OpenPGP keys: what a keyring holds, who certified what, and signing; through gpg in private folders.

Nobody's own GnuPG folder is read or written, except the one that is named for signing, and no agent stays behind.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rastos.errors import HostError, IntegrityError, UserError

FINGERPRINT = re.compile(r"[0-9A-F]{40}\Z")
LARGEST = 64 << 20  # bytes of a keyring
_CERTIFICATIONS = ("10", "11", "12", "13")
_REVOCATION = "30"


@dataclass(frozen=True)
class Key:
    """A public key. Times in seconds since 1970; `certified_by`: the masters whose certification of it holds."""

    fingerprint: str
    name: str
    created: int
    expires: int | None = None
    revoked: bool = False
    certified_by: tuple[str, ...] = ()
    master: bool = False

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= time.time()

    @property
    def alive(self) -> bool:
        """Neither revoked nor expired."""
        return not self.revoked and not self.expired


def fingerprint(text: str) -> str:
    """A full fingerprint as gpg writes it, from one with spaces or in small letters. UserError: it isn't one."""
    plain = text.replace(" ", "").removeprefix("0x").upper()
    if not FINGERPRINT.match(plain):
        raise UserError(f"'{text}' is not a full fingerprint", next_step="give all 40 hex digits")
    return plain


def read_keys(files: Sequence[Path], masters: Collection[str] = ()) -> tuple[Key, ...]:
    """Every key of these keyring files, merged; certifications by `masters` (fingerprints) are verified and counted."""
    with _home(files) as (_, gpg):
        # not --no-sig-cache: gpg 2.2 frees a key twice there; in a new folder nothing is cached anyway
        listed = _run([*gpg, "--check-sigs" if masters else "--list-keys"], "read the keyring")
    blocks = _blocks(listed)
    issuers = _issuers(blocks, set(masters))
    keys = [_key(block, issuers) for block in blocks]
    living = {key.fingerprint for key in keys if key.master and key.alive}
    return tuple(
        replace(key, certified_by=tuple(sorted(set(key.certified_by) & living - {key.fingerprint}))) for key in keys
    )


def export_keys(files: Sequence[Path], fingerprints: Iterable[str], target: Path) -> None:
    """Write a binary keyring of just these keys of the files, for gpgv; the old one stays until the new one is whole."""
    from rastos.host import write_atomic

    wanted = sorted(set(fingerprints))
    content = b""
    if wanted:
        with _home(files) as (home, gpg):
            out = home / "export.gpg"
            argv = [*gpg, "--export-options", "export-minimal", "--output", out]
            _run([*argv, "--export", *wanted], "export keys")
            content = out.read_bytes() if out.exists() else b""
    write_atomic(target, content)


def valid_keys(gnupg_home: Path, target: Path) -> None:
    """Write a keyring of the keys that a GnuPG folder (pacman-key's) calls fully valid; the folder is not touched."""
    import shutil

    with _folder() as home:
        for name in ("pubring.gpg", "pubring.kbx", "trustdb.gpg"):
            if (gnupg_home / name).is_file():
                shutil.copyfile(gnupg_home / name, home / name)
        listed = _run([*_gpg(home, "pgp"), "--list-keys"], f"read {gnupg_home}")
        # validity: f(ull) or u(ltimate); a later letter in the list of capabilities 'D' says it is disabled
        good = [
            fields[0][9]
            for head, fields in ((block[0], [line for line in block if line[0] == "fpr"]) for block in _blocks(listed))
            if head[1] in ("f", "u") and "D" not in head[11]
        ]
        rings = [home / name for name in ("pubring.gpg", "pubring.kbx") if (home / name).is_file()]
        if not rings or not good:
            raise HostError(
                "pacman's keyring holds no trusted key", on=gnupg_home, next_step="run pacman-key --populate"
            )
        out = home / "export.gpg"
        _run([*_gpg(home, "pgp"), "--output", out, "--export", *good], "export keys")
        shutil.copyfile(out, target)


def sign_files(paths: Sequence[Path], key: str, gnupg_home: Path | None) -> tuple[str, ...]:
    """Write `<path>.sig` beside every file with a secret key of `gnupg_home` (None: the user's); the fingerprints used.

    ExternalError: gpg could not. An agent that wasn't there before is not there afterwards.
    """
    from rastos.host import rename_durable, run

    place: list[str | Path] = ["--homedir", gnupg_home.absolute()] if gnupg_home else []
    base: list[str | Path] = ["gpg", *place, "--batch", "--no-tty", "--yes", "--no-autostart", "--status-fd", "1"]
    base += ["--local-user", key] if key else []
    used: dict[str, None] = {}
    with _agent(place):
        for path in paths:
            temporary = path.with_name(f".{path.name}.sig.part")
            try:
                done = run([*base, "--output", temporary, "--detach-sign", path], what=f"sign {path.name}")
                rename_durable(temporary, path.with_name(f"{path.name}.sig"))
            finally:
                temporary.unlink(missing_ok=True)
            used.update({line.split()[7]: None for line in done.stdout.splitlines() if " SIG_CREATED " in line})
    return tuple(used)


@contextmanager
def _agent(place: Sequence[str | Path]) -> Iterator[None]:
    """The agent of a GnuPG folder: the one that runs already, or one that ends with us, killed or not."""
    from rastos.host import run, spawn

    probe = run(["gpg-connect-agent", *place, "--no-autostart", "/bye"], check=False)
    if probe.status == 0 and "no gpg-agent" not in probe.stderr.lower():
        yield
        return
    # it listens before it starts its command, and ends when that ends: cat ends with this pipe
    argv: list[str | Path] = ["gpg-agent", *place, "--quiet", "--daemon", "--", "cat"]
    try:
        with spawn(argv, stdin=-1, stdout=-1) as running:
            assert running.stdin and running.stdout
            try:
                running.stdin.write(b"\n")
                running.stdin.flush()
                ready = running.stdout.readline()
            except BrokenPipeError:
                ready = b""
            if not ready:
                raise HostError("gpg-agent does not start", next_step="try: gpg-agent --daemon")
            yield
    finally:
        run(["gpgconf", *place, "--kill", "gpg-agent"], check=False)


def _gpg(home: Path, model: str = "always") -> list[str | Path]:
    options = ["--batch", "--no-tty", "--no-options", "--no-autostart", "--no-auto-check-trustdb", "--with-colons"]
    return ["gpg", "--homedir", home.absolute(), *options, "--fixed-list-mode", "--trust-model", model]


@contextmanager
def _home(files: Sequence[Path]) -> Iterator[tuple[Path, list[str | Path]]]:
    with _folder() as home:
        gpg = _gpg(home)
        for path in files:
            if path.stat().st_size > LARGEST:
                raise IntegrityError("this is no keyring: it is too large", on=path)
            _run([*gpg, "--quiet", "--import", path], f"read {path}")
        yield home, gpg


@contextmanager
def _folder() -> Iterator[Path]:
    """A private GnuPG folder with a short path: gpg fails where the name of its agent's socket is longer than 107 bytes,
    agent or none."""
    import tempfile

    from rastos.host import working_directory

    with working_directory(Path(tempfile.gettempdir()), "rastos-gnupg") as home:
        yield home


def _run(argv: Sequence[str | Path], what: str) -> str:
    from rastos.host import run

    done = run(argv, check=False, what=what)
    if done.status != 0:
        last = (done.stderr.strip().splitlines() or ["gpg gave no reason"])[-1]
        raise IntegrityError(f"gpg could not {what}: {last}", next_step="check that the file is an OpenPGP keyring")
    return done.stdout


def _blocks(listed: str) -> list[list[list[str]]]:
    blocks: list[list[list[str]]] = []
    for line in listed.splitlines():
        fields = [*line.split(":"), *[""] * 20]
        if fields[0] == "pub":
            blocks.append([])
        if blocks and fields[0] != "tru":
            blocks[-1].append(fields)
    return blocks


def _fingerprint(block: list[list[str]]) -> str:
    return next(fields[9] for fields in block if fields[0] == "fpr")


def _issuers(blocks: list[list[list[str]]], masters: set[str]) -> dict[str, str]:
    """Masters by the key id that names them as an issuer. gpg looks a signature's key up by those 64 bits alone: a second
    key with a master's id, made to be mistaken for it, is refused."""
    ids = [fields[4] for block in blocks for fields in block if fields[0] in ("pub", "sub")]
    found = {block[0][4]: own for block in blocks if (own := _fingerprint(block)) in masters}
    twice = [item for item in found if ids.count(item) > 1]
    if twice:
        raise IntegrityError(f"two keys have the id {twice[0]} of a master key", next_step="do not use this keyring")
    return found


def _key(block: list[list[str]], issuers: dict[str, str]) -> Key:
    head, own = block[0], _fingerprint(block)
    names: list[str] = []
    best: set[str] = set()
    live: dict[str, tuple[int, bool]] = {}
    identity, named = "", False
    for fields in [*block, ["uid"] + [""] * 20]:
        kind = fields[0]
        if kind in ("uid", "uat", "sub"):
            if identity:
                best |= {issuer for issuer, (_, good) in live.items() if good}
            live = {}
            identity = fields[9] if kind == "uid" and fields[1][:1] != "r" else ""
            if kind == "uid" and fields[9]:
                names.insert(0 if identity and not named else len(names), _text(fields[9]))
                named = named or bool(identity)
        elif kind in ("sig", "rev") and identity and fields[1][:1] == "!" and fields[4] in issuers:
            made, ends, what = int(fields[5] or 0), int(fields[6] or 0), fields[10][:2]
            if what in (*_CERTIFICATIONS, _REVOCATION):
                good = what in _CERTIFICATIONS and kind == "sig" and not (ends and ends <= time.time())
                # the last word counts; of two in the same second the refusal
                last, was = live.get(issuers[fields[4]], (-1, True))
                if made >= last:
                    live[issuers[fields[4]]] = (made, good and (was or made > last))
    return Key(
        fingerprint=own,
        name=names[0] if names else "",
        created=int(head[5] or 0),
        expires=int(head[6]) if head[6] else None,
        revoked=head[1][:1] == "r",
        certified_by=tuple(best),
        master=own in issuers.values(),
    )


def _text(field: str) -> str:
    """A name as gpg escapes it (\\x3a for a colon); control characters never reach a terminal."""
    plain = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), field)
    return "".join(letter for letter in plain if letter.isprintable())
