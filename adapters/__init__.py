"""What an adapter is: the one thing to write for a new runtime.

An adapter opens connections; a transport is one of them, and moves messages; a sink is told what
happens to it. States, events, checks and timers are not an adapter's business: `WebSocket` has
them. The suite in `unisocket.testing` says whether an adapter is right.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

# Fetch section 2.9, port blocking.
BLOCKED_PORTS = frozenset(
    [0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104]
    + [109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526]
    + [530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045]
    + [4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080]
)

__all__ = ("NO_HANDSHAKE", "Adapter", "Future", "NoTransport", "Runtime", "Sink", "Timer", "Transport", "authority_of")

NO_HANDSHAKE = 1006  # RFC 6455 section 7.4.1: no close frame came

_alive: list["Any"] = []  # the sockets that are not closed


def authority_of(url: str) -> str:
    """Return host and port of a serialised URL, without user name and password."""
    return url.split("/", 3)[2].split("@")[-1]


class Adapter:
    """Opens connections. It keeps no state of a loop: one serves many sockets.

    Attributes:
        name: What the support matrix calls it.
        capabilities: What this adapter can do beyond the contract or, where a case of the
            conformance suite names it, does not lack.
        close_timeout: How long a peer may take to answer a close frame, in seconds; None = for ever.
        max_running_handlers: How many coroutines of handlers a socket may run at a time; None = any number.
    """

    name = "adapter"
    capabilities: tuple[str, ...] = ()
    close_timeout: float | None = 10.0
    max_running_handlers: int | None = None

    def parse_url(self, url: str) -> str | None:
        """Parse a URL, relative ones against the base, if there is one.

        Args:
            url: A USVString.

        Returns:
            The serialised URL, or None if it cannot be parsed.

        Raises:
            InvalidURLError: Where more can be said than that.

        Spec: WHATWG URL, URL parsing and URL serializing.
        """
        raise NotImplementedError("an adapter has parse_url(url)")

    def refusal(self, url: str) -> str:
        """Return why a connection must not even be tried, or "".

        Args:
            url: A serialised URL with ws or wss.

        Spec: Fetch section 2.9, port blocking.
        """
        port = authority_of(url).split("]")[-1].partition(":")[2]
        return "port " + port + " is blocked" if port and int(port) in BLOCKED_PORTS else ""

    def patient(self) -> "Adapter":
        """Return an adapter that sets no limit of its own to the time of an opening: the caller has one."""
        return self

    def runtime(self) -> "Runtime":
        """Return the services of the runtime for one socket, which is being constructed."""
        raise NotImplementedError("an adapter has runtime()")

    def open(self, url: str, protocols: list[str], sink: "Sink", runtime: "Runtime") -> "Transport":
        """Begin to open a connection; the sink hears of the rest, and never inside this call.

        Args:
            url: What `WebSocket.url` is.
            protocols: The subprotocols to ask for; checked.
            sink: Is told what happens.
            runtime: What `runtime()` returned for this socket.
        """
        raise NotImplementedError("an adapter has open(url, protocols, sink, runtime)")


class Transport:
    """One connection.

    Attributes:
        raw: The runtime's own object, for what the contract does not cover.
        polls: Whether the peer's close frame is seen only by `poll()`. What is sent after it, and before
            it is seen, is for the transport to drop, and for `buffered()` to count.
        any_text: Whether `send_text()` makes a USVString of any str itself.
        pauses: Whether `pause()` stops the reading.
        batches: Whether it tells of the messages of one read in a row, and calls `sink.batch`.
        shared: What those who block may receive from and send to in their own threads, past the
            network's; None = nothing.
    """

    raw: "Any" = None
    pauses = False
    batches = False
    shared: "Any" = None
    polls = False
    any_text = False

    def send_text(self, text: str) -> None:
        """Send a text message; `text` is a USVString, or any str if `any_text`. Only while the connection is open."""
        raise NotImplementedError("a transport has send_text(text)")

    def send_binary(self, data: bytes) -> None:
        """Send a binary message. Called only while the connection is open."""
        raise NotImplementedError("a transport has send_binary(data)")

    def close(self, code: int | None, reason: str) -> None:
        """Start the closing handshake; `sink.closed()` follows when the peer has answered.

        Args:
            code: Close code; None = a close frame without a body.
            reason: A USVString of at most 123 bytes.
        """
        raise NotImplementedError("a transport has close(code, reason)")

    def abort(self) -> None:
        """Drop the connection, or stop opening it. The sink is told nothing from here on."""
        raise NotImplementedError("a transport has abort()")

    def buffered(self) -> int:
        """Return the payload bytes that were sent and not yet handed to the network."""
        raise NotImplementedError("a transport has buffered()")

    def poll(self) -> None:
        """Look whether the peer's close frame has come, where the runtime does not tell by itself."""

    def pause(self) -> None:
        """Stop reading, where the runtime can; what was read is told all the same."""

    def resume(self) -> None:
        """Read again."""


