"""Cases of send() and bufferedAmount."""

from unisocket import InvalidStateError
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import LOST, open_socket, seen, until
from unisocket.testing.script import equal, generated, raises

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

MIB = 2**20

_UTF8 = "WHATWG 3.1, send(): a string goes out as a text message, in UTF-8"
_USV = "contract 1, send: text becomes a USVString: surrogate pairs join, lone ones become U+FFFD"
_EMPTY = "contract 1, send: empty messages are messages"
_BYTES = "contract 1, send: bytes, bytearray and memoryview go out as a binary message"

# What is sent; the kind and the payload that the peer gets.
SENT: "list[tuple[str, str, Any, str, bytes]]" = [
    ("test_send_ascii_arrives_as_text", _UTF8, "hello", "text", b"hello"),
    (
        "test_send_characters_of_every_utf8_width_arrives_whole",
        _UTF8,
        "\x01\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff",
        "text",
        b"\x01\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80"
        b"\xef\xbf\xbd\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
    ),
    ("test_send_emoji_arrives_as_four_bytes", _UTF8, "a\U0001f600b", "text", b"a\xf0\x9f\x98\x80b"),
    ("test_send_byte_order_mark_keeps_it", _UTF8, "\ufeffa", "text", b"\xef\xbb\xbfa"),
    (
        "test_send_long_text_with_byte_order_mark_keeps_it",
        _UTF8,
        "\ufeff" + "a" * 40,
        "text",
        b"\xef\xbb\xbf" + b"a" * 40,
    ),
    ("test_send_NUL_characters_arrive", "contract 1, send: NUL characters arrive", "\0a\0\0b\0", "text", b"\0a\0\0b\0"),
    ("test_send_empty_text_arrives_as_empty_text", _EMPTY, "", "text", b""),
    ("test_send_surrogate_pair_joins", _USV, "\ud83d\ude00", "text", b"\xf0\x9f\x98\x80"),
    ("test_send_lone_high_surrogate_becomes_replacement", _USV, "a\ud83db", "text", b"a\xef\xbf\xbdb"),
    ("test_send_lone_low_surrogate_becomes_replacement", _USV, "a\ude00b", "text", b"a\xef\xbf\xbdb"),
    ("test_send_reversed_surrogates_become_two_replacements", _USV, "\ude00\ud83d", "text", 2 * b"\xef\xbf\xbd"),
    (
        "test_send_high_surrogate_before_pair_leaves_pair",
        _USV,
        "\ud83d\ud83d\ude00",
        "text",
        b"\xef\xbf\xbd\xf0\x9f\x98\x80",
    ),
    ("test_send_lone_surrogate_and_NUL_arrives_whole", _USV, "\0\ud83d\0", "text", b"\0\xef\xbf\xbd\0"),
    ("test_send_bytes_arrives_as_binary", _BYTES, bytes(range(256)), "binary", bytes(range(256))),
    ("test_send_empty_bytes_arrives_as_empty_binary", _EMPTY, b"", "binary", b""),
    ("test_send_bytearray_arrives_as_binary", _BYTES, bytearray(b"\x00\xff\x80"), "binary", b"\x00\xff\x80"),
    ("test_send_empty_bytearray_arrives_as_empty_binary", _EMPTY, bytearray(), "binary", b""),
    ("test_send_memoryview_arrives_as_binary", _BYTES, memoryview(b"\x00\xff\x80"), "binary", b"\x00\xff\x80"),
    ("test_send_memoryview_slice_arrives_as_that_part", _BYTES, memoryview(b"012345678")[3:7], "binary", b"3456"),
    (
        "test_send_bytearray_view_slice_arrives_as_that_part",
        _BYTES,
        memoryview(bytearray(b"0123"))[1:],
        "binary",
        b"123",
    ),
    ("test_send_empty_memoryview_arrives_as_empty_binary", _EMPTY, memoryview(b"0123")[2:2], "binary", b""),
]


def _add_sent(name: str, rule: str, data: "Any", kind: str, payload: bytes) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, _ = await open_socket(connect, peer)
        equal(websocket.send(data), None, "what send() returns")
        message = (await peer.wait_for("message"))[0]
        equal((message["type"], bytes.fromhex(message["hex"])), (kind, payload))

    add_case(name, rule, function)


