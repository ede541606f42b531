"""`connect()`: straight-line code with coroutines, on every runtime."""

from unisocket import _runtime
from unisocket._checks import checked_data, without_secrets
from unisocket._websocket import CLOSED, CONNECTING, OPEN, WebSocket
from unisocket.errors import (
    OK_CODES,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectionFailedError,
    TimeoutError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import Any

    from unisocket._events import CloseEvent, Event
    from unisocket.adapters import Adapter, Future, Timer

__all__ = ("Connection", "connect")

# What may wait to be received before the reading stops, where it can be stopped.
MAX_QUEUE = 16  # messages
MAX_QUEUE_BYTES = 2**20

# What may wait to be sent before `send()` waits.
HIGH_WATER = 2**20  # bytes

# A timer of JavaScript takes at most 2^31 - 1 milliseconds; whoever waits longer waits for ever.
FOR_EVER = 2e6  # seconds

# A browser does not tell when its buffer drains: it is looked at so often.
POLL_INTERVAL = 0.02  # seconds


class connect:  # noqa: N801  a function for who uses it
    """Open a connection: `async with connect(url) as ws:`.

    Leaving the block closes with 1000, however it is left; an exception passes through. Under
    cancellation the close is begun and not waited for. `ws = await connect(url)` works where the
    language allows it (not in Brython).

    Args:
        url: As for `WebSocket`.
        protocols: As for `WebSocket`.
        adapter: As for `WebSocket`.
        open_timeout: How long the opening may take, in seconds; None = for ever.
        max_queue: How many messages may wait to be received before reading stops, where the
            runtime can stop it; a browser cannot, there the queue is unbounded.

    Raises:
        ValueError: `max_queue` is not a number of messages, 1 or more.
        ConnectionFailedError: When it is entered or awaited: the connection could not be opened in time.
        WebSocketError, TypeError: Then, too: what `WebSocket` raises for its arguments.

    Examples:
        >>> async def main():
        ...     async with connect("ws://localhost:8000") as ws:
        ...         await ws.send("hello")
        ...         print(await ws.recv())
    """

    def __init__(
        self,
        url: str,
        protocols: "str | Sequence[str] | None" = None,
        *,
        adapter: "Adapter | None" = None,
        open_timeout: float | None = 10.0,
        max_queue: int = MAX_QUEUE,
    ) -> None:
        self._arguments = (url, protocols)
        self._adapter = adapter
        self._open_timeout = open_timeout
        if not isinstance(max_queue, int) or max_queue is True or max_queue < 1:
            raise ValueError("max_queue is a number of messages, 1 or more, not %r" % (max_queue,))
        self._max_queue = max_queue
        self._connection: Connection | None = None
        self._entered = False

    async def _open(self) -> "Connection":
        websocket = WebSocket(*self._arguments, adapter=_runtime.checked_adapter(self._adapter).patient())
        connection = Connection(websocket, self._max_queue)
        await connection._opened(self._open_timeout)
        return connection

    def __await__(self) -> "Generator[Any, None, Connection]":
        return self._open().__await__()

    def __iter__(self) -> "Any":  # what MicroPython calls for `await`
        opening: Any = self._open()
        return (yield from opening)

    async def __aenter__(self) -> "Connection":
        if self._entered:
            raise ConcurrencyError("this connect() has a connection: make another for a second one")
        self._entered = True
        try:
            self._connection = await self._open()
        finally:
            self._entered = self._connection is not None
        return self._connection

    async def __aexit__(self, kind: "type[BaseException] | None", error: "Any", traceback: "Any") -> None:
        connection = self._left()
        if connection is not None:
            await connection.__aexit__(kind, error, traceback)

    def _left(self) -> "Connection | None":
        """Have no connection any more; returns it."""
        connection, self._connection = self._connection, None
        self._entered = False
        return connection


class Connection:
    """An open connection; `connect()` makes it.

    `async for message in ws` ends when the connection is closed with 1000, 1001 or no code, or
    after our own `close()`.

    Attributes:
        websocket: The event-driven object beneath; its onopen, onmessage, onerror and onclose are free.
        close_code: The peer's close code, None until the connection is closed.
        close_reason: The peer's reason, None until the connection is closed.
    """

    def __init__(self, websocket: WebSocket, max_queue: int = MAX_QUEUE) -> None:
        self.websocket = websocket
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._runtime = websocket._runtime
        self._max_queue = max_queue
        self._queue: Any = _runtime.Queue()
        self._low = max_queue // 2  # messages, with which the reading goes on
        self._paused = False
        self._pauses = websocket._transport.pauses
        self._we_closed = False
        self._closed: CloseEvent | None = None
        self._failure = ""
        self._receiver: Future | None = None
        self._waiters: list[Future] = []  # for the opening, the close, or room to send
        websocket.addEventListener("open", self._wake)
        websocket.addEventListener("error", self._on_error)
        websocket.addEventListener("close", self._on_close)
        websocket._connection = self
        websocket._aim()

    @property
    def url(self) -> str:
        return self.websocket.url

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose, or ""."""
        return self.websocket.protocol

    @property
    def readyState(self) -> int:
        """As of `WebSocket`."""
        return self.websocket.readyState

    @property
    def bufferedAmount(self) -> int:
        """As of `WebSocket`."""
        return self.websocket.bufferedAmount

    async def recv(self, timeout: float | None = None) -> "Any":
        """Wait for the next message.

        Cancelling it loses nothing. What came before the close is delivered first.

        Args:
            timeout: How long to wait, in seconds; None = for ever, 0 = poll.

        Returns:
            str for a text message, bytes for a binary one.

        Raises:
            TimeoutError: No message in time; the connection lives.
            ConnectionClosed: The connection is closed.
            ConcurrencyError: Another `recv()` waits.
        """
        if self._receiver is not None:
            raise ConcurrencyError("another recv() of this connection waits for the next message")
        if not self._queue:
            if self._closed is not None:
                raise self._closed_error()
            self._receiver = self._runtime.future()
            timer = None
            try:
                timer = self._limit(self._receiver, timeout)
                await self._receiver
            finally:
                self._receiver = None
                if timer is not None:
                    timer.cancel()
        # The future has only woken us: from here to the message there is no await, so none is lost.
        if self._queue:
            return self._take()
        if self._closed is not None:
            raise self._closed_error()
        raise TimeoutError("no message within %g s" % (timeout or 0))

    def __aiter__(self) -> "Connection":
        return self

    async def __anext__(self) -> "Any":
        if self._queue and self._receiver is None:
            return self._take()
        try:
            return await self.recv()
        except ConnectionClosed as closed:
            if not self._ends_with(closed):
                raise closed  # noqa: TRY201  behind an await, Brython may not know which one a bare `raise` means
        raise StopAsyncIteration

    def _ends_with(self, closed: ConnectionClosed) -> bool:
        """Whether iterating ends with this, and does not fail."""
        return isinstance(closed, ConnectionClosedOK) or (self._we_closed and closed.wasClean)

    async def send(self, data: "str | bytes | bytearray | memoryview") -> None:
        """Send a message; wait while much is buffered.

        Raises:
            TypeError: Neither str nor bytes, bytearray or a contiguous memoryview.
            ConnectionClosed: The connection is closed, or closes while this waits.
        """
        websocket = self.websocket
        if websocket.readyState != OPEN:
            checked_data(data)
            await self.wait_closed()
            raise self._closed_error()
        websocket.send(data)
        if websocket.bufferedAmount > HIGH_WATER:
            while websocket.readyState == OPEN and websocket.bufferedAmount > HIGH_WATER:
                await self._wait_for_news(POLL_INTERVAL)
            if websocket.readyState != OPEN:
                await self.wait_closed()
                raise self._closed_error()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. The second time does nothing.

        Args:
            code: 1000 or 3000 to 4999.
            reason: For the peer; at most 123 bytes of UTF-8.

        Raises:
            TypeError: `code` is not an int, or `reason` not a str.
            InvalidCloseCodeError: Any other code.
            CloseReasonTooLongError: A longer reason.
        """
        self._start_closing(code, reason)
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        while self._closed is None:
            await self._wait_for_news(None)

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, kind: "type[BaseException] | None", error: "Any", traceback: "Any") -> None:
        self._start_closing(1000, "")
        # Whoever is being cancelled must not wait.
        if kind is None or issubclass(kind, Exception):
            await self.wait_closed()

    def _start_closing(self, code: int, reason: str) -> None:
        is_open = self.websocket.readyState == OPEN
        self.websocket.close(code, reason)
        self._we_closed = self._we_closed or is_open

    async def _opened(self, timeout: float | None) -> None:
        """Wait until the connection is open."""
        opened = False
        try:
            if self.websocket.readyState == CONNECTING:
                await self._wait_for_news(timeout)
            if self.websocket.readyState == CONNECTING:
                self._failure = "not open within %g s" % (timeout or 0)
            opened = self.websocket._was_open
            if not opened:
                raise ConnectionFailedError(without_secrets(self.url), self._failure)
        finally:
            if not opened:  # or it was, and whoever wanted it is cancelled
                self.websocket.close(1000)

    # Waiting

    def _limit(self, future: "Future", timeout: float | None) -> "Timer | None":
        """Let a future be waited for at most so many seconds; returns the timer, to be cancelled.

        NaN is no time at all, as what comes of the maximum.
        """
        if timeout is None or timeout >= FOR_EVER:
            return None
        return self._runtime.later(max(0, timeout), lambda: future.set_result(None))

    async def _wait_for_news(self, timeout: float | None) -> None:
        """Wait until something but a message happens, at most so many seconds."""
        future = self._runtime.future()
        self._waiters.append(future)
        timer = None
        try:
            timer = self._limit(future, timeout)
            await future
        finally:
            self._waiters = [other for other in self._waiters if other is not future]
            if timer is not None:
                timer.cancel()

    def _wake(self, event: "Event | None" = None) -> None:
        for future in self._waiters:
            future.set_result(None)

    def _closed_error(self) -> ConnectionClosed:
        closed = self._closed
        assert closed is not None
        kind = ConnectionClosedOK if closed.wasClean and closed.code in OK_CODES else ConnectionClosedError
        return kind(closed.code, closed.reason, closed.wasClean)

    # Events

    def _on_message(self, data: "Any") -> None:
        self._queue.append(data)
        if self._receiver is not None or self._pauses:
            self._settle()

    def _settle(self) -> None:
        """Wake who waits for a message, and stop reading if much waits to be received."""
        queue = self._queue
        if self._receiver is not None and queue:
            self._runtime.wake(self._receiver)
        if self._paused or not self._pauses:
            return
        if len(queue) >= self._max_queue or sum(map(len, queue)) >= MAX_QUEUE_BYTES:
            self._paused = True
            self.websocket._stop_reading()

    def _take(self) -> "Any":
        queue = self._queue
        data = queue.popleft()
        if self._paused and len(queue) <= self._low and sum(map(len, queue)) <= MAX_QUEUE_BYTES // 2:
            self._read_on()
        return data

    def put_back(self, data: "Any") -> None:
        """Let a message that was taken be the next one again."""
        self._queue.appendleft(data)
        if self._receiver is not None:
            self._receiver.set_result(None)

    def leave(self, event: "CloseEvent") -> None:
        """Be closed in this process, with whatever this event says: the connection is another's."""
        self._queue = _runtime.Queue()
        self._receiver = None
        self._waiters = []
        self._on_close(event)

    def _read_on(self) -> None:
        if self._paused:
            self._paused = False
            self.websocket._read_on()

    def _on_error(self, event: "Event") -> None:
        self._failure = event.message

    def _on_close(self, event: "CloseEvent") -> None:
        if self._closed or self.websocket._state != CLOSED:
            return  # somebody's own event
        self._closed = event
        self.close_code = event.code
        self.close_reason = event.reason
        if self._receiver is not None:
            self._receiver.set_result(None)
        self._wake()


Connection.__anext__ = _runtime.async_next(Connection.__anext__)  # type: ignore[method-assign]
