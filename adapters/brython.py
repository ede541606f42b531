"""Brython: page and worker."""

from browser import aio
from browser import self as scope  # the global object, in a page and in a worker alike

from unisocket.adapters._javascript import (
    Bridge,
    JavaScriptAdapter,
    JavaScriptRuntime,
    Queue,
    load_adapter,
    reported,
    run_sync,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from unisocket.adapters import Sink

__all__ = ("BrythonAdapter", "Queue", "load_adapter", "run_sync")

supported = hasattr(scope, "WebSocket")

CAUSES = 9  # that are told of: they may go round in a circle

# Functions of JavaScript: where a Content-Security-Policy forbids to make them Brython itself does not run.
_function = scope.Function.new

# Where it is the engine that looks at a message, and not Python, it costs half as much. What these functions use of
# Brython's own is in 3.14.3 and 3.15.0.
_on_message = _function(
    "sink",
    "bytes_in",
    "let b=__BRYTHON__,tell=(name,data)=>{b.$call(b.$getattr(sink,name),data)};"
    "return({data})=>{try{typeof data=='string'?tell('text',b.String(data)):tell('binary',bytes_in(data,false))}"
    "catch(error){b.handle_error(error)}}",
)


class BrythonBridge(Bridge):
    """Brython's way to call JavaScript."""

    scope = scope

    def __init__(self) -> None:
        # bytes are an array of numbers here, their `source`.
        self.bytes_out = _function("data", "return new Uint8Array(data.source)")  # type: ignore[method-assign]
        self.bytes_in = _function(  # type: ignore[method-assign]
            "data", "return __BRYTHON__.fast_bytes(Array.from(new Uint8Array(data)))"
        )

    def on_message(self, sink: "Sink", abort: "Callable[[], None]") -> "Any":
        return _on_message(sink, self.bytes_in)

    def sender(self, socket: "Any") -> "Any":
        return socket.send.bind(socket)


_bridge = BrythonBridge()


class BrythonRuntime(JavaScriptRuntime):
    """The services for a socket on Brython."""

    bridge = _bridge
    eager = True  # aio.run() runs to the first await

    def spawn(self, coroutine: "Coroutine[Any, Any, Any]") -> "Any":
        return _begin(coroutine, aio.run)

    def future(self) -> "Any":
        return aio.Future()


_runtime = BrythonRuntime()


class BrythonAdapter(JavaScriptAdapter):
    """Opens connections with the WebSocket of the page or the worker."""

    name = "brython"
    capabilities = ("memoryview-steps", "signatures")
    bridge = _bridge

    def runtime(self) -> BrythonRuntime:
        return _runtime


DefaultAdapter = BrythonAdapter


# To look it up costs ten times what it does. Bound, for Brython does not always call a method that was looked up
# before as one of its object.
clock = scope.performance.now.bind(scope.performance)


async def _coroutine() -> None: ...


_sample = _coroutine()
_Coroutine = type(_sample)
_sample.close()


def is_coroutine(result: "Any") -> bool:
    return type(result) is _Coroutine


_Function: "Any" = type(is_coroutine)
_Method: "Any" = type(_runtime.spawn)


def takes_nothing(function: "Any") -> bool:
    """Whether a function, lambda or bound method has no place for the event; other callables get it."""
    own = 0
    if hasattr(function, "__func__"):
        own = int(type(function) is _Method)  # and not a static one
        function = function.__func__
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if type(function) is not _Function:
        return False
    code = function.__code__
    return code.co_argcount == own and not code.co_flags & 4  # *args


# Brython 3.15 notes the frames in which a coroutine begins, to put them back when it goes on: those of a handler's
# would be left behind, and so would, by `async for`, those of __anext__: until there is a RecursionError. So they begin
# without any.
_begin = _function(
    "coro",
    "run",
    "let b=__BRYTHON__,f=b.frame_obj,r;b.frame_obj=null;"
    "r=(run||b.coroutine.tp_funcs.send)(coro);b.frame_obj=f;return r",
)


def async_next(method: "Any") -> "Any":
    """Make a coroutine function one for __anext__."""

    def begun(self: "Any") -> "Any":
        return _begin(method(self))

    return begun


def quick_getter(name: str) -> "Any":
    # A property whose function is JavaScript's takes a third of the time.
    return lambda function: _function("self", "return __BRYTHON__.$getattr(self,'" + name + "')")


def cancelled() -> "Any":
    return ()  # nothing is cancelled here


def usv_string(text: str) -> str:
    """Join surrogate pairs, replace lone ones by U+FFFD (WHATWG Infra, scalar value string)."""
    joined: str = scope.String.new(text).toWellFormed()
    return joined


# The module traceback would have to be loaded. Brython's own fails for some exceptions, and knows of no cause.
_traceback = _function(
    "error", "let b=__BRYTHON__;try{return b.error_trace(error)}catch{return b.class_name(error)+': '+error.args}"
)


def report(error: "BaseException | None", event: "Any") -> None:
    """Tell the console of an exception that a handler raised, after what caused it."""
    told: list[str] = []
    while error is not None and len(told) < CAUSES:
        told.insert(0, _traceback(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    scope.console.error("\n\nled to:\n\n".join(told))


def run(coroutine: "Coroutine[Any, Any, Any] | None" = None) -> None:
    """Start a coroutine, if one is given, and return at once: the page keeps running."""
    if coroutine is not None:
        _runtime.spawn(reported(coroutine, report))
