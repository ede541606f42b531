"""What the three adapters for JavaScript runtimes share.

Each brings a bridge: the few things in which its way to call JavaScript differs. No JavaScript
object and no JavaScript exception goes further than these files.
"""

from unisocket.adapters import NO_HANDSHAKE, Adapter, Runtime, Timer, Transport, authority_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from unisocket.adapters import Sink

# Node 20 fires "error" and nothing else when an opening fails; everywhere else "close" follows at once.
CLOSE_AFTER_ERROR = 1.0  # seconds

BLOCKING = "this runtime cannot block: use `async with unisocket.connect(url) as ws`, or WebSocket with handlers"


class Bridge:
    """How one runtime calls JavaScript.

    Attributes:
        scope: The global object: a window, a worker's scope, or Node's.
        any_text: Whether what becomes of lone surrogates on the way out can be left to JavaScript.
    """

    scope: "Any" = None
    any_text = True

    def construct(self, constructor: "Any", *arguments: "Any") -> "Any":
        """`new constructor(...arguments)`."""
        return constructor.new(*arguments)

    def listener(self, callback: "Callable[[Any], None]") -> "Any":
        """Make a plain function one that JavaScript may call until it is freed."""
        return callback

    def free(self, listeners: "list[tuple[str, Any]]") -> None:
        """Free what `listener()` made, for each type of event."""

    def call(self, target: "Any", name: str, *arguments: "Any") -> "Any":
        """`target.name(...arguments)`."""
        return getattr(target, name)(*arguments)

    def sender(self, socket: "Any") -> "Callable[[Any], Any]":
        """Return `send` of a WebSocket of JavaScript, to be called again and again."""
        send: Callable[[Any], Any] = socket.send
        return send

    def text_sender(self, socket: "Any") -> "Callable[[str], Any]":
        """Return what sends a text over a WebSocket of JavaScript."""
        return self.sender(socket)

    def on_message(self, sink: "Sink", abort: "Callable[[], None]") -> "Callable[[Any], None]":
        """Make what takes JavaScript's events of messages, and tells a sink."""
        bytes_in = self.bytes_in

        def on_message(event: "Any", again: bool = True) -> None:
            try:
                data = event.data
                tell = sink.text
                if not isinstance(data, str):
                    data = bytes_in(data, sink.view)
                    tell = sink.binary
            except MemoryError:
                if again:  # see usv_string() of MicroPython
                    on_message(event, False)
                else:
                    abort()
                    sink.closed(NO_HANDSHAKE, "", False, "no memory for a message")
            else:
                tell(data)

        return on_message

    def bytes_out(self, data: bytes) -> "Any":
        """Copy bytes into a Uint8Array."""
        raise NotImplementedError

    def bytes_in(self, buffer: "Any", view: bool = False) -> bytes:
        """Copy an ArrayBuffer to bytes; for a view, a bytearray that nobody else has will do."""
        raise NotImplementedError


class JavaScriptAdapter(Adapter):
    """Opens connections with the WebSocket of a JavaScript runtime.

    Args:
        close_timeout: How long a peer may take to answer a close frame, in seconds; None = for ever.
    """

    bridge: Bridge

    def __init__(self, *, close_timeout: float | None = 10.0) -> None:
        self.close_timeout = close_timeout

    def parse_url(self, url: str) -> str | None:
        scope = self.bridge.scope
        arguments = [url]
        base = self._base()
        if base and scope.URL.canParse(base):
            arguments.append(base)
        # A throw could not be caught in MicroPython: ask first.
        if not self.bridge.call(scope.URL, "canParse", *arguments):
            return None
        return str(self.bridge.construct(scope.URL, *arguments).href)

    def refusal(self, url: str) -> str:
        is_mixed = self._base().startswith("https:") and url.startswith("ws:")
        if is_mixed and not authority_of(url).startswith(("localhost", "127.", "[::1]")):
            return "mixed content: a page from https must use wss"
        return Adapter.refusal(self, url)

    def _base(self) -> str:
        """The URL that relative ones are relative to: the page's or the worker's; "" in Node."""
        scope = self.bridge.scope
        if not hasattr(scope, "location"):
            return ""
        if hasattr(scope, "document") and not hasattr(scope, "importScripts"):
            return str(scope.document.baseURI)
        return str(scope.location.href)

    def open(self, url: str, protocols: list[str], sink: "Sink", runtime: Runtime) -> "JavaScriptTransport":
        return JavaScriptTransport(self.bridge, url, protocols, sink, runtime)


