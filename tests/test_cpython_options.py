"""The options of the CPython adapter (contract section 6): what each does, and what their defaults are."""

import asyncio
import asyncio.trsock
import errno
import os
import random
import socket
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from fault_server import Peer, all_ends, all_left, blackhole, fault_server, half_close, opened, resolve_with
from proxies import connect_proxy, socks_proxy
from websockets.asyncio.server import ServerConnection, serve

from unisocket import Event, InvalidURLError, WebSocket, connect
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing._wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    Request,
    close_body,
    make_frame,
    make_head,
)
from unisocket.testing.script import Recorder

MIB = 2**20
PROMPT = 5.0  # seconds; a close that nobody answers takes ten

CLOSE_FRAME = make_frame(CLOSE, close_body(1000))
CLOSED = ("close", 1000, "", True)
LOST: list[tuple[Any, ...]] = [("error",), ("close", 1006, "", False)]

Server = AbstractAsyncContextManager[str]


async def events_of(server: Server, path: str = "/", **options: Any) -> list[tuple[Any, ...]]:
    """Connect, and return what came, from "open" to "close"."""
    async with all_ends(), server as url:
        recorder = Recorder(WebSocket(url + path, adapter=CPythonAdapter(**options)))
        await recorder.closed()
    return recorder.events


