"""`websockets.asyncio.client` over `unisocket.connect`."""

import random

from unisocket import connection as _connection
from unisocket import errors
from unisocket._runtime import async_next, default_adapter
from unisocket._websocket import WebSocket
from unisocket.compat._native import cause_of, is_native, start_closing, with_options
from unisocket.compat.websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    ConnectionFailed,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
    closed,
    own,
)
from unisocket.compat.websockets.frames import Close, CloseCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from typing import Any

    from unisocket.adapters import Adapter

__all__ = ("ClientConnection", "connect")

# Options of `connect()` that belong to the adapter, and its names for them.
_OPTIONS = {
    "additional_headers": "headers",
    "close_timeout": "close_timeout",
    "compression": "compression",
    "max_size": "max_size",
    "origin": "origin",
    "ping_interval": "ping_interval",
    "ping_timeout": "ping_timeout",
    "proxy": "proxy",
    "ssl": "ssl",
    "user_agent_header": "user_agent",
}

# Between attempts to connect, in seconds: those of the library.
FIRST_DELAY = 5.0  # at most, at random
MIN_DELAY = 3.1
MAX_DELAY = 90.0
FACTOR = 1.618

UNBOUNDED = 2**30 - 1  # messages; the largest small integer of MicroPython


def backoff() -> "Iterator[float]":
    """Generate the delays between attempts, in seconds."""
    yield random.random() * FIRST_DELAY  # noqa: S311
    delay = MIN_DELAY
    while True:
        yield min(delay, MAX_DELAY)
        delay = min(delay * FACTOR, MAX_DELAY)


def process_exception(error: Exception) -> Exception | None:
    """Return None if another attempt to connect may help, else the exception."""
    if isinstance(error, (OSError, errors.TimeoutError, ConnectionFailed, InvalidMessage)):
        return None
    if isinstance(error, InvalidStatus) and error.response.status_code in (500, 502, 503, 504):
        return None
    return error


class connect(_connection.connect):  # noqa: N801  the library's name
    """Open a connection: `async with connect(uri) as websocket:`, or `await connect(uri)`.

    `async for websocket in connect(uri):` opens one after the other, and waits longer and longer
    when that fails. Each is closed before the next; the one in which the loop is left is not.

    Leaving `async with` closes with 1000, however it is left. If subprotocols are asked for and the
    server chooses none, the connection fails, as in a browser.

    Args:
        uri: ws:, wss:, http:, https:, or relative where there is a base.
        subprotocols: In order of preference.
        process_exception: Tells for `async for` whether to try again: returns None, or what to raise.
        open_timeout: In seconds, None = for ever.
        reconnect_delays: Makes for `async for` an iterator of delays, in seconds.
        max_queue: How many messages may wait to be received before reading stops, where the runtime
            can stop it; None = any number. Of a pair the first counts.
        **options: additional_headers, close_timeout, compression, max_size, origin, ping_interval,
            ping_timeout, proxy, ssl (True or a context), user_agent_header. Those that are not given
            are the adapter's, so messages may have 64 MiB.

    Raises:
        NotImplementedError: This runtime cannot do what an option asks for, or there is no such option.
        ValueError: `ssl` for a URI without TLS.
        InvalidURI: When it is entered or awaited: the URI is not valid.
        InvalidHandshake, OSError, TimeoutError: Then, too: the connection could not be opened.
    """

    def __init__(
        self,
        uri: str,
        *,
        subprotocols: "Sequence[str] | None" = None,
        process_exception: "Callable[[Exception], Exception | None]" = process_exception,
        open_timeout: float | None = 10.0,
        reconnect_delays: "Callable[[], Iterator[float]]" = backoff,
        max_queue: "int | tuple[int | None, int | None] | None" = _connection.MAX_QUEUE,
        **options: "Any",
    ) -> None:
        wanted = []
        for name in sorted(options):
            if name in _OPTIONS:
                wanted.append((name, _OPTIONS[name], options[name]))
            elif options[name] is not None:
                raise NotImplementedError("connect() of unisocket.compat.websockets has no option " + name)
        if hasattr(default_adapter(), "open_timeout"):
            wanted.append(("open_timeout", "open_timeout", open_timeout))
        adapter = with_options(wanted)
        if options.get("ssl") is not None and uri[:3].lower() == "ws:":
            raise ValueError("ssl argument is incompatible with a ws:// URI")
        if isinstance(max_queue, tuple):
            max_queue = max_queue[0]
        super().__init__(
            uri,
            subprotocols,
            adapter=adapter,
            open_timeout=open_timeout,
            max_queue=UNBOUNDED if max_queue is None else max_queue,
        )
        self._process_exception = process_exception
        self._reconnect_delays = reconnect_delays
        self._delays: Iterator[float] | None = None

    async def _open(self) -> "ClientConnection":  # type: ignore[override]
        adapter = self._adapter
        assert adapter is not None
        uri, subprotocols = self._arguments
        invalid = ""
        try:
            websocket = WebSocket(uri, subprotocols, adapter=adapter)
        except errors.InvalidURLError as error:
            invalid = str(error)
        if invalid:
            raise InvalidURI(uri, invalid)
        connection = _connection.Connection(websocket, self._max_queue)
        failure: Exception | None = None
        try:
            await connection._opened(self._open_timeout)
        except errors.ConnectionFailedError as error:
            failure = error
        if failure is not None:
            raise _reason(connection, adapter, failure)
        return ClientConnection(connection, adapter)

    if TYPE_CHECKING:

        def __await__(self) -> "Generator[Any, None, ClientConnection]": ...  # type: ignore[override]

        async def __aenter__(self) -> "ClientConnection": ...  # type: ignore[override]

    # async for websocket in connect(uri)

    def __aiter__(self) -> "connect":
        return self

    async def __anext__(self) -> "ClientConnection":
        await self.__aexit__(None, None, None)
        while True:
            failure: Exception | None = None
            try:
                websocket = await self.__aenter__()
            except Exception as error:
                failure = error
            if failure is None:
                self._delays = None
                return websocket
            failure = self._process_exception(failure)
            if failure is not None:
                raise failure
            if self._delays is None:
                self._delays = self._reconnect_delays()
            await default_adapter().runtime().sleep(next(self._delays))