class JavaScriptTransport(Transport):
    """One WebSocket of JavaScript.

    Args:
        bridge: Of this runtime.
        url: The serialised URL.
        protocols: The subprotocols to ask for.
        sink: Is told what happens.
        runtime: The services of the socket.
    """

    polls = True

    def __init__(self, bridge: Bridge, url: str, protocols: list[str], sink: "Sink", runtime: Runtime) -> None:
        self._bridge = bridge
        self._runtime = runtime
        self._sink = sink
        self._listeners: list[tuple[str, Any]] = []
        self._timer: Any = None
        arguments = (url, protocols) if protocols else (url,)
        self.raw = bridge.construct(bridge.scope.WebSocket, *arguments)
        self.raw.binaryType = "arraybuffer"
        self.any_text = bridge.any_text
        self.send_text = bridge.text_sender(self.raw)  # type: ignore[method-assign, assignment]
        send, bytes_out = bridge.sender(self.raw), bridge.bytes_out
        self.send_binary = lambda data: send(bytes_out(data))  # type: ignore[method-assign]
        self._listen()

    def _listen(self) -> None:
        # Plain functions: Brython never runs others, MicroPython does not find bound methods again.
        bridge, raw, sink = self._bridge, self.raw, self._sink

        def on_open(event: "Any") -> None:
            sink.opened(raw.protocol, raw.extensions)

        def on_error(event: "Any") -> None:
            if self._timer is None:
                self._timer = self._runtime.later(CLOSE_AFTER_ERROR, lambda: closed(NO_HANDSHAKE, "", False))

        def on_close(event: "Any") -> None:
            # Clean is what ends with the peer's close frame, as on CPython. Engines differ where they could not
            # send theirs any more, with much buffered: Chromium then says so, and gives the peer's code all the same.
            code = event.code
            if code not in (1004, NO_HANDSHAKE) and (1000 <= code < 1015 or 3000 <= code < 5000):
                # Firefox 153 may say nothing of a connection that opened and was closed in the same moment.
                on_open(event)
                closed(code, event.reason, True)
            else:
                # RFC 6455 section 7.4: never on the wire; Firefox 153 takes it for a close frame like any other.
                closed(NO_HANDSHAKE, "", False)

        def closed(code: int, reason: str, clean: bool) -> None:
            self._forget()
            sink.closed(code, reason, clean, "")

        on_message = bridge.on_message(sink, self.abort)
        for type, callback in (("open", on_open), ("message", on_message), ("error", on_error), ("close", on_close)):
            listener = bridge.listener(callback)
            self._listeners.append((type, listener))
            raw.addEventListener(type, listener)

    def _forget(self) -> None:
        """Hear no more of the socket."""
        if self._timer is not None:
            self._timer.cancel()
        listeners, self._listeners = self._listeners, []
        for type, listener in listeners:
            self.raw.removeEventListener(type, listener)
        # Not now: one of them may be running.
        self._runtime.soon(lambda: self._bridge.free(listeners))

    def close(self, code: int | None, reason: str) -> None:
        if code is None:
            self.raw.close()
        else:
            self._bridge.call(self.raw, "close", code, reason)

    def abort(self) -> None:
        # A browser has nothing harder than close(); what comes of it is not listened to any more.
        self._forget()
        self.raw.close()

    def buffered(self) -> int:
        return int(self.raw.bufferedAmount)

    def poll(self) -> None:
        if self.raw.readyState >= 2:
            self._sink.closing()


class JavaScriptRuntime(Runtime):
    """The services for sockets of a runtime without asyncio's loop, over the timers of JavaScript."""

    bridge: Bridge

    def soon(self, callback: "Callable[[], Any]") -> None:
        JavaScriptTimer(self.bridge.scope, 0, callback)

    def later(self, seconds: float, callback: "Callable[[], Any]") -> "JavaScriptTimer":
        return JavaScriptTimer(self.bridge.scope, seconds, callback)


class JavaScriptTimer(Timer):
    """A timer of JavaScript."""

    def __init__(self, scope: "Any", seconds: float, callback: "Callable[[], Any]") -> None:
        self._scope = scope
        self._id = scope.setTimeout(lambda: callback(), int(seconds * 1000))

    def cancel(self) -> None:
        self._scope.clearTimeout(self._id)


class Queue:
    """First in, first out; MicroPython's deque has a fixed length, and Brython's costs time to import."""

    def __init__(self) -> None:
        self._in: list[Any] = []
        self._out: list[Any] = []  # the older ones, last first

    def __len__(self) -> int:
        return len(self._in) + len(self._out)

    def append(self, item: "Any") -> None:
        self._in.append(item)

    def appendleft(self, item: "Any") -> None:
        self._out.append(item)

    def popleft(self) -> "Any":
        if not self._out:
            self._out = self._in
            self._out.reverse()
            self._in = []
        return self._out.pop()


async def reported(coroutine: "Coroutine[Any, Any, Any]", report: "Callable[[BaseException, Any], None]") -> None:
    """Run a coroutine that nobody waits for."""
    try:
        await coroutine
    except Exception as error:
        report(error, None)


def run_sync(make: "Any", put_back: "Any" = None) -> "Any":
    """Nothing can wait here but a coroutine."""
    raise NotImplementedError(BLOCKING)


def load_adapter(name: str) -> "Any":
    """Adapters of installed packages are for CPython; here an adapter is imported and passed."""
    raise LookupError("adapters by name (" + name + ") are for CPython; pass the adapter itself")
