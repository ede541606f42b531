"""Cases of onX, addEventListener, removeEventListener, dispatchEvent, bind and unbind."""

from unisocket import Event, InvalidStateError, MessageEvent
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import open_socket
from unisocket.testing.conformance._stage import HandlerErrors, Stage
from unisocket.testing.script import equal, raises

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer


class Methods:
    """Has a method, to be bound, and notes its calls."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def method(self, event: "Any") -> None:
        """Note the event."""
        self.calls.append(event)

    def nothing(self) -> None:
        """Note a call without arguments."""
        self.calls.append(None)


def fail() -> None:
    """Raise, as a listener that has a mistake."""
    raise LookupError("a mistake")


class Kind(str):  # noqa: SLOT000
    """A str of one's own, which shows itself otherwise."""

    def __str__(self) -> str:
        return "Kind"


class Alike:
    """A callable object that is equal to every other."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, event: "Any") -> None:
        self.calls += 1

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


# onX

_ON_X = "contract 1, onX: reading gives back the very object assigned"


@case("contract 1, onX: None by default")
async def test_onX_of_new_socket_is_None(connect: "Connect", peer: "Peer") -> None:
    """Nobody listens at first."""
    websocket = Stage(connect).websocket
    equal([websocket.onopen, websocket.onmessage, websocket.onerror, websocket.onclose], [None] * 4)


@case(_ON_X)
async def test_onX_of_every_type_gives_back_the_object_assigned(connect: "Connect", peer: "Peer") -> None:
    """Each of the four has its own handler."""
    stage = Stage(connect)
    for name in ("onopen", "onmessage", "onerror", "onclose"):
        handler = stage.listener(name)
        setattr(stage.websocket, name, handler)
        assert getattr(stage.websocket, name) is handler, name
        equal(stage.fire(name[2:]), [name])


@case(_ON_X)
async def test_onX_gives_back_the_very_bound_method_and_callable_object(connect: "Connect", peer: "Peer") -> None:
    """Not a wrapper, and not one that is only equal."""
    websocket = Stage(connect).websocket
    for handler in (Methods().method, Alike()):
        websocket.onmessage = handler
        assert websocket.onmessage is handler


@case("contract 1, onX: None clears")
async def test_onX_set_to_None_is_not_called_any_more(connect: "Connect", peer: "Peer") -> None:
    """None takes the handler away, and may be assigned again."""
    stage = Stage(connect)
    stage.websocket.onmessage = stage.listener("handler")
    for _ in range(2):
        stage.websocket.onmessage = None
        equal(stage.websocket.onmessage, None)
        equal(stage.fire(), [])


@case("contract 1, onX: anything else that is not callable is a TypeError")
async def test_onX_refusing_a_value_keeps_its_handler(connect: "Connect", peer: "Peer") -> None:
    """A mistake changes nothing."""
    stage = Stage(connect)
    stage.websocket.onmessage = handler = stage.listener("handler")
    for value in (5, "handler", [handler], False):
        raises(TypeError, lambda value=value: setattr(stage.websocket, "onmessage", value))  # type: ignore[misc]
    assert stage.websocket.onmessage is handler
    equal(stage.fire(), ["handler"])


_TURN = "contract 1, onX: replacing keeps the handler's turn among the listeners"


@case(_TURN)
async def test_onX_among_listeners_is_called_in_the_order_of_adding(connect: "Connect", peer: "Peer") -> None:
    """Its turn is when it was first set."""
    stage = Stage(connect)
    stage.add("before")
    stage.websocket.onmessage = stage.listener("handler")
    stage.add("after")
    equal(stage.fire(), ["before", "handler", "after"])


@case(_TURN)
async def test_onX_replaced_keeps_its_turn(connect: "Connect", peer: "Peer") -> None:
    """The new handler is called where the old one was."""
    stage = Stage(connect)
    stage.websocket.onmessage = stage.listener("old")
    stage.add("after")
    stage.websocket.onmessage = stage.listener("new")
    equal(stage.fire(), ["new", "after"])


@case("contract 1, onX: None gives the turn up, a later handler is last")
async def test_onX_set_again_after_None_is_called_last(connect: "Connect", peer: "Peer") -> None:
    """Who clears it queues up again."""
    stage = Stage(connect)
    stage.websocket.onmessage = stage.listener("handler")
    stage.add("listener")
    stage.websocket.onmessage = None
    stage.websocket.onmessage = stage.listener("again")
    equal(stage.fire(), ["listener", "again"])


@case("HTML 8.1.8.1, the event handler processing algorithm: the callback is what is set when its turn comes")
async def test_onX_replaced_by_earlier_listener_calls_the_new_one(connect: "Connect", peer: "Peer") -> None:
    """What is assigned during a dispatch is called in it."""
    stage = Stage(connect)
    stage.add("before", lambda: setattr(stage.websocket, "onmessage", stage.listener("new")))
    stage.websocket.onmessage = stage.listener("old")
    equal(stage.fire(), ["before", "new"])


@case("HTML 8.1.8.1, deactivate an event handler: the listener is removed")
async def test_onX_cleared_by_earlier_listener_is_not_called(connect: "Connect", peer: "Peer") -> None:
    """It is off the list before its turn comes."""
    stage = Stage(connect)
    stage.add("before", lambda: setattr(stage.websocket, "onmessage", None))
    stage.websocket.onmessage = stage.listener("handler")
    equal(stage.fire(), ["before"])


@case("HTML 8.1.8.1, activate an event handler: a new listener is added, which waits for the next event")
async def test_onX_cleared_and_set_during_dispatch_waits_for_the_next_event(connect: "Connect", peer: "Peer") -> None:
    """Its old turn is gone, and its new one is none of this event's."""
    stage = Stage(connect)

    def renew() -> None:
        stage.websocket.onmessage = None
        stage.websocket.onmessage = stage.listener("new")

    stage.websocket.addEventListener("message", stage.listener("before", renew), once=True)
    stage.websocket.onmessage = stage.listener("old")
    equal(stage.fire(), ["before"])
    equal(stage.fire(), ["new"])


