"""The services of a runtime that has asyncio: CPython and Pyodide."""

import asyncio
import contextvars
import logging
import sys
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from unisocket.adapters import Runtime

EAGER = sys.version_info >= (3, 12)  # have tasks that run at once

_tasks: set["asyncio.Task[Any]"] = set()  # asyncio itself holds tasks by weak references only


class AsyncioFuture(asyncio.Future[Any]):
    """A future whose result may be set when nobody waits any more."""

    def set_result(self, result: Any) -> None:
        if not self.done():
            super().set_result(result)


class PendingTimer:
    """A timer that begins to run when there is a loop."""

    def __init__(self) -> None:
        self.handle: asyncio.TimerHandle | None = None
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True
        if self.handle is not None:
            self.handle.cancel()


@types.coroutine
def _pause() -> Generator[None, None, None]:
    yield


async def _certain(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its first await, even if its task is cancelled before: others wait for it to begin.

    What is cancelled before its first step takes no step at all; so this has taken one.
    """
    try:
        await _pause()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        task.cancel()
    await coroutine


class AsyncioRuntime(Runtime):
    """The services for one socket, on one loop; without one, what is asked for waits for it.

    Args:
        loop: The loop, or None; then `adopt()` gives it later.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._context = contextvars.copy_context()
        if loop is None:
            self._waiting: list[Callable[[], Any]] = []
        self.loop: asyncio.AbstractEventLoop = loop  # type: ignore[assignment]
        self.eager = EAGER and loop is not None

    def adopt(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a loop from now on; called in it."""
        self.loop = loop
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()
        self.eager = EAGER

    def soon(self, callback: Callable[[], Any]) -> None:
        if self.loop is None:
            self._waiting.append(lambda: self.soon(callback))
        else:
            # A copy each time: a context cannot be entered twice, and a handler may spin the loop.
            self.loop.call_soon(callback, context=self._context.copy())

    def enter(self, callback: Callable[[], Any]) -> None:
        """Call in the context of the constructor."""
        self._context.copy().run(callback)

    def later(self, seconds: float, callback: Callable[[], Any]) -> Any:
        if self.loop is not None:
            return self.loop.call_later(seconds, callback, context=self._context.copy())
        timer = PendingTimer()

        def start() -> None:
            if not timer.cancelled:
                timer.handle = self.later(seconds, callback)

        self._waiting.append(start)
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self.loop is None:
            self._waiting.append(lambda: self.spawn(coroutine))
            return None
        if self.eager and sys.version_info >= (3, 12):
            task = asyncio.Task(coroutine, loop=self.loop, eager_start=True)
            if task.done():
                return task
        else:
            certain = _certain(coroutine)
            certain.send(None)
            task = self.loop.create_task(certain)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return task

    def future(self) -> Any:
        return AsyncioFuture(loop=self.loop)


def report(error: BaseException, event: Any) -> None:
    """Tell asyncio's exception handler of an exception that a handler raised."""
    message = f"Exception in a handler of {event!r}"
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # dispatchEvent() outside of a loop: what the default handler would do
        logging.getLogger("asyncio").error(message, exc_info=error)
    else:
        loop.call_exception_handler({"message": message, "exception": error})
