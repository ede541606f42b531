"""Cases of `connect()`: straight-line code with coroutines."""

import builtins

import unisocket
from unisocket import (
    CloseEvent,
    CloseReasonTooLongError,
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectionFailedError,
    InvalidCloseCodeError,
    InvalidProtocolError,
    InvalidURLError,
    TimeoutError,
    WebSocket,
    WebSocketError,
)
from unisocket._runtime import cancelled, default_adapter
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import GOODBYE, seen, sleep, until
from unisocket.testing.script import Recorder, equal, generated, now, numbered, raises, raises_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from unisocket.connection import Connection
    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

KIB = 2**10
MIB = 2**20

# What `send()` lets be buffered before it waits.
HIGH_WATER = MIB

# A port that the Internet's registry gives to nobody, and Fetch does not block; and one that it blocks.
CLOSED_PORT = 4
BLOCKED_PORT = 22


class Task:
    """A coroutine that runs beside that of the case.

    Attributes:
        ended: Whether it has come to its end.
    """

    def __init__(self, coroutine: "Coroutine[Any, Any, Any]") -> None:
        runtime = default_adapter().runtime()
        self.ended = False
        self._begun = runtime.future()
        self._end = runtime.future()
        self._error: BaseException | None = None
        self._cancelled = False
        self._result: Any = None
        self._handle = runtime.spawn(self._run(coroutine))

    async def begun(self) -> "Task":
        """Return when the coroutine waits for something."""
        await self._begun
        return self

    async def result(self) -> "Any":
        """Wait for its end; return or raise what it did."""
        await self._end
        assert not self._cancelled, "cancelled"
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """Cancel it."""
        self._handle.cancel()

    async def was_cancelled(self) -> bool:
        """Wait for its end; return whether that was a cancellation."""
        await self._end
        return self._cancelled

    async def _run(self, coroutine: "Coroutine[Any, Any, Any]") -> None:
        self._begun.set_result(None)
        try:
            self._result = await coroutine
        except Exception as error:
            self._error = error
        except cancelled():
            self._cancelled = True
        self.ended = True
        self._end.set_result(None)


async def start(coroutine: "Coroutine[Any, Any, Any]") -> Task:
    """Start a coroutine, and return when it waits for something."""
    return await Task(coroutine).begun()


async def enter(url: str, *arguments: "Any", **options: "Any") -> None:
    """Connect where that must not be possible."""
    async with unisocket.connect(url, *arguments, **options):
        raise AssertionError("the block was entered")


async def iterate(ws: "Connection", messages: "list[Any]") -> None:
    """Receive to the end."""
    async for message in ws:
        messages.append(message)


async def take(ws: "Connection", count: int) -> "list[Any]":
    """Receive so many messages."""
    messages: list[Any] = []
    while len(messages) < count:
        messages.append(await ws.recv(timeout=5))
    return messages


async def recv(ws: "Connection") -> "Any":
    """Receive one message."""
    return await ws.recv()


async def first_of(ws: "Connection") -> "Any":
    """Begin to iterate, and leave the loop at once; as Brython, too, can."""
    async for message in ws:
        return message
    return None


async def closes(peer: "Peer") -> "list[tuple[int | None, str]]":
    """Return the codes and reasons of the close frames that the peer saw, when there is one."""
    frames = await peer.wait_for("close")
    return [(frame["code"], frame["reason"]) for frame in frames]


def expect(error: "Any", kind: "type[ConnectionClosed]", code: int, reason: str, clean: bool) -> None:
    """Assert what an exception of a closed connection tells."""
    equal((type(error).__name__, error.code, error.reason, error.wasClean), (kind.__name__, code, reason, clean))


# Opening

_BLOCK = "contract 3: async with connect(url) as ws runs on every runtime"


@case(_BLOCK)
async def test_connect_enters_the_block_when_the_connection_is_open(connect: "Connect", peer: "Peer") -> None:
    """The connection is that of the URL, and nothing has happened to it yet."""
    async with unisocket.connect(peer.url) as ws:
        equal((ws.readyState, ws.url, ws.protocol, ws.bufferedAmount), (WebSocket.OPEN, peer.url, "", 0))
        equal((await peer.wait_for("request"))[0]["path"], "/" + peer.url.split("/", 3)[3])


@case("contract 3: nothing is opened before the block is entered")
async def test_connect_not_entered_opens_nothing(connect: "Connect", peer: "Peer") -> None:
    """The call alone is no connection."""
    unisocket.connect(peer.url)
    await sleep(0.05)
    equal(await seen(peer, "request"), [])


@case("contract 3: connect(url, protocols): as for WebSocket; ws.protocol tells what the server chose")
async def test_connect_with_subprotocols_tells_the_chosen_one(connect: "Connect", peer: "Peer") -> None:
    """It is known in the block."""
    await peer.script(["accept", {"protocol": "b"}])
    async with unisocket.connect(peer.url, ["a", "b"]) as ws:
        equal(ws.protocol, "b")


@case("contract 6: an adapter is given to a constructor, or to unisocket.use()")
async def test_connect_with_adapter_opens_with_it(connect: "Connect", peer: "Peer") -> None:
    """The keyword is heard, and does what the adapter in force would do."""
    async with unisocket.connect(peer.url, adapter=default_adapter()) as ws:
        await ws.send("hello")
        equal(await ws.recv(), "hello")


@case("contract 6: an adapter is an object, and no class")
async def test_what_is_no_adapter_raises_TypeError(connect: "Connect", peer: "Peer") -> None:
    """The adapter in force stays what it was."""
    before = default_adapter()

    async def refused(wrong: "Any") -> None:
        raises(TypeError, lambda: unisocket.use(wrong))
        raises(TypeError, lambda: connect(peer.url, adapter=wrong))
        await raises_async(TypeError, unisocket.connect(peer.url, adapter=wrong).__aenter__())

    for wrong in (5, b"name", type(before), [before]):
        await refused(wrong)
    assert default_adapter() is before


_FAILED = "contract 3: opening fails: ConnectionFailedError, with what is known"

# What the peer does, what is asked of it; what a runtime may know.
FAILURES: "list[tuple[str, list[list[Any]], Any, str]]" = [
    ("answered_with_HTTP_403", [["http", 403]], None, "HTTP 403"),
    ("answered_with_HTTP_200", [["http", 200, [], "hello"]], None, "HTTP 200"),
    ("answered_with_garbage", [["raw", "67617262616765"], ["fin"]], None, ""),
    ("answered_with_FIN", [["fin"]], None, ""),
    ("answered_with_RST", [["rst"]], None, ""),
    ("answered_without_subprotocol", [["accept"]], ["a", "b"], "no subprotocol, asked for: a, b"),
]


