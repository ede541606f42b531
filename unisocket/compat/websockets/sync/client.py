"""`websockets.sync.client` over `unisocket`: for threads on CPython, and for Pyodide with stack switching."""

from unisocket import _runtime, errors
from unisocket._checks import checked_data
from unisocket.compat.websockets.asyncio import client as _client
from unisocket.compat.websockets.asyncio.client import decoded, encoded
from unisocket.compat.websockets.exceptions import ConnectionClosedOK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("ClientConnection", "connect")


def connect(uri: str, *, legacy: bool | None = None, **options: "Any") -> "ClientConnection":
    """Open a connection and wait for it, for `with` or for an assignment.

    Args:
        uri: As for `websockets.asyncio.client.connect`, and so are the options.
        legacy: Makes no difference: what is returned is open, and may be entered.
        **options: subprotocols, open_timeout, max_queue, ssl and so on.

    Raises:
        NotImplementedError: This runtime cannot block, or cannot do what an option asks for.
        InvalidURI, InvalidHandshake, OSError, TimeoutError: The connection could not be opened.
    """
    opening = _client.connect(uri, **options)
    return ClientConnection(
        _runtime.run_sync(opening._open, lambda client: client._connection._start_closing(1000, ""))
    )


def _same(name: str) -> "Any":
    """Make a property that reads the asynchronous connection's."""
    return property(lambda self: getattr(self._client, name))


class ClientConnection:
    """A connection; `connect()` makes it. See that of `websockets.asyncio.client`, whose methods are waited for."""

    close_code = _same("close_code")
    close_reason = _same("close_reason")
    id = _same("id")
    latency = _same("latency")
    local_address = _same("local_address")
    logger = _same("logger")
    remote_address = _same("remote_address")
    request = _same("request")
    response = _same("response")
    state = _same("state")
    subprotocol = _same("subprotocol")

    def __init__(self, client: "_client.ClientConnection") -> None:
        self._client = client

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> "Any":
        """Wait for the next message.

        Args:
            timeout: In seconds, None = for ever, 0 = poll.
            decode: True = str, also for a binary message; False = bytes, also for a text.

        Raises:
            TimeoutError: No message in time.
            ConnectionClosed: The connection is closed, and all that came before was received.
            ConcurrencyError: Another `recv()` waits.
        """
        connection = self._client._connection
        try:
            return decoded(_runtime.run_sync(lambda: connection.recv(timeout), connection.put_back), decode)
        except errors.ConnectionClosed:
            pass
        raise self._client._closed_error()

    def __iter__(self) -> "ClientConnection":
        return self

    def __next__(self) -> "Any":
        try:
            return self.recv()
        except ConnectionClosedOK:
            pass
        raise StopIteration

    def send(self, message: "str | bytes | bytearray | memoryview", text: bool | None = None) -> None:
        """Send a message; wait while much is buffered."""
        data = checked_data(encoded(message, text))  # in this thread: what the caller changes later changes nothing
        _runtime.run_sync(lambda: self._client.send(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. The second time does nothing."""
        _runtime.run_sync(lambda: self._client.close(code, reason))

    def ping(self, data: "str | bytes | None" = None) -> "Any":
        """Send a ping; CPython only.

        Returns:
            A `threading.Event` that the pong sets.
        """
        return _runtime.run_sync(lambda: self._ping(data))

    def pong(self, data: "str | bytes" = b"") -> None:
        """Send a pong that nobody asked for; CPython only."""
        _runtime.run_sync(lambda: self._client.pong(data))

    def __enter__(self) -> "ClientConnection":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "Any", traceback: "Any") -> None:
        _runtime.run_sync(lambda: self._client.__aexit__(kind, error, traceback))

    async def _ping(self, data: "str | bytes | None") -> "Any":
        pong = await self._client.ping(data)
        import threading  # only CPython comes here

        received = threading.Event()

        def settle(pong: "Any") -> None:
            if not pong.cancelled() and pong.exception() is None:
                received.set()

        pong.add_done_callback(settle)
        return received
