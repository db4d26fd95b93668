"""The real server on loopback, watched through raw sockets."""

from __future__ import annotations

import gc
import http.client
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_stream import ScriptedSource
from served_run import frame_result, made_subject

from edgeseg.errors import ConfigError
from edgeseg.types import Frame
from edgeseg.video.sources.redact import redact
from edgeseg.web import server as server_module
from edgeseg.web.hub import MAX_VIEWERS, Hub
from edgeseg.web.server import LivePage, ServeConfig
from edgeseg.web.state import Subject

PATIENCE_S = 30.0
"""For what happens at once, also on a machine that is busy."""


@contextmanager
def served(subject: Subject, config: ServeConfig | None = None) -> Iterator[tuple[Hub, LivePage]]:
    with Hub(subject.vitals, fps=120) as hub, LivePage(hub, subject, config or ServeConfig(port=0)) as page:
        yield hub, page


class Watcher:
    """A client of the picture stream that reads as much as it is told to."""

    def __init__(self, page: LivePage, path: str = "/stream.mjpg") -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # else the kernel takes megabytes for us
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", page.port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        self.received = b""

    def read_until(self, pattern: bytes) -> re.Match[bytes]:
        while not (found := re.search(pattern, self.received)):
            chunk = self.socket.recv(1 << 16)
            assert chunk, self.received[-200:]
            self.received += chunk
        return found

    def read_byte(self) -> None:
        self.received += self.socket.recv(1)

    def close(self) -> None:
        self.socket.close()


