"""Cases of what follows what: events, states, tasks, and sockets side by side."""

import gc

from unisocket._runtime import default_adapter
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import GOODBYE, LOST, open_socket, record, sleep
from unisocket.testing.script import Recorder, equal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

_ONCE = "contract 2: open once, message any number, close exactly once, last; nothing after it"
_NOT_OPEN = "contract 2: one that does not open: no open"
_LOST = "contract 2: error directly before close if and only if wasClean is False"

MANY = 10  # connections

# What the peer does; the events that fire, and the states in them.
ORDERS: "list[tuple[str, str, list[list[Any]], list[str], list[int]]]" = [
    (
        "clean_connection_fires_open_messages_close",
        _ONCE,
        [["accept"], ["text", "a"], ["binary", "00"], ["close", 1000, ""]],
        ["open", "message", "message", "close"],
        [1, 1, 1, 3],
    ),
    (
        "connection_closed_with_4000_fires_no_error",
        "contract 2: whatever the code, a close with both close frames is clean",
        [["accept"], ["close", 4000, ""]],
        ["open", "close"],
        [1, 3],
    ),
    (
        "connection_closed_with_1011_fires_no_error",
        "contract 2: whatever the code, a close with both close frames is clean",
        [["accept"], ["close", 1011, "internal error"]],
        ["open", "close"],
        [1, 3],
    ),
    (
        "lost_connection_fires_open_message_error_close",
        _LOST,
        [["accept"], ["text", "a"], ["read"], ["fin"]],
        ["open", "message", "error", "close"],
        [1, 1, 3, 3],
    ),
    (
        "connection_broken_by_the_peer_fires_open_error_close",
        _LOST,
        [["accept"], ["read"], ["frame", 3, ""]],
        ["open", "error", "close"],
        [1, 3, 3],
    ),
    ("refused_connection_fires_error_close", _NOT_OPEN, [["http", 403]], ["error", "close"], [3, 3]),
]


def _add_order(name: str, rule: str, script: "list[list[Any]]", types: list[str], states: list[int]) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        recorder = await record(connect, peer, *script, onopen=lambda event: event.target.send("I am here"))
        await sleep(0.02)
        equal((recorder.types, recorder.states), (types, states))

    add_case("test_" + name, rule, function)


for _order in ORDERS:
    _add_order(*_order)


