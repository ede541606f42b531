"""The WebSocket: states, events and checks, written once for every runtime."""

from unisocket import _runtime
from unisocket._checks import (
    checked_close,
    checked_data,
    checked_handler,
    checked_handlers,
    checked_protocols,
    checked_url,
    without_secrets,
)
from unisocket._events import DISPATCHING, IDLE, CloseEvent, Event, Listeners, MessageEvent, phase_of, report
from unisocket.adapters import NO_HANDSHAKE, NoTransport, Sink
from unisocket.errors import InvalidStateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from unisocket.adapters import Adapter, Timer, Transport
    from unisocket.connection import Connection

CONNECTING, OPEN, CLOSING, CLOSED = 0, 1, 2, 3

# The moves that there are (WHATWG WebSockets section 3.1, readyState); `_move` refuses all others.
_MOVES = {CONNECTING: (OPEN, CLOSING, CLOSED), OPEN: (CLOSING, CLOSED), CLOSING: (CLOSED,), CLOSED: ()}

_clock = _runtime.clock
_usv_string = _runtime.usv_string
_new = object.__new__

# How often it is looked at what has left before a close frame.
LOOK_INTERVAL = 0.25  # seconds


def _handler(name: str) -> "Any":
    """Make the property onX."""
    type = name[2:]

    def get(self: "WebSocket") -> "Any":
        return self._listeners.handler(type)

    def set(self: "WebSocket", handler: "Callable[[Any], Any] | None") -> None:
        checked_handler(name, handler)
        self._listeners.set_handler(type, handler)

    return property(get, set)