def _add_failure(name: str, script: "list[list[Any]]", protocols: "Any", known: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(*script)
        error = await raises_async(ConnectionFailedError, enter(peer.url, protocols))
        assert isinstance(error, WebSocketError)
        equal(error.url, peer.url)
        equal(str(error), "cannot connect to " + peer.url + (": " + error.message if error.message else ""))
        assert not error.message or known in error.message, error.message

    add_case("test_connect_" + name + "_raises_ConnectionFailedError", _FAILED, function)


for _failure in FAILURES:
    _add_failure(*_failure)


def _add_nothing(name: str, port: int) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        url = "ws://127.0.0.1:%d/" % port
        equal((await raises_async(ConnectionFailedError, enter(url))).url, url)

    add_case("test_connect_to_" + name + "_port_raises_ConnectionFailedError", _FAILED, function)


_add_nothing("refusing", CLOSED_PORT)
_add_nothing("blocked", BLOCKED_PORT)


@case("contract 1: tokens of userinfo and query are in no message that may be logged")
async def test_connect_that_fails_tells_the_url_without_its_secrets(connect: "Connect", peer: "Peer") -> None:
    """Neither password nor query are in the exception."""
    url = "ws://user:secret@127.0.0.1:%d/path?token=secret" % CLOSED_PORT
    error = await raises_async(ConnectionFailedError, enter(url))
    equal(error.url, "ws://127.0.0.1:%d/path" % CLOSED_PORT)
    assert "secret" not in str(error), error


_OPEN_TIMEOUT = "contract 3: opening runs out of time: ConnectionFailedError; a connection under way is closed"


@case(_OPEN_TIMEOUT)
async def test_connect_never_answered_raises_ConnectionFailedError_after_open_timeout(
    connect: "Connect", peer: "Peer"
) -> None:
    """Not before, and with the time in the message."""
    await peer.script()
    begin = now()
    error = await raises_async(ConnectionFailedError, enter(peer.url, open_timeout=0.1))
    took = now() - begin
    assert 90 <= took < 5000, took
    equal(error.message, "not open within 0.1 s")


@case(_OPEN_TIMEOUT)
async def test_connect_never_answered_drops_the_connection(connect: "Connect", peer: "Peer") -> None:
    """The peer sees TCP end, without an answer."""
    await peer.script()
    await raises_async(ConnectionFailedError, enter(peer.url, open_timeout=0.05))
    await peer.wait_for("eof")


@case("contract 3: open_timeout is for the opening")
async def test_connect_that_opens_in_time_outlives_open_timeout(connect: "Connect", peer: "Peer") -> None:
    """The timer of a connection that is open does no harm."""
    async with unisocket.connect(peer.url, open_timeout=0.5) as ws:
        await sleep(0.6)
        await ws.send("still here")
        equal(await ws.recv(), "still here")


@case("contract 3: durations: None = for ever")
async def test_connect_without_open_timeout_waits_for_the_answer(connect: "Connect", peer: "Peer") -> None:
    """As long as the adapter itself does."""
    await peer.script(["sleep", 0.2], ["accept"])
    async with unisocket.connect(peer.url, open_timeout=None) as ws:
        equal(ws.readyState, WebSocket.OPEN)


# What connect() is given; what it raises.
MISTAKES: "list[tuple[str, tuple[Any, ...], type[Exception]]]" = [
    ("url_of_ftp_raises_InvalidURLError", ("ftp://127.0.0.1/",), InvalidURLError),
    ("url_with_fragment_raises_InvalidURLError", ("ws://127.0.0.1/#here",), InvalidURLError),
    ("url_None_raises_TypeError", (None,), TypeError),
    ("subprotocol_twice_raises_InvalidProtocolError", ("ws://127.0.0.1:4/", ["a", "a"]), InvalidProtocolError),
]


def _add_mistake(name: str, arguments: "tuple[Any, ...]", kind: "type[Exception]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        connecting = unisocket.connect(*arguments)

        async def enter() -> None:
            async with connecting:
                raise AssertionError("the block was entered")

        await raises_async(kind, enter())

    add_case(
        "test_connect_with_" + name + "_when_entered", "contract 3: argument mistakes raise, when entered", function
    )


for _mistake in MISTAKES:
    _add_mistake(*_mistake)


@case("contract 3: messages are received from the moment on in which the connection is open")
async def test_connect_receives_messages_in_the_packet_of_the_101(connect: "Connect", peer: "Peer") -> None:
    """What comes together with the acceptance is not lost."""
    await peer.script(["together", [["accept"], ["text", "first"], ["text", "second"]]])
    async with unisocket.connect(peer.url) as ws:
        equal((await ws.recv(), await ws.recv()), ("first", "second"))


@case("contract 3: the block is entered if the connection was open, however shortly")
async def test_connect_closed_in_the_packet_of_the_101_enters_the_block(connect: "Connect", peer: "Peer") -> None:
    """The opening did not fail: it is the connection that is over."""
    await peer.script(["together", [["accept"], ["text", "hello"], ["close", 4001, "go away"]]])
    entered = False
    async with unisocket.connect(peer.url) as ws:
        entered = True
        equal(await ws.recv(), "hello")
        expect(await raises_async(ConnectionClosed, ws.recv()), ConnectionClosedError, 4001, "go away", True)
    assert entered


@case("contract 3: a connection under way is closed", needs=("cancellation",))
async def test_connect_cancelled_while_opening_drops_the_connection(connect: "Connect", peer: "Peer") -> None:
    """Whoever does not want it any more leaves nothing behind."""
    await peer.script()
    task = await start(enter(peer.url))
    await peer.wait_for("request")
    task.cancel()
    assert await task.was_cancelled()
    await peer.wait_for("eof")


_AWAIT = "contract 3: await connect(url) without async with works where the language allows it"


@case(_AWAIT, needs=("await-connect",))
async def test_connect_awaited_gives_an_open_connection(connect: "Connect", peer: "Peer") -> None:
    """Whoever awaits it closes it."""
    ws = await unisocket.connect(peer.url)
    await ws.send("hello")
    equal((await ws.recv(), ws.readyState), ("hello", WebSocket.OPEN))
    await ws.close()
    equal(await closes(peer), [(1000, "")])


@case(_AWAIT + "; ConnectionFailedError", needs=("await-connect",))
async def test_connect_awaited_in_vain_raises_ConnectionFailedError(connect: "Connect", peer: "Peer") -> None:
    """As when entered."""
    await peer.script(["http", 403])
    failed = False
    try:
        await unisocket.connect(peer.url)
    except ConnectionFailedError:
        failed = True
    assert failed


@case(_AWAIT + ", and what it gives is its own block", needs=("await-connect",))
async def test_connection_awaited_and_entered_closes_when_left(connect: "Connect", peer: "Peer") -> None:
    """`async with await connect(url) as ws`."""
    async with await unisocket.connect(peer.url) as ws:
        equal(ws.readyState, WebSocket.OPEN)
    equal((ws.readyState, await closes(peer)), (WebSocket.CLOSED, [(1000, "")]))


# Receiving


@case("contract 3: recv() takes messages in the order in which they came: str of text, bytes of binary")
async def test_recv_takes_messages_of_both_kinds_in_order(connect: "Connect", peer: "Peer") -> None:
    """Empty ones are messages, too."""
    await peer.script(["accept"], ["text", "1"], ["binary", "02"], ["text", ""], ["binary", ""], ["text", "a\0\u00e9"])
    async with unisocket.connect(peer.url) as ws:
        got = await take(ws, 5)
    equal(got, ["1", b"\x02", "", b"", "a\0\u00e9"])
    equal([type(message) for message in got], [str, bytes, str, bytes, str])


@case("contract 3: recv() waits for the next message")
async def test_recv_waits_until_a_message_comes(connect: "Connect", peer: "Peer") -> None:
    """As long as that takes."""
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.recv())
        await sleep(0.05)
        equal(task.ended, False)
        await peer.do(["text", "here"])
        equal(await task.result(), "here")


@case("contract 1, binaryType: read at delivery")
async def test_recv_with_binaryType_arraybuffer_returns_memoryview(connect: "Connect", peer: "Peer") -> None:
    """The socket beneath says how binary messages look."""
    async with unisocket.connect(peer.url) as ws:
        ws.websocket.binaryType = "arraybuffer"
        await peer.do(["binary", "00ff"])
        data = await ws.recv()
        equal((type(data), bytes(data)), (memoryview, b"\x00\xff"))


_CLOSED = "contract 3: closed: ConnectionClosedOK (1000, 1001, 1005); ConnectionClosedError otherwise"
_LOST = "contract 3: a connection that is lost raises ConnectionClosedError, 1006, not clean"

# How the peer ends the connection; the class, the code and the reason that are raised, and whether it was clean.
ENDS: "list[tuple[str, str, list[Any], type[ConnectionClosed], int, str, bool]]" = [
    ("closed_with_1000", _CLOSED, ["close", 1000, "bye"], ConnectionClosedOK, 1000, "bye", True),
    ("closed_with_1001", _CLOSED, ["close", 1001, ""], ConnectionClosedOK, 1001, "", True),
    ("closed_without_code", _CLOSED, ["close"], ConnectionClosedOK, 1005, "", True),
    ("closed_with_1011", _CLOSED, ["close", 1011, "oh"], ConnectionClosedError, 1011, "oh", True),
    ("closed_with_3000", _CLOSED, ["close", 3000, ""], ConnectionClosedError, 3000, "", True),
    ("closed_with_4999", _CLOSED, ["close", 4999, "\u00e9"], ConnectionClosedError, 4999, "\u00e9", True),
    ("lost_by_FIN", _LOST, ["fin"], ConnectionClosedError, 1006, "", False),
    ("lost_by_RST", _LOST, ["rst"], ConnectionClosedError, 1006, "", False),
]


def _add_end(
    name: str, rule: str, step: "list[Any]", kind: "type[ConnectionClosed]", code: int, reason: str, clean: bool
) -> None:
    async def recv_waits(connect: "Connect", peer: "Peer") -> None:
        async with unisocket.connect(peer.url) as ws:
            task = await start(ws.recv())
            await peer.do(step)
            error = await raises_async(ConnectionClosed, task.result())
            expect(error, kind, code, reason, clean)
            equal((ws.readyState, ws.close_code, ws.close_reason), (WebSocket.CLOSED, code, reason))

    async def queue(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept"], ["text", "1"], ["text", "2"], ["sleep", 0.02], step)
        async with unisocket.connect(peer.url) as ws:
            await ws.wait_closed()
            equal(await ws.recv(), "1")
            equal(await ws.recv(timeout=0), "2")
            expect(await raises_async(ConnectionClosed, ws.recv()), kind, code, reason, clean)
            expect(await raises_async(ConnectionClosed, ws.recv(timeout=0)), kind, code, reason, clean)

    async def iteration(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept"], ["text", "1"], ["text", "2"], ["sleep", 0.02], step)
        messages: list[Any] = []
        async with unisocket.connect(peer.url) as ws:
            for _ in range(2):  # and when the connection is closed already
                if kind is ConnectionClosedOK:
                    await iterate(ws, messages)
                else:
                    error = await raises_async(ConnectionClosed, iterate(ws, messages))
                    expect(error, kind, code, reason, clean)
        equal(messages, ["1", "2"])

    add_case("test_recv_when_connection_is_" + name + "_raises_" + kind.__name__, rule, recv_waits)
    add_case(
        "test_recv_of_connection_" + name + "_takes_the_messages_that_came_before_then_raises",
        "contract 3: messages that came before the close are delivered first",
        queue,
    )
    add_case(
        "test_async_for_over_connection_%s_%s"
        % (name, "ends_quietly" if kind is ConnectionClosedOK else "raises_ConnectionClosedError"),
        "contract 3: ConnectionClosedOK (1000, 1001, 1005) ends async for; ConnectionClosedError is raised",
        iteration,
    )


for _end in ENDS:
    _add_end(*_end)


@case("contract 3: both are ConnectionClosed, and that a WebSocketError, with code, reason, wasClean")
async def test_exceptions_of_closed_connections_have_one_parent(connect: "Connect", peer: "Peer") -> None:
    """One `except` catches them all; the message tells code and reason."""
    await peer.script(["accept"], ["close", 4001, "why"])
    async with unisocket.connect(peer.url) as ws:
        error = await raises_async(WebSocketError, ws.recv())
    assert isinstance(error, ConnectionClosed)
    assert not isinstance(error, ConnectionClosedOK)
    equal(str(error), "closed cleanly, code 4001 (why)")


# recv() with a time limit

_TIMEOUT = "contract 3: recv(timeout) that runs out raises the one unisocket.TimeoutError; nothing is lost"


@case(_TIMEOUT)
async def test_recv_that_runs_out_of_time_raises_TimeoutError(connect: "Connect", peer: "Peer") -> None:
    """Not before the time; the connection lives, and the next message is received."""
    async with unisocket.connect(peer.url) as ws:
        begin = now()
        error = await raises_async(TimeoutError, ws.recv(timeout=0.1))
        took = now() - begin
        assert 90 <= took < 5000, took
        assert isinstance(error, WebSocketError)
        equal(str(error), "no message within 0.1 s")
        await ws.send("later")
        equal(await ws.recv(timeout=5), "later")


@case("contract 3: where the language has TimeoutError, it is that one's subclass, too")
async def test_TimeoutError_is_that_of_the_language_where_there_is_one(connect: "Connect", peer: "Peer") -> None:
    """So that `except TimeoutError` without an import does what it says."""
    language: Any = getattr(builtins, "TimeoutError", None)
    async with unisocket.connect(peer.url) as ws:
        error = await raises_async(TimeoutError, ws.recv(timeout=0.01))
    assert language is None or isinstance(error, language)


@case("contract 3: recv(): a mistake leaves the connection as it was")
async def test_recv_with_a_timeout_that_is_none_raises_and_the_next_receives(connect: "Connect", peer: "Peer") -> None:
    """It waits for nothing then."""
    async with unisocket.connect(peer.url) as ws:
        await raises_async(TypeError, ws.recv(timeout="soon"))  # type: ignore[arg-type]
        await ws.send("1")
        equal(await ws.recv(), "1")


@case("contract 3: max_queue is a number of messages")
async def test_connect_with_a_max_queue_that_is_none_raises_ValueError(connect: "Connect", peer: "Peer") -> None:
    """Before anything is opened."""
    for wrong in (0, -1, None, "16", True):
        raises(ValueError, lambda wrong=wrong: unisocket.connect(peer.url, max_queue=wrong))  # type: ignore[misc]


@case("contract 3: `async with connect()` has one connection")
async def test_connect_that_has_a_connection_opens_no_second_one(connect: "Connect", peer: "Peer") -> None:
    """Leaving would close one of them only; nor may two open at once."""
    opening = unisocket.connect(peer.url)
    first = await start(opening.__aenter__())
    await raises_async(ConcurrencyError, opening.__aenter__())
    await (await first.result()).close()
    await opening.__aexit__(None, None, None)
    async with opening as ws:
        await raises_async(ConcurrencyError, opening.__aenter__())
        await ws.send("1")
        equal(await ws.recv(), "1")


@case("contract 3: recv(timeout): the message that comes in time is returned")
async def test_recv_in_time_does_not_end_the_next_one(connect: "Connect", peer: "Peer") -> None:
    """The next recv() does not run out of the time of this one."""
    async with unisocket.connect(peer.url) as ws:
        first = await start(ws.recv(timeout=0.2))
        await ws.send("1")
        equal(await first.result(), "1")
        second = await start(ws.recv(timeout=5))
        await sleep(0.3)
        await ws.send("2")
        equal(await second.result(), "2")


class Timers:
    """Counts the timers of a runtime that were neither cancelled nor due, as long as its block runs."""

    def __init__(self, runtime: "Any") -> None:
        self.count = 0
        self._runtime = runtime

    def __enter__(self) -> "Timers":
        later = self._runtime.later

        def counted(seconds: float, callback: "Callable[[], Any]") -> CountedTimer:
            return CountedTimer(self, later, seconds, callback)

        self._runtime.later = counted
        return self

    def __exit__(self, *exception: object) -> None:
        del self._runtime.later


class CountedTimer:
    """One of them."""

    def __init__(self, timers: Timers, later: "Any", seconds: float, callback: "Callable[[], Any]") -> None:
        self._counts = 1
        self._timers = timers
        self._callback = callback
        timers.count += 1
        self._timer = later(seconds, self._due)

    def cancel(self) -> None:
        """Let it not be due."""
        self._timer.cancel()
        self._end()

    def _due(self) -> None:
        self._end()
        self._callback()

    def _end(self) -> None:
        self._timers.count -= self._counts
        self._counts = 0


@case("contract 3: recv(timeout): the message that comes in time is returned, and the timer is gone")
async def test_recv_in_time_leaves_no_timer_behind(connect: "Connect", peer: "Peer") -> None:
    """Nor does an opening, or a close: a program that goes on for days does not collect timers."""
    async with unisocket.connect(peer.url, open_timeout=60) as ws:
        with Timers(ws.websocket._runtime) as timers:
            for number in range(3):
                task = await start(ws.recv(timeout=60))
                equal(timers.count, 1)
                await ws.send(str(number))
                equal((await task.result(), timers.count), (str(number), 0))
            await ws.close()
            equal(timers.count, 0)


@case("contract 3: all durations are float seconds")
async def test_recv_with_a_timeout_of_months_waits(connect: "Connect", peer: "Peer") -> None:
    """Timers of JavaScript end at 2^31 ms: longer ones would fire at once."""
    async with unisocket.connect(peer.url) as ws:
        for timeout in (3e6, 1e10):
            task = await start(ws.recv(timeout=timeout))
            await sleep(0.02)
            await ws.send("here")
            equal(await task.result(), "here")


@case("contract 3: timeout=0 polls")
async def test_recv_with_timeout_0_polls(connect: "Connect", peer: "Peer") -> None:
    """It returns what has come, and raises TimeoutError if nothing has."""
    async with unisocket.connect(peer.url) as ws:
        await raises_async(TimeoutError, ws.recv(timeout=0))
        heard = Recorder(ws.websocket)
        await ws.send("1")
        await heard.wait("message")
        equal(await ws.recv(timeout=0), "1")
        await raises_async(TimeoutError, ws.recv(timeout=0))


@case("contract 3: closed: ConnectionClosed, in whatever time is left")
async def test_recv_with_timeout_when_the_connection_closes_raises_ConnectionClosed(
    connect: "Connect", peer: "Peer"
) -> None:
    """It does not wait for a time that cannot bring anything."""
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.recv(timeout=9))
        await peer.do(GOODBYE)
        expect(await raises_async(ConnectionClosed, task.result()), ConnectionClosedOK, 1000, "", True)


async def _recv_all(ws: "Connection", count: int, timeout: float) -> "tuple[list[Any], int]":
    """Receive so many messages; return them, and how often time ran out."""
    messages: list[Any] = []
    timeouts = 0
    while len(messages) < count:
        try:
            messages.append(await ws.recv(timeout=timeout))
        except TimeoutError:
            timeouts += 1
    return messages, timeouts


@case(_TIMEOUT + ", even if a message comes in that very moment")
async def test_recv_that_runs_out_when_messages_come_loses_none(connect: "Connect", peer: "Peer") -> None:
    """Messages and timeouts about as often as each other."""
    steps: list[list[Any]] = []
    for number in range(30):
        steps += [["text", str(number)], ["sleep", number % 4 * 0.01]]
    await peer.script(["accept"], *steps)
    async with unisocket.connect(peer.url) as ws:
        messages, timeouts = await _recv_all(ws, 30, 0.01)
    equal(messages, [str(number) for number in range(30)])
    assert timeouts


@case(_TIMEOUT + ", even if both are due in one turn of the loop")
async def test_recv_that_runs_out_while_the_loop_is_blocked_loses_no_message(connect: "Connect", peer: "Peer") -> None:
    """The loop comes to itself when the timer is due and the message there: either is right."""
    await peer.script(["accept"], ["read"], ["text", "1"], ["text", "2"])
    async with unisocket.connect(peer.url) as ws:
        task = await start(_recv_all(ws, 2, 0.02))
        await ws.send("go")
        await sleep(0.001)  # it leaves
        end = now() + 60
        while now() < end:
            pass
        equal((await task.result())[0], ["1", "2"])


# Two at a time

_TWO = "contract 3: two recv() at a time: ConcurrencyError"


@case(_TWO)
async def test_recv_while_another_waits_raises_ConcurrencyError(connect: "Connect", peer: "Peer") -> None:
    """The first one still gets its message, and the next call is welcome."""
    async with unisocket.connect(peer.url) as ws:
        first = await start(ws.recv())
        await raises_async(ConcurrencyError, ws.recv())
        await raises_async(ConcurrencyError, ws.recv(timeout=0))
        await ws.send("1")
        equal(await first.result(), "1")
        await ws.send("2")
        equal(await ws.recv(), "2")


@case(_TWO + "; async for is one")
async def test_async_for_while_recv_waits_raises_ConcurrencyError(connect: "Connect", peer: "Peer") -> None:
    """Whoever iterates receives, too."""
    async with unisocket.connect(peer.url) as ws:
        first = await start(ws.recv())
        await raises_async(ConcurrencyError, iterate(ws, []))
        await ws.send("1")
        equal(await first.result(), "1")


@case(_TWO + "; async for is one")
async def test_recv_while_async_for_waits_raises_ConcurrencyError(connect: "Connect", peer: "Peer") -> None:
    """The loop is not disturbed."""
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        loop = await start(iterate(ws, messages))
        await raises_async(ConcurrencyError, ws.recv())
        await ws.send("1")
        await until(lambda: messages == ["1"], "the message")
        await raises_async(ConcurrencyError, ws.recv())
        await peer.do(GOODBYE)
        await loop.result()


def _add_just_come(name: str, receive: "Callable[[Connection], Coroutine[Any, Any, Any]]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        async with unisocket.connect(peer.url) as ws:
            first = await start(ws.recv())
            seconds: list[Task] = []
            ws.websocket.onmessage = lambda event: seconds.append(Task(receive(ws)))
            await peer.do(["text", "1"])
            equal(await first.result(), "1")
            ws.websocket.onmessage = None
            second = await seconds[0].begun()
            if second.ended:  # it began before the first had its turn
                await raises_async(ConcurrencyError, second.result())
            else:
                await peer.do(["text", "2"])
                equal(await second.result(), "2")

    add_case(
        "test_" + name + "_begun_when_the_message_of_another_recv_has_just_come_does_not_take_it",
        _TWO + ", until the first has had its turn to take its message",
        function,
    )


_add_just_come("recv", recv)
_add_just_come("async_for", first_of)


# Cancelling

_CANCEL = "contract 3: cancelling recv() loses nothing"


@case(_CANCEL, needs=("cancellation",))
async def test_recv_cancelled_leaves_the_next_message_to_the_next_recv(connect: "Connect", peer: "Peer") -> None:
    """Nor is it a second recv() any more."""
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.recv())
        task.cancel()
        assert await task.was_cancelled()
        await ws.send("1")
        equal(await ws.recv(), "1")


@case(_CANCEL + ", with a timeout as without", needs=("cancellation",))
async def test_recv_with_timeout_cancelled_does_not_end_the_next_one(connect: "Connect", peer: "Peer") -> None:
    """Its time does not end the recv() after it."""
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.recv(timeout=0.1))
        task.cancel()
        assert await task.was_cancelled()
        task = await start(ws.recv(timeout=5))
        await sleep(0.15)
        await ws.send("1")
        equal(await task.result(), "1")


@case(_CANCEL + ", even if the message has just come", needs=("cancellation",))
async def test_recv_cancelled_in_the_task_of_its_message_loses_nothing(connect: "Connect", peer: "Peer") -> None:
    """Woken by the message and cancelled before its turn, it may do either; nothing is lost."""
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.recv())
        ws.websocket.onmessage = lambda event: task.cancel()
        await peer.do(["together", [["text", "1"], ["text", "2"]]])
        got = [] if await task.was_cancelled() else [await task.result()]
        ws.websocket.onmessage = None
        equal(got + await take(ws, 2 - len(got)), ["1", "2"])


