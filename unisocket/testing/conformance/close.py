"""Cases of the closing handshake, begun by either side or missed out."""

from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import GOODBYE, LOST, open_socket, record, seen, sleep, until
from unisocket.testing.script import Recorder, equal, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

_NO_CODE = "contract 1, close: code None = an empty close frame, the peer sees 1005"
_CODE = "contract 1, close: 1000 or 3000-4999"
_REASON = "contract 1, close: a reason goes out as UTF-8, at most 123 bytes"
_NO_CODE_REASON = "contract 1, close: a reason, even an empty one, without a code is sent with an explicit 1000"

_LONG = 30 * "\U0001f600" + "abc"  # 123 bytes

# The arguments of close(); the code and the reason that the peer gets.
LOCAL: "list[tuple[str, str, tuple[Any, ...], int | None, str]]" = [
    ("without_arguments_sends_empty_frame", _NO_CODE, (), None, ""),
    ("with_None_and_None_sends_empty_frame", _NO_CODE, (None, None), None, ""),
    ("with_1000_sends_it", _CODE, (1000,), 1000, ""),
    ("with_3000_sends_it", _CODE, (3000,), 3000, ""),
    ("with_4999_sends_it", _CODE, (4999,), 4999, ""),
    ("with_code_and_reason_sends_both", _REASON, (4001, "bye"), 4001, "bye"),
    ("with_code_and_empty_reason_sends_code", _REASON, (4001, ""), 4001, ""),
    ("with_reason_without_code_sends_1000", _NO_CODE_REASON, (None, "bye"), 1000, "bye"),
    ("with_empty_reason_without_code_sends_1000", _NO_CODE_REASON, (None, ""), 1000, ""),
    ("with_reason_of_123_bytes_sends_it", _REASON, (3001, "x" * 123), 3001, "x" * 123),
    ("with_emoji_reason_of_123_bytes_sends_it", _REASON, (3001, _LONG), 3001, _LONG),
    ("with_NUL_in_reason_sends_it", _REASON, (3001, "a\0b"), 3001, "a\0b"),
    ("with_byte_order_mark_in_reason_sends_it", _REASON, (3001, "\ufeff" + "x" * 40), 3001, "\ufeff" + "x" * 40),
    ("with_surrogate_pair_in_reason_joins_it", _REASON, (3001, "\ud83d\ude00"), 3001, "\U0001f600"),
    ("with_lone_surrogate_in_reason_replaces_it", _REASON, (3001, "a\ud83d"), 3001, "a\ufffd"),
]


