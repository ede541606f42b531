"""`unisocket.compat.websockets`: the same programs over it and over the library itself, and what differs."""

import asyncio
import pickle
import socket
import ssl
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import trustme
import websockets as real
import websockets.asyncio.client
import websockets.exceptions
import websockets.frames
import websockets.sync.client
from seed_programs import do_as_path_says, serving
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

import unisocket
from unisocket.adapters import Adapter
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.compat import websockets as ours

LIBRARIES = pytest.mark.parametrize("library", [real, ours], ids=["websockets", "unisocket"])


def handle(websocket: ServerConnection) -> None:
    """Do what the path says."""
    assert websocket.request
    path = websocket.request.path
    if do_as_path_says(websocket):
        return
    if path == "/away":
        websocket.close(1001)
    elif path == "/no-code":
        websocket.protocol.send_close()
        websocket.send_context(expected_state=websocket.protocol.state)
        websocket.socket.sendall(b"".join(websocket.protocol.data_to_send()))
    elif path == "/headers":
        for name in ("X-Token", "Origin", "User-Agent", "Sec-WebSocket-Extensions"):
            websocket.send(f"{name}: {websocket.request.headers.get(name)}")
    else:
        for message in websocket:
            websocket.send(message)


def refuse(websocket: ServerConnection, request: Request) -> Response | None:
    return websocket.respond(int(request.path[1:]), "no\n") if request.path[1:].isdigit() else None


@pytest.fixture(scope="module", autouse=True)
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "*")
        with serving(handle, process_request=refuse, subprotocols=["chat"], select_subprotocol=select) as address:
            yield f"ws://{address}"


def select(websocket: ServerConnection, offered: Any) -> Any:
    return "chat" if "chat" in offered else None


def told(error: Any) -> tuple[Any, ...]:
    """Return what an exception tells that a connection is closed."""
    frames = [(close.code, close.reason) if close else None for close in (error.rcvd, error.sent)]
    return type(error).__name__, str(error), *frames, error.rcvd_then_sent


# Programs that run over either library.


async def close_first(library: Any, url: str) -> list[Any]:
    async with library.connect(url) as websocket:
        await websocket.send("one")
        seen = [websocket.state == library.State.OPEN, await websocket.recv(), websocket.close_code]
        await websocket.close(code=1001, reason="enough")
        await websocket.close()
        await websocket.wait_closed()
        seen += [websocket.state == library.State.CLOSED, websocket.close_code, websocket.close_reason]
        for call in (websocket.recv(), websocket.send("late"), websocket.ping()):
            with pytest.raises(library.ConnectionClosed) as caught:
                await call
            seen.append(told(caught.value))
    return seen


async def close_with_a_code_of_ones_own(library: Any, url: str) -> list[Any]:
    websocket = await library.connect(url)
    await websocket.close(4000)
    with pytest.raises(library.ConnectionClosedError) as caught:
        await websocket.recv()
    return [told(caught.value)]


async def be_closed(library: Any, url: str) -> list[Any]:
    seen = []
    async with library.connect(url + "/talk-and-close") as websocket:
        try:
            async for message in websocket:
                seen.append(message)  # noqa: PERF401  what came before the exception, too
        except library.exceptions.ConnectionClosedError as error:
            seen.append(told(error))
        seen += [websocket.close_code, websocket.close_reason]
    return seen


async def be_left(library: Any, url: str) -> list[Any]:
    async with library.connect(url + "/away") as websocket:
        seen = [message async for message in websocket]
        with pytest.raises(library.ConnectionClosedOK) as caught:
            await websocket.send("late")
    return [*seen, told(caught.value)]


async def be_dropped(library: Any, url: str) -> list[Any]:
    async with library.connect(url + "/drop") as websocket:
        with pytest.raises(library.ConnectionClosedError) as caught:
            await websocket.recv()
        return [told(caught.value), websocket.close_code, websocket.close_reason]


async def receive_under_a_timeout(library: Any, url: str) -> list[Any]:
    seen: list[Any] = []
    async with library.connect(url) as websocket:
        for _ in range(2):
            try:
                await asyncio.wait_for(websocket.recv(), timeout=0.001)
            except TimeoutError:
                seen.append("nothing yet")
        await websocket.send("one")
        async with asyncio.timeout(5):
            seen.append(await websocket.recv())
    return seen


