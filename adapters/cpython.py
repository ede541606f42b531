"""CPython, over `websockets`. What costs time to import is imported with the first socket."""

from collections.abc import Mapping

from unisocket.adapters import Adapter, _language
from unisocket.adapters._language import *  # noqa: F403  what `_runtime` asks for
from unisocket.errors import InvalidURLError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from unisocket.adapters import Runtime, Sink, Transport

__all__: tuple[str, ...] = ("CPythonAdapter", "TkDispatch")
__all__ += _language.__all__

supported = True

MIB = 2**20
USER_AGENT = "unisocket"


class CPythonAdapter(Adapter):
    """Opens connections over `websockets`; by default it does what a browser does.

    All durations are in seconds, None = for ever.

    Args:
        ssl: TLS context for wss; None = verify with the system's certificates.
        headers: Further headers of the opening handshake, a mapping or pairs.
        origin: Value of the Origin header; None = none.
        user_agent: Value of the User-Agent header; None = none.
        proxy: True = that of the environment, but never for loopback; None = none; or its URL
            (http, https; socks5 and socks5h with `python-socks`).
        compression: "deflate" offers permessage-deflate (RFC 7692), None nothing.
        max_size: Largest message to take, in bytes; None = any.
        open_timeout: For the opening of a connection.
        close_timeout: For the peer to answer a close frame.
        ping_interval: Between pings that look whether the peer is there; None = no pings.
        ping_timeout: For the answer to a ping; None = no limit.
        base_url: What relative URLs are relative to.
        local_address: Address and port to connect from, port 0 = any; None = the system's choice.
        happy_eyeballs_delay: How long an address of a host is tried before the next one is tried
            beside it (RFC 8305); None = one after the other.
        unix: Path of a Unix socket to connect to, whatever the host of the URL, past all proxies.
        queue_per_host: Whether connections to one host and port open one after the other, as RFC 6455
            section 4.1 has it; by default many may open at a time.
        max_running_handlers: How many coroutines of async handlers a socket may run at a time; None = any
            number. When so many run, further events wait, and reading stops: so a fast peer cannot start
            more of them than memory holds. Handlers that wait for a later message then wait for ever.
        thread: Whether the network runs in one background thread for all sockets, and events where
            `dispatch` calls. `send()` and `close()` are then safe from any thread.
        dispatch: Is given, in that background thread, callables without arguments; it returns at
            once and has them called later, one after the other and in that order, in one thread:
            `loop.call_soon_threadsafe`, trio's `token.run_sync_soon`, a `TkDispatch`, `emit` of a
            queued Qt signal. Async handlers take an asyncio or trio loop that runs there.

    Raises:
        TypeError: A header is not a pair of str, or `dispatch` not callable.
        ValueError: A header would break the request, stands there twice, or is the handshake's own; one of
            `thread` and `dispatch` without the other; or an option that is none.
        InvalidURLError: `base_url` cannot be parsed.
    """

    name = "cpython"
    capabilities: tuple[str, ...] = (
        "abort",
        "await-connect",
        "base-url",
        "cancellation",
        "memoryview-steps",
        "pause",
        "ping",
        "signatures",
    )

    def __init__(
        self,
        *,
        ssl: "ssl_module.SSLContext | None" = None,
        headers: "Mapping[str, str] | Sequence[tuple[str, str]] | None" = None,
        origin: str | None = None,
        user_agent: str | None = USER_AGENT,
        proxy: str | bool | None = True,
        compression: str | None = "deflate",
        max_size: int | None = 64 * MIB,
        open_timeout: float | None = 10.0,
        close_timeout: float | None = 10.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        base_url: str | None = None,
        local_address: tuple[str, int] | None = None,
        happy_eyeballs_delay: float | None = 0.25,
        unix: str | None = None,
        queue_per_host: bool = False,
        max_running_handlers: int | None = None,
        thread: bool = False,
        dispatch: "Callable[[Callable[[], Any]], Any] | None" = None,
    ) -> None:
        if thread and dispatch is None:
            raise ValueError(
                "thread=True needs dispatch=..., which has events handled in your thread: loop.call_soon_threadsafe "
                "of asyncio, token.run_sync_soon of trio, TkDispatch(root), or emit of a queued Qt signal"
            )
        if dispatch is not None and not thread:
            raise ValueError("dispatch=... goes with thread=True; without it handlers run where the network does")
        if dispatch is not None and not callable(dispatch):
            raise TypeError("dispatch is a callable that takes a callable, not " + type(dispatch).__name__)
        if proxy not in (True, False, None) and not isinstance(proxy, str):
            raise ValueError(f"proxy is True, None or a URL, not {proxy!r}")
        if compression not in ("deflate", None):
            raise ValueError(f'compression is "deflate" or None, not {compression!r}')
        check_number("max_running_handlers", max_running_handlers, 1)
        check_number("max_size", max_size)
        check_number("open_timeout", open_timeout)
        check_number("close_timeout", close_timeout)
        check_number("ping_interval", ping_interval, 0.001)
        check_number("ping_timeout", ping_timeout)
        check_number("happy_eyeballs_delay", happy_eyeballs_delay)
        self.ssl = ssl
        self.headers = checked_headers(headers, origin, user_agent)
        self.origin = origin
        self.user_agent = user_agent
        self.proxy = proxy or None
        self.compression = compression
        self.max_size = max_size
        self.open_timeout = open_timeout
        self.close_timeout = close_timeout
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        if base_url is not None:
            import ada_url

            from unisocket._checks import shown_url

            if not ada_url.check_url(base_url):
                raise InvalidURLError(f"the base_url {shown_url(base_url)} is not an absolute URL")
        self.base_url = base_url
        self.local_address = local_address
        self.happy_eyeballs_delay = happy_eyeballs_delay
        self.unix = unix
        self.queue_per_host = queue_per_host
        self.max_running_handlers = max_running_handlers
        self.thread = thread
        self.dispatch = dispatch

    def parse_url(self, url: str) -> str | None:
        import ada_url

        try:
            record = ada_url.URL(url, self.base_url)
            return str(record.href) if _is_idna(ada_url, record.hostname) else None
        except ValueError:
            if self.base_url is None and _is_relative(ada_url, url):
                raise InvalidURLError(
                    "a relative URL needs a base: unisocket.use(CPythonAdapter(base_url='ws://host:port/'))"
                ) from None
            return None

    def patient(self) -> "CPythonAdapter":
        if self.open_timeout is None:
            return self
        import copy

        adapter = copy.copy(self)
        adapter.open_timeout = None
        return adapter

    def runtime(self) -> "Runtime":
        from unisocket.adapters import _cpython

        # What blocks (`unisocket.sync`) has its sockets in the background thread, and no use for dispatch.
        if self.dispatch is None or _cpython.background.runs_here():
            return _cpython.runtime()
        from unisocket.adapters import _threads

        return _threads.ThreadRuntime(self.dispatch)

    def open(self, url: str, protocols: list[str], sink: "Sink", runtime: "Runtime") -> "Transport":
        from unisocket.adapters import _cpython, _websockets

        if isinstance(runtime, _cpython.CPythonRuntime):
            return _websockets.CPythonTransport(self, url, protocols, sink, runtime)
        from unisocket.adapters import _threads

        assert isinstance(runtime, _threads.ThreadRuntime)
        return _threads.ThreadTransport(self, url, protocols, sink, runtime)


