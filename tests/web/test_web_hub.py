"""Slow clients and slow encoders, made slow by events instead of by time."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import cv2
import numpy as np
import pytest
from served_run import frame_result

from edgeseg.errors import ConfigError
from edgeseg.labels import CAMVID
from edgeseg.types import Frame
from edgeseg.web import hub as hub_module
from edgeseg.web.app import Stream
from edgeseg.web.hub import MAX_VIEWERS, Hub, Viewer
from edgeseg.web.vitals import Vitals

FAST = 120.0


def made_hub(**settings: Any) -> Hub:
    return Hub(Vitals(CAMVID.names), **{"fps": FAST, **settings})


def watched(scenario: Callable[[Hub], Awaitable[None]], **settings: Any) -> None:
    """Run a scenario on an event loop that the hub serves."""

    async def run() -> None:
        with made_hub(**settings) as hub:
            hub.serve_on(asyncio.get_running_loop())
            await asyncio.wait_for(scenario(hub), 20)

    asyncio.run(run())


def number_of(part: bytes) -> int:
    match = re.search(rb"X-Picture: (\d+)", part)
    assert match is not None
    return int(match[1])


def picture_of(part: bytes) -> Frame:
    match = re.match(rb"Content-Type: image/jpeg\r\nContent-Length: (\d+)\r\nX-Picture: \d+\r\n\r\n", part)
    assert match is not None
    end = match.end() + int(match[1])
    assert part[end:] == b"\r\n--edgeseg-picture\r\n"
    decoded = cv2.imdecode(np.frombuffer(part[match.end() : end], np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(decoded, np.uint8)


class Client:
    """A browser that takes one part of a stream each time it is told to: the server's `send` waits meanwhile."""

    def __init__(self, hub: Hub) -> None:
        self.parts: list[bytes] = []
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.ended = False
        self.fast = False
        self._may_take = asyncio.Semaphore(0)
        self._took = asyncio.Condition()
        self._leave = asyncio.Event()
        scope = {"type": "http", "method": "GET"}
        self._request = asyncio.ensure_future(Stream(hub, "image/jpeg")(scope, self._receive, self._send))

    async def _receive(self) -> Any:
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
            return
        self.ended = not message.get("more_body", False)
        body = message["body"]
        if not body.startswith(b"Content-Type"):
            return
        async with self._took:
            self.parts.append(body)
            self._took.notify_all()
        if not self.fast:
            await self._may_take.acquire()

    def take(self) -> None:
        """Read the part that is on its way."""
        self._may_take.release()

    async def has(self, count: int) -> None:
        """Wait until so many parts were sent."""
        async with self._took:
            await self._took.wait_for(lambda: len(self.parts) >= count)

    async def leave(self) -> None:
        self._leave.set()
        await self._request

    async def end(self) -> None:
        await self._request


def test_a_client_that_reads_slowly_gets_the_newest_picture_and_skips_the_rest() -> None:
    async def scenario(hub: Hub) -> None:
        slow = Client(hub)
        hub.write(frame_result(0))
        await slow.has(1)
        fast = Client(hub)
        fast.fast = True
        for index in range(1, 40):
            count = len(fast.parts)
            hub.write(frame_result(index))
            await fast.has(count + 1)
        assert [number_of(part) for part in slow.parts] == [1]  # 39 newer ones wait in one place
        slow.take()
        await slow.has(2)
        assert [number_of(part) for part in slow.parts] == [1, 40]
        assert fast.parts[-1] is slow.parts[-1], "all viewers share the same bytes"
        assert abs(int(picture_of(slow.parts[-1])[0, 0, 0]) - 39) <= 2
        await slow.leave()
        await fast.leave()
        assert hub.viewers == 0

    watched(scenario)


def test_the_loop_never_waits_neither_for_the_encoder_nor_for_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    encoding, go_on = threading.Event(), threading.Event()
    jpeg = Hub._jpeg

    def stuck(self: Hub, picture: Frame) -> bytes:
        encoding.set()
        assert go_on.wait(20)
        return jpeg(self, picture)

    monkeypatch.setattr(Hub, "_jpeg", stuck)

    async def scenario(hub: Hub) -> None:
        clients = [Client(hub) for _ in range(MAX_VIEWERS)]
        await asyncio.sleep(0)
        hub.write(frame_result(0))
        await asyncio.to_thread(encoding.wait, 20)
        for index in range(1, 500):  # all of them while the encoder is stuck, and this thread serves nobody
            hub.write(frame_result(index))
            hub.waiting(frame_result(index).record.frame_bgr)
        assert hub.vitals.view().result is not None
        go_on.set()
        for client in clients:
            client.fast = True
            client.take()
            while not client.parts or number_of(client.parts[-1]) < 999:
                await client.has(len(client.parts) + 1)
            assert {number_of(part) for part in client.parts} <= {1, 999}
            await client.leave()

    watched(scenario)


