"""Cases of messages that come in."""

from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import GOODBYE, open_socket, received, record
from unisocket.testing.script import equal, generated, numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

_TEXT = "WHATWG 4: a text message is delivered as a string"
_BINARY = "contract 1, binaryType: binary messages are delivered as bytes"
_FRAGMENTS = "RFC 6455 5.4: a fragmented message is delivered as one"
_INTERLEAVED = "RFC 6455 5.4: control frames may stand between the fragments of a message"

_WIDTHS = "\x01\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff"
_WIDTHS_UTF8 = "017fc280dfbfe0a080ed9fbfee8080efbfbdefbfbff0908080f48fbfbf"

# What the peer sends; the messages that are delivered.
RECEIVED: "list[tuple[str, str, list[list[Any]], list[Any]]]" = [
    ("test_text_message_is_delivered_as_str", _TEXT, [["text", "hello"]], ["hello"]),
    (
        "test_text_message_with_characters_of_every_utf8_width_is_delivered_whole",
        _TEXT,
        [["frame", 1, _WIDTHS_UTF8]],
        [_WIDTHS],
    ),
    ("test_text_message_with_emoji_is_delivered_whole", _TEXT, [["frame", 1, "61f09f988062"]], ["a\U0001f600b"]),
    ("test_text_message_with_NUL_characters_is_delivered_whole", _TEXT, [["frame", 1, "0061000062"]], ["\0a\0\0b"]),
    ("test_text_message_with_byte_order_mark_keeps_it", _TEXT, [["frame", 1, "efbbbf61"]], ["\ufeffa"]),
    ("test_empty_text_message_is_delivered_as_empty_str", _TEXT, [["text", ""]], [""]),
    (
        "test_binary_message_of_every_byte_is_delivered_as_bytes",
        _BINARY,
        [["binary", bytes(range(256)).hex()]],
        [bytes(range(256))],
    ),
    ("test_empty_binary_message_is_delivered_as_empty_bytes", _BINARY, [["binary", ""]], [b""]),
    (
        "test_fragments_of_text_are_delivered_as_one_message",
        _FRAGMENTS,
        [["frame", 1, "6162", {"fin": False}], ["frame", 0, "63", {"fin": False}], ["frame", 0, "64"]],
        ["abcd"],
    ),
    (
        "test_fragments_that_split_a_character_are_delivered_as_one_message",
        "RFC 6455 5.6: a fragment may end within a UTF-8 sequence",
        [["frame", 1, "61f0", {"fin": False}], ["frame", 0, "9f98", {"fin": False}], ["frame", 0, "8062"]],
        ["a\U0001f600b"],
    ),
    (
        "test_fragments_of_binary_are_delivered_as_one_message",
        _FRAGMENTS,
        [["frame", 2, "00ff", {"fin": False}], ["frame", 0, "", {"fin": False}], ["frame", 0, "80"]],
        [b"\x00\xff\x80"],
    ),
    (
        "test_fragments_that_are_all_empty_are_delivered_as_empty_message",
        _FRAGMENTS,
        [["frame", 1, "", {"fin": False}], ["frame", 0, "", {"fin": False}], ["frame", 0, ""]],
        [""],
    ),
    (
        "test_last_fragment_that_is_empty_ends_the_message",
        _FRAGMENTS,
        [["frame", 2, "01", {"fin": False}], ["frame", 0, ""], ["text", "next"]],
        [b"\x01", "next"],
    ),
    (
        "test_fragments_interleaved_with_pings_are_delivered_as_one_message",
        _INTERLEAVED,
        [
            ["frame", 1, "6162", {"fin": False}],
            ["ping", "01"],
            ["frame", 0, "63", {"fin": False}],
            ["ping", "02"],
            ["frame", 0, "64"],
        ],
        ["abcd"],
    ),
    (
        "test_pong_that_nobody_asked_for_is_ignored",
        "RFC 6455 5.5.3: an unsolicited pong takes no response",
        [["text", "before"], ["pong", "00ff"], ["pong", ""], ["text", "after"]],
        ["before", "after"],
    ),
    (
        "test_messages_of_both_kinds_in_one_packet_are_delivered_in_order",
        "WHATWG 4: messages are delivered in the order in which they came",
        [["together", [["text", "1"], ["binary", "02"], ["text", ""], ["binary", ""], ["ping", ""], ["text", "5"]]]],
        ["1", b"\x02", "", b"", "5"],
    ),
]