@case(_CANCEL + ", again and again", needs=("cancellation",))
async def test_recv_cancelled_when_messages_come_loses_none(connect: "Connect", peer: "Peer") -> None:
    """Messages and cancellations about as often as each other."""
    steps: list[list[Any]] = []
    for number in range(30):
        steps += [["text", str(number)], ["sleep", number % 4 * 0.01]]
    await peer.script(["accept"], *steps)
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        while len(messages) < 30:
            task = await start(ws.recv(timeout=5))
            await sleep(0.002)
            task.cancel()
            if not await task.was_cancelled():
                messages.append(await task.result())
        # On a slow machine a message may have come each time.
        task = await start(ws.recv(timeout=5))
        await sleep(0.002)
        task.cancel()
        assert await task.was_cancelled()
    equal(messages, [str(number) for number in range(30)])


@case(
    "contract 3: cancelling send() stops the waiting: the message was given to the connection", needs=("cancellation",)
)
async def test_send_cancelled_while_it_waits_leaves_the_connection_whole(connect: "Connect", peer: "Peer") -> None:
    """What was sent arrives, and so does what is sent next."""
    async with unisocket.connect(peer.url) as ws:
        await peer.do(["stall"])
        task = await _send_until_it_waits(ws)
        sent = task.count
        task.task.cancel()
        assert await task.task.was_cancelled()
        await peer.do(["swallow"])
        await ws.send("last")
        await ws.close()
        messages = await peer.wait_for("message", sent + 1)
        equal([message["length"] for message in messages], [len(CHUNK)] * sent + [4])