# The handshake sends these itself (RFC 6455 section 4.1); how to have a say in them.
_OWN_HEADERS = {
    "connection": "leave it out",
    "host": "it is that of the URL",
    "sec-websocket-extensions": "there is the argument compression",
    "sec-websocket-key": "leave it out",
    "sec-websocket-protocol": "give WebSocket() the protocols",
    "sec-websocket-version": "leave it out",
    "upgrade": "leave it out",
}


def check_number(name: str, value: float | None, least: float = 0) -> None:
    """See that an option is None, or a number that is no less.

    Raises:
        ValueError: It is not.
    """
    if value is not None and not (isinstance(value, (int, float)) and value >= least):
        raise ValueError(f"{name} is None, or a number of at least {least:g}, not {value!r}")


def checked_headers(
    headers: "Mapping[str, str] | Sequence[tuple[str, str]] | None", origin: str | None, user_agent: str | None
) -> list[tuple[str, str]]:
    """Return the further headers, or raise before anything is sent.

    Raises:
        TypeError: A name or a value is not a str.
        ValueError: One would break the request, stands there twice, or is the handshake's own.

    Spec: RFC 9110 sections 5.1, 5.5 and 5.6.2.
    """
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError("headers are a mapping, or pairs of a name and a value")
    arguments = [("Origin", origin), ("User-Agent", user_agent)]
    for name, value in [*pairs, *((name, value) for name, value in arguments if value is not None)]:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(
                f"the header {name!r} must be a str, and so must its value, which is of type {type(value).__name__}"
            )
        if not name or not all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name):
            raise ValueError(f"the header name {name!r} must be made of letters, digits and !#$%&'*+-.^_`|~")
        if not all(c == "\t" or " " <= c <= "~" or "\x80" <= c <= "\xff" for c in value):
            raise ValueError(f"the header {name!r} must be one line of Latin-1 without control characters: encode it")
    seen = {"origin"} if origin is not None else set()
    if user_agent not in (None, USER_AGENT):
        seen.add("user-agent")
    for name, _ in pairs:
        key = name.lower()
        if key in _OWN_HEADERS:
            raise ValueError(f"the header {name!r} is the handshake's own: {_OWN_HEADERS[key]}")
        if key in seen:
            raise ValueError(f"the header {name!r} stands there twice: give it once, lists with commas")
        seen.add(key)
    return pairs