def get(page: LivePage, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def open_files() -> int:
    """How many file descriptors this process has; 0 where the system does not say."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.exists() else 0


def noise_picture(seed: int) -> Frame:
    """A picture of which JPEG makes some hundred kilobytes, so that socket buffers are soon full."""
    return np.random.default_rng(seed).integers(0, 255, (480, 640, 3), dtype=np.uint8)


def test_sixteen_clients_of_which_four_read_a_byte_now_and_then(tmp_path: Path) -> None:
    with served(made_subject(tmp_path)) as (hub, page), ExitStack() as stack:
        clients = [Watcher(page) for _ in range(MAX_VIEWERS)]
        for client in clients:
            stack.callback(client.close)
        slow, fast = clients[:4], clients[4:]
        pictures = [noise_picture(seed) for seed in range(4)]
        hub.write(frame_result(0, picture=pictures[0]))
        for client in clients:
            client.read_until(rb"\r\n\r\n")
            assert client.received.startswith(b"HTTP/1.1 200")
        refused = Watcher(page)
        assert refused.read_until(rb"retry-after: (\d+)")[1] == b"5"
        assert refused.received.startswith(b"HTTP/1.1 503")
        refused.close()
        # Each picture reaches all who read before the next is made. The other four are megabytes behind by the end.
        for index in range(1, 40):
            hub.write(frame_result(index, picture=pictures[index % 4]))
            for client in slow:
                client.read_byte()
            for client in fast:
                client.read_until(rb"X-Picture: %d\r\n" % (index + 1))
                client.received = client.received[-20:]
        assert hub.viewers == MAX_VIEWERS
        # A slow one then gets what was on its way and the newest, and nothing of the many in between.
        late = slow[0]
        late.read_until(rb"X-Picture: 40\r\n")
        numbers = [int(number) for number in re.findall(rb"X-Picture: (\d+)", late.received)]
        assert numbers == sorted(set(numbers))
        assert len(numbers) <= 4, f"the kernel kept {len(numbers)} old pictures"


def test_the_stream_is_a_multipart_of_whole_jpeg_files(tmp_path: Path) -> None:
    with served(made_subject(tmp_path)) as (hub, page):
        hub.write(frame_result(3))
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=PATIENCE_S)
        connection.request("GET", "/stream.mjpg")
        answer = connection.getresponse()
        assert answer.getheader("Content-Type") == "multipart/x-mixed-replace; boundary=edgeseg-picture"
        assert answer.readline() == b"--edgeseg-picture\r\n"
        fields = dict(line.split(b": ") for line in iter(lambda: answer.readline().strip(), b""))
        jpeg = answer.read(int(fields[b"Content-Length"]))
        decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        assert decoded.shape == (24, 32, 3)
        assert (answer.readline(), answer.readline()) == (b"\r\n", b"--edgeseg-picture\r\n")
        answer.close()
        connection.close()


def test_a_client_that_leaves_gives_its_place_back(tmp_path: Path) -> None:
    with served(made_subject(tmp_path)) as (hub, page):
        hub.write(frame_result(0))
        for _ in range(3 * MAX_VIEWERS):
            watcher = Watcher(page)
            watcher.read_until(rb"X-Picture")
            watcher.close()
            until = time.monotonic() + PATIENCE_S
            while hub.viewers and time.monotonic() < until:
                time.sleep(0.005)
            assert hub.viewers == 0
        assert get(page, "/stream.mjpg?", {"Host": "x"})[0] == 421


def test_the_server_stops_while_clients_hang(tmp_path: Path) -> None:
    before, files = set(threading.enumerate()), open_files()
    with ExitStack() as stack:
        with served(made_subject(tmp_path)) as (hub, page):
            clients = [Watcher(page, path) for path in ("/stream.mjpg", "/api/pictures") for _ in range(4)]
            for client in clients:
                stack.callback(client.close)
            for index in range(30):
                hub.write(frame_result(index, picture=noise_picture(index % 3)))
                clients[0].read_until(rb"X-Picture: %d\r\n" % (index + 1))
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 5.0  # half a second where nothing else runs; a hanging client has no end
        assert set(threading.enumerate()) == before
    assert open_files() == files
    gc.collect()  # a transport that was left open would say so now


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    subject = made_subject(tmp_path)
    with served(subject) as (hub, page), pytest.raises(ConfigError, match=f"port {page.port}: .*--port 0|0 is any"):
        LivePage(hub, subject, ServeConfig(port=page.port))


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_one_line(tmp_path: Path, host: str) -> None:
    subject = made_subject(tmp_path)
    with Hub(subject.vitals) as hub, pytest.raises(ConfigError, match=re.escape(host)):
        LivePage(hub, subject, ServeConfig(host, 0))


def test_ports_are_checked() -> None:
    with pytest.raises(ConfigError, match="--port 70000"):
        ServeConfig(port=70000)


def test_an_open_address_makes_a_token_of_its_own_and_says_it(tmp_path: Path) -> None:
    with served(made_subject(tmp_path), ServeConfig("0.0.0.0", 0)) as (_, page):
        match = re.fullmatch(r"http://[^/]+:(\d+)/\?token=([\w-]{24})", page.addresses[0])
        assert match is not None
        assert int(match[1]) == page.port
        assert get(page, "/health")[0] == 401
        assert get(page, "/health", {"Authorization": f"Bearer {match[2]}"})[0] == 503
        assert get(page, f"/?token={match[2]}")[0] == 200
    with served(made_subject(tmp_path), ServeConfig("0.0.0.0", 0)) as (_, other):
        assert other.addresses[0].split("=")[1] != match[2]


def test_addresses(tmp_path: Path) -> None:
    with served(made_subject(tmp_path)) as (_, page):
        assert page.addresses == (f"http://127.0.0.1:{page.port}/",)
    if socket.has_ipv6:
        try:
            with served(made_subject(tmp_path), ServeConfig("::1", 0)) as (_, page):
                assert page.addresses == (f"http://[::1]:{page.port}/",)
        except ConfigError:
            pytest.skip("this machine has no IPv6 loopback address")


def test_no_secret_is_logged_or_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    source = ScriptedSource([])
    source.uri = redact("rtsp://admin:hunter2pass@192.0.2.1:554/stream?token=camera-secret")
    token = "a-very-secret-token"
    subject = made_subject(tmp_path, source=source)
    shown = []
    with served(subject, ServeConfig(port=0, token=token)) as (hub, page):
        hub.write(frame_result(0))
        bearer = {"Authorization": f"Bearer {token}"}
        shown += [get(page, path)[1].decode() for path in (f"/?token={token}", "/?token=wrong-token-here")]
        shown += [get(page, path, bearer)[1].decode() for path in ("/api/state", "/", "/metrics", "/health", "/app.js")]
        with socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S) as garbage:
            garbage.sendall(f"GET /?token={token} HTTP/9\r\n\r\n".encode())
            shown.append(garbage.recv(4096).decode())
    assert json.loads(shown[2])["source"] == "rtsp://***@192.0.2.1:554/stream?token=***"
    out, err = capfd.readouterr()
    logged = "\n".join(record.getMessage() for record in caplog.records if record.name != "asyncio")
    for secret in ("hunter2", "camera-secret", "admin", token):
        assert secret not in "\n".join([*shown, logged, out, err])


def test_a_flood_of_connections_is_refused_and_passes(tmp_path: Path) -> None:
    with served(made_subject(tmp_path)) as (hub, page):
        hub.write(frame_result(0))
        with ExitStack() as stack:
            for _ in range(server_module._MOST_CONNECTIONS):
                stack.enter_context(socket.create_connection(("127.0.0.1", page.port), timeout=PATIENCE_S))
            until = time.monotonic() + PATIENCE_S
            while get(page, "/metrics")[0] != 503 and time.monotonic() < until:
                time.sleep(0.01)
            assert get(page, "/metrics") == (503, b"Service Unavailable")
        until = time.monotonic() + PATIENCE_S
        while get(page, "/metrics")[0] != 200 and time.monotonic() < until:
            time.sleep(0.01)
        assert get(page, "/metrics")[0] == 200
