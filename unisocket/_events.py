"""Events, and the list of their listeners (DOM sections 2.2, 2.7 and 2.9)."""

from unisocket import _runtime
from unisocket._checks import origin_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unisocket._websocket import WebSocket

# What an event is in: nothing, a dispatch, or one that is to end.
IDLE, DISPATCHING, STOPPED = 0, 1, 2  # bits


class Event:
    """Something that happened to a WebSocket.

    Args:
        type: "open", "message", "error", "close", or a name of one's own.
        target: The WebSocket; `dispatchEvent()` sets it.

    Attributes:
        timeStamp: When the event was made, in milliseconds of a clock that never goes back.
        message: Of an "error" event: why, as far as the runtime tells ("" in browsers). For logs only.

    Spec: DOM section 2.2, Event.
    """

    __slots__ = ("_message", "_phase", "_target", "_time", "_type")

    _message: str

    def __init__(self, type: str, target: "Any" = None) -> None:
        self._type = type
        self._target = target
        self._time = _runtime.clock()
        self._phase = IDLE

    @property
    def type(self) -> str:
        return self._type

    @property
    def target(self) -> "Any":
        return self._target

    @property
    def currentTarget(self) -> "Any":
        # In JavaScript it is null again after the dispatch; async handlers run on, and need it.
        return self._target

    @property
    def timeStamp(self) -> float:
        return float(self._time)  # it may be a number of JavaScript

    @property
    def message(self) -> str:
        return getattr(self, "_message", "")

    def stopImmediatePropagation(self) -> None:
        """Let no further listener hear of this event."""
        self._phase = phase_of(self) | STOPPED

    def __repr__(self) -> str:
        extra = " message=%r" % self.message if self.message else ""
        return "<%s %s%s>" % (type(self).__name__, self.type, extra)


def phase_of(event: Event) -> int:
    """Return what an event is in; the spine makes messages without a phase, in their dispatch."""
    phase: int = getattr(event, "_phase", DISPATCHING)
    return phase


class MessageEvent(Event):
    """A message has come.

    Attributes:
        data: str for text; for binary bytes, or memoryview if `binaryType` is "arraybuffer".
        origin: Origin of the server, as in "ws://localhost:8000".
        lastEventId: Always "".

    Spec: HTML section 9.1, MessageEvent.
    """

    __slots__ = ("_data", "_origin")

    def __init__(self, type: str, target: "Any" = None, data: "Any" = None, origin: str = "") -> None:
        super().__init__(type, target)
        self._data = data
        self._origin = origin

    # Those that the spine makes have no type and no origin of their own: each attribute that is
    # set costs, and there is one event for each message.

    @property
    def type(self) -> str:
        return getattr(self, "_type", "message")

    @property
    @_runtime.quick_getter("_data")
    def data(self) -> "Any":
        return self._data

    @property
    def origin(self) -> str:
        own: str | None = getattr(self, "_origin", None)
        return origin_of(self._target._url) if own is None else own

    @property
    def lastEventId(self) -> str:
        return ""

    def __repr__(self) -> str:
        shown = repr(self._data[:50]) if isinstance(self._data, (str, bytes)) else repr(self._data)
        return "<MessageEvent %s data=%s>" % (self.type, shown)


class CloseEvent(Event):
    """The connection is closed, or was never opened.

    Attributes:
        code: The peer's close code; 1005 if it gave none, 1006 if there was no closing handshake.
        reason: The peer's reason, or "".
        wasClean: Whether the closing handshake was completed.

    Spec: WHATWG WebSockets section 6, CloseEvent.
    """

    __slots__ = ("_code", "_reason", "_wasClean")

    def __init__(
        self, type: str, target: "Any" = None, code: int = 0, reason: str = "", wasClean: bool = False
    ) -> None:
        super().__init__(type, target)
        self._code = code
        self._reason = reason
        self._wasClean = wasClean

    @property
    def code(self) -> int:
        return self._code

    @property
    def reason(self) -> str:
        return self._reason

    @property
    def wasClean(self) -> bool:
        return self._wasClean

    def __repr__(self) -> str:
        return "<CloseEvent %s code=%d reason=%r wasClean=%r>" % (
            self.type,
            self._code,
            self._reason,
            self._wasClean,
        )


class Listener:
    """One entry of a list of listeners.

    Attributes:
        callback: What was given, and is given back.
        call: What takes the event; None if `callback` takes no argument.
        once: Whether it is removed before its first call.
        bound: Whether `unbind(type)` removes it.
        handles: Whether it was assigned to onX.
        removed: Set when it is taken off the list, for dispatches under way.
    """

    __slots__ = ("bound", "call", "callback", "handles", "once", "removed")

    def __init__(self, callback: "Any", call: "Any", once: bool, bound: bool, handles: bool) -> None:
        self.callback = callback
        self.call = call
        self.once = once
        self.bound = bound
        self.handles = handles
        self.removed = False


