"""What a WebSocket server sends and takes, as bytes: RFC 6455, able to break every rule (CPython).

Nothing here does input or output. Written once more on purpose: a WebSocket library refuses to break
rules, and a peer that shared one with an adapter would share its mistakes.
"""

import base64
import binascii
import hashlib
import secrets
import struct
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, NamedTuple

Headers = list[tuple[str, str]]
Buffer = bytes | memoryview

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA  # RFC 6455 section 5.2
RSV1 = 4  # of the three reserved bits: "this message is compressed" (RFC 7692 section 6)
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

MAX_HEAD_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 128 * 1024 * 1024  # twice what every adapter takes


# Frames: RFC 6455 section 5.2.


class Frame(NamedTuple):
    """One frame as it came; `minimal` is whether its length took the fewest bytes."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool
    minimal: bool


class TooLongError(Exception):
    """A request or a message is longer than the peer keeps in memory."""


def make_frame(
    opcode: int,
    payload: bytes,
    *,
    fin: bool = True,
    masked: bool = False,
    rsv: int = 0,
    length: int | None = None,
) -> bytes:
    """Return a frame, right or wrong: servers do not mask, and `length` may belie the payload."""
    declared = len(payload) if length is None else length
    mask_bit = 0x80 if masked else 0
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    if declared < 126:
        head = struct.pack("!BB", first, mask_bit | declared)
    elif declared < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, declared)
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, declared)
    if masked:
        key = secrets.token_bytes(4)
        return b"".join((head, key, mask(payload, key)))
    return head + payload


def take_frame(buffer: bytearray) -> Frame | None:
    """Take one frame off the front of a buffer; None if it is not complete yet."""
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    length, start = second & 0x7F, 2
    if length > 125:
        start = 4 if length == 126 else 10
        if len(buffer) < start:
            return None
        length = int.from_bytes(buffer[2:start], "big")
    minimal = start == (2 if length < 126 else 4 if length < 1 << 16 else 10)
    masked = second >= 0x80
    start += 4 * masked
    end = start + length
    if length > MAX_MESSAGE_BYTES:
        raise TooLongError(f"a frame of {length} bytes")
    if len(buffer) < end:
        return None
    with memoryview(buffer) as view:
        payload = bytes(mask(view[start:end], view[start - 4 : start]) if masked else view[start:end])
    del buffer[:end]
    return Frame(first & 0xF, payload, first >= 0x80, first >> 4 & 7, masked, minimal)


# For each byte of a key, what it makes of every byte.
_XOR = [bytes(byte ^ key for byte in range(256)) for key in range(256)]


def mask(payload: Buffer, key: Buffer) -> bytearray:
    """Mask, or unmask, a payload (RFC 6455 section 5.3): every fourth byte at a time."""
    masked = bytearray(payload)
    for lane in range(4):
        masked[lane::4] = masked[lane::4].translate(_XOR[key[lane]])
    return masked


def close_body(code: int | None, reason: str = "") -> bytes:
    """Return the body of a close frame (RFC 6455 section 5.5.1)."""
    return b"" if code is None else struct.pack("!H", code) + encode(reason)


def encode(text: str) -> bytes:
    """Return UTF-8, or what a careless server makes of lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


def broken_frame_rules(frame: Frame, *, compression: bool) -> Iterator[str]:
    """Say what a client did wrong in a single frame."""
    allowed_rsv = RSV1 if compression and frame.opcode in (TEXT, BINARY) else 0
    if not frame.masked:
        yield "a frame that is not masked (RFC 6455 section 5.1)"
    if frame.rsv & ~allowed_rsv:
        yield f"reserved bits {frame.rsv} (RFC 6455 section 5.2)"
    if not frame.minimal:
        yield "a length in more bytes than it takes (RFC 6455 section 5.2)"
    if frame.opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
        yield f"the reserved opcode {frame.opcode} (RFC 6455 section 5.2)"
    if frame.opcode >= CLOSE and not frame.fin:
        yield "a fragmented control frame (RFC 6455 section 5.5)"
    if frame.opcode >= CLOSE and len(frame.payload) > 125:
        yield f"a control frame of {len(frame.payload)} bytes (RFC 6455 section 5.5)"