@case("HTML 8.1.8.1, activate an event handler: a new listener is added, which waits for the next event")
async def test_onX_set_first_during_dispatch_waits_for_the_next_event(connect: "Connect", peer: "Peer") -> None:
    """As for any listener that is added."""
    stage = Stage(connect)
    stage.add("before", lambda: setattr(stage.websocket, "onmessage", stage.listener("handler")))
    equal(stage.fire(), ["before"])
    equal(stage.fire(), ["before", "handler"])


@case("contract 1, onX: None clears")
async def test_onX_clearing_itself_is_called_once(connect: "Connect", peer: "Peer") -> None:
    """A handler may take itself away, and hurts nobody by that."""
    stage = Stage(connect)
    stage.websocket.onmessage = stage.listener("handler", lambda: setattr(stage.websocket, "onmessage", None))
    stage.add("after")
    equal(stage.fire(), ["handler", "after"])
    equal(stage.fire(), ["after"])


@case("contract 1, onX: None clears")
async def test_onmessage_clearing_itself_gets_one_message_of_a_packet(connect: "Connect", peer: "Peer") -> None:
    """What came with the first message is not delivered to it any more."""
    websocket, recorder = await open_socket(connect, peer)
    got: list[str] = []

    def first(event: "Any") -> None:
        got.append(event.data)
        websocket.onmessage = None

    websocket.onmessage = first
    await peer.do(["together", [["text", "one"], ["text", "two"]]])
    await recorder.wait("message", 2)
    equal(got, ["one"])


@case(_TURN)
async def test_onmessage_replacing_itself_gives_the_next_message_to_the_new_one(
    connect: "Connect", peer: "Peer"
) -> None:
    """Not even a message of the same packet goes to the old handler."""
    websocket, recorder = await open_socket(connect, peer)
    got: list[tuple[str, str]] = []

    def old(event: "Any") -> None:
        got.append(("old", event.data))
        websocket.onmessage = lambda event: got.append(("new", event.data))

    websocket.onmessage = old
    await peer.do(["together", [["text", "one"], ["text", "two"]]])
    await recorder.wait("message", 2)
    equal(got, [("old", "one"), ("new", "two")])


