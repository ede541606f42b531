"""What a URL, a subprotocol, a close code, a reason, a message and a handler may be.

Every mistake is found here, in Python, before anything foreign is called: so it raises the same
exception with the same words in every runtime.

What is of a subclass of str or bytes becomes one of these, by a slice: JavaScript would not know it.
"""

from unisocket import _runtime
from unisocket.adapters import authority_of
from unisocket.errors import (
    CloseReasonTooLongError,
    InvalidCloseCodeError,
    InvalidProtocolError,
    InvalidURLError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from unisocket.adapters import Adapter

HANDLERS = ("onopen", "onmessage", "onerror", "onclose")

# A control frame carries 125 bytes (RFC 6455 section 5.5); the code takes two.
MAX_REASON_BYTES = 123

# RFC 9110 section 5.6.2.
_TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# http and https become ws and wss (WHATWG WebSockets section 3.1, the constructor).
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def checked_url(url: str, adapter: "Adapter") -> str:
    """Return the URL as it is serialised, absolute and with ws or wss.

    Raises:
        TypeError: `url` is not a str.
        InvalidURLError: It cannot be parsed, has a fragment or another scheme.

    Spec: WHATWG WebSockets section 3.1, "obtain a WebSocket URL record"; WHATWG URL.
    """
    if not isinstance(url, str):
        raise TypeError("the URL must be a str, not " + type(url).__name__)
    url = url[:]
    href = adapter.parse_url(_runtime.usv_string(url))
    if href is None:
        raise InvalidURLError(
            shown_url(url)
            + " is not a valid URL; it looks like ws://host:port/path, or is relative where there is a base"
        )
    scheme, rest = href.split(":", 1)
    if scheme not in _SCHEMES:
        raise InvalidURLError("the URL must begin with ws:, wss:, http: or https:, not " + shown(scheme + ":"))
    if "#" in href:
        raise InvalidURLError("the URL must not have a fragment (#): " + shown_url(url))
    # Chromium takes a space in a host, against the standard: look at what it made of it.
    if "%" in authority_of(href):
        raise InvalidURLError("the host of the URL has a character that no host has: " + shown_url(url))
    return _SCHEMES[scheme] + ":" + rest


def shown_url(url: str) -> str:
    """Quote what may be no URL, but for what would be its user name, password and query."""
    head, *query = url.split("?", 1)  # in Brython partition() counts wrong behind an astral character
    if "@" in head:
        head = (head.split("//")[0] + "//" if "//" in head else "") + "...@" + head.split("@")[-1]
    return shown(head + ("?..." if query else ""))


def without_secrets(url: str) -> str:
    """Return a serialised URL without user name, password and query, for logs and messages."""
    scheme, rest = url.split("://", 1)
    host, slash, path = rest.partition("/")
    return scheme + "://" + host.split("@")[-1] + slash + path.split("?", 1)[0]


def origin_of(url: str) -> str:
    """Return the origin of a serialised URL, as message events have it."""
    return url.split(":", 1)[0] + "://" + authority_of(url)


def checked_protocols(protocols: "str | Sequence[str] | None") -> list[str]:
    """Return the list of subprotocols to ask for.

    Raises:
        TypeError: Neither a str nor a sequence of str.
        InvalidProtocolError: One is not a token, or stands there twice.

    Spec: WHATWG WebSockets section 3.1, the constructor; RFC 6455 section 4.1; RFC 9110 section 5.6.2.
    """
    if protocols is None:
        return []
    names = []
    seen = []
    for protocol in [protocols] if isinstance(protocols, str) else _sequence(protocols):
        if not isinstance(protocol, str):
            raise TypeError("a subprotocol must be a str, not " + type(protocol).__name__)
        name = protocol[:]
        if not name:
            raise InvalidProtocolError("a subprotocol must not be empty")
        for character in name:
            if character not in _TOKEN:
                raise InvalidProtocolError(
                    "a subprotocol is made of letters, digits and !#$%&'*+-.^_`|~, which " + shown(name) + " is not"
                )
        if name.lower() in seen:
            raise InvalidProtocolError("the subprotocol " + shown(name) + " is asked for twice")
        seen.append(name.lower())
        names.append(name)
    return names


def _sequence(protocols: "Any") -> list[str]:
    # A dict or a set has no order, and the order is the order of preference; bytes are numbers.
    if not isinstance(protocols, (dict, set, frozenset, bytes, bytearray, memoryview)):
        try:
            return list(protocols)
        except TypeError:
            pass  # and raises another one, with the same words everywhere
    raise TypeError("protocols must be a str or a sequence of str, not " + type(protocols).__name__)


def checked_close(code: int | None, reason: str | None) -> tuple[int | None, str]:
    """Return the code and reason to send, or raise before anything is sent.

    Args:
        code: Close code, or None for a close frame without a body.
        reason: Explanation for the peer, or None.

    Returns:
        The pair to put on the wire. A reason without a code gets 1000.

    Raises:
        TypeError: `code` is not an int, or `reason` not a str.
        InvalidCloseCodeError: `code` is neither 1000 nor in 3000-4999.
        CloseReasonTooLongError: `reason` is longer than 123 bytes.

    Spec: WHATWG WebSockets section 3.1, close(code, reason); RFC 6455 sections 5.5.1 and 7.4.
    """
    if code is not None:
        if not isinstance(code, int) or isinstance(code, bool):
            raise TypeError("the close code must be an int, not " + type(code).__name__)
        code = int(code)
        if code != 1000 and not 3000 <= code <= 4999:
            raise InvalidCloseCodeError("the close code must be 1000 or in 3000-4999, not " + str(code))
    if reason is None:
        return code, ""
    if not isinstance(reason, str):
        raise TypeError("the close reason must be a str, not " + type(reason).__name__)
    reason = _runtime.usv_string(reason[:])
    size = len(reason.encode())
    if size > MAX_REASON_BYTES:
        raise CloseReasonTooLongError("the close reason has %d bytes; at most 123 fit" % size)
    return 1000 if code is None else code, reason


def checked_handlers(websocket: "Any", base: type, handlers: "dict[str, Any]") -> None:
    """Check the keywords of a constructor, and that no subclass hides a handler.

    Raises:
        TypeError: An unknown keyword, or a subclass with a method of a handler's name.
    """
    for name in sorted(handlers):
        if name not in HANDLERS:
            raise TypeError(
                "WebSocket() has no argument " + shown(name) + "; the handlers are onopen, onmessage, onerror, onclose"
            )
    for name in HANDLERS:
        if getattr(type(websocket), name) is not getattr(base, name):
            raise TypeError(
                "a method of the name %s would never be called: give it another name, say handle_%s, "
                "and assign it in __init__: self.%s = self.handle_%s" % (name, name[2:], name, name[2:])
            )


def checked_handler(name: str, handler: "Any") -> None:
    """Check what is assigned to onX.

    Raises:
        TypeError: Neither callable nor None.
    """
    if handler is not None and not callable(handler):
        raise TypeError(name + " must be a callable or None, not " + type(handler).__name__)


def checked_data(data: "Any") -> "str | bytes":
    """Return a message as it goes out: text as a USVString, binary as bytes of its own.

    Raises:
        TypeError: Neither str nor bytes, bytearray or memoryview, or a memoryview that is not contiguous.
    """
    if isinstance(data, str):
        return _runtime.usv_string(data[:])
    if type(data) is bytes:
        return data
    if isinstance(data, (bytes, bytearray)):
        return bytes(data if type(data) is bytearray else data[:])
    if isinstance(data, memoryview):
        if getattr(data, "contiguous", True):
            # MicroPython's have no tobytes(); in Brython bytes() fails where items are wider than a byte.
            return data.tobytes() if hasattr(data, "tobytes") else bytes(data)
        raise TypeError("a memoryview must be contiguous to be sent; copy it: send(bytes(view))")
    raise TypeError("send() takes str, bytes, bytearray or memoryview, not " + type(data).__name__)


def shown(text: str) -> str:
    """Quote a text for a message, the same in every runtime (their repr() differ)."""
    quoted = ""
    for character in text[:100]:
        plain = " " <= character <= "~" and character not in "'\\"
        quoted += character if plain else "\\u{%x}" % ord(character)
    return "'" + quoted + ("'..." if len(text) > 100 else "'")
