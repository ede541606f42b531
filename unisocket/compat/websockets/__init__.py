"""The library `websockets`, as clients know it: `from unisocket.compat import websockets`.

Programs run with the import alone changed, in CPython and Pyodide; on MicroPython, where there is
no `asyncio.run()`, their coroutines do, under `unisocket.run()`.
"""

from unisocket.compat.websockets import asyncio, exceptions, frames, sync
from unisocket.compat.websockets.asyncio.client import ClientConnection, connect
from unisocket.compat.websockets.exceptions import *  # noqa: F403  its names are written there
from unisocket.compat.websockets.frames import Close, CloseCode

__all__ = ["ClientConnection", "Close", "CloseCode", "State", "asyncio", "connect", "exceptions", "frames", "sync"]
__all__ += exceptions.__all__


class State:
    """States of a connection; plain numbers here, those of `WebSocket.readyState`."""

    CONNECTING, OPEN, CLOSING, CLOSED = 0, 1, 2, 3
