"""The event loops of CPython: who they belong to, what lives on them, and how they end."""

import asyncio
import atexit
import contextlib
import os
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any

from unisocket._events import CloseEvent
from unisocket._websocket import CLOSED
from unisocket.adapters import NO_HANDSHAKE, NoTransport
from unisocket.adapters._asyncio import AsyncioRuntime
from unisocket.errors import ConnectionClosedError

# RFC 6455 section 7.4.1
GOING_AWAY = 1001  # what a program says that is being stopped
GOODBYE = 1.0  # seconds that it then waits

ENDED = "its event loop has ended"
FORKED = "it stays with the parent process: after a fork, open another"


class CPythonRuntime(AsyncioRuntime):
    """The services for one socket on CPython; its loop keeps the socket alive."""

    def keep(self, websocket: Any) -> None:
        if self.loop is None:
            _pending.keep(self, websocket)
        else:
            keeper_of(self.loop).sockets.add(websocket)

    def let_go(self, websocket: Any) -> None:
        keeper_of(self.loop).let_go(websocket)

    def closing(self) -> set[Any]:
        """Return the set of connections that are closed but for their TCP connection."""
        return keeper_of(self.loop).closing


def runtime() -> CPythonRuntime:
    """Return the services for a new socket: of the running loop, or of the next `run()`."""
    try:
        return CPythonRuntime(asyncio.get_running_loop())
    except RuntimeError:
        pass
    trio = trio_here()
    if trio is not None:
        raise RuntimeError(
            "trio runs here, and this adapter needs asyncio: "
            "use CPythonAdapter(thread=True, dispatch=token.run_sync_soon), "
            "with token = trio.lowlevel.current_trio_token()"
        )
    return CPythonRuntime(None)


def trio_here() -> Any:
    """Return the module `trio`, if that is what runs in this thread."""
    trio = sys.modules.get("trio")
    return trio if trio is not None and trio.lowlevel.in_trio_run() else None


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
            f"{names_of(_never_run)} never began to connect: no event loop was running. End the program with "
            "unisocket.run(), or make sockets inside asyncio.run()",
            RuntimeWarning,
            stacklevel=1,
        )


def names_of(sockets: Iterable[Any]) -> str:
    """Name sockets in a warning."""
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
        self.closing: set[Any] = set()  # connections that are closed, and whose TCP connection is not yet
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
        names = names_of(self.sockets)
        for websocket in self.sockets:
            if closed:
                _orphan(websocket)
            else:
                websocket._transport.abort()
            _bury(websocket, ENDED)
        self.sockets.clear()
        if not closed:
            for connection in list(self.closing):
                connection.transport.abort()
        if names:
            warnings.warn(f"{names} not closed when the event loop ended", ResourceWarning, stacklevel=2)

    def leave(self) -> None:
        """Leave all connections to another process."""
        for websocket in self.sockets:
            leave(websocket)
        self.sockets.clear()

    def let_go(self, websocket: Any) -> None:
        self.sockets.discard(websocket)
        if not self.sockets and self.empty is not None and not self.empty.done():
            self.empty.set_result(None)

    async def wait_empty(self) -> None:
        """Wait until no socket is left."""
        while self.sockets:
            self.empty = asyncio.get_running_loop().create_future()
            await self.empty


def leave(websocket: Any) -> None:
    """Leave a connection to another process: here the socket is closed, and says why."""
    _orphan(websocket)
    _bury(websocket, FORKED)
    if websocket._connection is None:
        # Over the methods: a socket that is closed asks nobody, and one that is open has no time to.
        websocket.send = websocket.close = _say_forked


def _bury(websocket: Any, reason: str) -> None:
    """Have a socket be closed; nobody is told, for nothing can run any more that would."""
    websocket._transport = NoTransport()
    websocket._move(CLOSED)
    if websocket._connection is not None:
        websocket._connection.leave(CloseEvent("close", websocket, NO_HANDSHAKE, reason, False))


def _say_forked(*arguments: Any, **keywords: Any) -> None:
    raise ConnectionClosedError(NO_HANDSHAKE, FORKED)


def _orphan(websocket: Any) -> None:
    """Close a socket whose loop runs no more, where the adapter can."""
    orphan = getattr(websocket._transport, "orphan", None)
    if orphan is not None:
        orphan()


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


class Errand:
    """A coroutine that a thread waits for while another runs it.

    Args:
        make: Makes the coroutine.
        put_back: Gets its result if nobody waits any more.

    Attributes:
        failed: Whether it has ended with an exception.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Any]], put_back: Callable[[Any], None] | None) -> None:
        self.failed = False
        self._make = make
        self._put_back = put_back
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._result: Any = None
        self._error: BaseException | None = None
        # A bare lock, which the loop only releases: it can never wait for a thread that was interrupted.
        self._running = threading.Lock()
        self._running.acquire()

    def wait(self) -> Any:
        """Wait for its end; return or raise what came of it."""
        self._running.acquire()
        error, self._error = self._error, None
        if error is None:
            return self._result
        try:
            raise error
        finally:
            del error  # its traceback has this frame

    # In the thread of the loop

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def give_up(self) -> None:
        """Cancel it, or put back what it brought."""
        if self._task is not None and not self._over:
            self._task.cancel()
        elif self._over and not self.failed and self._put_back is not None:
            self._put_back(self._result)

    async def _run(self) -> None:
        try:
            self._result = await self._make()
        except BaseException as error:  # for the thread that waits
            self._error = error
            self.failed = True
        self._over = True
        self._running.release()


class Background:
    """One event loop in a thread of its own, for all who block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which runs."""
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run_for_ever, args=(loop,), name="unisocket", daemon=True)
                self._thread.start()
                self._loop = loop
            return self._loop

    def runs_here(self) -> bool:
        """Return whether this is its thread."""
        return self._thread is not None and threading.get_ident() == self._thread.ident

    def refuse_here(self) -> None:
        """Raise RuntimeError in its thread, which must not block."""
        if self.runs_here():
            raise RuntimeError(
                "a handler runs where the network does, which a blocking call here would wait for: "
                "use the target of the event, whose send() and close() return at once"
            )

    def run(self, make: Callable[[], Coroutine[Any, Any, Any]], put_back: Callable[[Any], None] | None) -> Any:
        """See `cpython.run_sync`."""
        loop = self.loop()
        self.refuse_here()
        errand = Errand(make, put_back)
        try:
            loop.call_soon_threadsafe(errand.start)
            return errand.wait()
        except BaseException:  # Ctrl-C, or what else a signal raises in this thread
            if not errand.failed:
                loop.call_soon_threadsafe(errand.give_up)
            raise


def _run_for_ever(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException:  # of a handler: SystemExit or the like, which is not to stop all connections
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


background = Background()


def _leave_to_parent() -> None:
    """After a fork: the connections are the parent's; the child's sockets are dead, and say so."""
    global background
    background = Background()
    sockets, _pending.sockets = _pending.sockets, []
    for _, websocket in sockets:
        leave(websocket)
    _never_run.clear()
    for reference in list(_keepers.values()):
        keeper = reference()
        if keeper is not None:
            keeper.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


async def _main(coroutine: Coroutine[Any, Any, Any] | None) -> Any:
    loop = asyncio.get_running_loop()
    keeper = keeper_of(loop)
    _pending.adopt(loop)
    try:
        if coroutine is not None:
            return await coroutine
        await keeper.wait_empty()
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # Ctrl-C
            for websocket in list(keeper.sockets):
                websocket._start_closing(GOING_AWAY, "")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await keeper.wait_empty()
    return None
