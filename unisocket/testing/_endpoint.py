"""The server's end of a WebSocket over asyncio, with a hook for whatever happens (CPython)."""

import asyncio
import socket
import struct
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

from unisocket.testing._wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    MAX_MESSAGE_BYTES,
    PING,
    PONG,
    RSV1,
    TEXT,
    Frame,
    Request,
    TooLongError,
    broken_close_rules,
    broken_frame_rules,
    close_body,
    is_utf8,
    make_frame,
    make_response,
    make_upgrade,
    take_frame,
    take_request,
)

HEAD_SECONDS = 30.0  # for the request to come
LINGER_SECONDS = 10.0  # for the client to close TCP after us


class Signal:
    """Wakes all who wait for some change, again and again."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Tell of a change."""
        self._event.set()
        self._event.clear()

    async def until(self, condition: Callable[[], object]) -> None:
        """Return when `condition` holds, looked at now and after each change."""
        while not condition():
            await self._event.wait()


class Link(asyncio.Protocol):
    """One accepted TCP connection: takes requests and frames off it, and hands them on.

    It stops reading, and parsing what it has read, as long as somebody holds it.
    """

    transport: asyncio.Transport

    def __init__(self, route: "Callable[[Link, Request], Endpoint | None]") -> None:
        self._route = route
        self._endpoint: Endpoint | None = None
        self._buffer = bytearray()
        self._holds: set[str] = set()
        self._writable = asyncio.Event()
        self._writable.set()
        self._fin_sent = False
        self._timer: asyncio.TimerHandle | None = None

    def write(self, data: bytes) -> None:
        """Send bytes; those that come too late are lost, as on any network."""
        if not self._fin_sent and not self.transport.is_closing():
            self.transport.write(data)

    def answer(self, data: bytes) -> None:
        """Send bytes that the client caused; it is not read on while it is slow to take them."""
        self.write(data)
        if not self._writable.is_set():
            self.hold("congestion")

    async def drained(self) -> None:
        """Return when there is room to write, or no use in waiting for it."""
        await self._writable.wait()

    def hold(self, reason: str) -> None:
        """Stop reading until `reason` is released."""
        self._holds.add(reason)
        self.transport.pause_reading()

    def release(self, reason: str) -> None:
        """Go on reading, when nobody else holds."""
        if reason in self._holds:
            self._holds.remove(reason)
            if not self._holds and not self.transport.is_closing():
                self.transport.resume_reading()
                self._parse()

    def fin(self) -> None:
        """Send FIN after all that was written, and go on reading until the client's comes."""
        if not self._fin_sent and not self.transport.is_closing():
            self._fin_sent = True
            self._abort_after(LINGER_SECONDS)
            try:
                self.transport.write_eof()
            except OSError:  # the client has reset the connection, which the loop has not seen yet
                self.abort()

    def reset(self) -> None:
        """Send RST now."""
        if not self.transport.is_closing():
            raw = self.transport.get_extra_info("socket")
            # Closed with linger time 0, a socket is reset (socket(7), SO_LINGER).
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.abort()

    def abort(self) -> None:
        """Forget what was not sent yet, and close TCP."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._abort_after(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        """Take in what the client sent."""
        self._buffer += data
        self._parse()

    def eof_received(self) -> None:
        """Tell of the client's FIN; the transport then sends what is left, and closes."""
        self._abort_after(LINGER_SECONDS)
        if self._endpoint is not None:
            self._endpoint.on_eof()

    def connection_lost(self, error: Exception | None) -> None:
        """Tell of the end of TCP; `error` if the client reset it."""
        assert self._timer is not None
        self._timer.cancel()
        self._writable.set()
        if self._endpoint is not None:
            if error is not None:
                self._endpoint.on_reset()
            self._endpoint.on_lost()

    def pause_writing(self) -> None:
        """The client is slow."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()
        self.release("congestion")

    def _abort_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def _parse(self) -> None:
        try:
            while not self._holds and not self.transport.is_closing():
                if self._endpoint is None:
                    if self._fin_sent:  # the request was answered; the rest is of no use
                        self._buffer.clear()
                    request = take_request(self._buffer)
                    if request is None:
                        return
                    self._begin(request)
                else:
                    frame = take_frame(self._buffer)
                    if frame is None:
                        return
                    self._endpoint.receive(frame)
        except (TooLongError, ValueError) as error:
            if self._endpoint is not None:
                self._endpoint.on_violation(str(error))
                self.abort()
            else:
                self.write(make_response(400, [], str(error)))
                self.fin()

    def _begin(self, request: Request) -> None:
        self._endpoint = self._route(self, request)
        if self._endpoint is not None:
            assert self._timer is not None
            self._timer.cancel()
            self._endpoint.on_begin()


class Message(NamedTuple):
    """A whole message; `data` of a text may be bad UTF-8."""

    opcode: int
    data: bytes


class Endpoint:
    """The server's end of one WebSocket; well-behaved where a subclass does not say otherwise."""

    def __init__(self, link: Link, request: Request) -> None:
        self.link = link
        self.request = request
        self.close_sent = False
        self.close_received: bytes | None = None
        self._inflater: Inflater | None = None
        self._opcode = CONTINUATION  # of the message that is being put together
        self._compressed = False
        self._fragments = bytearray()

    def accept(self, options: dict[str, Any]) -> bytes:
        """Return the answer to the opening handshake."""
        if str(options.get("extensions", "")).startswith("permessage-deflate"):
            self._inflater = Inflater()
        return make_upgrade(self.request, options)

    def close_frame(self, body: bytes) -> bytes:
        """Return a close frame, to be sent."""
        self.close_sent = True
        return make_frame(CLOSE, body)

    def answer_close(self) -> None:
        """Echo the client's close code, unless we spoke first, and end TCP (RFC 6455 section 7.1.1)."""
        if not self.close_sent:
            body = self.close_received or b""
            wrong = next(broken_close_rules(body), None)
            self.link.write(self.close_frame(close_body(1002) if wrong else body[:2]))
        self.link.fin()

    def receive(self, frame: Frame) -> None:
        """Take in one frame (RFC 6455 sections 5.4 to 5.6)."""
        self.on_frame(frame)
        for what in broken_frame_rules(frame, compression=self._inflater is not None):
            self.on_violation(what)
        if self.close_received is not None:
            self.on_violation("a frame after the close frame (RFC 6455 section 5.5.1)")
        if frame.opcode == CLOSE:
            for what in broken_close_rules(frame.payload):
                self.on_violation(what)
            self.close_received = frame.payload
            self.on_close()
        elif frame.opcode == PING:
            self.on_ping(frame.payload)
        elif frame.opcode == PONG:
            self.on_pong(frame.payload)
        elif frame.opcode in (CONTINUATION, TEXT, BINARY):
            self._receive_fragment(frame)

    def on_begin(self) -> None:
        """The request is complete."""

    def on_frame(self, frame: Frame) -> None:
        """A frame has come; called before all else that it leads to."""

    def on_violation(self, what: str) -> None:
        """The client has broken a rule."""

    def on_message(self, message: Message) -> None:
        """A message is complete."""

    def on_ping(self, payload: bytes) -> None:
        """A ping has come."""
        self.link.answer(make_frame(PONG, payload))

    def on_pong(self, payload: bytes) -> None:
        """A pong has come."""

    def on_close(self) -> None:
        """A close frame has come: `close_received`."""
        self.answer_close()

    def on_eof(self) -> None:
        """The client has sent FIN."""

    def on_reset(self) -> None:
        """The client has reset TCP."""

    def on_lost(self) -> None:
        """TCP is over."""

    def _receive_fragment(self, frame: Frame) -> None:
        if frame.opcode == CONTINUATION:
            if self._opcode == CONTINUATION:
                self.on_violation("a continuation of nothing (RFC 6455 section 5.4)")
                return
        else:
            if self._opcode != CONTINUATION:
                self.on_violation("a message within a fragmented message (RFC 6455 section 5.4)")
            self._opcode = frame.opcode
            self._compressed = frame.rsv & RSV1 != 0
            self._fragments = bytearray()
        if len(self._fragments) + len(frame.payload) > MAX_MESSAGE_BYTES:
            raise TooLongError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        if not frame.fin:
            self._fragments += frame.payload
        else:
            data = bytes(self._fragments + frame.payload) if self._fragments else frame.payload
            message = Message(self._opcode, self._inflate(data) if self._compressed else data)
            self._opcode = CONTINUATION
            self._fragments = bytearray()
            if message.opcode == TEXT and not is_utf8(message.data):
                self.on_violation("a text that is not UTF-8 (RFC 6455 section 5.6)")
            self.on_message(message)

    def _inflate(self, data: bytes) -> bytes:
        try:
            return data if self._inflater is None else self._inflater.inflate(data)
        except zlib.error as error:
            self.on_violation(f"a compressed message that is broken: {error} (RFC 7692 section 7.2.2)")
            return b""


class Inflater:
    """Decompresses the messages of one client (RFC 7692 section 7.2.2)."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)

    def inflate(self, data: bytes) -> bytes:
        """Return a message, decompressed."""
        inflated = self._stream.decompress(data + b"\x00\x00\xff\xff", MAX_MESSAGE_BYTES)
        if self._stream.unconsumed_tail:
            raise TooLongError(f"a message of more than {MAX_MESSAGE_BYTES} bytes, compressed")
        if self._stream.eof:  # a block with BFINAL ends the stream (RFC 7692 section 7.2.3.4)
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        return inflated
