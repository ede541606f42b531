"""Every way in which a network, a server or a proxy is known to fail: each ends as the contract says.

That is: exactly one "close", "error" directly before it exactly when it is not clean, both in time; and
nothing is left over, neither task nor socket, nor a complaint when all is collected.
"""

import asyncio
import contextvars
import datetime as dt
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any

import pytest
from certificates import Authority
from fault_server import (
    Fault,
    Peer,
    all_ends,
    asked,
    blackhole,
    closed_port,
    deaf,
    echo,
    fault_server,
    fin,
    half_close,
    opened,
    reply,
    resolve_with,
    rst,
    says,
    stalled,
    trickle,
)
from proxies import connect_proxy, socks_proxy

from unisocket import Connection, ConnectionClosed, ConnectionClosedError, WebSocket, connect
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing._wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    close_body,
    make_frame,
    make_head,
    make_response,
    make_upgrade,
)
from unisocket.testing.script import Recorder

# Seconds. What ends at once may take a while on a machine that has much else to do.
AT_ONCE = 1.5
TURNS = 100  # of the loop, which what is due takes
LONG = 5.0  # a timeout that must not be needed
OPEN_TIMEOUT = CLOSE_TIMEOUT = 0.1
PING_INTERVAL, PING_TIMEOUT = 0.05, 1.5  # so that two rounds take longer than one and the second of grace

FRAME = make_frame(TEXT, b"hello")
FRAGMENT = make_frame(TEXT, b"hel", fin=False)
CLOSE_FRAME = make_frame(CLOSE, close_body(4001, "bye"))
CLOSED = ("close", 4001, "bye", True)
MUCH = 16_000_000  # bytes, more than all buffers of a connection hold

LOST: list[tuple[Any, ...]] = [("error",), ("close", 1006, "", False)]
OPENED_AND_LOST = [("open",), *LOST]


async def check(
    server: AbstractAsyncContextManager[str],
    events: list[tuple[Any, ...]],
    within: float,
    *,
    protocols: list[str] | None = None,
    then: Callable[[WebSocket], None] | None = None,
    **options: Any,
) -> None:
    """Connect, and see which events come, and that the last does in time.

    Args:
        server: Gives the URL.
        events: What comes, as `Recorder` has it.
        within: Seconds from the construction to the "close", or from `then`.
        protocols: To ask for.
        then: What to do with the socket when it is open.
        **options: Of the adapter.
    """
    async with all_ends(), server as url:
        limit = asyncio.create_task(late(within))
        websocket = WebSocket(url, protocols, adapter=CPythonAdapter(**options))
        recorder = Recorder(websocket)
        if then is not None:
            await recorder.wait("open")
            limit.cancel()
            limit = asyncio.create_task(late(within))
            then(websocket)
        await recorder.closed(within + LONG)
        in_time = limit.cancel()
    # Both ends have let go of TCP: nothing more is to come.
    assert recorder.events == events
    assert in_time, f"not within {within} s"


async def late(seconds: float) -> None:
    """Wait; and then for those who were there before, on a machine that has kept the whole process waiting."""
    await asyncio.sleep(seconds)
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def check_slow_opening(server: AbstractAsyncContextManager[str], **options: Any) -> None:
    """Connect where nothing but `open_timeout` ends the opening."""
    await check(server, LOST, OPEN_TIMEOUT + 0.5, open_timeout=OPEN_TIMEOUT, **options)


def each(table: dict[str, Any]) -> pytest.MarkDecorator:
    """Make a test of each fault of a table."""
    return pytest.mark.parametrize("fault", table.values(), ids=table)


def each_of(*names: str) -> pytest.MarkDecorator:
    """Make a test of each fault that its name describes."""
    return each(dict(zip(names, names, strict=True)))


# Connections that do not open

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE = make_head("101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade")])