@case("HTML 8.1.8.1: an event handler has a listener of its own")
async def test_onX_added_as_listener_too_is_called_twice(connect: "Connect", peer: "Peer") -> None:
    """A handler and a listener are never the same, and are removed each in its way."""
    stage = Stage(connect)
    stage.websocket.onmessage = stage.add("both")
    equal(stage.fire(), ["both", "both"])
    stage.websocket.removeEventListener("message", stage.websocket.onmessage)
    equal(stage.fire(), ["both"])
    stage.websocket.removeEventListener("message", stage.websocket.onmessage)
    equal(stage.fire(), ["both"])


# addEventListener and removeEventListener


@case("contract 1, addEventListener: order of adding")
async def test_listeners_are_called_in_the_order_of_adding(connect: "Connect", peer: "Peer") -> None:
    """Each is called once, and adding returns None."""
    stage = Stage(connect)
    for name in "cab":
        equal(stage.websocket.addEventListener("message", stage.listener(name)), None)
    equal(stage.fire(), ["c", "a", "b"])


@case("contract 1, addEventListener: the same listener twice = once")
async def test_listener_added_twice_is_called_once_at_its_first_turn(connect: "Connect", peer: "Peer") -> None:
    """The second adding does nothing."""
    stage = Stage(connect)
    listener = stage.add("first")
    stage.add("second")
    stage.websocket.addEventListener("message", listener)
    equal(stage.fire(), ["first", "second"])