async def ping(library: Any, url: str) -> list[Any]:
    seen: list[Any] = []
    async with library.connect(url) as websocket:
        pong = await websocket.ping()
        latency = await asyncio.wait_for(pong, timeout=5)
        seen += [0 < latency < 5, websocket.latency == latency]
        await asyncio.gather(*[await websocket.ping(data) for data in ("text", b"bytes", None)])
        await websocket.pong()
        pong = await websocket.ping("twice")
        with pytest.raises(library.ConcurrencyError) as caught:
            await websocket.ping("twice")
        seen.append(str(caught.value))
        await pong
        forgotten = await websocket.ping()
        forgotten.cancel()
        await (await websocket.ping())
    return seen


async def ask_for_text_and_bytes(library: Any, url: str) -> list[Any]:
    seen = []
    async with library.connect(url) as websocket:
        for message, text in (
            ("å", None),
            (b"\xc3\xa5", None),
            (b"\xc3\xa5", True),
            ("å", False),
            (bytearray(b"b"), None),
        ):
            for decode in (None, True, False):
                await websocket.send(message, text=text)
                seen.append(await websocket.recv(decode=decode))
        with pytest.raises(TypeError):
            await websocket.send(5)
    return seen


async def receive_twice_at_once(library: Any, url: str) -> list[Any]:
    async with library.connect(url) as websocket:
        first = asyncio.create_task(websocket.recv())
        await asyncio.sleep(0)
        with pytest.raises(library.ConcurrencyError):
            await websocket.recv()
        await websocket.send("one")
        return [await first]


async def choose_a_subprotocol(library: Any, url: str) -> list[Any]:
    async with library.connect(url) as websocket:
        seen = [websocket.subprotocol]
    async with library.connect(url, subprotocols=["other", "chat"]) as websocket:
        return [*seen, websocket.subprotocol]


async def send_headers(library: Any, url: str) -> list[Any]:
    options: dict[str, Any] = {
        "additional_headers": {"X-Token": "secret"},
        "origin": "http://example.com",
        "user_agent_header": "me",
        "compression": None,
    }
    async with library.connect(url + "/headers", **options) as websocket:
        return [message async for message in websocket]


async def be_refused(library: Any, url: str) -> list[Any]:
    seen: list[Any] = []
    for status in (403, 302):
        with pytest.raises(library.InvalidStatus) as caught:
            await library.connect(f"{url}/{status}")
        error = caught.value
        seen += [
            str(error),
            error.response.status_code,
            error.response.body,
            isinstance(error, library.InvalidHandshake),
        ]
    return seen


async def give_a_wrong_address(library: Any, url: str) -> list[Any]:
    with pytest.raises(library.InvalidURI) as caught:
        async with library.connect("ftp://localhost"):
            pass
    with pytest.raises(ValueError, match="ssl argument is incompatible with a ws:// URI"):
        await library.connect(url, ssl=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TimeoutError) as timed_out:
            await library.connect(f"ws://127.0.0.1:{port}", open_timeout=0.01)
    with pytest.raises(OSError, match="Connect call failed"):
        await library.connect(f"ws://127.0.0.1:{port}")
    return [caught.value.uri, isinstance(caught.value, library.WebSocketException), str(timed_out.value)]


async def get_an_answer_that_is_none(library: Any, url: str) -> list[Any]:
    seen = []
    for answer in (b"nonsense\r\n\r\n", b"HTTP/1.1 101 OK\r\nUpgrade: tea\r\n\r\n", b""):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve(server: socket.socket = server, answer: bytes = answer) -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

            thread = threading.Thread(target=serve)
            thread.start()
            with pytest.raises(library.InvalidHandshake) as caught:
                await library.connect(f"ws://127.0.0.1:{server.getsockname()[1]}")
            thread.join()
        seen.append((type(caught.value).__name__, str(caught.value)))
    return seen


async def connect_again_and_again(library: Any, url: str) -> list[Any]:
    seen: list[Any] = []
    delays: list[float] = []

    def no_delay() -> Iterator[float]:
        while True:
            delays.append(0)
            yield 0

    async for websocket in library.connect(url + "/talk-and-close", reconnect_delays=no_delay):
        try:
            async for message in websocket:
                seen.append(message)  # noqa: PERF401  what came before the exception, too
        except library.ConnectionClosed:
            pass
        if len(seen) > 4:
            break

    def once_more(error: Exception) -> Exception | None:
        seen.append(type(error).__name__)
        return None if len(delays) < 2 else ZeroDivisionError("that was it")

    with pytest.raises(ZeroDivisionError):
        async for _ in library.connect(url + "/503", reconnect_delays=no_delay, process_exception=once_more):
            pass
    with pytest.raises(library.InvalidStatus):
        async for _ in library.connect(url + "/404", reconnect_delays=no_delay):
            pass
    return [*seen, delays]


