"""A real HTTP server of one multipart Motion JPEG stream, as webcams and phones give it, on the loopback."""

from __future__ import annotations

import socket
import time

from tiny_rtsp import TinyServer


class TinyMjpeg(TinyServer):
    """`http://127.0.0.1:PORT/any`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    def talk(self, client: socket.socket) -> None:
        """One request, then frames."""
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            piece = client.recv(4096)
            if not piece:
                return
            request += piece
        if self.refused(request.decode()):
            client.sendall(
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="tiny"\r\nContent-Length: 0\r\n\r\n'
            )
            return
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n")
        index, due = 0, time.monotonic()
        while self.wait_for(client, due):
            picture = self.jpeg(index)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            client.sendall(head.encode() + picture + b"\r\n")
            index, due = index + 1, due + 1 / self._fps
