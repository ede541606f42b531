"""The fast path of CPython is invisible: any stream, cut anywhere, gives what plain `websockets` gives.

Nothing here touches a network: streams go into a connection as asyncio hands them over, what it writes is
recorded. The reference is `websockets`' own protocol object, told in `Reference` wherever we differ from it
on purpose.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side
from websockets.streams import StreamReader
from websockets.uri import parse_uri
from websockets.utils import accept_key

from unisocket.adapters import Sink, _buffers
from unisocket.adapters._deflate import LEVEL, MEMORY, DeflateFactory
from unisocket.adapters._frames import Connection
from unisocket.adapters._websockets import CPythonTransport
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing._wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    close_body,
    make_frame,
    take_frame,
)

EXAMPLES = settings(max_examples=200, derandomize=True, deadline=None, database=None)

URL = "ws://127.0.0.1:9/"
GOING_AWAY = 1001
TOO_MUCH = 2**47  # bytes of a frame, for any memory

Event = tuple[Any, ...]


# What comes: a stream of bytes


@dataclass
class Piece:
    """A frame, a message or rubbish, before it is bytes; a message may be deflated, for which order matters."""

    data: bytes = b""  # as it stands, if it is no message
    opcode: int = 0
    payload: bytes = b""
    cuts: tuple[int, ...] = ()  # where its fragments end
    between: bytes = b""  # control frames between its fragments
    deflated: bool = False
    final: int = 0  # of so many blocks that each say they are the last


class Deflater:
    """The peer's compression (RFC 7692 section 7.2.1)."""

    def __init__(self, *, takeover: bool) -> None:
        self._takeover = takeover
        self._compressor = self._new()

    @staticmethod
    def _new() -> Any:
        return zlib.compressobj(wbits=-zlib.MAX_WBITS)

    def deflate(self, payload: bytes, *, final: int) -> bytes:
        data: bytes = b""
        for number in range(final):
            part = payload[number * len(payload) // final : (number + 1) * len(payload) // final]
            data += self._compressor.compress(part) + self._compressor.flush(zlib.Z_FINISH)
            self._compressor = self._new()
        if final:
            return data + b"\0"
        data += self._compressor.compress(payload) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        if not self._takeover:
            self._compressor = self._new()
        return data[:-4]


def to_bytes(pieces: list[Piece], deflater: Deflater | None) -> Iterator[bytes]:
    for piece in pieces:
        if piece.data:
            yield piece.data
            continue
        payload, rsv = piece.payload, 0
        if piece.deflated and deflater is not None:
            payload, rsv = deflater.deflate(payload, final=piece.final), RSV1
        ends = [*sorted(cut % (len(payload) + 1) for cut in piece.cuts), len(payload)]
        for number, (begin, end) in enumerate(zip([0, *ends], ends, strict=False)):
            opcode = CONTINUATION if number else piece.opcode
            fin = number == len(ends) - 1
            yield make_frame(opcode, payload[begin:end], fin=fin, rsv=0 if number else rsv)
            yield b"" if fin else piece.between


def wide(opcode: int, payload: bytes, width: int) -> bytes:
    """Return a frame whose length takes 2 or 8 bytes, needed or not."""
    return bytes((0x80 | opcode, 126 if width == 2 else 127)) + len(payload).to_bytes(width, "big") + payload


# Sizes on both sides of where the header grows; and of the small buffers below.
sizes = st.one_of(
    st.integers(0, 40),
    st.sampled_from([0, 1, 60, 64, 125, 126, 127, 130, 2040, 2050]),
    st.sampled_from([300, 300, 300, 65535, 65536]),
)
texts = st.builds(lambda size, text: (text * size).encode()[:size], sizes, st.sampled_from(["a", "hello ", "\0"]))
others = st.text(st.sampled_from("a\xe9\u20ac\U0001f600"), max_size=20).map(str.encode)
broken = st.sampled_from([b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", "\u20ac".encode()[:2]])
binaries = st.one_of(st.binary(max_size=30), texts)

whole = st.one_of(
    st.builds(Piece, opcode=st.just(TEXT), payload=st.one_of(texts, others), deflated=st.booleans()),
    st.builds(Piece, opcode=st.just(BINARY), payload=binaries, deflated=st.booleans()),
)
control = st.builds(
    make_frame,
    st.sampled_from([PING, PONG]),
    st.one_of(st.binary(max_size=8), st.just(bytes(125))),
)
close = st.builds(
    lambda code, reason: make_frame(CLOSE, close_body(code, reason if code else "")),
    st.sampled_from([None, 1000, 1001, 3000, 4999, 1005, 1006, 999, 5000]),
    st.sampled_from(["", "bye", "\u20ac"]),
)
controls = st.builds(Piece, data=control)
closes = st.builds(Piece, data=close)
between = st.one_of(close, st.just(make_frame(TEXT, b"x")))
interrupted = st.builds(
    Piece, opcode=st.just(TEXT), payload=texts, cuts=st.just((1,)), between=between, deflated=st.booleans()
)
fragmented = st.builds(
    Piece,
    opcode=st.sampled_from([TEXT, BINARY]),
    payload=st.one_of(texts, others),
    cuts=st.lists(st.integers(0, 2**17), min_size=1, max_size=4).map(tuple),
    between=st.one_of(st.just(b""), control),
    deflated=st.booleans(),
)
last_blocks = st.builds(
    Piece,
    opcode=st.sampled_from([TEXT, BINARY]),
    payload=texts,
    cuts=st.one_of(st.just(()), st.just(()), st.lists(st.integers(0, 2**17), max_size=3).map(tuple)),
    deflated=st.just(True),
    final=st.sampled_from([1, 1, 2, 5]),
)
valid = st.one_of(whole, whole, fragmented, controls)
invalid = st.one_of(
    st.builds(Piece, opcode=st.just(TEXT), payload=broken, cuts=st.lists(st.integers(0, 4), max_size=2).map(tuple)),
    st.builds(Piece, opcode=st.just(TEXT), payload=broken, deflated=st.just(True)),
    st.builds(
        Piece,
        data=st.builds(
            make_frame,
            st.integers(0, 15),
            st.one_of(st.binary(max_size=8), st.sampled_from([bytes(125), bytes(126), bytes(300)])),
            fin=st.booleans(),
            masked=st.sampled_from([False, False, True]),
            rsv=st.sampled_from([0, 0, 1, 2, 4]),
            length=st.sampled_from([None, None, 126, 1000, 2**16, 2**60, 2**63]),
        ),
    ),
    st.builds(
        Piece,
        data=st.builds(wide, st.sampled_from([TEXT, BINARY, PING]), st.binary(max_size=130), st.sampled_from([2, 8])),
    ),
    st.builds(Piece, data=st.sampled_from([b"\x88\x01a", b"\x88\x04\x03\xe8\xff\xff", b"\xc1\x02\xff\xff"])),
    st.builds(Piece, data=st.binary(min_size=1, max_size=12)),
)

# A header is only judged when it is there: with this at the end, each one is, or is rubbish.
END = make_frame(PONG, b"") * 5


@dataclass
class Stream:
    """What comes on one connection, how it is cut, and what the connection is told to be."""

    data: bytes
    chunks: list[bytes] = field(repr=False)
    max_size: int | None
    extensions: str
    buffer: int

    @property
    def compression(self) -> bool:
        return bool(self.extensions)


@st.composite
def streams(draw: st.DrawFn, pieces: st.SearchStrategy[Piece], *, limited: bool = True) -> Stream:
    extensions = draw(
        st.sampled_from(["", "permessage-deflate", "permessage-deflate; server_no_context_takeover"]),
        label="extensions",
    )
    takeover = "takeover" not in extensions
    deflater = Deflater(takeover=takeover) if extensions else None
    drawn = draw(st.lists(pieces, min_size=1, max_size=8))
    frames = [*to_bytes(drawn, deflater), END]
    data = b"".join(frames)
    step = draw(st.sampled_from([0, 0, 0, -1, 1, 3]), label="step")
    if step == -1:  # each frame on its own
        cuts = sorted({sum(map(len, frames[:number])) for number in range(len(frames))} - {0})
    elif step and len(data) < 500:
        cuts = list(range(step, len(data), step))
    else:
        cuts = sorted(draw(st.lists(st.integers(1, len(data) - 1), max_size=8, unique=True)))
    chunks = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    max_size = draw(st.sampled_from([None, 2**20, 300, 126, 10] if limited else [None]), label="max_size")
    buffer = draw(st.sampled_from([2**18, 200, 64]), label="buffer")
    return Stream(data, chunks, max_size, extensions, buffer)


# What is to come of it


class StrictReader(StreamReader):
    """Reads frames as we do, where that is stricter than `websockets`.

    A length takes the fewest bytes that there are, and has no first bit (RFC 6455 section 5.2). What the
    header alone shows to be wrong is not waited for; nor is what no memory can hold. The size of a message
    is no concern of the control frames within it (section 5.4).
    """

    def __init__(self, allowed_rsv: int, room: Callable[[], float]) -> None:
        super().__init__()
        self._allowed_rsv = allowed_rsv
        self._room = room
        self._header: bytearray | None = None
        self._measured = False

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        header = self._header
        if header is not None and (self._measured or header[1] & 0x7F < 126):
            self._check(header, n)
            self._header = None
            return (yield from super().read_exact(n))
        data = yield from super().read_exact(n)
        if header is None:
            self._header, self._measured = data, False
        else:
            self._measured = True
            size = int.from_bytes(data, "big")
            if not (126 if n == 2 else 2**16) <= size < 2**63:
                raise ProtocolError("not a length")
        return data

    def _check(self, header: bytearray, size: int) -> None:
        first = header[0]
        if size > self._room() and (not first & 8 or size > 125):
            raise PayloadTooBig(None, size)
        if first & 8 and (size > 125 or first < 0x80 or first & 0x70):
            raise ProtocolError("not a control frame")
        if first & 0x70 & ~self._allowed_rsv:
            raise ProtocolError("reserved bits must be 0")
        if size > TOO_MUCH:
            raise PayloadTooBig(size, TOO_MUCH)


class LastingDeflate(PerMessageDeflate):
    """Goes on after a block that says it is the last (RFC 7692 section 7.2.1), where `websockets` loses the rest."""

    def __init__(self, room: Callable[[], float], *, each_anew: bool) -> None:
        super().__init__(False, False, 15, 15, {"memLevel": MEMORY, "level": LEVEL})
        self._room = room
        self._each_anew = each_anew

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        room = self._room()
        if self._each_anew and frame.rsv1:
            self.decoder = zlib.decompressobj(wbits=-15)
        frame = super().decode(frame, max_size=None if room == float("inf") else int(room))
        while self.decoder.eof and frame.opcode < CLOSE:
            rest = self.decoder.unused_data
            self.decoder = zlib.decompressobj(wbits=-15, zdict=bytes(frame.data)[-(2**15) :])
            if frame.fin and rest == b"\x00\x00\x00\xff\xff":
                break
            try:
                frame.data = bytes(frame.data) + self.decoder.decompress(rest)
            except zlib.error as error:
                raise ProtocolError("decompression failed") from error
            if len(frame.data) > room:
                raise PayloadTooBig(None, 0)
        return frame


class Reference(Protocol):
    """`websockets`, and what its connection makes of frames; but for the rules where we differ."""

    def __init__(self, stream: Stream, on_message: "Callable[[Reference], None]") -> None:
        super().__init__(Side.CLIENT, max_size=None)

        def room() -> float:
            return float("inf") if stream.max_size is None else stream.max_size - (self.current_size or 0)

        if stream.compression:
            self.extensions = [LastingDeflate(room, each_anew="takeover" in stream.extensions)]
        self.reader = StrictReader(0x40 if stream.compression else 0, room)
        self.parser = self.parse()
        next(self.parser)
        self.messages: list[Event] = []
        self._on_message = on_message
        self._fragments: list[Frame] = []

    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # control frames may stand within a message, close frames too (section 5.4)
        super().recv_frame(frame)
        if frame.opcode >= CLOSE:
            return
        self._fragments.append(frame)
        if frame.fin:
            data = b"".join(frame.data for frame in self._fragments)
            text = self._fragments[0].opcode is Opcode.TEXT
            self._fragments.clear()
            self.messages.append(("message", data.decode() if text else data))
            self._on_message(self)

    @property
    def end(self) -> Event | None:
        if self.parser_exc is not None:
            return ("close", 1006, "", False)
        if self.close_rcvd is not None:
            return ("close", self.close_rcvd.code, self.close_rcvd.reason, True)
        return None

    @property
    def outcome(self) -> dict[str, Any]:
        events = [("open",), *self.messages, *([self.end] if self.end is not None else [])]
        return {
            "events": events,
            "written": frames_of(b"".join(self.data_to_send()), failed=self.parser_exc is not None),
        }


def frames_of(written: bytes, *, failed: bool) -> list[Event]:
    """Return the frames; a close frame that tells of a failure without its reason, which each says in its words."""
    buffer = bytearray(written)
    frames: list[Event] = []
    while (frame := take_frame(buffer)) is not None:
        payload = frame.payload[:2] if failed and frame.opcode == CLOSE else frame.payload
        assert (frame.masked, frame.minimal, frame.fin) == (True, True, True)
        frames.append((frame.opcode, frame.rsv, payload))
    assert not buffer
    return frames


# What does come of it


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


class Loop:
    """A loop that turns when it is told to, also in the middle of a turn; and the services of a socket on it."""

    def __init__(self) -> None:
        self.tasks: deque[Callable[[], Any]] = deque()
        self.subjects: list[Subject] = []
        self.bytes_first = False

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        self.tasks.append(lambda: callback(*args))

    def soon(self, callback: Callable[[], Any]) -> None:
        self.tasks.append(callback)

    def enter(self, callback: Callable[[], Any]) -> None:
        callback()

    def closing(self) -> set[Any]:
        return set()

    def time(self) -> float:
        return 0.0

    def turn(self) -> bool:
        """Do one thing; return whether there was any."""
        ready = [subject for subject in self.subjects if subject.chunks and not subject.wire.paused]
        if self.tasks and not (self.bytes_first and ready):
            self.tasks.popleft()()
        elif ready:
            # The one that has waited longest.
            self.subjects.sort(key=lambda subject: subject is ready[0])
            ready[0].read()
        else:
            return False
        return True

    def run(self) -> None:
        """Turn until nothing is left; interrupted, go on."""
        while True:
            try:
                if not self.turn():
                    return
            except KeyboardInterrupt:
                pass


class Owner(CPythonTransport):
    """Opens nothing: the test does."""

    def _start(self, url: str, protocols: list[str]) -> None:
        pass


class Subject:
    """A connection under test.

    Args:
        stream: What comes.
        loop: What it comes on.
        buffered: Whether through `get_buffer()`.
        on_message: Is called for each message, after it was recorded.
    """

    def __init__(
        self,
        stream: Stream,
        loop: Loop,
        buffered: bool,
        on_message: "Callable[[Subject], None]" = lambda subject: None,
        on_open: "Callable[[Subject], None]" = lambda subject: None,
    ) -> None:
        self.buffered = buffered
        self.events: list[Event] = []
        self.wire = Wire()
        self._on_message = on_message
        self._on_open = on_open
        sink = Sink(self._opened, self._message, self._message, lambda: None, lambda: None, self._closed)
        self.owner = Owner(CPythonAdapter(ping_interval=None), URL, [], sink, loop)  # type: ignore[arg-type]
        protocol = ClientProtocol(
            parse_uri(URL),
            extensions=[DeflateFactory()],
            max_size=stream.max_size,
        )
        self.connection = self.owner.raw = Connection(self.owner, protocol, ping_interval=None)
        self.connection.loop = loop  # type: ignore[assignment]
        self.connection.connection_made(self.wire)
        self.connection.request = request = protocol.connect()
        protocol.send_request(request)
        protocol.data_to_send()
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(request.headers['Sec-WebSocket-Key'])}",
        ]
        if stream.extensions:
            lines.append(f"Sec-WebSocket-Extensions: {stream.extensions}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode()
        self.chunks = deque(stream.chunks)
        # With the first frames, or without; and it may be cut itself.
        begin = len(stream.data) % 3 * 40
        self.chunks[0] = head[begin:] + self.chunks[0]
        self.chunks.extendleft([head[:begin]] if begin else [])
        loop.subjects.append(self)

    def read(self) -> None:
        """Read a chunk, as asyncio does."""
        data = self.chunks.popleft()
        if self.wire.closed:
            return
        if not self.buffered:
            self.connection.data_received(data)
            return
        view = self.connection.get_buffer(-1)
        if len(data) > len(view):
            self.chunks.appendleft(data[len(view) :])
        part = data[: len(view)]
        view[: len(part)] = part
        self.connection.buffer_updated(len(part))

    def _opened(self, protocol: str, extensions: str) -> None:
        self.events.append(("open",))
        self._on_open(self)

    def _message(self, data: Any) -> None:
        self.events.append(("message", data))
        self._on_message(self)

    def _closed(self, code: int, reason: str, clean: bool, message: str) -> None:
        self.events.append(("close", code, reason, clean))

    @property
    def outcome(self) -> dict[str, Any]:
        failed = bool(self.events) and self.events[-1][1:] == (1006, "", False)
        return {"events": self.events, "written": frames_of(bytes(self.wire.written), failed=failed)}


Check = Callable[[dict[str, Any], dict[str, Any]], None]


def same(actual: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert actual == outcome


@pytest.fixture(scope="module")
def play() -> Iterator[Callable[..., None]]:
    """Play streams side by side, on both ways in; check what came of each."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:

        def play(
            comes: list[tuple[Stream, dict[str, Any]]],
            check: Check = same,
            *,
            bytes_first: bool = False,
            **handlers: Any,
        ) -> None:
            async def main(ways: Sequence[bool]) -> None:
                patch.setattr(_buffers.here, "loop", _buffers.Buffers(comes[0][0].buffer))
                loop = Loop()
                loop.bytes_first = bytes_first
                both = zip(comes, ways, strict=True)
                subjects = [Subject(stream, loop, buffered, **handlers) for (stream, _), buffered in both]
                loop.run()
                for subject, (_, outcome) in zip(subjects, comes, strict=True):
                    check(subject.outcome, outcome)

            # The first through get_buffer() and not; what is beside it, where buffers may be mixed up, always.
            runner.run(main([True] * len(comes)))
            runner.run(main([False, *[True] * (len(comes) - 1)]))

        yield play


Play = Callable[..., None]


def expected(stream: Stream, on_message: Callable[[Reference], None] = lambda reference: None) -> dict[str, Any]:
    reference = Reference(stream, on_message)
    reference.receive_data(stream.data)
    return reference.outcome


anything = st.one_of(valid, valid, last_blocks, invalid, closes, interrupted)


def turns(subject: Subject, number: int) -> None:
    """Spin the loop of a subject."""
    loop: Any = subject.connection.loop
    for _ in range(number):
        loop.turn()


@EXAMPLES
@given(data=st.data())
def test_stream_gives_what_websockets_gives(play: Play, data: st.DataObject) -> None:
    stream = data.draw(streams(anything))
    play([(stream, expected(stream))])


@EXAMPLES
@given(data=st.data())
def test_valid_stream_gives_what_websockets_gives(play: Play, data: st.DataObject) -> None:
    stream = data.draw(streams(st.one_of(valid, last_blocks), limited=False))
    play([(stream, expected(stream))])


@EXAMPLES
@given(data=st.data())
def test_echo_of_a_stream_is_what_websockets_would_send(play: Play, data: st.DataObject) -> None:
    stream = data.draw(streams(anything))

    def echo(subject: Subject) -> None:
        message = subject.events[-1][1]
        if subject.connection.protocol.state is OPEN:
            (subject.owner.send_text if isinstance(message, str) else subject.owner.send_binary)(message)

    def echo_expected(reference: Reference) -> None:
        message = reference.messages[-1][1]
        if isinstance(message, str):
            reference.send_text(message.encode())
        else:
            reference.send_binary(message)

    play([(stream, expected(stream, echo_expected))], on_message=echo)


@EXAMPLES
@given(data=st.data())
def test_handlers_that_spin_the_loop_see_the_same(play: Play, data: st.DataObject) -> None:
    """As with qasync or nest_asyncio: more is read in the middle of a delivery."""
    stream = data.draw(streams(anything))
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5), label="turns")

    def spin(subject: Subject) -> None:
        turns(subject, numbers[len(subject.events) % len(numbers)])

    first = data.draw(st.booleans(), label="bytes first")
    play([(stream, expected(stream))], on_message=spin, on_open=spin, bytes_first=first)


@EXAMPLES
@given(data=st.data())
def test_connections_share_a_buffer_while_handlers_spin_the_loop(play: Play, data: st.DataObject) -> None:
    one = data.draw(streams(anything))
    other = data.draw(streams(anything))
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5), label="turns")

    def spin(subject: Subject) -> None:
        turns(subject, numbers[len(subject.events) % len(numbers)])

    play([(one, expected(one)), (other, expected(other))], on_message=spin, on_open=spin)


@EXAMPLES
@given(data=st.data())
def test_handlers_that_are_interrupted_lose_nothing(play: Play, data: st.DataObject) -> None:
    """KeyboardInterrupt passes through; the loop may be run again, and nothing comes twice. Some spin it, too."""
    stream = data.draw(streams(st.one_of(valid, valid, invalid, closes)))
    actions = data.draw(st.lists(st.sampled_from(["", "interrupt", "spin"]), min_size=1, max_size=5), label="actions")

    def interrupt(subject: Subject) -> None:
        action = actions[len(subject.events) % len(actions)]
        if action == "spin":
            turns(subject, 2)
        elif action:
            raise KeyboardInterrupt

    first = data.draw(st.booleans(), label="bytes first")
    play([(stream, expected(stream))], on_message=interrupt, on_open=interrupt, bytes_first=first)


@EXAMPLES
@given(data=st.data())
def test_handler_that_closes_sees_the_same(play: Play, data: st.DataObject) -> None:
    stream = data.draw(streams(anything))
    number = data.draw(st.integers(1, 3), label="message")

    def close(subject: Subject) -> None:
        if len(subject.events) == number + 1:
            subject.owner.close(GOING_AWAY, "enough")

    def close_expected(reference: Reference) -> None:
        if len(reference.messages) == number:
            reference.send_close(GOING_AWAY, "enough")

    play([(stream, expected(stream, close_expected))], on_message=close)


@EXAMPLES
@given(data=st.data())
def test_handler_that_aborts_sees_nothing_more(play: Play, data: st.DataObject) -> None:
    stream = data.draw(streams(anything))
    number = data.draw(st.integers(1, 3), label="message")

    def abort(subject: Subject) -> None:
        if len(subject.events) == number + 1:
            subject.owner.abort()

    def check(actual: dict[str, Any], outcome: dict[str, Any]) -> None:
        events = outcome["events"]
        aborted = events[number : number + 1] and events[number][0] == "message"
        assert actual["events"] == (events[: number + 1] if aborted else events)

    play([(stream, expected(stream))], check, on_message=abort)


@EXAMPLES
@given(data=st.data())
def test_pausing_handlers_see_the_same(play: Play, data: st.DataObject) -> None:
    stream = data.draw(streams(anything))
    delay = data.draw(st.integers(0, 3), label="delay")

    def pause(subject: Subject) -> None:
        subject.owner.pause()
        loop: Any = subject.connection.loop

        def wait(turns_left: int) -> None:
            if turns_left:
                loop.soon(lambda: wait(turns_left - 1))
            else:
                subject.owner.resume()

        wait(delay)

    play([(stream, expected(stream))], on_message=pause)


def test_fragment_that_is_too_long_is_not_waited_for(play: Play) -> None:
    data = make_frame(TEXT, b"x" * 200, fin=False) + make_frame(CONTINUATION, b"", length=200)
    stream = Stream(data, [data], 300, "", 2**18)
    play([(stream, expected(stream))])
