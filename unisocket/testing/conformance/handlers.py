"""Cases of handlers: what may be one, when async ones start, what becomes of their exceptions, and what they may do."""

from unisocket import CloseEvent, Event, InvalidStateError, MessageEvent, on_handler_error
from unisocket._runtime import cancelled, default_adapter
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import GOODBYE, lost_after_message, open_socket, record, sleep, until
from unisocket.testing.conformance._stage import NOWHERE, HandlerErrors, Stage
from unisocket.testing.payloads import numbered
from unisocket.testing.script import Recorder, equal, raises

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unisocket._websocket import WebSocket
    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer


def packet(*messages: str) -> "list[Any]":
    """Return the step that sends text messages in one packet."""
    return ["together", [["text", message] for message in messages]]


async def stays_alive(websocket: "WebSocket", recorder: Recorder) -> None:
    """Assert that a message makes the round trip to a peer that echoes."""
    websocket.send("alive?")
    await until(lambda: "alive?" in recorder.messages, "the echo")
    equal(websocket.readyState, websocket.OPEN)


# What may be a handler


class Handlers:
    """A callable object with a method, which keep the data of messages."""

    def __init__(self, got: "list[Any]") -> None:
        self.got = got

    def handle(self, event: "Any") -> None:
        """Keep the data."""
        self.got.append(event.data)

    def __call__(self, event: "Any") -> None:
        self.handle(event)


class AsyncHandlers:
    """The same, after a while."""

    def __init__(self, got: "list[Any]") -> None:
        self.got = got

    async def handle(self, event: "Any") -> None:
        """Keep the data."""
        await sleep(0)
        self.got.append(event.data)

    async def __call__(self, event: "Any") -> None:
        await self.handle(event)


def _function(got: "list[Any]") -> "Any":
    def handler(event: "Any") -> None:
        got.append(event.data)

    return handler


def _async_function(got: "list[Any]") -> "Any":
    async def handler(event: "Any") -> None:
        await sleep(0)
        got.append(event.data)

    return handler


def _async_closure(got: "list[Any]") -> "Any":
    async def handler(event: "Any") -> None:
        got.append(event.data)  # without any await

    return handler


def _partial(function: "Callable[[list[Any], Any], Any]", got: "list[Any]") -> "Any":
    from functools import partial

    return partial(function, got)


async def _keep_later(got: "list[Any]", event: "Any") -> None:
    await sleep(0)
    got.append(event.data)


CALLABLES: "list[tuple[str, Callable[[list[Any]], Any]]]" = [
    ("function", _function),
    ("lambda", lambda got: lambda event: got.append(event.data)),
    ("bound_method", lambda got: Handlers(got).handle),
    ("partial", lambda got: _partial(lambda got, event: got.append(event.data), got)),
    ("callable_object", Handlers),
    ("async_function", _async_function),
    ("async_function_without_await", _async_closure),
    ("lambda_that_returns_a_coroutine", lambda got: lambda event: _keep_later(got, event)),
    ("bound_async_method", lambda got: AsyncHandlers(got).handle),
    ("partial_of_async_function", lambda got: _partial(_keep_later, got)),
    ("async_callable_object", AsyncHandlers),
]


