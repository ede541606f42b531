"""Responses to the opening handshake of CPython, and what went wrong, for people."""

import re

from websockets.exceptions import InvalidProxy, InvalidStatus
from websockets.http11 import Response
from websockets.streams import StreamReader

# The beginning of a response of 1xx, but of a 101; and how much its head may take.
INTERIM = re.compile(rb"HTTP/1\.1 1(?!01)\d\d")
MAX_INTERIM = 2**14


def without_interim(data: bytes) -> tuple[bytes, bytes]:
    """Leave out interim responses, which may come before the response (RFC 9110 section 15.2).

    Returns:
        What belongs to the response; or, instead, what may be the beginning of an interim one.
    """
    while INTERIM.match(data):
        end = data.find(b"\r\n\r\n")
        if end < 0:
            # Of one that is too long, `websockets` says what is wrong.
            return (b"", data) if len(data) < MAX_INTERIM else (data, b"")
        data = data[end + 4 :]
    return (b"", data) if len(data) < 12 and b"HTTP/1.1 1".startswith(data[:10]) else (data, b"")


def response_of(head: bytes | bytearray) -> Response:
    """Parse a response whose head is whole; of its body, it has what is there."""
    reader = StreamReader()
    reader.feed_data(head)
    # A proxy's answer to CONNECT has no body.
    parsing = Response.parse(reader.read_line, reader.read_exact, reader.read_to_eof, proxy=True)
    try:
        next(parsing)
    except StopIteration as end:
        response: Response = end.value
        response.body = bytes(reader.buffer)
        return response
    raise AssertionError("the head is whole")


def explain(error: BaseException) -> str:
    """Say for people why a connection failed: the one place that reads foreign exceptions."""
    if isinstance(error, TimeoutError) and not error.args:
        return "not open within `open_timeout`"
    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, InvalidProxy):
        return f"the URL of the proxy is not valid: {error.msg}"  # and may have a password
    cause: BaseException | None = error.__cause__
    text = str(error) or type(error).__name__
    return f"{text}: {cause}" if cause is not None and str(cause) else text