def _add_local(name: str, rule: str, arguments: "tuple[Any, ...]", code: int | None, reason: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, recorder = await open_socket(connect, peer)
        equal(websocket.close(*arguments), None, "what close() returns")
        # The peer answers with the code, and no reason.
        await recorder.closed()
        equal(recorder.events, [("open",), ("close", 1005 if code is None else code, "", True)])
        frames = await peer.wait_for("close")
        equal([(frame["code"], frame["reason"]) for frame in frames], [(code, reason)])

    add_case("test_close_" + name, rule, function)


for _local in LOCAL:
    _add_local(*_local)


@case("contract 1, close: returns at once; no event fires inside the call")
async def test_close_moves_to_CLOSING_at_once_and_fires_nothing(connect: "Connect", peer: "Peer") -> None:
    """The state is the new one when close() returns, and the event comes later."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.close(1000)
    equal((websocket.readyState, recorder.types), (websocket.CLOSING, ["open"]))
    await recorder.closed()
    equal((websocket.readyState, recorder.types), (websocket.CLOSED, ["open", "close"]))


@case("contract 1, close: CLOSING: nothing")
async def test_close_while_CLOSING_does_nothing(connect: "Connect", peer: "Peer") -> None:
    """The first call counts, and one close frame goes out."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.close(4001, "first")
    websocket.close(4002, "second")
    websocket.close()
    equal(await recorder.closed(), ("close", 4001, "", True))
    await peer.wait_for("eof")
    frames = await seen(peer, "close")
    equal([(frame["code"], frame["reason"]) for frame in frames], [(4001, "first")])
    equal(recorder.types, ["open", "close"])


@case("contract 1, close: CLOSED: nothing")
async def test_close_while_CLOSED_does_nothing(connect: "Connect", peer: "Peer") -> None:
    """No second event, no change of state."""
    websocket, recorder = await open_socket(connect, peer, ["close", 4001, "peer"])
    await recorder.closed()
    websocket.close(4002)
    equal(websocket.readyState, websocket.CLOSED)
    await sleep(0.02)
    equal(recorder.events, [("open",), ("close", 4001, "peer", True)])


async def _closed_before_open(connect: "Connect", peer: "Peer", *arguments: "Any", begun: bool) -> Recorder:
    """Close a connection that the peer leaves unanswered; return the recorder when it is over."""
    await peer.script()
    websocket = connect(peer.url)
    recorder = Recorder(websocket)
    if begun:
        await peer.wait_for("request")
    websocket.close(*arguments)
    equal((websocket.readyState, recorder.types), (websocket.CLOSING, []))
    await recorder.closed()
    equal((websocket.protocol, websocket.extensions), ("", ""))
    return recorder


@case("contract 1, close: CONNECTING: fails the connection: error, then close 1006")
async def test_close_while_CONNECTING_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """The request is on its way, and no answer is waited for."""
    recorder = await _closed_before_open(connect, peer, begun=True)
    equal((recorder.events, recorder.states), (LOST, [3, 3]))


@case("contract 1, close: CONNECTING: fails the connection, with 1006 and no reason, whatever was given")
async def test_close_with_code_while_CONNECTING_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """Code and reason go nowhere."""
    recorder = await _closed_before_open(connect, peer, 4001, "reason", begun=True)
    equal((recorder.events, recorder.states), (LOST, [3, 3]))


@case("contract 1, close: CONNECTING: fails the connection, as early as in the task of the constructor")
async def test_close_in_task_of_constructor_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """Nothing had begun yet."""
    recorder = await _closed_before_open(connect, peer, 1000, begun=False)
    equal((recorder.events, recorder.states), (LOST, [3, 3]))


@case("contract 2: one that does not open: no open; close last, nothing after it")
async def test_answer_after_close_while_CONNECTING_fires_nothing(connect: "Connect", peer: "Peer") -> None:
    """What the server accepts and sends then comes too late."""
    await peer.script(["sleep", 0.05], ["accept"], ["text", "late"])
    websocket = connect(peer.url)
    recorder = Recorder(websocket)
    websocket.close()
    await recorder.closed()
    await sleep(0.1)
    equal((recorder.events, websocket.readyState), (LOST, websocket.CLOSED))


@case("RFC 6455 7.1.7: a connection that is failed while it opens is dropped")
async def test_close_while_CONNECTING_ends_TCP(connect: "Connect", peer: "Peer") -> None:
    """The peer is not left waiting."""
    await peer.script()
    websocket = connect(peer.url)
    await peer.wait_for("request")
    websocket.close()
    await peer.wait_for("eof")


@case("contract 2: messages are delivered only while OPEN")
async def test_message_after_our_close_is_not_delivered(connect: "Connect", peer: "Peer") -> None:
    """What arrives between our close frame and the peer's is dropped, and the close is clean."""
    websocket, recorder = await open_socket(
        connect, peer, ["read_close"], ["text", "late"], ["binary", "00"], ["close", 4001, "seen"]
    )
    websocket.close(4001)
    await recorder.closed()
    equal(recorder.events, [("open",), ("close", 4001, "seen", True)])


@case("RFC 6455 5.5.2: pings are answered until the close frame has come")
async def test_answer_to_our_close_after_pings_and_big_messages_is_waited_for(connect: "Connect", peer: "Peer") -> None:
    """Whatever the peer sends before its close frame, the handshake is completed."""
    websocket, recorder = await open_socket(
        connect, peer, ["read_close"], ["ping", "01"], ["send", "binary", 300000], ["close", 1000, ""]
    )
    websocket.close(1000)
    await recorder.closed()
    equal(recorder.events, [("open",), ("close", 1000, "", True)])


@case("contract 2: the close frame's code and reason are the peer's")
async def test_close_answered_with_other_code_tells_that_code(connect: "Connect", peer: "Peer") -> None:
    """What we said does not matter."""
    websocket, recorder = await open_socket(connect, peer, ["read_close"], ["close", 4002, "other"])
    websocket.close(4001, "ours")
    equal(await recorder.closed(), ("close", 4002, "other", True))


@case("contract 2: the close frame's code and reason are the peer's; none = 1005")
async def test_close_with_code_answered_without_one_tells_1005(connect: "Connect", peer: "Peer") -> None:
    """An empty answer is an answer."""
    websocket, recorder = await open_socket(connect, peer, ["read_close"], ["close", None, ""])
    websocket.close(4001, "ours")
    equal(await recorder.closed(), ("close", 1005, "", True))


@case("RFC 6455 7.1.4: closed cleanly when both close frames were sent, whoever was first")
async def test_close_frames_that_cross_close_cleanly_with_the_code_of_the_peer(
    connect: "Connect", peer: "Peer"
) -> None:
    """Both sides begin, and no frame is an answer."""
    websocket, recorder = await open_socket(connect, peer, ["read"], ["close", 4002, "peer"])
    websocket.send("go")
    websocket.close(4001, "ours")
    await recorder.closed()
    equal(recorder.events, [("open",), ("close", 4002, "peer", True)])


# What the peer says in its close frame; what the event tells.
REMOTE: "list[tuple[str, int | None, str]]" = [
    ("without_code_tells_1005", None, ""),
    ("with_1000_tells_it", 1000, ""),
    ("with_1001_tells_it", 1001, "going away"),
    ("with_1011_tells_it", 1011, ""),
    ("with_3000_tells_it", 3000, ""),
    ("with_4999_and_reason_tells_both", 4999, "bye"),
    ("with_reason_of_123_bytes_tells_it", 4000, "x" * 123),
    ("with_emoji_reason_tells_it", 4000, "bye \U0001f600\u00e9"),
    ("with_NUL_in_reason_tells_it", 4000, "a\0b"),
]


def _add_remote(name: str, code: int | None, reason: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        recorder = await record(connect, peer, ["accept"], ["close", code, reason])
        equal(recorder.events, [("open",), ("close", 1005 if code is None else code, reason, True)])
        frames = await peer.wait_for("close")
        equal([frame["code"] for frame in frames], [code], "our answer")

    add_case(
        "test_close_of_peer_" + name,
        "contract 2: the close frame's code and reason are the peer's; RFC 6455 5.5.1: the answer echoes the code",
        function,
    )


for _remote in REMOTE:
    _add_remote(*_remote)


@case("contract 2: open once, close last, even if they come in one packet")
async def test_close_frame_in_the_packet_of_the_101_fires_open_then_close(connect: "Connect", peer: "Peer") -> None:
    """The connection was open, however shortly."""
    recorder = await record(connect, peer, ["together", [["accept"], ["close", 4001, "go away"]]])
    equal(recorder.events, [("open",), ("close", 4001, "go away", True)])


@case("contract 2: message any number, then close")
async def test_messages_in_the_packet_of_the_close_frame_are_delivered_first(connect: "Connect", peer: "Peer") -> None:
    """The close frame does not overtake what came before it."""
    steps = [["text", "a"], ["text", "b"], ["close", 4001, ""]]
    recorder = await record(connect, peer, ["accept"], ["together", steps])
    equal(recorder.events, [("open",), ("message", "a"), ("message", "b"), ("close", 4001, "", True)])
    equal(recorder.states, [1, 1, 1, 3])


@case("RFC 6455 1.4: what comes after a close frame is discarded")
async def test_message_after_the_close_frame_of_the_peer_is_not_delivered(connect: "Connect", peer: "Peer") -> None:
    """The close is the first one's."""
    steps = [["close", 4001, "first"], ["text", "late"], ["close", 4002, "second"]]
    recorder = await record(connect, peer, ["accept"], ["together", steps])
    equal(recorder.events, [("open",), ("close", 4001, "first", True)])


@case("RFC 6455 7.1.4: closed cleanly, for the closing handshake was begun by a close frame")
async def test_close_frame_then_FIN_at_once_closes_cleanly(connect: "Connect", peer: "Peer") -> None:
    """A peer that does not wait for our answer has said what it had to say."""
    recorder = await record(connect, peer, ["accept"], ["close", 4001, "bye"], ["fin"])
    equal(recorder.events, [("open",), ("close", 4001, "bye", True)])


@case("contract 2: close does not wait for the TCP teardown of a peer that hangs")
async def test_close_frame_of_peer_that_keeps_TCP_open_closes_all_the_same(connect: "Connect", peer: "Peer") -> None:
    """Both close frames are there: it is over, after some seconds at most."""
    _, recorder = await open_socket(connect, peer, ["deaf"], ["close", 1001, "hanging"])
    equal(await recorder.closed(), ("close", 1001, "hanging", True))


# How the connection is lost; the messages that were delivered before.
DROPS: "list[tuple[str, list[list[Any]], list[str]]]" = [
    ("FIN", [["fin"]], []),
    ("RST", [["rst"]], []),
    ("FIN_within_a_frame", [["frame", 1, "6162", {"length": 10}], ["fin"]], []),
    ("FIN_within_the_head_of_a_frame", [["raw", "817e01"], ["fin"]], []),
    ("FIN_between_fragments", [["frame", 1, "6162", {"fin": False}], ["fin"]], []),
    ("FIN_within_a_close_frame", [["raw", "880203"], ["fin"]], []),
    ("FIN_after_a_message", [["text", "last"], ["fin"]], ["last"]),
    ("RST_within_a_frame", [["frame", 1, "6162", {"length": 10}], ["sleep", 0.01], ["rst"]], []),
]


def _add_drop(name: str, steps: "list[list[Any]]", messages: list[str]) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        _, recorder = await open_socket(connect, peer)
        await peer.do(*steps)
        await recorder.closed()
        equal(recorder.events, [("open",)] + [("message", message) for message in messages] + LOST)

    add_case(
        "test_%s_without_close_frame_fires_error_then_close_1006" % name,
        "contract 2: no close frame = 1006; error directly before close if and only if wasClean is False",
        function,
    )


for _drop in DROPS:
    _add_drop(*_drop)


def _add_unanswered(name: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, recorder = await open_socket(connect, peer, ["read_close"], [name.lower()])
        websocket.close(4001)
        await recorder.closed()
        equal(recorder.events, [("open",)] + LOST)

    add_case(
        "test_%s_instead_of_answer_to_our_close_fires_error_then_close_1006" % name,
        "RFC 6455 7.1.5: without a close frame received the code is 1006",
        function,
    )


for _name in ("FIN", "RST"):
    _add_unanswered(_name)

_TIMEOUT = "contract 1, close: a peer that does not answer: close 1006 close_timeout after the close frame left"


@case(_TIMEOUT)
async def test_close_never_answered_fires_error_then_close_1006_after_close_timeout(
    connect: "Connect", peer: "Peer"
) -> None:
    """Not before, and not much later."""
    websocket, recorder = await open_socket(connect, peer, ["deaf"], options={"close_timeout": 0.3})
    start = now()
    websocket.close(4001)
    await recorder.closed()
    took = now() - start
    assert took >= 290, took
    equal(recorder.events, [("open",)] + LOST)
    equal(recorder.states, [1, 3, 3])


@case(_TIMEOUT + "; answered or not, messages change nothing")
async def test_close_answered_with_messages_only_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """A peer that goes on talking does not answer."""
    websocket, recorder = await open_socket(connect, peer, ["deaf"], options={"close_timeout": 0.1})
    websocket.close()
    await peer.do(["text", "still here"], ["ping", ""])
    await recorder.closed()
    equal(recorder.events, [("open",)] + LOST)


@case(_TIMEOUT + ", and the transport is aborted", needs=("abort",))
async def test_close_never_answered_drops_the_connection(connect: "Connect", peer: "Peer") -> None:
    """The peer sees TCP end."""
    websocket, _ = await open_socket(connect, peer, ["deaf"], options={"close_timeout": 0.05})
    websocket.close()
    await peer.wait_for("eof")


@case("contract 1, close: close_timeout is for a peer that does not answer")
async def test_close_answered_in_time_fires_nothing_after_close_timeout(connect: "Connect", peer: "Peer") -> None:
    """The timer of a connection that is closed does no harm."""
    websocket, recorder = await open_socket(connect, peer, options={"close_timeout": 0.4})
    websocket.close(4001)
    await recorder.closed()
    await sleep(0.45)
    equal(recorder.events, [("open",), ("close", 4001, "", True)])


@case("contract 2: readyState is already the new one when a handler runs, so that it may close")
async def test_close_in_onopen_closes_cleanly(connect: "Connect", peer: "Peer") -> None:
    """The first thing that a program does may be to go."""
    steps = [["accept"], ["text", "unheard"]]
    recorder = await record(connect, peer, ["together", steps], onopen=lambda event: event.target.close(4001))
    equal(recorder.events, [("open",), ("close", 4001, "", True)])
    equal(recorder.states[0], 2, "for a listener after the one that closes")


@case("contract 1, close: CLOSED: nothing, in handlers, too")
async def test_close_in_onerror_and_onclose_does_nothing(connect: "Connect", peer: "Peer") -> None:
    """The state is CLOSED in both."""
    await peer.script(["http", 500])
    closes: list[Any] = []

    def close(event: "Any") -> None:
        closes.append(event.type)
        event.target.close(4001)
        equal(event.target.readyState, event.target.CLOSED)

    recorder = Recorder(connect(peer.url, onerror=close, onclose=close))
    await recorder.closed()
    await sleep(0.02)
    equal((recorder.events, closes), (LOST, ["error", "close"]))


@case("contract 1, close: CLOSING: nothing, when the peer began to close, too")
async def test_close_after_close_frame_of_peer_does_nothing(connect: "Connect", peer: "Peer") -> None:
    """The peer's code was answered already, and is the one that the event tells."""
    websocket, recorder = await open_socket(connect, peer, ["deaf"], ["close", 4001, "peer"], ["sleep", 0.05], ["fin"])
    await until(lambda: websocket.readyState != websocket.OPEN, "CLOSING")
    websocket.close(4002, "ours")
    equal(await recorder.closed(), ("close", 4001, "peer", True))
    frames = await peer.wait_for("close")
    equal([frame["code"] for frame in frames], [4001])


@case("RFC 6455 5.5.1: no data after the close frame, and one close frame")
async def test_answer_to_close_of_peer_is_the_last_frame(connect: "Connect", peer: "Peer") -> None:
    """close() and send() in the handlers of a connection that the peer closes send nothing."""

    def late(event: "Any") -> None:
        event.target.send("late")
        event.target.close(4001)

    await record(connect, peer, ["accept"], ["text", "a"], GOODBYE, onclose=late)
    await peer.wait_for("eof")
    records = await peer.seen()
    equal([record["kind"] for record in records], ["request", "frame", "close", "eof"])
