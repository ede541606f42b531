"""Sockets of CPython whose network runs in the background thread, and whose events run where the user says.

Two threads meet here: that of the network, and home, where `dispatch` calls. What a socket is, its
state and its listeners, changes at home only; what its connection is, in the network's thread only.
Home gives orders to the network through a list; the network hands events to `dispatch`, which none
but its thread ever calls: so their order is kept, and a signal of Qt, which from its own thread would
call at once, never calls inside `send()` or `close()`.
"""

import asyncio
import atexit
import collections
import contextvars
import functools
import os
import threading
import warnings
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

from unisocket.adapters import Future, Runtime, Sink, Transport, _cpython
from unisocket.adapters._websockets import CPythonTransport

if TYPE_CHECKING:
    from unisocket.adapters.cpython import CPythonAdapter

# What may be handed to `dispatch` and not have run yet, before the reading stops; and where it goes on.
MANY, MANY_BYTES = 1024, 2**22
FEW, FEW_BYTES = MANY // 4, MANY_BYTES // 4

# How often it is looked at what has left of a buffer that the network is slow to take.
LOOK_INTERVAL = 0.01  # seconds


class ThreadTimer:
    """A timer that the network's thread runs; it is cancelled, and fires, at home."""

    def __init__(self, runtime: "ThreadRuntime", seconds: float, callback: Callable[[], Any]) -> None:
        self._runtime = runtime
        self._callback: Callable[[], Any] | None = callback
        self._handle: asyncio.TimerHandle | None = None
        runtime.loop.call_soon_threadsafe(self._start, seconds)

    def cancel(self) -> None:
        self._callback = None
        self._runtime.loop.call_soon_threadsafe(self._stop)

    def _start(self, seconds: float) -> None:
        self._handle = self._runtime.loop.call_later(seconds, self._runtime.post, self._fire)

    def _stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class ThreadRuntime(Runtime):
    """The services for one socket whose events go through `dispatch`.

    Args:
        dispatch: Calls, later and in the user's thread, the callables that it is given.

    Attributes:
        loop: The network's.
        start: Begins to open the connection, when the socket is constructed; called in the network's thread.
        abort: Drops the connection; called there, too.
        over: Whether nothing is dispatched any more.
    """

    def __init__(self, dispatch: Callable[[Callable[[], Any]], Any]) -> None:
        self.loop = _cpython.background.loop()
        self.start: Callable[[], None] | None = None
        self.abort: Callable[[], None] | None = None
        self.over = False
        self._dispatch = dispatch
        self._context = contextvars.copy_context()
        self._home = threading.get_ident()  # until `dispatch` shows where it calls
        self._has_run = False

    @property
    def eager(self) -> bool:  # type: ignore[override]
        return _local().eager

    def soon(self, callback: Callable[[], Any]) -> None:
        self.loop.call_soon_threadsafe(self.post, callback)

    def later(self, seconds: float, callback: Callable[[], Any]) -> Any:
        return ThreadTimer(self, seconds, callback)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return _local().spawn(coroutine)

    def future(self) -> Any:
        return _local().future()

    def at_home(self, callback: Callable[[], Any]) -> None:
        if threading.get_ident() == self._home:
            callback()
        else:
            self.soon(callback)

    def keep(self, websocket: Any) -> None:
        _sockets[self] = websocket
        if self.start is not None:
            self.loop.call_soon_threadsafe(self.start)

    def let_go(self, websocket: Any) -> None:
        _sockets.pop(self, None)

    def post(self, callback: Callable[[], Any]) -> None:
        """Have something run at home; called in the network's thread."""
        if self.over:
            return
        try:
            self._dispatch(functools.partial(self._run, callback))
        except Exception as error:  # the program's own callable: RuntimeError of a loop that ended, or anything
            self._lose(error)

    def _run(self, callback: Callable[[], Any]) -> None:
        if not self.over:
            self._home = threading.get_ident()
            self._has_run = True
            # A copy: a context cannot be entered twice, and a handler may spin the loop.
            self._context.copy().run(callback)

    def _lose(self, error: Exception) -> None:
        """Drop a connection of which nobody can be told any more."""
        self.over = True
        if self.abort is not None:
            self.abort()
        websocket = _sockets.pop(self, None)
        if self._has_run and isinstance(error, RuntimeError):  # what event loops say that have ended
            warnings.warn(f"{websocket} not closed when its event loop ended: {error}", ResourceWarning, stacklevel=1)
        else:
            self.loop.call_exception_handler(
                {"message": f"dispatch failed, so {websocket} is dropped", "exception": error}
            )


