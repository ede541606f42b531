"""The clients of the library `simple_websocket`: `from unisocket.compat.simple_websocket import Client`.

`Client` blocks: CPython, and Pyodide with stack switching. `AioClient` runs everywhere (in Brython
under `browser.aio.run`). Where the library has a bug, this does what its documentation says:
bytes-like data is binary, a str is text, anything else a TypeError; `close()` of a connection that
is closed does nothing, as the documentation's own clients need it.
"""

import builtins

from unisocket import _runtime, errors
from unisocket import connection as _connection
from unisocket._checks import checked_data
from unisocket._websocket import WebSocket
from unisocket.compat._native import cause_of, start_closing, with_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Self

__all__ = ("AioClient", "Client", "ConnectionClosed", "ConnectionError", "SimpleWebsocketError")

NORMAL_CLOSURE, NO_STATUS_RCVD = 1000, 1005  # RFC 6455 section 7.4.1


if TYPE_CHECKING or hasattr(builtins, "ConnectionError"):

    class SimpleWebsocketError(errors.WebSocketError, RuntimeError):
        """The root of the exceptions of this module."""

    class _ConnectionError(SimpleWebsocketError, builtins.ConnectionError):
        pass

else:  # MicroPython has fewer built-ins, and allows one exception base only

    class SimpleWebsocketError(errors.WebSocketError):
        """The root of the exceptions of this module."""

    _ConnectionError = SimpleWebsocketError


class ConnectionError(_ConnectionError):
    """The connection could not be opened; also an OSError, where there can be such a class.

    Args:
        status_code: With which the server refused; None = it is not known, as ever in a browser.
        message: What else is known.
    """

    def __init__(self, status_code: int | None = None, message: str = "") -> None:
        super().__init__("Connection error: " + (message or str(status_code)))
        self.status_code = status_code
        self.message = message

    def __reduce__(self) -> "Any":
        return type(self), (self.status_code, self.message)


class ConnectionClosed(SimpleWebsocketError):
    """The connection is closed.

    Args:
        reason: Close code: the peer's, 1005 if it gave none, 1006 if there was no closing handshake.
        message: The peer's close reason.
    """

    def __init__(self, reason: int = NO_STATUS_RCVD, message: str | None = None) -> None:
        super().__init__("Connection closed: %d%s" % (reason, " " + message if message else ""))
        self.reason = reason
        self.message = message

    def __reduce__(self) -> "Any":
        return type(self), (self.reason, self.message)


class _Client:
    """What both clients are; `AioClient` tells of the arguments."""

    is_server = False

    def __init__(
        self,
        url: str,
        subprotocols: "str | Sequence[str] | None" = None,
        headers: "Mapping[str, str] | Sequence[tuple[str, str]] | None" = None,
        receive_bytes: int = 4096,
        ping_interval: float | None = None,
        max_message_size: int | None = None,
        ssl_context: "Any" = None,
        thread_class: "Any" = None,
        event_class: "Any" = None,
    ) -> None:
        self.subprotocols = [subprotocols] if isinstance(subprotocols, str) and subprotocols else subprotocols or []
        self.subprotocol: str | None = None
        self.receive_bytes = receive_bytes
        self.ping_interval = ping_interval
        self.max_message_size = max_message_size
        self._url = url
        self._adapter = with_options(
            [
                ("headers", "headers", headers or None),
                ("ping_interval", "ping_interval", ping_interval or None),
                ("ping_interval", "ping_timeout", ping_interval or None),
                ("max_message_size", "max_size", max_message_size or None),
                ("ssl_context", "ssl", ssl_context),
            ]
        )
        self._connection: _connection.Connection | None = None
        self._begin()

    def _begin(self) -> None:
        """Do what the class does when it is called."""

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self._connection is not None and self._connection.readyState == WebSocket.OPEN

    @property
    def close_reason(self) -> int:
        """The peer's close code, 1005 until the connection is closed."""
        code = self._connection.close_code if self._connection is not None else None
        return NO_STATUS_RCVD if code is None else code

    @property
    def close_message(self) -> str | None:
        """The peer's close reason, None if there is none."""
        return self._connection.close_reason or None if self._connection is not None else None

    async def _connect(self) -> None:
        connection = _connection.Connection(WebSocket(self._url, self.subprotocols or None, adapter=self._adapter))
        failure = ""
        try:
            await connection._opened(10.0)
        except errors.ConnectionFailedError as error:
            failure = str(error)
        if failure:
            response = getattr(cause_of(connection.websocket, self._adapter), "response", None)
            raise ConnectionError(getattr(response, "status_code", None), failure)
        self._connection = connection
        self.subprotocol = connection.protocol or None

    async def _receive(self, timeout: float | None) -> "Any":
        try:
            return await self._open().recv(timeout)
        except errors.TimeoutError:
            return None
        except errors.ConnectionClosed:
            pass
        raise ConnectionClosed(self.close_reason, self.close_message)

    async def _send(self, data: "str | bytes | bytearray | memoryview") -> None:
        try:
            await self._open().send(data)
        except errors.ConnectionClosed:
            pass
        else:
            return
        raise ConnectionClosed(self.close_reason, self.close_message)

    async def _close(self, reason: int | None, message: str | None) -> None:
        connection = self._open()
        start_closing(connection, self._adapter, reason or NORMAL_CLOSURE, message or "")
        await connection.wait_closed()

    def _open(self) -> "_connection.Connection":
        if self._connection is None:
            raise ConnectionClosed
        return self._connection


