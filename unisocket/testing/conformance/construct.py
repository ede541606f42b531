"""Cases of the constructor: URLs, subprotocols, handlers, subclasses; and of what does not change later."""

import unisocket
from unisocket import InvalidProtocolError, InvalidURLError, WebSocket
from unisocket._runtime import default_adapter
from unisocket.testing.conformance._case import add_case, case
from unisocket.testing.conformance._common import lost_after_message, open_socket
from unisocket.testing.conformance._stage import NOWHERE, Stage
from unisocket.testing.script import Recorder, equal, raises

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer


def url_of(connect: "Connect", url: str, **options: "Any") -> str:
    """Return what becomes of a URL; nobody is to hear of it."""
    websocket = connect(url, **options)
    websocket.close()
    return websocket.url


# URLs. Their port is one that Fetch blocks, or else they are of this machine.

_SERIALISED = "WHATWG 3.1, url: the serialised URL"
_MAPPED = "contract 1, url: http becomes ws, https becomes wss"
_USV = "contract 1: lone surrogates become U+FFFD, pairs join; URLs likewise"

URLS = [
    ("ws", _SERIALISED, "ws://127.0.0.1:9/path", "ws://127.0.0.1:9/path"),
    ("wss", _SERIALISED, "wss://127.0.0.1:9/path", "wss://127.0.0.1:9/path"),
    ("http_becomes_ws", _MAPPED, "http://127.0.0.1:9/path?query", "ws://127.0.0.1:9/path?query"),
    ("https_becomes_wss", _MAPPED, "https://127.0.0.1:9/path?query", "wss://127.0.0.1:9/path?query"),
    ("scheme_in_capitals_becomes_small", _SERIALISED, "WS://127.0.0.1:9/Path", "ws://127.0.0.1:9/Path"),
    ("HTTPS_in_capitals_becomes_wss", _MAPPED, "HTTPS://127.0.0.1:9/", "wss://127.0.0.1:9/"),
    ("host_in_capitals_becomes_small", _SERIALISED, "ws://LOCALHOST:9/Path?Query", "ws://localhost:9/Path?Query"),
    ("without_path_gets_one", _SERIALISED, "ws://127.0.0.1:9", "ws://127.0.0.1:9/"),
    ("without_path_but_query_gets_path", _SERIALISED, "ws://127.0.0.1:9?a", "ws://127.0.0.1:9/?a"),
    ("empty_query_keeps_its_mark", _SERIALISED, "ws://127.0.0.1:9/?", "ws://127.0.0.1:9/?"),
    ("dot_segments_are_resolved", _SERIALISED, "ws://127.0.0.1:9/a/./b/../../c/%2e%2E/d", "ws://127.0.0.1:9/d"),
    ("backslashes_become_slashes", _SERIALISED, "ws:\\\\127.0.0.1:9\\a", "ws://127.0.0.1:9/a"),
    ("without_slashes_gets_them", _SERIALISED, "ws:127.0.0.1:9/a", "ws://127.0.0.1:9/a"),
    ("with_one_slash_gets_another", _SERIALISED, "ws:/127.0.0.1:9/a", "ws://127.0.0.1:9/a"),
    ("with_many_slashes_keeps_two", _SERIALISED, "ws:////127.0.0.1:9/a", "ws://127.0.0.1:9/a"),
    ("port_443_of_ws_is_kept", _SERIALISED, "ws://127.0.0.1:443/", "ws://127.0.0.1:443/"),
    ("port_80_of_wss_is_kept", _SERIALISED, "wss://127.0.0.1:80/", "wss://127.0.0.1:80/"),
    ("NUL_around_is_dropped", _SERIALISED, "\0ws://127.0.0.1:9/a\0\0", "ws://127.0.0.1:9/a"),
    (
        "NUL_in_query_is_encoded_and_at_its_end_dropped",
        _SERIALISED,
        "ws://127.0.0.1:9/?a\0b\0",
        "ws://127.0.0.1:9/?a%00b",
    ),
    ("space_around_is_dropped", _SERIALISED, " \x1f\nws://127.0.0.1:9/a \t", "ws://127.0.0.1:9/a"),
    ("tab_and_newline_within_are_dropped", _SERIALISED, "w\ts://127.0.0.1:9/a\r\nb", "ws://127.0.0.1:9/ab"),
    ("short_ip_is_completed", _SERIALISED, "ws://127.1:9/", "ws://127.0.0.1:9/"),
    ("hexadecimal_ip_is_converted", _SERIALISED, "ws://0x7F000001:9/", "ws://127.0.0.1:9/"),
    ("percent_encoded_host_is_decoded", _SERIALISED, "ws://%31%32%37.0.0.1:9/", "ws://127.0.0.1:9/"),
    ("ipv6_is_compressed", _SERIALISED, "ws://[0:0:0:0:0:0:0:1]:9/", "ws://[::1]:9/"),
    ("international_host_becomes_punycode", _SERIALISED, "ws://B\u00fccher.test:9/", "ws://xn--bcher-kva.test:9/"),
    ("port_80_of_ws_is_dropped", _SERIALISED, "ws://127.0.0.1:80/", "ws://127.0.0.1/"),
    ("port_443_of_wss_is_dropped", _SERIALISED, "wss://127.0.0.1:443/", "wss://127.0.0.1/"),
    ("port_80_of_http_is_dropped", _MAPPED, "http://127.0.0.1:80/", "ws://127.0.0.1/"),
    ("port_443_of_https_is_dropped", _MAPPED, "https://127.0.0.1:443/", "wss://127.0.0.1/"),
    ("empty_port_is_dropped", _SERIALISED, "ws://127.0.0.1:/", "ws://127.0.0.1/"),
    ("zeros_before_port_are_dropped", _SERIALISED, "ws://127.0.0.1:00009/", "ws://127.0.0.1:9/"),
    ("space_in_path_and_query_is_encoded", _SERIALISED, "ws://127.0.0.1:9/a b?c d", "ws://127.0.0.1:9/a%20b?c%20d"),
    ("percent_encoding_is_kept", _SERIALISED, "ws://127.0.0.1:9/%41%zz?%41", "ws://127.0.0.1:9/%41%zz?%41"),
    ("other_letters_are_encoded", _SERIALISED, "ws://127.0.0.1:9/\u00e9?\u20ac", "ws://127.0.0.1:9/%C3%A9?%E2%82%AC"),
    ("quotes_in_query_are_encoded", _SERIALISED, "ws://127.0.0.1:9/'?'\"", "ws://127.0.0.1:9/'?%27%22"),
    ("NUL_in_path_is_encoded", _SERIALISED, "ws://127.0.0.1:9/a\0b", "ws://127.0.0.1:9/a%00b"),
    ("surrogate_pair_joins", _USV, "ws://127.0.0.1:9/\ud83d\ude00", "ws://127.0.0.1:9/%F0%9F%98%80"),
    ("lone_surrogate_becomes_replacement", _USV, "ws://127.0.0.1:9/?a\ud83db", "ws://127.0.0.1:9/?a%EF%BF%BDb"),
    (
        "userinfo_is_kept",
        "contract 1: userinfo is kept in url",
        "ws://me:p@ss w@127.0.0.1:9/",
        "ws://me:p%40ss%20w@127.0.0.1:9/",
    ),
]


