"""What Brython's module `browser.websocket` has: `supported` and `WebSocket`."""

from unisocket import _websocket
from unisocket._runtime import supported
from unisocket.compat._native import bytes_of_buffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("WebSocket", "supported")

# What the parameters of `bind()` are called in Brython's documentation and in its source.
_NAMES = {"evt": "type", "event": "type", "function": "listener", "callback": "listener"}


class WebSocket(_websocket.WebSocket):
    """`unisocket.WebSocket`, with the habits of Brython's.

    `bind(event, function)` takes functions with and without an argument, and is a decorator without
    a function. Binary messages arrive as bytes.

    Args:
        url, protocols, adapter, handlers: As for `unisocket.WebSocket`.
        host: Another name of `url`.
    """

    def __init__(
        self, url: str | None = None, protocols: "Any" = None, *, host: str | None = None, **options: "Any"
    ) -> None:
        super().__init__(host if url is None else url, protocols, **options)  # type: ignore[arg-type]

    def bind(self, *arguments: "Any", **named: "Any") -> "Any":
        """Call a function (`function=` or `callback=`) for each event of a type (`evt=` or `event=`).

        See `unisocket.WebSocket.bind`.
        """
        return super().bind(*arguments, **_renamed(named))

    def unbind(self, *arguments: "Any", **named: "Any") -> None:
        """Remove a function, or all that were bound; takes what `bind()` takes."""
        super().unbind(*arguments, **_renamed(named))

    def send(self, data: "Any") -> None:
        """Send a message; see `unisocket.WebSocket.send`.

        Args:
            data: str, bytes-like, or a buffer of JavaScript.
        """
        taken = None if isinstance(data, (str, bytes, bytearray, memoryview)) else bytes_of_buffer(data)
        super().send(data if taken is None else taken)

    def close(self, code: int | None = 1000, reason: str | None = "") -> None:
        """Start to close the connection; see `unisocket.WebSocket.close`.

        Args:
            code: 1000 or 3000 to 4999.
            reason: For the peer; at most 123 bytes of UTF-8.
        """
        super().close(code, reason)

    def bindings(self) -> "dict[str, tuple[Any, ...]]":
        """Return the functions that `bind()` has bound, in their order, for each type of event that has any."""
        bound = {}
        for type, listeners in self._listeners._lists.items():
            functions = tuple([listener.callback for listener in listeners if listener.bound])
            if functions:
                bound[type[2:]] = functions
        return bound


def _renamed(named: "dict[str, Any]") -> "dict[str, Any]":
    return {_NAMES.get(name, name): value for name, value in named.items()}