def _add_callable(name: str, make: "Callable[[list[Any]], Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, _ = await open_socket(connect, peer)
        assigned: list[Any] = []
        added: list[Any] = []
        bound: list[Any] = []
        websocket.onmessage = make(assigned)
        websocket.addEventListener("message", make(added))
        websocket.bind("message", make(bound))
        await peer.do(packet("one", "two"))
        await until(lambda: len(assigned) + len(added) + len(bound) >= 6, "six calls")
        equal((assigned, added, bound), (["one", "two"],) * 3)

    rule = "contract 2: handlers may be plain or async def functions, bound methods, partials, callable objects"
    add_case("test_" + name + "_is_called_as_handler_and_listener", rule, function)


for _callable in CALLABLES:
    _add_callable(*_callable)


# A handler that is alone: what it does with "1", "2" and "3", which come in one packet.


def _plain(websocket: "WebSocket", got: "list[str]") -> None:
    websocket.onmessage = lambda event: got.append(event.data)


def _clearing(websocket: "WebSocket", got: "list[str]") -> None:
    def handler(event: "Any") -> None:
        got.append(event.data)
        websocket.onmessage = None

    websocket.onmessage = handler


def _replacing(websocket: "WebSocket", got: "list[str]") -> None:
    def handler(event: "Any") -> None:
        got.append(event.data)
        websocket.onmessage = lambda event: got.append("new " + event.data)

    websocket.onmessage = handler


def _removing(websocket: "WebSocket", got: "list[str]") -> None:
    def listener(event: "Any") -> None:
        got.append(event.data)
        websocket.removeEventListener("message", listener)

    websocket.addEventListener("message", listener)


def _once(websocket: "WebSocket", got: "list[str]") -> None:
    websocket.addEventListener("message", lambda event: got.append(event.data), once=True)


def _adding(websocket: "WebSocket", got: "list[str]") -> None:
    added = lambda event: got.append("added " + event.data)  # noqa: E731  one listener, however often it is added

    def handler(event: "Any") -> None:
        got.append(event.data)
        websocket.addEventListener("message", added)

    websocket.onmessage = handler


def _stopping(websocket: "WebSocket", got: "list[str]") -> None:
    def handler(event: "Any") -> None:
        got.append(event.data)
        event.stopImmediatePropagation()

    websocket.onmessage = handler


def _closing(websocket: "WebSocket", got: "list[str]") -> None:
    def handler(event: "Any") -> None:
        got.append(event.data)
        websocket.close()

    websocket.onmessage = handler


def _dispatching(websocket: "WebSocket", got: "list[str]") -> None:
    def handler(event: "Any") -> None:
        got.append(raises(InvalidStateError, lambda: websocket.dispatchEvent(event)).name)
        websocket.onmessage = None

    websocket.onmessage = handler


def _async(websocket: "WebSocket", got: "list[str]") -> None:
    async def handler(event: "Any") -> None:
        got.append(event.data)

    websocket.onmessage = handler


ALONE: "list[tuple[str, Callable[[WebSocket, list[str]], None], list[str]]]" = [
    ("gets_every_message_in_order", _plain, ["1", "2", "3"]),
    ("that_clears_itself_gets_one_message", _clearing, ["1"]),
    ("that_replaces_itself_gives_the_next_messages_away", _replacing, ["1", "new 2", "new 3"]),
    ("that_removes_itself_gets_one_message", _removing, ["1"]),
    ("with_once_gets_one_message", _once, ["1"]),
    ("that_adds_a_listener_shares_the_next_messages", _adding, ["1", "2", "added 2", "3", "added 3"]),
    ("that_stops_propagation_gets_every_message", _stopping, ["1", "2", "3"]),
    ("that_closes_gets_one_message", _closing, ["1"]),
    ("that_dispatches_its_event_again_raises_InvalidStateError", _dispatching, ["InvalidStateError"]),
    ("that_is_async_gets_every_message_in_order", _async, ["1", "2", "3"]),
]


def _add_alone(name: str, install: "Callable[[WebSocket, list[str]], None]", expected: "list[str]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["together", [["accept"], ["text", "1"], ["text", "2"], ["text", "3"], ["close", 1000]]])
        websocket = connect(peer.url)
        got: list[str] = []
        closed: list[Any] = []
        install(websocket, got)
        websocket.onclose = closed.append
        await until(lambda: closed, "close")
        equal(got, expected)

    add_case("test_only_handler_" + name, "contract 2: messages in order; DOM 2.9, inner invoke", function)


for _alone in ALONE:
    _add_alone(*_alone)


@case("contract 2: an async handler runs to its first await, if it has one")
async def test_async_handler_that_waits_for_nothing_gets_each_of_500_messages(connect: "Connect", peer: "Peer") -> None:
    """Nothing of one call may be left behind for the next."""
    got: list[Any] = []

    async def note(event: "Any") -> None:
        got.append(event.data)

    async def on_message(event: "Any") -> None:
        await note(event)

    recorder = await record(connect, peer, ["accept"], ["push", 500, "text", 4], GOODBYE, onmessage=on_message)
    equal(got, [numbered(number, 4) for number in range(500)])
    equal(recorder.events[-1], ("close", 1000, "", True))


@case("contract 2: readyState is CLOSING when the peer's close frame arrives; messages that came before are delivered")
async def test_readyState_that_is_read_beside_an_async_handler_swallows_no_message(
    connect: "Connect", peer: "Peer"
) -> None:
    """Where messages wait for the handler, the browser may know of the close already."""
    numbers = [str(number) for number in range(8)]

    async def begin(event: "Any") -> None:
        pass

    await peer.script(["together", [["accept"]] + [["text", number] for number in numbers] + [GOODBYE]])
    websocket = connect(peer.url)
    websocket.addEventListener("message", begin)
    recorder = Recorder(websocket)  # which reads it
    await recorder.closed()
    equal(recorder.events, [("open",)] + [("message", number) for number in numbers] + [("close", 1000, "", True)])


class Awaitable:
    """Looks as if it could be awaited, and is no coroutine."""

    awaited = 0

    def __await__(self) -> "Any":
        Awaitable.awaited += 1
        return iter(())


@case("contract 2: only a coroutine that a handler returns is started; any other result is ignored")
async def test_other_results_of_handlers_are_ignored(connect: "Connect", peer: "Peer") -> None:
    """Nor do they stop anything, as False would in old browsers."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    results = [0, False, True, "text", [1], {}, Awaitable(), Event("x"), websocket, len]
    with HandlerErrors() as errors:
        for result in results:
            websocket.addEventListener("message", lambda event, result=result: result)  # type: ignore[misc]
        await stays_alive(websocket, recorder)
        await sleep(0.01)
    equal((errors.reports, Awaitable.awaited), ([], 0))


@case("contract 1, bind: the listener may take no argument", needs=("signatures",))
async def test_async_listener_without_argument_runs(connect: "Connect", peer: "Peer") -> None:
    """An async def that takes no event is called without, and started."""
    websocket, _ = await open_socket(connect, peer)
    ran: list[int] = []

    @websocket.bind("message")  # type: ignore[untyped-decorator]
    async def listen() -> None:
        await sleep(0)
        ran.append(1)

    await peer.do(packet("one", "two"))
    await until(lambda: len(ran) == 2, "two runs")


# When async handlers start

_AFTER = "contract 2: an async handler starts after all listeners of its event have been called"
_BEFORE = "contract 2: an async handler runs to its first await before the next event of that socket is dispatched"


@case(_AFTER)
async def test_async_handlers_start_after_all_listeners_in_their_order(connect: "Connect", peer: "Peer") -> None:
    """Plain ones have the first turn, wherever they stand."""
    websocket, _ = await open_socket(connect, peer)
    log: list[str] = []

    def starting(name: str) -> "Any":
        async def handler(event: "Any") -> None:
            log.append(name)

        return handler

    websocket.onmessage = starting("async handler")
    websocket.addEventListener("message", lambda event: log.append("listener"))
    websocket.addEventListener("message", starting("async listener"))
    websocket.addEventListener("message", lambda event: log.append("last listener"))
    await peer.do(packet("one"))
    await until(lambda: len(log) == 4, "four calls")
    equal(log, ["listener", "last listener", "async handler", "async listener"])


@case(_BEFORE)
async def test_async_handlers_run_to_their_first_await_before_the_next_message(
    connect: "Connect", peer: "Peer"
) -> None:
    """Even of the same packet; listeners of the next message come after them."""
    websocket, _ = await open_socket(connect, peer)
    log: list[str] = []
    gate = default_adapter().runtime().future()

    async def first(event: "Any") -> None:
        log.append("first " + event.data)
        if event.data == "1":
            await gate

    async def second(event: "Any") -> None:
        log.append("second " + event.data)

    websocket.addEventListener("message", first)
    websocket.addEventListener("message", lambda event: log.append("plain " + event.data))
    websocket.addEventListener("message", second)
    await peer.do(packet("1", "2", "3"))
    await until(lambda: len(log) == 9, "nine calls")
    gate.set_result(None)
    equal(log, [name + " " + number for number in "123" for name in ("plain", "first", "second")])


@case(_BEFORE)
async def test_async_onopen_that_sets_onmessage_loses_no_message(connect: "Connect", peer: "Peer") -> None:
    """Not even those that came with the 101."""
    messages = [str(number) for number in range(10)]
    await peer.script(["together", [["accept"]] + [["text", message] for message in messages]])
    got: list[str] = []

    async def opened(event: "Any") -> None:
        event.target.onmessage = lambda event: got.append(event.data)
        await sleep(0)

    websocket = connect(peer.url, onopen=opened)
    await Recorder(websocket).wait("message", len(messages))
    equal(got, messages)


@case(_BEFORE)
async def test_async_onopen_that_sets_all_handlers_hears_a_close_in_the_packet_of_the_101(
    connect: "Connect", peer: "Peer"
) -> None:
    """The whole connection is over in one packet."""
    await peer.script(["together", [["accept"], ["text", "hello"], ["close", 4000, "bye"]]])
    got: list[Any] = []

    async def opened(event: "Any") -> None:
        event.target.onmessage = lambda event: got.append(event.data)
        event.target.onclose = lambda event: got.append(event.code)

    await Recorder(connect(peer.url, onopen=opened)).closed()
    equal(got, ["hello", 4000])


@case(_BEFORE)
async def test_async_onmessage_that_replaces_itself_gives_the_next_message_away(
    connect: "Connect", peer: "Peer"
) -> None:
    """What it does before its first await holds for the next message of the packet."""
    websocket, recorder = await open_socket(connect, peer)
    got: list[tuple[str, str]] = []

    async def first(event: "Any") -> None:
        websocket.onmessage = lambda event: got.append(("second", event.data))
        got.append(("first", event.data))

    websocket.onmessage = first
    await peer.do(packet("1", "2", "3"))
    await recorder.wait("message", 3)
    equal(got, [("first", "1"), ("second", "2"), ("second", "3")])


@case(_BEFORE)
async def test_async_onerror_starts_before_close_is_dispatched(connect: "Connect", peer: "Peer") -> None:
    """Both are of one task, and all the same."""
    log: list[str] = []

    async def failed(event: "Any") -> None:
        log.append("error starts")
        await sleep(0)
        log.append("error goes on")

    websocket = connect(NOWHERE, onerror=failed, onclose=lambda event: log.append("close"))
    websocket.addEventListener("error", lambda event: log.append("error"))
    await until(lambda: len(log) == 4, "four calls")
    equal(log, ["error", "error starts", "close", "error goes on"])


@case(_BEFORE)
async def test_async_onmessage_starts_before_close_is_dispatched(connect: "Connect", peer: "Peer") -> None:
    """Even when the close frame came in the packet of the message."""
    await peer.script(["together", [["accept"], ["text", "hello"], ["close", 1000]]])
    log: list[str] = []

    async def handler(event: "Any") -> None:
        log.append(event.data)

    websocket = connect(peer.url, onmessage=handler, onclose=lambda event: log.append("close"))
    await until(lambda: len(log) == 2, "both calls")
    equal(log, ["hello", "close"])
    equal(websocket.readyState, websocket.CLOSED)


@case(_BEFORE)
async def test_readyState_in_async_handlers_is_that_of_their_event(connect: "Connect", peer: "Peer") -> None:
    """CLOSED in error and close, OPEN in those before; up to the first await."""
    states: list[tuple[str, int]] = []

    async def note(event: "Any") -> None:
        states.append((event.type, event.target.readyState))

    await peer.script(["accept"], ["text", "hello"], ["read"], ["fin"])
    websocket = connect(peer.url, onopen=note, onmessage=note, onerror=note, onclose=note)
    recorder = Recorder(websocket)
    await recorder.wait("message")
    websocket.send("go on")
    await recorder.closed()
    await until(lambda: len(states) == 4, "four calls")
    equal(states, [("open", 1), ("message", 1), ("error", 3), ("close", 3)])


_INTERLEAVE = "contract 2: from there handlers interleave, as in JavaScript"


@case(_INTERLEAVE)
async def test_async_handlers_that_await_each_others_messages_both_end(connect: "Connect", peer: "Peer") -> None:
    """Neither keeps the other's message from being delivered."""
    websocket, _ = await open_socket(connect, peer)
    runtime = default_adapter().runtime()
    come = {"ping": runtime.future(), "pong": runtime.future()}
    others = {"ping": "pong", "pong": "ping"}
    ended: list[str] = []

    async def handler(event: "Any") -> None:
        come[event.data].set_result(None)
        await come[others[event.data]]
        ended.append(event.data)

    websocket.onmessage = handler
    await peer.do(["text", "ping"])
    await peer.do(["text", "pong"])
    await until(lambda: len(ended) == 2, "both ends")


@case("contract 2: handlers that run, however many, never stop the reading")
async def test_many_handlers_awaiting_a_later_message_do_not_stop_the_reading(connect: "Connect", peer: "Peer") -> None:
    """Thirty of them wait for the last message, which comes."""
    websocket, _ = await open_socket(connect, peer)
    gates: list[Any] = []
    ended: list[str] = []

    async def handler(event: "Any") -> None:
        if len(gates) < 30:
            gate = default_adapter().runtime().future()
            gates.append(gate)
            await gate
        else:
            for gate in gates:
                gate.set_result(None)
        ended.append(event.data)

    websocket.onmessage = handler
    await peer.do(["push", 31, "text", 10])
    await until(lambda: len(ended) == 31, "all ends")


@case("contract 1, lifetime: the tasks of async handlers live until they end")
async def test_async_handler_goes_on_after_the_close(connect: "Connect", peer: "Peer") -> None:
    """Its event still has its target, and closing waits for nobody."""
    websocket, recorder = await open_socket(connect, peer)
    runtime = default_adapter().runtime()
    gates = {"message": runtime.future(), "close": runtime.future()}
    ended: list[Any] = []

    async def handler(event: "Any") -> None:
        await gates[event.type]
        ended.append((event.currentTarget, event.currentTarget.readyState))

    websocket.addEventListener("message", handler)
    websocket.addEventListener("close", handler)
    await peer.do(["text", "hello"])
    await recorder.wait("message")
    websocket.close()
    await recorder.closed()
    equal(ended, [])
    for gate in gates.values():
        gate.set_result(None)
    await until(lambda: len(ended) == 2, "both ends")
    for target, state in ended:
        assert target is websocket, target
        equal(state, websocket.CLOSED)


@case("contract 2: events come as tasks")
async def test_messages_of_one_packet_are_separate_events_in_order(connect: "Connect", peer: "Peer") -> None:
    """All listeners hear of one before any hears of the next."""
    websocket, recorder = await open_socket(connect, peer)
    log: list[str] = []
    websocket.onmessage = lambda event: log.append("a" + event.data)
    websocket.addEventListener("message", lambda event: log.append("b" + event.data))
    await peer.do(packet("1", "2", "3"))
    await recorder.wait("message", 3)
    equal(log, ["a1", "b1", "a2", "b2", "a3", "b3"])


@case(_AFTER)
async def test_async_listener_of_dispatchEvent_starts(connect: "Connect", peer: "Peer") -> None:
    """After the plain ones, as for any other event."""
    websocket = connect(peer.url)
    log: list[str] = []

    async def listen(event: Event) -> None:
        log.append("async")

    websocket.addEventListener("news", listen)
    websocket.addEventListener("news", lambda event: log.append("plain"))
    websocket.dispatchEvent(Event("news"))
    await until(lambda: len(log) == 2, "both calls")
    equal(log, ["plain", "async"])


@case("contract 1: dispatchEvent is synchronous")
async def test_dispatchEvent_after_an_async_listener_is_synchronous(connect: "Connect", peer: "Peer") -> None:
    """Whether or not the async one could start already."""
    stage = Stage(connect)

    async def listen(event: Event) -> None:
        await sleep(0)

    stage.websocket.addEventListener("message", listen)
    stage.add("plain")
    for _ in range(2):
        equal(stage.fire(), ["plain"])


# Exceptions


class MistakeError(Exception):
    """What the handlers of these cases raise."""


async def _raise_at_once(event: "Any") -> None:
    raise MistakeError(event.type)


async def _raise_later(event: "Any") -> None:
    await sleep(0)
    raise MistakeError(event.type)


def _raise(event: "Any") -> None:
    raise MistakeError(event.type)


RAISING = [
    ("handler", _raise),
    ("async_handler_before_its_first_await", _raise_at_once),
    ("async_handler_after_its_first_await", _raise_later),
]

_HURTS_NOBODY = "contract 2: a handler that raises hurts nobody else; it is reported once, with exception and event"


def _add_raising(name: str, handler: "Callable[[Any], Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket, recorder = await open_socket(connect, peer, ["echo"])
        events: list[Any] = []
        websocket.onmessage = handler
        websocket.addEventListener("message", events.append)
        with HandlerErrors() as errors:
            await stays_alive(websocket, recorder)
            await until(lambda: errors.reports, "the report")
            await stays_alive(websocket, recorder)
            await until(lambda: len(events) == 2 and len(errors.reports) == 2, "a report for each")
            await sleep(0.01)
        equal([type(error) for error, _ in errors.reports], [MistakeError] * len(events))
        for index, (_, event) in enumerate(errors.reports):
            assert event is events[index], event

    add_case("test_exception_of_" + name + "_is_reported_once_and_the_connection_lives", _HURTS_NOBODY, function)


for _raising in RAISING:
    _add_raising(*_raising)


@case("contract 2: the other listeners run")
async def test_exception_of_every_listener_keeps_none_from_its_turn(connect: "Connect", peer: "Peer") -> None:
    """Each is reported, in order."""
    stage = Stage(connect)
    for _ in range(2):
        stage.websocket.addEventListener("message", lambda event: _raise(event))
        stage.add("listener")
    with HandlerErrors() as errors:
        equal(stage.fire(), ["listener", "listener"])
    equal([str(error) for error, _ in errors.reports], ["message", "message"])


@case(_HURTS_NOBODY)
async def test_exceptions_in_every_type_of_event_change_no_event(connect: "Connect", peer: "Peer") -> None:
    """All events come, once each, with their reports."""
    await peer.script(["accept"], ["text", "hello"])
    with HandlerErrors() as errors:
        websocket = connect(peer.url, onopen=_raise, onmessage=_raise, onerror=_raise, onclose=_raise)
        recorder = Recorder(websocket)
        await lost_after_message(peer, recorder)
    equal(recorder.types, ["open", "message", "error", "close"])
    equal([str(error) for error, _ in errors.reports], recorder.types)
    equal([type(event) for _, event in errors.reports], [Event, MessageEvent, Event, CloseEvent])


@case("contract 2: if the callable of on_handler_error raises, both go to the runtime")
async def test_on_handler_error_that_raises_leaves_the_connection_alive(connect: "Connect", peer: "Peer") -> None:
    """And the other listeners run."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    called: list[BaseException] = []

    def fail(error: BaseException, event: Event) -> None:
        called.append(error)
        raise MistakeError("on_handler_error")

    on_handler_error(fail)
    try:
        websocket.addEventListener("message", _raise, once=True)
        websocket.addEventListener("message", _raise_later, once=True)
        await stays_alive(websocket, recorder)
        await until(lambda: len(called) == 2, "two reports")
        await stays_alive(websocket, recorder)
    finally:
        on_handler_error(None)
    equal([str(error) for error in called], ["message", "message"])


@case("contract 2: on_handler_error(callable)")
async def test_on_handler_error_set_again_replaces_the_first(connect: "Connect", peer: "Peer") -> None:
    """One callable hears of all; and a mistake keeps it."""
    stage = Stage(connect)
    stage.websocket.onmessage = _raise
    with HandlerErrors() as first, HandlerErrors() as second:
        raises(TypeError, lambda: on_handler_error(5))  # type: ignore[arg-type]
        stage.fire()
    equal((len(first.reports), len(second.reports)), (0, 1))


@case("contract 2: a handler's CancelledError is not an error")
async def test_CancelledError_of_handlers_is_not_reported(connect: "Connect", peer: "Peer") -> None:
    """Where a runtime can cancel, a handler that was cancelled hurts nobody."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    error_class = cancelled()
    if error_class == ():
        return

    def plain(event: "Any") -> None:
        raise error_class

    async def later(event: "Any") -> None:
        await sleep(0)
        raise error_class

    with HandlerErrors() as errors:
        websocket.onmessage = plain
        websocket.addEventListener("message", later)
        await stays_alive(websocket, recorder)
        await sleep(0.01)
    equal(errors.reports, [])


# What handlers may do


@case("contract 1, close: CLOSING")
async def test_close_within_onopen_closes_with_its_code(connect: "Connect", peer: "Peer") -> None:
    """The messages that came along are not delivered any more."""
    await peer.script(["together", [["accept"], ["text", "late"]]])
    recorder = Recorder(connect(peer.url, onopen=lambda event: event.target.close(4001)))
    equal(await recorder.closed(), ("close", 4001, "", True))
    equal(recorder.types, ["open", "close"])
    equal(recorder.states, [2, 3])


@case("contract 1, close: CLOSING")
async def test_close_within_async_onopen_closes_with_its_code(connect: "Connect", peer: "Peer") -> None:
    """It runs before the messages that came along."""

    async def opened(event: "Any") -> None:
        event.target.close(4001)

    await peer.script(["together", [["accept"], ["text", "late"]]])
    recorder = Recorder(connect(peer.url, onopen=opened))
    equal(await recorder.closed(), ("close", 4001, "", True))
    equal(recorder.types, ["open", "close"])


@case("contract 2: messages are delivered only while it is OPEN, checked before each of a batch")
async def test_close_within_onmessage_stops_the_messages_of_its_packet(connect: "Connect", peer: "Peer") -> None:
    """The other listeners of that one still hear of it."""
    websocket, recorder = await open_socket(connect, peer)
    later: list[str] = []
    websocket.onmessage = lambda event: websocket.close(4001)
    websocket.addEventListener("message", lambda event: later.append(event.data))
    await peer.do(["together", [["text", "1"], ["text", "2"], ["binary", "03"]]])
    equal(await recorder.closed(), ("close", 4001, "", True))
    equal((recorder.messages, later), (["1"], ["1"]))


@case("contract 1, close: CLOSING/CLOSED: nothing")
async def test_close_twice_sends_the_first_code_only(connect: "Connect", peer: "Peer") -> None:
    """The second does nothing, at once, in the close event and later."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.addEventListener("close", lambda event: websocket.close(4003, "third"))
    websocket.close(4001, "first")
    websocket.close(4002, "second")
    equal(await recorder.closed(), ("close", 4001, "", True))
    websocket.close(4004, "fourth")
    await sleep(0.02)
    equal(recorder.types, ["open", "close"])
    closes = await peer.wait_for("close")
    equal([(close["code"], close["reason"]) for close in closes], [(4001, "first")])


@case("contract 1, close: CONNECTING: fails the connection; no event fires inside the call")
async def test_close_twice_while_CONNECTING_fires_error_and_close_once(connect: "Connect", peer: "Peer") -> None:
    """And again in the handlers of both."""
    websocket = connect(peer.url)
    recorder = Recorder(websocket)
    websocket.onerror = lambda event: websocket.close()
    websocket.onclose = lambda event: websocket.close(4001)
    websocket.close()
    websocket.close(4000, "second")
    equal(recorder.events, [])
    await recorder.closed()
    await sleep(0.02)
    equal(recorder.events, [("error",), ("close", 1006, "", False)])


@case("contract 1, send: CLOSING/CLOSED: dropped silently, counted in bufferedAmount")
async def test_send_within_handler_after_close_is_dropped(connect: "Connect", peer: "Peer") -> None:
    """A handler that does not know of the close raises nothing and sends nothing."""
    websocket, recorder = await open_socket(connect, peer)
    with HandlerErrors() as errors:

        def handle(event: "Any") -> None:
            websocket.send("before")
            websocket.close()
            websocket.send("after")

        websocket.onmessage = handle
        websocket.onclose = lambda event: websocket.send("much too late")
        await peer.do(["text", "hello"])
        await recorder.closed()
    equal(errors.reports, [])
    messages = await peer.wait_for("message")
    equal([message["text"] for message in messages], ["before"])
    assert websocket.bufferedAmount >= len("after" + "much too late"), websocket.bufferedAmount


@case("contract 1, send: CLOSING/CLOSED: dropped silently, counted in bufferedAmount")
async def test_send_within_async_handler_that_outlives_the_connection_is_dropped(
    connect: "Connect", peer: "Peer"
) -> None:
    """It awaited something, and the connection is gone meanwhile."""
    websocket, recorder = await open_socket(connect, peer)
    gate = default_adapter().runtime().future()
    sent: list[int] = []

    async def handler(event: "Any") -> None:
        await gate
        websocket.send("late")
        sent.append(websocket.bufferedAmount)

    websocket.onmessage = handler
    with HandlerErrors() as errors:
        await peer.do(["text", "hello"], ["close", 1000, ""])
        await recorder.closed()
        gate.set_result(None)
        await until(lambda: sent, "the end of the handler")
    equal((sent, errors.reports), ([4], []))


@case("contract 2: readyState is already the new one when a handler runs")
async def test_send_within_onopen_arrives(connect: "Connect", peer: "Peer") -> None:
    """Plain and async handlers alike, in their order."""

    async def opened(event: "Any") -> None:
        event.target.send("async")
        await sleep(0)
        event.target.send("later")

    websocket = connect(peer.url, onopen=opened)
    websocket.addEventListener("open", lambda event: event.target.send("plain"))
    messages = await peer.wait_for("message", 3)
    equal([message["text"] for message in messages], ["plain", "async", "later"])


@case("contract 2: close exactly once, last; nothing after it")
async def test_new_socket_within_onclose_opens(connect: "Connect", peer: "Peer") -> None:
    """Who connects again in the close event gets a new connection."""
    await peer.script(["accept"], ["close", 1000, ""])
    recorders: list[Recorder] = []
    websocket = connect(peer.url)
    websocket.onclose = lambda event: recorders.append(Recorder(connect(peer.url)))
    await Recorder(websocket).closed()
    equal(await recorders[0].closed(), ("close", 1000, "", True))
    equal(recorders[0].types, ["open", "close"])


@case("DOM 2.9, dispatch: may be nested")
async def test_dispatchEvent_within_onmessage_runs_in_between(connect: "Connect", peer: "Peer") -> None:
    """An event of the program's own, in the event of a message."""
    websocket, recorder = await open_socket(connect, peer)
    log: list[str] = []

    def handle(event: "Any") -> None:
        log.append("begin " + event.data)
        websocket.dispatchEvent(Event("news"))
        log.append("end " + event.data)

    websocket.onmessage = handle
    websocket.addEventListener("news", lambda event: log.append("news"))
    await peer.do(packet("1", "2"))
    await recorder.wait("message", 2)
    equal(log, ["begin 1", "news", "end 1", "begin 2", "news", "end 2"])
