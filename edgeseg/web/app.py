"""The routes of the live page."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from functools import partial
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from edgeseg.errors import ConfigError
from edgeseg.video.controls import Controls
from edgeseg.web.access import Access
from edgeseg.web.guard import Guard
from edgeseg.web.hub import BOUNDARY, MAX_VIEWERS, Hub, Viewer
from edgeseg.web.prometheus import CONTENT_TYPE, exposition
from edgeseg.web.state import Subject, problems, state, status

_STATIC = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/charts.js": ("charts.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_LARGEST_WISH = 4096
"""Bytes of a request that changes something."""


def create_app(hub: Hub, subject: Subject, access: Access) -> Starlette:
    """The whole page, guarded, as an ASGI application."""

    async def show_state(request: Request) -> Response:
        since = request.query_params.get("since", "0")
        device = await run_in_threadpool(subject.sensors.read)
        after = int(since) if since.isascii() and since.isdigit() else 0
        return JSONResponse(state(subject, subject.vitals.view(), device, after))

    async def control(request: Request) -> Response:
        obey(subject, await _wish(request))
        return Response(status_code=204)

    async def snapshot(_: Request) -> Response:
        png = await run_in_threadpool(hub.snapshot)
        if png is None:
            raise HTTPException(503, "no picture yet.", {"Retry-After": "1"})
        return Response(
            png, media_type="image/png", headers={"Content-Disposition": 'attachment; filename="edgeseg.png"'}
        )

    async def metrics(_: Request) -> Response:
        device = await run_in_threadpool(subject.sensors.read)
        text = exposition(subject, subject.vitals.view(), device, hub.viewers)
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    async def health(_: Request) -> Response:
        view = subject.vitals.view()
        found = problems(subject, view)
        return JSONResponse({"status": status(subject, view), "problems": found}, 503 if found else 200)

    return Starlette(
        routes=[
            *(Route(path, partial(_static, *file)) for path, file in _STATIC.items()),
            # Safari takes multipart pictures apart itself, also for scripts; so the page gets the same bytes as data.
            Route("/stream.mjpg", Stream(hub, f"multipart/x-mixed-replace; boundary={BOUNDARY}"), methods=["GET"]),
            Route("/api/pictures", Stream(hub, "application/octet-stream"), methods=["GET"]),
            Route("/api/state", show_state),
            Route("/api/control", control, methods=["POST"]),
            Route("/snapshot.png", snapshot),
            Route("/metrics", metrics),
            Route("/health", health),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={HTTPException: _say},
    )


def obey(subject: Subject, wish: dict[str, Any]) -> None:
    """Set what `wish` names: paused, mode, classes (a list of names, or null for all); 400 for anything else."""
    checks = {
        "paused": lambda value: isinstance(value, bool),
        "mode": lambda value: isinstance(value, str),
        "classes": lambda value: (
            value is None or (isinstance(value, list) and all(isinstance(name, str) for name in value))
        ),
    }
    wrong = [name for name, value in wish.items() if name not in checks or not checks[name](value)]
    if wrong or not wish:
        raise HTTPException(
            400, "expected one or more of: paused (true or false), mode (a name), classes (names or null)."
        )
    controls = subject.controls
    try:  # all or nothing
        Controls(subject.label_map, mode=wish.get("mode", controls.mode), classes=wish.get("classes"))
    except ConfigError as error:
        raise HTTPException(400, str(error)) from error
    for name, value in wish.items():
        setattr(controls, name, value)


class Stream:
    """ASGI application: the newest pictures, one after another, until one side has enough.

    Each part is asked of the hub only when the client has taken the one before: with the server's write buffer at zero
    (see `edgeseg.web.server`), a client that reads slowly has one picture on the way and one in its place.
    """

    def __init__(self, hub: Hub, media_type: str) -> None:
        self._hub = hub
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one client; 503 where all places are taken."""
        viewer = self._hub.join()
        if viewer is None:
            busy = PlainTextResponse(f"{MAX_VIEWERS} browsers watch already.\n", 503, {"Retry-After": "5"})
            await busy(scope, receive, send)
            return
        sending = asyncio.ensure_future(self._send(viewer, send, head_only=scope["method"] == "HEAD"))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(viewer)
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _send(self, viewer: Viewer, send: Send, *, head_only: bool) -> None:
        headers = [(b"content-type", self._media_type.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if head_only:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await send({"type": "http.response.body", "body": f"--{BOUNDARY}\r\n".encode(), "more_body": True})
        while True:
            await send({"type": "http.response.body", "body": b"", "more_body": True})  # waits for the client
            picture = await viewer.newest()
            if picture is None:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await send({"type": "http.response.body", "body": picture.part, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    message: Message = {"type": ""}
    while message["type"] != "http.disconnect":
        message = await receive()


async def _static(name: str, media_type: str, _: Request) -> Response:
    return Response((files("edgeseg.web") / "static" / name).read_bytes(), media_type=media_type)


async def _wish(request: Request) -> dict[str, Any]:
    """The JSON object of a request that changes something. A form of another site cannot send this content type."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "expected Content-Type: application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_WISH:
            raise HTTPException(413, f"expected {_LARGEST_WISH} bytes or fewer.")
    try:
        wish = json.loads(body)
    except (ValueError, RecursionError):
        wish = None
    if not isinstance(wish, dict):
        raise HTTPException(400, "expected a JSON object.")
    return wish


async def _say(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", error.status_code, error.headers)
