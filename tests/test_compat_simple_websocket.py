"""`unisocket.compat.simple_websocket`: what its documentation says of clients, with coroutines and blocking."""

import asyncio
import builtins
import pickle
import queue
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from inspect import signature
from typing import Any

import pytest
import trustme
from seed_programs import do_as_path_says, serving
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

import unisocket
from unisocket.adapters import Adapter
from unisocket.compat import simple_websocket
from unisocket.compat.simple_websocket import AioClient, Client, ConnectionClosed, ConnectionError


def handle(websocket: ServerConnection) -> None:
    """Do what the path says."""
    assert websocket.request
    path = websocket.request.path
    if do_as_path_says(websocket):
        return
    if path == "/headers":
        websocket.send(f"{websocket.request.headers.get_all('X-Token')}")
    elif path == "/code":
        with suppress(ConnectionClosedError):
            list(websocket)
        codes.put((websocket.close_code, websocket.close_reason))
    else:
        for message in websocket:
            websocket.send(message)


codes: queue.Queue[tuple[int | None, str | None]] = queue.Queue()


def refuse(websocket: ServerConnection, request: Request) -> Response | None:
    return websocket.respond(403, "no\n") if request.path == "/403" else None


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    def select(websocket: ServerConnection, offered: Any) -> Any:
        return offered[-1] if offered else None

    with serving(handle, process_request=refuse, subprotocols=["a", "b"], select_subprotocol=select) as address:
        yield f"ws://{address}"