def _reason(connection: "_connection.Connection", adapter: "Adapter", failure: Exception) -> Exception:
    """Return what to raise for a connection that did not open."""
    cause = cause_of(connection.websocket, adapter)
    # The adapter has the same timeout, and may notice it first; what the system says has arguments.
    if connection._closed is None or (isinstance(cause, OSError) and not cause.args):
        return errors.TimeoutError("timed out during opening handshake")
    if cause is not None:
        cause = own(cause)
        if isinstance(cause, (OSError, errors.WebSocketError)):
            return cause
    return ConnectionFailed(str(failure))


def _native(name: str) -> "Any":
    """Make a property that only the library `websockets` has."""
    return property(lambda self: getattr(self._raw(name), name))


class ClientConnection:
    """A connection; `connect()` makes it.

    Attributes:
        id, latency, local_address, logger, remote_address, request, response, transport: As in
            `websockets`, on CPython; elsewhere NotImplementedError.
    """

    id = _native("id")
    latency = _native("latency")
    local_address = _native("local_address")
    logger = _native("logger")
    remote_address = _native("remote_address")
    request = _native("request")
    response = _native("response")
    transport = _native("transport")

    def __init__(self, connection: "_connection.Connection", adapter: "Adapter") -> None:
        self._connection = connection
        self._adapter = adapter
        self._sent: Close | None = None  # the close frame with which we began

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose, or None."""
        return self._connection.protocol or None

    @property
    def state(self) -> int:
        """One of `State`."""
        return self._connection.readyState

    @property
    def close_code(self) -> int | None:
        """The peer's close code, 1006 if none came, None until the connection is closed."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """The peer's close reason, None until the connection is closed."""
        return self._connection.close_reason

    async def recv(self, decode: bool | None = None) -> "Any":
        """Wait for the next message; cancelling loses nothing.

        Args:
            decode: True = str, also for a binary message; False = bytes, also for a text.

        Raises:
            ConnectionClosed: The connection is closed, and all that came before was received.
            ConcurrencyError: Another `recv()` waits.
        """
        try:
            return decoded(await self._connection.recv(), decode)
        except errors.ConnectionClosed:
            pass
        raise self._closed_error()

    def __aiter__(self) -> "ClientConnection":
        return self

    async def __anext__(self) -> "Any":
        try:
            return await self.recv()
        except ConnectionClosedOK:
            pass
        raise StopAsyncIteration

    async def send(self, message: "str | bytes | bytearray | memoryview", text: bool | None = None) -> None:
        """Send a message; wait while much is buffered.

        Args:
            message: str as text, bytes-like as binary. Fragments (an iterable) are not for here.
            text: True = as text, also if it is UTF-8 in bytes; False = as binary, also if it is a str.

        Raises:
            ConnectionClosed: The connection is closed.
            TypeError: `message` is neither.
        """
        try:
            await self._connection.send(encoded(message, text))
        except errors.ConnectionClosed:
            pass
        else:
            return
        raise self._closed_error()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. The second time does nothing.

        Args:
            code: 1000 or 3000 to 4999; on CPython also what else an endpoint may send, say 1001.
            reason: For the peer; at most 123 bytes of UTF-8.
        """
        if start_closing(self._connection, self._adapter, code, reason):
            self._sent = Close(code, reason)
        await self._connection.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await self._connection.wait_closed()

    async def ping(self, data: "str | bytes | None" = None) -> "Any":
        """Send a ping; CPython only.

        Returns:
            A future for the pong: the seconds it took.

        Raises:
            NotImplementedError: A browser lets nobody send pings.
            ConnectionClosed: The connection is closed.
        """
        return self._translated(await self._call("ping", data))

    async def pong(self, data: "str | bytes" = b"") -> None:
        """Send a pong that nobody asked for; CPython only."""
        await self._call("pong", data)

    async def __aenter__(self) -> "ClientConnection":
        return self

    async def __aexit__(self, kind: "type[BaseException] | None", error: "Any", traceback: "Any") -> None:
        if self._connection.readyState == WebSocket.OPEN:
            self._sent = Close(CloseCode.NORMAL_CLOSURE, "")
        await self._connection.__aexit__(kind, error, traceback)

    def _closed_error(self) -> ConnectionClosed:
        event = self._connection._closed
        rcvd = None
        if event is not None and event.code != CloseCode.ABNORMAL_CLOSURE:
            rcvd = Close(event.code, event.reason)
        if self._sent is not None:
            return closed(rcvd, self._sent, None if rcvd is None else False)
        # The peer began: its close frame was answered with the same code.
        return closed(rcvd, rcvd, None if rcvd is None else True)

    # What only CPython has

    def _raw(self, name: str) -> "Any":
        if not is_native(self._adapter):
            raise NotImplementedError(
                name + " is not possible with the adapter " + self._adapter.name + ": a browser does not offer it"
            )
        return self._connection.websocket.raw

    async def _call(self, name: str, data: "Any") -> "Any":
        raw = self._raw(name + "()")
        if self._connection.readyState != WebSocket.OPEN:
            await self._connection.wait_closed()
            raise self._closed_error()
        try:
            return await getattr(raw, name)(data)
        except Exception as error:
            failure = own(error)
        if type(failure).__name__.startswith("ConnectionClosed"):
            await self._connection.wait_closed()
            raise self._closed_error()
        raise failure

    def _translated(self, pong: "Any") -> "Any":
        """Return a future for another one that raises exceptions of the library `websockets`."""
        answered = pong.get_loop().create_future()

        def settle(pong: "Any") -> None:
            if answered.done():
                pass
            elif pong.cancelled():
                answered.cancel()
            elif pong.exception() is None:
                answered.set_result(pong.result())
            else:
                answered.set_exception(self._closed_error())
                answered.exception()  # whoever does not wait for pongs is not to hear of it

        pong.add_done_callback(settle)
        return answered


def decoded(data: "str | bytes", decode: bool | None) -> "str | bytes":
    """Return a received message as text or binary."""
    if decode is True and isinstance(data, bytes):
        return data.decode()
    if decode is False and isinstance(data, str):
        return data.encode()
    return data


def encoded(
    message: "str | bytes | bytearray | memoryview", text: bool | None
) -> "str | bytes | bytearray | memoryview":
    """Return a message to send as text or binary."""
    if text is True and isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message).decode()
    if text is False and isinstance(message, str):
        return message.encode()
    return message


ClientConnection.__anext__ = async_next(ClientConnection.__anext__)  # type: ignore[method-assign]