PROGRAMS = (
    close_first,
    close_with_a_code_of_ones_own,
    be_closed,
    be_left,
    be_dropped,
    receive_under_a_timeout,
    ping,
    ask_for_text_and_bytes,
    receive_twice_at_once,
    choose_a_subprotocol,
    send_headers,
    be_refused,
    give_a_wrong_address,
    get_an_answer_that_is_none,
    connect_again_and_again,
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
async def test_program_sees_the_same_over_both_libraries(program: Any, url: str) -> None:
    expected = await program(real, url)
    assert expected
    assert await program(ours, url) == expected


@pytest.mark.parametrize("turns", range(1, 12))
async def test_timeout_is_told_so_whoever_notices_it_first(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    time = loop.time
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        opening = asyncio.ensure_future(ours.connect(url, open_timeout=20).__aenter__())
        for _ in range(turns):
            await asyncio.sleep(0)
        monkeypatch.setattr(loop, "time", lambda: time() + 21)  # all clocks run out in one turn
        with pytest.raises(TimeoutError, match="timed out during opening handshake"):
            await opening


def test_blocking_program_sees_the_same_over_both_libraries(url: str) -> None:
    def program(library: Any) -> list[Any]:
        connect = library.sync.client.connect
        with connect(url, subprotocols=["chat"]) as websocket:
            seen = [websocket.subprotocol, websocket.state == library.State.OPEN]
            websocket.send("one")
            seen.append(websocket.recv())
            with pytest.raises(TimeoutError):
                websocket.recv(timeout=0.001)
            websocket.send("two")
            seen.append(websocket.recv(timeout=5, decode=False))
            seen.append(websocket.ping().wait(5))
            websocket.pong()
            websocket.close(1000, "bye")
            seen += [websocket.close_code, websocket.close_reason]
            with pytest.raises(library.ConnectionClosedOK) as caught:
                websocket.recv()
            seen.append(told(caught.value))
            with pytest.raises(library.ConnectionClosed):
                websocket.send("late")
        with connect(url + "/away") as websocket:
            seen.append(list(websocket))
        with connect(url + "/talk-and-close") as websocket:
            messages = iter(websocket)
            seen += [next(messages), next(messages)]
            with pytest.raises(library.ConnectionClosedError) as caught:
                next(messages)
        with pytest.raises(library.InvalidStatus) as refused, connect(url + "/403"):
            pass
        return [*seen, told(caught.value), str(refused.value)]

    assert program(ours) == program(real)


@LIBRARIES
async def test_ping_that_is_not_answered_raises_when_the_connection_closes(library: Any, url: str) -> None:
    async with library.connect(url) as websocket:
        websocket_connection = websocket if library is real else websocket._connection.websocket.raw
        pong = await websocket.ping("lost")
        websocket_connection.acknowledge_pings = lambda data: None
        await websocket.close()
        with pytest.raises(library.ConnectionClosed):
            await asyncio.wait_for(pong, 5)


def test_ssl_true_verifies_with_the_certificates_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def program(address: str) -> None:
        with pytest.raises(OSError, match="certificate"):
            await ours.connect(f"wss://{address}", ssl=True)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        async with ours.connect(f"wss://{address}", ssl=True) as websocket:
            await websocket.send("one")
            assert await websocket.recv() == "one"

    with serving(handle, ssl=context) as address:
        asyncio.run(program(address))


def test_options_become_those_of_the_adapter_in_force() -> None:
    adapter = CPythonAdapter(base_url="ws://localhost/", max_size=5)
    unisocket.use(adapter)
    try:
        connecting = ours.connect("/", ping_interval=None, max_size=7, close_timeout=3, open_timeout=4)
    finally:
        unisocket.use(None)
    changed: Any = connecting._adapter
    assert (changed.base_url, changed.max_size, changed.close_timeout, changed.open_timeout) == (
        "ws://localhost/",
        7,
        3,
        4,
    )
    assert changed.ping_interval is None
    assert (adapter.max_size, adapter.close_timeout, adapter.open_timeout) == (5, 10, 10)


def test_max_queue_may_be_none_or_a_pair() -> None:
    assert ours.connect("ws://localhost", max_queue=None)._max_queue > 10**6
    assert ours.connect("ws://localhost", max_queue=(3, 1))._max_queue == 3


class Browser(Adapter):
    """An adapter that can do what a browser can."""

    name = "browser"


@pytest.fixture
def browser() -> Iterator[None]:
    unisocket.use(Browser())
    yield
    unisocket.use(None)


@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize(
    "option",
    [
        {"ssl": True},
        {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
        {"additional_headers": {"X-Token": "secret"}},
        {"origin": "http://example.com"},
        {"user_agent_header": "me"},
        {"ping_interval": 20},
        {"ping_timeout": 20},
        {"max_size": 2**20},
        {"compression": None},
        {"proxy": "http://localhost:3128"},
        {"create_connection": object},
    ],
    ids=lambda option: next(iter(option)),
)
def test_option_that_a_browser_has_not_raises_and_names_itself(option: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError, match=next(iter(option))):
        ours.connect("wss://localhost", **option)


@pytest.mark.usefixtures("browser")
def test_option_for_what_a_browser_does_anyway_is_taken() -> None:
    anyway: dict[str, Any] = {"ping_interval": None, "ping_timeout": None, "max_size": None, "compression": "deflate"}
    ours.connect(
        "wss://localhost", **anyway, ssl=None, additional_headers=None, close_timeout=3, open_timeout=3, sock=None
    )


async def test_what_only_the_library_has_raises_in_a_browser_and_names_itself(url: str) -> None:
    async with ours.connect(url) as websocket:
        websocket._adapter = Browser()
        with pytest.raises(NotImplementedError, match=r"ping\(\)"):
            await websocket.ping()
        with pytest.raises(NotImplementedError, match="remote_address"):
            _ = websocket.remote_address
        with pytest.raises(unisocket.InvalidCloseCodeError):
            await websocket.close(1001)


@LIBRARIES
async def test_what_the_connection_knows_is_there(library: Any, url: str) -> None:
    async with library.connect(url) as websocket:
        assert websocket.remote_address == ("127.0.0.1", int(url.split(":")[-1]))
        assert websocket.request.path == "/"
        assert websocket.response.status_code == 101


def pairs() -> Iterator[Any]:
    response = Response(403, "Forbidden", real.Headers(), b"")
    for modules in ((real, real.frames), (ours, ours.frames)):
        library: Any = modules[0]
        close = modules[1].Close
        yield [
            library.ConnectionClosedError(None, None),
            library.ConnectionClosedError(None, close(1011, "ping timeout")),
            library.ConnectionClosedError(close(4000, "why"), None),
            library.ConnectionClosedOK(close(1000, ""), close(1000, ""), True),
            library.ConnectionClosedOK(close(3000, ""), close(1005, "x"), False),
            library.ConnectionClosedOK(close(1016, ""), close(1006, ""), False),
            library.InvalidURI("ftp://x", "no"),
            library.InvalidStatus(response),
            library.InvalidHeader("Upgrade"),
            library.InvalidHeader("Upgrade", ""),
            library.InvalidUpgrade("Upgrade", "tea"),
            library.NegotiationError("no subprotocol"),
        ]


@pytest.mark.filterwarnings("ignore:ConnectionClosed:DeprecationWarning")
@pytest.mark.parametrize(("theirs", "error"), list(zip(*pairs(), strict=True)), ids=str)
def test_exception_says_what_the_library_s_says_and_pickles(theirs: Any, error: Any) -> None:
    assert type(error).__name__ == type(theirs).__name__
    assert str(error) == str(theirs)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    if isinstance(error, ours.ConnectionClosed):
        assert (error.code, error.reason) == (theirs.code, theirs.reason)
        assert (copy.rcvd, copy.sent, copy.rcvd_then_sent) == (error.rcvd, error.sent, error.rcvd_then_sent)
        assert repr(error.rcvd) == repr(theirs.rcvd).replace("<CloseCode.", "").replace(">", "")


@pytest.mark.parametrize(
    ("facade", "library"),
    [
        (ours, real),
        (ours.exceptions, real.exceptions),
        (ours.frames, real.frames),
        (ours.asyncio.client, real.asyncio.client),
        (ours.sync.client, real.sync.client),
    ],
    ids=lambda module: module.__name__,
)
def test_every_name_is_one_of_the_library(facade: ModuleType, library: ModuleType) -> None:
    names = set(facade.__all__) - {"ConnectionFailed"}
    assert names
    for name in names:
        assert hasattr(library, name), name
        assert hasattr(facade, name), name


def test_close_codes_are_those_of_the_library() -> None:
    assert {code.name: code.value for code in real.CloseCode} == {
        name: value for name, value in vars(ours.CloseCode).items() if name.isupper()
    }
    for code in (*range(1000, 1017), 2999, 3000, 4999):
        assert str(ours.Close(code, "x")) == str(real.Close(code, "x"))
    assert len({ours.Close(1000, ""), ours.Close(1000, "")}) == 1
