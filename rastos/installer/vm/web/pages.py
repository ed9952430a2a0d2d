"""What the browser gets: the page, and the libraries it uses, as they were published (vendor/versions.json)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
}
# nothing from outside, nothing framed, no inline script; xterm.js writes style elements of its own
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' ws://{host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def pages() -> dict[str, Path]:
    """Everything that is served, by its path below the token: a list, so that no path leads anywhere else."""
    own = {path.name: path for path in (HERE / "page").iterdir() if path.suffix in TYPES}
    own[""] = own.pop("index.html")
    listed = json.loads((HERE / "vendor/versions.json").read_text())
    names = [f"{package['folder']}/{name}" for package in listed for name in package["files"]]
    vendored = {f"vendor/{name}": HERE / "vendor" / name for name in names if Path(name).suffix in TYPES}
    return {**own, **vendored}


def headers(host: str, kind: str) -> dict[str, str]:
    """What goes with every answer; `host` as the browser named the server."""
    return {
        "Content-Type": kind,
        "Content-Security-Policy": POLICY.format(host=host),
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
