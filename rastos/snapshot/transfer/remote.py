"""Sending over ssh: the other side's rastos is asked what it has, then gets the stream on its standard input."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from rastos.errors import ExternalError, UserError
from rastos.host import run, spawn
from rastos.progress import Progress

from ..signing import Signer
from ..store import Store
from .have import Have, read_have
from .sending import SendPlan, send

SCHEME = "ssh://"
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")


@dataclass(frozen=True, slots=True)
class Remote:
    """A machine with rastos; `image` is a file there, "" for the system it runs."""

    host: str
    port: int | None = None
    image: str = ""

    def argv(self, *words: str) -> list[str]:
        """The ssh command that runs `rastos snapshot` there; the words are quoted for its shell."""
        port = ["-p", str(self.port)] if self.port else []
        image = ["--image", self.image] if self.image else []
        command = shlex.join(["rastos", "snapshot", *words, *image])
        # no terminal to ask on: a key, or an agent, has to do
        return ["ssh", "-o", "BatchMode=yes", *port, "--", self.host, command]


def parse_remote(text: str) -> Remote:
    """From ssh://[USER@]HOST[:PORT][/PATH/TO/IMAGE]. UserError: it isn't that."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(SCHEME), None
    user, host = parts.username or "", parts.hostname or ""
    if not _HOST.match(host) or (user and not _HOST.match(user)) or parts.query or parts.fragment or parts.password:
        raise UserError(f"'{text}' names no machine", next_step="write it as ssh://[USER@]HOST[:PORT][/PATH/TO/IMAGE]")
    path = unquote(parts.path)
    return Remote(f"{user}@{host}" if user else host, port, "" if path == "/" else path)


def ask(remote: Remote, environment: Mapping[str, str]) -> Have:
    """What is there. `environment`: SSH_AUTH_SOCK and the like. ExternalError: ssh, or rastos there, failed."""
    done = run(remote.argv("receive", "--have"), env=environment, check=False, timeout=120)
    if done.status != 0:
        raise _failed(remote, done.status, done.stderr)
    return read_have(done.stdout, remote.host)


def send_to(
    store: Store,
    plan: SendPlan,
    remote: Remote,
    signer: Signer,
    progress: Progress,
    environment: Mapping[str, str],
    *,
    unsigned: bool,
) -> list[dict[str, Any]]:
    """Send a plan there; what the other side says it received. What arrived before a cut is kept there."""
    words = ["receive", "-", "--json", *(["--unsigned"] if unsigned else [])]
    with spawn(remote.argv(*words), stdin=-1, stdout=-1, stderr=-1, env=environment) as process:
        assert process.stdin and process.stdout and process.stderr
        try:
            send(store, plan, process.stdin, signer, progress)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it says why below
        answer = process.stdout.read()
        words_there = process.stderr.read().decode("utf-8", "replace")
        status = process.wait()
    if status != 0:
        raise _failed(remote, status, words_there)
    try:
        found = json.loads(answer)
        return [dict(item) for item in found]
    except (ValueError, TypeError) as error:
        raise _failed(remote, status, f"an answer that is no JSON: {error}") from error


def _failed(remote: Remote, status: int, words: str) -> ExternalError:
    lines = [line for line in words.strip().splitlines() if line.strip()]
    return ExternalError(
        f"{remote.host} did not take it (status {status})",
        on=remote.image,
        next_step="read its words below; the same command again goes on where it stopped",
        status=status,
        tail="\n".join(lines),
    )
