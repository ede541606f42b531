"""What the facades ask of an adapter, a runtime and its modules beyond the contract, and only some have."""

import sys

from unisocket._checks import checked_close
from unisocket._runtime import default_adapter
from unisocket._websocket import WebSocket
from unisocket.adapters._javascript import JavaScriptAdapter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeVar

    from unisocket.adapters import Adapter
    from unisocket.connection import Connection

    T = TypeVar("T")

# What an adapter without the option does anyway: a browser sends no pings of its own, takes
# messages of any size, offers permessage-deflate and uses the proxy of its settings.
_ANYWAY = {"ping_interval": None, "ping_timeout": None, "max_size": None, "compression": "deflate", "proxy": True}

# What an endpoint may send beyond 1000 and 3000-4999, and a browser may not (RFC 6455 section 7.4.1
# and its registry at IANA).
_ENDPOINT_CODES = (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)


def with_options(options: "Sequence[tuple[str, str, Any]]") -> "Adapter":
    """Return the adapter in force, or a copy of it with other options.

    Args:
        options: For each its name in the facade, for the message, its name in the adapter, and its value.

    Raises:
        NotImplementedError: The adapter does not have one of them.
    """
    adapter = default_adapter()
    changed = adapter
    for argument, attribute, value in options:
        if hasattr(adapter, attribute):
            if changed is adapter:
                changed = copied(adapter)
            setattr(changed, attribute, value)
        elif value != _ANYWAY.get(attribute):
            raise NotImplementedError(
                argument + "= is not possible with the adapter " + adapter.name + ": a browser decides that alone"
            )
    return changed


def copied(original: "T") -> "T":
    """Return a copy of an adapter or a bridge, to give it other options."""
    copy = object.__new__(type(original))  # MicroPython's copy.copy() copies no objects
    for name, value in original.__dict__.items():
        setattr(copy, name, value)
    return copy


def is_native(adapter: "Adapter") -> bool:
    """Whether the sockets of an adapter have a connection of the library `websockets` for `raw`."""
    return "ping" in adapter.capabilities


def cause_of(websocket: WebSocket, adapter: "Adapter") -> "Exception | None":
    """Return the exception of `websockets` for which a connection did not open, where there is one."""
    if not is_native(adapter):
        return None
    error: Exception | None = getattr(websocket._transport, "error", None)
    if error is None and websocket.raw is not None:
        error = websocket.raw.protocol.handshake_exc
    return error


def start_closing(connection: "Connection", adapter: "Adapter", code: int, reason: str) -> bool:
    """Start to close, with any code that an endpoint may send where the adapter can.

    Returns:
        Whether the connection was open before.

    Raises:
        InvalidCloseCodeError, CloseReasonTooLongError, TypeError: As of `Connection.close()`.
    """
    websocket = connection.websocket
    was_open = websocket.readyState == WebSocket.OPEN
    if is_native(adapter) and code in _ENDPOINT_CODES:
        _, reason = checked_close(None, reason)
        websocket._start_closing(code, reason)
        code = 1000  # not sent any more: the rest is to note that it was us
    connection._start_closing(code, reason)
    return was_open


def bytes_of_buffer(value: "Any") -> bytes | None:
    """Return the bytes of an ArrayBuffer of JavaScript or of a view of one; None for anything else."""
    adapter = default_adapter()
    if not isinstance(adapter, JavaScriptAdapter) or not hasattr(value, "byteLength"):
        return None
    bridge = adapter.bridge
    where = (value.buffer, value.byteOffset, value.byteLength) if hasattr(value, "byteOffset") else (value,)
    return bytes(bridge.bytes_in(bridge.scope.Uint8Array.new(*where)))


def put_in(path: str, module: str, package: str) -> "Any":
    """Put a module in the place of a submodule of a package.

    Args:
        path: Name of that submodule: "package.submodule".
        module: Name of the module.
        package: Name of a module that becomes the package where there is none.

    Returns:
        The package.
    """
    name, submodule = path.split(".")
    try:
        owner = __import__(name)
    except ImportError:
        owner = sys.modules[name] = sys.modules[package]
    sys.modules[path] = sys.modules[module]
    setattr(owner, submodule, sys.modules[module])
    return owner
