"""Every exception of unisocket.

WebSocketError
├── InvalidURLError               SyntaxError
├── InvalidProtocolError          SyntaxError
├── InvalidStateError             InvalidStateError
├── InvalidCloseCodeError         InvalidAccessError
├── CloseReasonTooLongError       SyntaxError
├── ConnectionFailedError
├── ConnectionClosed
│   ├── ConnectionClosedOK        1000, 1001 or no code (1005)
│   └── ConnectionClosedError     everything else
├── TimeoutError                  also a built-in TimeoutError, where there is one
└── ConcurrencyError

On the right stands `name`, the WHATWG DOMException that a browser would throw.
"""

import builtins

__all__ = (
    "CloseReasonTooLongError",
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionFailedError",
    "InvalidCloseCodeError",
    "InvalidProtocolError",
    "InvalidStateError",
    "InvalidURLError",
    "TimeoutError",
    "WebSocketError",
)

TYPE_CHECKING = False

# Codes with which a peer says that all is well; 1005: it said nothing (RFC 6455 section 7.4.1).
OK_CODES = (1000, 1001, 1005)


class WebSocketError(Exception):
    """The root of all exceptions of unisocket.

    Attributes:
        name: Name of the WHATWG DOMException that this stands for, "" if there is none.
    """

    name = ""


class InvalidURLError(WebSocketError):
    """The URL cannot be parsed, has a fragment, or is not ws, wss, http or https."""

    name = "SyntaxError"


class InvalidProtocolError(WebSocketError):
    """A subprotocol is not a token of RFC 9110, or is asked for twice."""

    name = "SyntaxError"


class InvalidStateError(WebSocketError):
    """The operation is not possible in this `readyState`, or while an event is being dispatched."""

    name = "InvalidStateError"


class InvalidCloseCodeError(WebSocketError):
    """The close code is neither 1000 nor in 3000-4999."""

    name = "InvalidAccessError"


class CloseReasonTooLongError(WebSocketError):
    """The close reason is longer than 123 bytes of UTF-8."""

    name = "SyntaxError"


class ConnectionFailedError(WebSocketError):
    """The connection could not be opened.

    Attributes:
        url: The URL, without user name, password and query.
        message: What is known of why; "" in browsers, which tell nothing.
    """

    def __init__(self, url: str, message: str = "") -> None:
        super().__init__("cannot connect to " + url + (": " + message if message else ""))
        self.url = url
        self.message = message

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.url, self.message)


class ConnectionClosed(WebSocketError):
    """The connection is closed.

    Attributes:
        code: Close code: the peer's, 1005 if it gave none, 1006 if there was no closing handshake.
        reason: Close reason, "" if there is none.
        wasClean: Whether the closing handshake was completed.
    """

    def __init__(self, code: int, reason: str = "", wasClean: bool = False) -> None:
        ending = "cleanly" if wasClean else "without a closing handshake"
        super().__init__("closed %s, code %d%s" % (ending, code, " (" + reason + ")" if reason else ""))
        self.code = code
        self.reason = reason
        self.wasClean = wasClean

    def __reduce__(self) -> tuple[type, tuple[int, str, bool]]:
        return type(self), (self.code, self.reason, self.wasClean)


class ConnectionClosedOK(ConnectionClosed):
    """The connection is closed, and all is well: code 1000, 1001 or none (1005)."""


class ConnectionClosedError(ConnectionClosed):
    """The connection is closed with any other code, or was lost (1006)."""


if TYPE_CHECKING or hasattr(builtins, "TimeoutError"):

    class TimeoutError(WebSocketError, builtins.TimeoutError):
        """Time ran out; nothing is lost, the connection lives."""

else:  # MicroPython has no such built-in, and allows one exception base only

    class TimeoutError(WebSocketError):
        """Time ran out; nothing is lost, the connection lives."""


class ConcurrencyError(WebSocketError):
    """Two calls wait for the next message of one connection at the same time."""
