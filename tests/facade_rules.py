"""What the modules `pyscript.websocket` and `browser.websocket` promise, one text for every runtime.

The names are imported as a program of theirs imports them, after `install()`. Each rule begins with
its number, of which docs/compat.md has a table.
"""

import sys
from functools import partial

import unisocket.compat.brython
import unisocket.compat.pyscript
from unisocket import Event, InvalidStateError, MessageEvent, on_handler_error
from unisocket.testing.conformance import Case
from unisocket.testing.conformance._common import until
from unisocket.testing.runner import run_cases
from unisocket.testing.script import Peer, Recorder, equal, raises

unisocket.compat.brython.install()
unisocket.compat.pyscript.install()

from browser import websocket  # noqa: E402
from browser.websocket import WebSocket as BrythonWebSocket  # noqa: E402
from pyscript import WebSocket  # noqa: E402
from pyscript.websocket import WebSocketEvent  # noqa: E402

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    Rule = Callable[[Peer], Coroutine[Any, Any, None]]

RULES: list[Case] = []

# Where the WebSocket of JavaScript is beneath.
if sys.implementation.name == "Brython":
    from browser import self as js  # type: ignore[attr-defined]
elif sys.platform in ("emscripten", "webassembly"):
    import js
else:
    js = None


def rule(text: str) -> "Callable[[Rule], Rule]":
    """Make a function the test of a rule."""

    def add(function: "Rule") -> "Rule":

        async def run(connect: "Any", peer: Peer) -> None:
            await function(peer)

        RULES.append(Case(function.__name__, text, run))
        return function

    return add


async def main(report: "Callable[[str], Any]", arguments: "Any") -> None:
    """Run the rules of the names given."""
    await run_cases([case for case in RULES if case.name in arguments["names"]], arguments["peer"], report)


class Seen:
    """The events of a facade's socket, in their order; binary data as bytes."""

    def __init__(self, ws: "Any") -> None:
        self.events: list[Any] = []
        self.recorder = Recorder(ws._websocket)  # to wait with; it hears of an event before the handlers
        ws.onopen = ws.onmessage = ws.onerror = ws.onclose = self.see

    def see(self, event: "Any") -> None:
        """Take note of an event."""
        self.events.append(event)

    @property
    def messages(self) -> "list[Any]":
        """The data of the messages."""
        return [event.data for event in self.events if event.type == "message"]


def refused(error: "type[Exception]", function: "Callable[..., Any]", *arguments: "Any") -> None:
    """Assert that a call raises."""
    raises(error, lambda: function(*arguments))


async def opened(peer: Peer, **keywords: "Any") -> "tuple[WebSocket, Seen]":
    """Return a PyScript socket that is open, and what is seen of it."""
    ws = WebSocket(peer.url, **keywords)
    seen = Seen(ws)
    await seen.recorder.wait("open")
    return ws, seen


async def finish(ws: "Any", seen: "Any") -> None:
    """Close a socket, and wait until it is closed."""
    ws.close()
    await seen.recorder.closed()


# PyScript


@rule("R0 `from pyscript import WebSocket`, `from pyscript.websocket import WebSocketEvent`")
async def test_pyscript_names_are_ours_after_install(peer: Peer) -> None:
    equal(WebSocket is unisocket.compat.pyscript.WebSocket, True)
    equal(WebSocketEvent is unisocket.compat.pyscript.WebSocketEvent, True)
    import pyscript.websocket

    equal(pyscript.websocket.WebSocket is WebSocket, True)
    equal(pyscript.WebSocket is WebSocket, True)


@rule("R1 `url` is positional or a keyword")
async def test_url_is_positional_or_a_keyword(peer: Peer) -> None:
    arguments: list[tuple[tuple[str, ...], dict[str, Any]]] = [((peer.url,), {}), ((), {"url": peer.url})]
    for positional, keywords in arguments:
        ws = WebSocket(*positional, **keywords)
        seen = Seen(ws)
        await seen.recorder.wait("open")
        equal(ws.url, peer.url)
        await finish(ws, seen)


