"""The URL of a WebSocket on CPython: the rules of the WHATWG URL standard, one line each.

Browsers have their own parser; here it is `ada-url`. What is written down is the standard's text, not
what any of them does.
"""

import pytest
from fault_server import Peer, all_ends, fault_server

from unisocket import InvalidURLError, WebSocket
from unisocket._checks import checked_url
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing._wire import CLOSE, Request, close_body, make_frame
from unisocket.testing.script import Recorder


def parsed(url: str, base: str | None = None) -> str:
    return checked_url(url, CPythonAdapter(base_url=base))


VALID = {
    # Scheme state, special authority (ignore) slashes state: how many slashes, or which, is all the same.
    "ws://host": "ws://host/",
    "ws:host": "ws://host/",
    "ws:/host": "ws://host/",
    "ws:///host": "ws://host/",
    "ws:////host": "ws://host/",
    "ws:\\\\host": "ws://host/",
    "ws:\\host": "ws://host/",
    "WS://host": "ws://host/",
    "wSs://host": "wss://host/",
    # WebSockets section 3.1, the constructor: http and https become ws and wss.
    "http://host/a": "ws://host/a",
    "https://host/a": "wss://host/a",
    "http:host": "ws://host/",
    "HTTPS://host": "wss://host/",
    # URL parsing, steps 1 to 3: C0 controls and spaces around, tabs and newlines everywhere.
    " ws://host/ ": "ws://host/",
    "\x00\x1f ws://host/\x0c\x00": "ws://host/",
    "w\ts:\n//ho\rst/a\tb": "ws://host/ab",
    # Port state; a scheme's default port is null.
    "ws://host:80/": "ws://host/",
    "wss://host:443/": "wss://host/",
    "ws://host:443/": "ws://host:443/",
    "wss://host:80/": "wss://host:80/",
    "http://host:80/": "ws://host/",
    "https://host:443/": "wss://host/",
    "http://host:443/": "ws://host:443/",
    "ws://host:/": "ws://host/",
    "ws://host:0080/": "ws://host/",
    "ws://host:0/": "ws://host:0/",
    "ws://host:65535/": "ws://host:65535/",
    # Host parsing: percent-decode, then domain to ASCII (UTS 46).
    "ws://HOST/": "ws://host/",
    "ws://h%6Fst/": "ws://host/",
    "ws://host./": "ws://host./",
    "ws://b\xfccher.example/": "ws://xn--bcher-kva.example/",
    "ws://B\xdcCHER.example/": "ws://xn--bcher-kva.example/",
    "ws://b%C3%BCcher.example/": "ws://xn--bcher-kva.example/",
    "ws://fa\xdf.example/": "ws://xn--fa-hia.example/",
    "ws://\u4f8b\u3048.\u30c6\u30b9\u30c8/": "ws://xn--r8jz45g.xn--zckzah/",
    "ws://\U0001f600.example/": "ws://xn--e28h.example/",
    "ws://a\u3002b/": "ws://a.b/",  # an ideographic full stop
    "ws://\uff27\uff4f.example/": "ws://go.example/",  # full-width letters
    "ws://a\xadb/": "ws://ab/",  # a soft hyphen is ignored
    "ws://xn--bcher-kva.example/": "ws://xn--bcher-kva.example/",
    "ws://a_b/": "ws://a_b/",
    "ws://a--b/": "ws://a--b/",
    "ws://!$&'()*+,;=~\"`{}/": "ws://!$&'()*+,;=~\"`{}/",
    "ws://-\u2020/": "ws://xn----xhn/",
    "ws://a\u2020--/": "ws://xn--a---kp0a/",
    "ws://\u2260/": "ws://xn--1ch/",
    "ws://\u064a./": "ws://xn--mhb./",
    "ws://x..xn--zca/": "ws://x..xn--zca/",
    # IPv4 parser: fewer parts, octal, hexadecimal.
    "ws://127.0.0.1/": "ws://127.0.0.1/",
    "ws://127.1/": "ws://127.0.0.1/",
    "ws://127.0.1/": "ws://127.0.0.1/",
    "ws://2130706433/": "ws://127.0.0.1/",
    "ws://0x7f.1/": "ws://127.0.0.1/",
    "ws://0X7F000001/": "ws://127.0.0.1/",
    "ws://0177.0.0.01/": "ws://127.0.0.1/",
    "ws://127.0.0.1./": "ws://127.0.0.1/",
    "ws://0/": "ws://0.0.0.0/",
    "ws://0x/": "ws://0.0.0.0/",
    "ws://4294967295/": "ws://255.255.255.255/",
    "ws://127.0.0.0xff/": "ws://127.0.0.255/",
    "ws://\uff11.\uff12.\uff13.\uff14/": "ws://1.2.3.4/",
    "ws://1.2.3.4.example/": "ws://1.2.3.4.example/",
    # IPv6 parser and serializer: lower case, no leading zeros, the longest run of zeros compressed.
    "ws://[::1]/": "ws://[::1]/",
    "ws://[::1]:80/": "ws://[::1]/",
    "ws://[::1]:8080/": "ws://[::1]:8080/",
    "ws://[0:0:0:0:0:0:0:1]/": "ws://[::1]/",
    "ws://[2001:DB8:0:0:1:0:0:0]/": "ws://[2001:db8:0:0:1::]/",
    "ws://[2001:0db8::0001]/": "ws://[2001:db8::1]/",
    "ws://[1:0:2:3:4:5:6:7]/": "ws://[1:0:2:3:4:5:6:7]/",
    "ws://[::127.0.0.1]/": "ws://[::7f00:1]/",
    "ws://[::ffff:1.2.3.4]/": "ws://[::ffff:102:304]/",
    # Userinfo.
    "ws://user@host/": "ws://user@host/",
    "ws://user:@host/": "ws://user@host/",
    "ws://:password@host/": "ws://:password@host/",
    "ws://user:password@host/": "ws://user:password@host/",
    "ws://:@host/": "ws://host/",
    "ws://@host/": "ws://host/",
    "ws://a@b@host/": "ws://a%40b@host/",
    "ws://a:b:c@host/": "ws://a:b%3Ac@host/",
    "ws://\xfc;=[]|@host/": "ws://%C3%BC%3B%3D%5B%5D%7C@host/",
    # Path: dot segments, also encoded; backslashes are slashes; empty segments stay.
    "ws://host/a/./b": "ws://host/a/b",
    "ws://host/a/../b": "ws://host/b",
    "ws://host/../../b": "ws://host/b",
    "ws://host/a/b/..": "ws://host/a/",
    "ws://host/a/b/.": "ws://host/a/b/",
    "ws://host/a/%2e/b": "ws://host/a/b",
    "ws://host/a/%2E%2e/b": "ws://host/b",
    "ws://host/a/.%2e": "ws://host/",
    "ws://host/a/...": "ws://host/a/...",
    "ws://host\\a\\..\\b": "ws://host/b",
    "ws://host//a//b/": "ws://host//a//b/",
    "ws://host/a//../b": "ws://host/a/b",
    "ws://host/c:/../x": "ws://host/x",
    # Percent-encoding: the path set, and that of the query of special schemes.
    "ws://host/a b": "ws://host/a%20b",
    "ws://host/\xfc": "ws://host/%C3%BC",
    'ws://host/"<>`{}^|': "ws://host/%22%3C%3E%60%7B%7D%5E|",
    "ws://host/'[]@:;=": "ws://host/'[]@:;=",
    "ws://host/%": "ws://host/%",
    "ws://host/%zz%4": "ws://host/%zz%4",
    "ws://host/%c3%bc%41": "ws://host/%c3%bc%41",
    "ws://host/a\x00b": "ws://host/a%00b",
    "ws://host/\x7f": "ws://host/%7F",
    "ws://host/\U0001f600": "ws://host/%F0%9F%98%80",
    "ws://host/\ud83d\ude00": "ws://host/%F0%9F%98%80",  # two surrogates are one character,
    "ws://host/\ud800": "ws://host/%EF%BF%BD",  # and one of them is U+FFFD
    "ws://host/?a b": "ws://host/?a%20b",
    "ws://host?a=b": "ws://host/?a=b",
    "ws://host/?a?b=/../": "ws://host/?a?b=/../",
    "ws://host/?'\"<>`{}^|\\": "ws://host/?%27%22%3C%3E`{}^|\\",
    "ws://host/?\xfc": "ws://host/?%C3%BC",
    "ws://host/?\x00b": "ws://host/?%00b",
    "ws://host/?": "ws://host/?",
    "ws://host?": "ws://host/?",
}


