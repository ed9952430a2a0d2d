"""Downloads: parallel, resumed, checked against a known digest before anybody sees them under their name."""

from __future__ import annotations

import fcntl
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rastos.errors import ExternalError, HostError, IntegrityError, UserError
from rastos.host.files import rename_durable, sha256_file
from rastos.progress import Step

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
TRIES = 3


@dataclass(frozen=True, slots=True)
class Request:
    """One file to fetch: http, https or file URL; `sha256` (hex) and `size` (bytes) where they are known."""

    url: str
    target: Path
    sha256: str | None = None
    size: int | None = None


class _Meter:
    def __init__(self, step: Step | None) -> None:
        self.step = step
        self.done = 0
        self.by_file: dict[Path, int] = {}
        self.lock = threading.Lock()
        self.stop = threading.Event()

    def at(self, request: Request, count: int) -> None:
        """So many bytes of this file are here (fewer than before after a transfer that starts over)."""
        with self.lock:
            self.done += count - self.by_file.get(request.target, 0)
            self.by_file[request.target] = count
            if self.step:
                self.step.advance(self.done, request.target.name)

    def check(self) -> None:
        if self.stop.is_set():
            raise HostError("stopped, because another download failed", next_step="see that one's error")


def fetch(request: Request, *, step: Step | None = None) -> Path:
    """Fetch one file; returns its path. Raises IntegrityError on a wrong digest, HostError without a network."""
    _fetch(request, _Meter(step))
    return request.target


def fetch_all(
    requests: Sequence[Request],
    *,
    parallel: int = 4,
    step: Step | None = None,
    then: Callable[[Request], None] = lambda request: None,
) -> None:
    """Fetch many files side by side; the first failure stops the others. `step` advances in bytes.

    `then` is called for every file that has come, while others still do, in the thread that fetched it.
    """
    meter = _Meter(step)
    with ThreadPoolExecutor(max_workers=max(1, parallel)) as pool:
        futures = [pool.submit(_fetch_one, request, meter, then) for request in requests]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            meter.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _fetch_one(request: Request, meter: _Meter, then: Callable[[Request], None]) -> None:
    _fetch(request, meter)
    then(request)


def _fetch(request: Request, meter: _Meter) -> None:
    if not request.url.startswith(("http://", "https://", "file://")):
        raise UserError("unknown kind of address", on=request.url, next_step="use http://, https:// or file://")
    request.target.parent.mkdir(parents=True, exist_ok=True)
    part = request.target.with_name(f".{request.target.name}.part")
    with _claimed(part, meter) as waited:
        if waited and _there(request):
            part.unlink()
            meter.at(request, request.target.stat().st_size)
            return
        _attempts(request, part, meter)
        _verify(request, part)
        rename_durable(part, request.target)


@contextmanager
def _claimed(part: Path, meter: _Meter) -> Iterator[bool]:
    """Have the unfinished file to ourselves, also among processes; says whether somebody else had it before."""
    waited = False
    while True:
        number = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(part, number):  # else it got its name or was removed meanwhile
                break
        except BlockingIOError:
            pass
        except BaseException:
            os.close(number)
            raise
        os.close(number)
        waited = True
        meter.stop.wait(0.1)
        meter.check()
    try:
        yield waited
    finally:
        if os.fstat(number).st_size == 0 and _is(part, number):
            part.unlink()
        os.close(number)


def _is(path: Path, number: int) -> bool:
    """Whether this path names the file that is open as `number`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(number))
    except FileNotFoundError:
        return False


def _there(request: Request) -> bool:
    """Whether the one we waited for has brought exactly what we want."""
    return (
        request.sha256 is not None
        and request.target.is_file()
        and sha256_file(request.target) == request.sha256.lower()
    )


def _attempts(request: Request, part: Path, meter: _Meter) -> None:
    for attempt in range(1, TRIES + 1):
        meter.check()
        try:
            _transfer(request, part, meter)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is longer than the file: start over
                os.truncate(part, 0)
            if attempt == TRIES or error.code in (401, 403, 404, 410):
                raise ExternalError(
                    f"the server answered {error.code} {error.reason}",
                    on=request.url,
                    next_step="check the address in packages.toml or the host's sources, then run the command again",
                ) from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == TRIES:
                reason = getattr(error, "reason", error)
                raise HostError(
                    f"cannot fetch: {reason}",
                    on=request.url,
                    next_step="check the network and run the command again; what was fetched is kept",
                ) from error
        meter.stop.wait(0.3 * attempt)


def _transfer(request: Request, part: Path, meter: _Meter) -> None:
    have = part.stat().st_size if request.sha256 else 0
    if request.size is not None and have >= request.size:
        have = 0 if have > request.size else have
        if have:
            meter.at(request, have)
            return
    headers = {"User-Agent": "rastos", "Accept-Encoding": "identity"}
    if have and not request.url.startswith("file:"):
        headers["Range"] = f"bytes={have}-"
    else:
        have = 0
    query = urllib.request.Request(request.url, headers=headers)
    with urllib.request.urlopen(query, timeout=TIMEOUT) as answer:
        resumed = have and getattr(answer, "status", 200) == 206
        with open(part, "ab" if resumed else "wb") as stream:
            while chunk := answer.read(CHUNK):
                meter.check()
                stream.write(chunk)
                meter.at(request, stream.tell())
            stream.flush()
            os.fsync(stream.fileno())
            # read(n) of http.client is silent about an answer that ends early
            promised = getattr(answer, "length", None)
            if promised or (request.size is not None and stream.tell() < request.size):
                raise ConnectionError(f"the transfer broke off after {stream.tell()} bytes")


def _verify(request: Request, part: Path) -> None:
    size = part.stat().st_size
    if request.size is not None and size != request.size:
        part.unlink()
        raise IntegrityError(f"fetched {size} bytes, expected {request.size}", on=request.url)
    if request.sha256 is not None:
        found = sha256_file(part)
        if found != request.sha256.lower():
            part.unlink()
            raise IntegrityError(
                f"wrong SHA-256 {found[:16]}…, expected {request.sha256[:16]}…",
                on=request.url,
                next_step="nothing was used; the mirror or the network changed the file: try another mirror, or later",
            )