def _add_same_task(name: str, script: "list[list[Any]]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        order: list[str] = []
        runtime = default_adapter().runtime()

        def on_error(event: "Any") -> None:
            order.append("error")
            runtime.soon(lambda: order.append("next task"))

        await record(connect, peer, *script, onerror=on_error, onclose=lambda event: order.append("close"))
        await sleep(0.01)
        equal(order, ["error", "close", "next task"])

    add_case(
        "test_error_of_" + name + "_fires_in_the_task_of_close",
        "contract 2: error fires exactly once, in the same task and directly before close",
        function,
    )


_add_same_task("refused_connection", [["http", 403]])
_add_same_task("lost_connection", [["accept"], ["fin"]])


@case("contract 2: events come as tasks: never inside the constructor")
async def test_handlers_set_after_the_constructor_hear_open(connect: "Connect", peer: "Peer") -> None:
    """Nothing fires before the task that made the socket has ended."""
    heard: list[str] = []
    websocket = connect(peer.url, onopen=lambda event: heard.append("constructor"))
    equal((heard, websocket.readyState), ([], websocket.CONNECTING))
    recorder = Recorder(websocket)
    await recorder.wait("open")
    equal((heard, recorder.types), (["constructor"], ["open"]))


@case("contract 2: events come as tasks: never inside the constructor, even if the opening cannot but fail")
async def test_handlers_set_after_the_constructor_hear_the_failure(connect: "Connect", peer: "Peer") -> None:
    """A port that is blocked is known at once, and told later."""
    heard: list[str] = []
    websocket = connect("ws://127.0.0.1:22/", onerror=lambda event: heard.append("constructor"))
    equal((heard, websocket.readyState), ([], websocket.CONNECTING))
    recorder = Recorder(websocket)
    await recorder.closed()
    equal((heard, recorder.events), (["constructor"], LOST))


async def _nothing() -> None: ...


@case("contract 2: events come as tasks: whoever awaits what is done already has heard none")
async def test_handlers_set_after_an_await_of_nothing_hear_the_failure(connect: "Connect", peer: "Peer") -> None:
    """Of a port that is blocked, and of a socket that is closed before it is open."""
    sockets = [connect("ws://127.0.0.1:22/"), connect(peer.url)]
    sockets[1].close()
    await _nothing()
    recorders = [Recorder(websocket) for websocket in sockets]
    for recorder in recorders:
        await recorder.closed()
        equal(recorder.events, LOST)


@case("contract 2: events come as tasks: never inside send()")
async def test_send_fires_nothing_inside_the_call(connect: "Connect", peer: "Peer") -> None:
    """However much is sent and comes back, it is heard when the task has ended."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    for _ in range(100):
        websocket.send("x" * 1000)
        equal(recorder.types, ["open"])
    await recorder.wait("message", 100)


@case("contract 2: events come as tasks: a handler is not interrupted by another of its socket")
async def test_handler_is_not_entered_while_it_runs(connect: "Connect", peer: "Peer") -> None:
    """A handler that sends and closes ends before the next one begins."""
    depths: list[int] = []
    depth = [0]

    def handler(event: "Any") -> None:
        depth[0] += 1
        depths.append(depth[0])
        if event.type == "message":
            event.target.send(event.data)
        if len(depths) == 5:
            event.target.close(1000)
        depth[0] -= 1

    handlers = {"onopen": handler, "onmessage": handler, "onclose": handler}
    await record(connect, peer, ["accept"], ["together", [["text", str(number)] for number in range(9)]], **handlers)
    equal(depths, [1] * 6)


@case(_ONCE)
async def test_connection_broken_in_the_moment_it_opens_tells_all_the_same(connect: "Connect", peer: "Peer") -> None:
    """That it was open, and what came; many times, for it is a race."""
    for _ in range(MANY):
        recorder = await record(connect, peer, ["accept"], ["text", "a"], ["frame", 3, ""])
        equal(recorder.events, [("open",), ("message", "a")] + LOST)


@case("contract 2: readyState becomes CLOSING when the peer's close frame arrives")
async def test_close_frame_of_peer_moves_to_CLOSING_before_close(connect: "Connect", peer: "Peer") -> None:
    """The state tells of the close before the event does; many times, for it is a race."""
    for _ in range(MANY):
        equal(await _states_while_peer_closes(connect, peer), [(1, 0), (2, 0), (3, 1)])


async def _states_while_peer_closes(connect: "Connect", peer: "Peer") -> "list[tuple[int, int]]":
    """Return the states that a socket is seen in, each with the number of close events."""
    runtime = default_adapter().runtime()
    seen: list[tuple[int, int]] = []
    websocket, recorder = await open_socket(connect, peer)

    def look() -> None:
        shown = repr(websocket)
        now = (websocket.readyState, recorder.types.count("close"))
        assert shown.endswith((" OPEN>", " CLOSING>", " CLOSED>")[now[0] - 1]), (shown, now)
        if now not in seen:
            seen.append(now)
        if now[0] != websocket.CLOSED:
            runtime.later(0, look)

    look()
    # The end of TCP comes later, for browsers fire "close" with it.
    await peer.do(["deaf"], ["close", 1000, ""], ["sleep", 0.1], ["fin"])
    await recorder.closed()
    await sleep(0.01)
    return seen


@case("contract 1, lifetime: a socket lives until its close, referenced or not")
async def test_unreferenced_socket_hears_everything_until_close(connect: "Connect", peer: "Peer") -> None:
    """While it opens, is open and closes, nobody need hold it."""
    # The recorder does not hold the socket.
    await peer.script(["sleep", 0.02], ["accept"])
    recorder = Recorder(connect(peer.url))
    gc.collect()
    await recorder.wait("open")
    gc.collect()
    await peer.do(["text", "still there"])
    await recorder.wait("message")
    gc.collect()
    await peer.do(["close", 4001, "done"])
    equal(await recorder.closed(), ("close", 4001, "done", True))


@case("contract 1, lifetime: a socket lives until its close, referenced or not, after our close(), too")
async def test_unreferenced_socket_that_closes_hears_close(connect: "Connect", peer: "Peer") -> None:
    """close() is not goodbye to its event."""
    recorder = await record(connect, peer, ["accept"], onopen=lambda event: (event.target.close(4001), gc.collect()))
    equal(recorder.events, [("open",), ("close", 4001, "", True)])


@case("WHATWG 3.1: each WebSocket is a connection of its own")
async def test_sockets_side_by_side_keep_apart(connect: "Connect", peer: "Peer") -> None:
    """Each gets its own messages, and its own close."""
    numbers = range(5)
    sockets = [connect(peer.url + "/%d" % number) for number in numbers]
    recorders = [Recorder(websocket) for websocket in sockets]
    for number in numbers:
        await recorders[number].wait("open")
        sockets[number].send("to %d" % number)
    for number in numbers:
        await recorders[number].wait("message")
        sockets[number].close(4000 + number)
        await recorders[number].closed()
        equal([websocket.readyState for websocket in sockets], [3] * (number + 1) + [1] * (4 - number))
    for number in numbers:
        events = [("open",), ("message", "to %d" % number), ("close", 4000 + number, "", True)]
        equal(recorders[number].events, events)


@case("WHATWG 3.1: each WebSocket is a connection of its own, whatever happens to others")
async def test_failed_socket_leaves_others_alone(connect: "Connect", peer: "Peer") -> None:
    """One that is refused, one that is lost, one that lives."""
    living, recorder = await open_socket(connect, peer, ["echo"])
    equal((await record(connect, peer, ["http", 404])).events, LOST)
    _, lost = await open_socket(connect, peer)
    await peer.do(["fin"])
    await lost.closed()
    equal(lost.events, [("open",)] + LOST)
    living.send("alive")
    equal(await recorder.wait("message"), ("message", "alive"))


@case("contract 1, raw: the runtime's own object")
async def test_raw_of_open_socket_is_something(connect: "Connect", peer: "Peer") -> None:
    """Whatever it is: unportable, but there."""
    websocket, _ = await open_socket(connect, peer)
    assert websocket.raw is not None


@case("contract 1, url: fixed from construction; protocol, extensions: stay")
async def test_closed_socket_keeps_url_protocol_and_extensions(connect: "Connect", peer: "Peer") -> None:
    """A closed socket still tells what it was."""
    await peer.script(["accept", {"protocol": "chat", "extensions": "permessage-deflate"}], GOODBYE)
    websocket = connect(peer.url + "?q", "chat")
    url = websocket.url
    await Recorder(websocket).closed()
    equal((websocket.url, url), (peer.url + "?q", peer.url + "?q"))
    equal((websocket.protocol, websocket.extensions), ("chat", "permessage-deflate"))
