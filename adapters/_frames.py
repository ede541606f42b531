"""Connections of CPython that are open, and their frames.

Whole data frames, which nearly all are, go past `websockets`: they are cut out of what was read and handed on by a
plain call, and written in one go for all that a task sends. Every other frame is given to its protocol object, one
at a time; so that has the last word, and nothing is decided twice.
"""

import asyncio
import collections
import contextlib
import logging
import math
import os
import socket
import ssl
import struct
import zlib
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus, PayloadTooBig
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import OPEN, Event
from websockets.typing import BytesLike

from unisocket.adapters import NO_HANDSHAKE, Sink
from unisocket.adapters._buffers import here
from unisocket.adapters._deflate import END_OF_DEFLATED, Deflate
from unisocket.adapters._language import usv_string
from unisocket.adapters._responses import explain, response_of, without_interim

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled part on this platform
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from unisocket.adapters._websockets import CPythonTransport

# First bytes of whole data frames (RFC 6455 section 5.2): FIN and opcode, and RSV1 if deflated (RFC 7692).
TEXT, BINARY = 0x81, 0x82
DEFLATED = 0x40
CLOSE, PING, PONG = 0x88, 0x89, 0x8A
NONE = -1  # no first byte

TEXT_BIT = 0x01  # of the opcode of a data frame
MASKED = 0x80
CONTROL = 0x08  # in the opcode
MAX_CONTROL = 125  # bytes of a control frame's payload (section 5.5)

# Below, a payload is copied into the one write of its task; a larger one is a write of its own.
LARGE = 2**16

# Up to here, `websockets` inflates in one go; and so is it done here.
SHORT_DEFLATED = 2044

HEADERS: dict[int, list[bytes]] = {
    first: [bytes((first, MASKED | size)) for size in range(126)]
    for first in (TEXT, BINARY, TEXT | DEFLATED, BINARY | DEFLATED)
}

# Of longer frames: the first bytes, and the length in 16 or 64 bits.
LONG_HEADER, LARGE_HEADER = struct.Struct("!BBH"), struct.Struct("!BBQ")

read_64_bits = struct.Struct("!Q").unpack_from

LOST = "the connection was lost"

# How many short frames, or halves of long ones, a task may collect for one write.
MANY, MANY_LONG = 1024, 64

# When what was sent is written, and booked: nothing was sent; at the end of this dispatch; that, or before, in a
# task of its own, for a handler may spin the loop; likewise, and short texts may join it as they are.
NOT_DUE, DUE, SCHEDULED, JOINING = 0, 1, 2, 3

_TEXT_HEADERS = HEADERS[TEXT]

MASKS = 1024  # at a time: a system call for each would be a third of the cost of sending
_masks: Iterator[bytes] = iter(())


def new_masks() -> bytes:
    """Draw masking keys that nobody can foresee (RFC 6455 section 5.3); returns the first."""
    global _masks
    random = os.urandom(4 * MASKS)
    _masks = iter([random[index : index + 4] for index in range(0, len(random), 4)])
    return next(_masks)


def masked(first: int, data: bytes) -> bytes:
    """Return the frame of a client for less than `LARGE` bytes of payload (RFC 6455 sections 5.2 and 5.3)."""
    size = len(data)
    mask = next(_masks, None) or new_masks()
    if size < 126:
        return HEADERS[first][size] + mask + apply_mask(data, mask)
    return LONG_HEADER.pack(first, 0xFE, size) + mask + apply_mask(data, mask)


def _forget_masks() -> None:
    global _masks
    _masks = iter(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_masks)  # else the child would use the parent's


class Refusal(Exception):
    """The peer broke the rules: the code of the close frame that it gets, and why."""