@rule('R2 `protocols` is a str or a list; None, `""` and `[]` ask for none')
async def test_protocols_that_are_falsy_ask_for_none(peer: Peer) -> None:
    await peer.script(["accept", {"protocol": "b"}], ["echo"])
    some: list[Any] = ["b", ["a", "b"], ("b",)]
    none: list[Any] = ["", [], (), None]
    for protocols in some:
        ws, seen = await opened(peer, protocols=protocols)
        equal(ws.protocol, "b")
        await finish(ws, seen)
    await peer.script(["accept"], ["echo"])
    for protocols in none:
        ws = WebSocket(peer.url, protocols)
        seen = Seen(ws)
        await seen.recorder.wait("open")
        equal(ws.protocol, "")
        await finish(ws, seen)
    requests = await peer.wait_for("request", 7)
    headers = [{name.lower(): value for name, value in record["headers"]} for record in requests]
    offers = [fields.get("sec-websocket-protocol") for fields in headers]
    equal(offers, ["b", "a, b", "b", None, None, None, None])


@rule("R3a `onopen onmessage onclose onerror` may be keywords")
async def test_handlers_may_be_keywords(peer: Peer) -> None:
    await peer.script(["accept"], ["text", "hello"], ["fin"])
    types: list[str] = []

    def note(event: "Any") -> None:
        types.append(event.type)

    ws = WebSocket(url=peer.url, onopen=note, onmessage=note, onerror=note, onclose=note)
    recorder = Recorder(ws._websocket)
    await recorder.closed()
    equal(types, ["open", "message", "error", "close"])


@rule("R3b any other keyword lands on the object, as `binaryType=` does")
async def test_other_keywords_land_on_the_object(peer: Peer) -> None:
    ws, seen = await opened(peer, binaryType="blob", room="lobby")
    equal((ws.binaryType, ws._js_websocket.binaryType), ("blob", "blob"))
    equal((ws.room, ws._js_websocket.room), ("lobby", "lobby"))
    await finish(ws, seen)


@rule("R4 `CONNECTING OPEN CLOSING CLOSED` are 0 to 3, of the class and of a socket")
async def test_constants(peer: Peer) -> None:
    ws, seen = await opened(peer)
    for owner in (WebSocket, ws):
        equal([owner.CONNECTING, owner.OPEN, owner.CLOSING, owner.CLOSED], [0, 1, 2, 3])
    await finish(ws, seen)


@rule("R5 `binaryType` is `arraybuffer`")
async def test_binary_type(peer: Peer) -> None:
    ws, seen = await opened(peer)
    equal((ws.binaryType, ws._js_websocket.binaryType), ("arraybuffer", "arraybuffer"))
    if js is None:  # browsers ignore what they do not know, and so do we in their place
        ws.binaryType = "text"
        equal(ws.binaryType, "arraybuffer")
    await finish(ws, seen)


@rule("R5b with `blob`, binary data is what JavaScript has: a Blob; where there is none, a memoryview")
async def test_blobs_pass(peer: Peer) -> None:
    await peer.script(["accept"], ["binary", "010203"], ["binary", ""], ["text", "end"], ["echo"])
    ws, seen = await opened(peer, binaryType="blob")
    await seen.recorder.wait("message", 3)
    one, empty, end = seen.messages
    if js is None:
        equal((bytes(one), bytes(empty)), (b"\x01\x02\x03", b""))
    else:
        equal((one.size, empty.size), (3, 0))
        equal(bytes(WebSocketEvent(Sample(await one.arrayBuffer())).data), b"\x01\x02\x03")
    equal(end, "end")
    await finish(ws, seen)


class Sample:
    """Something with the attributes of an event."""

    type = "message"

    def __init__(self, data: "Any") -> None:
        self.data = data


@rule("R6 attributes are read: `readyState url protocol extensions bufferedAmount binaryType`, and whatever there is")
async def test_attributes_pass_out(peer: Peer) -> None:
    ws = WebSocket(peer.url)
    seen = Seen(ws)
    equal((ws.readyState, ws.url, ws.protocol, ws.extensions, ws.bufferedAmount), (0, peer.url, "", "", 0))
    await seen.recorder.wait("open")
    equal(ws.readyState, WebSocket.OPEN)
    ws._js_websocket.colour = "red"
    equal(ws.colour, "red")
    raises(AttributeError, lambda: ws.nothing)
    equal(hasattr(ws, "nothing"), False)
    await finish(ws, seen)
    equal(ws.readyState, WebSocket.CLOSED)