class AioClient(_Client):
    """A connection, with coroutines; `connect()` makes and opens it.

    Args:
        url: ws:, wss:, http: or https:.
        subprotocols: One or more, in order of preference. If the server chooses none, the
            connection fails, as in a browser.
        headers: Further headers of the opening handshake, a dict or pairs; CPython only.
        receive_bytes: Makes no difference here.
        ping_interval: Between pings, in seconds; CPython only; None = no pings.
        max_message_size: In bytes; CPython only; None = any.
        ssl_context: An `ssl.SSLContext`; CPython only.
        thread_class, event_class: Make no difference here.

    Attributes:
        subprotocol: What the server chose, or None.

    Raises:
        NotImplementedError: This runtime cannot do what one of them asks for.
    """

    @classmethod
    async def connect(
        cls,
        url: str,
        subprotocols: "str | Sequence[str] | None" = None,
        headers: "Mapping[str, str] | Sequence[tuple[str, str]] | None" = None,
        receive_bytes: int = 4096,
        ping_interval: float | None = None,
        max_message_size: int | None = None,
        ssl_context: "Any" = None,
        thread_class: "Any" = None,
        event_class: "Any" = None,
    ) -> "Self":
        """Open a connection; the arguments are those of the class.

        Raises:
            ConnectionError: It could not be opened.
            InvalidURLError: The URL is not valid.
        """
        client = cls(url, subprotocols, headers, receive_bytes, ping_interval, max_message_size, ssl_context)
        await client._connect()
        return client

    async def receive(self, timeout: float | None = None) -> "Any":
        """Wait for the next message.

        Args:
            timeout: In seconds, None = for ever, 0 = look and do not wait.

        Returns:
            str for a text message, bytes for a binary one, None if time ran out.

        Raises:
            ConnectionClosed: The connection is closed, and all that came before was received.
        """
        return await self._receive(timeout)

    async def send(self, data: "str | bytes | bytearray | memoryview") -> None:
        """Send a message: str as text, bytes-like as binary; wait while much is buffered.

        Raises:
            TypeError: Neither of them.
            ConnectionClosed: The connection is closed.
        """
        await self._send(data)

    async def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Close the connection, and wait until it is closed. The second time does nothing.

        Args:
            reason: Close code; 1000 (the default) or 3000 to 4999, on CPython also, say, 1001.
            message: For the peer; at most 123 bytes of UTF-8.
        """
        await self._close(reason, message)


class Client(_Client):
    """A connection, blocking; `connect()` makes it, and so does the class: it is open then.

    Args:
        url, subprotocols, headers, receive_bytes, ping_interval, max_message_size, ssl_context: As for `AioClient`.
        thread_class, event_class: Make no difference here.

    Attributes:
        subprotocol: What the server chose, or None.

    Raises:
        NotImplementedError: This runtime cannot block, or cannot do what an option asks for.
        ConnectionError: The connection could not be opened.
        InvalidURLError: The URL is not valid.
    """

    def _begin(self) -> None:
        _runtime.run_sync(self._connect, lambda _: self._open()._start_closing(1000, ""))

    @classmethod
    def connect(
        cls,
        url: str,
        subprotocols: "str | Sequence[str] | None" = None,
        headers: "Mapping[str, str] | Sequence[tuple[str, str]] | None" = None,
        receive_bytes: int = 4096,
        ping_interval: float | None = None,
        max_message_size: int | None = None,
        ssl_context: "Any" = None,
        thread_class: "Any" = None,
        event_class: "Any" = None,
    ) -> "Self":
        """Open a connection; arguments and exceptions are those of the class."""
        return cls(url, subprotocols, headers, receive_bytes, ping_interval, max_message_size, ssl_context)

    def receive(self, timeout: float | None = None) -> "Any":
        """Wait for the next message; see `AioClient.receive`."""
        put_back = self._open().put_back
        return _runtime.run_sync(lambda: self._receive(timeout), lambda data: None if data is None else put_back(data))

    def send(self, data: "str | bytes | bytearray | memoryview") -> None:
        """Send a message; see `AioClient.send`."""
        data = checked_data(data)  # in this thread: what the caller changes later changes nothing
        _runtime.run_sync(lambda: self._send(data))

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Close the connection, and wait until it is closed; see `AioClient.close`."""
        _runtime.run_sync(lambda: self._close(reason, message))