# Iterating


@case("contract 3: async for message in ws: in order")
async def test_async_for_over_1000_messages_takes_all_in_order(connect: "Connect", peer: "Peer") -> None:
    """Whatever comes in one packet."""
    await peer.script(["accept"], ["push", 1000, "text", 20], GOODBYE)
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        await iterate(ws, messages)
    equal(messages, [numbered(number, 20) for number in range(1000)])


@case("contract 3: async for message in ws, however many")
async def test_async_for_that_waits_for_each_of_1000_messages_takes_all(connect: "Connect", peer: "Peer") -> None:
    """Brython 3.15 forgets what it was doing after some hundred times, if it is not helped."""
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        await ws.send("0")
        async for message in ws:
            messages.append(message)
            if len(messages) == 1000:
                await ws.close()
            else:
                await ws.send(str(len(messages)))
    equal(messages, [str(number) for number in range(1000)])


@case("contract 3: recv() and async for take from one queue")
async def test_async_for_left_and_begun_again_loses_no_message(connect: "Connect", peer: "Peer") -> None:
    """Out of the loop, recv() goes on where it was; and a new loop after that."""
    await peer.script(["accept"], ["push", 6, "text", 1], GOODBYE)
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        messages.append(await first_of(ws))
        messages.append(await ws.recv())
        messages.append(await first_of(ws))
        await iterate(ws, messages)
    equal(messages, ["0", "1", "2", "3", "4", "5"])