@rule("R6b `addEventListener`, `removeEventListener`, `dispatchEvent` are JavaScript's, with its events")
async def test_listeners_are_those_of_the_object_beneath(peer: Peer) -> None:
    ws, seen = await opened(peer)
    heard: list[str] = []

    def hear(event: "Any") -> None:
        heard.append(event.type)

    listener = hear
    if sys.platform == "emscripten":
        from pyodide.ffi import create_proxy

        listener = create_proxy(hear)
    make = Event if js is None else js.Event.new
    ws.addEventListener("knock", listener)
    ws.dispatchEvent(make("knock"))
    ws.removeEventListener("knock", listener)
    ws.dispatchEvent(make("knock"))
    ws.onmessage = lambda event: event.stopImmediatePropagation()
    ws.addEventListener("message", listener)
    ws.send("stopped")
    await seen.recorder.wait("message")
    await finish(ws, seen)
    equal(heard, ["knock"])


@rule("R7 attributes are written; one that can only be read is an AttributeError")
async def test_attributes_pass_in(peer: Peer) -> None:
    ws, seen = await opened(peer)
    for value in ("blue", 5, 1.5, True):
        ws.colour = value
        equal((ws.colour, ws._js_websocket.colour), (value, value))
    for name in ("readyState", "url", "protocol", "extensions", "bufferedAmount", "OPEN", "_js_websocket"):
        refused(AttributeError, setattr, ws, name, 1)
    refused(AttributeError, setattr, ws, "__proto__", None)
    equal((ws.readyState, ws.url), (1, peer.url))
    await finish(ws, seen)


@rule("R8 `_js_websocket` is the WebSocket of JavaScript; where there is none, one of unisocket")
async def test_js_websocket(peer: Peer) -> None:
    ws, seen = await opened(peer)
    raw = ws._js_websocket
    if js is None:
        equal(isinstance(raw, unisocket.WebSocket), True)
    else:
        equal(raw.constructor.name, "WebSocket")
    equal((raw.readyState, raw.url), (1, peer.url))
    equal(repr(ws), "<WebSocket " + peer.url + " OPEN>")
    raw.send("beneath")
    await seen.recorder.wait("message")
    equal(seen.messages, ["beneath"])
    raw.close()
    equal((await seen.recorder.closed())[0], "close")


@rule("R9 handlers are assigned after creation, and again")
async def test_handlers_are_replaced(peer: Peer) -> None:
    ws, seen = await opened(peer)
    first: list[str] = []
    second: list[str] = []
    ws.onmessage = lambda event: first.append(event.data)
    ws.send("one")
    await seen.recorder.wait("message", 1)
    ws.onmessage = lambda event: second.append(event.data)
    ws.send("two")
    await seen.recorder.wait("message", 2)
    equal((first, second), (["one"], ["two"]))
    await finish(ws, seen)


@rule("R10 handlers are plain or async: functions, methods, partials, callable objects, lambdas that return coroutines")
async def test_handlers_of_every_kind_run(peer: Peer) -> None:
    class Handler:
        async def method(self, event: "Any") -> None:
            note("method", event)

        def __call__(self, event: "Any") -> "Any":
            return note_later("object", event)

    said: list[str] = []
    ended: Any = None

    def note(who: str, event: "Any") -> None:
        said.append(who + " " + event.data)

    async def note_later(who: str, event: "Any") -> None:
        note(who, event)

    async def plain(event: "Any") -> None:
        note("async", event)

    ws, seen = await opened(peer)
    handlers = (plain, Handler().method, Handler(), partial(note_later, "partial"), lambda e: note_later("lambda", e))
    for number, handler in enumerate(handlers):
        ws.onmessage = handler
        ws.send("hello")
        await seen.recorder.wait("message", 2 * number + 1)
        ws.onmessage = None
        ended = Recorder(ws._websocket)
        ws.send("and on")
        await ended.wait("message")
    equal(said, [who + " hello" for who in ("async", "method", "object", "partial", "lambda")])
    await finish(ws, seen)


@rule("R11 reading `onmessage` gives the function that was assigned")
async def test_handlers_are_given_back(peer: Peer) -> None:
    ws, seen = await opened(peer)

    def handler(event: "Any") -> None: ...

    for name in ("onopen", "onmessage", "onerror", "onclose"):
        setattr(ws, name, handler)
        equal(getattr(ws, name) is handler, True)
    await finish(ws, seen)
    equal(WebSocket(peer.url).onopen, None)


