"""A real RTSP server, as small as it can be: Motion JPEG over RTP, interleaved in the TCP connection, on the loopback.

RFC 2326 for the requests, RFC 2435 for the payload. It can stall, be cut off, and come back on the same port.
"""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType

import cv2
import numpy as np

from edgeseg.types import Frame

_CLOCK_HZ = 90_000  # RFC 2435, 3
_FRAGMENT_BYTES = 1_400


def level_frame(index: int, size_hw: tuple[int, int] = (48, 64)) -> Frame:
    """BGR uint8 (H, W, 3), grey, whose level tells the index: it goes round in 25 steps of 10."""
    return np.full((*size_hw, 3), 10 * (index % 25), np.uint8)


class TinyServer(ABC):
    """Listens on 127.0.0.1 and plays `frame_of(0)`, `frame_of(1)`, … at `fps` to everybody who asks, each from 0."""

    def __init__(
        self,
        frame_of: Callable[[int], Frame] = level_frame,
        *,
        fps: float = 30.0,
        login: tuple[str, str] | None = None,
    ) -> None:
        self._frame_of = frame_of
        self._fps = fps
        self._login = login
        self.port = 0
        self.asked: list[str] = []
        """Every request so far, whole."""
        self.stalled = threading.Event()
        """While it is set, clients are connected and get nothing."""
        self._listener: socket.socket | None = None
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()

    def come_back(self) -> None:
        """Listen, on the port of the first time."""
        self.stalled.clear()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), name="tiny-accept", daemon=True).start()

    def cut(self) -> None:
        """Pull the plug: every connection ends, and new ones are refused. Returns when no thread is left."""
        self.stalled.clear()
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            clients = dict(self._clients)
        for client, thread in clients.items():
            with contextlib.suppress(OSError):  # the other side was faster
                client.shutdown(socket.SHUT_RDWR)
            thread.join()

    def __enter__(self) -> TinyServer:
        self.come_back()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                thread = threading.Thread(target=self._serve, args=(client,), name="tiny-client", daemon=True)
                self._clients[client] = thread
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            self.talk(client)
        except OSError:
            pass  # the client went, or was cut off
        finally:
            with self._lock:
                del self._clients[client]
            client.close()

    @property
    @abstractmethod
    def url(self) -> str:
        """Without user and password."""

    @abstractmethod
    def talk(self, client: socket.socket) -> None:
        """Answer one client until it goes."""

    def refused(self, request: str) -> bool:
        """Note a request; says whether it lacks the login."""
        self.asked.append(request)
        if self._login is None:
            return False
        return f"Authorization: Basic {base64.b64encode(':'.join(self._login).encode()).decode()}" not in request

    def jpeg(self, index: int) -> bytes:
        """A frame as a baseline JPEG with the standard's own Huffman tables."""
        return cv2.imencode(".jpg", self._frame_of(index))[1].tobytes()

    def wait_for(self, client: socket.socket, due: float) -> bool:
        """Wait for the moment of a frame. False: the client has something to say, or has gone."""
        while True:
            left = due - time.monotonic()
            said, _, _ = select.select([client], [], [], min(max(left, 0.0), 0.01))
            if said:
                return False
            if left <= 0 and not self.stalled.is_set():
                return True


class TinyRtsp(TinyServer):
    """`rtsp://127.0.0.1:PORT/any`."""

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/stream"

    def talk(self, client: socket.socket) -> None:
        """Requests and frames take turns on the one connection."""
        playing, index, sequence, due = False, 0, 0, 0.0
        while True:
            if playing and self.wait_for(client, due):
                for packet in rtp_packets(self.jpeg(index), sequence, int(index * _CLOCK_HZ / self._fps)):
                    client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)
                    sequence += 1
                index, due = index + 1, max(due + 1 / self._fps, time.monotonic() - 1)
                continue
            request = _request(client)
            if request is None:
                return
            while self.stalled.is_set():
                time.sleep(0.01)
            method = request.split(" ", 1)[0]
            client.sendall(self._answer(method, request).encode())
            if method == "PLAY":
                playing, due = True, time.monotonic()

    def _answer(self, method: str, request: str) -> str:
        lines = request.split("\r\n")
        number = next(line for line in lines if line.lower().startswith("cseq"))
        if self.refused(request):
            return f'RTSP/1.0 401 Unauthorized\r\n{number}\r\nWWW-Authenticate: Basic realm="tiny"\r\n\r\n'
        more, body = "Session: 1\r\n", ""
        if method == "OPTIONS":
            more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
        elif method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=tiny\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                f"m=video 0 RTP/AVP 26\r\na=framerate:{self._fps:g}\r\na=control:track\r\n"
            )
            more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP":
            if "RTP/AVP/TCP" not in request:
                return f"RTSP/1.0 461 Unsupported Transport\r\n{number}\r\n\r\n"
            more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        return f"RTSP/1.0 200 OK\r\n{number}\r\n{more}\r\n{body}"


def rtp_packets(jpeg: bytes, sequence: int, timestamp: int) -> list[bytes]:
    """One frame as RTP packets (RFC 3550, 5.1; RFC 2435, 3.1): its tables, if not the standard's, and its scan."""
    tables, size, offset = b"", (0, 0), 2
    while jpeg[offset + 1] != 0xDA:
        length = int.from_bytes(jpeg[offset + 2 : offset + 4], "big")
        segment = jpeg[offset + 4 : offset + 2 + length]
        if jpeg[offset + 1] == 0xDB:
            tables += b"".join(segment[start + 1 : start + 65] for start in range(0, len(segment), 65))
        elif jpeg[offset + 1] == 0xC0:
            size = struct.unpack(">HH", segment[1:5])
            assert segment[7] == 0x22, "expected 4:2:0"
        offset += 2 + length
    height, width = size
    scan = jpeg[offset + 2 + int.from_bytes(jpeg[offset + 2 : offset + 4], "big") : -2]
    packets: list[bytes] = []
    for start in range(0, len(scan), _FRAGMENT_BYTES):
        piece = scan[start : start + _FRAGMENT_BYTES]
        last = start + len(piece) == len(scan)
        header = struct.pack(">BBHII", 0x80, 26 | 0x80 * last, (sequence + len(packets)) & 0xFFFF, timestamp, 1)
        main = struct.pack(">IBBBB", start, 1, 255, width // 8, height // 8)
        quantisation = struct.pack(">BBH", 0, 0, len(tables)) + tables if start == 0 else b""
        packets.append(header + main + quantisation + piece)
    return packets


def _request(client: socket.socket) -> str | None:
    """The next request, without RTCP packets before it; `None` when the client has gone."""
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return None
        if not said and byte == b"$":
            for _ in range(int.from_bytes(client.recv(3)[1:], "big")):
                client.recv(1)
            continue
        said += byte
    return said.decode()
