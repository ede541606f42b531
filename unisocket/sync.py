"""Blocking `connect()`: on CPython for threads, in Pyodide where it has stack switching.

    from unisocket.sync import connect

    with connect("ws://localhost:8000") as ws:
        ws.send("hello")
        print(ws.recv(timeout=5))

It is `unisocket.connect()`, waited for; the semantics are the same. On CPython the network runs in
one background thread for all connections, which lends a connection to who waits for its messages; many
threads may share one, and nobody need know asyncio.
Elsewhere entering raises NotImplementedError before anything is opened.
"""

from unisocket import _runtime
from unisocket import connection as _connection
from unisocket._checks import checked_data
from unisocket.errors import ConnectionClosed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from unisocket._websocket import WebSocket
    from unisocket.adapters import Adapter

__all__ = ("Connection", "connect")


class connect:  # noqa: N801  a function for who uses it
    """Open a connection and wait for it: `with connect(url) as ws:`.

    Leaving the block closes with 1000; an exception passes through.

    Args:
        url: As for `unisocket.connect`, and so are the others.
        protocols: The subprotocols to ask for.
        adapter: What opens the connection.
        open_timeout: How long the opening may take, in seconds; None = for ever.
        max_queue: How many messages may wait to be received before reading stops.

    Raises:
        NotImplementedError: When it is entered: this runtime cannot block.
        ConnectionFailedError: Then, too: the connection could not be opened in time.
    """

    def __init__(
        self,
        url: str,
        protocols: "str | Sequence[str] | None" = None,
        *,
        adapter: "Adapter | None" = None,
        open_timeout: float | None = 10.0,
        max_queue: int = _connection.MAX_QUEUE,
    ) -> None:
        self._opening = _connection.connect(
            url, protocols, adapter=adapter, open_timeout=open_timeout, max_queue=max_queue
        )

    def __enter__(self) -> "Connection":
        return Connection(_runtime.run_sync(self._opening.__aenter__, self._give_up))

    def _give_up(self, connection: "_connection.Connection") -> None:
        self._opening._left()
        connection._start_closing(1000, "")

    def __exit__(self, kind: "type[BaseException] | None", error: "Any", traceback: "Any") -> None:
        connection = self._opening._left()
        if connection is not None:
            Connection(connection).__exit__(kind, error, traceback)


class Connection:
    """An open connection; `connect()` makes it. See `unisocket.Connection`, whose methods are waited for."""

    def __init__(self, connection: "_connection.Connection") -> None:
        self._connection = connection

    @property
    def url(self) -> str:
        return self._connection.url

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose, or ""."""
        return self._connection.protocol

    @property
    def readyState(self) -> int:
        """As of `WebSocket`."""
        return self._connection.readyState

    @property
    def bufferedAmount(self) -> int:
        """As of `WebSocket`."""

        async def look() -> int:  # where the network is: looking books what it took
            return self._connection.bufferedAmount

        amount: int = _runtime.run_sync(look)
        return amount

    @property
    def close_code(self) -> int | None:
        """The peer's close code, None until the connection is closed."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        """The peer's reason, None until the connection is closed."""
        return self._connection.close_reason

    @property
    def websocket(self) -> "WebSocket":
        """The event-driven object beneath; on CPython it belongs to the background thread."""
        return self._connection.websocket

    def recv(self, timeout: float | None = None) -> "Any":
        """Wait for the next message; see `unisocket.Connection.recv`."""
        shared = self._connection.websocket._transport.shared
        if shared is not None:
            return shared.receive_here(self._connection, timeout)
        return _runtime.run_sync(lambda: self._connection.recv(timeout), self._connection.put_back)

    def send(self, data: "str | bytes | bytearray | memoryview") -> None:
        """Send a message; wait while much is buffered; see `unisocket.Connection.send`."""
        data = checked_data(data)  # in this thread: what the caller changes later changes nothing
        shared = self._connection.websocket._transport.shared
        if shared is None or not shared.send_here(self._connection, data):
            _runtime.run_sync(lambda: self._connection.send(data))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed; see `unisocket.Connection.close`."""
        _runtime.run_sync(lambda: self._connection.close(code, reason))

    def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        shared = self._connection.websocket._transport.shared
        if shared is not None:
            shared.take_back()  # so that the close is seen
        _runtime.run_sync(self._connection.wait_closed)

    def __iter__(self) -> "Connection":
        return self

    def __next__(self) -> "Any":
        try:
            return self.recv()
        except ConnectionClosed as closed:
            if not self._connection._ends_with(closed):
                raise
        raise StopIteration

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, kind: "type[BaseException] | None", error: "Any", traceback: "Any") -> None:
        _runtime.run_sync(lambda: self._connection.__aexit__(kind, error, traceback))
