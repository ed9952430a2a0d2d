"""A web server that serves repositories and does what bad mirrors do, and a key ring with masters and packagers."""

from __future__ import annotations

import email.utils
import functools
import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Answer:
    """What one request got: `sent` bytes of body."""

    path: str
    status: int
    asked: dict[str, str]
    sent: int = 0


@dataclass
class Mirrors:
    """`faults` maps (mirror, file name) to a fault; `folders` says what a mirror serves."""

    url: str = ""
    folders: dict[str, Path] = field(default_factory=dict)
    faults: dict[tuple[str, str], str] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def of(self, path: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.path == path]


class Handler(http.server.BaseHTTPRequestHandler):
    mirrors: Mirrors

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        _, mirror, name = self.path.split("/", 2)
        answer = Answer(self.path, 200, dict(self.headers))
        self.mirrors.answers.append(answer)
        fault = self.mirrors.faults.get((mirror, name), "")
        path = self.mirrors.folders[mirror] / name
        if fault in ("404", "503") or not path.is_file():
            answer.status = int(fault or 404)
            self.send_error(answer.status)
            return
        data = path.read_bytes()
        modified = email.utils.formatdate(path.stat().st_mtime, usegmt=True)
        etag = f'"{path.stat().st_mtime_ns}"'
        known = self.headers.get("If-None-Match")
        if known == etag or (known is None and self.headers.get("If-Modified-Since") == modified):
            answer.status = 304
            self.send_response(304)
            self.end_headers()
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if fault == "flip":
            data = data[:-1] + bytes([data[-1] ^ 1])
        elif fault == "long":
            data += b"more"
        elif fault == "short":
            data = data[: len(data) * 2 // 3]
        body = data[start:]
        answer.status = 206 if start else 200
        self.send_response(answer.status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", modified)
        if not fault.startswith("no-etag"):
            self.send_header("ETag", etag)
        self.end_headers()
        if fault == "cut" or (fault == "cut-once" and len(self.mirrors.of(self.path)) == 1):
            body = body[: len(body) // 2]
        try:
            if fault == "stall":
                self.wfile.write(body[:10])
                answer.sent = 10
                self.mirrors.released.wait(30)
                return
            if fault == "drip":
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    self.wfile.flush()
                    if self.mirrors.released.wait(0.05):
                        return
            self.wfile.write(body)
            answer.sent = len(body)
        except OSError:
            pass


@contextmanager
def mirrors(**folders: Path) -> Iterator[Mirrors]:
    found = Mirrors(folders=folders)
    handler = type("Bound", (Handler,), {"mirrors": found})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield found
        finally:
            found.released.set()
            server.shutdown()
            thread.join()


class Keys:
    """One GnuPG folder with everybody's keys; short path, because of gpg-agent's socket."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.chmod(0o700)

    def gpg(self, *arguments: str | Path, stdin: str | None = None) -> str:
        base = ["gpg", "--homedir", str(self.home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
        done = subprocess.run(
            [*base, "--yes", "--quiet", *map(str, arguments)], capture_output=True, text=True, input=stdin
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @functools.cache  # noqa: B019
    def key(self, name: str, expires: str = "never") -> str:
        """The fingerprint of somebody's key, made when first asked for."""
        before = ["--faked-system-time", f"{int(time.time()) - 86400}!"] if expires == "never" else []
        self.gpg(*before, "--quick-gen-key", f"{name} <{name}@example.org>", "ed25519", "cert,sign", expires)
        listed = self.gpg("--with-colons", "--list-keys", f"{name}@example.org")
        return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))

    @functools.cache  # noqa: B019
    def certified(self, name: str, *masters: str) -> str:
        number = self.key(name)
        for master in masters:
            self.gpg("--default-key", self.key(master), "--quick-sign-key", number)
        return number

    def revoke(self, number: str) -> None:
        text = (self.home / "openpgp-revocs.d" / f"{number}.rev").read_text()
        self.gpg("--import", stdin=text.replace(":-----BEGIN", "-----BEGIN"))

    def export(self, target: Path, *numbers: str) -> Path:
        self.gpg("--output", target, "--export", *numbers)
        return target

    def sign(self, path: Path, number: str, made: int = 0) -> None:
        when = ["--faked-system-time", f"{made}!"] if made else []
        self.gpg(*when, "--local-user", number, "--output", f"{path}.sig", "--detach-sign", path)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True)


def agents() -> list[str]:
    """Command lines of living GnuPG agents."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "gpg-agent" in line.split(" ")[0] or "keyboxd" in line.split(" ")[0]:
            found.append(line)
    return found


def ago(path: Path, seconds: float) -> None:
    """Set a file's time."""
    import os

    at = time.time() - seconds
    os.utime(path, (at, at))
