"""Cases of wrong arguments: each raises one exception, with the same words in every runtime, and does nothing else."""

from unisocket import (
    CloseReasonTooLongError,
    InvalidCloseCodeError,
    InvalidProtocolError,
    InvalidStateError,
    InvalidURLError,
    WebSocket,
    WebSocketError,
    on_handler_error,
)
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import open_socket, seen
from unisocket.testing.conformance._stage import NOWHERE, Stage
from unisocket.testing.script import Recorder, equal, raises

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

_SAME = "contract 7: the same mistake raises the same class with the same message in every runtime"


def _add_mistake(name: str, mistake: "Callable[[Connect], Any]", error_class: "type[Exception]", message: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        error = raises(error_class, lambda: mistake(connect))
        assert type(error) is error_class, error
        equal(str(error), message)

    add_case("test_" + name + "_raises_" + error_class.__name__, _SAME, function)


# The constructor


class HiddenHandler(WebSocket):
    """A method where a handler would be."""

    def onmessage(self, event: "Any") -> None:
        """Would never be called."""


CONSTRUCTOR: "list[tuple[str, Callable[[Connect], Any], type[Exception], str]]" = [
    ("url_None", lambda connect: connect(None), TypeError, "the URL must be a str, not NoneType"),
    ("url_bytes", lambda connect: connect(NOWHERE.encode()), TypeError, "the URL must be a str, not bytes"),
    ("url_int", lambda connect: connect(9), TypeError, "the URL must be a str, not int"),
    ("url_list", lambda connect: connect([NOWHERE]), TypeError, "the URL must be a str, not list"),
    (
        "url_of_ftp",
        lambda connect: connect("FTP://127.0.0.1/"),
        InvalidURLError,
        "the URL must begin with ws:, wss:, http: or https:, not 'ftp:'",
    ),
    (
        "url_with_fragment",
        lambda connect: connect("ws://127.0.0.1:9/#\u00e9"),
        InvalidURLError,
        "the URL must not have a fragment (#): 'ws://127.0.0.1:9/#\\u{e9}'",
    ),
    (
        "url_with_fragment_and_secrets",
        lambda connect: connect("ws://somebody:password@127.0.0.1/?token#fragment"),
        InvalidURLError,
        "the URL must not have a fragment (#): 'ws://...@127.0.0.1/?...'",
    ),
    (
        "url_unparsable_with_secrets",
        lambda connect: connect("ws://somebody:p@ss@127.0.0.1:nine/?token"),
        InvalidURLError,
        "'ws://...@127.0.0.1:nine/?...' is not a valid URL; it looks like ws://host:port/path, "
        "or is relative where there is a base",
    ),
    (
        "url_unparsable_with_secrets_behind_characters_of_four_bytes",
        lambda connect: connect("ws://\U0001f600\U0001f600@127.0.0.1:nine/?token"),
        InvalidURLError,
        "'ws://...@127.0.0.1:nine/?...' is not a valid URL; it looks like ws://host:port/path, "
        "or is relative where there is a base",
    ),
    (
        "url_unparsable",
        lambda connect: connect("ws://127.0.0.1:nine/"),
        InvalidURLError,
        "'ws://127.0.0.1:nine/' is not a valid URL; it looks like ws://host:port/path, "
        "or is relative where there is a base",
    ),
    (
        "protocols_int",
        lambda connect: connect(NOWHERE, 5),
        TypeError,
        "protocols must be a str or a sequence of str, not int",
    ),
    (
        "protocols_bytes",
        lambda connect: connect(NOWHERE, b"chat"),
        TypeError,
        "protocols must be a str or a sequence of str, not bytes",
    ),
    (
        "protocols_dict",
        lambda connect: connect(NOWHERE, {"chat": 1}),
        TypeError,
        "protocols must be a str or a sequence of str, not dict",
    ),
    (
        "protocols_set",
        lambda connect: connect(NOWHERE, {"chat"}),
        TypeError,
        "protocols must be a str or a sequence of str, not set",
    ),
    (
        "protocols_frozenset",
        lambda connect: connect(NOWHERE, frozenset(("chat",))),
        TypeError,
        "protocols must be a str or a sequence of str, not frozenset",
    ),
    ("protocol_int", lambda connect: connect(NOWHERE, [5]), TypeError, "a subprotocol must be a str, not int"),
    (
        "protocol_None",
        lambda connect: connect(NOWHERE, ["chat", None]),
        TypeError,
        "a subprotocol must be a str, not NoneType",
    ),
    (
        "protocol_bytes",
        lambda connect: connect(NOWHERE, (b"chat",)),
        TypeError,
        "a subprotocol must be a str, not bytes",
    ),
    ("protocol_empty", lambda connect: connect(NOWHERE, ""), InvalidProtocolError, "a subprotocol must not be empty"),
    (
        "protocol_with_space",
        lambda connect: connect(NOWHERE, ["chat", "my chat"]),
        InvalidProtocolError,
        "a subprotocol is made of letters, digits and !#$%&'*+-.^_`|~, which 'my chat' is not",
    ),
    (
        "protocol_with_newline",
        lambda connect: connect(NOWHERE, "a\r\nb"),
        InvalidProtocolError,
        "a subprotocol is made of letters, digits and !#$%&'*+-.^_`|~, which 'a\\u{d}\\u{a}b' is not",
    ),
    (
        "protocol_twice",
        lambda connect: connect(NOWHERE, ["chat", "Chat"]),
        InvalidProtocolError,
        "the subprotocol 'Chat' is asked for twice",
    ),
    (
        "unknown_keyword",
        lambda connect: connect(NOWHERE, onpen=print),
        TypeError,
        "WebSocket() has no argument 'onpen'; the handlers are onopen, onmessage, onerror, onclose",
    ),
    (
        "keyword_onmessage_int",
        lambda connect: connect(NOWHERE, onmessage=5),
        TypeError,
        "onmessage must be a callable or None, not int",
    ),
    (
        "subclass_with_onmessage",
        lambda connect: HiddenHandler(NOWHERE),
        TypeError,
        "a method of the name onmessage would never be called: give it another name, say handle_message, "
        "and assign it in __init__: self.onmessage = self.handle_message",
    ),
]

for _constructor in CONSTRUCTOR:
    _add_mistake("constructor_" + _constructor[0], *_constructor[1:])


# The methods that send. None of these mistakes does anything, in any state.


class Textual:
    """Has a text, but is none."""

    def __str__(self) -> str:
        return "text"


CODE = "the close code must be 1000 or in 3000-4999, not "

SENDING: "list[tuple[str, Callable[[WebSocket], Any], type[Exception], str]]" = [
    (
        "send_" + name,
        lambda websocket, value=value: websocket.send(value),  # type: ignore[misc]
        TypeError,
        "send() takes str, bytes, bytearray or memoryview, not " + type_name,
    )
    for name, value, type_name in (
        ("None", None, "NoneType"),
        ("int", 5, "int"),
        ("float", 1.5, "float"),
        ("bool", True, "bool"),
        ("list", [1, 2], "list"),
        ("dict", {"a": 1}, "dict"),
        ("object_with_text", Textual(), "Textual"),
    )
]
SENDING += [
    (
        "close_with_code_" + type(value).__name__,
        lambda websocket, value=value: websocket.close(value),  # type: ignore[misc]
        TypeError,
        "the close code must be an int, not " + type(value).__name__,
    )
    for value in ("1000", 1000.0, True, b"1000", [1000])
]
SENDING += [
    (
        "close_with_code_" + str(code).replace("-", "minus_"),
        lambda websocket, code=code: websocket.close(code),  # type: ignore[misc]
        InvalidCloseCodeError,
        CODE + str(code),
    )
    for code in (-1, 0, 999, 1001, 1004, 1005, 1006, 1011, 1015, 2999, 5000, 65535, 66536)
]
SENDING += [
    (
        "close_with_reason_" + type(value).__name__,
        lambda websocket, value=value: websocket.close(1000, value),  # type: ignore[misc]
        TypeError,
        "the close reason must be a str, not " + type(value).__name__,
    )
    for value in (5, b"bye", ["bye"])
]
SENDING += [
    (
        "close_with_reason_of_" + name,
        lambda websocket, reason=reason: websocket.close(4000, reason),  # type: ignore[misc]
        CloseReasonTooLongError,
        "the close reason has " + size + " bytes; at most 123 fit",
    )
    for name, reason, size in (
        ("124_letters", "x" * 124, "124"),
        ("62_letters_of_two_bytes", "\u00e9" * 62, "124"),
        ("41_letters_of_three_bytes_and_one_more", "\u20ac" * 41 + "x", "124"),
        ("42_lone_surrogates", "\ud800" * 42, "126"),
    )
]
SENDING += [
    (
        "close_without_code_and_reason_of_124_letters",
        lambda websocket: websocket.close(None, "x" * 124),
        CloseReasonTooLongError,
        "the close reason has 124 bytes; at most 123 fit",
    ),
    (
        "close_with_code_999_and_long_reason",
        lambda websocket: websocket.close(999, "x" * 124),
        InvalidCloseCodeError,
        CODE + "999",
    ),
]


def _make_all(websocket: WebSocket) -> None:
    """Make all mistakes of sending."""
    for name, mistake, error_class, message in SENDING:
        error = raises(error_class, lambda mistake=mistake: mistake(websocket))  # type: ignore[misc]
        equal(str(error), message, name)


def _add_sending(
    name: str, mistake: "Callable[[WebSocket], Any]", error_class: "type[Exception]", message: str
) -> None:
    _add_mistake(name, lambda connect: mistake(Stage(connect).websocket), error_class, message)


for _sending in SENDING:
    _add_sending(*_sending)


@case("contract 1, send: anything else TypeError, nothing sent")
async def test_wrong_arguments_while_OPEN_send_nothing(connect: "Connect", peer: "Peer") -> None:
    """The connection stays open, and what is right is sent."""
    websocket, recorder = await open_socket(connect, peer, ["echo"])
    _make_all(websocket)
    equal((websocket.readyState, websocket.bufferedAmount), (websocket.OPEN, 0))
    websocket.send("right")
    await recorder.wait("message")
    records = await peer.seen()
    equal([record["kind"] for record in records], ["request", "frame", "message"])


class Text(str):  # noqa: SLOT000
    """A str of one's own."""


class Number(int):
    """An int of one's own."""


class Octets(bytes):
    """Bytes of one's own, with another view of what they are."""

    def __bytes__(self) -> bytes:
        return b"other"


@case("contract 1, send: bytes; what is of a subclass is what it holds")
async def test_send_of_a_subclass_of_bytes_sends_its_bytes(connect: "Connect", peer: "Peer") -> None:
    """Not what bytes() would make of it."""
    websocket, _ = await open_socket(connect, peer)
    websocket.send(Octets(b"\x00own\xff"))
    message = (await peer.wait_for("message"))[0]
    equal((message["type"], message["hex"]), ("binary", "006f776eff"))


@case("contract 1: url, protocols, data, code and reason are str and int, and so is what is of a subclass")
async def test_arguments_of_subclasses_of_str_and_int_are_taken(connect: "Connect", peer: "Peer") -> None:
    """What goes to JavaScript is a string and a number."""
    await peer.script(["accept", {"protocol": "chat"}], ["echo"])
    websocket = connect(Text(peer.url), [Text("chat")])
    recorder = Recorder(websocket)
    await recorder.wait("open")
    websocket.send(Text("hello"))
    await recorder.wait("message")
    websocket.close(Number(4001), Text("why"))
    equal((await recorder.closed())[:2], ("close", 4001))
    (record,) = await seen(peer, "close")
    equal((record["code"], record["reason"], recorder.messages), (4001, "why", ["hello"]))


@case("contract 1, send: the type is checked before the state; close: arguments are checked before state")
async def test_wrong_arguments_while_CONNECTING_raise_and_change_nothing(connect: "Connect", peer: "Peer") -> None:
    """The opening goes on."""
    websocket = connect(peer.url)
    recorder = Recorder(websocket)
    _make_all(websocket)
    equal((websocket.readyState, websocket.bufferedAmount), (websocket.CONNECTING, 0))
    await recorder.wait("open")


@case("contract 1, send: the type is checked before the state; close: arguments are checked before state")
async def test_wrong_arguments_while_CLOSING_raise_and_change_nothing(connect: "Connect", peer: "Peer") -> None:
    """Nothing is counted, and the close that was begun goes on."""
    websocket, recorder = await open_socket(connect, peer)
    websocket.close(4000)
    _make_all(websocket)
    equal((websocket.readyState, websocket.bufferedAmount), (websocket.CLOSING, 0))
    equal(await recorder.closed(), ("close", 4000, "", True))


@case("contract 1, send: the type is checked before the state; close: arguments are checked before state")
async def test_wrong_arguments_while_CLOSED_raise_and_change_nothing(connect: "Connect", peer: "Peer") -> None:
    """Nothing is counted."""
    websocket, recorder = await open_socket(connect, peer, ["close", 1000, ""])
    await recorder.closed()
    _make_all(websocket)
    equal((websocket.readyState, websocket.bufferedAmount), (websocket.CLOSED, 0))


@case("contract 1, send: any contiguous memoryview; anything else TypeError", needs=("memoryview-steps",))
async def test_send_memoryview_that_is_not_contiguous_raises_TypeError(connect: "Connect", peer: "Peer") -> None:
    """It lies in pieces, and the message says what to do."""
    error = raises(TypeError, lambda: Stage(connect).websocket.send(memoryview(b"abcdef")[::2]))
    equal(str(error), "a memoryview must be contiguous to be sent; copy it: send(bytes(view))")


@case("contract 1, send: CONNECTING: InvalidStateError")
async def test_send_while_CONNECTING_says_when_to_send(connect: "Connect", peer: "Peer") -> None:
    """In the same words everywhere."""
    error = raises(InvalidStateError, lambda: Stage(connect).websocket.send("text"))
    equal(str(error), 'the connection is not open yet; send in or after the "open" event')


@case("contract 1, close: over 123 UTF-8 bytes")
async def test_close_with_reason_of_123_bytes_arrives_whole(connect: "Connect", peer: "Peer") -> None:
    """The longest reason that fits."""
    websocket, _ = await open_socket(connect, peer)
    reason = "\u20ac" * 40 + "\u00e9x"
    websocket.close(3000, reason)
    close = (await peer.wait_for("close"))[0]
    equal((close["code"], close["reason"]), (3000, reason))


# All others

_BINARY_TYPE = 'binaryType is "bytes" or "arraybuffer", nothing else'

OTHERS: "list[tuple[str, Callable[[WebSocket], Any], type[Exception], str]]" = [
    (
        "binaryType_" + name,
        lambda websocket, value=value: setattr(websocket, "binaryType", value),  # type: ignore[misc]
        ValueError,
        _BINARY_TYPE,
    )
    for name, value in (("blob", "blob"), ("empty", ""), ("None", None), ("type", bytes), ("list", ["bytes"]))
]
OTHERS += [
    (
        name + "_" + type(value).__name__,
        lambda websocket, name=name, value=value: setattr(websocket, name, value),  # type: ignore[misc]
        TypeError,
        name + " must be a callable or None, not " + type(value).__name__,
    )
    for name, value in (("onopen", 5), ("onmessage", "handler"), ("onerror", False), ("onclose", {}))
]
OTHERS += [
    (
        "addEventListener_int",
        lambda websocket: websocket.addEventListener("open", 5),  # type: ignore[arg-type]
        TypeError,
        "a listener must be a callable or None, not int",
    ),
    (
        "bind_str",
        lambda websocket: websocket.bind("open", "listener"),  # type: ignore[arg-type]
        TypeError,
        "a listener must be a callable or None, not str",
    ),
    (
        "dispatchEvent_str",
        lambda websocket: websocket.dispatchEvent("open"),  # type: ignore[arg-type]
        TypeError,
        "dispatchEvent() takes an Event, not str",
    ),
    (
        "dispatchEvent_None",
        lambda websocket: websocket.dispatchEvent(None),  # type: ignore[arg-type]
        TypeError,
        "dispatchEvent() takes an Event, not NoneType",
    ),
    (
        "on_handler_error_int",
        lambda websocket: on_handler_error(5),  # type: ignore[arg-type]
        TypeError,
        "on_handler_error takes a callable or None, not int",
    ),
]

for _other in OTHERS:
    _add_sending(*_other)


@case("contract 1, binaryType: anything else ValueError")
async def test_binaryType_refusing_a_value_keeps_its_own(connect: "Connect", peer: "Peer") -> None:
    """A mistake changes nothing."""
    websocket = Stage(connect).websocket
    websocket.binaryType = "arraybuffer"
    raises(ValueError, lambda: setattr(websocket, "binaryType", "blob"))
    equal(websocket.binaryType, "arraybuffer")


@case("contract 7: every one has name, the WHATWG DOMException name where there is one")
async def test_errors_of_arguments_are_WebSocketErrors_with_DOMException_names(
    connect: "Connect", peer: "Peer"
) -> None:
    """One root for all, and the names that JavaScript programs know."""
    stage = Stage(connect)
    for mistake, name in (
        (lambda: connect("ftp://127.0.0.1/"), "SyntaxError"),
        (lambda: connect(NOWHERE, "a b"), "SyntaxError"),
        (lambda: stage.websocket.close(999), "InvalidAccessError"),
        (lambda: stage.websocket.close(1000, "x" * 124), "SyntaxError"),
        (lambda: stage.websocket.send("text"), "InvalidStateError"),
    ):
        equal(raises(WebSocketError, mistake).name, name)
