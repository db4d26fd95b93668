"""Who may talk to the live page: names it answers to, and the token. Plain functions of plain headers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from edgeseg.errors import ConfigError

COOKIE = "edgeseg"
SHORTEST_TOKEN = 12
"""Characters of a token that a person chooses."""

_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
"""RFC 3986's unreserved characters: such a token is the same in a header, a cookie and an address."""
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?")
"""RFC 9110, section 7.2, without percent-encoded names and without IPv6 zones, which browsers do not send."""


@dataclass(frozen=True, slots=True)
class Access:
    """`host` is the address that the server listens on; `names` are further ones that it goes by.

    On a loopback address it answers to `localhost` and loopback addresses alone. On any other it also answers to every
    IP address: a page of somebody else can point a *name* of its own at this machine (DNS rebinding), but not a number.
    The port is any, because a tunnel (`ssh -L 9000:localhost:8080`) gives the page another one.
    """

    host: str
    token: str | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(f"--host {self.host} is open to others, so the live page needs a --token.")
        if self.token is not None and (len(self.token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(self.token)):
            raise ConfigError(
                f"the token must have {SHORTEST_TOKEN} or more characters, of A-Z a-z 0-9 . _ ~ - only; "
                "leave it out for a random one."
            )

    def answers_to(self, host_header: str) -> bool:
        """Whether a `Host` header names this server."""
        name = host_name(host_header)
        if name is None:
            return False
        if name in ("localhost", *(known.lower() for known in self.names)):
            return True
        address = _ip(name)
        return address is not None and (address.is_loopback or not is_loopback(self.host))

    def knows(self, token: str) -> bool:
        """Whether it is the token, in a time that does not tell how much of it is right."""
        return self.token is not None and hmac.compare_digest(token.encode(), self.token.encode())

    def cookie(self) -> str:
        """What a browser keeps instead of the token, which it does not reveal; it is good after a restart too."""
        assert self.token is not None, "without a token there is nothing to remember"
        return hmac.new(self.token.encode(), b"edgeseg live page", hashlib.sha256).hexdigest()

    def remembers(self, cookie_headers: Sequence[str]) -> bool:
        """Whether a `Cookie` header holds that cookie."""
        for header in cookie_headers:
            try:
                morsel = SimpleCookie(header).get(COOKIE)
            except CookieError:
                continue
            if morsel is not None and hmac.compare_digest(morsel.value.encode(), self.cookie().encode()):
                return True
        return False


def host_name(host_header: str) -> str | None:
    """The name of a `Host` header in lower case, an IPv6 address without brackets; `None` for what is none."""
    match = _HOST.fullmatch(host_header)
    if match is None or (match["port"] is not None and not 0 < int(match["port"]) <= 65535):
        return None
    name = match["name"].lower()
    if name.startswith("["):
        return name[1:-1] if _ip(name[1:-1]) is not None else None
    return name


def same_origin(origin: str, host_header: str) -> bool:
    """Whether an `Origin` header is the address under which the page was asked for.

    Either scheme: before a proxy that ends TLS the browser says https. The port of `Host` is left out where it is the
    scheme's own (RFC 6454, section 6.2).
    """
    scheme, separator, place = origin.partition("://")
    if not separator or scheme not in ("http", "https"):
        return False
    default = {"http": ":80", "https": ":443"}[scheme]
    return place.lower().removesuffix(default) == host_header.lower().removesuffix(default)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    address = _ip(host)
    return host == "localhost" if address is None else address.is_loopback


def _ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