for _row in SENT:
    _add_sent(*_row)


@case("contract 1, send: any contiguous memoryview, counted in bytes")
async def test_send_memoryview_of_wide_items_arrives_byte_by_byte(connect: "Connect", peer: "Peer") -> None:
    """Items of two bytes go out as they lie in memory."""
    from array import array

    items = array("H", [1, 2, 0xFFFE])
    websocket, _ = await open_socket(connect, peer)
    websocket.send(memoryview(items))
    equal(websocket.bufferedAmount, 6)
    message = (await peer.wait_for("message"))[0]
    equal((message["type"], bytes.fromhex(message["hex"])), ("binary", bytes(items)))


def _add_big(kind: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, recorder = await open_socket(connect, peer, ["echo"])
        data = generated(kind, MIB)
        websocket.send(data)
        equal(await recorder.wait("message"), ("message", data))

    add_case(
        "test_send_1_MiB_of_" + kind + "_makes_the_round_trip",
        "WHATWG 3.1: a message has any length; contract 6: no limit below 64 MiB",
        function,
    )


for _kind in ("text", "binary"):
    _add_big(_kind)


@case("contract 1, send: the payload is taken as it is at the call")
async def test_send_bytearray_changed_afterwards_arrives_unchanged(connect: "Connect", peer: "Peer") -> None:
    """What is done to a bytearray after the call changes nothing."""
    websocket, _ = await open_socket(connect, peer)
    data = bytearray(b"before")
    websocket.send(data)
    websocket.send(memoryview(data)[:3])
    data[:] = b"behind"
    messages = await peer.wait_for("message", 2)
    equal([bytes.fromhex(message["hex"]) for message in messages], [b"before", b"bef"])


@case("RFC 6455 5.4 and WHATWG 3.1: messages keep their order")
async def test_send_many_messages_of_both_kinds_keeps_their_order(connect: "Connect", peer: "Peer") -> None:
    """Text and binary messages of one task come back in the order of the calls."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    sent = [b"%d" % number if number % 2 else str(number) for number in range(200)]
    for data in sent:
        websocket.send(data)
    await recorder.wait("message", len(sent))
    equal(recorder.messages, sent)


@case("RFC 6455 5.1: a client masks all its frames")
async def test_sent_frames_are_masked(connect: "Connect", peer: "Peer") -> None:
    """Every frame, the close frame too, is masked."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.send("text")
    websocket.send(b"")
    websocket.close(1000)
    await recorder.closed()
    frames = await peer.wait_for("frame", 3)
    equal([frame["masked"] for frame in frames], [True, True, True])


@case("RFC 6455 5.2: lengths of 125, 126, 65535 and 65536 bytes end at the right byte")
async def test_send_lengths_at_frame_boundaries_breaks_no_rule(connect: "Connect", peer: "Peer") -> None:
    """Where the form of the length changes, messages come out whole."""
    sizes = [0, 1, 125, 126, 127, 65535, 65536, 65537]
    websocket, recorder = await open_socket(connect, peer, ["ping", "00"])
    await peer.wait_for("pong")
    for size in sizes:
        websocket.send(bytes(size))
        websocket.send("x" * size)
    websocket.close(4000, "bye")
    await recorder.closed()
    messages = await peer.wait_for("message", 2 * len(sizes))
    equal([message["length"] for message in messages], [size for size in sizes for _ in range(2)])
    equal(await seen(peer, "violation"), [])


@case("RFC 7692 7.2.1: what is sent over permessage-deflate arrives as what it was")
async def test_send_over_permessage_deflate_arrives_whole(connect: "Connect", peer: "Peer") -> None:
    """Compressed or not, at the sender's choice, the peer gets the same messages."""
    await peer.script(["accept", {"extensions": "permessage-deflate"}])
    sent = ["", "Hello", "Hello", 3000 * "Hello", "\U0001f600"]
    connect(peer.url, onopen=lambda event: [event.target.send(text) for text in sent])
    messages = await peer.wait_for("message", len(sent))
    equal([message["length"] for message in messages], [len(text.encode()) for text in sent])
    equal(await seen(peer, "violation"), [])


@case("contract 1, send: CONNECTING: InvalidStateError")
async def test_send_while_CONNECTING_raises_and_sends_nothing(connect: "Connect", peer: "Peer") -> None:
    """Nothing is kept for later."""
    await peer.script(["accept"])
    websocket = connect(peer.url)
    equal(raises(InvalidStateError, lambda: websocket.send("text")).name, "InvalidStateError")
    equal(raises(InvalidStateError, lambda: websocket.send(b"")).name, "InvalidStateError")
    equal(websocket.bufferedAmount, 0)
    websocket.onopen = lambda event: websocket.send("first")
    equal((await peer.wait_for("message"))[0]["text"], "first")


@case("contract 1, send: CLOSING: dropped silently, counted in bufferedAmount")
async def test_send_while_CLOSING_is_dropped_and_counted(connect: "Connect", peer: "Peer") -> None:
    """After close() nothing goes out any more, and the count says so."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.close()
    before = websocket.bufferedAmount
    websocket.send("\u20ac")
    websocket.send(b"\x00\x01")
    websocket.send(bytearray(5))
    equal(websocket.bufferedAmount, before + 3 + 2 + 5)
    await recorder.closed()
    await peer.wait_for("close")
    equal(await seen(peer, "message", "violation"), [])


@case("contract 1, bufferedAmount: keeps growing on sends after the close")
async def test_send_while_CLOSED_is_dropped_and_counted(connect: "Connect", peer: "Peer") -> None:
    """Sends to a closed connection add up, for ever."""
    websocket, recorder = await open_socket(connect, peer, ["close", 1000, ""])
    await recorder.closed()
    equal(websocket.bufferedAmount, 0)
    websocket.send("\u00e9")
    equal(websocket.bufferedAmount, 2)
    websocket.send(memoryview(b"0123")[1:])
    websocket.send("\ud800")
    equal(websocket.bufferedAmount, 2 + 3 + 3)


@case("contract 1, bufferedAmount: counts what is given to send(), and nothing before the connection is open")
async def test_send_on_connection_that_never_opened_is_counted(connect: "Connect", peer: "Peer") -> None:
    """A connection that failed counts what it drops, as any closed one."""
    await peer.script(["http", 404])
    websocket = connect(peer.url)
    equal(websocket.bufferedAmount, 0)
    closed: list[Any] = []
    websocket.onclose = closed.append
    await until(lambda: closed, "close")
    websocket.send("abc")
    equal(websocket.bufferedAmount, 3)


@case("contract 1, send: CLOSING: dropped silently, when the peer began to close, too")
async def test_send_after_peer_close_frame_is_dropped_and_counted(connect: "Connect", peer: "Peer") -> None:
    """As soon as the state is CLOSING, or CLOSED, nothing goes out."""
    websocket, recorder = await open_socket(connect, peer, ["deaf"], ["close", 1000, ""], ["sleep", 0.05], ["fin"])
    await until(lambda: websocket.readyState != websocket.OPEN, "CLOSING")
    websocket.send("late")
    equal(websocket.bufferedAmount, 4)
    await recorder.closed()
    equal(websocket.bufferedAmount, 4)
    equal(await seen(peer, "message"), [])


@case("WHATWG 3.1, close(): the closing handshake begins when all messages are sent")
async def test_close_after_big_sends_lets_them_leave_first(connect: "Connect", peer: "Peer") -> None:
    """What was sent before close() arrives, all of it."""
    websocket, recorder = await open_socket(connect, peer)
    data = bytes(MIB)
    for _ in range(4):
        websocket.send(data)
    websocket.close(1000)
    equal(await recorder.closed(), ("close", 1000, "", True))
    await peer.wait_for("close")
    records = await seen(peer, "message", "close")
    equal([record["kind"] for record in records], ["message"] * 4 + ["close"])
    equal([record["length"] for record in records[:4]], [MIB] * 4)


_COUNTED = "contract 1, bufferedAmount: payload bytes, UTF-8 for text, no framing"

# What is sent, and the bytes that it counts.
COUNTED: "list[tuple[str, Any, int]]" = [
    ("text_by_utf8_bytes", "a\u00e9\u20ac\U0001f600", 1 + 2 + 3 + 4),
    ("surrogate_pair_as_four_bytes", "\ud83d\ude00", 4),
    ("lone_surrogate_as_three_bytes", "\ud83d", 3),
    ("NUL_as_one_byte", "a\0b", 3),
    ("empty_text_as_nothing", "", 0),
    ("bytes_without_framing", bytes(70000), 70000),
    ("memoryview_slice_by_its_bytes", memoryview(bytes(10))[2:5], 3),
]


def _add_counted(name: str, data: "Any", size: int) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, _ = await open_socket(connect, peer)
        equal(websocket.bufferedAmount, 0)
        websocket.send(data)
        equal(websocket.bufferedAmount, size)

    add_case("test_bufferedAmount_counts_" + name, _COUNTED, function)


for _counted in COUNTED:
    _add_counted(*_counted)


@case("WHATWG 3.1, bufferedAmount: falls only between tasks")
async def test_bufferedAmount_within_one_task_only_grows(connect: "Connect", peer: "Peer") -> None:
    """As long as a task runs, nothing leaves, however long it looks."""
    websocket, _ = await open_socket(connect, peer)
    for number in range(1, 101):
        websocket.send(bytes(1000))
        equal([websocket.bufferedAmount for _ in range(3)], [1000 * number] * 3)


def _add_counted_in_one_task(name: str, extensions: "dict[str, str]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept", extensions])
        counted: list[tuple[int, int]] = []

        def on_open(event: "Any") -> None:
            total = 0
            for size in (0, 1, 125, 126, 65535, 65536, 65537, 200000):
                for data in ("x" * size, bytes(size), bytearray(size), memoryview(bytes(size))):
                    event.target.send(data)
                    total += size
                    counted.append((event.target.bufferedAmount, total))

        websocket = connect(peer.url, onopen=on_open)
        messages = await peer.wait_for("message", 32)
        equal([amount for amount, _ in counted], [total for _, total in counted])
        equal(sum([message["length"] for message in messages]), counted[-1][1])
        await until(lambda: websocket.bufferedAmount == 0, "bufferedAmount is 0")

    add_case("test_bufferedAmount_after_each_message_of_one_task_is_their_sum" + name, _COUNTED, function)


_add_counted_in_one_task("", {})
_add_counted_in_one_task("_though_they_are_compressed", {"extensions": "permessage-deflate"})


@case("WHATWG 3.1, bufferedAmount: what was handed to the network is not counted any more")
async def test_bufferedAmount_returns_to_0_when_all_is_sent(connect: "Connect", peer: "Peer") -> None:
    """When the messages have left, nothing is buffered."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    for _ in range(10):
        websocket.send("x" * 10000)
    await recorder.wait("message", 10)
    await until(lambda: websocket.bufferedAmount == 0, "bufferedAmount is 0")


@case("contract 1, bufferedAmount: is not reset by close")
async def test_bufferedAmount_stays_in_the_task_of_close(connect: "Connect", peer: "Peer") -> None:
    """close() itself takes nothing off the count."""
    websocket, _ = await open_socket(connect, peer)
    websocket.send("abc")
    websocket.close()
    equal(websocket.bufferedAmount, 3)


def _add_never_left(name: str, steps: "list[list[Any]]", options: "dict[str, Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, recorder = await open_socket(connect, peer, ["stall"], options=options)
        data = bytes(MIB)
        for _ in range(16):  # more than the network takes by itself
            websocket.send(data)
        websocket.close()
        if steps:
            await peer.do(*steps)
        await recorder.closed()
        equal(recorder.events[1:], LOST)
        left = websocket.bufferedAmount
        assert 0 < left <= 16 * MIB, left
        websocket.send("abc")
        equal(websocket.bufferedAmount, left + 3)

    add_case(
        "test_bufferedAmount_of_connection_" + name + "_keeps_what_never_left",
        "WHATWG 3.1, bufferedAmount: does not reset to zero once the connection closes",
        function,
    )


_add_never_left("that_was_reset", [["rst"]], {})
_add_never_left("closed_in_vain", [], {"close_timeout": 0.2})
