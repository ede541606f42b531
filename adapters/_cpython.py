"""The part of the CPython adapter that needs asyncio and `websockets`; loaded with the first socket."""

import asyncio
import atexit
import collections
import ipaddress
import os
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

import websockets.asyncio.client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN, Event
from websockets.typing import BytesLike
from websockets.uri import parse_uri

from unisocket.adapters import Sink, Transport
from unisocket.adapters._asyncio import AsyncioRuntime

if TYPE_CHECKING:
    from unisocket.adapters.cpython import CPythonAdapter

__all__ = ("CPythonRuntime", "CPythonTransport", "run", "runtime")

GOING_AWAY = 1001  # RFC 6455 section 7.4.1: what a program says that is being stopped
GOODBYE = 1.0  # seconds that it then waits

# RFC 6455 section 7.4.1: no close frame came; a close frame without a code came.
NO_HANDSHAKE, NO_CODE = 1006, 1005


class CPythonRuntime(AsyncioRuntime):
    """The services for one socket on CPython; its loop keeps the socket alive."""

    def keep(self, websocket: Any) -> None:
        if self.loop is None:
            _pending.keep(self, websocket)
        else:
            keeper_of(self.loop).sockets.add(websocket)

    def let_go(self, websocket: Any) -> None:
        keeper_of(self.loop).let_go(websocket)

    def adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        super().adopt(loop)
        self.eager = sys.version_info >= (3, 12)


def runtime() -> CPythonRuntime:
    """Return the services for a new socket: of the running loop, or of the next `run()`."""
    try:
        return CPythonRuntime(asyncio.get_running_loop())
    except RuntimeError:
        pass
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "trio runs here, and this adapter needs asyncio: use CPythonAdapter(thread=True, dispatch=token.run_sync_soon) "
            "with token = trio.lowlevel.current_trio_token()"
        )
    return CPythonRuntime(None)


class _Pending(threading.local):
    """The sockets of this thread that wait for `run()`."""

    def __init__(self) -> None:
        self.sockets: list[tuple[CPythonRuntime, Any]] = []

    def keep(self, runtime: CPythonRuntime, websocket: Any) -> None:
        self.sockets.append((runtime, websocket))
        _never_run.add(websocket)

    def adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        sockets, self.sockets = self.sockets, []
        for runtime, websocket in sockets:
            _never_run.discard(websocket)
            keeper_of(loop).sockets.add(websocket)
            runtime.adopt(loop)


_pending = _Pending()
_never_run: set[Any] = set()


@atexit.register
def _warn_of_pending() -> None:
    if _never_run:
        warnings.warn(
            f"{_list(_never_run)} never began to connect: no event loop was running. End the program with "
            "unisocket.run(), or make sockets inside asyncio.run()",
            RuntimeWarning,
            stacklevel=1,
        )


def _list(sockets: set[Any]) -> str:
    return ", ".join(sorted(repr(websocket) for websocket in sockets))


class Keeper:
    """Keeps the sockets of one loop alive, and is itself kept by nothing but the loop.

    A timer that is never due holds it: closing the loop drops the timer, and with it the keeper.
    Loops that end as `asyncio.run()` does tell beforehand, through an asynchronous generator, while
    transports can still be aborted in order.
    """

    FAR = 86400.0  # asyncio's longest sleep

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sockets: set[Any] = set()
        self.empty: asyncio.Future[None] | None = None
        self._wait(loop)
        self._end = _until_end(weakref.ref(self))
        try:
            self._end.__anext__().send(None)
        except StopIteration:
            pass  # it waits at its yield now

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(self.FAR, self._wait, loop)

    def __del__(self) -> None:
        self.abandon(closed=True)

    def abandon(self, *, closed: bool = False) -> None:
        """Drop all connections: their loop ends, or is closed already."""
        names = _list(self.sockets)
        for websocket in self.sockets:
            if closed:
                websocket._transport.orphan()
            else:
                websocket._transport.abort()
        self.sockets.clear()
        if names:
            warnings.warn(f"{names} not closed when the event loop ended", ResourceWarning, stacklevel=2)

    def let_go(self, websocket: Any) -> None:
        self.sockets.discard(websocket)
        if not self.sockets and self.empty is not None and not self.empty.done():
            self.empty.set_result(None)

    async def wait_empty(self) -> None:
        """Wait until no socket is left."""
        while self.sockets:
            self.empty = asyncio.get_running_loop().create_future()
            await self.empty