def test_nothing_is_encoded_while_nobody_watches() -> None:
    encoded: list[int] = []

    async def scenario(hub: Hub) -> None:
        jpeg = hub._jpeg
        hub._jpeg = lambda picture: encoded.append(int(picture[0, 0, 0])) or jpeg(picture)  # type: ignore[assignment,func-returns-value]
        for index in range(50):
            hub.write(frame_result(index))
        client = Client(hub)
        await client.has(1)
        await client.leave()
        for index in range(50, 100):
            hub.write(frame_result(index))
        assert encoded == [49]
        later = Client(hub)
        await later.has(1)
        await later.leave()
        assert encoded == [49, 99]

    watched(scenario)


def test_a_standing_picture_is_sent_again_and_a_newcomer_gets_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_AGAIN_S", 0.05)

    async def scenario(hub: Hub) -> None:
        client = Client(hub)
        client.fast = True
        hub.write(frame_result(7))
        await client.has(4)
        assert {number_of(part) for part in client.parts} == {1}
        newcomer = Client(hub)
        await newcomer.has(1)
        assert newcomer.parts[0] is client.parts[0]
        hub.waiting(np.full((24, 32, 3), 200, np.uint8))
        count = len(client.parts)
        await client.has(count + 2)
        assert picture_of(client.parts[-1])[0, 0, 0] == 200
        assert hub.vitals.view().stale
        await client.leave()
        await newcomer.leave()

    watched(scenario)


def test_the_rate_has_a_cap() -> None:
    now = [0.0]
    waited: list[float] = []
    with Hub(Vitals(CAMVID.names), fps=4.0, clock=lambda: now[0]) as hub:
        jpeg, done = hub._jpeg, threading.Event()

        def slow_jpeg(picture: Frame) -> bytes:
            now[0] += 0.1
            return jpeg(picture)

        def wait(timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            done.set()
            return False

        hub._jpeg = slow_jpeg  # type: ignore[method-assign,assignment]
        hub._closed.wait = wait  # type: ignore[method-assign]
        hub._viewers.add(Viewer())
        hub.write(frame_result(0))
        assert done.wait(20)
        hub._viewers.clear()
    assert waited == [pytest.approx(0.15)]


def test_there_are_sixteen_places() -> None:
    async def scenario(hub: Hub) -> None:
        clients = [Client(hub) for _ in range(MAX_VIEWERS)]
        hub.write(frame_result(0))
        for client in clients:
            await client.has(1)
        refused = Client(hub)
        await refused.end()
        assert (refused.status, refused.headers[b"retry-after"]) == (503, b"5")
        await clients[0].leave()
        admitted = Client(hub)
        await admitted.has(1)
        assert admitted.status == 200
        for client in (*clients[1:], admitted):
            await client.leave()

    watched(scenario)


def test_a_closed_hub_lets_its_viewers_go_and_takes_no_more() -> None:
    async def scenario(hub: Hub) -> None:
        client = Client(hub)
        hub.write(frame_result(0))
        await client.has(1)
        client.take()
        await asyncio.to_thread(hub.close)
        await client.end()
        assert client.ended
        assert hub.join() is None
        hub.close()  # twice is harmless

    watched(scenario)
    assert not [thread for thread in threading.enumerate() if thread.name == "live page JPEG"]


def test_wide_pictures_are_made_smaller_for_the_page_and_stay_whole_in_a_snapshot() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)
    picture = np.asarray(cv2.resize(coarse, (1280, 720), interpolation=cv2.INTER_CUBIC), np.uint8)

    async def scenario(hub: Hub) -> None:
        assert hub.snapshot() is None
        client = Client(hub)
        hub.write(frame_result(picture=picture))
        await client.has(1)
        shown = picture_of(client.parts[0])
        assert shown.shape == (180, 320, 3)
        small = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA)
        assert np.abs(shown.astype(int) - small).mean() < 4
        png = hub.snapshot()
        assert png is not None
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), picture)
        await client.leave()

    watched(scenario, width=320)


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"fps": 0}, "--page-fps"),
        ({"fps": 1000}, "--page-fps"),
        ({"fps": float("nan")}, "--page-fps"),
        ({"width": 8}, "--page-width"),
    ],
)
def test_settings_are_checked(settings: dict[str, float], option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        made_hub(**settings)