class Listeners:
    """The listeners of one WebSocket, by type of event, in the order of their adding.

    Each list is a tuple that is replaced on change, so that a dispatch under way goes on with the
    listeners that it began with.

    Args:
        websocket: Whose `_aim()` is called when the listeners of "message" have changed.
    """

    __slots__ = ("_lists", "_websocket")

    def __init__(self, websocket: "WebSocket") -> None:
        self._lists: dict[str, tuple[Listener, ...]] = {}
        self._websocket = websocket

    def of(self, type: str) -> tuple[Listener, ...]:
        """Return the listeners for a type of event."""
        return self._lists.get(_key(type), ())

    def add(self, type: str, callback: "Any", call: "Any", once: bool = False, bound: bool = False) -> None:
        """Append a listener, unless it is there already."""
        listener = self._find(type, callback)
        if listener is None:
            self._set(type, self.of(type) + (Listener(callback, call, once, bound, False),))
        elif bound:
            listener.bound = True

    def remove(self, type: str, callback: "Any") -> None:
        """Take a listener off the list, if it is on it."""
        self._discard(type, self._find(type, callback))

    def remove_bound(self, type: str) -> None:
        """Take off all that `bind()` put on the list."""
        for listener in self.of(type):
            if listener.bound:
                self._discard(type, listener)

    def handler(self, type: str) -> "Any":
        """Return what was assigned to onX, or None."""
        listener = self._handler(type)
        return None if listener is None else listener.callback

    def set_handler(self, type: str, callback: "Any") -> None:
        """Assign to onX: a new handler takes the turn of the old one, None gives the turn up.

        Spec: HTML section 8.1.8.1, activate and deactivate an event handler.
        """
        listener = self._handler(type)
        if callback is None:
            self._discard(type, listener)
        elif listener is None:
            self._set(type, self.of(type) + (Listener(callback, callback, False, False, True),))
        else:
            listener.callback = listener.call = callback
            if type == "message":
                self._websocket._aim()

    def dispatch(self, event: Event, start: "Callable[[list[Any], Event], None]") -> None:
        """Call the listeners of an event, each safe from the others' exceptions.

        Args:
            event: The event.
            start: Is given the coroutines that they returned, if any, when all were called; from
                here, for Brython complains of coroutines that outlive the frame they were made in.

        Spec: DOM section 2.9, inner invoke.
        """
        coroutines = None
        event._phase = phase_of(event) | DISPATCHING
        type = event.type
        try:
            for listener in self.of(type):
                if event._phase & STOPPED:
                    break
                if listener.removed:
                    continue
                if listener.once:
                    self._discard(type, listener)
                try:
                    call = listener.call
                    # Not by a function that calls it: Brython complains of a coroutine that leaves that one.
                    result = listener.callback() if call is None else call(event)
                except Exception as error:
                    report(error, event)
                except _runtime.cancelled():
                    pass  # a handler's own business
                else:
                    if result is not None and _runtime.is_coroutine(result):
                        if coroutines is None:
                            coroutines = []
                        coroutines.append(result)
        finally:
            event._phase = IDLE
            if coroutines is not None:
                start(coroutines, event)

    def _find(self, type: str, callback: "Any") -> "Listener | None":
        """The entry of a listener; an onX handler is never the same as a listener."""
        for listener in self.of(type):
            if not listener.handles and _same(listener.callback, callback):
                return listener
        return None

    def _handler(self, type: str) -> "Listener | None":
        for listener in self.of(type):
            if listener.handles:
                return listener
        return None

    def _discard(self, type: str, listener: "Listener | None") -> None:
        if listener is not None:
            listener.removed = True
            # A comparison by identity: in the dialect tuples have no other way to drop an item.
            self._set(type, tuple([other for other in self.of(type) if other is not listener]))

    def _set(self, type: str, listeners: "tuple[Listener, ...]") -> None:
        self._lists[_key(type)] = listeners
        if type == "message":
            self._websocket._aim()


def _key(type: str) -> str:
    # Brython's dict takes `__proto__` for its own, and a subclass of str for something else.
    return "on" + (type[:] if isinstance(type, str) else str(type))


# Each access makes another object of these, equal to the last: `ws.unbind("open", self.f)` must work.
_METHODS: "tuple[Any, ...]" = (type(Event("").stopImmediatePropagation), type([].append))


def _same(one: "Any", other: "Any") -> bool:
    return one is other or (type(one) in _METHODS and type(other) in _METHODS and bool(one == other))


_error_handler: "Callable[[BaseException, Event], Any] | None" = None


def on_handler_error(callback: "Callable[[BaseException, Event], Any] | None") -> None:
    """Say who hears of the exceptions that handlers raise; at first the runtime does.

    Args:
        callback: Called with the exception and the event, once for each; None gives the task
            back to the runtime (asyncio's exception handler, or the page's console).

    Raises:
        TypeError: `callback` is neither callable nor None.
    """
    global _error_handler
    if callback is not None and not callable(callback):
        raise TypeError("on_handler_error takes a callable or None, not " + type(callback).__name__)
    _error_handler = callback


def report(error: BaseException, event: Event) -> None:
    """Tell of an exception that a handler raised, once."""
    if _error_handler is None:
        _runtime.report(error, event)
        return
    try:
        result = _error_handler(error, event)
        if result is not None and _runtime.is_coroutine(result):
            result.close()
            raise TypeError("on_handler_error takes a plain function")
    except Exception as another:
        _runtime.report(error, event)
        _runtime.report(another, event)