REFUSALS: dict[str, Fault] = {
    "FIN_at_once": fin,
    "FIN_instead_of_an_answer": reply(b"", fin),
    "FIN_in_the_middle_of_the_answer": reply(SWITCHING + b"Upgr", fin),
    "RST_at_once": rst,
    "RST_instead_of_an_answer": reply(b"", rst),
    "RST_in_the_middle_of_the_answer": reply(SWITCHING + b"Upgr", rst),
    "garbage": reply(b"\x00garbage\xff\r\n\r\n" * 100),
    "garbage_then_FIN": reply(b"\x00garbage\xff\r\n\r\n" * 100, fin),
    "garbage_and_no_reading": reply(b"\x00garbage\xff\r\n" * 100, stalled),
    "4_MB_of_one_header": reply(SWITCHING + b"X-Long: " + b"x" * 4_000_000),
    "4_MB_of_headers": reply(SWITCHING + b"X-Many: x\r\n" * 400_000),
    "4_MB_of_headers_and_no_reading": reply(SWITCHING + b"X-Many: x\r\n" * 400_000, stalled),
    **{f"HTTP_{status}": reply(make_response(status, [], "no")) for status in (200, 401, 403, 404, 426, 500, 503)},
    "HTTP_200_without_a_length": reply(make_head("200 OK", [])),
    "HTTP_200_without_a_length_then_FIN": reply(make_head("200 OK", []) + b"no", fin),
    "HTTP_200_with_half_a_body": reply(make_head("200 OK", [("Content-Length", "1000")]) + b"x" * 500),
    "HTTP_200_with_half_a_chunk": reply(make_head("200 OK", [("Transfer-Encoding", "chunked")]) + b"ff\r\nhalf"),
    "HTTP_403_whose_body_trickles": reply(make_head("403 Forbidden", []), trickle(b"sorry" * 1000, 0.01)),
    "HTTP_302": reply(make_response(302, [("Location", "/other")], "")),
    "HTTP_103_and_no_more_then_FIN": reply(b"HTTP/1.1 103 Early Hints\r\n\r\n", fin),
    "4_MB_of_HTTP_103": reply(b"HTTP/1.1 103 Early Hints\r\n" + b"X-Many: x\r\n" * 400_000),
    "HTTP_1.0": reply(UPGRADE.replace(b"1.1", b"1.0", 1)),
    "HTTP_101_and_no_more": reply(SWITCHING + b"\r\n"),
    "no_Accept": reply(UPGRADE),
    "wrong_Accept": opened(b"", accept="dGhlIHNhbXBsZSBub25jZQ=="),
    "subprotocol_nobody_asked_for": opened(b"", protocol="chat"),
    "extension_nobody_asked_for": opened(b"", extensions="x-unknown"),
    "extension_with_unknown_parameter": opened(b"", extensions="permessage-deflate; x=1"),
}


@each(REFUSALS)
async def test_refused_opening_fires_error_then_close_1006_at_once(fault: Fault) -> None:
    await check(fault_server(fault), LOST, AT_ONCE, open_timeout=LONG)


@each_of("", "Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n")
async def test_status_of_a_refusal_is_told_though_its_body_does_not_come(fault: str) -> None:
    messages: list[str] = []
    head = b"HTTP/1.1 403 Forbidden\r\n%b\r\n" % fault.encode()
    async with all_ends(), fault_server(reply(head)) as url:
        websocket = WebSocket(url, onerror=lambda event: messages.append(event.message))
        await Recorder(websocket).closed(LONG)
    assert messages == ["HTTP 403"]


INTERIM: dict[str, bytes] = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
    "102_without_a_phrase": b"HTTP/1.1 102 \r\n\r\n",
    "many": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("apart", [False, True], ids=["together", "byte_by_byte"])
@each(INTERIM)
async def test_interim_responses_are_no_answer(fault: bytes, apart: bool) -> None:
    """RFC 9110 section 15.2, and so Fetch, HTTP-network fetch: a response of 1xx but 101 comes before the answer."""

    async def play(peer: Peer) -> None:
        request = await peer.request()
        answer = fault[-100:] + make_upgrade(request, {}) + CLOSE_FRAME
        await peer.send(fault[:-100] + answer * (not apart))
        for index in range(len(answer) if apart else 0):
            await peer.send(answer[index : index + 1])
            await asyncio.sleep(0)

    await check(fault_server(play), [("open",), CLOSED], LONG)


async def test_refusal_behind_an_interim_response_is_told() -> None:
    messages: list[str] = []
    answer = INTERIM["103"] + make_response(403, [], "no")
    async with all_ends(), fault_server(reply(answer)) as url:
        websocket = WebSocket(url, onerror=lambda event: messages.append(event.message))
        await Recorder(websocket).closed(LONG)
    assert messages == ["HTTP 403"]


@each({"none": {}, "another": {"protocol": "c"}, "one_in_other_case": {"protocol": "A"}, "two": {"protocol": "a, b"}})
async def test_subprotocol_not_of_those_asked_for_fires_error_then_close_1006(fault: dict[str, Any]) -> None:
    await check(fault_server(opened(b"", **fault)), LOST, AT_ONCE, protocols=["a", "b"], open_timeout=LONG)


async def test_refused_connection_fires_error_then_close_1006_at_once() -> None:
    with closed_port() as address:
        await check(nullcontext(f"ws://{address}"), LOST, AT_ONCE)