def _add_received(name: str, rule: str, steps: "list[list[Any]]", messages: "list[Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        delivered = await received(connect, peer, *steps)
        equal(delivered, messages)
        equal([type(data) for data in delivered], [type(data) for data in messages])

    add_case(name, rule, function)


for _row in RECEIVED:
    _add_received(*_row)


@case("RFC 6455 5.2: where TCP cuts the frames means nothing")
async def test_frames_cut_after_every_byte_are_delivered_whole(connect: "Connect", peer: "Peer") -> None:
    """All forms of a length, a ping, fragments and an empty message, byte by byte."""
    heads = ["810368c3a9", "890170", "827e0080", "00" * 128, "0102f09f", "80029880", "8100", "827f0000000000010000"]
    pieces = []
    for head in heads:
        pieces += [head[at : at + 2] for at in range(0, len(head), 2)] if len(head) < 256 else [head]
    steps: list[list[Any]] = []
    for piece in pieces + ["11" * 65535, "11"]:
        steps += [["raw", piece], ["sleep", 0.001]]
    messages = await received(connect, peer, *steps)
    equal(messages, ["h\u00e9", bytes(128), "\U0001f600", "", b"\x11" * 65536])


def _add_size(kind: str, size: int) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        equal(await received(connect, peer, ["send", kind, size]), [generated(kind, size)])

    add_case(
        "test_%s_message_of_%d_bytes_is_delivered_whole" % (kind, size),
        "RFC 6455 5.2: a payload of any length is delivered; contract 6: no limit below 64 MiB",
        function,
    )


for _kind in ("text", "binary"):
    for _size in (125, 126, 65535, 65536, 2**21):
        _add_size(_kind, _size)


@case("RFC 6455 5.4: a message may have any number of fragments")
async def test_message_of_10000_fragments_is_delivered_whole(connect: "Connect", peer: "Peer") -> None:
    """One byte each."""
    equal(await received(connect, peer, ["raw", "010161" + "000162" * 9998 + "800163"]), ["a" + "b" * 9998 + "c"])


def _add_push(kind: str, size: int) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        messages = await received(connect, peer, ["push", 1000, kind, size])
        texts = [numbered(number, size) for number in range(1000)]
        equal(messages, texts if kind == "text" else [text.encode() for text in texts])

    add_case(
        "test_1000_%s_messages_of_%d_bytes_are_delivered_in_order" % (kind, size),
        "WHATWG 4: messages are delivered in the order in which they came",
        function,
    )


for _kind in ("text", "binary"):
    for _size in (20, 400):
        _add_push(_kind, _size)


def _add_ping(name: str, payload: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, recorder = await open_socket(connect, peer, ["ping", payload])
        equal((await peer.wait_for("pong"))[0]["hex"], payload)
        equal((websocket.readyState, recorder.types), (websocket.OPEN, ["open"]))

    add_case(name, "RFC 6455 5.5.2, 5.5.3: a ping is answered with its payload, and is no message", function)


_add_ping("test_ping_is_answered_with_its_payload", "00ff61")
_add_ping("test_empty_ping_is_answered_with_empty_pong", "")
_add_ping("test_ping_of_125_bytes_is_answered_with_its_payload", "c3" * 125)


@case("contract 1, binaryType: bytes by default")
async def test_binary_message_by_default_is_exactly_bytes(connect: "Connect", peer: "Peer") -> None:
    """No subclass, no bytearray, no view."""
    websocket, recorder = await open_socket(connect, peer, ["binary", "00ff"])
    equal(websocket.binaryType, "bytes")
    _, data = await recorder.wait("message")
    assert type(data) is bytes, type(data)


@case('contract 1, binaryType: "arraybuffer" delivers memoryview')
async def test_binary_message_with_arraybuffer_is_exactly_memoryview(connect: "Connect", peer: "Peer") -> None:
    """Empty messages, too."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.binaryType = "arraybuffer"
    await peer.do(["binary", "00ff"], ["binary", ""], GOODBYE)
    await recorder.closed()
    equal([type(data) for data in recorder.messages], [memoryview, memoryview])
    equal([bytes(data) for data in recorder.messages], [b"\x00\xff", b""])
    equal([len(data) for data in recorder.messages], [2, 0])


@case("contract 1, binaryType: concerns binary messages only")
async def test_text_message_with_arraybuffer_is_str(connect: "Connect", peer: "Peer") -> None:
    """Text stays text."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.binaryType = "arraybuffer"
    await peer.do(["text", "text"])
    _, data = await recorder.wait("message")
    equal((type(data), data), (str, "text"))


@case("contract 1, binaryType: read at delivery")
async def test_binaryType_switched_between_messages_of_one_packet_holds_at_once(
    connect: "Connect", peer: "Peer"
) -> None:
    """A handler that sets it decides for the next message, though that has come already."""
    kinds: list[type] = []

    def on_message(event: "Any") -> None:
        kinds.append(type(event.data))
        event.target.binaryType = "bytes" if event.target.binaryType == "arraybuffer" else "arraybuffer"

    messages = [["binary", "00"], ["binary", "01"], ["text", ""], ["binary", "02"]]
    await record(connect, peer, ["accept"], ["together", messages], GOODBYE, onmessage=on_message)
    equal(kinds, [bytes, memoryview, str, memoryview])


@case("contract 1, binaryType: read at delivery, and whatever it is the data is the receiver's own")
async def test_messages_of_both_binary_types_keep_their_data(connect: "Connect", peer: "Peer") -> None:
    """No message shares its memory with a later one."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.binaryType = "arraybuffer"
    await peer.do(["push", 100, "binary", 8], ["push", 3, "binary", 70000], GOODBYE)
    await recorder.closed()
    expected = [numbered(number, size) for count, size in ((100, 8), (3, 70000)) for number in range(count)]
    equal([bytes(data) for data in recorder.messages], [text.encode() for text in expected])


@case("WHATWG 4: messages are delivered from the moment on in which the connection is open")
async def test_message_in_the_packet_of_the_101_is_delivered_after_open(connect: "Connect", peer: "Peer") -> None:
    """What comes together with the acceptance is not lost, and not too early."""
    steps = [["accept"], ["text", "first"], ["binary", "02"]]
    recorder = await record(connect, peer, ["together", steps], GOODBYE)
    equal(recorder.events, [("open",), ("message", "first"), ("message", b"\x02"), ("close", 1000, "", True)])


@case("contract 2: events come as tasks; WHATWG 4: open is fired before any message")
async def test_onmessage_set_in_onopen_loses_no_message(connect: "Connect", peer: "Peer") -> None:
    """A handler that is set when the connection opens hears all messages."""
    messages: list[Any] = []

    def on_open(event: "Any") -> None:
        event.target.onmessage = lambda event: messages.append(event.data)

    await record(connect, peer, ["together", [["accept"], ["text", "a"], ["text", "b"]]], GOODBYE, onopen=on_open)
    equal(messages, ["a", "b"])


# What compressed messages look like in RFC 7692 sections 7.2.3.1 to 7.2.3.6; what they say.
COMPRESSED: "list[tuple[str, list[list[Any]], list[str]]]" = [
    ("in_one_frame", [["frame", 1, "f248cdc9c90700", {"rsv": 4}]], ["Hello"]),
    ("in_fragments", [["frame", 1, "f248cd", {"rsv": 4, "fin": False}], ["frame", 0, "c9c90700"]], ["Hello"]),
    (
        "that_refers_to_the_one_before",
        [["frame", 1, "f248cdc9c90700", {"rsv": 4}], ["frame", 1, "f200110000", {"rsv": 4}]],
        ["Hello", "Hello"],
    ),
    ("in_block_without_compression", [["frame", 1, "000500faff48656c6c6f00", {"rsv": 4}]], ["Hello"]),
    ("in_final_block", [["frame", 1, "f348cdc9c9070000", {"rsv": 4}]], ["Hello"]),
    (
        "after_final_block",
        [["frame", 1, "f348cdc9c9070000", {"rsv": 4}], ["frame", 1, "f248cdc9c90700", {"rsv": 4}]],
        ["Hello", "Hello"],
    ),
    ("in_two_blocks", [["frame", 1, "f24805000000ffffcac9c90700", {"rsv": 4}]], ["Hello"]),
    ("that_is_empty", [["frame", 1, "00", {"rsv": 4}]], [""]),
    ("beside_one_that_is_not", [["frame", 1, "f248cdc9c90700", {"rsv": 4}], ["text", "plain"]], ["Hello", "plain"]),
]


def _add_compressed(name: str, steps: "list[list[Any]]", messages: list[str]) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        accept = ["accept", {"extensions": "permessage-deflate"}]
        equal((await record(connect, peer, accept, *steps, GOODBYE)).messages, messages)

    add_case(
        "test_compressed_message_" + name + "_is_delivered_decompressed",
        "RFC 7692 7.2.2: a compressed message is delivered as what it was",
        function,
    )


for _compressed in COMPRESSED:
    _add_compressed(*_compressed)