@rule("R12 None clears a handler; what is neither None nor callable is a TypeError")
async def test_none_clears_a_handler(peer: Peer) -> None:
    ws, seen = await opened(peer)
    told: list[BaseException] = []
    on_handler_error(lambda error, event: told.append(error))
    try:
        ws.onmessage = None
        ws.send("unheard")
        await seen.recorder.wait("message")
    finally:
        on_handler_error(None)
    equal((seen.messages, told), ([], []))
    equal(ws.onmessage, None)
    raises(TypeError, lambda: setattr(ws, "onmessage", 5))
    raises(TypeError, lambda: WebSocket(peer.url, onmessage="print"))
    equal(len(await peer.wait_for("request")), 1)
    await finish(ws, seen)


@rule("R13 a handler that raises is reported, and the connection goes on")
async def test_handler_that_raises(peer: Peer) -> None:
    ws, seen = await opened(peer)
    told: list[str] = []
    on_handler_error(lambda error, event: told.append(str(error)))

    def fail(event: "Any") -> None:
        raise ValueError("as asked")

    try:
        ws.onmessage = fail
        ws.send("one")
        await seen.recorder.wait("message")
        ws.onmessage = seen.see
        ws.send("two")
        await seen.recorder.wait("message", 2)
    finally:
        on_handler_error(None)
    equal((told, seen.messages), (["as asked"], ["two"]))
    await finish(ws, seen)


@rule("R14a `send`: str as text; bytes, bytearray, memoryview and any sequence of small ints as binary")
async def test_send_takes_text_and_any_sequence_of_small_ints(peer: Peer) -> None:
    ws, seen = await opened(peer)
    sent: list[Any] = [
        b"\x01\x02",
        bytearray(b"\x03"),
        memoryview(b"\x04\x05"),
        [6, 255],
        (7, 0),
        range(3),
        b"",
        [],
        Numbers(),
        [True, False],
    ]
    texts = ["text", "", "a\0b", "behind sixteen bytes, a surrogate: "]
    for text in texts[:3]:
        ws.send(text)
    ws.send(texts[3] + chr(0xD800))
    for data in sent:
        ws.send(data)
    if js is not None:
        array = js.Uint8Array.new(4)
        for index in range(4):
            array[index] = index
        for data in (array, array.buffer, array.subarray(1, 3)):
            ws.send(data)
        ws.send(js.Array.of(1, 2))
        sent += [[0, 1, 2, 3], [0, 1, 2, 3], [1, 2], [1, 2]]
    ws.send([Index()])
    sent.append([9])
    await seen.recorder.wait("message", len(sent) + 4)
    equal(seen.messages[:4], texts[:3] + [texts[3] + chr(0xFFFD)])
    equal([bytes(data) for data in seen.messages[4:]], [bytes(list(data)) for data in sent])
    await finish(ws, seen)


class Index:
    """A number that is no int, as NumPy has them."""

    def __index__(self) -> int:
        return 9


