"""Cases of the event objects."""

from unisocket import CloseEvent, Event, MessageEvent
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import lost_after_message, sleep
from unisocket.testing.conformance._stage import NOWHERE
from unisocket.testing.script import Recorder, equal, raises

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket._websocket import WebSocket
    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer


async def _all_events(connect: "Connect", peer: "Peer") -> "tuple[WebSocket, list[Any]]":
    """Open a connection that gets a message, and is then lost; return its events, one of each type."""
    await peer.script(["accept"], ["text", "hello"])
    websocket = connect(peer.url)
    events: list[Any] = []
    for type in ("open", "message", "error", "close"):
        websocket.addEventListener(type, events.append)
    await lost_after_message(peer, Recorder(websocket))
    equal([event.type for event in events], ["open", "message", "error", "close"])
    return websocket, events


@case("WHATWG 3.1: open and error are Events, message is a MessageEvent, close a CloseEvent")
async def test_events_have_the_class_of_their_type(connect: "Connect", peer: "Peer") -> None:
    """All are Events."""
    _, events = await _all_events(connect, peer)
    equal([type(event) for event in events], [Event, MessageEvent, Event, CloseEvent])
    for event in events:
        assert isinstance(event, Event), event


@case("contract 2: currentTarget equals target and stays")
async def test_target_and_currentTarget_are_the_socket_for_ever(connect: "Connect", peer: "Peer") -> None:
    """Async handlers need it, long after the dispatch."""
    websocket, events = await _all_events(connect, peer)
    for event in events:
        assert event.target is websocket, event
        assert event.currentTarget is websocket, event


@case("contract 2: timeStamp: milliseconds, float, monotonic, of the event's creation")
async def test_timeStamp_of_events_is_float_and_never_falls(connect: "Connect", peer: "Peer") -> None:
    """The first event is younger than one that was made before."""
    before = Event("before")
    _, events = await _all_events(connect, peer)
    times = [event.timeStamp for event in [before] + events + [Event("after")]]
    for time in times:
        assert isinstance(time, float), time
    equal(times, sorted(times))


@case("contract 2: timeStamp: milliseconds")
async def test_timeStamp_counts_milliseconds(connect: "Connect", peer: "Peer") -> None:
    """30 of them, and some more where the machine is slow."""
    first = Event("first")
    await sleep(0.03)
    passed = Event("second").timeStamp - first.timeStamp
    assert 25 <= passed < 5000, passed


@case("contract 2: timeStamp: of the event's creation")
async def test_timeStamp_does_not_change_with_dispatch(connect: "Connect", peer: "Peer") -> None:
    """Nor with the time that passes."""
    event = Event("message")
    made = event.timeStamp
    await sleep(0.01)
    connect(NOWHERE).dispatchEvent(event)
    equal(event.timeStamp, made)


@case("WHATWG 3.1: the origin of a message is that of the socket's URL")
async def test_origin_of_message_has_scheme_host_and_port(connect: "Connect", peer: "Peer") -> None:
    """Without path, query and userinfo."""
    await peer.script(["accept"], ["text", "hello"], ["binary", "00"])
    websocket = connect(peer.url.replace("//", "//somebody:password@") + "/path?query")
    events: list[Any] = []
    websocket.onmessage = events.append
    await Recorder(websocket).wait("message", 2)
    for event in events:
        assert isinstance(event, MessageEvent)
        equal((event.type, event.origin, event.lastEventId), ("message", peer.url.split("/peer/")[0], ""))


@case("contract 2: code is an int, reason a str, wasClean a bool")
async def test_close_event_has_plain_values(connect: "Connect", peer: "Peer") -> None:
    """So that they look the same in every log."""
    await peer.script(["accept"], ["close"])
    seen: list[str] = []
    websocket = connect(peer.url, onclose=lambda event: seen.append(repr((event.code, event.reason, event.wasClean))))
    await Recorder(websocket).closed()
    equal(seen, ["(1005, '', True)"])


@case("contract 2: error events carry message, a str")
async def test_message_of_error_is_text(connect: "Connect", peer: "Peer") -> None:
    """Whatever the runtime tells of why: of a connection that was lost, and of one that was never tried."""
    _, events = await _all_events(connect, peer)
    refused: list[Any] = []
    websocket = connect(NOWHERE, onerror=refused.append)
    await Recorder(websocket).closed()
    for error in (events[2], refused[0]):
        assert isinstance(error.message, str), error