def broken_close_rules(body: bytes) -> Iterator[str]:
    """Say what a client did wrong in the body of its close frame."""
    if len(body) == 1:
        yield "a close frame of one byte (RFC 6455 section 5.5.1)"
    elif body:
        code = int.from_bytes(body[:2], "big")
        if not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            yield f"the close code {code} (RFC 6455 section 7.4)"
        if not is_utf8(body[2:]):
            yield "a close reason that is not UTF-8 (RFC 6455 section 5.5.1)"


def is_utf8(data: bytes) -> bool:
    """Return whether a text may hold these bytes (RFC 6455 section 8.1)."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


# The opening handshake: RFC 6455 section 4.


class Request(NamedTuple):
    """The head of an HTTP request."""

    method: str
    target: str
    version: str
    headers: Headers

    def all(self, name: str) -> list[str]:
        """Return the values of a header, in order."""
        return [value for other, value in self.headers if other.lower() == name]

    def tokens(self, name: str) -> list[str]:
        """Return the items of a header that holds a list."""
        return [item.strip().lower() for value in self.all(name) for item in value.split(",")]


def take_request(buffer: bytearray) -> Request | None:
    """Take the head of a request off the front of a buffer; None if it is not complete yet.

    Raises:
        ValueError: It is not HTTP.
        TooLongError: It does not end.
    """
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD_BYTES:
            raise TooLongError(f"a request of more than {MAX_HEAD_BYTES} bytes")
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")
    del buffer[: end + 4]
    method, target, version = lines[0].split(" ")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError("a header without a colon")
        headers.append((name, value.strip()))
    return Request(method, target, version, headers)


def broken_request_rules(request: Request) -> Iterator[str]:
    """Say what a client did wrong in its opening handshake (RFC 6455 section 4.1)."""
    if request.method != "GET" or request.version != "HTTP/1.1":
        yield f"the request line {request.method} {request.version} (RFC 6455 section 4.1)"
    if len(request.all("host")) != 1:
        yield "not one Host header (RFC 9110 section 7.2)"
    if "websocket" not in request.tokens("upgrade") or "upgrade" not in request.tokens("connection"):
        yield "no upgrade to websocket (RFC 6455 section 4.1)"
    if request.all("sec-websocket-version") != ["13"]:
        yield "not Sec-WebSocket-Version: 13 (RFC 6455 section 4.1)"
    keys = request.all("sec-websocket-key")
    try:
        sound = [len(base64.b64decode(key, validate=True)) for key in keys] == [16]
    except binascii.Error:
        sound = False
    if not sound:
        yield "not one Sec-WebSocket-Key of 16 bytes in base64 (RFC 6455 section 4.1)"


def make_upgrade(request: Request, options: dict[str, Any]) -> bytes:
    """Return the answer that accepts a request, bent by the options of the step "accept"."""
    key = "".join(request.all("sec-websocket-key")[:1])
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode(), usedforsecurity=False).digest()).decode()
    headers: list[tuple[str, str | None]] = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", options.get("accept", accept)),
        ("Sec-WebSocket-Protocol", options.get("protocol")),
        ("Sec-WebSocket-Extensions", options.get("extensions")),
    ]
    extra = options.get("headers", [])
    left_out = {name.lower() for name, value in extra if value is None}
    kept = [(name, value) for name, value in headers if name.lower() not in left_out]
    given = [(name, value) for name, value in [*kept, *extra] if value is not None]
    return make_head(options.get("status", "101 Switching Protocols"), given)


def make_response(status: int, headers: Headers, body: str) -> bytes:
    """Return an answer that ends the connection."""
    content = encode(body)
    phrase = HTTPStatus(status).phrase if status in list(HTTPStatus) else "Unknown"
    names = {name.lower() for name, _ in headers}
    defaults = [("Connection", "close"), ("Content-Length", str(len(content)))]
    filled = [*headers, *(pair for pair in defaults if pair[0].lower() not in names)]
    return make_head(f"{status} {phrase}", filled) + content


def make_head(status: str, headers: Headers) -> bytes:
    """Return a status line and headers."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")
