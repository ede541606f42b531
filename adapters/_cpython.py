"""The event loops of CPython: who they belong to, what lives on them, and how they end."""

import asyncio
import atexit
import os
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from unisocket.adapters._asyncio import AsyncioRuntime

__all__ = ("CPythonRuntime", "background", "run", "runtime")

GOING_AWAY = 1001  # RFC 6455 section 7.4.1: what a program says that is being stopped
GOODBYE = 1.0  # seconds that it then waits


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
            "trio runs here, and this adapter needs asyncio: "
            "use CPythonAdapter(thread=True, dispatch=token.run_sync_soon), "
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
