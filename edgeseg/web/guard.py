"""What stands before every page: `Host`, `Origin`, token, and the headers that tell a browser what it may do.

In this order, so that nothing is said to who may not ask: a wrong Host is 421, another site's page 403, no token 401.
"""

from __future__ import annotations

import asyncio
from html import escape
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgeseg.web.access import COOKIE, Access, same_origin

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

PUBLIC = ("/style.css", "/icon.svg")
"""What the page that asks for the token needs. It is the same in every installation, and tells nothing."""

_COOKIE_DAYS = 30
_WRONG_TOKEN_S = 1.0
"""The answer to a wrong token is held back for so long."""
_WRONG_AT_ONCE = 4
"""So many wrong tokens are held back at a time, and no other is looked at meanwhile: four guesses a second."""

_ASK = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>edgeseg: token</title>
<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/style.css">
<main class="ask"><h1>edgeseg</h1><p>{said}</p><form action="/" method="get"><label>Token
<input name="token" type="password" autocomplete="current-password" autofocus required></label>
<button class="primary">Open the live page</button></form>
<p class="small"><code>edgeseg serve</code> printed it when it started.</p></main></html>
"""

# A redirect would go without the new cookie where the link was opened from another app: SameSite=Strict. This page is
# our own, so what it leads to is the same site; and it replaces the address with the token in the history.
_ENTER = """<!doctype html><html lang="en"><meta charset="utf-8"><title>edgeseg</title>
<meta http-equiv="refresh" content="0;url=/"><a href="/">Open the live page</a></html>
"""


class Guard:
    """ASGI middleware around the live page."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._held_back = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it. Requests for anything but HTTP are not answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        request = Request(scope)
        refusal = self._stranger(request) or await self._without_token(request)
        await (refusal or self._app)(scope, receive, sealed)

    def _stranger(self, request: Request) -> Response | None:
        """A refusal where the request is not meant for this server, or comes from another site's page."""
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._access.answers_to(hosts[0]):
            known = "add --allow-host NAME to edgeseg serve for a name that is its own"
            return PlainTextResponse(f"this server does not go by that name; {known}.\n", 421)
        if any(not same_origin(origin, hosts[0]) for origin in request.headers.getlist("origin")):
            return PlainTextResponse("another site's page may not ask for this.\n", 403)
        if _from_elsewhere(request.headers) and not _opens_the_page(request):
            return PlainTextResponse("another site's page may not ask for this.\n", 403)
        return None

    async def _without_token(self, request: Request) -> Response | None:
        """A refusal where a token is needed and not there; the way in where it is in the address."""
        access = self._access
        if (
            access.token is None
            or request.scope["path"] in PUBLIC
            or access.remembers(request.headers.getlist("cookie"))
        ):
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        asked = (
            parse_qs(request.scope["query_string"].decode("latin-1")).get("token", [])
            if request.scope["path"] == "/"
            else []
        )
        given = [bearer.strip()] if scheme.lower() == "bearer" else asked
        if not given:
            return _ask(request, "This page needs a token.", 401)
        if self._held_back >= _WRONG_AT_ONCE:
            return _ask(request, "Too many wrong tokens. Try again in a moment.", 429)
        if len(given) > 1 or not access.knows(given[0]):
            self._held_back += 1
            try:
                await asyncio.sleep(_WRONG_TOKEN_S)
            finally:
                self._held_back -= 1
            return _ask(request, "That is not the token.", 401)
        if given is not asked:
            return None
        entered = HTMLResponse(_ENTER)
        entered.set_cookie(
            COOKIE, access.cookie(), max_age=_COOKIE_DAYS * 86400, httponly=True, samesite="strict", path="/"
        )
        return entered


def _from_elsewhere(headers: Headers) -> bool:
    """Whether the browser says that a page of another origin asks. Programs that are no browsers do not say."""
    return headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def _opens_the_page(request: Request) -> bool:
    """Whether somebody follows a link to the page: the one thing another site may lead to."""
    return (
        request.method == "GET"
        and request.scope["path"] == "/"
        and request.headers.get("sec-fetch-mode") == "navigate"
        and request.headers.get("sec-fetch-dest") == "document"
    )


def _ask(request: Request, said: str, status: int) -> Response:
    """A page with a field for the token where a person looks at it, a line of text for programs."""
    headers = {"retry-after": "2"} if status == 429 else {"www-authenticate": 'Bearer realm="edgeseg"'}
    if "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(_ASK.format(said=escape(said)), status, headers)
    return PlainTextResponse(f"{said} Give it as: Authorization: Bearer TOKEN\n", status, headers)
