"""How connections of CPython are opened, over `websockets`, which has the handshakes, proxies and TLS."""

import asyncio
import base64
import contextlib
import functools
import ipaddress
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import websockets.asyncio.client
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.protocol import OPEN
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from unisocket.adapters import NO_HANDSHAKE, Sink, Transport
from unisocket.adapters._connecting import connect_tcp
from unisocket.adapters._deflate import DeflateFactory
from unisocket.adapters._frames import Connection
from unisocket.adapters._responses import explain

if TYPE_CHECKING:
    from unisocket.adapters._cpython import CPythonRuntime
    from unisocket.adapters.cpython import CPythonAdapter

# Seconds in which a loop that cancels its tasks ends, if it does.
GRACE = 0.1

DEFLATE = (DeflateFactory(),)  # for all


class Connect(websockets.asyncio.client.connect):
    """`websockets`' way to a connection, without the redirects, which browsers do not follow."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


# For each loop and host the lock of whoever is opening a connection there.
_turns: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.WeakValueDictionary[str, asyncio.Lock]]"
_turns = weakref.WeakKeyDictionary()


def turn_of(loop: asyncio.AbstractEventLoop, url: str) -> asyncio.Lock:
    """Return the lock for opening a connection to the host and port of a URL (RFC 6455 section 4.1, step 2)."""
    uri = parse_uri(url)
    return _turns.setdefault(loop, weakref.WeakValueDictionary()).setdefault(f"{uri.host}:{uri.port}", asyncio.Lock())


class ProxyConnection(websockets.asyncio.client.HTTPProxyConnection):
    """`websockets`' connection to a proxy; `websockets` 17.4 raises in asyncio's callback when the proxy sends FIN."""

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.response.done():
            super().connection_lost(exc)


websockets.asyncio.client.HTTPProxyConnection = ProxyConnection  # type: ignore[misc]


class CPythonTransport(Transport):
    """One connection of the CPython adapter.

    Args:
        adapter: Has the options.
        url: The serialised URL.
        protocols: The subprotocols to ask for.
        sink: Is told what happens.
        runtime: The services of the socket.
    """

    any_text = True
    batches = True
    pauses = True

    def __init__(
        self, adapter: "CPythonAdapter", url: str, protocols: list[str], sink: Sink, runtime: "CPythonRuntime"
    ) -> None:
        self.adapter = adapter
        self.sink: Sink | None = sink
        self.runtime = runtime
        self.raw: Connection | None = None
        self.error: Exception | None = None  # why the connection did not open
        self._task: asyncio.Task[None] | None = None
        runtime.soon(lambda: self._start(url, protocols))

    # Opening

    def _start(self, url: str, protocols: list[str]) -> None:
        if self.sink is not None:
            self._task = self.runtime.loop.create_task(self._open(url, protocols))

    async def _open(self, url: str, protocols: list[str]) -> None:
        try:
            if self.adapter.queue_per_host:
                async with turn_of(self.runtime.loop, url):
                    await self._connect(url, protocols)
            else:
                await self._connect(url, protocols)
        except asyncio.CancelledError:
            self._fail_later()
            raise
        except Exception as error:  # of proxies, TLS and codecs, too: whatever it is, the opening has failed
            self.error = error
            if self.raw is None or not self.raw.established:
                self.closed(NO_HANDSHAKE, "", False, explain(error))
        finally:
            self._task = None

    def _fail_later(self) -> None:
        """Fail an opening that somebody cancels who cancels all tasks; with the loop ends all, and no event fires."""
        sink, self.sink = self.sink, None

        def fail() -> None:
            self.sink = sink
            self.closed(NO_HANDSHAKE, "", False, "the task that opened it was cancelled")

        if sink is not None:
            self.runtime.later(GRACE, fail)

    async def _connect(self, url: str, protocols: list[str]) -> None:
        adapter = self.adapter
        headers = Headers(adapter.headers or ())
        url, credentials = without_credentials(url)
        if credentials is not None:
            if "Authorization" in headers:
                raise ValueError("there is an Authorization in the headers, and one in the URL: leave one out")
            headers["Authorization"] = "Basic " + base64.b64encode(credentials).decode()
        uri = parse_uri(url)
        proxy = adapter.proxy
        if proxy is True:
            proxy = None if is_loopback(uri.host) else get_proxy(uri)
        options: dict[str, Any] = {"ssl": adapter.ssl} if uri.secure and adapter.ssl is not None else {}
        if adapter.unix is not None:
            options.update(unix=True, path=adapter.unix)
        elif proxy is not None:
            options["local_addr"] = adapter.local_address
        connect = Connect(
            url,
            subprotocols=protocols or None,  # type: ignore[arg-type]
            origin=adapter.origin,  # type: ignore[arg-type]
            compression=adapter.compression,
            extensions=DEFLATE if adapter.compression == "deflate" else None,
            additional_headers=headers,
            user_agent_header=adapter.user_agent,
            proxy=proxy,
            open_timeout=None,  # it would not count the TCP connection
            close_timeout=adapter.close_timeout,
            ping_interval=None,  # the connection has its own, which tells at once
            max_size=adapter.max_size,
            create_connection=functools.partial(self._make, url),  # type: ignore[arg-type]
            **options,
        )
        async with asyncio.timeout(adapter.open_timeout):
            if proxy is None and adapter.unix is None:
                connect.create_connection_kwargs["sock"] = await connect_tcp(
                    uri.host, uri.port, adapter.local_address, adapter.happy_eyeballs_delay
                )
            await connect

    def _make(self, url: str, protocol: ClientProtocol, **options: Any) -> "Connection":
        from unisocket.adapters import _blocking, _cpython

        if url.endswith("?") and not protocol.uri.query:  # a query that is empty, which `websockets` takes for none
            protocol.uri.path += "?"
        kind = _blocking.SharedConnection if _cpython.background.runs_here() else Connection
        self.raw = kind(self, protocol, **options)
        return self.raw

    # What the socket asks for; while it is open, `raw` is what sends

    def opened(self, connection: "Connection") -> None:
        self.send_text = connection.send_text  # type: ignore[method-assign]
        self.send_binary = connection.send_binary  # type: ignore[method-assign]
        if self.sink is not None:
            response = connection.response
            extensions = response.headers.get_all("Sec-WebSocket-Extensions") if response is not None else []
            self.sink.opened(connection.protocol.subprotocol or "", ", ".join(extensions))

    def buffered(self) -> int:
        return self.raw.buffered() if self.raw is not None else 0

    def close(self, code: int | None, reason: str) -> None:
        connection = self.raw
        if connection is not None and connection.protocol.state is OPEN:
            connection.protocol.send_close(code, reason)
            connection.send_data()
            if self.shared is not None:
                self.shared.take_back()  # who blocks must not wait for the answer

    def abort(self) -> None:
        self.sink = None
        if self.raw is not None and self.raw.established:
            self.raw.drop()
        elif self._task is not None:
            self._task.cancel()

    def orphan(self) -> None:
        """Close the socket of a loop that is closed: asyncio's objects cannot do it any more, and would complain."""
        self.sink = None
        task: Any = self._task
        if task is not None:
            task._log_destroy_pending = False
            # Of what asks the loop on its way out; and after a fork in the middle of it.
            with contextlib.suppress(RuntimeError, ValueError):
                task.get_coro().close()
        if self.shared is not None:
            self.shared.leave()
            self.shared = None
        transport: Any = getattr(self.raw, "transport", None)
        if hasattr(transport, "_ssl_protocol"):
            transport._closed = True
            transport = transport._ssl_protocol._transport
        if getattr(transport, "_sock", None) is not None:
            transport._sock.close()
            transport._sock = None

    def pause(self) -> None:
        if self.raw is not None:
            self.raw.pause()

    def resume(self) -> None:
        if self.raw is not None:
            self.raw.resume()

    def closed(self, code: int, reason: str, clean: bool, message: str) -> None:
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.time = None
            sink.closed(code, reason, clean, message)


def without_credentials(url: str) -> tuple[str, bytes | None]:
    """Return a serialised URL without its user name and password, and these, as HTTP has them (RFC 7617 section 2).

    `websockets` takes a part of them only: no colon in a name, nothing but UTF-8, and no name without a password.
    """
    scheme, rest = url.split("://", 1)
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if not at:
        return url, None
    name, _, password = user.partition(":")
    return f"{scheme}://{host}{slash}{path}", unquote_to_bytes(name) + b":" + unquote_to_bytes(password)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