async def _until_end(reference: "weakref.ref[Keeper]") -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        keeper = reference()
        if keeper is not None:
            keeper.abandon()


_keepers: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Keeper]]" = weakref.WeakKeyDictionary()


def keeper_of(loop: asyncio.AbstractEventLoop) -> Keeper:
    """Return the keeper of a loop, which runs."""
    reference = _keepers.get(loop)
    keeper = reference() if reference is not None else None
    if keeper is None:
        keeper = Keeper(loop)
        _keepers[loop] = weakref.ref(keeper)
    return keeper


def run(coroutine: Coroutine[Any, Any, Any] | None = None) -> Any:
    """See `unisocket.run`."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        if coroutine is not None:
            coroutine.close()
        raise RuntimeError("unisocket.run() inside a running event loop: sockets belong to that loop, just await")
    with asyncio.Runner() as runner:
        return runner.run(_main(coroutine))


class Background:
    """One event loop in a thread of its own, for all who block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs; a child process gets its own."""
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._process = os.getpid()
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="unisocket", daemon=True).start()
            return self._loop

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]], put_back: Callable[[Any], None] | None) -> Any:
        """See `cpython.run_sync`."""
        loop = self.loop()
        future = asyncio.run_coroutine_threadsafe(make(), loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C, if it is not the coroutine's own
            if not future.cancel() and put_back is not None and future.exception() is None:
                loop.call_soon_threadsafe(put_back, future.result())
            raise


background = Background()


async def _main(coroutine: Coroutine[Any, Any, Any] | None) -> Any:
    loop = asyncio.get_running_loop()
    keeper = keeper_of(loop)
    _pending.adopt(loop)
    try:
        if coroutine is not None:
            return await coroutine
        await keeper.wait_empty()
    except asyncio.CancelledError:  # Ctrl-C
        for websocket in list(keeper.sockets):
            websocket._start_closing(GOING_AWAY, "")
        try:
            async with asyncio.timeout(GOODBYE):
                await keeper.wait_empty()
        except TimeoutError:
            pass
        raise
    return None


class Connect(websockets.asyncio.client.connect):
    """`websockets`' way to a connection, without the redirects, which browsers do not follow."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class CPythonTransport(Transport):
    """One connection of the CPython adapter.

    Args:
        adapter: Has the options.
        url: The serialised URL.
        protocols: The subprotocols to ask for.
        sink: Is told what happens.
        runtime: The services of the socket.
    """

    def __init__(
        self, adapter: "CPythonAdapter", url: str, protocols: list[str], sink: Sink, runtime: CPythonRuntime
    ) -> None:
        self.adapter = adapter
        self.sink: Sink | None = sink
        self.runtime = runtime
        self.raw: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        # What is on its way out: for each message the end of its frame in the stream, and its payload.
        self._sent: collections.deque[tuple[int, int]] = collections.deque()
        self._written = 0
        self._buffered = 0
        self._booked = True
        runtime.soon(lambda: self._start(url, protocols))

    # Opening

    def _start(self, url: str, protocols: list[str]) -> None:
        if self.sink is not None:
            self._task = self.runtime.loop.create_task(self._open(url, protocols))

    async def _open(self, url: str, protocols: list[str]) -> None:
        try:
            await self._connect(url, protocols)
        except Exception as error:
            if self.raw is None or not self.raw.established:
                self.closed(NO_HANDSHAKE, "", False, explain(error))
        finally:
            self._task = None

    async def _connect(self, url: str, protocols: list[str]) -> None:
        adapter = self.adapter
        uri = parse_uri(url)
        proxy = adapter.proxy
        if proxy is True and is_loopback(uri.host):
            proxy = None
        options: dict[str, Any] = {"ssl": adapter.ssl} if uri.secure and adapter.ssl is not None else {}
        await Connect(
            url,
            subprotocols=protocols or None,  # type: ignore[arg-type]
            origin=adapter.origin,  # type: ignore[arg-type]
            compression=adapter.compression,
            additional_headers=adapter.headers,
            user_agent_header=adapter.user_agent,
            proxy=proxy,  # type: ignore[arg-type]
            open_timeout=adapter.open_timeout,
            close_timeout=adapter.close_timeout,
            ping_interval=None,  # the transport has its own, which tells at once
            max_size=adapter.max_size,
            create_connection=self._make,  # type: ignore[arg-type]
            **options,
        )

    def _make(self, *args: Any, **options: Any) -> "Connection":
        self.raw = Connection(self, *args, **options)
        return self.raw

    # What the socket asks for

    def send_text(self, text: str) -> None:
        self._send(text.encode(), Opcode.TEXT)

    def send_binary(self, data: bytes) -> None:
        self._send(data, Opcode.BINARY)

    def _send(self, data: bytes, opcode: Opcode) -> None:
        connection = self.raw
        assert connection is not None
        self._buffered += len(data)
        if connection.protocol.state is not OPEN:
            return  # the peer's close frame is here already: dropped, and counted
        self._written += connection.send_frame(opcode, data)
        self._sent.append((self._written, len(data)))
        if self._booked:
            # What leaves at once is booked in the next task only, as browsers do.
            self._booked = False
            self.runtime.soon(self._book)

    def _book(self) -> None:
        self._booked = True

    def buffered(self) -> int:
        if self._booked and self._sent:
            assert self.raw is not None
            left = self._written - self.raw.transport.get_write_buffer_size()
            while self._sent and self._sent[0][0] <= left:
                self._buffered -= self._sent.popleft()[1]
        return self._buffered

    def close(self, code: int | None, reason: str) -> None:
        connection = self.raw
        assert connection is not None
        if connection.protocol.state is OPEN:
            connection.protocol.send_close(code, reason)
            connection.send_data()

    def abort(self) -> None:
        self.sink = None
        if self._task is not None:
            self._task.cancel()
        elif self.raw is not None:
            self.raw.drop()

    def orphan(self) -> None:
        """Close the socket of a loop that is closed: asyncio's transport cannot do it any more, and would complain."""
        self.sink = None
        transport: Any = self.raw.transport if self.raw is not None and hasattr(self.raw, "transport") else None
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

    # What the connection tells

    def opened(self, connection: "Connection") -> None:
        if self.sink is not None:
            protocol = connection.protocol
            header = ", ".join(connection.response.headers.get_all("Sec-WebSocket-Extensions"))  # type: ignore[union-attr]
            self.sink.opened(protocol.subprotocol or "", header)

    def closed(self, code: int, reason: str, clean: bool, message: str) -> None:
        sink, self.sink = self.sink, None
        self.buffered()
        self._sent.clear()  # what did not leave stays in the count for ever
        if sink is not None:
            sink.closed(code, reason, clean, message)


