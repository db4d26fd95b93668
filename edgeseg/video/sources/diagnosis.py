"""Why a network stream does not open: FFmpeg tells nobody through OpenCV, so one request of our own finds out."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import time
from urllib.parse import SplitResult, unquote, urlsplit

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_TIMEOUT_S = 2.0
_HEAD_BYTES = 8192


def why_closed(uri: str, timeout_s: float = _TIMEOUT_S) -> str:
    """What is the matter with the stream at `uri`, and what to do: one line, without anything of the address in it.

    Asks the server for a description of the stream (RTSP) or the stream itself (HTTP). The login is sent in plain text
    only where the server asks for that itself (Basic authentication), as FFmpeg does. Takes at most some seconds.
    """
    parts = urlsplit(uri)
    try:
        status, head = _ask(parts, "", timeout_s)
        if status == 401 and parts.username is not None and re.search(r"(?im)^www-authenticate: *basic", head):
            plain = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            login = f"Authorization: Basic {base64.b64encode(plain.encode()).decode()}\r\n"
            status, head = _ask(parts, login, timeout_s)
    except socket.gaierror:
        return "no address is known for this host. Check its spelling and the network, or give its number (10.0.0.7)."
    except ConnectionRefusedError:
        return "the host refuses connections on this port. Is the stream switched on, and is the port right?"
    except TimeoutError:
        return f"no answer within {timeout_s:g} s. Is the camera on, in this network, and not behind a firewall?"
    except ssl.SSLError as error:
        return f"no encrypted connection ({error.reason or 'TLS failed'}). Does the camera speak {parts.scheme}?"
    except OSError as error:
        return f"the host cannot be reached ({error.strerror or 'connection lost'}). Is this machine in its network?"
    return _verdict(status, head, parts)


def _verdict(status: int, head: str, parts: SplitResult) -> str:
    """What a status says (the codes of HTTP, which RTSP shares: RFC 2326, 7.1.1)."""
    if status == 401 and parts.username is None:
        return f"the camera wants a user and a password: {parts.scheme}://USER:PASSWORD@HOST/PATH"
    if status in (401, 403):
        return f"the camera does not accept this user and password ({status}). In them write %40 for @."
    if status == 404:
        return "the camera has no such stream (404). Look its path up in the camera's manual."
    if status == 0:
        return f"what answers there does not speak {parts.scheme.upper()}. Check port and scheme."
    if not 200 <= status < 300:
        return f"the camera answers {status}. See its manual, or try the address in VLC."
    kind = re.search(r"(?im)^content-type: *([\w./+-]+)", head)
    what = "no type given" if kind is None else kind[1]
    return (
        f"it answers, but with no video that this OpenCV can decode ({what}). Set the camera to H.264 or Motion JPEG."
    )


def _ask(parts: SplitResult, login: str, timeout_s: float) -> tuple[int, str]:
    """Status and head of the answer; status 0 for what is no answer of this protocol."""
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    with socket.create_connection((host, port), timeout_s) as plain:
        if parts.scheme in ("rtsps", "https"):
            context = ssl.create_default_context()
            # As FFmpeg: cameras sign their certificates themselves, and what it does not mind is not to blame.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain, server_hostname=host) as secure:
                return _exchange(secure, parts, login, timeout_s)
        return _exchange(plain, parts, login, timeout_s)


def _exchange(connection: socket.socket, parts: SplitResult, login: str, timeout_s: float) -> tuple[int, str]:
    host = parts.netloc.rpartition("@")[2]
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme.startswith("rtsp"):
        request = (
            f"DESCRIBE {parts.scheme}://{host}{path} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n{login}\r\n"
        )
    else:
        request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{login}\r\n"
    connection.sendall(request.encode("ascii", "replace"))
    head = b""
    until_s = time.monotonic() + timeout_s
    while b"\r\n\r\n" not in head and len(head) < _HEAD_BYTES:
        connection.settimeout(max(until_s - time.monotonic(), 0.001))
        piece = connection.recv(1024)
        if not piece:
            break
        head += piece
    text = head.decode("latin-1")
    status = re.match(r"(?:RTSP|HTTP)/\d\.\d (\d{3})", text)
    if status is None or not text.startswith(parts.scheme[:4].upper()):
        return 0, text
    return int(status[1]), text