@pytest.mark.parametrize(("url", "serialised"), VALID.items(), ids=map(ascii, VALID))
def test_url_is_parsed_and_serialised(url: str, serialised: str) -> None:
    assert parsed(url) == serialised


@pytest.mark.parametrize("url", sorted(set(VALID.values())), ids=ascii)
def test_serialised_url_is_what_it_is_parsed_to(url: str) -> None:
    assert parsed(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "host",
        "/path",
        "//host/",
        "?query",
        # Another scheme.
        "ftp://host/",
        "file:///path",
        "data:text/plain,x",
        "mailto:user@host",
        "wsx://host/",
        "blob:ws://host/",
        # No host.
        "ws:",
        "ws://",
        "ws:///",
        "ws://:80/",
        "ws://?query",
        "ws://user@/",
        "ws://user:password@:80/",
        # A fragment, even an empty one: WebSockets section 3.1.
        "ws://host/#fragment",
        "ws://host/#",
        "ws://host#",
        # Ports.
        "ws://host:65536/",
        "ws://host:-1/",
        "ws://host:a/",
        "ws://host:8 0/",
        "ws://host:80:80/",
        "ws://host:\uff18/",
        # Forbidden domain code points, as they are and encoded.
        *(f"ws://a{character}b/" for character in " <>^|%\x00\x01\x7f[]"),
        *(f"ws://a%{ord(character):02X}b/" for character in " #/:<>?@[\\]^|%\x00\x7f"),
        "ws://%/",
        "ws://%zz/",
        "ws://%ff/",
        "ws://a\ud800b/",
        # UTS 46.
        "ws://\xad/",
        "ws://xn--a/",
        "ws://xn--a-yoc/",
        "ws://xn--ls8h=/",
        "ws://xn--zn7c.com/",
        "ws://xn--1ug.example/",
        "ws://xn--mhb.1/",
        "ws://xn--te\u0161la/",
        "ws://\u200d.example/",
        "ws://\u064aa/",
        "ws://\ufffd.com/",
        "ws://a\uff05b/",  # a full-width %
        "ws://\uff03/",  # a full-width #
        # Ends in a number, and is no IPv4 address.
        "ws://256.0.0.1/",
        "ws://1.2.3.4.5/",
        "ws://127.0.0.0x100/",
        "ws://4294967296/",
        "ws://0x100000000/",
        "ws://08.0.0.1/",
        "ws://1..2/",
        "ws://host.1/",
        "ws://a.0x1/",
        # IPv6.
        "ws://[/",
        "ws://[]/",
        "ws://[::1/",
        "ws://::1/",
        "ws://[1:2:3]/",
        "ws://[1:2:3:4:5:6:7:8:9]/",
        "ws://[::1::]/",
        "ws://[12345::]/",
        "ws://[::g]/",
        "ws://[::1%25eth0]/",
        "ws://[::1.2.3]/",
        "ws://[::1.2.3.256]/",
        "ws://[::01.2.3.4]/",
        "ws://[::1]a/",
    ],
    ids=ascii,
)
def test_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidURLError):
        parsed(url)