_OWN_CLOSE = "contract 3: after our own close(code), async for ends quietly for whatever clean code answers it"

# How the peer answers our close(4001).
ANSWERS: "list[tuple[str, list[Any]]]" = [
    ("with_that_code", ["echo"]),
    ("with_another_code", ["close", 4002, "other"]),
    ("with_1011", ["close", 1011, ""]),
    ("without_code", ["close"]),
]


def _add_answer(name: str, step: "list[Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept"], ["text", "1"], ["read_close"], step)
        messages: list[Any] = []
        async with unisocket.connect(peer.url) as ws:
            loop = await start(iterate(ws, messages))
            await until(lambda: messages, "the message")
            await ws.close(4001)
            await loop.result()
            await iterate(ws, messages)
        equal(messages, ["1"])

    add_case("test_async_for_after_our_close_answered_" + name + "_ends_quietly", _OWN_CLOSE, function)


for _answer in ANSWERS:
    _add_answer(*_answer)


@case(_OWN_CLOSE + "; ConnectionClosedError otherwise")
async def test_async_for_after_our_close_answered_with_FIN_raises_ConnectionClosedError(
    connect: "Connect", peer: "Peer"
) -> None:
    """Without a close frame nobody knows whether all went well."""
    await peer.script(["accept"], ["read_close"], ["fin"])
    async with unisocket.connect(peer.url) as ws:
        await ws.close(4001)
        expect(await raises_async(ConnectionClosed, iterate(ws, [])), ConnectionClosedError, 1006, "", False)


@case(_OWN_CLOSE + "; a code that came before it answers nothing")
async def test_async_for_after_close_of_closed_connection_raises_ConnectionClosedError(
    connect: "Connect", peer: "Peer"
) -> None:
    """The peer had closed with an error already: close() changes nothing."""
    await peer.script(["accept"], ["text", "1"], ["close", 4002, "broken"])
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        await ws.wait_closed()
        await ws.close()
        expect(await raises_async(ConnectionClosed, iterate(ws, messages)), ConnectionClosedError, 4002, "broken", True)
    equal(messages, ["1"])


@case("contract 3: after our own close(code), recv() raises what the code says")
async def test_recv_waiting_when_we_close_raises_ConnectionClosed(connect: "Connect", peer: "Peer") -> None:
    """Another coroutine closes: whoever waits is told."""
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.recv())
        await ws.close(4001)
        expect(await raises_async(ConnectionClosed, task.result()), ConnectionClosedError, 4001, "", True)


@case("contract 3: messages that came before the close are delivered first")
async def test_recv_after_our_close_takes_what_came_before_and_nothing_else(connect: "Connect", peer: "Peer") -> None:
    """What the peer says after our close frame is dropped."""
    await peer.script(["accept"], ["read"], ["text", "1"], ["text", "2"], ["read_close"], ["text", "late"], GOODBYE)
    async with unisocket.connect(peer.url) as ws:
        heard = Recorder(ws.websocket)
        await ws.send("go")
        await heard.wait("message", 2)
        await ws.close()
        equal(await ws.recv(), "1")
        equal(await ws.recv(), "2")
        expect(await raises_async(ConnectionClosed, ws.recv()), ConnectionClosedOK, 1000, "", True)


# Sending

_SEND = "contract 1, send: str as text; bytes, bytearray, memoryview as binary"

# What is sent; what the peer gets, in hex.
SENT: "list[tuple[str, Any, str, str]]" = [
    ("str", "h\u00e9", "text", "68c3a9"),
    ("empty_str", "", "text", ""),
    ("bytes", b"\x00\xff", "binary", "00ff"),
    ("empty_bytes", b"", "binary", ""),
    ("bytearray", bytearray(b"ab"), "binary", "6162"),
    ("memoryview", memoryview(b"abc")[1:], "binary", "6263"),
]