class Blocking:
    """`AioClient`'s interface over `Client`: one test for both."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    async def connect(cls, *args: Any, **options: Any) -> "Blocking":
        return cls(await asyncio.to_thread(Client.connect, *args, **options))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        return (lambda *args, **options: asyncio.to_thread(value, *args, **options)) if callable(value) else value


@pytest.fixture(params=[AioClient, Blocking], ids=["AioClient", "Client"])
def connect(request: pytest.FixtureRequest) -> Any:
    return request.param.connect


async def test_messages_keep_their_type(connect: Any, url: str) -> None:
    ws = await connect(url)
    for data in ("text", "", b"bytes", b"", bytearray(b"bytearray"), memoryview(b"memoryview")):
        await ws.send(data)
        received = await ws.receive()
        assert (received, type(received)) == (data, str if isinstance(data, str) else bytes)
    await ws.close()


@pytest.mark.parametrize("data", [None, 5, ["one"], {"one": 1}])
async def test_anything_else_is_a_type_error_and_nothing_is_sent(connect: Any, url: str, data: Any) -> None:
    ws = await connect(url)
    with pytest.raises(TypeError, match=type(data).__name__):
        await ws.send(data)
    await ws.send("next")
    assert await ws.receive() == "next"
    await ws.close()


async def test_receive_returns_none_when_time_runs_out_and_loses_nothing(connect: Any, url: str) -> None:
    ws = await connect(url)
    assert await ws.receive(timeout=0) is None
    assert await ws.receive(0.001) is None
    await ws.send("one")
    assert await ws.receive(timeout=5) == "one"
    assert ws.connected
    await ws.close()


async def test_buffered_messages_come_before_the_exception(connect: Any, url: str) -> None:
    ws = await connect(url + "/talk-and-close")
    assert [await ws.receive(), await ws.receive(timeout=5)] == ["text", b"binary"]
    for call in (ws.receive, lambda: ws.receive(timeout=0), lambda: ws.send("late")):
        with pytest.raises(ConnectionClosed, match="Connection closed: 4001 bye") as caught:
            await call()
        assert (caught.value.reason, caught.value.message) == (4001, "bye")
    assert (ws.connected, ws.close_reason, ws.close_message) == (False, 4001, "bye")


async def test_close_of_a_closed_connection_does_nothing(connect: Any, url: str) -> None:
    ws = await connect(url + "/talk-and-close")
    assert [await ws.receive(), await ws.receive()] == ["text", b"binary"]
    with pytest.raises(ConnectionClosed):
        await ws.receive()
    await ws.close()
    assert ws.close_reason == 4001


async def test_lost_connection_has_1006(connect: Any, url: str) -> None:
    ws = await connect(url + "/drop")
    with pytest.raises(ConnectionClosed) as caught:
        await ws.receive()
    assert (caught.value.reason, caught.value.message) == (1006, None)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, (1000, "")),
        ({"reason": 3001, "message": "bye"}, (3001, "bye")),
        ({"message": "bye"}, (1000, "bye")),
        ({"reason": 1001}, (1001, "")),
    ],
    ids=str,
)
async def test_close_sends_reason_and_message(connect: Any, url: str, arguments: Any, code: Any) -> None:
    ws = await connect(url + "/code")
    assert (ws.connected, ws.close_reason, ws.close_message) == (True, 1005, None)
    await ws.close(**arguments)
    assert not ws.connected
    assert await asyncio.to_thread(codes.get, timeout=5) == code
    with pytest.raises(ConnectionClosed) as caught:
        await ws.receive()
    assert caught.value.reason == code[0]


async def test_close_with_a_reason_that_is_none_raises(connect: Any, url: str) -> None:
    ws = await connect(url)
    with pytest.raises(unisocket.InvalidCloseCodeError):
        await ws.close(reason=1005)
    assert ws.connected
    await ws.close()


@pytest.mark.parametrize(
    ("subprotocols", "chosen"), [(None, None), ("", None), ([], None), ("a", "a"), (["a", "b"], "b"), (("a",), "a")]
)
async def test_subprotocols_are_a_string_or_a_list(connect: Any, url: str, subprotocols: Any, chosen: Any) -> None:
    ws = await connect(url, subprotocols=subprotocols)
    assert ws.subprotocol == chosen
    await ws.close()


@pytest.mark.parametrize(
    ("headers", "arrive"),
    [({"X-Token": "secret"}, ["secret"]), ([("X-Token", "one"), ("X-Token", "two")], ["one", "two"]), ({}, [])],
)
async def test_headers_are_a_dict_or_a_list_of_pairs(connect: Any, url: str, headers: Any, arrive: list[str]) -> None:
    ws = await connect(url + "/headers", headers=headers)
    assert await ws.receive() == str(arrive)
    await ws.close()


async def test_http_and_https_are_taken(connect: Any, url: str) -> None:
    ws = await connect(url.replace("ws:", "http:"))
    await ws.close()


async def test_message_that_is_too_big_closes_the_connection(connect: Any, url: str) -> None:
    ws = await connect(url, max_message_size=100)
    await ws.send("x" * 100)
    assert await ws.receive() == "x" * 100
    await ws.send("x" * 101)
    with pytest.raises(ConnectionClosed):
        await ws.receive()


def test_ssl_context_is_used() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    with serving(handle, ssl=context) as address:
        with pytest.raises(ConnectionError, match="certificate"):
            Client.connect(f"wss://{address}")
        ws = Client.connect(f"wss://{address}", ssl_context=client_context)
        ws.send("one")
        assert ws.receive() == "one"
        ws.close()


def test_ping_interval_is_that_of_the_adapter_and_without_it_there_are_no_pings() -> None:
    for interval in (None, 25):
        adapter: Any = AioClient("ws://localhost", ping_interval=interval)._adapter
        assert (adapter.ping_interval, adapter.ping_timeout) == (interval, interval)


async def test_refusal_has_its_status_code(connect: Any, url: str) -> None:
    with pytest.raises(ConnectionError, match="HTTP 403") as caught:
        await connect(url + "/403")
    assert caught.value.status_code == 403
    assert isinstance(caught.value, (OSError, simple_websocket.SimpleWebsocketError, RuntimeError))


async def test_server_that_is_not_there_is_a_connection_error_and_an_os_error(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionError, match="cannot connect") as caught:
        await connect(f"ws://127.0.0.1:{port}")
    assert caught.value.status_code is None
    assert isinstance(caught.value, builtins.ConnectionError)


async def test_wrong_url_raises(connect: Any) -> None:
    with pytest.raises(unisocket.InvalidURLError):
        await connect("ftp://localhost")


async def test_client_that_was_not_connected_says_so() -> None:
    ws = AioClient("ws://localhost")
    assert (ws.connected, ws.close_reason, ws.close_message, ws.is_server) == (False, 1005, None, False)
    for call in (ws.receive, lambda: ws.send("one"), ws.close):
        with pytest.raises(ConnectionClosed):
            await call()


def test_client_is_open_when_it_is_made(url: str) -> None:
    ws = Client(url, ["a"], None, 4096, None, None, None, threading.Thread, threading.Event)
    assert (ws.connected, ws.subprotocol, ws.is_server) == (True, "a", False)
    ws.close()


def test_many_threads_may_share_a_client(url: str) -> None:
    ws = Client.connect(url)
    senders = [threading.Thread(target=ws.send, args=(str(number),)) for number in range(5)]
    for sender in senders:
        sender.start()
    assert sorted(ws.receive() for _ in senders) == ["0", "1", "2", "3", "4"]
    for sender in senders:
        sender.join()
    ws.close()


def test_arguments_are_those_of_the_documentation() -> None:
    names = [
        "url", "subprotocols", "headers", "receive_bytes", "ping_interval", "max_message_size", "ssl_context",
        "thread_class", "event_class",
    ]  # fmt: skip
    for kind in (Client, AioClient):
        assert list(signature(kind.connect).parameters) == names
        assert list(signature(kind).parameters) == names
        assert list(signature(kind.receive).parameters) == ["self", "timeout"]
        assert list(signature(kind.send).parameters) == ["self", "data"]
        assert list(signature(kind.close).parameters) == ["self", "reason", "message"]
        assert signature(kind.connect).parameters["receive_bytes"].default == 4096


@pytest.mark.parametrize(
    "error",
    [ConnectionClosed(), ConnectionClosed(3000, "bye"), ConnectionError(), ConnectionError(403, "no")],
    ids=repr,
)
def test_exception_pickles(error: Any) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert isinstance(copy, unisocket.WebSocketError)


@pytest.mark.parametrize(
    "option",
    [{"headers": {"X-Token": "secret"}}, {"ping_interval": 25}, {"max_message_size": 5}, {"ssl_context": object()}],
    ids=lambda option: next(iter(option)),
)
async def test_option_that_a_browser_has_not_raises_and_names_itself(option: dict[str, Any]) -> None:
    class Browser(Adapter):
        name = "browser"

    unisocket.use(Browser())
    try:
        AioClient("ws://localhost", headers={}, receive_bytes=1)
        with pytest.raises(NotImplementedError, match=next(iter(option))):
            await AioClient.connect("ws://localhost", **option)
    finally:
        unisocket.use(None)