class Visits:
    """A server that lets everybody in, and sees them out.

    Attributes:
        requests: Of all visitors, to proxies too.
        addresses: Where they came from.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.addresses: list[str] = []

    async def __call__(self, peer: Peer) -> None:
        self.addresses.append(peer.transport.get_extra_info("peername")[0])
        self.requests.append(await peer.accept(CLOSE_FRAME))

    async def behind_proxy(self, peer: Peer) -> None:
        """Be an HTTP proxy and all servers behind it."""
        self.requests.append(await peer.request())
        await peer.send(make_head("200 OK", []))
        await self(peer)


async def request_with(path: str = "/", scheme: str = "ws", **options: Any) -> Request:
    """Connect, and return the request that the server saw."""
    visits = Visits()
    assert await events_of(fault_server(visits, scheme), path, **options) == [("open",), CLOSED]
    (request,) = visits.requests
    return request


# TLS


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_ssl_context_says_whom_to_trust(authority: Authority) -> None:
    server = fault_server(Visits(), "wss", ssl=authority.server())
    assert await events_of(server, ssl=authority.trusting) == [("open",), CLOSED]


async def test_server_that_nobody_vouches_for_is_not_trusted_by_default(authority: Authority) -> None:
    assert await events_of(fault_server(Visits(), "wss", ssl=authority.server())) == LOST


async def test_ssl_context_is_of_no_concern_to_ws(authority: Authority) -> None:
    await request_with(ssl=authority.trusting)


@pytest.mark.parametrize("who", ["client", "server"])
async def test_close_frame_and_the_end_of_TLS_that_come_together_close_cleanly(authority: Authority, who: str) -> None:
    """The end is read while the transport is being closed, and asyncio cannot have it closed twice."""

    async def visit(visitor: ServerConnection) -> None:
        if who == "server":
            await visitor.close(1000)
        await visitor.wait_closed()

    async with all_ends(), serve(visit, "127.0.0.1", 0, ssl=authority.server()) as server:
        url = "wss://{}:{}".format(*next(iter(server.sockets)).getsockname())
        websocket = WebSocket(url, adapter=CPythonAdapter(ssl=authority.trusting))
        if who == "client":
            websocket.onopen = lambda event: websocket.close(1000)
        async with asyncio.timeout(PROMPT):
            assert await Recorder(websocket).closed() == CLOSED


def deflated() -> tuple[bytes, list[bytes]]:
    """What one read brings may inflate a thousandfold."""
    compressor = zlib.compressobj(wbits=-15)
    data = compressor.compress(bytes(9000)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return 200 * make_frame(BINARY, data[:-4], rsv=RSV1), 200 * [bytes(9000)]


def large() -> tuple[bytes, list[bytes]]:
    """What has come and is not deciphered yet is thrown away with the connection, but by this product."""
    messages = [bytes((number,)) * 100_000 for number in range(40)]  # more than the queue takes
    return b"".join(make_frame(BINARY, message) for message in messages), messages


def small() -> tuple[bytes, list[bytes]]:
    messages = [b"%04d" % number * 25 for number in range(2000)]
    return b"".join(make_frame(BINARY, message) for message in messages), messages


@pytest.mark.parametrize("pause", [0, 0.001])
@pytest.mark.parametrize("end", ["of_TLS", "of_TCP", "of_both"])
@pytest.mark.parametrize("flood", [deflated, large, small])
async def test_what_is_held_back_when_all_ends_is_received_before_the_close(
    authority: Authority, flood: Callable[[], tuple[bytes, list[bytes]]], end: str, pause: float
) -> None:
    frames, messages = flood()
    ended = asyncio.Event()

    async def fault(peer: Peer) -> None:
        options = {"extensions": "permessage-deflate"} if flood is deflated else {}
        await peer.accept(frames + make_frame(CLOSE, close_body(1000)), **options)
        if end != "of_TCP":
            peer.transport.close()
        if end != "of_TLS":
            await all_left(peer)
            half_close(peer)
        ended.set()

    adapter = CPythonAdapter(ssl=authority.trusting)
    received = []
    server = fault_server(fault, "wss", ssl=authority.server())
    async with all_ends(), server as url, connect(url, adapter=adapter) as ws:
        if pause:
            await ended.wait()
            await asyncio.sleep(0.1)  # the end is not seen from here
        async for message in ws:
            received.append(message)
            if pause and len(received) % 20 == 0:
                await asyncio.sleep(pause)
    assert (received == messages, ws.close_code) == (True, 1000)


# Headers


@pytest.mark.parametrize("kind", [dict, list, tuple])
async def test_headers_are_sent(kind: Any) -> None:
    request = await request_with(headers=kind([("X-One", "1"), ("X-Two", "caf\xe9")]))
    assert (request.all("x-one"), request.all("x-two")) == (["1"], ["caf\xe9"])


async def test_headers_are_those_of_the_construction() -> None:
    headers = {"X-One": "1"}
    adapter = CPythonAdapter(headers=headers)
    headers["X-Two"] = "2"
    visits = Visits()
    async with fault_server(visits) as url:
        await Recorder(WebSocket(url, adapter=adapter)).closed()
    assert visits.requests[0].all("x-two") == []


async def test_no_origin_and_our_user_agent_by_default() -> None:
    request = await request_with()
    assert (request.all("origin"), request.all("user-agent")) == ([], ["unisocket"])


async def test_origin_is_sent() -> None:
    assert (await request_with(origin="https://example.test")).all("origin") == ["https://example.test"]


@pytest.mark.parametrize(
    ("options", "sent"),
    [({"user_agent": "mine"}, ["mine"]), ({"user_agent": None}, []), ({"headers": {"user-agent": "mine"}}, ["mine"])],
    ids=["option", "none", "header"],
)
async def test_user_agent_is_sent(options: dict[str, Any], sent: list[str]) -> None:
    assert (await request_with(**options)).all("user-agent") == sent


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"headers": {"X-A\r\nX-Evil": "1"}}, r"X-A\\r\\nX-Evil"),
        ({"headers": {"X-A\nX-Evil": "1"}}, r"X-A\\nX-Evil"),
        ({"headers": {"X-A: 1": "1"}}, "X-A: 1"),
        ({"headers": {"X A": "1"}}, "X A"),
        ({"headers": {"X-\xc4": "1"}}, "X-\xc4"),
        ({"headers": {"": "1"}}, "''"),
        ({"headers": {"X-A": "1\r\nX-Evil: 2"}}, "X-A"),
        ({"headers": {"X-A": "1\r"}}, "X-A"),
        ({"headers": {"X-A": "1\n"}}, "X-A"),
        ({"headers": {"X-A": "1\x00"}}, "X-A"),
        ({"headers": {"X-A": "\u20ac"}}, "X-A"),
        ({"origin": "http://a\r\nX-Evil: 2"}, "Origin"),
        ({"user_agent": "a\r\nX-Evil: 2"}, "User-Agent"),
        ({"headers": [("X-A", "1"), ("X-A", "2")]}, "X-A"),
        ({"headers": [("X-A", "1"), ("x-a", "1")]}, "x-a"),
        ({"headers": {"X-A": "1", "x-a": "1"}}, "x-a"),
        ({"headers": {"Origin": "http://a"}, "origin": "http://b"}, "Origin"),
        ({"headers": {"User-Agent": "a"}, "user_agent": "b"}, "User-Agent"),
        *(
            ({"headers": {name: "x"}}, name)
            for name in ("host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
        ),
        ({"headers": {"Sec-WebSocket-Protocol": "chat"}}, "protocols"),
        ({"headers": {"Sec-WebSocket-Extensions": "x"}}, "compression"),
    ],
    ids=ascii,
)
def test_header_that_would_break_the_request_is_refused(options: dict[str, Any], what: str) -> None:
    """Contract: CR/LF or duplicates in header names and values: a clear error before anything is sent."""
    with pytest.raises(ValueError, match=what):
        CPythonAdapter(**options)


@pytest.mark.parametrize("headers", [{"X-A": 1}, {b"X-A": "1"}, {"X-A": None}], ids=ascii)
def test_header_that_is_no_str_is_refused(headers: Any) -> None:
    with pytest.raises(TypeError, match="X-A"):
        CPythonAdapter(headers=headers)


async def test_authorization_in_the_url_and_in_a_header_is_an_error_before_anything_is_sent() -> None:
    visits = Visits()
    messages = []
    async with fault_server(visits) as url:
        adapter = CPythonAdapter(headers={"authorization": "Bearer token"})
        websocket = WebSocket(
            url.replace("ws://", "ws://user:password@"),
            adapter=adapter,
            onerror=lambda event: messages.append(event.message),
        )
        await Recorder(websocket).closed()
    assert "Authorization" in messages[0]
    assert not visits.addresses


@pytest.mark.parametrize(
    ("userinfo", "authorization"),
    [
        ("user:password", "Basic dXNlcjpwYXNzd29yZA=="),
        ("us%40er:p%3Ass", "Basic dXNAZXI6cDpzcw=="),
        ("user", "Basic dXNlcjo="),
        ("user:", "Basic dXNlcjo="),
        (":password", "Basic OnBhc3N3b3Jk"),
        ("%C3%A9:", "Basic w6k6"),
        ("us%3Aer:password", "Basic dXM6ZXI6cGFzc3dvcmQ="),
        ("%FF:%FE", "Basic /zr+"),
    ],
)
async def test_userinfo_of_the_url_is_sent_as_basic_authorization(userinfo: str, authorization: str) -> None:
    visits = Visits()
    async with fault_server(visits) as url:
        await Recorder(WebSocket(url.replace("ws://", f"ws://{userinfo}@"))).closed()
    assert [request.all("authorization") for request in visits.requests] == [[authorization]]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("compression", "gzip"),
        ("compression", True),
        ("proxy", 5),
        ("base_url", "nonsense"),
        ("base_url", "/path"),
        ("max_size", "1"),
        ("max_size", -1),
        ("open_timeout", "1"),
        ("open_timeout", -1),
        ("close_timeout", "1"),
        ("ping_interval", 0),
        ("ping_interval", -1),
        ("ping_timeout", [1]),
        ("happy_eyeballs_delay", "1"),
        ("max_running_handlers", 0),
    ],
)
def test_option_that_is_none_is_refused(option: str, value: Any) -> None:
    """Contract section 7: argument mistakes raise; what the network does arrives as events."""
    with pytest.raises((ValueError, InvalidURLError), match=option):
        CPythonAdapter(**{option: value})


def test_headers_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(TypeError, match="pairs"):
        CPythonAdapter(headers="abc")  # type: ignore[arg-type]


async def test_proxy_false_is_none(environment: pytest.MonkeyPatch) -> None:
    await unused_proxy(environment, OUTSIDE, proxy=False)


# Proxies

OUTSIDE = "ws://example.test/"  # which no resolver is asked for


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, and without names."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def fail(*arguments: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    resolve_with(monkeypatch, fail)
    return monkeypatch


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "ws_proxy"])
async def test_proxy_of_the_environment_is_used(environment: pytest.MonkeyPatch, variable: str) -> None:
    visits = Visits()
    async with fault_server(visits.behind_proxy, "http") as proxy:
        environment.setenv(variable, proxy)
        assert await events_of(nullcontext(OUTSIDE), "") == [("open",), CLOSED]
    connect, upgrade = visits.requests
    assert (connect.method, connect.target) == ("CONNECT", "example.test:80")
    assert (upgrade.method, upgrade.target, upgrade.all("host")) == ("GET", "/", ["example.test"])


async def test_proxy_of_the_environment_is_used_for_wss(environment: pytest.MonkeyPatch) -> None:
    visits = Visits()
    async with fault_server(visits, "http") as proxy:
        environment.setenv("https_proxy", proxy)
        assert await events_of(nullcontext("wss://example.test/"), "") == LOST
    assert [(request.method, request.target) for request in visits.requests] == [("CONNECT", "example.test:443")]


async def unused_proxy(environment: pytest.MonkeyPatch, url: str, **options: Any) -> None:
    """See that a proxy of the environment is not asked."""
    visits = Visits()
    async with fault_server(visits, "http") as proxy:
        environment.setenv("http_proxy", proxy)
        assert await events_of(nullcontext(url), "", **options) == LOST
    assert not visits.addresses


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.2", "localhost", "LOCALHOST", "localhost.", "app.localhost", "a.localhost."]
    + ["[::1]", "[::ffff:127.0.0.1]"],
)
async def test_proxy_of_the_environment_is_not_used_for_loopback(environment: pytest.MonkeyPatch, host: str) -> None:
    await unused_proxy(environment, f"ws://{host}:4/")


async def test_proxy_of_the_environment_is_not_used_for_no_proxy(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("no_proxy", "example.test")
    await unused_proxy(environment, OUTSIDE)


async def test_proxy_of_the_environment_is_not_used_with_proxy_none(environment: pytest.MonkeyPatch) -> None:
    await unused_proxy(environment, OUTSIDE, proxy=None)


@pytest.fixture(scope="module")
def real_proxies() -> Iterator[dict[str, str]]:
    """Real proxies that want credentials: the address for each scheme."""
    with connect_proxy("--basic-auth=user:pass@word") as connect, socks_proxy("#user:pass@word") as socks:
        yield {"http": connect, "socks5": socks, "socks5h": socks}


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_proxy_with_credentials_is_used_even_for_loopback(scheme: str, real_proxies: dict[str, str]) -> None:
    await request_with(proxy=f"{scheme}://user:pass%40word@{real_proxies[scheme]}")


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_wss_goes_through_a_proxy(scheme: str, real_proxies: dict[str, str], authority: Authority) -> None:
    proxy = f"{scheme}://user:pass%40word@{real_proxies[scheme]}"
    server = fault_server(Visits(), "wss", ssl=authority.server())
    assert await events_of(server, proxy=proxy, ssl=authority.trusting) == [("open",), CLOSED]


@pytest.mark.parametrize("way", ["address", "name", "http", "socks5", "tls"])
async def test_no_packet_waits_for_the_answer_to_the_last(
    way: str, real_proxies: dict[str, str], authority: Authority
) -> None:
    proxy = f"{way}://user:pass%40word@{real_proxies[way]}" if way in real_proxies else None
    secure = way == "tls"
    server = fault_server(Visits(), "wss" if secure else "ws", ssl=authority.server() if secure else None)
    async with all_ends(), server as url:
        named = url.replace("127.0.0.1", "localhost") if way == "name" else url
        websocket = WebSocket(named, adapter=CPythonAdapter(proxy=proxy, ssl=authority.trusting))
        delays: list[int] = []

        def look(event: Event) -> None:
            fileno = websocket.raw.transport.get_extra_info("socket").fileno()
            with socket.socket(fileno=os.dup(fileno)) as connection:
                delays.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        websocket.onopen = look
        await Recorder(websocket).closed()
    assert delays == [1]


async def test_server_that_is_gone_when_the_packets_are_not_to_wait_is_no_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")  # as macOS has it

    monkeypatch.setattr(asyncio.trsock.TransportSocket, "setsockopt", fail)
    assert await events_of(fault_server(Visits())) == [("open",), CLOSED]


# Compression and sizes


async def test_deflate_is_offered_by_default() -> None:
    assert "permessage-deflate" in (await request_with()).tokens("sec-websocket-extensions")[0]


async def test_no_extension_is_offered_without_compression() -> None:
    assert (await request_with(compression=None)).all("sec-websocket-extensions") == []


@pytest.mark.parametrize(("size", "limit"), [(1000, 1000), (100_000, 100_000), (64 * MIB, 64 * MIB), (MIB, None)])
async def test_message_of_max_size_is_taken(size: int, limit: int | None) -> None:
    message = bytes(size)
    server = fault_server(opened(make_frame(BINARY, message) + CLOSE_FRAME))
    events = await events_of(server, max_size=limit)
    assert events == [("open",), ("message", message), CLOSED]


@pytest.mark.parametrize(
    ("size", "options"), [(1001, {"max_size": 1000}), (64 * MIB + 1, {})], ids=["1000", "64_MiB_by_default"]
)
async def test_message_over_max_size_fails_the_connection_before_it_comes(size: int, options: dict[str, Any]) -> None:
    told = []

    async def fault(peer: Peer) -> None:
        await peer.accept(make_frame(BINARY, b"", length=size))
        told.append(await peer.close_code())

    assert await events_of(fault_server(fault), **options) == [("open",), *LOST]
    assert told == [1009]


@pytest.mark.parametrize("max_size", [1000, 10])
@pytest.mark.parametrize("cut", [0, 1, 5], ids=["at_once", "within_the_header", "within_the_ping"])
async def test_ping_within_a_message_is_no_part_of_its_size(max_size: int, cut: int) -> None:
    """RFC 6455 section 5.4: control frames may stand within a message."""
    pongs = []
    message = b"x" * max_size
    ping = make_frame(PING, b"y" * 125)

    async def fault(peer: Peer) -> None:
        await peer.accept(make_frame(BINARY, message, fin=False) + ping[:cut])
        await asyncio.sleep(0.02)
        await peer.send(ping[cut:] + make_frame(CONTINUATION, b"") + CLOSE_FRAME)
        pongs.append((await peer.frame()).payload)

    events = await events_of(fault_server(fault), max_size=max_size, compression=None)
    assert events == [("open",), ("message", message), CLOSED]
    assert pongs == [b"y" * 125]


# Messages as RFC 7692 allows them: what is sent, in these fragments, and what it is.
HELLO_AND_LAST = b"\xf3\x48\xcd\xc9\xc9\x07\x00"
LAST_BLOCKS: dict[str, tuple[list[bytes], bytes]] = {
    "one": ([HELLO_AND_LAST + b"\0"], b"Hello"),  # section 7.2.3.4
    "one_without_an_empty_block": ([HELLO_AND_LAST], b"Hello"),
    "one_that_is_empty": ([b"\3\0\0"], b""),
    "two": ([HELLO_AND_LAST * 2 + b"\0"], 2 * b"Hello"),
    "one_then_another_block": ([HELLO_AND_LAST + b"\xf2\x48\xcd\xc9\xc9\x07\x00"], 2 * b"Hello"),
    "more_than_are_short": ([HELLO_AND_LAST * 400 + b"\0"], 400 * b"Hello"),
    "in_the_first_fragment": ([HELLO_AND_LAST + b"\xf2\x48\xcd", b"\xc9\xc9\x07\x00"], 2 * b"Hello"),
    "before_each_fragment": ([HELLO_AND_LAST, HELLO_AND_LAST, b"\0"], 2 * b"Hello"),
    "before_half_a_block": ([HELLO_AND_LAST + b"\0", b"\5\0\xfa\xffHello" + b"\0"], 2 * b"Hello"),
}


@pytest.mark.parametrize("parameter", ["", "; server_no_context_takeover"], ids=["one_stream", "each_anew"])
@pytest.mark.parametrize("name", LAST_BLOCKS)
async def test_blocks_that_say_they_are_the_last_are_all_inflated(name: str, parameter: str) -> None:
    """RFC 7692 section 7.2.1: a message may have any number of them; and messages follow."""
    fragments, message = LAST_BLOCKS[name]
    frames = b""
    for number, fragment in enumerate(fragments):
        opcode, rsv = (CONTINUATION, 0) if number else (BINARY, RSV1)
        frames += make_frame(opcode, fragment, rsv=rsv, fin=number == len(fragments) - 1)
    server = fault_server(opened(2 * frames + CLOSE_FRAME, extensions="permessage-deflate" + parameter))
    assert await events_of(server) == [("open",), ("message", message), ("message", message), CLOSED]


async def test_smallest_window_of_all_is_kept_to() -> None:
    """RFC 7692 section 7.1.2.2: whoever may use 256 bytes refers to nothing that lies further back."""
    sizes = (200, 250, 255, 256, 257, 300, 500)
    texts = [4 * bytes(random.Random(size).choices(b"abcdefgh", k=size)) for size in sizes]  # noqa: S311
    inflated: list[bytes] = []

    async def fault(peer: Peer) -> None:
        await peer.accept(extensions="permessage-deflate; client_max_window_bits=8")
        inflate = zlib.decompressobj(wbits=-8)
        frames = [await peer.frame() for _ in texts]
        inflated.extend(inflate.decompress(frame.payload + b"\0\0\xff\xff") for frame in frames)
        await peer.send(CLOSE_FRAME)

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url, onopen=lambda event: [event.target.send(text) for text in texts])
        assert await Recorder(websocket).closed() == CLOSED
    assert inflated == texts


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (HELLO_AND_LAST + zlib.compress(bytes(10_000), wbits=-15) + b"\0", 1009),
        (b"\3\0" * 2000, 1002),
        (HELLO_AND_LAST + b"\xff" * 9, 1002),
    ],
    ids=["too_large", "too_many", "garbage"],
)
@pytest.mark.parametrize("padding", [b"", b"\0\0\0\xff\xff" * 500], ids=["short", "long"])
async def test_what_stands_behind_a_last_block_may_break_rules(data: bytes, code: int, padding: bytes) -> None:
    told = []

    async def fault(peer: Peer) -> None:
        frame = make_frame(BINARY, padding + data, rsv=RSV1)
        await peer.accept(frame, extensions="permessage-deflate")
        told.append(await peer.close_code())

    assert await events_of(fault_server(fault), max_size=10_000) == [("open",), *LOST]
    assert told == [code]


# Times; test_faults.py has what they limit


async def test_pings_come_at_their_interval() -> None:
    async def fault(peer: Peer) -> None:
        await peer.accept()
        for _ in range(3):
            frame = await peer.frame()
            assert frame.opcode == PING
            await peer.send(make_frame(PONG, frame.payload))
        await peer.send(CLOSE_FRAME)

    assert await events_of(fault_server(fault), ping_interval=0.02) == [("open",), CLOSED]


async def test_pings_need_no_answer_without_ping_timeout() -> None:
    async def fault(peer: Peer) -> None:
        await peer.accept()
        for _ in range(3):
            assert (await peer.frame()).opcode == PING
        await peer.send(CLOSE_FRAME)

    assert await events_of(fault_server(fault), ping_interval=0.02, ping_timeout=None) == [("open",), CLOSED]


async def test_no_pings_without_ping_interval() -> None:
    async def fault(peer: Peer) -> None:
        await peer.accept()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.frame(), 0.1)
        await peer.send(CLOSE_FRAME)

    assert await events_of(fault_server(fault), ping_interval=None, ping_timeout=0.01) == [("open",), CLOSED]


# Addresses


@pytest.mark.parametrize(
    ("base", "url", "whole"),
    [
        ("ws://127.0.0.1:4/app/page?x=1", "chat", "ws://127.0.0.1:4/app/chat"),
        ("http://127.0.0.1:4/app/", "/chat?y=2", "ws://127.0.0.1:4/chat?y=2"),
        ("https://127.0.0.1:4/app/", "", "wss://127.0.0.1:4/app/"),
        ("https://127.0.0.1:4/app/", "../chat", "wss://127.0.0.1:4/chat"),
        ("https://127.0.0.1:5/", "//127.0.0.1:4/chat", "wss://127.0.0.1:4/chat"),
        ("https://127.0.0.1:5/", "ws://127.0.0.1:4/", "ws://127.0.0.1:4/"),
    ],
)
async def test_base_url_resolves_relative_urls(base: str, url: str, whole: str) -> None:
    websocket = WebSocket(url, adapter=CPythonAdapter(base_url=base))
    assert websocket.url == whole
    await Recorder(websocket).closed()


async def test_local_address_is_where_the_connection_comes_from() -> None:
    visits = Visits()
    assert await events_of(fault_server(visits), local_address=("127.0.0.2", 0)) == [("open",), CLOSED]
    assert visits.addresses == ["127.0.0.2"]


async def test_local_address_is_where_the_connection_to_a_proxy_comes_from() -> None:
    visits = Visits()
    async with fault_server(visits, "http") as proxy:
        await events_of(nullcontext(OUTSIDE), "", proxy=proxy, local_address=("127.0.0.2", 0))
    assert visits.addresses == ["127.0.0.2"]


@pytest.fixture
def two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each name has two addresses, of which the first drops what comes."""
    resolve = socket.getaddrinfo

    def both(host: str, *arguments: Any, **options: Any) -> list[Any]:
        if host[0].isdigit():
            return resolve(host, *arguments, **options)
        return [*resolve("127.0.0.2", *arguments, **options), *resolve("127.0.0.1", *arguments, **options)]

    resolve_with(monkeypatch, both)