@each({"no_such_name": socket.gaierror(socket.EAI_NONAME, "unknown"), "label_too_long": UnicodeError("too long")})
async def test_name_that_cannot_be_resolved_fires_error_then_close_1006(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise fault

    resolve_with(monkeypatch, fail)
    await check(nullcontext("ws://nowhere.invalid/"), LOST, AT_ONCE, proxy=None)


async def test_redirect_is_not_followed() -> None:
    """Contract section 6: defaults are a browser's behaviour: no redirects."""
    visitors: list[Peer] = []

    async def target(peer: Peer) -> None:
        visitors.append(peer)

    async with fault_server(target) as other:
        for status in (301, 302, 303, 307, 308):
            answer = make_response(status, [("Location", other)], "")
            await check(fault_server(reply(answer)), LOST, AT_ONCE)
    assert not visitors


async def test_loop_of_redirects_ends_after_the_first() -> None:
    requests: list[str] = []

    async def again(peer: Peer) -> None:
        requests.append((await peer.request()).target)
        await peer.send(make_response(307, [("Location", "/again")], ""))

    await check(fault_server(again), LOST, AT_ONCE)
    assert requests == ["/"]


DELAYS: dict[str, Fault] = {
    "no_answer": deaf,
    "half_an_answer": reply(SWITCHING),
    "answer_that_trickles": trickle(UPGRADE, 0.01),
    "no_reading": stalled,
}


@each(DELAYS)
async def test_opening_that_takes_too_long_ends_with_open_timeout(fault: Fault) -> None:
    """Faults: a failed opening ends at most 0.5 s after `open_timeout`."""
    await check_slow_opening(fault_server(fault))


async def test_syn_that_nobody_answers_ends_with_open_timeout() -> None:
    with blackhole() as address:
        await check_slow_opening(nullcontext(f"ws://{address}"))


async def test_resolver_that_hangs_ends_with_open_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*arguments: Any, **options: Any) -> list[Any]:
        over.wait(LONG)
        return []

    resolve_with(monkeypatch, hang)
    try:
        await check_slow_opening(nullcontext("ws://nowhere.invalid/"), proxy=None)
    finally:
        over.set()