# What the constructors make

_CONSTRUCTORS = "contract 2: Event(type, target), MessageEvent(type, target, data, origin), CloseEvent(... wasClean)"


@case(_CONSTRUCTORS)
async def test_Event_has_what_its_constructor_is_given(connect: "Connect", peer: "Peer") -> None:
    """The target may be left out, for dispatchEvent sets it."""
    websocket = connect(NOWHERE)
    event = Event("news", websocket)
    equal(event.type, "news")
    assert event.target is websocket
    assert event.currentTarget is websocket
    equal((Event("news").target, Event("news").currentTarget), (None, None))
    equal(Event(type="news", target=None).type, "news")


@case(_CONSTRUCTORS)
async def test_MessageEvent_has_what_its_constructor_is_given(connect: "Connect", peer: "Peer") -> None:
    """By position and by name; there is no origin at first."""
    event = MessageEvent("message", None, b"data", "ws://localhost")
    equal((event.type, event.data, event.origin, event.lastEventId), ("message", b"data", "ws://localhost", ""))
    event = MessageEvent(type="message", target=None, data="data")
    equal((event.type, event.data, event.origin, event.lastEventId), ("message", "data", "", ""))


@case(_CONSTRUCTORS)
async def test_CloseEvent_has_what_its_constructor_is_given(connect: "Connect", peer: "Peer") -> None:
    """By position and by name."""
    by_position = CloseEvent("close", None, 4000, "bye", True)
    by_name = CloseEvent(type="close", target=None, code=4000, reason="bye", wasClean=True)
    for event in (by_position, by_name):
        equal((event.type, event.code, event.reason, event.wasClean), ("close", 4000, "bye", True))


@case("DOM 2.5, HTML 9.1 and WHATWG 6: what the constructors of events leave out is None, '', 0 or False")
async def test_events_have_defaults_for_what_their_constructor_is_not_given(connect: "Connect", peer: "Peer") -> None:
    """Only the type is asked for."""
    message = MessageEvent("message")
    equal((message.target, message.data, message.origin, message.lastEventId), (None, None, "", ""))
    close = CloseEvent("close")
    equal((close.target, close.code, close.reason, close.wasClean), (None, 0, "", False))


def _add_read_only(event: Event, names: "tuple[str, ...]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        for name in names:
            value = getattr(event, name)
            raises(AttributeError, lambda name=name: setattr(event, name, "another"))  # type: ignore[misc]
            equal(getattr(event, name), value)

    add_case(
        "test_attributes_of_" + type(event).__name__ + "_are_read_only",
        "contract 2: all have type, target, currentTarget, timeStamp; read-only",
        function,
    )


_COMMON = ("type", "target", "currentTarget", "timeStamp")

_add_read_only(Event("error"), _COMMON + ("message",))
_add_read_only(MessageEvent("message", None, "data"), _COMMON + ("data", "origin", "lastEventId"))
_add_read_only(CloseEvent("close", None, 4000, "bye", True), _COMMON + ("code", "reason", "wasClean"))

REPRS = [
    (Event("news"), ("Event", "news")),
    (MessageEvent("message", None, "hello"), ("MessageEvent", "message", "hello")),
    (MessageEvent("message", None, b"hello"), ("MessageEvent", "message", "hello")),
    (CloseEvent("close", None, 4000, "bye", True), ("CloseEvent", "close", "4000", "bye", "True")),
]


@case("contract 2: a good repr")
async def test_repr_of_event_tells_class_type_and_values(connect: "Connect", peer: "Peer") -> None:
    """What one wants to see in a log."""
    for event, words in REPRS:
        for word in words:
            assert word in repr(event), (word, repr(event))


@case("contract 2: a good repr")
async def test_repr_of_big_message_is_short(connect: "Connect", peer: "Peer") -> None:
    """A log is no place for megabytes."""
    for data in ("x" * 100000, b"x" * 100000, memoryview(b"x" * 100000)):
        assert len(repr(MessageEvent("message", None, data))) < 500, type(data)