def _add_twice(name: str, first: bool, second: bool, expected: "list[str]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        stage = Stage(connect)
        listener = stage.listener("listener")
        stage.websocket.addEventListener("message", listener, once=first)
        stage.websocket.addEventListener("message", listener, once=second)
        equal(stage.fire(), ["listener"])
        equal(stage.fire(), expected)

    add_case(name, "contract 1, addEventListener: the once of a listener that is there already is ignored", function)


_add_twice("test_listener_added_again_with_once_stays", False, True, ["listener"])
_add_twice("test_listener_with_once_added_again_without_goes", True, False, [])


@case("DOM 2.7: listeners are told apart by type, too")
async def test_listener_of_two_types_is_removed_for_one_only(connect: "Connect", peer: "Peer") -> None:
    """Each type has its own list."""
    stage = Stage(connect)
    listener = stage.add("listener")
    stage.websocket.addEventListener("news", listener)
    stage.websocket.removeEventListener("message", listener)
    equal(stage.fire("message"), [])
    equal(stage.fire("news"), ["listener"])


@case("contract 1, addEventListener: unknown types are allowed")
async def test_listener_of_unknown_types_hears_of_them_alone(connect: "Connect", peer: "Peer") -> None:
    """Types are compared as they stand."""
    stage = Stage(connect)
    types = ("news", "News", "", "on message", "\u00e9", "__proto__", "constructor")
    for type in types:
        stage.websocket.addEventListener(type, stage.listener("<" + type + ">"))
    for type in types:
        equal(stage.fire(type), ["<" + type + ">"])


@case("contract 1: a str is what is of a subclass, too")
async def test_type_of_a_subclass_of_str_is_the_same_type(connect: "Connect", peer: "Peer") -> None:
    """For whoever adds, dispatches and removes."""
    stage = Stage(connect)
    listener = stage.listener("listener")
    stage.websocket.addEventListener(Kind("news"), listener)
    equal(stage.fire("news"), ["listener"])
    equal(stage.fire(Kind("news")), ["listener"])
    stage.websocket.removeEventListener(Kind("news"), listener)
    equal(stage.fire("news"), [])


@case("contract 1, addEventListener: a listener of None is ignored")
async def test_listener_None_is_ignored(connect: "Connect", peer: "Peer") -> None:
    """Neither adding nor removing None does anything."""
    stage = Stage(connect)
    equal(stage.websocket.addEventListener("message", None), None)
    equal(stage.websocket.addEventListener("message", None, once=True), None)
    equal(stage.websocket.removeEventListener("message", None), None)
    equal(stage.fire(), [])


@case("contract 1, addEventListener: once is removed before its call")
async def test_listener_with_once_is_called_once(connect: "Connect", peer: "Peer") -> None:
    """Even when it fires the same event in its call."""
    stage = Stage(connect)
    again = lambda: stage.websocket.dispatchEvent(Event("message"))  # noqa: E731  one of several actions
    stage.websocket.addEventListener("message", stage.listener("once", again), once=True)
    equal(stage.fire(), ["once"])
    equal(stage.fire(), [])


@case("contract 1, addEventListener: once is removed before its call")
async def test_listener_with_once_added_again_in_its_call_hears_the_next_event(
    connect: "Connect", peer: "Peer"
) -> None:
    """It is not there any more, so it can be added."""
    stage = Stage(connect)
    listener: Callable[[Event], None] = stage.listener(
        "once", lambda: stage.websocket.addEventListener("message", listener, once=True)
    )
    stage.websocket.addEventListener("message", listener, once=True)
    equal([stage.fire() for _ in range(3)], [["once"]] * 3)


@case("contract 2: a handler that raises hurts nobody else")
async def test_listener_with_once_that_raises_is_gone(connect: "Connect", peer: "Peer") -> None:
    """It was removed before its call."""
    stage = Stage(connect)
    stage.websocket.addEventListener("message", stage.listener("once", fail), once=True)
    with HandlerErrors():
        equal(stage.fire(), ["once"])
        equal(stage.fire(), [])


@case("contract 1, addEventListener: once is removed before its call")
async def test_listener_with_once_hears_one_message_of_a_packet(connect: "Connect", peer: "Peer") -> None:
    """What came with the first message is not for it."""
    websocket, recorder = await open_socket(connect, peer)
    got: list[str] = []
    websocket.addEventListener("message", lambda event: got.append(event.data), once=True)
    await peer.do(["together", [["text", "one"], ["text", "two"]]])
    await recorder.wait("message", 2)
    equal(got, ["one"])


_EQUAL = "contract 1: listeners match by identity, bound methods also by equality"


@case(_EQUAL)
async def test_bound_method_added_twice_is_called_once(connect: "Connect", peer: "Peer") -> None:
    """Each access makes another object, and all are the same listener."""
    stage = Stage(connect)
    methods = Methods()
    stage.websocket.addEventListener("message", methods.method)
    stage.websocket.addEventListener("message", methods.method)
    stage.fire()
    equal(len(methods.calls), 1)
    stage.websocket.removeEventListener("message", methods.method)
    stage.fire()
    equal(len(methods.calls), 1)


@case(_EQUAL)
async def test_bound_method_of_another_object_is_another_listener(connect: "Connect", peer: "Peer") -> None:
    """The same function, bound to two objects."""
    stage = Stage(connect)
    one, other = Methods(), Methods()
    stage.websocket.addEventListener("message", one.method)
    stage.websocket.addEventListener("message", other.method)
    stage.websocket.removeEventListener("message", one.method)
    stage.fire()
    equal((len(one.calls), len(other.calls)), (0, 1))


@case(_EQUAL)
async def test_bound_method_of_builtin_added_twice_is_called_once(connect: "Connect", peer: "Peer") -> None:
    """`append` of a list is as good a listener; that of another list, which is as empty, is another."""
    stage = Stage(connect)
    one: list[Any] = []
    other: list[Any] = []
    for listener in (one.append, other.append, one.append):
        stage.websocket.addEventListener("message", listener)
    stage.fire()
    equal((len(one), len(other)), (1, 1))
    stage.websocket.removeEventListener("message", one.append)
    stage.fire()
    equal((len(one), len(other)), (1, 2))


@case(_EQUAL)
async def test_callable_objects_that_are_equal_are_two_listeners(connect: "Connect", peer: "Peer") -> None:
    """Objects match by identity, whatever they say themselves."""
    stage = Stage(connect)
    one, other = Alike(), Alike()
    stage.websocket.addEventListener("message", one)
    stage.websocket.addEventListener("message", other)
    stage.fire()
    equal((one.calls, other.calls), (1, 1))
    stage.websocket.removeEventListener("message", other)
    stage.fire()
    equal((one.calls, other.calls), (2, 1))


@case("DOM 2.7, removeEventListener")
async def test_listener_removed_is_not_called(connect: "Connect", peer: "Peer") -> None:
    """The others are; and one that is not there is ignored."""
    stage = Stage(connect)
    listener = stage.add("first")
    stage.add("second")
    for _ in range(2):
        equal(stage.websocket.removeEventListener("message", listener), None)
        stage.websocket.removeEventListener("nothing", listener)
        equal(stage.fire(), ["second"])


@case("DOM 2.7, addEventListener: appends")
async def test_listener_removed_and_added_again_is_last(connect: "Connect", peer: "Peer") -> None:
    """Its turn was given up."""
    stage = Stage(connect)
    listener = stage.add("first")
    stage.add("second")
    stage.websocket.removeEventListener("message", listener)
    stage.websocket.addEventListener("message", listener)
    equal(stage.fire(), ["second", "first"])


@case("contract 1, addEventListener: a listener added during dispatch waits for the next event")
async def test_listener_added_during_dispatch_waits_for_the_next_event(connect: "Connect", peer: "Peer") -> None:
    """The list is that of the beginning."""
    stage = Stage(connect)
    late = stage.listener("late")
    stage.add("first", lambda: stage.websocket.addEventListener("message", late))
    equal(stage.fire(), ["first"])
    equal(stage.fire(), ["first", "late"])


_REMOVED = "contract 1, addEventListener: one removed during dispatch does not run any more"


@case(_REMOVED)
async def test_listener_removed_during_dispatch_does_not_run(connect: "Connect", peer: "Peer") -> None:
    """It was on the list when the dispatch began; and all the same."""
    stage = Stage(connect)
    listener = stage.listener("removed")
    stage.add("first", lambda: stage.websocket.removeEventListener("message", listener))
    stage.websocket.addEventListener("message", listener)
    stage.add("last")
    equal(stage.fire(), ["first", "last"])


@case(_REMOVED)
async def test_listener_removed_and_added_again_during_dispatch_waits_for_the_next_event(
    connect: "Connect", peer: "Peer"
) -> None:
    """What is added is not what was removed."""
    stage = Stage(connect)
    listener = stage.listener("second")

    def renew() -> None:
        stage.websocket.removeEventListener("message", listener)
        stage.websocket.addEventListener("message", listener)

    first = stage.add("first", renew)
    stage.websocket.addEventListener("message", listener)
    equal(stage.fire(), ["first"])
    stage.websocket.removeEventListener("message", first)
    equal(stage.fire(), ["second"])


@case(_REMOVED)
async def test_listener_removing_itself_is_called_once(connect: "Connect", peer: "Peer") -> None:
    """Those after it keep their turns."""
    stage = Stage(connect)
    listener: Callable[[Event], None] = stage.add(
        "first", lambda: stage.websocket.removeEventListener("message", listener)
    )
    stage.add("second")
    equal(stage.fire(), ["first", "second"])
    equal(stage.fire(), ["second"])


# dispatchEvent


@case("contract 1: dispatchEvent is synchronous, returns True")
async def test_dispatchEvent_calls_the_listeners_before_it_returns_True(connect: "Connect", peer: "Peer") -> None:
    """With listeners or without."""
    stage = Stage(connect)
    equal(stage.websocket.dispatchEvent(Event("message")), True)
    stage.add("listener")
    equal(stage.websocket.dispatchEvent(Event("message")), True)
    equal(stage.called, ["listener"])


@case("DOM 2.9, dispatch: the target is what the event is dispatched on")
async def test_dispatchEvent_gives_all_listeners_the_event_with_its_target(connect: "Connect", peer: "Peer") -> None:
    """It is that very event."""
    websocket = Stage(connect).websocket
    got: list[Any] = []
    websocket.onmessage = lambda event: got.append((event, event.target))
    websocket.addEventListener("message", lambda event: got.append((event, event.target)))
    event = MessageEvent("message", None, "hello")
    websocket.dispatchEvent(event)
    equal(len(got), 2)
    for given, target in got:
        assert given is event, given
        assert target is websocket, target


@case("contract 1: dispatchEvent raises InvalidStateError for an event that is being dispatched")
async def test_dispatchEvent_of_event_being_dispatched_raises_InvalidStateError(
    connect: "Connect", peer: "Peer"
) -> None:
    """And the dispatch under way goes on."""
    stage = Stage(connect)
    other = Stage(connect).websocket
    errors: list[InvalidStateError] = []

    def again(event: Event) -> None:
        errors.append(raises(InvalidStateError, lambda: stage.websocket.dispatchEvent(event)))
        errors.append(raises(InvalidStateError, lambda: other.dispatchEvent(event)))

    stage.websocket.addEventListener("message", again)
    stage.add("after")
    equal(stage.fire(), ["after"])
    equal([error.name for error in errors], ["InvalidStateError"] * 2)


@case("DOM 2.9, dispatch: the flags of an event are unset when it is over")
async def test_dispatchEvent_of_the_same_event_again_works(connect: "Connect", peer: "Peer") -> None:
    """An event that was dispatched, even if a listener raised, may be dispatched again, elsewhere too."""
    one, other = Stage(connect), Stage(connect)
    one.add("one", fail)
    other.add("other")
    event = Event("message")
    with HandlerErrors():
        for _ in range(2):
            equal(one.websocket.dispatchEvent(event), True)
    equal(other.websocket.dispatchEvent(event), True)
    assert event.target is other.websocket
    equal((one.called, other.called), (["one", "one"], ["other"]))


class News(Event):
    """An event of a program's own."""

    def __init__(self, text: str) -> None:
        super().__init__("news")
        self.text = text


@case("contract 1: dispatchEvent; DOM 2.2: an event may have more than Event has")
async def test_dispatchEvent_of_a_subclass_of_Event_reaches_its_listeners(connect: "Connect", peer: "Peer") -> None:
    """With what it carries."""
    websocket = Stage(connect).websocket
    got: list[str] = []
    websocket.addEventListener("news", lambda event: got.append(event.text))
    equal(websocket.dispatchEvent(News("hello")), True)
    equal(got, ["hello"])


@case("DOM 2.9, dispatch: may be nested")
async def test_dispatchEvent_within_a_listener_is_synchronous(connect: "Connect", peer: "Peer") -> None:
    """Another event, of the same type, runs to its end in between."""
    stage = Stage(connect)
    inner = Event("message")

    def nest(event: Event) -> None:
        stage.called.append("nest")
        if event is not inner:
            stage.websocket.dispatchEvent(inner)

    stage.websocket.addEventListener("message", nest)
    stage.add("after")
    equal(stage.fire(), ["nest", "nest", "after", "after"])


@case("DOM 2.9, inner invoke: exceptions of listeners are reported")
async def test_dispatchEvent_does_not_raise_what_a_listener_raises(connect: "Connect", peer: "Peer") -> None:
    """It returns True, and the other listeners are called."""
    stage = Stage(connect)
    stage.add("raises", fail)
    stage.add("after")
    with HandlerErrors() as errors:
        equal(stage.websocket.dispatchEvent(Event("message")), True)
    equal(stage.called, ["raises", "after"])
    equal([type(error) for error, _ in errors.reports], [LookupError])


@case("DOM 2.9: an event that a program dispatches has no effect but its listeners'")
async def test_dispatchEvent_of_close_changes_no_state(connect: "Connect", peer: "Peer") -> None:
    """The connection lives, and its own "close" comes in its time."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    websocket.dispatchEvent(Event("open"))
    websocket.dispatchEvent(Event("error"))
    equal(websocket.readyState, websocket.OPEN)
    websocket.send("alive")
    equal(await recorder.wait("message"), ("message", "alive"))


@case("contract 1: stopImmediatePropagation() works")
async def test_stopImmediatePropagation_keeps_the_event_from_later_listeners(connect: "Connect", peer: "Peer") -> None:
    """For this dispatch; and an onX handler is no exception."""
    websocket = Stage(connect).websocket
    called: list[str] = []

    def stop(event: Event) -> None:
        called.append("stop")
        event.stopImmediatePropagation()

    websocket.addEventListener("message", stop)
    websocket.addEventListener("message", lambda event: called.append("listener"))
    websocket.onmessage = lambda event: called.append("handler")
    event = Event("message")
    equal(websocket.dispatchEvent(event), True)
    equal(called, ["stop"])
    websocket.removeEventListener("message", stop)
    websocket.dispatchEvent(event)
    equal(called, ["stop", "listener", "handler"])


@case("DOM 2.9, invoke: if the event's stop propagation flag is set, return")
async def test_stopImmediatePropagation_before_dispatch_keeps_the_event_from_all(
    connect: "Connect", peer: "Peer"
) -> None:
    """The flag holds for the dispatch that follows, and for that one only."""
    stage = Stage(connect)
    stage.add("listener")
    event = Event("message")
    event.stopImmediatePropagation()
    equal(stage.websocket.dispatchEvent(event), True)
    equal(stage.called, [])
    stage.websocket.dispatchEvent(event)
    equal(stage.called, ["listener"])


# bind and unbind


@case("contract 1, bind: the same by another name; returns the listener")
async def test_bind_adds_a_listener_and_returns_it(connect: "Connect", peer: "Peer") -> None:
    """In the order of all others."""
    stage = Stage(connect)
    stage.add("before")
    listener = stage.listener("bound")
    assert stage.websocket.bind("message", listener) is listener
    stage.websocket.bind("message", listener)
    stage.add("after")
    equal(stage.fire(), ["before", "bound", "after"])


@case("contract 1, bind: without listener it is a decorator")
async def test_bind_without_listener_is_a_decorator(connect: "Connect", peer: "Peer") -> None:
    """The function stays what it was."""
    websocket = Stage(connect).websocket
    got: list[Any] = []

    def listener(event: Event) -> None:
        got.append(event)

    assert websocket.bind("message")(listener) is listener
    event = Event("message")
    websocket.dispatchEvent(event)
    equal(len(got), 1)
    assert got[0] is event


def _add_without(name: str, make: "Callable[[Methods], Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        stage = Stage(connect)
        methods = Methods()
        listener = make(methods)
        stage.websocket.bind("message", listener)
        stage.fire()
        equal(methods.calls, [None])
        stage.websocket.unbind("message", listener)
        stage.fire()
        equal(methods.calls, [None])

    rule = "contract 1, bind: functions, lambdas and bound methods that take no argument are called without"
    add_case("test_bind_calls_" + name + "_without_the_event", rule, function, ("signatures",))


def _takes_nothing(methods: Methods) -> "Callable[[], None]":
    def function() -> None:
        methods.nothing()

    return function


class Static:
    """Has a static method that needs no object."""

    notes: "Methods"

    def __init__(self, notes: Methods) -> None:
        Static.notes = notes

    @staticmethod
    def nothing() -> None:
        """Note a call without arguments."""
        Static.notes.nothing()


def _wrapped(function: "Callable[[], None]") -> "Callable[..., None]":
    from functools import wraps

    @wraps(function)
    def wrapper(*arguments: "Any") -> None:
        function(*arguments)

    return wrapper


def _takes_no_place(methods: Methods) -> "Callable[..., None]":
    def function(*, done: "Callable[[], None]" = methods.nothing, **others: "Any") -> None:
        equal(others, {})
        done()

    return function


_add_without("function_of_no_argument", _takes_nothing)
_add_without("function_of_keywords", _takes_no_place)
_add_without("lambda_of_no_argument", lambda methods: lambda: methods.nothing())
_add_without("bound_method_of_no_argument", lambda methods: methods.nothing)
_add_without("static_method_of_no_argument", lambda methods: Static(methods).nothing)
_add_without("wrapped_function_of_no_argument", lambda methods: _wrapped(_takes_nothing(methods)))
_add_without("twice_wrapped_function_of_no_argument", lambda methods: _wrapped(_wrapped(_takes_nothing(methods))))


def _add_with(name: str, make: "Callable[[list[Any]], Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket = Stage(connect).websocket
        got: list[Any] = []
        websocket.bind("message", make(got))
        event = Event("message")
        websocket.dispatchEvent(event)
        equal(len(got), 1)
        assert got[0] is event, got

    rule = "contract 1, bind: everything else, or what cannot be read, gets the event"
    add_case("test_bind_gives_the_event_to_" + name, rule, function)


class Variadic:
    """A callable object that takes what it gets."""

    def __init__(self, got: "list[Any]") -> None:
        self.got = got

    def __call__(self, *arguments: "Any") -> None:
        self.got.append(arguments[0])


def _partial(got: "list[Any]") -> "Any":
    from functools import partial

    return partial(got.append)


_add_with("argument_with_default", lambda got: lambda event=None: got.append(event))
_add_with("variadic_function", lambda got: lambda *arguments: got.append(arguments[0]))
_add_with("callable_object", Variadic)
_add_with("partial", _partial)
_add_with("bound_method_of_builtin", lambda got: got.append)


@case("contract 1, unbind: removes one")
async def test_unbind_of_a_listener_removes_that_one(connect: "Connect", peer: "Peer") -> None:
    """Bound methods by equality; what is not there is ignored."""
    stage = Stage(connect)
    methods = Methods()
    one = stage.websocket.bind("message", stage.listener("one"))
    stage.websocket.bind("message", methods.method)
    stage.websocket.bind("message", stage.listener("other"))
    for _ in range(2):
        stage.websocket.unbind("message", one)
        stage.websocket.unbind("message", methods.method)
        equal(stage.fire(), ["other"])
    equal(methods.calls, [])


@case("contract 1, unbind: or all that were bound for the type")
async def test_unbind_of_a_type_removes_what_was_bound_and_nothing_else(connect: "Connect", peer: "Peer") -> None:
    """Listeners, the onX handler and other types stay."""
    stage = Stage(connect)
    stage.add("listener")
    stage.websocket.onmessage = stage.listener("handler")
    stage.websocket.bind("message", stage.listener("bound"))
    stage.websocket.bind("message", stage.listener("bound too"))
    stage.websocket.bind("news", stage.listener("news"))
    stage.websocket.unbind("message")
    equal(stage.fire(), ["listener", "handler"])
    equal(stage.fire("news"), ["news"])
    stage.websocket.unbind("nothing")


@case(_REMOVED)
async def test_unbind_of_a_type_during_dispatch_stops_those_that_follow(connect: "Connect", peer: "Peer") -> None:
    """As removing each of them would."""
    stage = Stage(connect)
    stage.websocket.bind("message", stage.listener("first", lambda: stage.websocket.unbind("message")))
    stage.websocket.bind("message", stage.listener("second"))
    stage.add("listener")
    equal(stage.fire(), ["first", "listener"])


@case("contract 1, bind: the same as addEventListener")
async def test_bound_listener_and_added_listener_are_removed_by_either_name(connect: "Connect", peer: "Peer") -> None:
    """There is one list, and no listener is on it twice."""
    stage = Stage(connect)
    bound = stage.websocket.bind("message", stage.listener("bound"))
    added = stage.add("added")
    stage.websocket.addEventListener("message", bound)
    stage.websocket.bind("message", added)
    equal(stage.fire(), ["bound", "added"])
    stage.websocket.removeEventListener("message", bound)
    stage.websocket.unbind("message", added)
    equal(stage.fire(), [])