@asynccontextmanager
async def half_reachable(visits: Visits) -> AsyncIterator[str]:
    """Serve at the second of two addresses."""
    async with fault_server(visits) as url:
        port = int(url.rsplit(":", 1)[1])
        with blackhole("127.0.0.2", port):
            yield f"ws://two.test:{port}"


@pytest.mark.usefixtures("two_addresses")
@pytest.mark.parametrize("options", [{}, {"happy_eyeballs_delay": 0.05}], ids=["default", "given"])
async def test_second_address_is_tried_while_the_first_is_silent(options: dict[str, Any]) -> None:
    events = await events_of(half_reachable(Visits()), proxy=None, **options)
    assert events == [("open",), CLOSED]


@pytest.mark.usefixtures("two_addresses")
async def test_addresses_are_tried_one_after_the_other_without_happy_eyeballs() -> None:
    visits = Visits()
    events = await events_of(half_reachable(visits), proxy=None, happy_eyeballs_delay=None, open_timeout=0.3)
    assert events == LOST
    assert not visits.addresses


async def test_unix_socket_is_used_whatever_the_host(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    visits = Visits()

    async def fault(peer: Peer) -> None:
        visits.requests.append(await peer.accept(CLOSE_FRAME))

    async with fault_server(fault, path=path):
        assert await events_of(nullcontext(OUTSIDE), "chat?x=1", unix=path, proxy="http://127.0.0.1:4") == [
            ("open",),
            CLOSED,
        ]
    (request,) = visits.requests
    assert (request.target, request.all("host")) == ("/chat?x=1", ["example.test"])


async def test_unix_socket_that_is_not_there_fires_error_then_close_1006(tmp_path: Path) -> None:
    assert await events_of(nullcontext(OUTSIDE), "", unix=str(tmp_path / "nothing")) == LOST


async def test_tls_over_a_unix_socket(tmp_path: Path, authority: Authority) -> None:
    path = str(tmp_path / "socket")
    async with fault_server(opened(CLOSE_FRAME), path=path, ssl=authority.server()):
        events = await events_of(nullcontext("wss://127.0.0.1/"), "", unix=path, ssl=authority.trusting)
    assert events == [("open",), CLOSED]


# Handlers


class Crowd:
    """An async `onmessage` whose calls end when they are told to.

    Attributes:
        seen: The messages, in the order of their handlers' beginning.
        running: How many run; `most` is how many did at most.
    """

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.running = self.most = 0
        self.may_end = asyncio.Semaphore(0)

    async def __call__(self, event: Any) -> None:
        self.seen.append(event.data)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.may_end.acquire()
        finally:
            self.running -= 1

    async def until(self, seen: int) -> None:
        """Wait until so many have begun, and see that no more do."""
        while len(self.seen) < seen:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert len(self.seen) == seen


TEN = [str(number) for number in range(10)]


@pytest.mark.parametrize("apart", [False, True], ids=["in_one_packet", "apart"])
@pytest.mark.parametrize(("limit", "at_first"), [(1, 1), (3, 3), (10, 10), (None, 10)])
async def test_max_running_handlers_lets_so_many_run(limit: int | None, at_first: int, apart: bool) -> None:
    """Contract section 2: handlers that run never stop the reading, unless this is asked for."""
    crowd = Crowd()

    async def fault(peer: Peer) -> None:
        await peer.accept()
        for text in TEN:
            await peer.send(make_frame(TEXT, text.encode()))
            await asyncio.sleep(0.002 if apart else 0)
        await peer.send(CLOSE_FRAME)

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url, adapter=CPythonAdapter(max_running_handlers=limit), onmessage=crowd)
        recorder = Recorder(websocket)
        await crowd.until(at_first)
        assert recorder.types[-1:] == (["close"] if limit is None else ["message"])
        for ended in range(1, 11):
            crowd.may_end.release()
            await crowd.until(min(at_first + ended, 10))
        assert await recorder.closed() == CLOSED
    assert recorder.messages == crowd.seen == TEN
    assert crowd.most == at_first