class ThreadTransport(Transport):
    """One connection, which the network's thread has, for a socket that lives elsewhere.

    Args:
        adapter: Has the options.
        url: The serialised URL.
        protocols: The subprotocols to ask for.
        sink: Is told at home what happens.
        runtime: The services of the socket.
    """

    pauses = True

    def __init__(
        self, adapter: "CPythonAdapter", url: str, protocols: list[str], sink: Sink, runtime: ThreadRuntime
    ) -> None:
        self.raw: Any = None
        self._runtime = runtime
        # At home: who is told, whether the user wants to hear more, and what came all the same.
        self._sink: Sink | None = sink
        self._on_hold = False
        self._late: collections.deque[tuple[Any, ...]] = collections.deque()
        # Orders to the network, each with the bytes of payload that it sends; and whether that may be no more.
        self._lock = threading.Lock()
        self._orders: list[tuple[int, Callable[[], Any]]] = []
        self._silent = False
        self._amount = 0  # what home knows of as buffered
        # Messages that were handed to `dispatch`, which the network counts, and those that have run, which home does.
        self._handed = self._handed_bytes = self._run = self._run_bytes = 0
        # Of the network's thread alone: payload that the connection was given, and of that what has left.
        self._given = self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = self._flooded = self._ended = False
        self._inner: CPythonTransport
        # Made here, so that it has the context of the constructor.
        network = _cpython.CPythonRuntime(runtime.loop)
        runtime.start = lambda: self._start(adapter, url, protocols, network)
        runtime.abort = self._abort

    # At home, and what is said to be safe, in any thread

    def send_text(self, text: str) -> None:
        self._order(len(text) if text.isascii() else len(text.encode()), lambda: self._inner.send_text(text))

    def send_binary(self, data: bytes) -> None:
        self._order(len(data), lambda: self._inner.send_binary(data))

    def close(self, code: int | None, reason: str) -> None:
        with self._lock:
            # Another thread may be about to send, for it saw the socket open: nothing may follow the close frame.
            self._silent = True
        self._order(None, lambda: self._inner.close(code, reason))

    def abort(self) -> None:
        self._sink = None
        self._order(None, self._abort)

    def buffered(self) -> int:
        return self._amount

    def pause(self) -> None:
        self._on_hold = True
        self._order(None, lambda: self._pause(True))

    def resume(self) -> None:
        self._on_hold = False
        self._order(None, lambda: self._pause(False))
        if self._late:
            self._runtime.soon(self._release)

    def orphan(self) -> None:
        """Close the socket in the child of a fork, which has no thread for it."""
        self._runtime.over = True
        self._sink = None
        inner = getattr(self, "_inner", None)
        if inner is not None:
            inner.orphan()

    def _order(self, size: int | None, order: Callable[[], Any]) -> None:
        """Give an order; to send so many bytes, or another."""
        with self._lock:
            if size is not None:
                self._amount += size
                if self._silent:
                    return
            self._orders.append((size or 0, order))
            first = len(self._orders) == 1
        if first:
            self._runtime.loop.call_soon_threadsafe(self._obey)

    def _tell(self, name: str, *arguments: Any) -> None:
        if self._sink is not None:
            getattr(self._sink, name)(*arguments)

    def _tell_opened(self, raw: Any, protocol: str, extensions: str) -> None:
        self.raw = raw
        self._tell("opened", protocol, extensions)

    def _tell_message(self, name: str, data: Any) -> None:
        self._run += 1
        self._run_bytes += len(data)
        if self._flooded and self._wait_less_than(FEW, FEW_BYTES):
            self._runtime.loop.call_soon_threadsafe(self._regulate)
        self._tell_in_time(name, data)

    def _tell_in_time(self, *event: Any) -> None:
        if self._on_hold or self._late:
            self._late.append(event)
        else:
            self._tell(*event)

    def _release(self) -> None:
        """Tell what came on hold, until there is a hold again."""
        try:
            while self._late and not self._on_hold:
                self._tell(*self._late.popleft())
        finally:
            if self._late and not self._on_hold:  # a handler raised KeyboardInterrupt or the like
                self._runtime.soon(self._release)

    def _tell_closed(self, *event: Any) -> None:
        try:
            while self._late:
                self._tell(*self._late.popleft())
        except BaseException:  # likewise
            self._runtime.soon(lambda: self._tell_closed(*event))
            raise
        self._tell("closed", *event)

    def _book(self, size: int) -> None:
        with self._lock:
            self._amount -= size

    def _wait_less_than(self, messages: int, size: int) -> bool:
        return self._handed - self._run < messages and self._handed_bytes - self._run_bytes < size

    # In the network's thread

    def _start(
        self, adapter: "CPythonAdapter", url: str, protocols: list[str], network: _cpython.CPythonRuntime
    ) -> None:
        post = self._runtime.post
        sink = Sink(
            lambda protocol, extensions: post(lambda: self._tell_opened(self._inner.raw, protocol, extensions)),
            functools.partial(self._message, "text"),
            functools.partial(self._message, "binary"),
            self._drained,
            lambda: post(lambda: self._tell_in_time("closing")),
            self._closed,
        )
        self._inner = CPythonTransport(adapter, url, protocols, sink, network)

    def _obey(self) -> None:
        """Carry out the orders that have come."""
        with self._lock:
            orders, self._orders = self._orders, []
        given = 0
        for size, order in orders:
            given += size
            order()
        if given:
            self._given += given
            # Behind what the connection does at the end of this task.
            self._runtime.loop.call_soon(self._look)

    def _look(self) -> None:
        """Book at home what has left, and look again if not all has."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        connection = self._inner.raw
        if connection is None or not self._given:
            return
        if connection.transport.is_closing() and not connection._ended:
            return  # asyncio has thrown away what it had, as if it had left; what that was, `_closed` will tell
        left = self._given - self._inner.buffered()
        if left > self._left:
            self._runtime.post(functools.partial(self._book, left - self._left))
            self._left = left
        if left < self._given and not self._ended:
            self._timer = self._runtime.loop.call_later(LOOK_INTERVAL, self._look)

    def _message(self, name: str, data: Any) -> None:
        self._handed += 1
        self._handed_bytes += len(data)
        self._runtime.post(functools.partial(self._tell_message, name, data))
        if not self._flooded and not self._wait_less_than(MANY, MANY_BYTES):
            self._flooded = True
            self._regulate()

    def _drained(self) -> None:
        self._look()
        self._runtime.post(lambda: self._tell("drained"))

    def _closed(self, code: int, reason: str, clean: bool, message: str) -> None:
        self._ended = True
        self._look()
        self._runtime.post(lambda: self._tell_closed(code, reason, clean, message))

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        self._regulate()

    def _regulate(self) -> None:
        """Read, unless the user does not want to, or home is far behind."""
        # Set before it is looked at: home counts before it looks whether this is set, so one of the two sees it.
        self._flooded = self._flooded and not self._wait_less_than(FEW, FEW_BYTES)
        if self._paused or self._flooded:
            self._inner.pause()
        else:
            self._inner.resume()

    def _abort(self) -> None:
        self._ended = True
        self._inner.abort()


# All sockets that are not closed, which this keeps alive.
_sockets: dict[ThreadRuntime, Any] = {}


@atexit.register
def _stop() -> None:
    """Dispatch nothing into a program that ends."""
    for runtime in list(_sockets):
        runtime.over = True
    if _sockets:
        names = _cpython.names_of(_sockets.values())
        warnings.warn(f"{names} not closed when the program ended", ResourceWarning, stacklevel=1)


def _leave_to_parent() -> None:
    for websocket in list(_sockets.values()):
        _cpython.leave(websocket)
    _sockets.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


# What runs coroutines at home


def _local() -> Runtime:
    """Return what runs coroutines in this thread."""
    try:
        return _cpython.CPythonRuntime(asyncio.get_running_loop())
    except RuntimeError:
        pass
    trio = _cpython.trio_here()
    return LooplessRuntime() if trio is None else TrioRuntime(trio)


class TrioFuture(Future):
    """A future for trio."""

    def __init__(self, trio: Any) -> None:
        self._event = trio.Event()
        self._result: Any = None

    def set_result(self, result: Any) -> None:
        if not self._event.is_set():
            self._result = result
            self._event.set()

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self._event.wait().__await__()
        return self._result


class TrioRuntime(Runtime):
    """What a thread offers in which trio runs."""

    def __init__(self, trio: Any) -> None:
        self._trio = trio

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._trio.lowlevel.spawn_system_task(_run_in_trio, coroutine, context=contextvars.copy_context())

    def future(self) -> Any:
        return TrioFuture(self._trio)


async def _run_in_trio(coroutine: Coroutine[Any, Any, Any]) -> None:
    try:
        await coroutine
    except asyncio.CancelledError:
        pass  # a handler's own business, and nothing to trio, which would end


NO_LOOP = (
    "no event loop runs in the thread that dispatch calls in, so nothing can be awaited there: "
    "make the handler a plain function, or dispatch to a loop (dispatch=loop.call_soon_threadsafe)"
)


class NoLoop:
    """Stands where asyncio looks for the running loop."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(NO_LOOP)


class LooplessRuntime(Runtime):
    """What a thread offers in which no event loop runs: coroutines that never wait."""

    eager = True

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        asyncio._set_running_loop(NoLoop())  # type: ignore[arg-type]  # so that asyncio's functions say why
        try:
            coroutine.send(None)
            coroutine.throw(RuntimeError(NO_LOOP))  # it waits for something that nobody will do
            coroutine.close()
        except (StopIteration, asyncio.CancelledError):
            pass
        finally:
            asyncio._set_running_loop(None)

    def future(self) -> Any:
        raise RuntimeError(NO_LOOP)
