"""How values look: durations, sizes, ages, errors. Pure text; `terminal` puts it on the screen."""

from __future__ import annotations

from datetime import UTC, datetime

from rastos.errors import BusyError, ExternalError, RastosError

DETAIL_LINES = 12


def seconds(value: float) -> str:
    """A duration as people say it: 0.31 s, 12.4 s, 3 min 05 s, 1 h 02 min."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """Bytes in binary units: 512 B, 8.1 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def plain(name: str) -> str:
    """A name from elsewhere, such that it can't drive the terminal: what is not printable is shown as Python writes it."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name)


def age(iso: str, *, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was: just now, 5 min, 3 h, 12 days; a clock may have been wrong: in the future."""
    then = datetime.fromisoformat(iso)
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    passed = ((now or datetime.now(UTC)) - then).total_seconds()
    if passed < -90:
        return "in the future"
    for limit, unit, length in ((90, "", 1), (5400, "min", 60), (129600, "h", 3600), (float("inf"), "days", 86400)):
        if passed < limit:
            return f"{passed / length:.0f} {unit}" if unit else "just now"
    return ""


def error_lines(error: RastosError, *, debug: bool = False) -> list[str]:
    """What failed, on what, what to do next: three lines at most, then the detail where it is a list worth reading."""
    lines = [f"error: {error.what}"]
    if error.on:
        lines.append(f"on: {error.on}")
    lines.append(f"next: {error.next_step}")
    if isinstance(error, BusyError) and error.holder:
        lines[0] += f" by {error.holder}"
        return lines
    if error.detail:
        detail = error.detail.rstrip().splitlines()
        if isinstance(error, ExternalError) and not debug:
            detail = detail[-DETAIL_LINES:]
        lines += ["", *(f"  {line}" for line in detail)]
    if debug and isinstance(error, ExternalError) and error.argv:
        import shlex

        lines += ["", f"  command: {shlex.join(error.argv)}", f"  status: {error.status}"]
    return lines
