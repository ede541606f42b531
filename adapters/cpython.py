"""CPython, over `websockets`. What costs time to import is imported with the first socket."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unisocket.adapters import Adapter
from unisocket.adapters._language import Queue, cancelled, is_coroutine, now, takes_nothing, usv_string
from unisocket.errors import InvalidURLError

if TYPE_CHECKING:
    import ssl as ssl_module

    from unisocket.adapters import Runtime, Sink, Transport

__all__ = ("CPythonAdapter", "Queue", "cancelled", "is_coroutine", "now", "takes_nothing", "usv_string")

NAME = "cpython"
supported = True

MIB = 2**20


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
    """

    name = NAME
    capabilities: tuple[str, ...] = ("abort", "base-url", "memoryview-steps", "pause", "ping", "signatures")

    def __init__(
        self,
        *,
        ssl: "ssl_module.SSLContext | None" = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        origin: str | None = None,
        user_agent: str | None = "unisocket",
        proxy: str | bool | None = True,
        compression: str | None = "deflate",
        max_size: int | None = 64 * MIB,
        open_timeout: float | None = 10.0,
        close_timeout: float | None = 10.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        base_url: str | None = None,
    ) -> None:
        self.ssl = ssl
        self.headers = headers
        self.origin = origin
        self.user_agent = user_agent
        self.proxy = proxy
        self.compression = compression
        self.max_size = max_size
        self.open_timeout = open_timeout
        self.close_timeout = close_timeout
        self.ping_interval = ping_interval
        self.ping_timeout = ping_timeout
        self.base_url = base_url

    def parse_url(self, url: str) -> str | None:
        import ada_url

        try:
            return str(ada_url.URL(url, self.base_url).href)
        except ValueError:
            if self.base_url is None and _is_relative(ada_url, url):
                raise InvalidURLError(
                    "a relative URL needs a base: unisocket.use(CPythonAdapter(base_url='ws://host:port/'))"
                ) from None
            return None

    def runtime(self) -> "Runtime":
        from unisocket.adapters import _cpython

        return _cpython.runtime()

    def open(self, url: str, protocols: list[str], sink: "Sink", runtime: "Runtime") -> "Transport":
        from unisocket.adapters import _cpython, _websockets

        assert isinstance(runtime, _cpython.CPythonRuntime)
        return _websockets.CPythonTransport(self, url, protocols, sink, runtime)


DefaultAdapter = CPythonAdapter


def _is_relative(ada_url: Any, url: str) -> bool:
    try:
        ada_url.URL(url, "ws://base/")
    except ValueError:
        return False
    return True


def report(error: BaseException, event: Any) -> None:
    """Tell asyncio's exception handler of an exception that a handler raised."""
    from unisocket.adapters import _asyncio

    _asyncio.report(error, event)


def run(coroutine: "Coroutine[Any, Any, Any] | None" = None) -> Any:
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


def run_sync(make: "Callable[[], Coroutine[Any, Any, Any]]", put_back: "Callable[[Any], None] | None" = None) -> Any:
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