def _is_idna(ada_url: "Any", host: str) -> bool:
    """Check the Punycode of a host (UTS 46, ToASCII), which ada-url 4.0 takes on trust if all is ASCII."""
    if "xn--" not in host:
        return True
    try:
        labels = [name[4:].encode().decode("punycode") if name[:4] == "xn--" else name for name in host.split(".")]
        return bool(ada_url.URL("ws://" + ".".join(labels)).hostname == host)
    except ValueError:
        return False


DefaultAdapter = CPythonAdapter


class TkDispatch:
    """For `CPythonAdapter(thread=True, dispatch=TkDispatch(root))`: events in the thread of Tk's main loop.

    Nothing of Tk is safe to call from another thread, `after` included: so this polls a queue, in
    Tk's own. When the root window is destroyed, the connections are dropped.

    Args:
        root: The `tkinter.Tk`, or any widget, in whose thread this is made.
        interval: Between two looks at the queue, in seconds.
    """

    def __init__(self, root: "Any", interval: float = 0.01) -> None:
        self._root = root
        self._interval = max(1, round(interval * 1000))  # milliseconds
        self._queue: _language.Queue[Callable[[], Any]] = _language.Queue()
        self._destroyed = False
        root.bind("<Destroy>", self._on_destroy, add=True)
        self._poll()

    def __call__(self, callback: "Callable[[], Any]") -> None:
        """Have something called in Tk's thread; for the adapter."""
        if self._destroyed:
            raise RuntimeError("the Tk window is destroyed")
        self._queue.append(callback)

    def _poll(self) -> None:
        # First: a callback may run Tk's loop, as dialogs do.
        self._timer = self._root.after(self._interval, self._poll)
        for _ in range(len(self._queue)):
            if self._queue and not self._destroyed:
                self._queue.popleft()()

    def _on_destroy(self, event: "Any") -> None:
        if event.widget is self._root:  # a window hears of its children's end, too
            self._destroyed = True
            self._queue.clear()
            self._root.after_cancel(self._timer)


def _is_relative(ada_url: "Any", url: str) -> bool:
    try:
        ada_url.URL(url, "ws://base/")
    except ValueError:
        return False
    return True


def report(error: BaseException, event: "Any") -> None:
    """Tell asyncio's exception handler of an exception that a handler raised."""
    from unisocket.adapters import _asyncio

    _asyncio.report(error, event)


def run(coroutine: "Coroutine[Any, Any, Any] | None" = None) -> "Any":
    """Run until no socket is left, or run a coroutine; a program's last statement.

    Sockets that were made in this thread without a running loop begin to open here. In a browser
    it returns at once, for the page keeps running. Ctrl-C closes all sockets with 1001 and waits
    a second for them.

    Args:
        coroutine: What to run; None = until no socket is left.

    Raises:
        RuntimeError: A loop is running in this thread already.
    """
    from unisocket.adapters import _cpython

    return _cpython.run(coroutine)


def run_sync(make: "Callable[[], Coroutine[Any, Any, Any]]", put_back: "Callable[[Any], None] | None" = None) -> "Any":
    """Run a coroutine in the background thread, and wait for it.

    Args:
        make: Makes the coroutine.
        put_back: Gets the result, in that thread, when the waiting was interrupted too late to cancel it.
    """
    from unisocket.adapters import _cpython

    return _cpython.background.run(make, put_back)


def load_adapter(name: str) -> Adapter:
    """Load an adapter that an installed package offers (entry point group `unisocket.adapters`)."""
    from importlib.metadata import entry_points

    offered = entry_points(group="unisocket.adapters")
    if name not in offered.names:
        raise LookupError(
            f"no installed package offers the adapter {name!r}; there is: {', '.join(sorted(offered.names)) or 'none'}"
        )
    adapter = offered[name].load()()
    if not isinstance(adapter, Adapter):
        raise TypeError(f"the entry point {name!r} is no unisocket.adapters.Adapter")
    return adapter
