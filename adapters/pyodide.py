"""Pyodide, bare or under PyScript: page, worker and Node."""

import asyncio
import traceback
from typing import TYPE_CHECKING, Any

import js
from pyodide.ffi import can_run_sync, create_once_callable, create_proxy, to_js
from pyodide.ffi import run_sync as wait

from unisocket.adapters import Timer, _language
from unisocket.adapters._asyncio import AsyncioFuture, AsyncioRuntime
from unisocket.adapters._javascript import BLOCKING, Bridge, JavaScriptAdapter, load_adapter, reported
from unisocket.adapters._language import *  # noqa: F403  what `_runtime` asks for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__: tuple[str, ...] = ("PyodideAdapter", "load_adapter")
__all__ += _language.__all__

supported = hasattr(js, "WebSocket")


class PyodideBridge(Bridge):
    """Pyodide's way to call JavaScript."""

    scope = js

    def construct(self, constructor: Any, *arguments: Any) -> Any:
        return constructor.new(*(to_js(argument) for argument in arguments))

    def listener(self, callback: "Callable[[Any], None]") -> Any:
        return create_proxy(callback)

    def free(self, listeners: list[tuple[str, Any]]) -> None:
        for _, listener in listeners:
            listener.destroy()

    def bytes_out(self, data: bytes) -> Any:
        return to_js(data)

    def bytes_in(self, buffer: Any, view: bool = False) -> bytes:
        data: bytes = buffer.to_bytes()
        return data


class PyodideTimer(Timer):
    """A timer of JavaScript: one of Pyodide's loop stays there for all of its time, cancelled or not."""

    def __init__(self, seconds: float, callback: "Callable[[], Any]") -> None:
        self._callback = callback
        self._ring: Any = create_once_callable(self._run)
        self._id = js.setTimeout(self._ring, int(seconds * 1000))

    def _run(self) -> None:
        self._ring = None
        self._callback()

    def cancel(self) -> None:
        if self._ring is not None:
            js.clearTimeout(self._id)
            self._ring.destroy()
            self._ring = None


class PyodideFuture(AsyncioFuture):
    """A future that can wake its coroutine at once: a turn of Pyodide's loop is a task of the browser's."""

    _waiting: Any = None

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        self._waiting = callback, context
        super().add_done_callback(callback, context=context)

    def wake(self) -> None:
        """Have a result, and let who waits run before this returns, unless somebody else is running."""
        if self._waiting is None or self.done() or asyncio.current_task() is not None:
            self.set_result(None)
            return
        callback, context = self._waiting
        self.remove_done_callback(callback)
        self.set_result(None)
        context.run(callback, self)


class PyodideRuntime(AsyncioRuntime):
    """The services for one socket, on Pyodide's loop, which never ends."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())

    def later(self, seconds: float, callback: "Callable[[], Any]") -> PyodideTimer:
        context = self._context.copy()
        return PyodideTimer(seconds, lambda: context.run(callback))

    def future(self) -> Any:
        return PyodideFuture(loop=self.loop)

    def wake(self, future: Any) -> None:
        future.wake()


class PyodideAdapter(JavaScriptAdapter):
    """Opens connections with the WebSocket of the page, the worker or Node."""

    name = "pyodide"
    capabilities = ("await-connect", "cancellation", "memoryview-steps", "signatures")
    bridge = PyodideBridge()

    def runtime(self) -> PyodideRuntime:
        return PyodideRuntime()


DefaultAdapter = PyodideAdapter


def report(error: BaseException, event: Any) -> None:
    """Tell the console of an exception that a handler raised."""
    js.console.error("".join(traceback.format_exception(error)))


def run(coroutine: "Coroutine[Any, Any, Any] | None" = None) -> None:
    """Start a coroutine, if one is given, and return at once: the page keeps running."""
    if coroutine is not None:
        PyodideRuntime().spawn(reported(coroutine, report))


def run_sync(make: "Callable[[], Coroutine[Any, Any, Any]]", put_back: Any = None) -> Any:
    """Wait for a coroutine, where the browser can switch stacks and Python was called by its promise."""
    if not can_run_sync():
        raise NotImplementedError(
            BLOCKING + "; blocking needs a browser with JSPI, and code in a coroutine, runPythonAsync or PyScript"
        )
    return wait(make())