BASE = "https://user@host:8443/a/b?q"


@pytest.mark.parametrize(
    ("url", "serialised"),
    [
        ("", "wss://user@host:8443/a/b?q"),
        ("c", "wss://user@host:8443/a/c"),
        ("./c", "wss://user@host:8443/a/c"),
        ("../c", "wss://user@host:8443/c"),
        ("/c", "wss://user@host:8443/c"),
        ("\\c", "wss://user@host:8443/c"),
        ("?r", "wss://user@host:8443/a/b?r"),
        ("//other/c", "wss://other/c"),
        ("\\\\other/c", "wss://other/c"),
        ("https:c", "wss://user@host:8443/a/c"),  # the scheme of the base: relative
        ("https:/c", "wss://user@host:8443/c"),
        ("wss:c", "wss://c/"),  # another: absolute
        ("ws://other/", "ws://other/"),
        ("c:d", None),
        ("#", None),
        ("c#d", None),
    ],
)
def test_relative_url_is_resolved_against_the_base(url: str, serialised: str | None) -> None:
    if serialised is None:
        with pytest.raises(InvalidURLError):
            parsed(url, BASE)
    else:
        assert parsed(url, BASE) == serialised


@pytest.mark.parametrize("url", [None, b"ws://host/", 1])
def test_url_that_is_no_str_is_a_type_error(url: object) -> None:
    with pytest.raises(TypeError, match=type(url).__name__):
        parsed(url)  # type: ignore[arg-type]


