"""One ref of a git repository: "git:URL#REF", or a local repository and `ref`. The commit is the digest.

Fetched shallow (that commit alone) into a throw-away repository, with git's own object checks on, and unpacked through
`git archive` and the same checks as any other archive: no hook, filter or configuration of the repository runs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rastos.errors import ExternalError, HostError, UserError
from rastos.host import Completed, require_programs, run, working_directory
from rastos.kernel.sources.source import Source, Wanted
from rastos.kernel.sources.unpack import unpack_tarball
from rastos.progress import Progress

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"[\w][\w./+@~^-]*")
_ADDRESS = re.compile(r"(https?|git|ssh|file)://[^\s]+|[\w.-]+@[\w.-]+:[^\s]+")
# ext:: and other transports run programs; fsck refuses malformed objects before they are used
OPTIONS = (
    *("-c", "protocol.allow=never", "-c", "protocol.https.allow=always", "-c", "protocol.http.allow=always"),
    *("-c", "protocol.git.allow=always", "-c", "protocol.ssh.allow=always", "-c", "protocol.file.allow=always"),
    *("-c", "transfer.fsckObjects=true", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"),
)
ENVIRONMENT = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}


def find(wanted: Wanted) -> Source | None:
    """The commit that the ref names now. Raises UserError where there is no such ref, HostError where nobody answers."""
    text = wanted.text or ""
    if text.startswith("git:") and not text.startswith("git://"):
        address, _, ref = text.removeprefix("git:").partition("#")
        ref = ref or wanted.ref or "HEAD"
    elif wanted.ref is not None and Path(text).expanduser().is_dir():
        address, ref = text, wanted.ref
    else:
        return None
    require_programs("git")
    local = Path(address).expanduser()
    if local.is_dir():
        address = str(local.resolve())
    elif not _ADDRESS.fullmatch(address) or address.startswith("-"):
        raise UserError(
            f"'{address}' is no git repository",
            next_step="give git:https://HOST/PATH#REF, or the folder of a repository with --ref",
        )
    commit = _commit(address, ref)
    tree = wanted.cache / "sources" / f"git-{commit[:16]}" / "tree"
    title = f"{address.rpartition('/')[2].removesuffix('.git')} {ref} (git {commit[:12]})"
    return Source("git", tree.parent.name, title, commit, "", tree, address=address, revision=ref)


def open(source: Source, cache: Path, progress: Progress) -> Source:
    """Fetch the one commit and unpack it; `epoch` is when it was committed."""
    with working_directory(cache / "work", "git-") as work:
        repository = work / "repository"
        with progress.step(f"Fetch {source.title}") as step:
            _git("init", "--quiet", "--bare", repository, what="make a repository to fetch into")
            fetch: list[str | Path] = [
                "-C",
                repository,
                "fetch",
                "--quiet",
                "--no-tags",
                "--depth=1",
                *_serving(source.address),
            ]
            try:
                _git(*fetch, source.digest, what=f"fetch {source.title}")
            except ExternalError as refused:
                # a server may refuse to give a commit by its id: then by its name, and it must be the same one
                try:
                    _git(*fetch, source.revision, what=f"fetch {source.title}")
                except ExternalError:
                    raise _unreachable(source.address, refused) from refused
            fetched = _git("-C", repository, "rev-parse", "FETCH_HEAD^{commit}", what="look at it").stdout.strip()
            if fetched != source.digest:
                raise HostError(
                    f"{source.revision} moved from {source.digest[:12]} to {fetched[:12]} while it was fetched",
                    on=source.address,
                    next_step="run the command again",
                )
            epoch = int(_git("-C", repository, "show", "-s", "--format=%ct", fetched, what="date it").stdout)
            step.outcome = f"commit {fetched[:12]}"
        with progress.step(f"Unpack {source.title}") as step:
            tar = work / "linux.tar"
            _git("-C", repository, "archive", "--prefix=linux/", f"--output={tar}", fetched, what="unpack it")
            size = unpack_tarball(tar, source.tree, cache / "work")
            step.outcome = f"{size / 1e9:.1f} GB in {source.tree}"
    return replace(source, epoch=epoch)


def _commit(address: str, ref: str) -> str:
    if _COMMIT.fullmatch(ref):
        return ref
    if not _REF.fullmatch(ref) or ".." in ref:
        raise UserError(f"'{ref}' is no ref", next_step="give a tag, a branch or a full commit id")
    if address.startswith("/"):  # a local one resolves what git itself understands: v6.12~3, a short id
        found = _git("-C", address, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", what="", check=False)
        if found.status == 0:
            return found.stdout.strip()
    try:
        listed = _git(
            "ls-remote", "--quiet", *_serving(address), ref, f"{ref}^{{}}", what=f"ask {address} for {ref}"
        ).stdout
    except ExternalError as error:
        raise _unreachable(address, error) from error
    rows = {name: commit for commit, _, name in (line.partition("\t") for line in listed.splitlines())}
    for name in (f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", f"refs/heads/{ref}", ref, f"{ref}^{{}}"):
        if name in rows and _COMMIT.fullmatch(rows[name]):
            return rows[name]
    raise UserError(
        f"there is no ref '{ref}'", on=address, next_step=f"see what there is: git ls-remote {address} (tags, branches)"
    )


def _serving(address: str) -> tuple[str, ...]:
    """The address; for a folder with git's serving end, which would refuse a repository of another user."""
    return (f"--upload-pack=git -c safe.directory={address} upload-pack", address) if address[0] == "/" else (address,)


def _git(*words: str | Path, what: str, check: bool = True) -> Completed:
    return run(["git", *OPTIONS, *words], env=ENVIRONMENT, what=what, check=check, timeout=3600.0, guarded=True)


def _unreachable(address: str, error: ExternalError) -> HostError:
    return HostError(
        "git could not read the repository",
        on=address,
        next_step="check the address and the network: git ls-remote says the same words",
        detail=error.tail,
    )