class Numbers:
    """The old protocol of sequences."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> int:
        if index >= 3:
            raise IndexError
        return 10 + index


@rule("R14b anything else is a TypeError or ValueError, and nothing is sent")
async def test_send_refuses_the_rest(peer: Peer) -> None:
    ws, seen = await opened(peer)
    refusals: list[Any] = [None, 5, 1.5, object()]
    if js is not None:
        refusals += [js.Blob.new(), js.JSON.parse("{}")]
    for data in refusals:
        refused(TypeError, ws.send, data)
    for items in ([256], [-1], ["a"], [1, None]):
        refused(ValueError, ws.send, items)
    ws.send("next")
    await seen.recorder.wait("message")
    equal(seen.messages, ["next"])
    await finish(ws, seen)


@rule("R14c to send, a socket must be open; after that, messages are dropped")
async def test_send_needs_an_open_socket(peer: Peer) -> None:
    ws = WebSocket(peer.url)
    seen = Seen(ws)
    raises(InvalidStateError, lambda: ws.send("early"))
    raises(InvalidStateError, lambda: ws.send(b"early"))
    await seen.recorder.wait("open")
    await finish(ws, seen)
    equal(ws.send("late"), None)
    equal(ws.bufferedAmount, 4)


@rule("R15 `close(code=None, reason=None)`; a reason without a code is not sent")
async def test_close_sends_code_and_reason(peer: Peer) -> None:
    table: list[tuple[dict[str, Any], Any, str]] = [
        ({}, None, ""),
        ({"code": 1000, "reason": "Task completed"}, 1000, "Task completed"),
        ({"code": 3001}, 3001, ""),
        ({"reason": "alone"}, None, ""),
        ({"code": 0}, None, ""),
        ({"code": 4000, "reason": ""}, 4000, ""),
    ]
    for count, (arguments, code, reason) in enumerate(table):
        ws, seen = await opened(peer)
        ws.close(**arguments)
        equal((await seen.recorder.closed())[1], code or 1005)
        record = (await peer.wait_for("close", count + 1))[-1]
        equal((record["code"], record["reason"]), (code, reason))


@rule("R17a a handler gets a `WebSocketEvent`: `type data code reason wasClean target origin timeStamp`, and `_event`")
async def test_handlers_get_wrapped_events(peer: Peer) -> None:
    await peer.script(["accept"], ["text", "hello"], ["close", 4001, "bye"], ["finish"])
    ws = WebSocket(peer.url)
    seen = Seen(ws)
    await seen.recorder.closed()
    equal([event.type for event in seen.events], ["open", "message", "close"])
    for event in seen.events:
        equal(type(event) is WebSocketEvent, True)
        equal((event._event.type, event.timeStamp > 0), (event.type, True))
        equal((event.target is ws._js_websocket, event.currentTarget is ws._js_websocket), (True, True))
        equal("WebSocketEvent" in repr(event), True)
    _, message, close = seen.events
    equal((message.data, message.origin, message.lastEventId), ("hello", "/".join(peer.url.split("/")[:3]), ""))
    equal((close.code, close.reason, close.wasClean), (4001, "bye", True))
    raises(AttributeError, lambda: close.data)


@rule("R17c `_event` is JavaScript's event, and what that has the event has: `isTrusted bubbles preventDefault()` ...")
async def test_events_have_what_those_of_javascript_have(peer: Peer) -> None:
    texts = [str(number) for number in range(20)]
    made = [] if js is None else ["one", "two"]  # two in one task: the second waits for the first one's handler
    await peer.script(["accept"], *[["text", text] for text in texts], ["binary", "01"], ["close", 4001, "bye"])
    events: list[Any] = []
    same: list[Any] = []

    def begin(event: "Any") -> None:
        events.append(event)
        for text in made:
            ws._js_websocket.dispatchEvent(js.MessageEvent.new("message", js.JSON.parse('{"data": "%s"}' % text)))

    async def note(event: "Any") -> None:
        events.append(event)
        same.append(event._event.data == event.data)
        event.preventDefault() if js is not None else None

    async def end(event: "Any") -> None:
        events.append(event)

    ws = WebSocket(peer.url, onopen=begin, onmessage=note, onclose=end)
    await Recorder(ws._websocket).closed()

    def all_dispatched() -> bool:
        return events[-1].type == "close" and not getattr(events[-1], "eventPhase", 0)

    await until(all_dispatched, "the end of the last dispatch")
    equal([event.type for event in (events[0], events[-1])], ["open", "close"])
    messages = events[1:-1]
    equal([event.data for event in messages[:-1]], made + texts)
    equal((bytes(messages[-1].data), same[:-1]), (b"\x01", [True] * len(made + texts)))
    equal((events[-1].code, events[-1]._event.code), (4001, 4001))
    for event in events:
        if js is None:
            equal((isinstance(event._event, Event), hasattr(event, "isTrusted")), (True, False))
        else:
            equal(event.isTrusted, event not in messages[:2])
            attributes = (event.bubbles, event.cancelable, event.defaultPrevented, event.eventPhase)
            equal(attributes, (False, False, False, 0))
            equal((event._event.type, event.target is ws._js_websocket), (event.type, True))
            event.stopPropagation()
        equal(hasattr(event, "nothing"), False)


@rule("R17b `WebSocketEvent(raw)` wraps any event, and can only be read")
async def test_any_event_can_be_wrapped(peer: Peer) -> None:
    sample = Sample("text")
    event = WebSocketEvent(sample)
    equal((event._event is sample, event.type, event.data), (True, "message", "text"))
    raises(AttributeError, lambda: event.code)
    for name in ("data", "type", "_event", "more"):
        refused(AttributeError, setattr, event, name, 1)
    equal(WebSocketEvent(Sample(None)).data, None)
    own = MessageEvent("message", None, b"\x01")
    equal(bytes(WebSocketEvent(own).data), b"\x01")
    if js is not None:
        raw = js.Event.new("open")
        equal((WebSocketEvent(raw).type, WebSocketEvent(raw).bubbles), ("open", False))
        array = js.Array.of(1, 2)
        data = WebSocketEvent(Sample(array)).data
        equal(type(data) is list if hasattr(array, "to_py") else data is array, True)
    # Before there is an event there is nothing to ask.
    raises(AttributeError, lambda: object.__new__(WebSocketEvent).type)
    raises(AttributeError, lambda: object.__new__(WebSocket).readyState)


@rule("R18 binary `data` is a memoryview, which can be written to")
async def test_binary_data_is_a_memoryview(peer: Peer) -> None:
    ws, seen = await opened(peer)
    for data in (b"", b"\x00\xff", bytes(range(256)) * 300):
        ws.send(data)
    await seen.recorder.wait("message", 3)
    equal([type(data) is memoryview for data in seen.messages], [True] * 3)
    equal([bytes(data) for data in seen.messages], [b"", b"\x00\xff", bytes(range(256)) * 300])
    view = seen.messages[1]
    view[0] = 7
    equal((bytes(view), len(view), view[1]), (b"\x07\xff", 2, 255))
    for raw in (b"\x01\x02", bytearray(b"\x01\x02"), memoryview(b"\x01\x02")):
        data = WebSocketEvent(Sample(raw)).data
        equal((type(data) is memoryview, bytes(data)), (True, b"\x01\x02"))
    if js is not None:
        array = js.Uint8Array.new(3)
        array[1] = 9
        for buffer, expected in ((array, b"\x00\x09\x00"), (array.buffer, b"\x00\x09\x00")):
            data = WebSocketEvent(Sample(buffer)).data
            equal((type(data) is memoryview, bytes(data)), (True, expected))
    await finish(ws, seen)


# Brython


async def bound(peer: Peer, *arguments: "Any") -> "tuple[Any, Recorder]":
    """Return a Brython socket that is open, and its recorder."""
    ws = websocket.WebSocket(peer.url, *arguments)
    recorder = Recorder(ws)
    await recorder.wait("open")
    return ws, recorder


@rule("B0 `from browser import websocket`, `from browser.websocket import WebSocket`, `import browser.websocket`")
async def test_browser_names_are_ours_after_install(peer: Peer) -> None:
    import browser.websocket

    equal(websocket is unisocket.compat.brython.websocket, True)
    equal(browser.websocket is websocket, True)
    equal(BrythonWebSocket is unisocket.compat.brython.websocket.WebSocket, True)


@rule("B1 `supported` tells whether there is a WebSocket")
async def test_supported(peer: Peer) -> None:
    equal((websocket.supported, websocket.WebSocket.supported), (True, True))


@rule("B2 `WebSocket(host)`, `WebSocket(url, protocols)`, by their names, too")
async def test_brython_protocols(peer: Peer) -> None:
    for name in ("host", "url"):
        ws = websocket.WebSocket(**{name: peer.url})
        recorder = Recorder(ws)
        await recorder.wait("open")
        ws.close()
        await recorder.closed()
    raises(TypeError, lambda: websocket.WebSocket())
    ws, recorder = await bound(peer)
    equal((ws.url, ws.protocol), (peer.url, ""))
    ws.close()
    await recorder.closed()
    await peer.script(["accept", {"protocol": "b"}], ["echo"])
    ws, recorder = await bound(peer, ["a", "b"])
    equal(ws.protocol, "b")
    ws.close()
    await recorder.closed()


@rule("B3 where there is no WebSocket, the constructor raises NotImplementedError")
async def test_unsupported(peer: Peer) -> None:
    from unisocket import _runtime

    _runtime.supported = False
    try:
        raises(NotImplementedError, lambda: websocket.WebSocket(peer.url))
    finally:
        _runtime.supported = True


@rule("B4a `bind(evt, function)`: each event comes with its argument, for functions that take one")
async def test_bound_functions_take_the_event(peer: Peer) -> None:
    await peer.script(["accept"], ["text", "hello"], ["fin"])
    ws = websocket.WebSocket(peer.url)
    heard: list[Any] = []
    ws.bind("open", lambda event: heard.append(event.type))
    ws.bind("message", lambda event: heard.append((event.type, event.data, event.target is ws)))
    ws.bind("error", lambda event: heard.append(event.type))
    ws.bind("close", lambda event: heard.append((event.type, event.code, event.reason)))
    await Recorder(ws).closed()
    equal(heard, ["open", ("message", "hello", True), "error", ("close", 1006, "")])


@rule("B4c `bind(evt=, function=)`, `bind(event=, callback=)`; `unbind()` takes these names, too")
async def test_bind_takes_names(peer: Peer) -> None:
    ws, recorder = await bound(peer)
    heard: list[str] = []

    def one(event: "Any") -> None:
        heard.append("one")

    ws.bind(evt="message", function=one)
    ws.bind(event="message", callback=lambda event: heard.append("two"))
    ws.bind("message", callback=lambda event: heard.append("three"))
    ws.send("hello")
    await recorder.wait("message")
    ws.unbind(evt="message", function=one)
    ws.send("again")
    await recorder.wait("message", 2)
    equal(heard, ["one", "two", "three", "two", "three"])
    raises(TypeError, lambda: ws.bind(evt="message", handler=one))
    ws.close()
    await recorder.closed()


@rule("B4b functions without an argument are called with none (MicroPython cannot tell: they get the event)")
async def test_bound_functions_without_arguments(peer: Peer) -> None:
    await peer.script(["accept"], ["text", "hello"], ["fin"])
    ws = websocket.WebSocket(peer.url)
    heard: list[str] = []
    told: list[str] = []

    def opened() -> None:
        heard.append("open")

    class Chat:
        def closed(self) -> None:
            heard.append("close")

    ws.bind("open", opened)
    ws.bind("message", lambda: heard.append("message"))
    ws.bind("error", lambda: heard.append("error"))
    ws.bind("close", Chat().closed)
    on_handler_error(lambda error, event: told.append(event.type + " " + type(error).__name__))
    try:
        await Recorder(ws).closed()
    finally:
        on_handler_error(None)
    called = ["open", "message", "error", "close"]
    if sys.implementation.name == "micropython":
        equal((heard, told), ([], [type + " TypeError" for type in called]))
    else:
        equal((heard, told), (called, []))


@rule("B5 `data` is the text; bytes that arrive are bytes")
async def test_bytes_arrive(peer: Peer) -> None:
    await peer.script(["accept"], ["text", "grüße 😀"], ["binary", "00ff"], ["binary", ""], ["echo"])
    ws, recorder = await bound(peer)
    await recorder.wait("message", 3)
    equal(recorder.messages, ["grüße 😀", b"\x00\xff", b""])
    equal(type(recorder.messages[1]) is bytes, True)
    ws.close()
    await recorder.closed()


@rule("B6 `send(data)` sends text, and bytes as they are")
async def test_brython_send(peer: Peer) -> None:
    ws, recorder = await bound(peer)
    equal(ws.send("text"), None)
    ws.send(b"\x00\x01\xff")
    await recorder.wait("message", 2)
    equal(recorder.messages, ["text", b"\x00\x01\xff"])
    records = await peer.wait_for("message", 2)
    equal([(record["type"], record["hex"]) for record in records], [("text", "74657874"), ("binary", "0001ff")])
    ws.close()
    await recorder.closed()


@rule("B6b an ArrayBuffer or typed array of JavaScript is sent as its bytes; anything else is a TypeError")
async def test_brython_sends_buffers_of_javascript(peer: Peer) -> None:
    ws, recorder = await bound(peer)
    for data in (None, 5, [1, 2]):
        refused(TypeError, ws.send, data)
    if js is not None:
        array = js.Uint8Array.new(3)
        array[0], array[1] = 7, 8
        numbers = js.Uint16Array.new(2)
        numbers[1] = 0x0102
        for data in (array, array.buffer, array.subarray(1), numbers):
            ws.send(data)
    ws.send("end")
    sent = [] if js is None else [b"\x07\x08\x00", b"\x07\x08\x00", b"\x08\x00", b"\x00\x00\x02\x01"]
    await recorder.wait("message", len(sent) + 1)
    equal(recorder.messages, sent + ["end"])
    ws.close()
    await recorder.closed()


@rule('B7 `close(code=1000, reason="")` closes the connection')
async def test_close_sends_1000(peer: Peer) -> None:
    for count, (arguments, code, reason) in enumerate(
        [((), 1000, ""), ((4000,), 4000, ""), ((1000, "Client closing"), 1000, "Client closing")]
    ):
        ws, recorder = await bound(peer)
        ws.close(*arguments)
        record = (await peer.wait_for("close", count + 1))[-1]
        equal((record["code"], record["reason"]), (code, reason))
        equal((await recorder.closed())[1], code)


@rule("B8a `unbind(evt, function)`, `unbind(evt)` for all")
async def test_unbind(peer: Peer) -> None:
    ws, recorder = await bound(peer)
    heard: list[str] = []

    def one(event: "Any") -> None:
        heard.append("one")

    def two(event: "Any") -> None:
        heard.append("two")

    ws.bind("message", one)
    ws.bind("message", two)
    for count in range(3):
        ws.send("again")
        await recorder.wait("message", count + 1)
        ws.unbind("message", one) if not count else ws.unbind("message")
    equal(heard, ["one", "two", "two"])
    ws.close()
    await recorder.closed()


@rule("B8b `bindings()` tells what is bound: a tuple of functions for each event")
async def test_bindings(peer: Peer) -> None:
    ws, recorder = await bound(peer)

    def one(event: "Any") -> None: ...

    def two(event: "Any") -> None: ...

    ws.onmessage = one
    equal(ws.bindings(), {})
    ws.bind("message", one)
    ws.bind("message", two)
    ws.bind("close", two)
    equal(ws.bindings(), {"message": (one, two), "close": (two,)})
    ws.unbind("message")
    equal(ws.bindings(), {"close": (two,)})
    ws.close()
    await recorder.closed()


@rule("B8c `onopen` and so on, `addEventListener`, `readyState url protocol extensions bufferedAmount`, the constants")
async def test_the_rest_of_the_interface(peer: Peer) -> None:
    ws = websocket.WebSocket(peer.url)
    recorder = Recorder(ws)
    heard: list[str] = []
    ws.onmessage = lambda event: heard.append("on " + event.data)
    ws.addEventListener("message", lambda event: heard.append("listener " + event.data))
    equal((ws.readyState, ws.protocol, ws.extensions, ws.bufferedAmount), (ws.CONNECTING, "", "", 0))
    await recorder.wait("open")
    equal((ws.readyState, [ws.CONNECTING, ws.OPEN, ws.CLOSING, ws.CLOSED]), (1, [0, 1, 2, 3]))
    ws.send("hello")
    await recorder.wait("message")
    equal(heard, ["on hello", "listener hello"])
    ws.close()
    equal(ws.readyState, ws.CLOSING)
    await recorder.closed()
    equal(ws.readyState, ws.CLOSED)


@rule('B9 `@ws.bind("message")` and `@browser.bind(ws, "message")` are decorators')
async def test_bind_is_a_decorator(peer: Peer) -> None:
    ws, recorder = await bound(peer)
    heard: list[str] = []

    @ws.bind("message")  # type: ignore[untyped-decorator]
    def own(event: "Any") -> None:
        heard.append("own " + event.data)

    if sys.implementation.name == "Brython":
        from browser import bind  # type: ignore[attr-defined]

        @bind(ws, "message")  # type: ignore[untyped-decorator]
        def other(event: "Any") -> None:
            heard.append("other " + event.data)

        equal(ws.bindings(), {"message": (own, other)})
    ws.send("hello")
    await recorder.wait("message")
    equal(heard, ["own hello", "other hello"] if sys.implementation.name == "Brython" else ["own hello"])
    ws.close()
    await recorder.closed()


@rule("B10 several functions for one event are called in their order; one that raises stops no other; async ones run")
async def test_several_functions_are_bound(peer: Peer) -> None:
    ws, recorder = await bound(peer)
    heard: list[str] = []
    told: list[str] = []
    on_handler_error(lambda error, event: told.append(str(error)))

    def fail(event: "Any") -> None:
        raise ValueError("as asked")

    async def later(event: "Any") -> None:
        heard.append("async " + event.data)

    try:
        ws.bind("message", fail)
        ws.bind("message", lambda event: heard.append("first"))
        ws.bind("message", later)
        ws.bind("message", lambda event: heard.append("last"))
        ws.send("hello")
        await recorder.wait("message")
        second = Recorder(ws)
        ws.unbind("message")
        ws.send("and on")
        await second.wait("message")
    finally:
        on_handler_error(None)
    equal((heard, told), (["first", "last", "async hello"], ["as asked"]))
    ws.close()
    await recorder.closed()