async def test_constructor_raises_for_an_invalid_url_and_opens_nothing() -> None:
    with pytest.raises(InvalidURLError):
        WebSocket("ws://ho st/")


# Fetch section 2.9: what is spoken at these ports is no HTTP, and they are not connected to.
PORTS = """
    0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123
    135 137 139 143 161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995
    1719 1720 1723 2049 3659 4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080
"""
BLOCKED = PORTS.split()


async def test_blocked_ports_fail_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*arguments: object, **options: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr("unisocket.adapters._connecting._resolve", connect)
    for scheme, host in [("ws", "127.0.0.1"), ("wss", "[::1]"), ("https", "user:80@host.test")]:
        for port in BLOCKED:
            messages: list[str] = []
            websocket = WebSocket(f"{scheme}://{host}:{port}/:80", onerror=lambda event: messages.append(event.message))  # noqa: B023
            recorder = Recorder(websocket)
            assert await recorder.closed() == ("close", 1006, "", False)
            assert recorder.types == ["error", "close"]
            assert messages == [f"port {port} is blocked"]


def test_no_other_port_is_blocked() -> None:
    adapter = CPythonAdapter()
    refused = [port for port in range(2**16) if adapter.refusal(f"ws://host:{port}/")]
    assert refused == [int(port) for port in BLOCKED]
    assert not adapter.refusal("ws://host/:22")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("", "/"),
        ("/", "/"),
        ("?", "/?"),
        ("/path?", "/path?"),
        ("??", "/??"),
        ("/path?next=/?", "/path?next=/?"),
        ("?a b", "/?a%20b"),
        ("/a/../b c\\d", "/b%20c/d"),
        ("/\xfc?\xfc", "/%C3%BC?%C3%BC"),
        ("//a", "//a"),
        ("/a;b=c;d?e;f", "/a;b=c;d?e;f"),
        ("/a@b:c", "/a@b:c"),
        ("/%zz%00%0d%0a", "/%zz%00%0d%0a"),
        ("/\r\nX-Evil: 1", "/X-Evil:%201"),
    ],
    ids=ascii,
)
async def test_request_has_the_path_and_the_query_of_the_serialised_url(path: str, target: str) -> None:
    requests: list[Request] = []

    async def fault(peer: Peer) -> None:
        requests.append(await peer.accept(make_frame(CLOSE, close_body(1000))))

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url.replace("127.0.0.1", "127.1") + path)
        await Recorder(websocket).closed()
    assert websocket.url == url + target
    assert [(request.target, request.all("host")) for request in requests] == [(target, [url.removeprefix("ws://")])]
