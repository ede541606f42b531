"""`websockets.exceptions`, as far as a client meets them; names, arguments and texts are that library's.

WebSocketException              unisocket.WebSocketError: the root of all exceptions of unisocket
├── ConnectionClosed
│   ├── ConnectionClosedOK
│   └── ConnectionClosedError
├── InvalidURI
├── InvalidHandshake
│   ├── InvalidMessage
│   ├── InvalidStatus
│   ├── InvalidHeader
│   │   └── InvalidUpgrade
│   ├── NegotiationError
│   ├── SecurityError
│   ├── ProxyError
│   └── ConnectionFailed        of this module: nobody says why; also an OSError, where there can be such a class
└── ConcurrencyError            unisocket.ConcurrencyError

Why a connection does not open, only CPython knows: elsewhere it is ConnectionFailed, or TimeoutError.
"""

import builtins

from unisocket.compat.websockets.frames import OK_CLOSE_CODES, Close, CloseCode
from unisocket.errors import ConcurrencyError
from unisocket.errors import WebSocketError as WebSocketException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ConcurrencyError",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "ConnectionFailed",
    "InvalidHandshake",
    "InvalidHeader",
    "InvalidMessage",
    "InvalidStatus",
    "InvalidURI",
    "InvalidUpgrade",
    "NegotiationError",
    "ProxyError",
    "SecurityError",
    "WebSocketException",
]


class ConnectionClosed(WebSocketException):
    """The connection is closed.

    Args:
        rcvd: The close frame that came, or None.
        sent: The close frame that was sent, or None.
        rcvd_then_sent: Whether that was the order; None unless there are both.

    Attributes:
        code: The peer's close code, 1006 without a close frame.
        reason: The peer's close reason, or "".
    """

    def __init__(self, rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None = None) -> None:
        if rcvd is None and sent is None:
            text = "no close frame received or sent"
        elif rcvd is None:
            text = "sent " + str(sent) + "; no close frame received"
        elif sent is None:
            text = "received " + str(rcvd) + "; no close frame sent"
        elif rcvd_then_sent:
            text = "received " + str(rcvd) + "; then sent " + str(sent)
        else:
            text = "sent " + str(sent) + "; then received " + str(rcvd)
        super().__init__(text)
        self.rcvd = rcvd
        self.sent = sent
        self.rcvd_then_sent = rcvd_then_sent
        self.code = CloseCode.ABNORMAL_CLOSURE if rcvd is None else rcvd.code
        self.reason = "" if rcvd is None else rcvd.reason

    def __reduce__(self) -> "Any":
        return type(self), (self.rcvd, self.sent, self.rcvd_then_sent)


class ConnectionClosedOK(ConnectionClosed):
    """Both close frames have the code 1000, 1001 or none (1005)."""


class ConnectionClosedError(ConnectionClosed):
    """One of them has another code, or there was none."""


class InvalidURI(WebSocketException):
    """The URI is not one of a WebSocket.

    Args:
        uri: What was given.
        msg: What is wrong with it.
    """

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__("%s isn't a valid URI: %s" % (uri, msg))
        self.uri = uri
        self.msg = msg

    def __reduce__(self) -> "Any":
        return type(self), (self.uri, self.msg)


class InvalidHandshake(WebSocketException):
    """The opening handshake failed."""


class InvalidMessage(InvalidHandshake):
    """The answer is not HTTP."""


class InvalidStatus(InvalidHandshake):
    """The server answered with something else than 101.

    Args:
        response: The answer of the library `websockets`; has `status_code`, `headers`, `body`.
    """

    def __init__(self, response: "Any") -> None:
        super().__init__("server rejected WebSocket connection: HTTP %d" % response.status_code)
        self.response = response

    def __reduce__(self) -> "Any":
        return type(self), (self.response,)


class InvalidHeader(InvalidHandshake):
    """A header of the answer is missing or wrong.

    Args:
        name: Of the header.
        value: What it says; None = it is missing.
    """

    def __init__(self, name: str, value: str | None = None) -> None:
        if value is None:
            text = "missing " + name + " header"
        elif value == "":
            text = "empty " + name + " header"
        else:
            text = "invalid " + name + " header: " + value
        super().__init__(text)
        self.name = name
        self.value = value

    def __reduce__(self) -> "Any":
        return type(self), (self.name, self.value)


class InvalidUpgrade(InvalidHeader):
    """It is the header Upgrade or Connection."""


class NegotiationError(InvalidHandshake):
    """The server chose a subprotocol or an extension that was not asked for."""


class SecurityError(InvalidHandshake):
    """The answer is longer than it may be."""


class ProxyError(InvalidHandshake):
    """The proxy does not let us through."""


if TYPE_CHECKING or hasattr(builtins, "ConnectionError"):

    class ConnectionFailed(InvalidHandshake, builtins.ConnectionError):
        """The connection could not be opened, and a browser does not tell why."""

else:  # MicroPython has no such built-in, and allows one exception base only

    class ConnectionFailed(InvalidHandshake):
        """The connection could not be opened, and a browser does not tell why."""


_BY_NAME = {
    "InvalidMessage": InvalidMessage,
    "NegotiationError": NegotiationError,
    "ProxyError": ProxyError,
    "SecurityError": SecurityError,
    "InvalidHandshake": InvalidHandshake,
    "ConcurrencyError": ConcurrencyError,
}


def closed(rcvd: Close | None, sent: Close | None, rcvd_then_sent: bool | None) -> ConnectionClosed:
    """Return the exception for how a connection was closed."""
    for close in (rcvd, sent):
        if close is None or close.code not in OK_CLOSE_CODES:
            return ConnectionClosedError(rcvd, sent, rcvd_then_sent)
    return ConnectionClosedOK(rcvd, sent, rcvd_then_sent)


def own(error: Exception) -> Exception:
    """Return the exception of this module for one of the library `websockets`; others as they are."""
    for kind in type(error).__mro__:
        if kind.__name__ == "InvalidStatus":
            return InvalidStatus(error.response)  # type: ignore[attr-defined]
        if kind.__name__ in ("InvalidUpgrade", "InvalidHeader"):
            header = InvalidUpgrade if kind.__name__ == "InvalidUpgrade" else InvalidHeader
            return header(error.name, error.value)  # type: ignore[attr-defined]
        if kind.__name__ in _BY_NAME:
            return _BY_NAME[kind.__name__](str(error))
    return error