def not_utf8(error: UnicodeDecodeError) -> Refusal:
    """Refuse a text (RFC 6455 section 8.1)."""
    return Refusal(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")


NOTHING = memoryview(b"")


class NothingQueued:
    """What all connections have in place of the queue of `websockets`, which takes half a KiB for each."""

    def close(self) -> None:
        """Do nothing."""


NOTHING_QUEUED = NothingQueued()


class Connection(ClientConnection, asyncio.BufferedProtocol):
    """`websockets`' connection, with a way past it for whole data frames.

    Args:
        owner: The transport.
    """

    _guest: Sink | None = None  # who is told while this is lent to a thread that blocks

    # Not a dict with all of them: there may be many connections.
    __slots__ = (
        "_beneath",
        "_binary_first",
        "_buffer",
        "_buffers",
        "_corked",
        "_data",
        "_deadline",
        "_deflated",
        "_deflater",
        "_ended",
        "_filled",
        "_flush",
        "_fragments",
        "_frame_limit",
        "_frames",
        "_going_on",
        "_head",
        "_header",
        "_heard",
        "_inflates",
        "_lacking",
        "_large",
        "_late_ping",
        "_limit",
        "_lost",
        "_next_ping",
        "_opcode",
        "_over",
        "_payload",
        "_plain",
        "_position",
        "_reading",
        "_round",
        "_silent",
        "_surplus",
        "_tail",
        "_text_first",
        "_timer",
        "_waiting",
        "_waiting_payload",
        "_written",
        "_written_before",
        "established",
        "owner",
    )

    def __init__(self, owner: "CPythonTransport", *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # What `websockets` has for each connection, and nobody asks for here, takes a kilobyte.
        self.drain_waiters = []  # type: ignore[assignment] # else a deque
        if isinstance(self.logger, logging.LoggerAdapter):
            self.logger = self.protocol.logger = self.logger.logger
        self.owner = owner
        self.established = False
        self._ended = False  # the closing handshake is done, or the connection is given up
        self._timer: asyncio.TimerHandle | None = None
        self._going_on = False  # with what a handler has left by SystemExit or the like, in another turn
        self._over = False  # nothing more will come
        self._heard = True
        self._deadline = math.inf
        self._next_ping = 0.0
        self._late_ping = b""  # that waits for its pong
        self._reading = True
        self._surplus = 0  # bytes that were delivered since it was seen whether more is wanted
        self._head = bytearray()  # of the response
        # Receiving: the beginning of a frame, and how much of the buffer that fills; or, of a frame that
        # is larger than the buffer, its header, its payload so far, and how much that lacks.
        self._tail = b""
        self._filled = 0
        self._header = b""
        self._large: memoryview | None = None
        self._lacking = 0
        self._buffer: memoryview = NOTHING
        # What is being delivered, where its next frame begins, and which delivery that is.
        self._data: bytes | None = None
        self._position = self._round = 0
        self._buffers = here.loop
        self._limit = math.inf if self.protocol.max_message_size is None else self.protocol.max_message_size
        self._frame_limit = max(self._limit, MAX_CONTROL)
        self._text_first = self._binary_first = NONE  # the first bytes of what is cut out here
        self._deflated: tuple[int, ...] = ()  # and, where it is compressed
        self._fragments = bytearray()
        self._opcode = Opcode.CONT
        # Sending: the frames of this task; how many bytes were written, and how many before it.
        self._frames: list[bytes] = []
        self._written = self._written_before = 0
        self._beneath: Any = None  # the transport that asyncio's of TLS has
        # What tasks have sent and the network did not take at once: where it ends, its bytes, and those of its payload.
        self._waiting: collections.deque[tuple[int, int, int]] | None = None
        # Payload: sent in this task, waiting for the network, and given when it was too late.
        self._payload = self._waiting_payload = self._lost = 0
        self._flush = NOT_DUE
        self._corked = False  # by frames that are being delivered
        self._silent = False  # nothing may be sent any more
        self._plain = False  # messages may be sent, and as they are
        # The extension where it inflates all messages as one stream, and what deflates them so.
        self._inflates: Deflate | None = None
        self._deflater: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.recv_messages = NOTHING_QUEUED  # type: ignore[assignment] # messages go past it
        if isinstance(self.loop, asyncio.BaseEventLoop):
            # asyncio has no packet wait for the answer to the last, but only if the socket was made as one of TCP,
            # and those to literal addresses and SOCKS proxies are not. uvloop always does.
            connection = transport.get_extra_info("socket")
            if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
                with contextlib.suppress(OSError):  # it may be lost already, which will be told
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def handshake(self, *args: Any, **options: Any) -> None:
        try:
            await super().handshake(*args, **options)
        except asyncio.CancelledError:
            # If it is open, and wanted, a handler of "open" has ended the loop; and `websockets` would abort.
            if not self.established or self.owner.sink is None:
                raise

    def eof_received(self) -> None:
        # Over TLS this may come while the transport is being closed: to close it a second time would break asyncio.
        # A response that was refused by its head has said all.
        if self._ended or (self.response_rcvd.done() and not self.established):
            return
        if not self.established:
            super().eof_received()
        else:
            # asyncio would wait until all has left, before it tells.
            self.buffered()  # later the transport is closing, and nobody may ask what has left
            self._after_all(lambda: self.owner.runtime.soon(self._fail_by_loss))  # here uvloop hides SystemExit

    def _fail_by_loss(self) -> None:
        if not self._ended:
            self._fail(LOST)

    # Reading: into a buffer, where the loop can (asyncio's own), and else from what it hands over

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to read to."""
        if self._large is not None:
            return self._large[-self._lacking :]
        # If a handler spins the loop in the middle of a delivery, the older frames come first.
        tail = self._tail if self._data is None else self._data[self._position :]
        self._buffer = buffer = self._buffers.take(len(tail))
        if not tail:
            self._filled = 0
            return buffer
        buffer[: len(tail)] = tail
        self._filled = len(tail)
        return buffer[len(tail) :]

    def buffer_updated(self, size: int) -> None:
        """Take what was read."""
        self._heard = True
        if self._large is not None:
            self._fill(size)
            return
        if not self.established:
            self.data_received(bytes(self._buffer[self._filled : self._filled + size]))
            return
        # A copy: a handler may spin the loop, in which others read into the buffer.
        data = bytes(self._buffer[: self._filled + size])
        self._tail = b""
        self._deliver(data)

    def data_received(self, data: bytes) -> None:
        """Take what was read, where the loop does not read into buffers; and the opening handshake."""
        try:
            self._receive(data)
        except (KeyboardInterrupt, SystemExit) as error:
            if isinstance(self.loop, asyncio.BaseEventLoop):
                raise
            # uvloop 0.23 would take it for a fault of the connection, and go on.
            self.loop.call_soon(leave_by, error)

    def _receive(self, data: bytes) -> None:
        self._heard = True
        if not self.established:
            if not self.response_rcvd.done():
                self._open(data)
            return
        if self._large is not None:
            part, self._tail = data[: self._lacking], data[self._lacking :]
            free = self._large[-self._lacking :]
            free[: len(part)] = part
            with self._kept():
                self._fill(len(part))
            data = self._tail
        elif self._data is not None:
            data = self._data[self._position :] + data
        elif self._tail:
            data = self._tail + data
        if data:
            self._tail = b""
            self._deliver(data)

    def _open(self, data: bytes) -> None:
        """Read the response; what follows the head of a 101 are frames."""
        head = self._head
        if not head:
            data, self._tail = without_interim(self._tail + data)
            if not data:
                return
        searched = max(len(head) - 3, 0)
        head += data
        end = head.find(b"\r\n\r\n", searched)
        rest = len(head) - end - 4 if end >= 0 else 0
        self._tail = data[len(data) - rest :]
        with self._kept():
            super().data_received(data[: len(data) - rest])
        if self.established:
            del self._head
            if rest:
                self.data_received(b"")
            return
        if rest:
            super().data_received(data[-rest:])
        if end >= 0 and self.protocol.handshake_exc is None:
            # It waits for more of a body, which might never come; the head has said all.
            self.protocol.handshake_exc = InvalidStatus(response_of(head))
        if self.protocol.handshake_exc is not None and not self.response_rcvd.done():
            self.response_rcvd.set_result(None)  # else it would wait for the end of TCP

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        """Go on with what is kept in a task of its own, if a handler raises KeyboardInterrupt or the like."""
        try:
            yield
        except BaseException:  # passes through
            self._go_on_later()
            raise

    def _go_on_later(self) -> None:
        # Not in the next turn: there leaves what the handler raised.
        self._going_on = True
        self.loop.call_soon(self.loop.call_soon, self._go_on)

    def _go_on(self) -> None:
        self._going_on = False
        self.data_received(b"")

    # Opening

    def process_event(self, event: Event) -> None:
        if self.response is None:
            if self.response_rcvd.done():
                return  # the end of a refusal, whose head has said all
            super().process_event(event)
            if self.protocol.handshake_exc is None and isinstance(event, Response):
                self._establish()
        elif isinstance(event, Frame) and not self._ended:
            self._process_frame(event)

    def _establish(self) -> None:
        self.established = True
        self._beneath = getattr(getattr(self.transport, "_ssl_protocol", None), "_transport", None)
        self._plain = not self.protocol.extensions
        extensions = self.protocol.extensions
        if len(extensions) == 1 and isinstance(extensions[0], Deflate):
            self._inflates = None if extensions[0].each_anew else extensions[0]
            self._deflater = getattr(extensions[0], "encoder", None)
        self._look_for_data()
        self._watch()
        self.owner.opened(self)

    # Receiving

    def _fill(self, size: int) -> None:
        """Count what was read of a large frame, and deliver it when it is whole."""
        self._lacking -= size
        if self._lacking:
            return
        large, sink = self._large, self._guest or self.owner.sink
        assert large is not None
        if sink is None or self._ended:
            self._large = None
            return
        sink.time = monotonic() * 1000
        first = self._header[0]
        try:
            if first == self._text_first:
                text = self._text(large)
                self._large = None
                sink.text(text)
            else:
                data = bytes(large)
                self._large = None
                if first == self._binary_first:
                    sink.binary(data)
                else:
                    self._hand_over(self._header + data)
        except Refusal as refusal:
            self._refuse(refusal)
        finally:
            if sink.batch is not None:
                sink.batch()
        self._buffers.give_back_large(large)

    def _deliver(self, data: bytes) -> None:
        """Deliver what was read."""
        if not self._reading:
            self._tail = data
            self._data = None
            self._round += 1  # if this is a nested call, it has all
            return
        guest = self._guest
        sink = guest or self.owner.sink
        corked = self._corked
        self._data = data
        self._position = 0
        self._round += 1
        try:
            if sink is None or self._ended:
                self._position = len(data)
                return
            self._corked = guest is None
            sink.time = monotonic() * 1000
            self._cut(data, sink)
        except Refusal as refusal:
            self._refuse(refusal)
        finally:
            self._corked = corked
            if sink is not None and sink.batch is not None:
                sink.batch()
            if self._payload and not corked and guest is None:
                self._end_task()
            if self._data is data:  # and no nested call went on with it
                self._data = None
                rest = data[self._position :]
                if rest and not self._ended:
                    # A handler raised KeyboardInterrupt or the like, and the frames behind are not lost; or they
                    # are held back.
                    self._tail = rest
                    if self._reading:
                        self._go_on_later()

    def _cut(self, data: bytes, sink: Sink) -> None:
        """Deliver whole frames (RFC 6455 section 5.2), and keep the beginning of the next.

        Not within the `try` above: what a signal raises where a loop begins anew is caught by no `try` around the
        loop (CPython 3.12 and 3.13), but by one around the call.
        """
        current = self._round
        text, binary = self._text_first, self._binary_first
        limit = self._frame_limit
        end = reach = len(data)
        last = end - 1
        stop = 0
        while stop < last:
            begin = stop
            first = data[begin]
            size = data[begin + 1]
            start = begin + 2
            if size > 125:
                if size >= MASKED:
                    size = reach = NONE  # no server may do that
                else:
                    start += 2 if size == 126 else 8
                    if start > end:
                        stop = begin
                        break
                    if size == 126:
                        size, least = data[begin + 2] << 8 | data[begin + 3], 126  # a call would take longer
                    else:
                        (size,), least = read_64_bits(data, begin + 2), 2**16
                    if not least <= size < 2**63:
                        raise Refusal(CloseCode.PROTOCOL_ERROR, "a length that is not as RFC 6455 section 5.2 has it")
                    if size > limit:
                        reach = NONE
            stop = start + size
            if stop > reach:
                # Control frames may stand within a message, and are no part of its size.
                room = limit if first & CONTROL else self._limit - (self.protocol.current_size or 0)
                if NONE < size <= room and self._is_orderly(first, size):
                    self._keep(data[begin:], start - begin, size)
                else:
                    self._pass_on(data[begin:])  # to be told what is wrong
                    if not self._ended:  # it would be told later
                        raise Refusal(CloseCode.PROTOCOL_ERROR, "a frame that is not as RFC 6455 has it")
                return
            if first == text:
                try:  # what _text() does, which would take longer to call
                    message = data[start:stop].decode()
                except UnicodeDecodeError as error:
                    raise not_utf8(error) from None
                self._position = stop
                sink.text(message)
            elif first == binary:
                payload = data[start:stop]
                self._position = stop
                sink.binary(payload)
            elif first in self._deflated and size < SHORT_DEFLATED:
                self._position = stop
                self._deliver_one(first, self._inflate(data[start:stop]))
            else:
                self._pass_on(data[begin:stop])
                text, binary = self._text_first, self._binary_first
            if self._round != current:
                return  # a handler spun the loop, and a nested call went on; or it is over
        if stop < end:
            self._keep(data[stop:], 0, 0)

    def _keep(self, beginning: bytes, header: int, size: int) -> None:
        """Keep the beginning of a frame until the rest has come; with its header, if that is whole, and its size."""
        if header + size > self._buffers.size:
            try:
                large = self._buffers.take_large(size)
            except (OSError, OverflowError):  # there is no limit but this
                raise Refusal(CloseCode.MESSAGE_TOO_BIG, f"no memory for {size} bytes") from None
            part = len(beginning) - header
            large[:part] = memoryview(beginning)[header:]
            # In one go, here and below: whoever interrupts (Ctrl-C in a thread that blocks) finds a whole state.
            self._header = beginning[:header]
            self._large, self._lacking, self._position = large, size - part, self._position + len(beginning)
        else:
            self._tail, self._position = beginning, self._position + len(beginning)

    def _is_orderly(self, first: int, size: int) -> bool:
        """Whether a frame may go on after these first bytes; else waiting for the rest is of no use."""
        if first & CONTROL:
            return first in (CLOSE, PING, PONG) and size <= MAX_CONTROL
        return first & 0x0F <= 2 and not first & (0x30 if self.protocol.extensions else 0x70)

    def _pass_on(self, frame: bytes) -> None:
        """Let `websockets` take a frame that is not a whole data frame, and go on behind it."""
        self._position += len(frame)
        self._hand_over(frame)

    def _hand_over(self, data: bytes) -> None:
        """Let `websockets` take a frame."""
        if data[0] == PING and self.paused:
            self._late_ping = data  # while no pong can leave, the last ping will do (RFC 6455 section 5.5.3)
            return
        protocol = self.protocol
        if data[0] & CONTROL and data[1] <= MAX_CONTROL:
            # Control frames may stand within a message (RFC 6455 section 5.4): `websockets` forbids it to a close
            # frame, and takes the others for a part of the message, when it comes to its size.
            size, protocol.current_size = protocol.current_size, None
            limit, protocol.max_message_size = protocol.max_message_size, None
            super().data_received(data)
            protocol.current_size, protocol.max_message_size = size, limit
        else:
            super().data_received(data)
        self._look_for_data()
        error = protocol.parser_exc
        if error is not None and not self._ended:
            self._fail(explain(error))

    def _look_for_data(self) -> None:
        """Cut data frames out, but in the middle of a fragmented message, and if no message may be long."""
        cut = self.protocol.current_size is None and self._limit > MAX_CONTROL
        self._text_first, self._binary_first = (TEXT, BINARY) if cut else (NONE, NONE)
        self._deflated = (TEXT | DEFLATED, BINARY | DEFLATED) if cut and self._inflates is not None else ()

    def _inflate(self, data: bytes) -> bytes:
        """Inflate a short message (RFC 7692 section 7.2.2)."""
        deflate = self._inflates
        assert deflate is not None
        inflater = deflate.decoder
        limit = self.protocol.max_message_size or 0
        try:
            inflated: bytes = inflater.decompress(data + END_OF_DEFLATED, limit)
            if inflater.unconsumed_tail:
                raise PayloadTooBig(None, limit)
            if inflater.eof:
                inflated = deflate.go_on(inflated, self.protocol.max_message_size)
        except zlib.error:
            raise Refusal(CloseCode.PROTOCOL_ERROR, "decompression failed") from None
        except PayloadTooBig as error:
            raise Refusal(CloseCode.MESSAGE_TOO_BIG, str(error)) from None
        return inflated

    def _deliver_one(self, first: int, data: bytes) -> None:
        """Deliver a message that may be much larger than what was read.

        If much has come of one read, for it may inflate a thousandfold, and nobody wants more, the rest is held back.
        """
        sink = self.owner.sink
        if sink is None:
            return
        if first & TEXT_BIT:
            sink.text(self._text(data))
        else:
            sink.binary(data)
        self._surplus += len(data)
        if self._surplus > self._buffers.size:
            self._surplus = 0
            if sink.batch is not None:
                sink.batch()
            if not self._reading:
                self._round += 1  # `_deliver()` stops

    def _text(self, data: BytesLike) -> str:
        """Decode a message."""
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(error) from None

    def _process_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PONG:
            self.acknowledge_pings(bytes(frame.data))
        elif frame.opcode is Opcode.CLOSE:
            self._closing()
        elif frame.opcode is not Opcode.PING:
            if frame.opcode is not Opcode.CONT:
                self._opcode = frame.opcode
            if not frame.fin or self._fragments:
                self._fragments += frame.data  # not a list: a million fragments of one byte are to be a megabyte
            if frame.fin:
                data = bytes(self._fragments or frame.data)
                self._fragments.clear()
                self._deliver_one(self._opcode, data)

    # Sending

    def send_text(self, text: str) -> None:
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = usv_string(text).encode()
        size = len(data)
        if size < 126 and self._flush == JOINING:
            # One more short message of this task: what _send() does then.
            self._payload += size
            try:
                mask = next(_masks)
            except StopIteration:
                mask = new_masks()
            frames = self._frames
            frames.append(_TEXT_HEADERS[size] + mask + apply_mask(data, mask))
            if len(frames) >= MANY:
                self._write_out()
        else:
            self._send(TEXT, data)

    def send_binary(self, data: bytes) -> None:
        self._send(BINARY, data)

    def _send(self, first: int, data: bytes) -> None:
        """Send a message in one frame, with all others of this task."""
        size = len(data)
        self._payload += size
        at_once = False
        if self._flush != JOINING:
            if self._silent:
                self._lost += size  # the closing handshake has begun: dropped, and counted
                self._payload -= size
                return
            if self._flush == NOT_DUE and self._corked:
                # Most handlers send one message, which need not wait for the end of the dispatch.
                self._flush = DUE
                at_once = True
            elif self._flush < SCHEDULED:
                self._flush = JOINING if self._plain else SCHEDULED
                self.loop.call_soon(self._end_task)
            deflater = self._deflater
            if deflater is not None:
                data = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
                data = data[:-4]
                size = len(data)
                first |= DEFLATED
            elif self.protocol.extensions:
                self.protocol.send_frame(Frame(Opcode(first & 0x0F), data))
                self._frames.extend(self.protocol.data_to_send())
                return
        frames = self._frames
        if size < 126:
            frames.append(masked(first, data))
        else:
            mask = next(_masks, None) or new_masks()
            if size < LARGE:
                # They are joined later: to do it here, too, would be one copy more.
                frames += (LONG_HEADER.pack(first, 0xFE, size) + mask, apply_mask(data, mask))
            else:
                self._write_large(LARGE_HEADER.pack(first, 0xFF, size) + mask, apply_mask(data, mask))
        if at_once or len(frames) >= (MANY if size < 126 else MANY_LONG):
            self._write_out()

    def send_data(self) -> None:
        self._write_out()  # what was sent before a control frame leaves before it
        if not self.transport.is_closing():  # uvloop would raise
            super().send_data()

    def _write_out(self) -> None:
        if self._frames:
            data = b"".join(self._frames)
            self._frames.clear()
            self._write(data)

    def _write_large(self, head: bytes, payload: bytes) -> None:
        self._frames.append(head)
        self._write_out()
        self._write(payload)

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():  # else uvloop would raise
            self._written += len(data)
            self.transport.write(data)
        if self.transport.is_closing():  # it is lost, and throws away what it is given, as if that had left
            self._lost += self._payload
            self._payload = 0

    def _end_task(self) -> None:
        """Write what a task has sent, and book what the network took."""
        self._flush = NOT_DUE
        self._write_out()
        payload, self._payload = self._payload, 0
        size = self._written - self._written_before
        self._written_before = self._written
        if self._unsent():
            if self._waiting is None:
                self._waiting = collections.deque()
            self._waiting.append((self._written, size, payload))
            self._waiting_payload += payload
        elif payload >= LARGE and self.owner.sink is not None:
            self.owner.sink.drained()  # the network took all at once, of which asyncio does not tell

    def buffered(self) -> int:
        # A transport that is closing may have thrown away what it had: do not ask it.
        if self._waiting and not self._ended and not self.transport.is_closing():
            out = self._written - self._unsent()
            while self._waiting and self._waiting[0][0] <= out:
                self._waiting_payload -= self._waiting.popleft()[2]
            if self._waiting:
                end, size, payload = self._waiting[0]
                if end - out < size:  # it has left in part
                    left = -(-payload * (end - out) // size)
                    self._waiting[0] = end, end - out, left
                    self._waiting_payload -= payload - left
        return self._payload + self._waiting_payload + self._lost

    def _unsent(self) -> int:
        """Return how many bytes asyncio holds; with TLS so does the transport beneath, which nobody asks."""
        size = self.transport.get_write_buffer_size()
        if self._beneath is not None:
            size += self._beneath.get_write_buffer_size()
        return size

    # Closing

    def drop(self) -> None:
        """Close the TCP connection, without further ado."""
        self._end()
        self.transport.abort()

    def _end(self) -> None:
        self.buffered()  # what did not leave by now stays in the count
        self._ended = self._silent = True
        self._plain = False
        self._flush = min(self._flush, SCHEDULED)  # no text may join any more
        self._round += 1  # whatever is being delivered stops
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _closing(self) -> None:
        """The peer's close frame is here, and answered."""
        self._end()
        close = self.protocol.close_rcvd
        assert close is not None
        if self.owner.sink is not None:
            self.owner.sink.closing()
        self._hang_up()
        self.owner.runtime.soon(lambda: self.owner.closed(int(close.code), close.reason, True, ""))

    def _refuse(self, refusal: Refusal) -> None:
        """Tell the peer that it broke the rules, and give it up."""
        code, message = refusal.args
        self.protocol.fail(code, message)
        self.send_data()
        self._fail(message)

    def _fail(self, message: str) -> None:
        """Fail the WebSocket connection (RFC 6455 section 7.1.7); the peer was told."""
        self._end()
        self._hang_up()
        self.owner.closed(NO_HANDSHAKE, "", False, message)

    def _hang_up(self) -> None:
        """Close the TCP connection when all is sent, or soon."""
        self.owner.runtime.closing().add(self)
        if not self.transport.is_closing():  # else asyncio's of TLS would break
            self.transport.close()
        busy = self.transport.get_write_buffer_size() or self.transport.get_extra_info("ssl_object") is not None
        if self.close_timeout is not None and busy:
            self._timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if not hasattr(self, "recv_messages"):
            return  # lost in the TLS handshake behind a proxy, before there was a connection_made()
        self._after_all(lambda: self._be_lost(exc))

    def _after_all(self, then: Callable[[], None]) -> None:
        """Deliver what has come, for nothing more will, and nobody can be made to wait any more; then go on."""
        self._over = True
        try:
            if self.established and not self._ended and self._guest is None:
                self._reading = True
                # In the context of the socket: it may be lost in a task that sends.
                self.owner.runtime.enter(lambda: self.data_received(self._undeciphered()))
        finally:
            if self._going_on:
                self.loop.call_soon(self.loop.call_soon, self._after_all, then)
            else:
                then()

    def _undeciphered(self) -> bytes:
        """Return what came over TLS and fits into no read: with the end of TCP asyncio throws it away."""
        tls = self.transport.get_extra_info("ssl_object")
        data = bytearray()
        if tls is not None:
            with contextlib.suppress(ssl.SSLError):  # no more is whole
                while part := tls.read(self._buffers.size):
                    data += part
        return bytes(data)

    def _be_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.owner.runtime.closing().discard(self)
        ended, self._ended = self._ended, True  # the transport has thrown away what it had: do not ask it
        self._end()
        if self.established and not ended:
            message = explain(exc) if exc else LOST
            self.owner.runtime.enter(lambda: self.owner.closed(NO_HANDSHAKE, "", False, message))

    def resume_writing(self) -> None:
        super().resume_writing()
        ping, self._late_ping = self._late_ping, b""
        if ping and not self._ended:
            self._hand_over(ping)
        if self.owner.sink is not None:
            self.owner.sink.drained()

    # Flow control and keepalive

    def pause(self) -> None:
        """Stop reading."""
        if self._reading and not self._over and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._reading:
            self._reading = True
            self._heard = True  # while nothing was read, no pong could be seen
            self._surplus = 0
            if self._tail:
                self.owner.runtime.soon(lambda: self.data_received(b""))
            if not self.transport.is_closing():
                self._resume_reading()  # which may at once find that the connection is lost

    def _resume_reading(self) -> None:
        """Have asyncio read again, and tell of it in the context of the socket."""
        self.owner.runtime.enter(self.transport.resume_reading)

    def _watch(self) -> None:
        """Begin the pings."""
        interval = self.owner.adapter.ping_interval
        if interval is not None and not self._ended:
            self._next_ping = self.loop.time() + interval
            self._timer = self.loop.call_at(self._next_ping, self._look, context=self.owner.runtime._context)

    def _look(self) -> None:
        """Has anything come since the last look? Any byte shows that the peer is there."""
        if self.protocol.state is not OPEN:
            return
        adapter = self.owner.adapter
        now = self.loop.time()
        if self._heard or not self._reading:
            self._heard = False
            self._deadline = math.inf
        elif now >= self._deadline:
            self.drop()
            self.owner.closed(NO_HANDSHAKE, "", False, "the peer did not answer a ping")
            return
        if now >= self._next_ping:
            assert adapter.ping_interval is not None
            self._next_ping = now + adapter.ping_interval
            if self._deadline == math.inf and adapter.ping_timeout is not None:
                self._deadline = now + adapter.ping_timeout  # nothing that was asked before is unanswered
            self.protocol.send_ping(b"")
            self.send_data()
        due = min(self._next_ping, self._deadline)
        self._timer = self.loop.call_at(due, self._look, context=self.owner.runtime._context)


def leave_by(error: BaseException) -> None:
    """Raise, through the loop."""
    raise error