class WebSocket:
    """A WebSocket, as browsers have it, in every Python.

    The connection begins to open at once; what happens comes as events, never inside a call.
    A socket lives until its "close", referenced or not.

    Args:
        url: ws:, wss:, http: (becomes ws), https: (becomes wss), or relative where there is a base
            (the page; on CPython the adapter's `base_url`).
        protocols: The subprotocols to ask for, in order of preference. If the server chooses none
            of them, the connection fails.
        adapter: What opens the connection; default: the one of this runtime, or of `use()`.
        **handlers: onopen, onmessage, onerror, onclose: functions, plain or async, that take the event.

    Attributes:
        url: The URL as it was understood.
        onopen, onmessage, onerror, onclose: The handlers; None = none.
        raw: The runtime's own object, for what this class does not cover. Not portable.
        supported: Whether this runtime can open a WebSocket at all.

    Raises:
        InvalidURLError: The URL cannot be parsed, has a fragment or another scheme.
        InvalidProtocolError: A subprotocol is not a token, or stands there twice.
        TypeError: An argument of a wrong type, or an unknown handler.
        NotImplementedError: This runtime has no WebSocket.

    Examples:
        >>> ws = WebSocket("ws://localhost:8000", onmessage=lambda event: print(event.data))  # doctest: +SKIP

    Spec: WHATWG WebSockets section 3.1.
    """

    CONNECTING = CONNECTING
    OPEN = OPEN
    CLOSING = CLOSING
    CLOSED = CLOSED

    supported = _runtime.supported
    _url = "ws://"  # what repr() has of one whose arguments are refused

    onopen = _handler("onopen")
    onmessage = _handler("onmessage")
    onerror = _handler("onerror")
    onclose = _handler("onclose")

    def __init__(
        self,
        url: str,
        protocols: "str | Sequence[str] | None" = None,
        *,
        adapter: "Adapter | None" = None,
        **handlers: "Any",
    ) -> None:
        if not _runtime.supported:
            raise NotImplementedError("this runtime has no WebSocket; `unisocket.supported` tells beforehand")
        checked_handlers(self, WebSocket, handlers)
        self._state = CONNECTING
        # What happened after an event whose async handlers did not start yet; None if none are waited for.
        self._held: list[tuple[Any, ...]] | None = None
        self._releasing = False  # some of it, which comes before what the transport knows by now
        self._connection: Connection | None = None  # what `connect()` made over this
        self._sink = Sink(
            self._on_opened,
            self._on_message_otherwise,
            self._on_binary,
            self._on_drained,
            self._on_closing,
            self._on_closed,
        )
        self._listeners = Listeners(self)
        for name, handler in handlers.items():
            setattr(self, name, handler)
        adapter = _runtime.checked_adapter(adapter)
        self._url = checked_url(url, adapter)
        self._protocols = checked_protocols(protocols)
        self._was_open = False
        self._protocol = self._extensions = ""
        self._discarded = 0  # bytes that came too late to be sent
        self._close_timer: Timer | None = None
        self._close_timeout = adapter.close_timeout
        self._unstarted = 0
        self._running = 0  # coroutines of handlers
        self._max_running = adapter.max_running_handlers
        self._stops = 0  # reasons not to read
        self._is_crowded = False
        self._last_event: Event | None = None
        self._last_handlers = 0
        self._runtime = adapter.runtime()
        refusal = adapter.refusal(self._url)
        if refusal:
            self._transport: Transport = NoTransport()
        else:
            self._transport = adapter.open(self._url, self._protocols, self._sink, self._runtime)
        self._polls = self._transport.polls
        self._send_text: Callable[[str], None] = self._too_early
        self._send_binary: Callable[[bytes], None] = self._too_early
        self._runtime.keep(self)
        if refusal:
            self._lose(refusal)

    @property
    def url(self) -> str:
        return self._url

    @property
    def readyState(self) -> int:
        """CONNECTING, OPEN, CLOSING or CLOSED (0 to 3)."""
        if self._polls and self._state == OPEN and not self._releasing:
            self._transport.poll()
        return self._state

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose; "" until open, and if there is none."""
        return self._protocol

    @property
    def extensions(self) -> str:
        """The extensions that were agreed on; "" until open, and if there are none."""
        return self._extensions

    @property
    def bufferedAmount(self) -> int:
        """Bytes of payload given to `send()` and not yet handed to the network.

        Falls only between tasks; goes on growing when messages are sent after the close.
        """
        return self._transport.buffered() + self._discarded

    @property
    def binaryType(self) -> str:
        """How binary messages are delivered: "bytes" (bytes) or "arraybuffer" (memoryview).

        Raises:
            ValueError: Something else was assigned.
        """
        return "arraybuffer" if self._sink.view else "bytes"

    @binaryType.setter
    def binaryType(self, kind: str) -> None:
        if kind not in ("bytes", "arraybuffer"):
            raise ValueError('binaryType is "bytes" or "arraybuffer", nothing else')
        self._sink.view = kind == "arraybuffer"
        self._aim()

    @property
    def raw(self) -> "Any":
        return self._transport.raw

    def send(self, data: "str | bytes | bytearray | memoryview") -> None:
        """Send a message: str as text, bytes-like as binary. Returns at once.

        The data is taken as it is at the call. When the connection is closing or closed it is
        dropped, and counted in `bufferedAmount`. Lone surrogates become U+FFFD.

        Raises:
            TypeError: Neither str nor bytes, bytearray or a contiguous memoryview.
            InvalidStateError: The connection is not open yet.

        Spec: WHATWG WebSockets section 3.1, send(data).
        """
        if type(data) is str:
            self._send_text(data)
        elif type(data) is bytes:
            self._send_binary(data)
        else:
            data = checked_data(data)
            self._send_text(data) if isinstance(data, str) else self._send_binary(data)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Start to close the connection. Returns at once; the "close" event tells when it is done.

        Before it is open: the opening fails ("error", then "close" with 1006). A peer that does
        not answer: "close" with 1006 after the adapter's `close_timeout`.

        Args:
            code: 1000 or 3000 to 4999; None = a close frame without a code (the peer sees 1005).
            reason: For the peer; at most 123 bytes of UTF-8. Without a code it is sent with 1000.

        Raises:
            TypeError: `code` is not an int, or `reason` not a str.
            InvalidCloseCodeError: Any other code.
            CloseReasonTooLongError: A longer reason.

        Spec: WHATWG WebSockets section 3.1, close(code, reason).
        """
        code, reason = checked_close(code, reason)
        self._runtime.at_home(lambda: self._start_closing(code, reason))

    def addEventListener(self, type: str, listener: "Callable[[Any], Any] | None", *, once: bool = False) -> None:
        """Call a listener for each event of a type, after those that were added before.

        Args:
            type: "open", "message", "error", "close", or a name of one's own.
            listener: Takes the event; plain or async. The same one twice counts once; None is ignored.
            once: Remove it before its first call.

        Raises:
            TypeError: `listener` is neither callable nor None.

        Spec: DOM section 2.7, addEventListener.
        """
        if listener is not None:
            checked_handler("a listener", listener)
            self._listeners.add(type, listener, listener, once=once)

    def removeEventListener(self, type: str, listener: "Callable[[Any], Any] | None") -> None:
        """Remove a listener; one that is not there is ignored.

        Spec: DOM section 2.7, removeEventListener.
        """
        self._listeners.remove(type, listener)

    def dispatchEvent(self, event: Event) -> bool:
        """Call the listeners of an event now. Returns True.

        Raises:
            TypeError: `event` is not an Event.
            InvalidStateError: `event` is being dispatched.

        Spec: DOM section 2.7, dispatchEvent.
        """
        if not isinstance(event, Event):
            raise TypeError("dispatchEvent() takes an Event, not " + type(event).__name__)
        if phase_of(event) & DISPATCHING:
            raise InvalidStateError("the event is being dispatched already")
        event._target = self
        self._dispatch(event)
        return True

    def bind(self, type: str, listener: "Callable[..., Any] | None" = None) -> "Any":
        """Call a listener for each event of a type; it takes the event, or no argument.

        Without a listener it is a decorator: `@ws.bind("message")`.

        Returns:
            The listener.

        Raises:
            TypeError: `listener` is not callable.
        """
        if listener is None:
            return lambda listener: self.bind(type, listener)
        checked_handler("a listener", listener)
        call = None if _runtime.takes_nothing(listener) else listener
        self._listeners.add(type, listener, call, bound=True)
        return listener

    def unbind(self, type: str, listener: "Callable[..., Any] | None" = None) -> None:
        """Remove a listener, or all that were bound for a type of event."""
        if listener is None:
            self._listeners.remove_bound(type)
        else:
            self._listeners.remove(type, listener)

    def __repr__(self) -> str:
        state = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[self.readyState]
        return "<%s %s %s>" % (type(self).__name__, without_secrets(self._url), state)

    def __reduce__(self) -> "Any":
        raise TypeError("a WebSocket cannot be pickled or copied: it is a connection")

    # What sends, by state

    def _too_early(self, data: "str | bytes") -> None:
        raise InvalidStateError('the connection is not open yet; send in or after the "open" event')

    def _too_late(self, data: bytes) -> None:
        size = len(data)
        self._discarded += size  # no call in between: other threads count, too

    # Closing

    def _start_closing(self, code: int | None, reason: str) -> None:
        """Close with any code, checked."""
        if self._state == CONNECTING:
            self._fail("closed before the connection was established")
        elif self._state == OPEN:
            self._move(CLOSING)
            self._transport.close(code, reason)
            if self._stops:
                self._transport.resume()  # else the peer's answer would wait behind what nobody wants
            if self._is_crowded:
                self._runtime.soon(self._release)
            if self._close_timeout is not None:
                self._watch_close(self._close_timeout)

    def _watch_close(self, timeout: float) -> None:
        """Give up on a peer that does not answer the close frame.

        The frame stands behind what is buffered: the time begins anew as long as some of that leaves.
        """
        buffered = self._transport.buffered()
        until = float(_clock()) + timeout * 1000

        def look() -> None:
            nonlocal buffered, until
            if self._state != CLOSING:
                return
            now = float(_clock())
            before, buffered = buffered, self._transport.buffered()
            if buffered < before:
                until = now + timeout * 1000
            if now < until:
                self._close_timer = self._runtime.later(min(timeout / 8, LOOK_INTERVAL, (until - now) / 1000), look)
            else:
                self._fail("the peer did not answer the close frame in %g s" % timeout)

        look()

    def _fail(self, message: str) -> None:
        """Drop the connection; the events follow as a task.

        Spec: RFC 6455 section 7.1.7, fail the WebSocket connection.
        """
        self._move(CLOSING)
        self._transport.abort()
        self._lose(message)

    def _lose(self, message: str) -> None:
        """Be closed without a closing handshake, as a task."""
        self._runtime.soon(lambda: self._on_closed(NO_HANDSHAKE, "", False, message))

    # What the transport tells

    def _on_opened(self, protocol: str, extensions: str) -> None:
        if self._state != CONNECTING:
            return
        if (protocol or self._protocols) and protocol not in self._protocols:
            # Engines differ here; RFC 6455 section 4.1: fail if it was not asked for, WHATWG: if none was chosen.
            asked = ", ".join(self._protocols) or "none"
            self._fail("the server chose " + (protocol or "no subprotocol") + ", asked for: " + asked)
            return
        self._move(OPEN)
        self._protocol = protocol
        self._extensions = extensions
        self._dispatch(Event("open", self))

    def _on_binary(self, data: "Any") -> None:
        if self._held is not None:
            self._held.append((self._on_binary, data))
        elif self._sink.view:
            self._sink.text(self._view(data))
        else:
            self._sink.text(data if type(data) is bytes else bytes(data))

    def _view(self, data: "Any") -> "Any":
        return memoryview(data)

    def _straight_to(self, call: "Callable[[Any], Any]") -> "Callable[[Any], None]":
        """Return what Listeners.dispatch() does for the one listener, which most messages of most programs have."""
        sink = self._sink

        def on_message(data: "Any") -> None:
            event = _new(MessageEvent)
            event._target = self
            event._data = data
            time = sink.time
            event._time = _clock() if time is None else time
            try:
                result = call(event)
            except Exception as error:
                report(error, event)
            except _runtime.cancelled():
                pass
            else:
                if result is not None and _runtime.is_coroutine(result):
                    self._start([result], event)
            finally:
                event._phase = IDLE

        return on_message

    def _on_message_otherwise(self, data: "Any") -> None:
        """Deliver a message to nobody, to many, or later."""
        if self._held is not None:
            self._held.append((self._on_message_otherwise, data))
        elif self._state == OPEN:
            connection = self._connection
            if connection is not None:
                connection._queue.append(data)
            try:
                if self._listeners.of("message"):
                    event = _new(MessageEvent)
                    event._target = self
                    event._data = data
                    event._time = self._sink.time or _clock()
                    self._dispatch(event)
            finally:
                # Who waits for it may run in here: the listeners come first.
                if connection is not None:
                    connection._settle()

    def _aim(self) -> None:
        """Choose what happens to messages, by the shortest way; called when anything changes that matters."""
        sink = self._sink
        sink.batch = None
        sink.text = self._on_message_otherwise
        sink.binary = self._on_binary
        if self._state == OPEN and self._held is None:
            listeners = self._listeners.of("message")
            connection = self._connection
            if connection is not None:
                if not listeners:
                    sink.text = connection._on_message
                    if self._transport.batches:
                        sink.text, sink.batch = connection._queue.append, connection._settle
            elif len(listeners) == 1 and listeners[0].call is not None and not listeners[0].once:
                sink.text = self._straight_to(listeners[0].call)
            if sink.view:
                text, view = sink.text, self._view
                sink.binary = lambda data: text(view(data))
            else:
                sink.binary = sink.text

    def _on_drained(self) -> None:
        if self._connection is not None:
            self._connection._wake()

    def _on_closing(self) -> None:
        if self._held is not None:
            self._held.append((self._on_closing,))
        elif self._state == OPEN:
            self._move(CLOSING)

    def _on_closed(self, code: int, reason: str, clean: bool, message: str) -> None:
        if self._held is not None:
            self._held.append((self._on_closed, code, reason, clean, message))
            return
        if self._state == CLOSED:
            return
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        if not self._was_open:
            code, reason, clean = NO_HANDSHAKE, "", False
        self._move(CLOSED)
        try:
            if not clean:
                error = Event("error", self)
                error._message = message
                self._dispatch(error)
        finally:
            self._then_close(code, reason, clean)

    def _then_close(self, code: int, reason: str, clean: bool) -> None:
        if self._held is not None:
            self._held.append((self._then_close, code, reason, clean))
            return
        event = CloseEvent("close", self, code, reason, clean)
        self._last_event = event
        self._last_handlers = 1
        try:
            self._dispatch(event)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Live on until the last handler of "close" has ended."""
        self._last_handlers -= 1
        if not self._last_handlers:
            self._last_event = None
            self._runtime.let_go(self)

    def _move(self, state: int) -> None:
        """Change the state, if there is such a move."""
        if state not in _MOVES[self._state]:
            return
        # What sends comes first: other threads may look at the state, and then send.
        if state == OPEN:
            self._was_open = True
            send_text = self._transport.send_text
            self._send_binary = self._transport.send_binary
            self._send_text = send_text if self._transport.any_text else lambda text: send_text(_usv_string(text))
        else:
            self._send_binary = self._too_late
            self._send_text = lambda text: self._too_late(_usv_string(text).encode())
        self._state = state
        self._aim()

    # Dispatch

    def _dispatch(self, event: Event) -> None:
        self._listeners.dispatch(event, self._start)

    def _start(self, coroutines: "list[Any]", event: Event) -> None:
        """Start the coroutines that the listeners of an event returned.

        Each runs to its first await before the next event of this socket: where the runtime
        cannot do that at once, what comes is held back until all have started.
        """
        hold = not self._runtime.eager
        if hold:
            self._unstarted += len(coroutines)
            if self._held is None:
                self._held = []
                self._aim()
        for coroutine in coroutines:
            if event is self._last_event:
                self._last_handlers += 1
            self._running += 1
            self._runtime.spawn(self._run(coroutine, event, hold))
        self._wait_for_handlers()

    async def _run(self, coroutine: "Coroutine[Any, Any, Any]", event: Event, hold: bool) -> None:
        if hold:
            self._unstarted -= 1
            if not self._unstarted:
                self._runtime.soon(self._release)
        try:
            await coroutine
        except Exception as error:
            report(error, event)
        finally:
            self._running -= 1
            if self._is_crowded:
                self._runtime.soon(self._release)
            if event is self._last_event:
                self._let_go()

    def _wait_for_handlers(self) -> None:
        """Hold back what comes, and read no more, while as many handlers run as may."""
        if self._max_running is None:
            return
        crowded = self._state == OPEN and self._running >= self._max_running
        if crowded and self._held is None:
            self._held = []
            self._aim()
        if crowded != self._is_crowded:
            self._is_crowded = crowded
            self._stop_reading() if crowded else self._read_on()

    def _stop_reading(self) -> None:
        """Have one more reason not to read."""
        self._stops += 1
        if self._stops == 1 and self._state == OPEN:
            self._transport.pause()

    def _read_on(self) -> None:
        """Have one reason less."""
        self._stops -= 1
        if not self._stops:
            self._transport.resume()

    def _release(self) -> None:
        """Deliver what was held back, up to the next event with coroutines."""
        self._wait_for_handlers()
        held = self._held
        if held is None or self._unstarted or self._is_crowded:
            return
        self._held = None
        self._aim()
        done = 0
        self._releasing = True
        try:
            while done < len(held) and self._held is None:
                entry = held[done]
                done += 1
                entry[0](*entry[1:])
        finally:
            self._releasing = False
            if self._held is not None:
                self._held = held[done:] + self._held
            elif done < len(held):  # a handler raised KeyboardInterrupt or the like
                self._held = held[done:]
                self._aim()
                self._runtime.soon(self._release)