class Connection(ClientConnection):
    """`websockets`' connection, which hands frames to a transport by a plain call.

    Args:
        owner: The transport.
    """

    def __init__(self, owner: CPythonTransport, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.owner = owner
        self.established = False
        self._fragments: list[BytesLike] = []
        self._opcode = Opcode.CONT
        self._ended = False  # the closing handshake is done, or the connection is given up
        self._timer: asyncio.TimerHandle | None = None
        self._heard = False
        self._reading = True

    # Sending

    def send_frame(self, opcode: Opcode, data: bytes) -> int:
        """Send a message in one frame; returns how many bytes that was on the wire."""
        self.protocol.send_frame(Frame(opcode, data))
        size = sum(map(len, self.protocol.writes))
        self.send_data()
        return size

    def drop(self) -> None:
        """Close the TCP connection, without further ado."""
        self._end()
        self.transport.abort()

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Receiving

    def data_received(self, data: bytes) -> None:
        self._heard = True
        super().data_received(data)
        error = self.protocol.parser_exc
        if error is not None and self.established and not self._ended:
            self._failed(explain(error))

    def process_event(self, event: Event) -> None:
        if self.response is None:
            super().process_event(event)
            if self.protocol.handshake_exc is None and isinstance(event, Response):
                self.established = True
                self._watch()
                self.owner.opened(self)
        elif isinstance(event, Frame) and not self._ended:
            self._process_frame(event)

    def _process_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self.acknowledge_pings(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            self._closing()
        elif frame.opcode is not Opcode.PING:
            if frame.opcode is not Opcode.CONT:
                self._opcode = frame.opcode
            if frame.fin and not self._fragments:
                self._deliver(frame.data)
            else:
                self._fragments.append(frame.data)
                if frame.fin:
                    data = b"".join(self._fragments)
                    self._fragments.clear()
                    self._deliver(data)

    def _deliver(self, data: BytesLike) -> None:
        sink = self.owner.sink
        if sink is None:
            return
        if self._opcode is Opcode.BINARY:
            sink.binary(data)  # type: ignore[arg-type]
            return
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError as error:
            self.protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
            self.send_data()
            self._failed("a text message is not UTF-8")
        else:
            sink.text(text)

    def _closing(self) -> None:
        """The peer's close frame is here, and answered."""
        self._end()
        close = self.protocol.close_rcvd
        assert close is not None
        if self.owner.sink is not None:
            self.owner.sink.closing()
        self._hang_up()
        self.owner.runtime.soon(lambda: self.owner.closed(close.code, close.reason, True, ""))

    def _failed(self, message: str) -> None:
        """The peer broke the rules, and was told so (RFC 6455 section 7.1.7)."""
        self._end()
        self._hang_up()
        self.owner.closed(NO_HANDSHAKE, "", False, message)

    def _hang_up(self) -> None:
        """Close the TCP connection when all is sent, or soon."""
        self.transport.close()
        if self.close_timeout is not None:
            self._timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        ended = self._ended
        self._end()
        if self.established and not ended:
            self.owner.closed(NO_HANDSHAKE, "", False, explain(exc) if exc else "the connection was lost")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.owner.sink is not None:
            self.owner.sink.drained()

    # Flow control and keepalive

    def pause(self) -> None:
        """Stop reading."""
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self._heard = True  # while nothing was read, no pong could be seen
            self.transport.resume_reading()

    def _watch(self) -> None:
        """Begin the pings."""
        interval = self.owner.adapter.ping_interval
        if interval is not None and not self._ended:
            self._timer = self.loop.call_later(interval, self._ping)

    def _ping(self) -> None:
        timeout = self.owner.adapter.ping_timeout
        self._heard = False
        if self.protocol.state is OPEN:
            self.protocol.send_ping(b"")
            self.send_data()
        if timeout is None:
            self._watch()
        else:
            self._timer = self.loop.call_later(timeout, self._look)

    def _look(self) -> None:
        """Has anything come since the ping? Any byte shows that the peer is there."""
        if self._heard:
            self._watch()
        elif not self._reading:
            timeout = self.owner.adapter.ping_timeout
            assert timeout is not None
            self._timer = self.loop.call_later(timeout, self._look)
        else:
            self.drop()
            self.owner.closed(NO_HANDSHAKE, "", False, "the peer did not answer a ping")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def explain(error: BaseException) -> str:
    """Say for people why a connection failed: the one place that reads foreign exceptions."""
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    cause: BaseException | None = error.__cause__
    text = str(error) or type(error).__name__
    return f"{text}: {cause}" if cause is not None and str(cause) else text
