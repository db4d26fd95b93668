"""The server of the live page: uvicorn on a thread of its own, as the loop wants the main thread for its signals."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
from dataclasses import dataclass
from types import TracebackType

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgeseg.errors import ConfigError, UnavailableError
from edgeseg.web.access import Access, is_loopback
from edgeseg.web.app import create_app
from edgeseg.web.hub import MAX_VIEWERS, Hub
from edgeseg.web.state import Subject

_MOST_CONNECTIONS = 4 * MAX_VIEWERS
"""Each browser has one for the pictures and now and then another; uvicorn answers 503 beyond."""
_SEND_BUFFER_BYTES = 128 * 1024
"""What the kernel keeps for a client: one or two pictures. Left to itself it keeps megabytes, of old ones."""
_SILENT_MS = 20_000
"""A client that takes nothing for so long is gone: a phone out of reach does not say good-bye."""
_FAREWELL_S = 0.2
"""Pictures on their way are given so long when the server stops."""
_START_S = 30.0


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Where the page is, and for whom."""

    host: str = "127.0.0.1"
    """Address to listen on: a loopback address is for this machine alone, 0.0.0.0 for everybody."""
    port: int = 8080
    """0 for any free one."""
    token: str | None = None
    """Needed to see the page. On an address that is open to others a random one is made where there is none."""
    names: tuple[str, ...] = ()
    """Names of this machine in addresses, besides its host name."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port}: expected 0 to 65535.")
        self.access()  # raises what is wrong with the token

    def access(self) -> Access:
        """Who may see the page; makes the token where one is needed and none is given."""
        token = self.token
        if token is None and not is_loopback(self.host):
            token = secrets.token_urlsafe(18)
        name = socket.gethostname()
        return Access(self.host, token, (name, f"{name}.local", *self.names))


class LivePage:
    """The running server; leaving the context stops it, within two seconds whatever its clients do.

    Raises `ConfigError` where the address cannot be listened on.
    """

    def __init__(self, hub: Hub, subject: Subject, config: ServeConfig) -> None:
        self._hub = hub
        self._access = config.access()
        self._socket = _listen(config.host, config.port)
        self.port: int = self._socket.getsockname()[1]
        settings = uvicorn.Config(
            create_app(hub, subject, self._access),
            loop="asyncio",
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=10,
        )
        self._server = _Server(settings, hub)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="live page", daemon=True)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What to open in a browser; with the token, where there is one."""
        host = self._access.host
        name, unspecified = f"[{host}]" if ":" in host else host, host in ("0.0.0.0", "::")
        names = (socket.gethostname(), _own_address()) if unspecified else (name,)
        token = "" if self._access.token is None else f"?token={self._access.token}"
        return tuple(f"http://{name}:{self.port}/{token}" for name in names if name is not None)

    def __enter__(self) -> LivePage:
        self._thread.start()
        if not self._server.ready.wait(_START_S):
            raise UnavailableError(
                f"the live page's server did not start within {_START_S:g} s. Is this machine stuck?"
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hub.close()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


class _Connection(H11Protocol):
    """A connection without a buffer of its own: what a client has not taken, it has not been sent."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)


class _Server(uvicorn.Server):
    """Tells the hub on which event loop it runs, and when it stops does not wait for clients that do not read."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._hub.serve_on(asyncio.get_running_loop())
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.serve_on(None)
        await asyncio.sleep(_FAREWELL_S)
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection):
                connection.transport.abort()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise ConfigError(f"--host {host}: {error.strerror}. Try 127.0.0.1, or 0.0.0.0 for every address.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MS)
        listener.bind(address)
        listener.listen(_MOST_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Choose another --port; 0 is any free one."
        ) from error
    return listener


def _own_address() -> str | None:
    """The address of this machine towards its network. Nothing is sent: a datagram socket only looks up its route."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that is nobody's
        address: str = probe.getsockname()[0]
        return address
    return None