# TLS


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@each(
    {
        "expired": lambda authority: authority.server(not_after=dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
        "for_another_host": lambda authority: authority.server("example.test"),
        "of_an_unknown_authority": lambda authority: Authority().server(),
    }
)
async def test_certificate_that_is_wrong_fires_error_then_close_1006(
    fault: Callable[[Authority], ssl.SSLContext], authority: Authority
) -> None:
    await check(fault_server(echo, "wss", ssl=fault(authority)), LOST, AT_ONCE, ssl=authority.trusting)


async def test_certificate_that_only_the_test_trusts_fires_error_then_close_1006_by_default(
    authority: Authority,
) -> None:
    """Contract section 6: defaults are a browser's behaviour: TLS verified."""
    await check(fault_server(echo, "wss", ssl=authority.server()), LOST, AT_ONCE)


async def test_client_certificate_that_is_missing_fires_error_then_close_1006(authority: Authority) -> None:
    context = authority.server()
    context.verify_mode = ssl.CERT_REQUIRED
    await check(fault_server(echo, "wss", ssl=context), LOST, AT_ONCE, ssl=authority.trusting)


async def test_ws_to_a_port_of_tls_fires_error_then_close_1006(authority: Authority) -> None:
    await check(fault_server(echo, ssl=authority.server()), LOST, AT_ONCE)


async def garbled(peer: Peer) -> None:
    """Answer whatever comes with nonsense."""
    await peer.read()
    await peer.send(bytes(100))


@each(
    {
        "plain_HTTP": says(make_response(400, [], "This is no TLS")),
        "FIN": fin,
        "RST": rst,
        "garbage": garbled,
    }
)
async def test_tls_handshake_answered_with_something_else_fires_error_then_close_1006(fault: Fault) -> None:
    await check(fault_server(fault, "wss"), LOST, AT_ONCE, open_timeout=LONG)


async def test_tls_handshake_that_nobody_answers_ends_with_open_timeout() -> None:
    await check_slow_opening(fault_server(deaf, "wss"))


async def test_mute_server_behind_tls_ends_with_open_timeout(authority: Authority) -> None:
    await check_slow_opening(fault_server(deaf, "wss", ssl=authority.server()), ssl=authority.trusting)


@each({"TCP_that_ends_without_goodbye": fin, "RST": rst})
async def test_open_connection_over_tls_that_is_cut_fires_error_then_close_1006(
    fault: Fault, authority: Authority
) -> None:
    server = fault_server(opened(b"", fault), "wss", ssl=authority.server())
    await check(server, OPENED_AND_LOST, AT_ONCE, ssl=authority.trusting)


async def test_close_over_tls_does_not_wait_for_the_peers_goodbye(authority: Authority) -> None:
    server = fault_server(opened(CLOSE_FRAME, stalled), "wss", ssl=authority.server())
    await check(server, [("open",), CLOSED], AT_ONCE, ssl=authority.trusting, close_timeout=LONG)


async def test_tls_that_the_peer_does_not_end_is_ended_with_close_timeout(authority: Authority) -> None:
    """No socket is left over, though nobody waits for it any more."""
    async with fault_server(opened(CLOSE_FRAME, stalled), "wss", ssl=authority.server()) as url:
        websocket = WebSocket(url, adapter=CPythonAdapter(ssl=authority.trusting, close_timeout=CLOSE_TIMEOUT))
        await Recorder(websocket).closed()
        await asyncio.wait_for(websocket.raw.wait_closed(), CLOSE_TIMEOUT + 1)


# Proxies

TARGET = "ws://127.0.0.1:4/"  # which no test reaches


async def check_proxy(proxy: str, within: float = AT_ONCE, target: str = TARGET, **options: Any) -> None:
    """Connect through a proxy that fails."""
    await check(nullcontext(target), LOST, within, proxy=proxy, **options)


PROXIED = make_head("200 OK", [])

PROXY_REFUSALS: dict[str, Fault] = {
    "407": reply(make_response(407, [("Proxy-Authenticate", "Basic")], "")),
    "502": reply(make_response(502, [], "")),
    "redirect": reply(make_response(302, [("Location", "/")], "")),
    "FIN": reply(b"", fin),
    "RST": reply(b"", rst),
    "garbage": reply(b"\x00garbage\xff\r\n\r\n", fin),
    "FIN_after_CONNECT": reply(PROXIED, fin),
}


@each(PROXY_REFUSALS)
async def test_http_proxy_that_fails_fires_error_then_close_1006(fault: Fault) -> None:
    async with fault_server(fault, "http") as proxy:
        await check_proxy(proxy, open_timeout=LONG)


@each({"FIN": reply(PROXIED, fin), "RST": reply(PROXIED, rst), "garbage": reply(PROXIED, garbled)})
async def test_http_proxy_that_fails_in_the_tls_handshake_fires_error_then_close_1006(fault: Fault) -> None:
    async with fault_server(fault, "http") as proxy:
        await check_proxy(proxy, target="wss://127.0.0.1:4/", open_timeout=LONG)


async def test_http_proxy_that_is_mute_in_the_tls_handshake_ends_with_open_timeout() -> None:
    async with fault_server(reply(PROXIED), "http") as proxy:
        await check_slow_opening(nullcontext("wss://127.0.0.1:4/"), proxy=proxy)


@each(
    {
        "FIN": fin,
        "RST": rst,
        "no_method_it_takes": says(b"\x05\xff"),
        "wrong_version": says(b"\x04\x00"),
        "refusal": says(b"\x05\x00" + b"\x05\x05\x00\x01\x7f\x00\x00\x01\x00\x01"),
    }
)
async def test_socks_proxy_that_fails_fires_error_then_close_1006(fault: Fault) -> None:
    async with fault_server(fault, "socks5") as proxy:
        await check_proxy(proxy, open_timeout=LONG)


@each_of("http", "https", "socks5")
async def test_proxy_that_is_mute_ends_with_open_timeout(fault: str) -> None:
    async with fault_server(deaf, fault) as proxy:
        await check_slow_opening(nullcontext(TARGET), proxy=proxy)


@each_of("http", "https", "socks5", "socks5h")
async def test_proxy_that_is_down_fires_error_then_close_1006(fault: str) -> None:
    with closed_port() as address:
        await check_proxy(f"{fault}://{address}")


@each_of("ftp://127.0.0.1:4", "127.0.0.1:4", "http://", "http://127.0.0.1:4/path")
async def test_proxy_of_a_url_that_is_none_fires_error_then_close_1006(fault: str) -> None:
    await check_proxy(fault)


@pytest.fixture(scope="module")
def proxies() -> Iterator[dict[str, str]]:
    """Real proxies that want credentials: the address for each scheme."""
    with connect_proxy("--basic-auth=user:password") as connect, socks_proxy("#user:password") as socks:
        yield {"http": connect, "socks5": socks}


@each_of("http", "socks5")
async def test_real_proxy_that_refuses_the_credentials_fires_error_then_close_1006(
    fault: str, proxies: dict[str, str]
) -> None:
    await check_proxy(f"{fault}://user:wrong@{proxies[fault]}", open_timeout=LONG)


@each_of("http", "socks5")
async def test_target_that_refuses_a_real_proxy_fires_error_then_close_1006(
    fault: str, proxies: dict[str, str]
) -> None:
    with closed_port() as address:
        await check_proxy(f"{fault}://user:password@{proxies[fault]}", AT_ONCE, f"ws://{address}", open_timeout=LONG)


# Connections that end without a close frame


@pytest.fixture(params=[opened, asked], ids=["with_the_101", "later"])
def opening(request: pytest.FixtureRequest) -> Callable[..., Fault]:
    """When a fault comes: in the packet that opens the connection, or when the socket has said something."""
    way: Callable[..., Fault] = request.param
    return way


def ask(websocket: WebSocket) -> None:
    websocket.send("go on")


def send_much(websocket: WebSocket) -> None:
    """Send more than all buffers of a connection hold."""
    websocket.send(bytes(8_000_000))


CUTS: dict[str, tuple[bytes, Fault]] = {
    f"{end.__name__.upper()}_{where}": (data, end)
    for end in (fin, rst)
    for where, data in {
        "when_idle": b"",
        "within_a_header": FRAME[:1],
        "within_a_frame": FRAME[:-1],
        "within_a_message": FRAGMENT,
        "within_a_close_frame": CLOSE_FRAME[:-1],
    }.items()
}


@each(CUTS)
async def test_connection_that_is_cut_fires_error_then_close_1006_at_once(
    fault: tuple[bytes, Fault], opening: Callable[..., Fault]
) -> None:
    await check(fault_server(opening(*fault)), OPENED_AND_LOST, AT_ONCE, then=ask)


async def test_message_before_the_cut_is_delivered(opening: Callable[..., Fault]) -> None:
    events = [("open",), ("message", "hello"), *LOST]
    await check(fault_server(opening(FRAME + FRAGMENT, fin)), events, AT_ONCE, then=ask)


async def test_cut_while_much_is_being_sent_fires_error_then_close_1006_at_once() -> None:
    async def fault(peer: Peer) -> None:
        await peer.accept()
        await peer.read()
        await rst(peer)

    await check(fault_server(fault), OPENED_AND_LOST, AT_ONCE, then=send_much)


# Connections that the peer closes

CLOSES: dict[str, tuple[bytes, Fault, list[tuple[Any, ...]]]] = {
    "and_leaves_TCP_open": (CLOSE_FRAME, deaf, [CLOSED]),
    "then_FIN": (CLOSE_FRAME, fin, [CLOSED]),
    "then_RST": (CLOSE_FRAME, rst, [CLOSED]),
    "then_reads_no_more": (CLOSE_FRAME, stalled, [CLOSED]),
    "then_garbage": (CLOSE_FRAME + b"\xff" * 1000, deaf, [CLOSED]),
    "then_more_frames": (CLOSE_FRAME + make_frame(PING, b"") + FRAME + CLOSE_FRAME, deaf, [CLOSED]),
    "without_a_code": (make_frame(CLOSE, b""), deaf, [("close", 1005, "", True)]),
    "without_a_reason": (make_frame(CLOSE, close_body(1001)), deaf, [("close", 1001, "", True)]),
    "behind_a_message": (FRAME + CLOSE_FRAME, deaf, [("message", "hello"), CLOSED]),
    "within_a_message": (FRAGMENT + CLOSE_FRAME, deaf, [CLOSED]),
}


@each(CLOSES)
async def test_close_frame_fires_close_without_waiting_for_tcp(
    fault: tuple[bytes, Fault, list[tuple[Any, ...]]], opening: Callable[..., Fault]
) -> None:
    *closing, events = fault
    await check(fault_server(opening(*closing)), [("open",), *events], AT_ONCE, then=ask, close_timeout=LONG)


async def test_close_frame_while_much_is_being_sent_fires_close_without_waiting_for_it() -> None:
    server = fault_server(opened(CLOSE_FRAME, stalled))
    await check(server, [("open",), CLOSED], AT_ONCE, then=send_much, close_timeout=CLOSE_TIMEOUT)


# Connections that we close


def close(websocket: WebSocket) -> None:
    websocket.close(4000, "enough")


def answered(data: bytes, end: Fault = deaf) -> Fault:
    """Answer the client's close frame with these bytes."""

    async def fault(peer: Peer) -> None:
        await peer.accept()
        assert await peer.close_code() == 4000
        await peer.send(data)
        await end(peer)

    return fault


async def chatter(peer: Peer) -> None:
    """Send messages until the client has had enough."""
    while True:
        await peer.send(FRAME)
        await asyncio.sleep(0.01)


ANSWERS: dict[str, tuple[Fault, tuple[Any, ...]]] = {
    "the_same_code": (answered(make_frame(CLOSE, close_body(4000))), ("close", 4000, "", True)),
    "another_code": (answered(CLOSE_FRAME), CLOSED),
    "no_code": (answered(make_frame(CLOSE, b"")), ("close", 1005, "", True)),
    "a_message_and_a_close_frame": (answered(FRAME + CLOSE_FRAME), CLOSED),
    "a_close_frame_and_RST": (answered(CLOSE_FRAME, rst), CLOSED),
}


@each(ANSWERS)
async def test_answer_to_our_close_fires_close_without_waiting_for_tcp(fault: tuple[Fault, tuple[Any, ...]]) -> None:
    server, event = fault
    await check(fault_server(server), [("open",), event], AT_ONCE, then=close, close_timeout=LONG)


@each(
    {
        "FIN": answered(b"", fin),
        "RST": answered(b"", rst),
        "a_close_frame_that_is_wrong": answered(make_frame(CLOSE, b"\x03")),
        "garbage": answered(b"\xff" * 1000),
    }
)
async def test_wrong_answer_to_our_close_fires_error_then_close_1006_at_once(fault: Fault) -> None:
    await check(fault_server(fault), OPENED_AND_LOST, AT_ONCE, then=close, close_timeout=LONG)


@each(
    {
        "silence": opened(b""),
        "no_reading": opened(b"", stalled),
        "half_a_close_frame": answered(CLOSE_FRAME[:-1]),
        "messages": answered(b"", chatter),
    }
)
async def test_our_close_that_nobody_answers_ends_with_close_timeout(fault: Fault) -> None:
    """Faults: `close()` that nobody answers ends after `close_timeout`."""
    await check(fault_server(fault), OPENED_AND_LOST, CLOSE_TIMEOUT + 0.5, then=close, close_timeout=CLOSE_TIMEOUT)


def say_and_close(websocket: WebSocket) -> None:
    websocket.send("bye")
    close(websocket)


async def test_our_close_behind_a_message_that_nobody_answers_ends_with_close_timeout() -> None:
    """What was sent in the same task is on its way, and gives the peer no further time."""
    await check(fault_server(opened(b"")), OPENED_AND_LOST, 1.5, then=say_and_close, close_timeout=1)


async def slow(peer: Peer) -> None:
    """Read for longer than `close_timeout`, and then answer."""
    # The kernel is to hold little: what it holds has left.
    peer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
    read = 0
    while read < MUCH:
        await peer.read()
        read += len(peer.taken())
        await asyncio.sleep(0.01)
    await peer.send(CLOSE_FRAME)


async def test_what_waits_below_tls_is_buffered(authority: Authority) -> None:
    """`bufferedAmount` counts what was not yet handed to the network, wherever it waits."""
    amounts: list[int] = []

    async with all_ends(), fault_server(opened(b"", stalled), "wss", ssl=authority.server()) as url:
        websocket = WebSocket(url, adapter=CPythonAdapter(ssl=authority.trusting, close_timeout=CLOSE_TIMEOUT))
        recorder = Recorder(websocket)
        await recorder.wait("open")
        send_much(websocket)
        for _ in range(20):
            await asyncio.sleep(0.01)
            amounts.append(websocket.bufferedAmount)
        websocket.close()
        await recorder.closed()
    assert amounts == sorted(amounts, reverse=True)
    if isinstance(asyncio.get_running_loop(), asyncio.BaseEventLoop):  # uvloop hides it
        assert min(amounts) > 1_000_000


@each({"message": 1, "messages": 50})
async def test_our_close_behind_what_a_slow_peer_reads_waits_as_long_as_it_reads(fault: int) -> None:
    def send_and_close(websocket: WebSocket) -> None:
        for _ in range(fault):
            websocket.send(bytes(MUCH // fault))
        close(websocket)

    server = fault_server(opened(b"", slow))
    await check(server, [("open",), CLOSED], 4 * LONG, then=send_and_close, close_timeout=1)


async def test_our_close_behind_more_than_the_network_takes_ends_with_close_timeout() -> None:
    def send_and_close(websocket: WebSocket) -> None:
        send_much(websocket)
        close(websocket)

    server = fault_server(opened(b"", stalled))
    await check(server, OPENED_AND_LOST, AT_ONCE, then=send_and_close, close_timeout=CLOSE_TIMEOUT)


@each({"no_answer": "ws", "no_TLS": "wss"})
async def test_close_while_connecting_fires_error_then_close_1006_at_once(fault: str) -> None:
    sockets: list[WebSocket] = []

    async def mute(peer: Peer) -> None:
        sockets.pop().close()

    async with all_ends(), fault_server(mute, fault) as url:
        sockets.append(WebSocket(url))
        recorder = Recorder(sockets[0])
        await recorder.closed(AT_ONCE)
    assert recorder.events == LOST


# Peers that vanish


async def answers_once(peer: Peer) -> None:
    """Answer one ping."""
    frame = await peer.frame()
    await peer.send(make_frame(PONG, frame.payload))


@each({"at_once": deaf, "that_stops_reading": stalled, "after_one_pong": answers_once})
async def test_half_open_peer_is_found_by_its_missing_pong(fault: Fault) -> None:
    """Faults: a half-open peer is found within ping_interval + ping_timeout + 1 s, from when it vanished."""
    server = fault_server(opened(b"", fault))
    within = PING_INTERVAL + PING_TIMEOUT + 1
    await check(server, OPENED_AND_LOST, within, ping_interval=PING_INTERVAL, ping_timeout=PING_TIMEOUT)


async def test_half_open_peer_is_found_though_the_ping_cannot_leave() -> None:
    server = fault_server(opened(b"", stalled))
    within = 0.1 + 0.1 + 1
    await check(server, OPENED_AND_LOST, within, then=send_much, ping_interval=0.1, ping_timeout=0.1)


async def test_peer_that_answers_lives_though_its_pongs_are_awaited_for_less_than_the_next_ping() -> None:
    async def answers(peer: Peer) -> None:
        for _ in range(6):
            await answers_once(peer)
        await peer.send(CLOSE_FRAME)

    server = fault_server(opened(b"", answers))
    await check(server, [("open",), CLOSED], LONG, ping_interval=0.3, ping_timeout=0.1)


async def test_frame_that_trickles_for_longer_than_the_ping_takes_is_delivered() -> None:
    """A pong cannot come within a frame; browsers wait for its end, too."""
    server = fault_server(opened(b"", trickle(FRAME + CLOSE_FRAME, 0.06)))
    events = [("open",), ("message", "hello"), CLOSED]
    await check(server, events, LONG, ping_interval=0.1, ping_timeout=0.5)


# Rules that the server breaks

RULES: dict[str, tuple[bytes, int]] = {
    "masked_frame": (make_frame(TEXT, b"hello", masked=True), 1002),
    **{f"reserved_opcode_{opcode}": (make_frame(opcode, b""), 1002) for opcode in (3, 7, 11, 15)},
    **{f"reserved_bit_{bit}": (make_frame(TEXT, b"hello", rsv=bit), 1002) for bit in (1, 2, RSV1)},
    "ping_of_126_bytes": (make_frame(PING, bytes(126)), 1002),
    "fragmented_ping": (make_frame(PING, b"", fin=False), 1002),
    "continuation_of_nothing": (make_frame(CONTINUATION, b"lo"), 1002),
    "message_within_a_message": (FRAGMENT + FRAME, 1002),
    "text_that_is_not_UTF-8": (make_frame(TEXT, b"h\xe9llo"), 1007),
    "text_that_ends_within_a_character": (make_frame(TEXT, b"hell\xc3"), 1007),
    "text_with_a_surrogate": (make_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "fragments_that_are_not_UTF-8": (FRAGMENT + make_frame(CONTINUATION, b"\xff"), 1007),
    "close_frame_of_one_byte": (make_frame(CLOSE, b"\x03"), 1002),
    "close_frame_of_126_bytes": (make_frame(CLOSE, close_body(1000, "x" * 124)), 1002),
    "fragmented_close_frame": (make_frame(CLOSE, b"", fin=False), 1002),
    **{
        f"close_code_{code}": (make_frame(CLOSE, close_body(code)), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
    },
    "close_reason_that_is_not_UTF-8": (make_frame(CLOSE, close_body(1000) + b"\xff"), 1007),
    "length_of_2^62": (make_frame(BINARY, bytes(100), length=2**62), 1009),
}


async def check_rule(opening: Callable[..., Fault], data: bytes, code: int, **options: Any) -> None:
    """See that a broken rule fails the connection though TCP is left open, and that the server is told why."""
    told = []

    async def listen(peer: Peer) -> None:
        told.append(await peer.close_code())

    extensions = {"extensions": "permessage-deflate"} if "compression" not in options else {}
    server = fault_server(opening(data, listen, **extensions))
    await check(server, OPENED_AND_LOST, AT_ONCE, then=ask, close_timeout=LONG, **options)
    assert told == [code]


@each(RULES)
async def test_broken_rule_fires_error_then_close_1006_at_once_and_is_told(
    fault: tuple[bytes, int], opening: Callable[..., Fault]
) -> None:
    await check_rule(opening, *fault, compression=None)


@each(
    {
        "what_cannot_be_decompressed": make_frame(BINARY, b"\xff" * 9, rsv=RSV1),
        "a_compressed_continuation": FRAGMENT + make_frame(CONTINUATION, b"lo", rsv=RSV1),
        "a_compressed_ping": make_frame(PING, b"", rsv=RSV1),
    }
)
async def test_broken_rule_of_compression_fires_error_then_close_1006_at_once_and_is_told(
    fault: bytes, opening: Callable[..., Fault]
) -> None:
    await check_rule(opening, fault, 1002)


@each(
    {
        "one_frame": make_frame(BINARY, bytes(1001)),
        "fragments": make_frame(BINARY, bytes(1000), fin=False) + make_frame(CONTINUATION, b"x"),
    }
)
async def test_message_over_max_size_fires_error_then_close_1006_at_once_and_is_told(
    fault: bytes, opening: Callable[..., Fault]
) -> None:
    await check_rule(opening, fault, 1009, compression=None, max_size=1000)


async def test_message_of_2_MiB_is_delivered() -> None:
    message = bytes(2 * 2**20)
    server = fault_server(opened(make_frame(BINARY, message) + CLOSE_FRAME))
    await check(server, [("open",), ("message", message), CLOSED], LONG)


# While it opens, and while much waits to be sent


@pytest.mark.parametrize("scheme", ["ws", "wss"])
async def test_end_of_TCP_while_much_is_unsent_fires_error_then_close_1006(scheme: str, authority: Authority) -> None:
    """asyncio alone would wait until the peer has read it; uvloop does, with TLS, and there the pings tell."""

    async def fault(peer: Peer) -> None:
        await peer.accept()
        await peer.read()
        peer.transport.pause_reading()
        half_close(peer)

    server = fault_server(fault, scheme, ssl=authority.server() if scheme == "wss" else None)
    events = [("open",), *LOST]
    options: dict[str, Any] = {"ssl": authority.trusting, "close_timeout": 1, "ping_interval": 0.5, "ping_timeout": 0.5}
    await check(server, events, 2, then=lambda websocket: websocket.send(bytes(2**25)), **options)


async def test_bufferedAmount_of_what_had_left_before_the_end_of_TCP_is_not_counted() -> None:
    """Though nobody has asked before."""
    taken = 0

    async def fault(peer: Peer) -> None:
        nonlocal taken
        await peer.accept()
        while taken < 6 * 10**6:
            await peer.read()
            taken += len(peer.taken())
        peer.transport.pause_reading()
        half_close(peer)

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url, adapter=CPythonAdapter(close_timeout=0.1))
        recorder = Recorder(websocket)
        await recorder.wait("open")
        websocket.send(bytes(2 * 10**7))
        assert await recorder.closed() == LOST[-1]
        assert 0 < websocket.bufferedAmount <= 2 * 10**7 - taken + 100


async def test_messages_that_come_with_the_loss_are_told_in_the_context_of_the_socket() -> None:
    """A task that sends may find that it is lost."""
    whose = contextvars.ContextVar("whose", default="nobody's")
    heard: list[str] = []
    go, gone = asyncio.Event(), asyncio.Event()
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(bytes(9000)) + compressor.flush(zlib.Z_FULL_FLUSH)

    async def fault(peer: Peer) -> None:
        await peer.accept(200 * make_frame(BINARY, data[:-4], rsv=RSV1), extensions="permessage-deflate")
        await go.wait()
        await rst(peer)
        gone.set()

    async def send(ws: Connection) -> None:
        whose.set("the sender's")
        go.set()
        await gone.wait()
        with suppress(ConnectionClosed):
            while True:
                await ws.send("x")
                await asyncio.sleep(0)

    async with all_ends(), fault_server(fault) as url:
        whose.set("the socket's")
        async with connect(url) as ws:
            ws.websocket.onmessage = lambda event: heard.append(whose.get())
            while not ws._paused:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.create_task(send(ws))
    assert (len(heard) > 100, set(heard)) == (True, {"the socket's"})  # the first ones came with "open"


async def test_what_is_sent_when_TCP_ends_in_one_direction_still_leaves() -> None:
    """Whoever has sent FIN may read on."""
    data, got = bytes(range(256)) * 2**15, bytearray()

    async def fault(peer: Peer) -> None:
        await peer.accept(make_frame(TEXT, b"go"))
        await fin(peer)
        got.extend((await peer.frame()).payload)

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url, onmessage=lambda event: event.target.send(data))
        assert await Recorder(websocket).closed() == LOST[-1]
    assert got == data


async def test_send_raises_when_the_connection_was_reset_behind_a_full_queue() -> None:
    """Nobody reads what is held back; and a part of it is no message."""
    go = asyncio.Event()

    async def fault(peer: Peer) -> None:
        await peer.accept(100 * make_frame(TEXT, b"x") + make_frame(TEXT, b"abc")[:3])
        await go.wait()
        await rst(peer)

    async def send_on(ws: Connection) -> None:
        while True:
            await ws.send(bytes(10**4))
            await asyncio.sleep(0.001)

    async with all_ends(), fault_server(fault) as url, connect(url) as ws:
        while not ws._paused:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        go.set()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(send_on(ws), LONG)
        assert [await ws.recv() for _ in range(100)] == 100 * ["x"]


TURNS_OF_AN_OPENING = range(40)


async def test_close_in_whatever_turn_of_the_opening_lets_go_of_TCP() -> None:
    async with fault_server(echo) as url:
        for turns in TURNS_OF_AN_OPENING:
            websocket = WebSocket(url)
            for _ in range(turns):
                await asyncio.sleep(0)
            websocket.close()
            await Recorder(websocket).closed()


async def test_connect_that_is_cancelled_in_whatever_turn_lets_go_of_TCP() -> None:
    async def opens(url: str) -> None:
        async with connect(url):
            await asyncio.sleep(60)

    async with fault_server(echo) as url:
        for turns in TURNS_OF_AN_OPENING:
            task = asyncio.create_task(opens(url))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
