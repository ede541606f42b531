"""One WebSocket for every Python: CPython, Brython, Pyodide/PyScript and MicroPython.

`WebSocket` is the interface of browsers. It runs over an adapter, which `unisocket.adapters` has
one of for each runtime; the exceptions are in `unisocket.errors`.
"""

# First, for it refuses what is too old to read the others.
from unisocket._runtime import not_whole as _not_whole  # isort: split

from unisocket._runtime import run, supported, use

try:
    from unisocket._events import CloseEvent, Event, MessageEvent, on_handler_error
    from unisocket._websocket import WebSocket
    from unisocket.connection import Connection, connect
    from unisocket.errors import (
        CloseReasonTooLongError,
        ConcurrencyError,
        ConnectionClosed,
        ConnectionClosedError,
        ConnectionClosedOK,
        ConnectionFailedError,
        InvalidCloseCodeError,
        InvalidProtocolError,
        InvalidStateError,
        InvalidURLError,
        TimeoutError,
        WebSocketError,
    )
except (ImportError, SyntaxError) as error:
    raise _not_whole(error)

__all__ = (
    "CloseEvent",
    "CloseReasonTooLongError",
    "ConcurrencyError",
    "Connection",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionFailedError",
    "Event",
    "InvalidCloseCodeError",
    "InvalidProtocolError",
    "InvalidStateError",
    "InvalidURLError",
    "MessageEvent",
    "TimeoutError",
    "WebSocket",
    "WebSocketError",
    "connect",
    "on_handler_error",
    "run",
    "supported",
    "use",
)

__version__ = "0.1.0"