def _add_url(name: str, rule: str, url: str, expected: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        equal(url_of(connect, url), expected)

    add_case("test_url_" + name, rule, function)


for _url in URLS:
    _add_url(*_url)

_SCHEME = "contract 1, bad url: other scheme"
_FRAGMENT = "contract 1, bad url: any fragment, an empty one, too"
_HOST = "contract 1, bad url: a host with a space or %20"
_UNPARSABLE = "contract 1, bad url: unparsable"

BAD_URLS = [
    ("of_ftp", _SCHEME, "ftp://127.0.0.1:9/"),
    ("of_file", _SCHEME, "file:///path"),
    ("of_mailto", _SCHEME, "mailto:somebody@localhost"),
    ("of_data", _SCHEME, "data:,ws://127.0.0.1:9/"),
    ("of_javascript", _SCHEME, "javascript:0"),
    ("of_about_blank", _SCHEME, "about:blank"),
    ("of_scheme_that_begins_like_ws", _SCHEME, "wsx://127.0.0.1:9/"),
    ("with_fragment", _FRAGMENT, "ws://127.0.0.1:9/#fragment"),
    ("with_empty_fragment", _FRAGMENT, "ws://127.0.0.1:9/#"),
    ("with_fragment_after_query", _FRAGMENT, "wss://127.0.0.1:9/?query#fragment"),
    ("of_http_with_fragment", _FRAGMENT, "http://127.0.0.1:9/path#"),
    ("with_space_in_host", _HOST, "ws://local host:9/"),
    ("with_encoded_space_in_host", _HOST, "ws://local%20host:9/"),
    ("with_NUL_in_host", _UNPARSABLE, "ws://local\0host:9/"),
    ("with_angle_bracket_in_host", _UNPARSABLE, "ws://local<host:9/"),
    ("with_caret_in_host", _UNPARSABLE, "ws://local^host:9/"),
    ("with_encoded_slash_in_host", _UNPARSABLE, "ws://local%2Fhost:9/"),
    ("with_lone_percent_in_host", _UNPARSABLE, "ws://local%host:9/"),
    ("with_soft_hyphen_as_host", _UNPARSABLE, "ws://\u00ad:9/"),
    ("without_host", _UNPARSABLE, "ws://"),
    ("without_host_but_userinfo", _UNPARSABLE, "ws://me@/"),
    ("without_host_but_port", _UNPARSABLE, "ws://:9/"),
    ("with_open_ipv6_bracket", _UNPARSABLE, "ws://[::1:9/"),
    ("with_bad_ipv6", _UNPARSABLE, "ws://[::1::2]:9/"),
    ("with_ip_beyond_255", _UNPARSABLE, "ws://127.0.0.256:9/"),
    ("with_ip_of_five_parts", _UNPARSABLE, "ws://127.0.0.0.1:9/"),
    ("with_port_beyond_65535", _UNPARSABLE, "ws://127.0.0.1:65536/"),
    ("with_port_of_letters", _UNPARSABLE, "ws://127.0.0.1:nine/"),
    ("with_negative_port", _UNPARSABLE, "ws://127.0.0.1:-9/"),
]


def _add_bad_url(name: str, rule: str, url: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        error = raises(InvalidURLError, lambda: connect(url))
        equal(error.name, "SyntaxError")

    add_case("test_url_" + name + "_raises_SyntaxError", rule, function)


for _bad_url in BAD_URLS:
    _add_bad_url(*_bad_url)


@case("contract 1, bad url: raised by the constructor, nothing opened")
async def test_constructor_that_raises_opens_nothing(connect: "Connect", peer: "Peer") -> None:
    """Whichever argument is wrong, the peer sees no request."""
    raises(InvalidURLError, lambda: connect(peer.url + "#"))
    raises(InvalidProtocolError, lambda: connect(peer.url, "a b"))
    raises(TypeError, lambda: connect(peer.url, [5]))
    raises(TypeError, lambda: connect(peer.url, onopen=5))
    raises(TypeError, lambda: connect(peer.url, onopening=print))
    await Recorder(connect(peer.url)).wait("open")
    equal(len(await peer.wait_for("request")), 1)


@case("contract 1, url: relative where the runtime has a base URL, else a clear error")
async def test_relative_url_resolves_against_base_or_raises_SyntaxError(connect: "Connect", peer: "Peer") -> None:
    """A page has a base; where there is none, no relative URL is valid."""
    try:
        root = url_of(connect, "/")
    except InvalidURLError as no_base:
        equal(no_base.name, "SyntaxError")
        for url in ("", "path", "../path", "?query", "//127.0.0.1:9/path", "/path"):
            equal(raises(InvalidURLError, lambda url=url: connect(url)).name, "SyntaxError")  # type: ignore[misc]
        return
    scheme = root.split(":", 1)[0]
    assert scheme in ("ws", "wss"), root
    assert root.count("/") == 3, root
    equal(url_of(connect, "/a/../b?c"), root + "b?c")
    equal(url_of(connect, "//127.0.0.1:9/path"), scheme + "://127.0.0.1:9/path")
    raises(InvalidURLError, lambda: connect("path#fragment"))


BASE = "http://127.0.0.1:9/folder/page?query"

RELATIVE = [
    ("path_resolves_against_its_folder", "chat", "ws://127.0.0.1:9/folder/chat"),
    ("path_from_root_drops_its_folder", "/chat", "ws://127.0.0.1:9/chat"),
    ("path_upwards_leaves_its_folder", "../chat", "ws://127.0.0.1:9/chat"),
    ("query_replaces_its_query", "?chat", "ws://127.0.0.1:9/folder/page?chat"),
    ("host_keeps_its_scheme", "//localhost:9/chat", "ws://localhost:9/chat"),
    ("empty_url_is_its_own", "", "ws://127.0.0.1:9/folder/page?query"),
    ("absolute_url_ignores_it", "wss://localhost:9/chat", "wss://localhost:9/chat"),
]


def _add_relative(name: str, url: str, expected: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        equal(url_of(connect, url, options={"base_url": BASE}), expected)

    rule = "contract 1, url: relative; on CPython to the adapter's base_url"
    add_case("test_with_base_url_" + name, rule, function, ("base-url",))


for _relative in RELATIVE:
    _add_relative(*_relative)


@case("contract 1, url (attribute): fixed from construction")
async def test_url_stays_the_same_when_open_and_closed(connect: "Connect", peer: "Peer") -> None:
    """Nothing that happens changes it."""
    websocket = connect(peer.url + "/a/../b?c")
    recorder = Recorder(websocket)
    urls = [websocket.url]
    await recorder.wait("open")
    urls.append(websocket.url)
    websocket.close()
    await recorder.closed()
    urls.append(websocket.url)
    equal(urls, [peer.url + "/b?c"] * 3)


@case("WHATWG 3.1: path and query go to the server as they are serialised")
async def test_url_path_and_query_arrive_at_the_server(connect: "Connect", peer: "Peer") -> None:
    """The request line has what url has."""
    websocket = connect(peer.url + "/a b/\u00e9?q=\u00e9&r='")
    await Recorder(websocket).wait("open")
    path = (await peer.wait_for("request"))[0]["path"]
    assert websocket.url.endswith(path), path
    assert path.endswith("/a%20b/%C3%A9?q=%C3%A9&r=%27"), path


# Subprotocols

_OFFERED = "contract 1, protocols: a string or any sequence of strings"
_NONE = "contract 1, protocols: None or an empty sequence = none"

# The characters of a token (RFC 9110 section 5.6.2) that are neither letters nor digits.
TOKEN = "!#$%&'*+-.^_`|~"


class Sequence:
    """A sequence that is neither list nor tuple."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> str:
        return ("b", "a")[index]


class Iterable:
    """What can be iterated over, and nothing else."""

    def __iter__(self) -> "Any":
        return iter(["b", "a"])


PROTOCOLS: "list[tuple[str, str, Any, list[str]]]" = [
    ("string_is_one", _OFFERED, "chat", ["chat"]),
    ("list_keeps_its_order", _OFFERED, ["b", "a", "c"], ["b", "a", "c"]),
    ("tuple_keeps_its_order", _OFFERED, ("b", "a"), ["b", "a"]),
    ("sequence_keeps_its_order", _OFFERED, Sequence(), ["b", "a"]),
    ("any_iterable_keeps_its_order", _OFFERED, Iterable(), ["b", "a"]),
    ("range_of_none_is_none", _NONE, range(0), []),
    ("names_keep_their_case", _OFFERED, ["Chat.V2"], ["Chat.V2"]),
    ("every_token_character_is_allowed", _OFFERED, "aZ09" + TOKEN, ["aZ09" + TOKEN]),
    ("None_is_none", _NONE, None, []),
    ("empty_list_is_none", _NONE, [], []),
    ("empty_tuple_is_none", _NONE, (), []),
]


def _add_protocols(name: str, rule: str, protocols: "Any", offered: "list[str]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        await peer.script(["accept", {"protocol": offered[0]} if offered else {}])
        websocket = connect(peer.url, protocols)
        equal(websocket.protocol, "")
        await Recorder(websocket).wait("open")
        headers = (await peer.wait_for("request"))[0]["headers"]
        values = [value for header, value in headers if header.lower() == "sec-websocket-protocol"]
        equal([value.strip() for value in ",".join(values).split(",") if value], offered)
        equal(websocket.protocol, offered[0] if offered else "")

    add_case("test_protocols_" + name, rule, function)


for _protocols in PROTOCOLS:
    _add_protocols(*_protocols)


@case("contract 1, protocols: what is asked for is what was given")
async def test_protocols_list_changed_afterwards_changes_nothing(connect: "Connect", peer: "Peer") -> None:
    """The constructor takes its own copy."""
    await peer.script(["accept", {"protocol": "first"}])
    protocols = ["first"]
    websocket = connect(peer.url, protocols)
    protocols[0] = "second"
    await Recorder(websocket).wait("open")
    equal((websocket.protocol, protocols), ("first", ["second"]))


_NO_TOKEN = "contract 1, protocols: not an RFC 9110 token: InvalidProtocolError"
_TWICE = "contract 1, protocols: a duplicate, compared ASCII case-insensitively: InvalidProtocolError"

BAD_PROTOCOLS: "list[tuple[str, str, list[Any]]]" = [
    ("that_is_empty", _NO_TOKEN, ["", [""], ["chat", ""]]),
    ("with_space", _NO_TOKEN, [" ", "a b", " a", "a ", ["chat", "a b"]]),
    ("with_separator", _NO_TOKEN, ["a" + separator for separator in '"(),/:;<=>?@[\\]{}']),
    ("with_control_character", _NO_TOKEN, ["a" + chr(code) for code in list(range(0x20)) + [0x7F]]),
    ("beyond_ASCII", _NO_TOKEN, ["\x80", "caf\u00e9", "\u0130", "\u212a", "\U0001f600", "a\ud800"]),
    ("asked_for_twice", _TWICE, [["a", "a"], ["a", "b", "a"], ("a", "a")]),
    ("asked_for_twice_in_other_case", _TWICE, [["chat", "Chat"], ["A", "b", "a"]]),
]


def _add_bad_protocols(name: str, rule: str, values: "list[Any]") -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        for protocols in values:
            error = raises(InvalidProtocolError, lambda protocols=protocols: connect(NOWHERE, protocols))  # type: ignore[misc]
            equal(error.name, "SyntaxError")

    add_case("test_protocol_" + name + "_raises_SyntaxError", rule, function)


for _bad_protocols in BAD_PROTOCOLS:
    _add_bad_protocols(*_bad_protocols)


# Handlers

_HANDLERS = "contract 1, **handlers: onopen= onmessage= onerror= onclose="


@case(_HANDLERS)
async def test_handlers_given_to_constructor_are_called(connect: "Connect", peer: "Peer") -> None:
    """They are there before anything can happen."""
    called: list[str] = []
    note = lambda event: called.append(event.type)  # noqa: E731  one of several handlers
    await peer.script(["together", [["accept"], ["text", "hello"]]])
    websocket = connect(peer.url, onopen=note, onmessage=note, onerror=note, onclose=note)
    equal(called, [])
    await lost_after_message(peer, Recorder(websocket))
    equal(called, ["open", "message", "error", "close"])


@case(_HANDLERS)
async def test_handlers_given_to_constructor_are_read_back(connect: "Connect", peer: "Peer") -> None:
    """As if they had been assigned; None is none."""
    stage = Stage(connect)
    handler = stage.listener("handler")
    websocket = connect(NOWHERE, onopen=handler, onclose=None)
    assert websocket.onopen is handler
    equal((websocket.onmessage, websocket.onerror, websocket.onclose), (None, None, None))


# Subclasses


@case("contract 1: subclassing works, handlers assigned or bound in __init__")
async def test_subclass_with_handlers_set_in_init_hears_events(connect: "Connect", peer: "Peer") -> None:
    """A method is a handler as any other."""
    got: list[str] = []

    class Chat(WebSocket):
        """Says hello, and keeps what comes."""

        def __init__(self, url: str) -> None:
            super().__init__(url)
            self.onopen = self.say_hello
            self.bind("message", self.keep)

        def say_hello(self, event: "Any") -> None:
            assert event.target is self
            self.send("hello")

        def keep(self, event: "Any") -> None:
            got.append(event.data)

    websocket = Chat(peer.url)
    await Recorder(websocket).wait("message")
    equal(got, ["hello"])
    assert isinstance(websocket, WebSocket)


@case("contract 1: subclassing works, handlers given to the constructor")
async def test_subclass_passing_a_method_to_the_constructor_hears_events(connect: "Connect", peer: "Peer") -> None:
    """A method can be given before the socket is made."""
    got: list[str] = []

    class Chat(WebSocket):
        """Keeps what comes."""

        def __init__(self, url: str) -> None:
            super().__init__(url, onmessage=self.handle_message)

        def handle_message(self, event: "Any") -> None:
            got.append(event.data)

    await peer.script(["accept"], ["text", "hello"])
    await Recorder(Chat(peer.url)).wait("message")
    equal(got, ["hello"])


def _add_subclass(name: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        subclass = type("Chat", (WebSocket,), {name: lambda self, event: None})
        error = raises(TypeError, lambda: subclass(NOWHERE))
        assert name in str(error), error

    add_case(
        "test_subclass_with_method_" + name + "_raises_TypeError",
        "contract 1: a subclass that defines onmessage and its like as methods: a TypeError that says how to do it",
        function,
    )


for _name in ("onopen", "onmessage", "onerror", "onclose"):
    _add_subclass(_name)


# What a new socket is like


@case("contract 1, readyState: CONNECTING OPEN CLOSING CLOSED on the class and on the instance")
async def test_constants_stand_on_class_and_instance(connect: "Connect", peer: "Peer") -> None:
    """They are 0 to 3."""
    for owner in (WebSocket, Stage(connect).websocket):
        equal((owner.CONNECTING, owner.OPEN, owner.CLOSING, owner.CLOSED), (0, 1, 2, 3))


@case("contract 1: the state of a new socket")
async def test_new_socket_is_CONNECTING_and_empty(connect: "Connect", peer: "Peer") -> None:
    """Strings are empty, never None."""
    websocket = connect(peer.url)
    equal(websocket.readyState, websocket.CONNECTING)
    equal((websocket.protocol, websocket.extensions, websocket.bufferedAmount), ("", "", 0))
    equal(websocket.binaryType, "bytes")


@case("contract 1, protocol, extensions: '' if nothing; never None")
async def test_protocol_and_extensions_of_plain_connection_are_empty(connect: "Connect", peer: "Peer") -> None:
    """When it is open, and when it is closed."""
    websocket, recorder = await open_socket(connect, peer)
    equal((websocket.protocol, websocket.extensions), ("", ""))
    websocket.close()
    await recorder.closed()
    equal((websocket.protocol, websocket.extensions), ("", ""))


@case("contract 1, binaryType: 'bytes' or 'arraybuffer'")
async def test_binaryType_assigned_is_read_back(connect: "Connect", peer: "Peer") -> None:
    """In any state."""
    websocket = Stage(connect).websocket
    for kind in ("arraybuffer", "bytes"):
        websocket.binaryType = kind
        equal(websocket.binaryType, kind)


def _add_read_only(name: str) -> None:
    async def function(connect: "Connect", peer: "Peer") -> None:
        websocket = Stage(connect).websocket
        value = getattr(websocket, name)
        raises(AttributeError, lambda: setattr(websocket, name, value))
        equal(getattr(websocket, name), value)

    add_case("test_" + name + "_is_read_only", "contract 1 and WHATWG 3.1: readonly attribute " + name, function)


for _name in ("url", "readyState", "protocol", "extensions", "bufferedAmount"):
    _add_read_only(_name)


@case("contract 1, supported: module attribute and class attribute")
async def test_supported_is_True_where_sockets_can_be_made(connect: "Connect", peer: "Peer") -> None:
    """This case makes one."""
    websocket = Stage(connect).websocket
    equal((unisocket.supported, WebSocket.supported, websocket.supported), (True, True, True))


@case("contract 1: a repr without userinfo and query")
async def test_repr_tells_the_host_and_no_secrets(connect: "Connect", peer: "Peer") -> None:
    """Logs are read by many."""
    text = repr(connect("ws://somebody:password@127.0.0.1:9/path?token=secret"))
    for secret in ("somebody", "password", "token", "secret"):
        assert secret not in text, text
    assert "ws://127.0.0.1:9/path" in text, text


@case("contract 1, adapter: an adapter instance")
async def test_arguments_of_constructor_have_their_names(connect: "Connect", peer: "Peer") -> None:
    """Each may be given by its name."""
    await peer.script(["accept", {"protocol": "chat"}])
    websocket = WebSocket(url=peer.url, protocols=["chat"], adapter=default_adapter())
    await Recorder(websocket).wait("open")
    websocket.send(data="hello")
    websocket.close(code=4000, reason="bye")
    equal((await peer.wait_for("close"))[0]["code"], 4000)
