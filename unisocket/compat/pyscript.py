"""PyScript's `WebSocket`: `from unisocket.compat.pyscript import WebSocket, WebSocketEvent`.

Or leave a program as it is, and before it is imported:

    import unisocket.compat.pyscript

    unisocket.compat.pyscript.install()

Then `from pyscript import WebSocket` gives this one, in a page and in a worker, in Pyodide and in
MicroPython; and where there is no PyScript, too.
"""

from unisocket import _websocket
from unisocket._checks import HANDLERS, checked_handler
from unisocket._runtime import default_adapter, is_coroutine
from unisocket.adapters._javascript import JavaScriptAdapter, JavaScriptTransport
from unisocket.compat._native import bytes_of_buffer, copied, put_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from unisocket.adapters import Adapter

__all__ = ("WebSocket", "WebSocketEvent", "install")

# What is not asked of JavaScript, for unisocket knows it better: it moves with the events, and
# MicroPython's integers from JavaScript end at 2^31-1.
_KNOWN = ("bufferedAmount", "extensions", "protocol", "readyState", "url")

_OWN = ("_handlers", "_js_websocket", "_websocket")


def install() -> None:
    """Let `pyscript.WebSocket` and `pyscript.websocket` be these, for all that is imported from now on."""
    put_in("pyscript.websocket", __name__, __name__).WebSocket = WebSocket


class WebSocketEvent:
    """An event, read-only.

    It has the attributes of what it wraps: `type`, `data`, `code`, `reason`, `wasClean`, ...; but the
    `data` of a binary message is a memoryview, whatever it was.

    Args:
        event: An event of unisocket, of JavaScript, or whatever has such attributes.

    Attributes:
        _event: That event; a handler's is JavaScript's, where there is one.
    """

    _ours: "Any" = None  # unisocket's event, where `_event` is JavaScript's: what it has is taken from it

    def __init__(self, event: "Any") -> None:
        object.__setattr__(self, "_event", event)

    def __getattr__(self, name: str) -> "Any":
        if name == "_event":  # not made by __init__
            raise AttributeError(name)
        ours = self._ours
        # What is to be stopped are JavaScript's listeners; and Brython's events all have `data`.
        known = ours is not None and name != "stopImmediatePropagation" and (name == "data" or hasattr(ours, name))
        value = getattr(ours if known else self._event, name)
        if name == "data" and not isinstance(value, (str, memoryview)):
            data = value if isinstance(value, (bytes, bytearray)) else bytes_of_buffer(value)
            if data is not None:
                return memoryview(data)
            return value.to_py() if hasattr(value, "to_py") else value
        # What a handler gets for the socket is what `_js_websocket` is.
        return value._js_websocket if isinstance(value, _Socket) else value

    def __setattr__(self, name: str, value: "Any") -> None:
        raise AttributeError("an event cannot be changed: " + name)

    def __repr__(self) -> str:
        return "<WebSocketEvent of %r>" % (self._event,)


