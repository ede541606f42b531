"""Cases of the opening handshake, done, refused or broken, and of rules that the peer breaks after it."""

from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import LOST, open_socket, record, seen, sleep
from unisocket.testing.script import Recorder, equal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

# A port that the Internet's registry gives to nobody, and Fetch does not block.
CLOSED_PORT = 4
BLOCKED_PORT = 22


def hex_of(text: str) -> str:
    """Return the bytes of ASCII text in hex, as steps have them."""
    return "".join(["%02x" % ord(character) for character in text])


async def expect_failure(connect: "Connect", url: str, protocols: "Any" = None, **handlers: "Any") -> None:
    """Connect, and see that the connection fails as every one that does."""
    websocket = connect(url, protocols, **handlers)
    recorder = Recorder(websocket)
    equal((websocket.readyState, recorder.types), (websocket.CONNECTING, []))
    await recorder.closed()
    await sleep(0)
    equal(recorder.events, LOST)
    equal(recorder.states, [websocket.CLOSED, websocket.CLOSED])
    equal((websocket.readyState, websocket.protocol, websocket.extensions), (websocket.CLOSED, "", ""))


_STATUS = "RFC 6455 4.1: a status other than 101 fails the connection"
_HEADERS = "RFC 6455 4.1: without the headers of an upgrade the connection fails"
_BROKEN = "contract 2: a connection that never opened closes with 1006"
_SUBPROTOCOL = "contract 1, protocols: if the server chose one that was not asked for, the connection fails"
_NONE_CHOSEN = "contract 1, protocols: if some were asked for and the server chose none, the connection fails"
_EXTENSION = "RFC 6455 4.1: an extension that was not asked for fails the connection"

# What the peer does; the subprotocols that were asked for.
FAILURES: "list[tuple[str, str, list[list[Any]], Any]]" = [
    ("HTTP_200", _STATUS, [["http", 200, [], "hello"]], None),
    ("HTTP_204", _STATUS, [["http", 204, []]], None),
    ("HTTP_400", _STATUS, [["http", 400, []]], None),
    ("HTTP_401", _STATUS, [["http", 401, [["WWW-Authenticate", 'Basic realm="x"']]]], None),
    ("HTTP_403", _STATUS, [["http", 403, []]], None),
    ("HTTP_404", _STATUS, [["http", 404, []]], None),
    ("HTTP_500", _STATUS, [["http", 500, [], "sorry"]], None),
    ("HTTP_503", _STATUS, [["http", 503, [["Retry-After", "1"]]]], None),
    ("all_headers_but_HTTP_200", _STATUS, [["accept", {"status": "200 OK"}], ["fin"]], None),
    ("no_Upgrade_header", _HEADERS, [["accept", {"headers": [["Upgrade", None]]}]], None),
    ("Upgrade_to_something_else", _HEADERS, [["accept", {"headers": [["Upgrade", None], ["Upgrade", "h2c"]]}]], None),
    ("no_Connection_header", _HEADERS, [["accept", {"headers": [["Connection", None]]}]], None),
    ("wrong_Accept_key", _HEADERS, [["accept", {"accept": "dGhlIHNhbXBsZSBub25jZQ=="}]], None),
    ("no_Accept_key", _HEADERS, [["accept", {"headers": [["Sec-WebSocket-Accept", None]]}]], None),
    ("garbage", _BROKEN, [["raw", hex_of("garbage\r\n\r\ngarbage\r\n\r\n")], ["fin"]], None),
    ("zero_bytes", _BROKEN, [["raw", "00" * 100], ["fin"]], None),
    ("FIN_instead_of_answer", _BROKEN, [["fin"]], None),
    ("RST_instead_of_answer", _BROKEN, [["rst"]], None),
    ("FIN_within_the_answer", _BROKEN, [["raw", hex_of("HTTP/1.1 101 Switching Protocols\r\nUpgr")], ["fin"]], None),
    ("subprotocol_nobody_asked_for", _SUBPROTOCOL, [["accept", {"protocol": "chat"}]], None),
    ("subprotocol_other_than_asked_for", _SUBPROTOCOL, [["accept", {"protocol": "c"}]], ["a", "b"]),
    ("subprotocol_in_other_case", _SUBPROTOCOL, [["accept", {"protocol": "CHAT"}]], "chat"),
    ("several_subprotocols_chosen", _SUBPROTOCOL, [["accept", {"protocol": "a, b"}]], ["a", "b"]),
    ("no_subprotocol_chosen", _NONE_CHOSEN, [["accept"]], "chat"),
    ("no_subprotocol_of_two_chosen", _NONE_CHOSEN, [["accept"]], ["a", "b"]),
    ("empty_subprotocol_chosen", _NONE_CHOSEN, [["accept", {"protocol": ""}]], ["a", "b"]),
    ("unknown_extension", _EXTENSION, [["accept", {"extensions": "x-unknown"}]], None),
    ("extension_with_unknown_parameter", _EXTENSION, [["accept", {"extensions": "permessage-deflate; x=1"}]], None),
]