class NoTransport(Transport):
    """The transport of a connection that is not even tried."""

    def abort(self) -> None:
        pass

    def buffered(self) -> int:
        return 0


class Sink:
    """What a transport tells, always as a task of its own, never inside a call of the transport.

    Attributes:
        opened: `opened(protocol, extensions)`: the opening handshake is done; "" = none chosen.
        text: `text(data)`: a text message, str. Look it up for each message: it changes.
        binary: `binary(data)`: a binary message, exactly bytes, unless there is `view`. Likewise.
        drained: `drained()`: much of what was buffered has left.
        closing: `closing()`: the peer's close frame has come.
        closed: `closed(code, reason, clean, message)`: once, last. The peer's code (1005 = none,
            1006 = no close frame) and reason, whether the handshake was completed, and why not.
        batch: `batch()`, where it is not None, is called after the messages of one read, by a transport that
            `batches`.
        time: What `timeStamp` is of the messages that are told of now, where the transport reads
            the clock once for many; else None.
        view: Whether a memoryview of the binary messages is wanted: then they may be bytearrays that
            nobody else has, where these are made quicker than bytes.
    """

    __slots__ = ("batch", "binary", "closed", "closing", "drained", "opened", "text", "time", "view")

    def __init__(
        self,
        opened: "Callable[[str, str], None]",
        text: "Callable[[Any], None]",
        binary: "Callable[[bytes], None]",
        drained: "Callable[[], None]",
        closing: "Callable[[], None]",
        closed: "Callable[[int, str, bool, str], None]",
    ) -> None:
        self.opened = opened
        self.text = text
        self.binary = binary
        self.drained = drained
        self.closing = closing
        self.closed = closed
        self.batch: Callable[[], None] | None = None
        self.time: float | None = None
        self.view = False


class Timer:
    """What `Runtime.later()` returns."""

    def cancel(self) -> None:
        """Let the callback not be called any more."""
        raise NotImplementedError("a timer has cancel()")


class Future:
    """What `Runtime.future()` returns: can be awaited, by one coroutine at a time."""

    def set_result(self, result: "Any") -> None:
        """Wake the coroutine that waits; the second time does nothing."""
        raise NotImplementedError("a future has set_result(result)")

    def __await__(self) -> "Any":
        raise NotImplementedError("a future can be awaited")


class Runtime:
    """What portable code needs of a runtime to wait and to run coroutines.

    Attributes:
        eager: Whether `spawn()` runs a coroutine to its first await before it returns.
    """

    eager = False

    def soon(self, callback: "Callable[[], Any]") -> None:
        """Call back as a task of its own, as soon as can be."""
        raise NotImplementedError("a runtime has soon(callback)")

    def later(self, seconds: float, callback: "Callable[[], Any]") -> Timer:
        """Call back after a time, in seconds."""
        raise NotImplementedError("a runtime has later(seconds, callback)")

    def spawn(self, coroutine: "Coroutine[Any, Any, Any]") -> "Any":
        """Start a coroutine, and keep it alive until it ends; it handles its own exceptions."""
        raise NotImplementedError("a runtime has spawn(coroutine)")

    def future(self) -> Future:
        """Return a new future."""
        raise NotImplementedError("a runtime has future()")

    def wake(self, future: Future) -> None:
        """Let the coroutine that waits for a future go on: as soon as can be, at once if need be."""
        future.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait, in seconds."""
        future = self.future()
        timer = self.later(seconds, lambda: future.set_result(None))
        try:
            await future
        finally:
            timer.cancel()

    def at_home(self, callback: "Callable[[], Any]") -> None:
        """Call back where the handlers of the socket run: now, unless this is another thread."""
        callback()

    def keep(self, websocket: "Any") -> None:
        """Keep a socket alive until it is let go: it lives until its close, referenced or not."""
        _alive.append(websocket)

    def let_go(self, websocket: "Any") -> None:
        """Stop keeping a socket."""
        _alive[:] = [other for other in _alive if other is not websocket]