async def test_max_running_handlers_stops_the_peer() -> None:
    crowd = Crowd()
    sent = 0

    async def fault(peer: Peer) -> None:
        nonlocal sent
        await peer.accept()
        for _ in range(500):
            await peer.send(make_frame(BINARY, bytes(MIB // 4)))
            sent += 1
        await peer.send(CLOSE_FRAME)

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url, adapter=CPythonAdapter(max_running_handlers=2), onmessage=crowd)
        await crowd.until(2)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 200  # what the kernel holds
        for _ in range(500):
            crowd.may_end.release()
        assert await Recorder(websocket).closed() == CLOSED
    assert (len(crowd.seen), crowd.most) == (500, 2)


@pytest.mark.parametrize("how", ["from_outside", "in_the_handler"])
async def test_close_with_max_running_handlers_does_not_wait_for_them(how: str) -> None:
    """What the handlers did not get by then is dropped, as ever after a close()."""
    crowd = Crowd()

    async def fault(peer: Peer) -> None:
        await peer.accept(make_frame(TEXT, b"hello") * 10)
        await peer.send(make_frame(TEXT, b"hello") * 10)
        assert await peer.close_code() == 4000
        await peer.send(make_frame(CLOSE, close_body(4000)))

    async def on_message(event: Any) -> None:
        if how == "in_the_handler":
            event.target.close(4000)
        await crowd(event)

    async with all_ends(), fault_server(fault) as url:
        websocket = WebSocket(url, adapter=CPythonAdapter(max_running_handlers=2), onmessage=on_message)
        recorder = Recorder(websocket)
        await crowd.until(1 if how == "in_the_handler" else 2)
        websocket.close(4000)
        assert await recorder.closed() == ("close", 4000, "", True)
        assert crowd.running == len(crowd.seen) <= 2
        crowd.may_end.release()
        crowd.may_end.release()


async def test_message_that_was_held_back_wakes_who_waits_for_it() -> None:
    """Though by then nobody listens any more, and messages go past the events."""

    async def fault(peer: Peer) -> None:
        await peer.accept()
        await peer.frame()
        await peer.send(make_frame(TEXT, b"1") + make_frame(TEXT, b"2"))
        await peer.close_code()
        await peer.send(CLOSE_FRAME)

    adapter = CPythonAdapter(max_running_handlers=1)
    async with all_ends(), fault_server(fault) as url, connect(url, adapter=adapter) as ws:

        async def take_off(event: Any) -> None:
            ws.websocket.onmessage = None
            await asyncio.sleep(0.02)

        ws.websocket.onmessage = take_off
        await ws.send("hello")
        async with asyncio.timeout(5):  # with a timeout of its own, recv() would look up
            assert [await ws.recv(), await ws.recv()] == ["1", "2"]


@pytest.mark.parametrize("limit", [0, -1])
def test_max_running_handlers_is_at_least_one(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CPythonAdapter(max_running_handlers=limit)