def _add_failure(name: str, rule: str, script: "list[list[Any]]", protocols: "Any") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(*script)
        await expect_failure(connect, peer.url, protocols)

    add_case("test_opening_with_" + name + "_fires_error_then_close_1006", rule, function)


for _failure in FAILURES:
    _add_failure(*_failure)


# How an answer may look that is right all the same.
ANSWERS: "list[tuple[str, dict[str, Any]]]" = [
    ("other_reason_phrase", {"status": "101 Fine"}),
    ("Upgrade_in_other_case", {"headers": [["Upgrade", None], ["upgrade", "WebSocket"]]}),
    ("Connection_with_several_options", {"headers": [["Connection", None], ["Connection", "keep-alive, UPGRADE"]]}),
    ("headers_that_mean_nothing", {"headers": [["Server", "x" * 999], ["X", ""], ["Content-Length", "0"]]}),
]


def _add_answer(name: str, options: "dict[str, Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        recorder = await record(connect, peer, ["accept", options], ["text", "hello"], ["close", 1000, ""])
        equal(recorder.events, [("open",), ("message", "hello"), ("close", 1000, "", True)])

    add_case(
        "test_opening_with_" + name + "_opens",
        "RFC 6455 4.1: header names and these values are compared without regard to case, the rest is ignored",
        function,
    )


for _answer in ANSWERS:
    _add_answer(*_answer)


@case("contract 2: ports that Fetch blocks: error and close 1006, never an exception")
async def test_opening_on_blocked_port_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """It is not even tried, though a server may well be there."""
    errors: list[Any] = []
    await expect_failure(connect, "ws://127.0.0.1:%d/" % BLOCKED_PORT, onerror=errors.append)
    reason = errors[0].message
    assert not reason or "blocked" in reason, reason


@case("contract 2: a connection that does not open: no open; 1006")
async def test_opening_on_refusing_port_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """Nobody listens there."""
    await expect_failure(connect, "ws://127.0.0.1:%d/" % CLOSED_PORT)


@case("contract 6: no redirects followed")
async def test_opening_with_redirect_fires_error_then_close_1006(connect: "Connect", peer: "Peer") -> None:
    """The other place is not asked."""
    await peer.script(["http", 302, [["Location", peer.url + "/elsewhere"]]])
    await expect_failure(connect, peer.url)
    equal(len(await peer.wait_for("request")), 1)


@case("WHATWG 3.1, protocol: the subprotocol that the server chose, from the open event on")
async def test_opening_with_one_of_two_subprotocols_tells_it(connect: "Connect", peer: "Peer") -> None:
    """It is there when the handler runs, not before, and stays after the close."""
    await peer.script(["accept", {"protocol": "b"}], ["close", 1000, ""])
    told: list[str] = []
    websocket = connect(peer.url, ["a", "b"], onopen=lambda event: told.append(event.target.protocol))
    equal(websocket.protocol, "")
    equal(await Recorder(websocket).closed(), ("close", 1000, "", True))
    equal((told, websocket.protocol), (["b"], "b"))


@case("contract 1, protocols: a string asks for one")
async def test_opening_with_subprotocol_as_string_tells_it(connect: "Connect", peer: "Peer") -> None:
    """A string is not taken apart."""
    await peer.script(["accept", {"protocol": "chat"}])
    websocket = connect(peer.url, "chat")
    await Recorder(websocket).wait("open")
    equal(websocket.protocol, "chat")


def _headers(request: "dict[str, Any]", name: str) -> list[str]:
    return [value for other, value in request["headers"] if other.lower() == name]


@case("RFC 6455 4.1: subprotocols are asked for in the order of preference")
async def test_opening_request_lists_subprotocols_in_order(connect: "Connect", peer: "Peer") -> None:
    """As they were given, in one header."""
    await peer.script(["accept", {"protocol": "b"}])
    connect(peer.url, ("b", "A", "c.3"))
    request = (await peer.wait_for("request"))[0]
    equal([value.replace(" ", "") for value in _headers(request, "sec-websocket-protocol")], ["b,A,c.3"])


def _add_no_protocols(name: str, protocols: "Any") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket = connect(peer.url, protocols)
        await Recorder(websocket).wait("open")
        equal(websocket.protocol, "")
        equal(_headers((await peer.wait_for("request"))[0], "sec-websocket-protocol"), [])

    add_case(
        "test_opening_with_" + name + "_asks_for_no_subprotocol",
        "contract 1, protocols: None or an empty sequence = none; protocol is then empty, never None",
        function,
    )


_add_no_protocols("None", None)
_add_no_protocols("empty_list", [])


@case("RFC 6455 4.1: the request is for the path and the query of the URL, and breaks no rule")
async def test_opening_request_has_path_and_query_of_the_url(connect: "Connect", peer: "Peer") -> None:
    """As the URL says, percent-encoded by it."""
    path = "/" + peer.url.split("/", 3)[3] + "/a%20b/\u00e9?q=1&r=%2F"
    await Recorder(connect(peer.url.split("/peer", 1)[0] + path)).wait("open")
    request = (await peer.wait_for("request"))[0]
    equal(request["path"], path.replace("\u00e9", "%C3%A9"))
    equal(await seen(peer, "violation"), [])


@case("RFC 6455 4.1: the request has Host, Upgrade, Connection, the version 13, and a key of its own")
async def test_opening_request_is_complete_and_its_key_is_new_each_time(connect: "Connect", peer: "Peer") -> None:
    """The key is 16 bytes in base64, and no connection has that of another."""
    keys: list[str] = []
    for number in range(1, 4):
        await Recorder(connect(peer.url)).wait("open")
        headers: dict[str, list[str]] = {}
        for name, value in (await peer.wait_for("request", number))[-1]["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        equal(headers["host"], [peer.url.split("/")[2]])
        equal([value.lower() for value in headers["upgrade"]], ["websocket"])
        assert "upgrade" in headers["connection"][0].lower(), headers
        equal(headers["sec-websocket-version"], ["13"])
        keys += headers["sec-websocket-key"]
    equal([(len(key), key[-2:]) for key in keys], [(24, "==")] * 3)
    equal(len(set(keys)), 3)
    equal(await seen(peer, "violation"), [])


def _add_extension(name: str, extension: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept", {"extensions": extension}], ["frame", 1, "f248cdc9c90700", {"rsv": 4}])
        told: list[str] = []
        websocket = connect(peer.url, onopen=lambda event: told.append(event.target.extensions))
        equal(websocket.extensions, "")
        equal(await Recorder(websocket).wait("message"), ("message", "Hello"))
        equal((told, websocket.extensions), ([extension], extension))

    add_case(name, "contract 1, extensions: empty until open, then what the server chose", function)


_add_extension("test_opening_with_permessage_deflate_tells_it", "permessage-deflate")
_add_extension(
    "test_opening_with_permessage_deflate_and_parameters_tells_them",
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
)


@case("contract 1, protocol, extensions: empty if nothing was chosen; never None")
async def test_opening_without_choices_leaves_protocol_and_extensions_empty(connect: "Connect", peer: "Peer") -> None:
    """An answer without these headers."""
    websocket, _ = await open_socket(connect, peer)
    equal((websocket.protocol, websocket.extensions), ("", ""))


# What the peer does to an open connection.
_UTF8 = "RFC 6455 8.1: text that is not UTF-8 fails the connection"
_RESERVED = "RFC 6455 5.2: reserved bits and opcodes fail the connection"
_CONTROL = "RFC 6455 5.5: control frames have at most 125 bytes and are not fragmented"
_FRAGMENTS = "RFC 6455 5.4: fragments of messages are not mixed, and continue something"
_MINIMAL = "RFC 6455 5.2: a length takes the fewest bytes that hold it"
_CLOSE = "RFC 6455 5.5.1, 7.4: a close frame has no body, or a code that may be sent and a reason in UTF-8"

VIOLATIONS: "list[tuple[str, str, list[list[Any]]]]" = [
    ("garbage", _RESERVED, [["raw", hex_of("garbage " * 20)]]),
    ("text_with_byte_ff", _UTF8, [["frame", 1, "61ff62"]]),
    ("text_with_overlong_form", _UTF8, [["frame", 1, "c080"]]),
    ("text_with_encoded_surrogate", _UTF8, [["frame", 1, "eda080"]]),
    ("text_beyond_10FFFF", _UTF8, [["frame", 1, "f4908080"]]),
    ("text_that_ends_within_a_character", _UTF8, [["frame", 1, "61f09f98"]]),
    ("bad_utf8_in_second_fragment", _UTF8, [["frame", 1, "61f0", {"fin": False}], ["frame", 0, "61"]]),
    ("masked_frame", "RFC 6455 5.1: a server must not mask", [["frame", 1, "6162", {"masked": True}]]),
    ("reserved_opcode_3", _RESERVED, [["frame", 3, "61"]]),
    ("reserved_control_opcode_11", _RESERVED, [["frame", 11, "61"]]),
    ("RSV1_without_extension", _RESERVED, [["frame", 1, "61", {"rsv": 4}]]),
    ("RSV2", _RESERVED, [["frame", 1, "61", {"rsv": 2}]]),
    ("RSV3", _RESERVED, [["frame", 2, "61", {"rsv": 1}]]),
    ("ping_of_126_bytes", _CONTROL, [["frame", 9, "00" * 126]]),
    ("fragmented_ping", _CONTROL, [["frame", 9, "00", {"fin": False}], ["frame", 0, "00"]]),
    ("close_frame_of_126_bytes", _CONTROL, [["frame", 8, "03e8" + "61" * 124]]),
    ("continuation_of_nothing", _FRAGMENTS, [["frame", 0, "61"]]),
    ("text_within_fragments", _FRAGMENTS, [["frame", 1, "61", {"fin": False}], ["text", "b"]]),
    ("binary_within_fragments", _FRAGMENTS, [["frame", 1, "61", {"fin": False}], ["frame", 2, "62", {"fin": False}]]),
    ("length_with_highest_bit", "RFC 6455 5.2: the highest bit of a length is 0", [["raw", "827f8000000000000000"]]),
    ("length_of_5_in_16_bits", _MINIMAL, [["raw", "827e0005" + "00" * 5]]),
    ("length_of_200_in_64_bits", _MINIMAL, [["raw", "827f" + "00" * 7 + "c8" + "00" * 200]]),
    ("close_code_999", _CLOSE, [["bad_close", "03e7"]]),
    ("close_code_1004", _CLOSE, [["bad_close", "03ec"]]),
    ("close_code_1005", _CLOSE, [["bad_close", "03ed"]]),
    ("close_code_1006", _CLOSE, [["bad_close", "03ee"]]),
    ("close_code_1015", _CLOSE, [["bad_close", "03f7"]]),
    ("close_code_2999", _CLOSE, [["bad_close", "0bb7"]]),
    ("close_code_5000", _CLOSE, [["bad_close", "1388"]]),
    ("close_frame_of_one_byte", _CLOSE, [["bad_close", "03"]]),
    ("close_reason_with_byte_ff", _CLOSE, [["bad_close", "03e8ff"]]),
]


# The same, where permessage-deflate was agreed on.
_DEFLATE = "RFC 7692 7.2.2, 6: RSV1 says that a message is compressed, in its first frame"

DEFLATE_VIOLATIONS: "list[tuple[str, str, list[list[Any]]]]" = [
    ("bad_compressed_data", _DEFLATE, [["frame", 1, "ffffffff", {"rsv": 4}]]),
    ("compressed_text_with_byte_ff", _UTF8, [["frame", 1, "fa0f00", {"rsv": 4}]]),
    ("RSV1_in_ping", _DEFLATE, [["frame", 9, "", {"rsv": 4}]]),
    ("RSV1_in_continuation", _DEFLATE, [["frame", 1, "61", {"fin": False}], ["frame", 0, "", {"rsv": 4}]]),
    ("RSV2_beside_RSV1", _RESERVED, [["frame", 1, "f248cdc9c90700", {"rsv": 6}]]),
]


def _add_violation(name: str, rule: str, steps: "list[list[Any]]", accept: "dict[str, Any] | None" = None) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept", accept], ["text", "before"])
        recorder = Recorder(connect(peer.url))
        await recorder.wait("message")
        # It is not the peer that ends TCP.
        await peer.do(["deaf"], *steps, ["text", "after"])
        await recorder.closed()
        equal(recorder.events, [("open",), ("message", "before")] + LOST)
        equal(recorder.states, [1, 1, 3, 3])

    add_case("test_" + name + "_fires_error_then_close_1006", rule, function)


for _violation in VIOLATIONS:
    _add_violation(*_violation)
for _violation in DEFLATE_VIOLATIONS:
    _add_violation(*_violation, accept={"extensions": "permessage-deflate"})
