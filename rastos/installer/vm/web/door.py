"""Who may come in: the address has a random token, and requests must be meant for this server and come from its own page.

The checks stand against pages of other sites in the same browser: a wrong Host is DNS rebinding, a wrong Origin a cross-site
WebSocket (RFC 6455, 10.2), and both need the token as well. The cookie is of the token's path, so that other servers on
127.0.0.1, whatever their port, don't get it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

PAGE = ""  # what the page itself is called below the token


class Refused(Exception):
    """A request that gets no answer but this one; `status` is HTTP's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class Door:
    """What lets requests to one server in; `port` of 127.0.0.1."""

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    ticket: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def address(self) -> str:
        """What a person opens."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    @property
    def cookie(self) -> str:
        """What the page sets (RFC 6265bis): no script reads it, no other site sends it."""
        return f"rastos-{self.port}={self.ticket}; Path=/{self.token}/; HttpOnly; SameSite=Strict"

    @property
    def hosts(self) -> tuple[str, str]:
        """How a browser may name this server."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    def enter(
        self,
        path: str,
        *,
        hosts: Sequence[str],
        origins: Sequence[str] = (),
        cookies: Sequence[str] = (),
        websocket: bool = False,
    ) -> str:
        """What is asked for, below the token. Raises Refused: 403, whatever is wrong, before it is known what is there."""
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            raise Refused(403, "This server is only for 127.0.0.1.")
        if len(origins) > 1 or (origins and origins[0].lower() != f"http://{hosts[0].lower()}"):
            raise Refused(403, "That page is of another site.")
        if websocket and not origins:
            raise Refused(403, "It does not say which page asks.")
        token, slash, rest = path.partition("?")[0].removeprefix("/").partition("/")
        if not slash or not _same(token, self.token):
            raise Refused(403, "The address lacks its token, or the machine was started anew since.")
        if rest != PAGE and not any(_same(value, self.ticket) for value in self._tickets(cookies)):
            raise Refused(403, "Open the page first; it sets a cookie.")
        return rest

    def _tickets(self, cookies: Sequence[str]) -> list[str]:
        found = []
        for line in cookies:
            try:
                known = SimpleCookie(line)
            except CookieError:
                continue
            if f"rastos-{self.port}" in known:
                found.append(known[f"rastos-{self.port}"].value)
        return found


def _same(given: str, expected: str) -> bool:
    """Compare without telling by time how much is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