def _add_sent(name: str, data: "Any", type: str, expected: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        async with unisocket.connect(peer.url) as ws:
            equal(await ws.send(data), None, "what send() returns")
            message = (await peer.wait_for("message"))[0]
            equal((message["type"], message["hex"]), (type, expected))

    add_case("test_connection_send_of_%s_arrives_as_%s" % (name, type), _SEND, function)


for _sent in SENT:
    _add_sent(*_sent)


@case("contract 1, send: anything else TypeError, nothing sent")
async def test_connection_send_of_other_types_raises_TypeError(connect: "Connect", peer: "Peer") -> None:
    """The connection lives."""
    async with unisocket.connect(peer.url) as ws:
        for data in (None, 1, 1.5, True, ["a"], {"a": 1}):
            wrong: Any = data
            await raises_async(TypeError, ws.send(wrong))
        await ws.send("right")
        equal(await ws.recv(), "right")
        equal(len(await seen(peer, "message")), 1)


@case("contract 3: await send() on a closed connection raises ConnectionClosed")
async def test_connection_send_on_closed_connection_raises_ConnectionClosed(connect: "Connect", peer: "Peer") -> None:
    """Of the class that the code says; nothing is counted as buffered."""
    for code, kind in ((1000, ConnectionClosedOK), (4001, ConnectionClosedError)):
        await peer.script(["accept"], ["close", code, "bye"])
        async with unisocket.connect(peer.url) as ws:
            await ws.wait_closed()
            expect(await raises_async(ConnectionClosed, ws.send("late")), kind, code, "bye", True)
            equal(ws.bufferedAmount, 0)


@case("contract 1, send: the type is checked before the state")
async def test_connection_send_of_other_type_on_closed_connection_raises_TypeError(
    connect: "Connect", peer: "Peer"
) -> None:
    """A mistake is a mistake, whatever the state."""
    await peer.script(["accept"], GOODBYE)
    async with unisocket.connect(peer.url) as ws:
        await ws.wait_closed()
        wrong: Any = None
        await raises_async(TypeError, ws.send(wrong))


@case("contract 3: await send() on a connection that closes raises ConnectionClosed, when it is closed")
async def test_connection_send_after_our_close_frame_raises_ConnectionClosed(connect: "Connect", peer: "Peer") -> None:
    """It waits for the code, and sends nothing."""
    await peer.script(["accept"], ["read_close"], ["sleep", 0.05], ["close", 4002, ""])
    async with unisocket.connect(peer.url) as ws:
        close = await start(ws.close(4001))
        expect(await raises_async(ConnectionClosed, ws.send("late")), ConnectionClosedError, 4002, "", True)
        await close.result()
    equal(await seen(peer, "message"), [])


# What a coroutine sends that is to wait for a peer which does not read.
CHUNK = bytes(256 * KIB)
CHUNKS = 64  # more than the network takes by itself


class Sender:
    """Sends chunks one after another.

    Attributes:
        task: The coroutine that does.
        count: How many `send()` were called.
    """

    task: Task

    def __init__(self, ws: "Connection") -> None:
        self.count = 0
        self._ws = ws

    async def run(self) -> None:
        """Send them."""
        for _ in range(CHUNKS):
            self.count += 1
            await self._ws.send(CHUNK)


async def _send_until_it_waits(ws: "Connection") -> Sender:
    """Send to a peer that does not read; return when `send()` waits for good."""
    sender = Sender(ws)
    sender.task = await start(sender.run())
    before = (-1, -1)
    quiet = 0
    while quiet < 3:
        await sleep(0.1)
        assert not sender.task.ended, "send() does not wait"
        state = (sender.count, ws.bufferedAmount)
        quiet = quiet + 1 if state == before and state[1] > HIGH_WATER else 0
        before = state
    return sender


_BACKPRESSURE = "contract 3: await ws.send(data) waits while more than a high-water mark is buffered"


@case(_BACKPRESSURE)
async def test_connection_send_to_a_peer_that_stalls_waits_until_it_reads(connect: "Connect", peer: "Peer") -> None:
    """The buffer has a bound; in the end everything has arrived, in order."""
    await peer.script(["accept"], ["stall"])
    async with unisocket.connect(peer.url) as ws:
        sender = await _send_until_it_waits(ws)
        amount = ws.bufferedAmount
        assert HIGH_WATER < amount <= HIGH_WATER + len(CHUNK), amount
        await peer.do(["swallow"])
        await sender.task.result()
        equal(sender.count, CHUNKS)
        await ws.send("last")
        messages = await peer.wait_for("message", CHUNKS + 1)
        equal([message["length"] for message in messages], [len(CHUNK)] * CHUNKS + [4])


@case(_BACKPRESSURE + "; below, it returns at once")
async def test_connection_send_below_the_high_water_mark_does_not_wait(connect: "Connect", peer: "Peer") -> None:
    """However long the peer stalls."""
    await peer.script(["accept"], ["stall"])
    async with unisocket.connect(peer.url) as ws:
        for _ in range(4):
            await ws.send(CHUNK)
        await peer.do(["swallow"])


@case(_BACKPRESSURE + ", each coroutine that sends")
async def test_connection_send_of_two_coroutines_waits_and_goes_on_in_both(connect: "Connect", peer: "Peer") -> None:
    """Several may send at a time; each message arrives once."""
    await peer.script(["accept"], ["stall"])
    async with unisocket.connect(peer.url) as ws:
        first = await _send_until_it_waits(ws)
        second = await start(ws.send("second"))
        await sleep(0.05)
        equal((first.task.ended, second.ended), (False, False))
        await peer.do(["swallow"])
        await second.result()
        await first.task.result()
        messages = await peer.wait_for("message", CHUNKS + 1)
        equal(len([message for message in messages if message["type"] == "text"]), 1)


_SEND_CLOSES = "contract 3: await send() on a connection that closes while it waits raises ConnectionClosed"


@case(_SEND_CLOSES)
async def test_connection_send_waiting_when_connection_is_lost_raises_ConnectionClosedError(
    connect: "Connect", peer: "Peer"
) -> None:
    """Nobody waits for a peer that is gone."""
    await peer.script(["accept"], ["stall"])
    async with unisocket.connect(peer.url) as ws:
        sender = await _send_until_it_waits(ws)
        await peer.do(["rst"])
        error = await raises_async(ConnectionClosed, sender.task.result())
        expect(error, ConnectionClosedError, 1006, "", False)


@case(_SEND_CLOSES)
async def test_connection_send_waiting_when_the_peer_closes_raises_ConnectionClosed(
    connect: "Connect", peer: "Peer"
) -> None:
    """Cleanly, though what the peer had not got by its close frame is lost."""
    await peer.script(["accept"], ["stall"])
    async with unisocket.connect(peer.url) as ws:
        sender = await _send_until_it_waits(ws)
        await peer.do(["close", 4001, "enough"], ["sleep", 0.1], ["swallow"])
        error = await raises_async(ConnectionClosed, sender.task.result())
        expect(error, ConnectionClosedError, 4001, "enough", True)
        equal(ws.readyState, WebSocket.CLOSED)


@case(_SEND_CLOSES)
async def test_connection_send_waiting_when_we_close_raises_ConnectionClosed(connect: "Connect", peer: "Peer") -> None:
    """The close frame leaves behind what was sent before."""
    await peer.script(["accept"], ["stall"])
    async with unisocket.connect(peer.url) as ws:
        sender = await _send_until_it_waits(ws)
        close = await start(ws.close(4001))
        await peer.do(["swallow"])
        expect(await raises_async(ConnectionClosed, sender.task.result()), ConnectionClosedError, 4001, "", True)
        await close.result()
        equal(len(await seen(peer, "message")), sender.count)


@case("contract 3: send() and recv() may be called at the same time")
async def test_connection_sends_and_receives_at_once(connect: "Connect", peer: "Peer") -> None:
    """1,000 messages there and back, sent by one coroutine and received by another."""

    async def produce(ws: "Connection") -> None:
        for number in range(1000):
            await ws.send(numbered(number, 100))

    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        loop = await start(iterate(ws, messages))
        await (await start(produce(ws))).result()
        await until(lambda: len(messages) == 1000, "1,000 messages", 9)
        await ws.close()
        await loop.result()
    equal(messages, [numbered(number, 100) for number in range(1000)])


@case("RFC 6455 5.2: a payload of any length")
async def test_connection_sends_and_receives_big_messages(connect: "Connect", peer: "Peer") -> None:
    """Text and binary, three times the high-water mark, are waited for and come back whole."""
    async with unisocket.connect(peer.url) as ws:
        for kind in ("text", "binary"):
            data = generated(kind, 3 * HIGH_WATER)
            await ws.send(data)
            equal(await ws.recv(), data)


# Closing

_CLOSE = "contract 3: await ws.close(code, reason): the peer gets both"


@case(_CLOSE)
async def test_connection_close_with_code_and_reason_sends_both(connect: "Connect", peer: "Peer") -> None:
    """And waits until the connection is closed."""
    async with unisocket.connect(peer.url) as ws:
        equal((ws.close_code, ws.close_reason), (None, None))
        equal(await ws.close(4001, "h\u00e9"), None)
        equal((ws.readyState, ws.close_code, ws.close_reason), (WebSocket.CLOSED, 4001, ""))
    equal(await closes(peer), [(4001, "h\u00e9")])


@case("contract 3: close(code, reason): the code is 1000 if none is given")
async def test_connection_close_without_arguments_sends_1000(connect: "Connect", peer: "Peer") -> None:
    """Not an empty close frame."""
    async with unisocket.connect(peer.url) as ws:
        await ws.close()
        equal(ws.close_code, 1000)
    equal(await closes(peer), [(1000, "")])


@case("contract 3: close_code, close_reason: the peer's, None before")
async def test_connection_close_answered_with_other_code_tells_that_code(connect: "Connect", peer: "Peer") -> None:
    """As long as the peer has not answered, there is none."""
    await peer.script(["accept"], ["read_close"], ["sleep", 0.05], ["close", 4002, "other"])
    async with unisocket.connect(peer.url) as ws:
        task = await start(ws.close(4001))
        equal((task.ended, ws.close_code, ws.close_reason), (False, None, None))
        await task.result()
        equal((ws.close_code, ws.close_reason), (4002, "other"))


@case("contract 3: close() the second time does nothing")
async def test_connection_close_twice_sends_one_close_frame(connect: "Connect", peer: "Peer") -> None:
    """At the same time, and afterwards; all return when it is closed."""
    async with unisocket.connect(peer.url) as ws:
        first = await start(ws.close(4001, "first"))
        await ws.close(4002, "second")
        await first.result()
        await ws.close(4003)
        equal((ws.readyState, ws.close_code), (WebSocket.CLOSED, 4001))
    await peer.wait_for("eof")
    equal(await closes(peer), [(4001, "first")])


@case("contract 1, close: 1000 or 3000-4999, or InvalidCloseCodeError; a reason of at most 123 bytes")
async def test_connection_close_with_wrong_arguments_raises_and_closes_nothing(
    connect: "Connect", peer: "Peer"
) -> None:
    """The connection is as before, and so is what async for makes of its end."""
    async with unisocket.connect(peer.url) as ws:
        for code in (0, 999, 1001, 1005, 1006, 2999, 5000):
            await raises_async(InvalidCloseCodeError, ws.close(code))
        wrong: Any = "1000"
        await raises_async(TypeError, ws.close(wrong))
        await raises_async(CloseReasonTooLongError, ws.close(1000, "\u00e9" * 62))
        equal(ws.readyState, WebSocket.OPEN)
        await ws.send("still here")
        equal(await ws.recv(), "still here")
        await peer.do(["close", 4001, ""])
        await raises_async(ConnectionClosedError, iterate(ws, []))


@case("contract 1, close: a peer that does not answer: 1006, close_timeout after the close frame left")
async def test_connection_close_never_answered_returns_after_close_timeout(connect: "Connect", peer: "Peer") -> None:
    """close() raises nothing; what has happened stands in close_code."""
    await peer.script(["accept"], ["deaf"])
    adapter = default_adapter()
    kept, adapter.close_timeout = adapter.close_timeout, 0.2
    try:
        async with unisocket.connect(peer.url) as ws:
            begin = now()
            await ws.close(4001)
            took = now() - begin
            assert 190 <= took < 5000, took
            equal((ws.readyState, ws.close_code, ws.close_reason), (WebSocket.CLOSED, 1006, ""))
    finally:
        adapter.close_timeout = kept


@case("contract 3: await ws.wait_closed()")
async def test_wait_closed_returns_when_the_peer_has_closed(connect: "Connect", peer: "Peer") -> None:
    """For all who wait, not before, and at once for those who come later."""
    async with unisocket.connect(peer.url) as ws:
        first = await start(ws.wait_closed())
        second = await start(ws.wait_closed())
        await sleep(0.02)
        equal((first.ended, second.ended, ws.close_code), (False, False, None))
        await peer.do(["close", 4001, "bye"])
        await first.result()
        await second.result()
        equal((ws.readyState, ws.close_code, ws.close_reason), (WebSocket.CLOSED, 4001, "bye"))
        await ws.wait_closed()


@case("contract 3: await ws.wait_closed(): raises nothing, however the connection ends")
async def test_wait_closed_of_lost_connection_returns(connect: "Connect", peer: "Peer") -> None:
    """What happened stands in close_code."""
    async with unisocket.connect(peer.url) as ws:
        await peer.do(["fin"])
        await ws.wait_closed()
        equal((ws.close_code, ws.close_reason), (1006, ""))


@case("contract 2: no close frame code = 1005")
async def test_close_code_of_connection_closed_without_code_is_1005(connect: "Connect", peer: "Peer") -> None:
    """It is a number, not None: None is for connections that are open."""
    await peer.script(["accept"], ["close"])
    async with unisocket.connect(peer.url) as ws:
        await ws.wait_closed()
        equal((ws.close_code, ws.close_reason), (1005, ""))


# Leaving the block

_LEAVING = "contract 3: leaving async with closes with 1000"


@case(_LEAVING)
async def test_block_left_closes_with_1000(connect: "Connect", peer: "Peer") -> None:
    """And waits for it."""
    async with unisocket.connect(peer.url) as ws:
        pass
    equal((ws.readyState, ws.close_code), (WebSocket.CLOSED, 1000))
    equal(await closes(peer), [(1000, "")])


@case(_LEAVING)
async def test_block_left_by_return_closes_with_1000(connect: "Connect", peer: "Peer") -> None:
    """And what is returned is returned."""

    async def function() -> "Any":
        async with unisocket.connect(peer.url) as ws:
            await ws.send("hello")
            return await ws.recv()

    equal(await function(), "hello")
    equal(await closes(peer), [(1000, "")])


@case(_LEAVING + ", with or without an exception, which passes through unchanged")
async def test_block_left_by_exception_closes_with_1000(connect: "Connect", peer: "Peer") -> None:
    """It is the very object that was raised, and the connection is closed when it comes out."""
    raised = ValueError("mine")
    left: list[Connection] = []

    async def function() -> None:
        async with unisocket.connect(peer.url) as ws:
            left.append(ws)
            raise raised

    error = await raises_async(ValueError, function())
    assert error is raised
    equal((left[0].readyState, await closes(peer)), (WebSocket.CLOSED, [(1000, "")]))


@case(_LEAVING + ", with or without an exception, which passes through unchanged")
async def test_block_left_by_ConnectionClosedError_lets_it_through(connect: "Connect", peer: "Peer") -> None:
    """It is the caller's business why the connection ended."""

    async def function() -> None:
        async with unisocket.connect(peer.url) as ws:
            await iterate(ws, [])

    await peer.script(["accept"], ["close", 4001, "why"])
    expect(await raises_async(ConnectionClosed, function()), ConnectionClosedError, 4001, "why", True)


@case(_LEAVING + "; closed already: nothing")
async def test_block_left_after_close_is_quiet(connect: "Connect", peer: "Peer") -> None:
    """Whoever closed it, and with what."""
    async with unisocket.connect(peer.url) as ws:
        await ws.close(4001)
    equal((ws.close_code, await closes(peer)), (4001, [(4001, "")]))
    async with unisocket.connect(peer.url) as ws:
        await peer.do(["fin"])
        await ws.wait_closed()
    equal(ws.close_code, 1006)


@case(_LEAVING + "; messages that nobody took are dropped")
async def test_block_left_with_messages_in_the_queue_closes_with_1000(connect: "Connect", peer: "Peer") -> None:
    """More of them than the queue holds where it has a bound."""
    await peer.script(["accept"], ["push", 1000, "text", 1000])
    async with unisocket.connect(peer.url) as ws:
        equal(await ws.recv(), numbered(0, 1000))
    equal((ws.close_code, await closes(peer)), (1000, [(1000, "")]))


@case("contract 3: under cancellation it starts the close and does not wait", needs=("cancellation",))
async def test_block_left_by_cancellation_starts_the_close_and_does_not_wait(connect: "Connect", peer: "Peer") -> None:
    """The peer sees 1000 and does not answer; the cancelled one is gone long before."""
    await peer.script(["accept"], ["deaf"])
    left: list[Connection] = []

    async def function() -> None:
        async with unisocket.connect(peer.url) as ws:
            left.append(ws)
            await ws.recv()

    task = await start(function())
    await until(lambda: left, "the block")
    begin = now()
    task.cancel()
    assert await task.was_cancelled()
    took = now() - begin
    assert took < 1000, took
    equal(left[0].readyState, WebSocket.CLOSING)
    equal(await closes(peer), [(1000, "")])


@case("contract 3: async with, one within another")
async def test_blocks_within_each_other_close_from_within(connect: "Connect", peer: "Peer") -> None:
    """Two connections of one function do not mix."""
    async with unisocket.connect(peer.url) as outer, unisocket.connect(peer.url) as inner:
        await outer.send("outer")
        await inner.send("inner")
        equal((await inner.recv(), await outer.recv()), ("inner", "outer"))
    equal((outer.close_code, inner.close_code), (1000, 1000))
    frames = await peer.wait_for("close", 2)
    equal([frame["connection"] for frame in frames], [2, 1])


# The socket beneath

_BENEATH = "contract 3: ws.websocket is the event-driven object beneath, its onX free for the user"


@case(_BENEATH)
async def test_websocket_beneath_has_no_handlers_and_takes_some(connect: "Connect", peer: "Peer") -> None:
    """They hear what is received, too, and of the end."""
    called: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        beneath = ws.websocket
        assert type(beneath) is WebSocket
        equal((beneath.onopen, beneath.onmessage, beneath.onerror, beneath.onclose), (None, None, None, None))
        beneath.onmessage = lambda event: called.append(event.data)
        beneath.onerror = lambda event: called.append("error")
        beneath.onclose = lambda event: called.append(event.code)
        await ws.send("1")
        equal(await ws.recv(), "1")
        beneath.onmessage = None
        await ws.send("2")
        equal(await ws.recv(), "2")
        await peer.do(["fin"])
        await ws.wait_closed()
    await until(lambda: len(called) == 3, "the handlers")
    equal(called, ["1", "error", 1006])


@case(_BENEATH + "; readyState, url, protocol and bufferedAmount are its own")
async def test_connection_tells_the_attributes_of_the_websocket_beneath(connect: "Connect", peer: "Peer") -> None:
    """In every state."""
    await peer.script(["accept", {"protocol": "a"}])
    async with unisocket.connect(peer.url, "a") as ws:
        beneath = ws.websocket
        beneath.send("12345")
        equal((ws.url, ws.protocol), (beneath.url, beneath.protocol))
        equal((ws.readyState, ws.bufferedAmount), (beneath.readyState, beneath.bufferedAmount))
        beneath.close()
        equal(ws.readyState, WebSocket.CLOSING)
        await ws.wait_closed()
        equal((ws.readyState, ws.close_code), (WebSocket.CLOSED, 1005))


@case(_BENEATH + "; a handler that raises hurts nobody else")
async def test_handler_of_the_websocket_beneath_that_raises_loses_no_message(connect: "Connect", peer: "Peer") -> None:
    """The message is received all the same, and the exception reported."""
    reports: list[Any] = []

    def fail(event: "Any") -> None:
        raise ValueError(event.data)

    unisocket.on_handler_error(lambda error, event: reports.append(str(error)))
    try:
        async with unisocket.connect(peer.url) as ws:
            ws.websocket.onmessage = fail
            await ws.send("1")
            equal(await ws.recv(), "1")
    finally:
        unisocket.on_handler_error(None)
    equal(reports, ["1"])


# The queue of messages that wait to be received

_QUEUE = "contract 3: the inbound queue is bounded, in messages (16) and bytes (1 MiB), where the runtime can push back"


@case("contract 3: no message is lost, whenever it is received")
async def test_messages_that_nobody_receives_for_a_while_wait(connect: "Connect", peer: "Peer") -> None:
    """Where the queue has a bound the peer waits, elsewhere the messages do."""
    await peer.script(["accept"], ["push", 300, "binary", 10 * KIB], GOODBYE)
    messages: list[Any] = []
    async with unisocket.connect(peer.url) as ws:
        await sleep(0.2)
        await iterate(ws, messages)
    equal([bytes(data[:3]) for data in messages], [numbered(number, 10 * KIB)[:3].encode() for number in range(300)])


# How many messages are pushed of what size, and `max_queue`; how many may be delivered: the bound, and
# what else one read of 256 KiB may have brought.
BOUNDS: "list[tuple[str, int, int, dict[str, Any], int, int]]" = [
    ("16_messages", 1000, 32 * KIB, {}, 16, 10),
    ("1_MiB", 100, 256 * KIB, {}, 4, 2),
    ("max_queue_messages", 1000, 32 * KIB, {"max_queue": 3}, 3, 10),
]


def _add_bound(name: str, count: int, size: int, options: "dict[str, Any]", bound: int, more: int) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        async with unisocket.connect(peer.url, **options) as ws:
            delivered: list[int] = []
            ws.websocket.onmessage = lambda event: delivered.append(len(event.data))
            push = await start(peer.do(["push", count, "binary", size]))
            await until(lambda: len(delivered) >= bound, "a full queue")
            await sleep(0.1)
            assert len(delivered) <= bound + more, len(delivered)
            equal(push.ended, False, "the push has ended")
            for number in range(count):
                equal(await ws.recv(timeout=5), numbered(number, size).encode())
            await push.result()

    add_case("test_peer_that_pushes_when_nobody_receives_is_stopped_at_" + name, _QUEUE, function, needs=("pause",))


for _bound in BOUNDS:
    _add_bound(*_bound)

_FULL = "contract 3: close() resumes reading and drops what arrives: it does not wait for a full queue"


@case(_FULL, needs=("pause",))
async def test_connection_close_with_full_queue_is_answered(connect: "Connect", peer: "Peer") -> None:
    """What was in the queue is received after it, and then the connection is closed."""
    await peer.script(["accept"], ["push", 500, "binary", 64 * KIB])
    async with unisocket.connect(peer.url) as ws:
        await until(lambda: ws._paused, "a full queue")
        await ws.close(4001)
        equal(ws.close_code, 4001)
        messages: list[Any] = []
        await iterate(ws, messages)
    assert 16 <= len(messages) <= 24, len(messages)
    equal(messages, [numbered(number, 64 * KIB).encode() for number in range(len(messages))])


@case(_FULL + "; nor does that of the WebSocket", needs=("pause",))
async def test_close_of_the_websocket_with_full_queue_is_answered(connect: "Connect", peer: "Peer") -> None:
    """Which knows nothing of a queue."""
    await peer.script(["accept"], ["push", 500, "binary", 64 * KIB])
    async with unisocket.connect(peer.url) as ws:
        await until(lambda: ws._paused, "a full queue")
        ws.websocket.close(4001)
        await ws.wait_closed()
        equal(ws.close_code, 4001)


@case("contract 1, dispatchEvent: an event of one's own tells nothing of the connection")
async def test_connection_is_not_closed_by_a_close_event_of_ones_own(connect: "Connect", peer: "Peer") -> None:
    """It goes on, and is left as it should be."""
    async with unisocket.connect(peer.url) as ws:
        ws.websocket.dispatchEvent(CloseEvent("close", None, 1000, "", True))
        equal((ws.readyState, ws.close_code), (WebSocket.OPEN, None))
        await ws.send("1")
        equal(await ws.recv(), "1")
    ws.websocket.dispatchEvent(CloseEvent("close", None, 4999, "", True))
    equal((ws.close_code, await closes(peer)), (1000, [(1000, "")]))


@case(_FULL + "; nor does leaving async with", needs=("pause",))
async def test_block_left_with_full_queue_closes_with_1000(connect: "Connect", peer: "Peer") -> None:
    """The peer is let push to its end, and answers."""
    await peer.script(["accept"], ["push", 500, "binary", 64 * KIB])
    begin = now()
    async with unisocket.connect(peer.url) as ws:
        await until(lambda: ws._paused, "a full queue")
    took = now() - begin
    assert took < 5000, took
    equal((ws.close_code, await closes(peer)), (1000, [(1000, "")]))


@case("contract 3: while reading is paused the pong deadline stands still", needs=("pause", "ping"))
async def test_connection_with_full_queue_outlives_the_pong_deadline(connect: "Connect", peer: "Peer") -> None:
    """The pong stands behind messages that nobody has received yet: that is not the peer's fault."""
    adapter: Any = default_adapter()
    kept = (adapter.ping_interval, adapter.ping_timeout)
    adapter.ping_interval = adapter.ping_timeout = 0.05
    try:
        await peer.script(["accept"], ["push", 200, "binary", 64 * KIB], GOODBYE)
        messages: list[Any] = []
        async with unisocket.connect(peer.url) as ws:
            await sleep(0.4)
            equal((ws.readyState, ws.close_code), (WebSocket.OPEN, None))
            await iterate(ws, messages)
        equal(len(messages), 200)
    finally:
        adapter.ping_interval, adapter.ping_timeout = kept