class WebSocket:
    """A WebSocket as PyScript has it; what it does not know itself is an attribute of JavaScript's.

    Binary messages arrive as memoryview. Handlers are plain or async, and get a `WebSocketEvent`.

    Args:
        url: As for `unisocket.WebSocket`.
        protocols: One or more; None, "" and an empty sequence = none.
        **handlers: onopen, onmessage, onerror, onclose; others are set as attributes, as `binaryType` is.

    Attributes:
        onopen, onmessage, onerror, onclose: The handlers; None = none.
        _js_websocket: The WebSocket of JavaScript; where there is none, one of unisocket.

    Raises:
        InvalidURLError, InvalidProtocolError, TypeError, NotImplementedError: As of `unisocket.WebSocket`.
    """

    CONNECTING = _websocket.CONNECTING
    OPEN = _websocket.OPEN
    CLOSING = _websocket.CLOSING
    CLOSED = _websocket.CLOSED

    def __init__(self, url: str, protocols: "str | Sequence[str] | None" = None, **handlers: "Any") -> None:
        for name in HANDLERS:
            checked_handler(name, handlers.get(name))
        websocket = _Socket(url, protocols or None)
        object.__setattr__(self, "_websocket", websocket)
        object.__setattr__(self, "_js_websocket", websocket._js_websocket)
        object.__setattr__(self, "_handlers", {})
        for name, value in handlers.items():
            setattr(self, name, value)

    def __getattr__(self, name: str) -> "Any":
        if name in HANDLERS:
            return self._handlers.get(name)
        if name in _OWN or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._websocket if name in _KNOWN else self._js_websocket, name)

    def __setattr__(self, name: str, value: "Any") -> None:
        if name in HANDLERS:
            checked_handler(name, value)
            self._handlers[name] = value
            setattr(self._websocket, name, None if value is None else lambda event: _call(value, event))
            return
        if name in _OWN or name in ("CONNECTING", "OPEN", "CLOSING", "CLOSED"):
            raise AttributeError("the attribute " + name + " of a WebSocket can only be read")
        if name.startswith("__"):  # JavaScript's `__proto__` is what the object is
            raise AttributeError("a WebSocket has no attribute " + name + " to be set")
        target = self._js_websocket
        # Where JavaScript would throw, which MicroPython cannot catch, Reflect.set() says False.
        probed = target is not self._websocket and name != "binaryType"  # of which Chromium's console would complain
        bridge = getattr(default_adapter(), "bridge", None)
        if probed and bridge is not None and not bridge.scope.Reflect.set(target, name, None):
            raise AttributeError("the attribute " + name + " of a WebSocket can only be read")
        setattr(target, name, value)

    def send(self, data: "str | bytes | bytearray | memoryview | Sequence[int]") -> None:
        """Send a message: str as text, anything else as binary. Returns at once.

        Args:
            data: str, bytes-like, a sequence of ints from 0 to 255, or a buffer of JavaScript.

        Raises:
            TypeError: Something else.
            ValueError: A sequence of something else.
            InvalidStateError: The connection is not open yet.
        """
        contiguous = getattr(data, "contiguous", True)
        if not isinstance(data, (str, bytes, bytearray, memoryview)) or not contiguous:
            data = _bytes_of(data)
        self._websocket.send(data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Start to close the connection; see `unisocket.WebSocket.close`. Without a code there is no reason."""
        if code:
            self._websocket.close(code, reason or None)
        else:
            self._websocket.close()

    def __repr__(self) -> str:
        return repr(self._websocket)


def _call(handler: "Any", event: "Any") -> None:
    """Call a handler with the event that it is to get."""
    websocket = event.target
    raw = websocket._js_events.get(event.type)
    wrapped = WebSocketEvent(event if raw is None else raw)
    if raw is not None:
        object.__setattr__(wrapped, "_ours", event)
    result = handler(wrapped)
    if result is not None and is_coroutine(result):
        websocket._start([result], event)  # not by the caller: see Listeners.dispatch()


class _Socket(_websocket.WebSocket):
    """The socket beneath, which has no handlers of the user's.

    Attributes:
        binaryType: As JavaScript has it, where this stands for JavaScript's: "arraybuffer" or "blob",
            and the assignment of anything else is ignored. Binary messages are a memoryview all the same.
    """

    _kind = "arraybuffer"

    def __init__(self, url: str, protocols: "Any") -> None:
        self._js_events: dict[str, Any] = {}  # by type: JavaScript's events of those that are being delivered
        super().__init__(url, protocols, adapter=self._over(default_adapter()))

    def _over(self, adapter: "Adapter") -> "Adapter":
        """Return an adapter that notes JavaScript's events, and lets what is no buffer come as it is: Blobs."""
        if not isinstance(adapter, JavaScriptAdapter):
            return adapter
        copy = copied(adapter)
        bridge: Any = copied(adapter.bridge)
        copy.bridge = bridge
        bytes_in, listener = bridge.bytes_in, bridge.listener
        bridge.bytes_in = lambda data, view: bytes_in(data, view) if hasattr(data, "byteLength") else data
        bridge.listener = lambda callback: listener(self._noting(callback))
        return copy

    def _noting(self, callback: "Any") -> "Any":
        """Return a listener that notes the event of JavaScript, and calls another."""

        def note(event: "Any") -> None:
            if self._held is not None:
                self._held.append((note, event))
                return
            self._js_events[event.type] = event
            callback(event)
            self._js_events.pop("message", None)  # it may be large

        return note

    @property
    def binaryType(self) -> str:
        return self._kind

    @binaryType.setter
    def binaryType(self, kind: str) -> None:
        if kind in ("arraybuffer", "blob"):
            self._kind = kind

    def _aim(self) -> None:
        self._sink.view = True  # whatever the kind
        super()._aim()

    @property
    def _js_websocket(self) -> "Any":
        return self.raw if isinstance(self._transport, JavaScriptTransport) else self

    def _view(self, data: "Any") -> "Any":
        if isinstance(data, (bytes, bytearray)):
            # One's own to write to, as PyScript's is.
            return memoryview(bytearray(data) if type(data) is bytes else data)
        return data  # a Blob

    def __repr__(self) -> str:
        return super().__repr__().replace("_Socket", "WebSocket", 1)


def _bytes_of(data: "Any") -> bytes:
    """Return what to send for something that is neither text nor bytes-like."""
    taken = bytes_of_buffer(data)
    if taken is not None:
        return taken
    try:
        items = None if _is_no_array(data) else list(data)
    except TypeError:
        items = None
    if items is None:
        raise TypeError("send() takes str, bytes-like data or a sequence of ints, not " + type(data).__name__)
    numbers = [_number(item) for item in items]
    for number in numbers:
        if not isinstance(number, int) or not 0 <= number <= 255:
            raise ValueError("a sequence to send has ints from 0 to 255, and this one has %r" % (number,))
    return bytes(numbers)


def _number(item: "Any") -> "Any":
    """Return the int for which an item stands, if there is one."""
    if isinstance(item, bool):  # which is no int in MicroPython
        return int(item)
    return item if isinstance(item, int) or not hasattr(item, "__index__") else item.__index__()


def _is_no_array(data: "Any") -> bool:
    """Whether this is an object of JavaScript that is no array: to iterate over it may throw."""
    bridge = getattr(default_adapter(), "bridge", None)
    if bridge is None or type(data) is not type(bridge.scope.JSON):
        return False
    return not bridge.scope.Array.isArray(data)
