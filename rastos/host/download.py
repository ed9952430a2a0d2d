"""Downloads: parallel, resumed, from the next mirror where one fails, checked before anybody sees them under their name."""

from __future__ import annotations

import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path

from rastos.errors import ExternalError, HostError, IntegrityError, RastosError, UserError
from rastos.host.claim import claimed
from rastos.host.files import rename_durable, sha256_file
from rastos.progress import Step

CHUNK = 1 << 18
TIMEOUT = 20.0  # seconds without a byte
SLOWEST = 512  # bytes per second, over PATIENCE seconds: a server below it has stalled
PATIENCE = 20.0
TRIES = 3
_MISSING = (404, 410)
_REFUSED = (401, 403, *_MISSING)


@dataclass(frozen=True, slots=True)
class Request:
    """One file to fetch: http, https or file URL; `sha256` (hex) and `size` (bytes) where they are known.

    `mirrors` are other addresses of the same file, tried in order when one fails; more than `limit` bytes are refused;
    an `optional` file may be missing everywhere. A broken transfer is gone on with where the digest is known, or where it
    is `resumable`: then the caller verifies it as a whole, by a signature.
    """

    url: str
    target: Path
    sha256: str | None = None
    size: int | None = None
    mirrors: tuple[str, ...] = ()
    limit: int | None = None
    optional: bool = False
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class Transfer:
    """Where a file came from (`url` is empty for an optional one that is nowhere), and which addresses failed before."""

    request: Request
    url: str
    failures: tuple[tuple[str, RastosError], ...] = ()


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said of the version it gave (RFC 9110, section 8.8); enough to ask whether it changed.

    `strong`: the date can be asked with; one of the same second as the answer may name two versions.
    """

    etag: str = ""
    modified: str = ""
    strong: bool = True


class _Stopped(HostError):
    """Another download failed; no mirror is to blame."""


class _Stalled(OSError):
    """The server holds the connection and sends nothing, or next to nothing."""


class _Unchanged(Exception):
    """304."""


class _Meter:
    def __init__(self, step: Step | None) -> None:
        self.step = step
        self.done = 0
        self.by_file: dict[Path, int] = {}
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.failed: Counter[str] = Counter()  # per server folder: what failed in this batch is tried last

    def at(self, request: Request, count: int) -> None:
        """So many bytes of this file are here (fewer than before after a transfer that starts over)."""
        with self.lock:
            self.done += count - self.by_file.get(request.target, 0)
            self.by_file[request.target] = count
            if self.step:
                self.step.advance(self.done, request.target.name)

    def pause(self) -> None:
        self.stop.wait(0.1)
        self.check()

    def check(self) -> None:
        if self.stop.is_set():
            raise _Stopped("stopped, because another download failed", next_step="see that one's error")


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
) -> tuple[Transfer, ...]:
    """Fetch many files side by side; the first failure stops the others. `step` advances in bytes.

    `then` is called for every file that has come, while others still do, in the thread that fetched it.
    """
    meter = _Meter(step)
    with ThreadPoolExecutor(max_workers=max(1, parallel)) as pool:
        futures = [pool.submit(_fetch_one, request, meter, then) for request in requests]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in sorted(done, key=lambda item: isinstance(item.exception(), _Stopped)):
                future.result()
        except BaseException:
            meter.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return tuple(future.result() for future in futures)


def fetch_if_changed(
    request: Request, known: Validators | None, *, patient: bool = False, step: Step | None = None
) -> Validators | None:
    """Fetch one file from its `url` unless the server says it is still the `known` one; None: it is, nothing was sent.

    `patient` where no other server is left to be asked: then it is tried again.
    """
    headers = {}
    if known and known.etag:
        headers["If-None-Match"] = known.etag
    if known and known.modified and known.strong:
        headers["If-Modified-Since"] = known.modified
    single, meter = replace(request, mirrors=()), _Meter(step)
    single.target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(single)
    with claimed(part, meter.pause):
        try:
            answer = _attempts(single, single.url, part, meter, headers=headers, patient=patient)
        except _Unchanged:
            return None
        _verify(single, single.url, part)
        rename_durable(part, single.target)
    etag, modified, date = (answer.get(name) or "" for name in ("ETag", "Last-Modified", "Date"))
    return Validators(etag, modified, _seconds(date) - _seconds(modified) >= 2 if modified else False)


def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return 0.0


def _part(request: Request) -> Path:
    return request.target.with_name(f".{request.target.name}.part")


def _fetch_one(request: Request, meter: _Meter, then: Callable[[Request], None]) -> Transfer:
    transfer = _fetch(request, meter)
    if transfer.url:
        then(request)
    return transfer


def _fetch(request: Request, meter: _Meter) -> Transfer:
    addresses = (request.url, *request.mirrors)
    for url in addresses:
        if not url.startswith(("http://", "https://", "file://")):
            raise UserError("unknown kind of address", on=url, next_step="use http://, https:// or file://")
    request.target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(request)
    with claimed(part, meter.pause) as waited:
        if waited and _there(request):
            part.unlink()
            meter.at(request, request.target.stat().st_size)
            return Transfer(request, request.url)
        with meter.lock:
            ordered = sorted(addresses, key=lambda url: meter.failed[_folder(url)])
        failures: list[tuple[str, RastosError]] = []
        for number, url in enumerate(ordered):
            try:
                _from_one(request, url, part, meter, patient=number + 1 == len(ordered))
            except _Stopped:
                raise
            except (HostError, ExternalError, IntegrityError) as error:
                failures.append((url, error))
                with meter.lock:
                    meter.failed[_folder(url)] += 1
                continue
            rename_durable(part, request.target)
            return Transfer(request, url, tuple(failures))
    if request.optional and all(_is_missing(error) for _, error in failures):
        return Transfer(request, "")
    worst = next((error for _, error in failures if isinstance(error, IntegrityError)), failures[-1][1])
    if len(failures) > 1:
        worst.detail = "\n".join(f"{url}: {error.what}" for url, error in failures)
    raise worst


def _from_one(request: Request, url: str, part: Path, meter: _Meter, *, patient: bool) -> None:
    """The whole file from one address; what an earlier transfer left and is no beginning of it is thrown away."""
    inherited = request.sha256 is not None and part.stat().st_size > 0
    try:
        _attempts(request, url, part, meter, patient=patient)
        _verify(request, url, part)
    except IntegrityError:
        if not inherited:
            raise
        _attempts(request, url, part, meter, patient=patient)
        _verify(request, url, part)


def _folder(url: str) -> str:
    return url.rsplit("/", 1)[0]


def _is_missing(error: RastosError) -> bool:
    return isinstance(error, ExternalError) and error.status in _MISSING


def _there(request: Request) -> bool:
    """Whether the one we waited for has brought exactly what we want."""
    return (
        request.sha256 is not None
        and request.target.is_file()
        and sha256_file(request.target) == request.sha256.lower()
    )


def _attempts(
    request: Request, url: str, part: Path, meter: _Meter, *, patient: bool, headers: Mapping[str, str] | None = None
) -> Message:
    """Transfer, again where that may help. With another mirror at hand (not `patient`) only a cut transfer goes on here."""
    for attempt in range(1, TRIES + 1):
        meter.check()
        before = part.stat().st_size
        try:
            return _transfer(request, url, part, meter, headers or {})
        except urllib.error.HTTPError as error:
            error.close()
            code, reason = error.code, error.reason
            if code == 304:
                raise _Unchanged from None
            if code == 416:  # the part is longer than the file: start over
                os.truncate(part, 0)
            if attempt == TRIES or code in _REFUSED or not (patient or code == 416):
                raise _answered(f"{code} {reason}", url, code) from None
        except (urllib.error.URLError, http.client.HTTPException, _Stalled, TimeoutError, ConnectionError) as error:
            cause = getattr(error, "reason", error)
            if url.startswith("file:") and isinstance(cause, FileNotFoundError | IsADirectoryError):
                raise _answered("there is no such file", url, 404) from None
            stalled = isinstance(cause, _Stalled | TimeoutError)
            advanced = not stalled and part.stat().st_size > before
            if attempt == TRIES or not (patient or advanced):
                raise HostError(
                    f"cannot fetch: {'the server stalled: ' if stalled else ''}{cause}",
                    on=url,
                    next_step="check the network and run the command again; what was fetched is kept",
                ) from None
        meter.stop.wait(0.3 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _answered(answer: str, url: str, status: int) -> ExternalError:
    return ExternalError(
        f"the server answered {answer}",
        on=url,
        next_step="check the address in packages.toml or the host's sources, then run the command again",
        status=status,
    )


def _transfer(request: Request, url: str, part: Path, meter: _Meter, headers: Mapping[str, str]) -> Message:
    have = part.stat().st_size if request.sha256 or request.resumable else 0
    if request.size is not None and have >= request.size:
        have = 0 if have > request.size else have
        if have:
            meter.at(request, have)
            return Message()
    asked = {"User-Agent": "rastos", "Accept-Encoding": "identity", **headers}
    if have and not url.startswith("file:"):
        asked["Range"] = f"bytes={have}-"
    else:
        have = 0
    query = urllib.request.Request(url, headers=asked)
    with urllib.request.urlopen(query, timeout=TIMEOUT) as answer:
        resumed = have and getattr(answer, "status", 200) == 206
        if resumed and not answer.headers.get("Content-Range", f"bytes {have}-").startswith(f"bytes {have}-"):
            os.truncate(part, 0)
            raise ConnectionError("the server sent another part of the file than the one it was asked for")
        start = have if resumed else 0
        length = answer.headers.get("Content-Length") or ""
        promised = start + int(length) if length.isdigit() else None
        most = min((limit for limit in (request.size, request.limit) if limit is not None), default=None)
        if promised is not None and _wrong_size(request, promised):
            raise _size_error(request, url, promised)
        with open(part, "ab" if resumed else "wb") as stream:
            try:
                _receive(answer, stream.write, promised, start, most, request, url, meter)
            except IntegrityError:
                stream.truncate(0)
                raise
            stream.flush()
            os.fsync(stream.fileno())
            # an answer that ends early is no error for http.client
            if stream.tell() < (promised if promised is not None else request.size or 0):
                raise ConnectionError(f"the transfer broke off after {stream.tell()} bytes")
        found: Message = answer.headers
        return found


def _receive(
    answer: http.client.HTTPResponse,
    write: Callable[[bytes], object],
    promised: int | None,
    count: int,
    most: int | None,
    request: Request,
    url: str,
    meter: _Meter,
) -> None:
    since, seen = time.monotonic(), count
    # read1 returns what has come: read would wait for a whole chunk, however slowly it comes
    while (promised is None or count < promised) and (chunk := answer.read1(CHUNK)):
        meter.check()
        count += len(chunk)
        if most is not None and count > most:
            raise _size_error(request, url, count)
        write(chunk)
        meter.at(request, count)
        passed = time.monotonic() - since
        if passed >= PATIENCE:
            if (count - seen) / passed < SLOWEST:
                raise _Stalled(f"{count - seen} bytes in {passed:.0f} s")
            since, seen = time.monotonic(), count


def _wrong_size(request: Request, size: int) -> bool:
    return (request.size is not None and size != request.size) or (request.limit is not None and size > request.limit)


def _size_error(request: Request, url: str, size: int) -> IntegrityError:
    if request.size is None:
        return IntegrityError(f"refused: more than {request.limit} bytes", on=url)
    return IntegrityError(f"{size} bytes, expected {request.size}", on=url)


def _verify(request: Request, url: str, part: Path) -> None:
    size = part.stat().st_size
    if _wrong_size(request, size):
        os.truncate(part, 0)
        raise _size_error(request, url, size)
    if request.sha256 is not None:
        found = sha256_file(part)
        if found != request.sha256.lower():
            os.truncate(part, 0)
            raise IntegrityError(
                f"wrong SHA-256 {found[:16]}…, expected {request.sha256[:16]}…",
                on=url,
                next_step="nothing was used; the mirror or the network changed the file: try another mirror, or later",
            )
