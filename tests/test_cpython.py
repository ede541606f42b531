"""What only CPython has: `run()`, event loops that end, contexts, threads without a loop, options."""

import asyncio
import contextvars
import copy
import gc
import math
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
import trio
from peer_process import peer_process

import unisocket
from unisocket import Event, WebSocket, errors
from unisocket.adapters import cpython
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing.script import Peer, Recorder


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


def program(text: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-c", textwrap.dedent(text), *arguments]


def run_program(text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(program(text, *arguments), capture_output=True, text=True, timeout=30, check=False)


ECHO = """
    import sys, unisocket
    ws = unisocket.WebSocket(sys.argv[1])
    ws.onopen = lambda event: ws.send("hello")
    def on_message(event):
        print(event.data)
        ws.close(1000)
    ws.onmessage = on_message
    ws.onclose = lambda event: print(event.code, event.wasClean)
"""


async def session(base_url: str) -> Peer:
    return await Peer.open(base_url, WebSocket)


async def test_sockets_made_without_a_loop_open_in_run_which_ends_with_the_last(base_url: str) -> None:
    """Contract section 5: nothing is sent before run(), and run() ends when no socket is left."""
    peer = await session(base_url)
    done = await asyncio.to_thread(run_program, ECHO + "\n    unisocket.run()\n    print('ended')", peer.url)
    assert (done.stdout, done.stderr) == ("hello\n1000 True\nended\n", "")
    await peer.close()


def test_import_loads_nothing_that_takes_long() -> None:
    done = run_program("import sys, unisocket.sync; print(*sys.modules)")
    assert "unisocket.sync" in done.stdout.split(), done.stderr
    assert not {"asyncio", "websockets", "ada_url", "inspect", "typing"} & set(done.stdout.split())


def test_program_without_run_is_told_at_exit() -> None:
    done = run_program(ECHO, "ws://127.0.0.1:9999/")
    assert "RuntimeWarning" in done.stderr
    assert "unisocket.run()" in done.stderr
    assert "asyncio.run()" in done.stderr
    assert done.stdout == ""


def test_run_waits_for_the_async_handler_of_close() -> None:
    done = run_program(
        """
        import asyncio, unisocket
        async def on_close(event):
            await asyncio.sleep(0.05)
            print("closed", event.code)
        unisocket.WebSocket("ws://127.0.0.1:1/", onclose=on_close)
        unisocket.run()
        """
    )
    assert (done.stdout, done.stderr) == ("closed 1006\n", "")


def test_run_with_a_coroutine_returns_its_result() -> None:
    async def main() -> int:
        return 42

    assert unisocket.run(main()) == 42


async def test_run_inside_a_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match="inside a running event loop"):
        unisocket.run()


async def test_ctrl_c_in_run_closes_all_sockets_with_1001(base_url: str) -> None:
    peer = await session(base_url)
    text = ECHO.replace("ws.close(1000)", "sys.stdout.flush()") + "\n    unisocket.run()"
    process = subprocess.Popen(program(text, peer.url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert await asyncio.to_thread(process.stdout.readline) == "hello\n"
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.to_thread(process.communicate, timeout=30)
    assert "KeyboardInterrupt" in err
    assert "ResourceWarning" not in err
    assert out == "1001 True\n"
    assert [record["code"] for record in await peer.wait_for("close")] == [1001]
    await peer.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loop_that_ends_with_an_open_socket_aborts_it_without_events(base_url: str) -> None:
    """Contract section 1, lifetime: the transport is aborted, no event fires, one ResourceWarning."""
    events: list[str] = []

    async def main() -> None:
        peer = await session(base_url)
        recorder = Recorder(WebSocket(peer.url))
        await recorder.wait("open")
        events.extend(recorder.types)
        await peer.close()  # ends the connection, too: so wait for neither
        peer = await session(base_url)
        websocket = WebSocket(peer.url, onclose=lambda event: events.append("close"))
        await Recorder(websocket).wait("open")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    ours = [str(warning.message) for warning in caught if issubclass(warning.category, ResourceWarning)]
    assert len(ours) == 1
    assert "not closed when the event loop ended" in ours[0]
    assert events == ["open"]


def test_loop_that_is_closed_bare_warns_once_for_an_open_socket(base_url: str) -> None:
    """Contract section 1, lifetime: without asyncio.run() nothing tells beforehand."""
    closed: list[object] = []

    async def main() -> None:
        websocket = WebSocket(base_url + "/control", onclose=closed.append)
        await Recorder(websocket).wait("open")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loop.close()
        gc.collect()
    assert [str(warning.message).split(" not ")[1] for warning in caught] == ["closed when the event loop ended"]
    assert not closed


async def test_unreferenced_socket_lives_until_its_close(base_url: str) -> None:
    peer = await session(base_url)
    await peer.script(["accept"], ["text", "still there"], ["read", 1], ["close", 1000, ""])
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    closed = asyncio.Event()

    def make() -> "weakref.ref[WebSocket]":
        def on_message(event: unisocket.MessageEvent) -> None:
            seen.set_result(event.data)
            event.target.send("x")

        return weakref.ref(WebSocket(peer.url, onmessage=on_message, onclose=lambda event: closed.set()))

    reference = make()
    gc.collect()
    assert await asyncio.wait_for(seen, 5) == "still there"
    await asyncio.wait_for(closed.wait(), 5)
    await asyncio.sleep(0)
    gc.collect()
    assert reference() is None
    await peer.close()


async def test_task_that_sends_to_many_sockets_by_turns_keeps_none_waiting_for_its_end(base_url: str) -> None:
    peers = [await session(base_url) for _ in range(2)]
    for peer in peers:
        await peer.script(["accept"], ["read", 5000], ["close", 1000, ""])
    sockets = [WebSocket(peer.url) for peer in peers]
    recorders = list(map(Recorder, sockets))
    for recorder in recorders:
        await recorder.wait("open")
    for _ in range(5000):
        for websocket in sockets:
            websocket.send("x")
    assert all(websocket.raw._written > 4000 for websocket in sockets)
    for recorder, peer in zip(recorders, peers, strict=True):
        assert await recorder.closed() == ("close", 1000, "", True)
        await peer.close()


async def test_handlers_run_in_the_context_of_the_constructor(base_url: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    peer = await session(base_url)
    seen: list[str] = []
    variable.set("constructor")
    websocket = WebSocket(peer.url)
    variable.set("later")
    ended = asyncio.Event()

    async def on_close(event: unisocket.CloseEvent) -> None:
        seen.append("close " + variable.get())
        ended.set()

    websocket.onopen = lambda event: seen.append("open " + variable.get()) or websocket.close(1000)
    websocket.onclose = on_close
    await ended.wait()
    assert seen == ["open constructor", "close constructor"]
    await peer.close()


async def test_handlers_run_in_the_context_of_the_constructor_when_reading_goes_on(base_url: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    peer = await session(base_url)
    await peer.script(["accept"], *[["text", str(number)] for number in range(10)], ["echo"])
    variable.set("constructor")
    ws = await unisocket.connect(peer.url, max_queue=2)
    while not ws._paused:  # noqa: ASYNC110
        await asyncio.sleep(0.001)

    async def take() -> None:
        variable.set("taker")
        for _ in range(10):
            await ws.recv()

    await asyncio.create_task(take())
    seen = asyncio.get_running_loop().create_future()
    ws.websocket.onmessage = lambda event: seen.set_result(variable.get())
    ws.websocket.send("echo")
    assert await seen == "constructor"
    await ws.close()
    await peer.close()


async def test_on_handler_error_that_is_a_coroutine_function_is_told_to_the_runtime(base_url: str) -> None:
    async def hear(error: BaseException, event: Event) -> None: ...

    peer = await session(base_url)
    contexts: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    unisocket.on_handler_error(hear)
    try:
        websocket = WebSocket(peer.url, onopen=lambda event: 1 / 0)
        recorder = Recorder(websocket)
        await recorder.wait("open")
    finally:
        unisocket.on_handler_error(None)
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError, TypeError]
    websocket.close()
    await recorder.closed()
    await peer.close()


async def test_listener_whose_signature_cannot_be_read_gets_the_event(base_url: str) -> None:
    def listener(*arguments: Any) -> None:
        got.append(arguments)

    got: list[tuple[Any, ...]] = []
    listener.__signature__ = "nonsense"  # type: ignore[attr-defined]
    peer = await session(base_url)
    websocket = WebSocket(peer.url)
    websocket.bind("own", listener)
    event = Event("own")
    websocket.dispatchEvent(event)
    assert got == [(event,)]
    websocket.close()
    await Recorder(websocket).closed()
    await peer.close()


async def test_exception_of_a_handler_goes_to_the_exception_handler_of_the_loop(base_url: str) -> None:
    peer = await session(base_url)
    contexts: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    websocket = WebSocket(peer.url, onopen=lambda event: 1 / 0)
    recorder = Recorder(websocket)
    await recorder.wait("open")
    assert [type(context["exception"]) for context in contexts] == [ZeroDivisionError]
    websocket.close()
    await recorder.closed()
    await peer.close()


def test_exception_of_a_handler_without_a_loop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    done = run_program(
        """
        import unisocket
        ws = unisocket.WebSocket("ws://127.0.0.1:1/")
        ws.onopen = lambda event: 1 / 0
        ws.dispatchEvent(unisocket.Event("open"))
        unisocket.run()
        """
    )
    assert done.stderr.count("ZeroDivisionError") == 1


async def test_system_exit_in_a_handler_leaves_through_the_loop_and_the_socket_says_goodbye(base_url: str) -> None:
    peer = await session(base_url)
    done = await asyncio.to_thread(
        run_program,
        """
        import sys, unisocket
        def on_open(event):
            raise SystemExit(7)
        ws = unisocket.WebSocket(sys.argv[1], onopen=on_open)
        ws.onerror = ws.onclose = print
        unisocket.run()
        """,
        peer.url,
    )
    assert done.returncode == 7, done.stderr
    assert "error" not in done.stdout
    assert "code=1001" in done.stdout
    assert (await peer.wait_for("close"))[0]["code"] == 1001
    await peer.close()


async def test_async_handler_before_one_that_ends_the_program_begins(base_url: str) -> None:
    peer = await session(base_url)
    done = await asyncio.to_thread(
        run_program,
        """
        import sys, unisocket
        async def begin(event):
            print("begun")
        def leave(event):
            raise SystemExit(7)
        ws = unisocket.WebSocket(sys.argv[1])
        ws.addEventListener("open", begin)
        ws.addEventListener("open", leave)
        unisocket.run()
        """,
        peer.url,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "begun\n", "")
    await peer.close()


async def test_recv_with_a_timeout_that_is_no_number_does_not_wait(base_url: str) -> None:
    """asyncio's loop would, for ever."""
    peer = await session(base_url)
    async with unisocket.connect(peer.url) as ws:
        with pytest.raises(unisocket.TimeoutError):
            await ws.recv(timeout=math.nan)
        await ws.send("alive?")
        assert await ws.recv(timeout=5) == "alive?"
    await peer.close()


async def test_async_handler_whose_task_is_cancelled_before_it_begins_deafens_nobody(base_url: str) -> None:
    peer = await session(base_url)
    await peer.script(["accept"], ["together", [["text", "1"], ["text", "2"]]], ["close", 1000, ""])
    begun: list[str] = []
    ended: list[str] = []

    def cancel(event: unisocket.MessageEvent) -> None:
        others = asyncio.all_tasks()
        if event.data == "1":
            asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in asyncio.all_tasks() - others])

    async def handle(event: unisocket.MessageEvent) -> None:
        begun.append(event.data)
        await asyncio.sleep(0)
        ended.append(event.data)

    websocket = WebSocket(peer.url)
    recorder = Recorder(websocket)
    websocket.addEventListener("message", cancel)
    websocket.addEventListener("message", handle)
    async with asyncio.timeout(5):
        assert await recorder.closed() == ("close", 1000, "", True)
    assert begun == ["1", "2"]
    assert "1" not in ended
    await peer.close()


async def test_handler_that_raises_cancelled_error_is_no_error(base_url: str) -> None:
    peer = await session(base_url)
    errors_seen: list[object] = []
    unisocket.on_handler_error(lambda error, event: errors_seen.append(error))

    def on_open(event: unisocket.Event) -> None:
        raise asyncio.CancelledError

    try:
        websocket = WebSocket(peer.url, onopen=on_open)
        recorder = Recorder(websocket)
        await recorder.wait("open")
        websocket.close()
        await recorder.closed()
    finally:
        unisocket.on_handler_error(None)
    assert not errors_seen
    await peer.close()


def test_trio_is_told_of_the_threaded_mode() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"dispatch=token\.run_sync_soon"):
            WebSocket("ws://127.0.0.1:1/")

    trio.run(main)


def test_each_thread_has_its_own_sockets_and_run() -> None:
    codes: list[int] = []

    def work() -> None:
        WebSocket("ws://127.0.0.1:1/", onclose=lambda event: codes.append(event.code))
        unisocket.run()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert codes == [1006] * 3


@pytest.mark.parametrize(
    "error",
    [
        errors.ConnectionClosedError(4000, "why", True),
        errors.ConnectionClosedOK(1000),
        errors.ConnectionFailedError("ws://host/", "HTTP 403"),
        errors.TimeoutError("no message within 1 s"),
        errors.InvalidURLError("what"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_exceptions_pickle(error: errors.WebSocketError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_timeout_error_is_the_languages_own_too() -> None:
    assert issubclass(unisocket.TimeoutError, TimeoutError)


async def test_socket_neither_pickles_nor_copies() -> None:
    websocket = WebSocket("ws://127.0.0.1:1/")
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(websocket)
    with pytest.raises(TypeError, match="pickled"):
        copy.copy(websocket)
    await Recorder(websocket).closed()


async def test_relative_url_needs_a_base_and_is_resolved_against_it() -> None:
    with pytest.raises(unisocket.InvalidURLError, match="base_url"):
        WebSocket("chat")
    websocket = WebSocket("chat?x=1", adapter=CPythonAdapter(base_url="https://127.0.0.1:1/app/page"))
    assert websocket.url == "wss://127.0.0.1:1/app/chat?x=1"
    await Recorder(websocket).closed()


def test_use_loads_an_adapter_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EntryPoints([EntryPoint("mine", "unisocket.adapters.cpython:CPythonAdapter", "unisocket.adapters")])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **selection: found.select(**selection))
    try:
        assert isinstance(unisocket.use("mine"), CPythonAdapter)
        with pytest.raises(LookupError, match="'other'; there is: mine"):
            unisocket.use("other")
    finally:
        unisocket.use(None)


async def test_userinfo_of_the_url_becomes_basic_authorization(base_url: str) -> None:
    peer = await session(base_url)
    url = peer.url.replace("ws://", "ws://us%40er:p%3Ass@")
    websocket = WebSocket(url)
    recorder = Recorder(websocket)
    await recorder.wait("open")
    assert websocket.url == url
    assert "p%3Ass" not in repr(websocket)
    headers = dict((await peer.wait_for("request"))[0]["headers"])
    assert headers["Authorization"] == "Basic dXNAZXI6cDpzcw=="
    websocket.close()
    await recorder.closed()
    await peer.close()


async def test_error_event_says_why_on_cpython(base_url: str) -> None:
    peer = await session(base_url)
    await peer.script(["http", 403, [], ""])
    messages: list[str] = []
    websocket = WebSocket(peer.url, onerror=lambda event: messages.append(event.message))
    await Recorder(websocket).closed()
    assert messages == ["HTTP 403"]
    await peer.close()


async def test_peer_that_does_not_answer_a_ping_is_given_up(base_url: str) -> None:
    peer = await session(base_url)
    await peer.script(["accept"], ["deaf"])
    adapter = CPythonAdapter(ping_interval=0.05, ping_timeout=0.05)
    messages: list[str] = []
    websocket = WebSocket(peer.url, adapter=adapter, onerror=lambda event: messages.append(event.message))
    assert await Recorder(websocket).closed() == ("close", 1006, "", False)
    assert messages == ["the peer did not answer a ping"]
    await peer.close()


async def test_server_that_says_nothing_ends_with_open_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"ws://127.0.0.1:{server.getsockname()[1]}/"
        websocket = WebSocket(url, adapter=CPythonAdapter(open_timeout=0.1))
        assert await Recorder(websocket).closed() == ("close", 1006, "", False)


def test_usv_string_joins_pairs_and_replaces_lone_surrogates() -> None:
    assert cpython.usv_string("a\ud83d\ude00b\ud800c") == "a\U0001f600b\ufffdc"


async def test_queue_per_host_opens_connections_one_after_the_other(base_url: str) -> None:
    """RFC 6455 section 4.1: at most one connection to a host is in state CONNECTING; freed on open and on failure."""
    adapter = CPythonAdapter(queue_per_host=True)
    peer, broken = await session(base_url), await session(base_url)
    await peer.script(["read", 1])  # does not answer the opening handshake yet
    await broken.script(["http", 404, [], ""])
    first = Recorder(WebSocket(peer.url, adapter=adapter))
    await peer.wait_for("request")
    second, third = Recorder(WebSocket(broken.url, adapter=adapter)), Recorder(WebSocket(broken.url, adapter=adapter))
    await asyncio.sleep(0.05)
    assert await broken.seen() == []
    await peer.do(["accept"], ["swallow"])
    await first.wait("open")
    assert await second.closed() == await third.closed() == ("close", 1006, "", False)
    assert len(await broken.wait_for("request", 2)) == 2
    await peer.do(["close", 1000, ""])
    await first.closed()
    await peer.close()
    await broken.close()


async def test_queue_per_host_lets_others_pass(base_url: str) -> None:
    """RFC 6455 section 4.1: connections to another port do not wait; nor do those without the option."""
    adapter = CPythonAdapter(queue_per_host=True)
    peer = await session(base_url)
    await peer.script(["read", 1])
    first = WebSocket(peer.url, adapter=adapter)
    waiting = WebSocket(peer.url, adapter=adapter)
    await peer.wait_for("request")
    with peer_process() as another_url:
        another = WebSocket(another_url + "/control", adapter=adapter)
        await Recorder(another).wait("open")
        another.close()
        await Recorder(another).closed()
    without = WebSocket(peer.url)
    await peer.wait_for("request", 2)
    for websocket in (first, waiting, without):
        websocket.close()
        await Recorder(websocket).closed()
    await peer.close()


@pytest.mark.parametrize("given_up", ["the_one_that_opens", "one_that_waits"])
async def test_queue_per_host_goes_on_without_those_that_are_closed(base_url: str, given_up: str) -> None:
    """A turn ends with the opening, in whatever way."""
    adapter = CPythonAdapter(queue_per_host=True)
    peer = await session(base_url)
    await peer.script(["read", 1])
    sockets = [WebSocket(peer.url, adapter=adapter) for _ in range(3)]
    recorders = [Recorder(websocket) for websocket in sockets]
    await peer.wait_for("request")
    await peer.script(["accept"], ["close", 1000, ""])
    closed = 0 if given_up == "the_one_that_opens" else 1
    sockets[closed].close()
    assert await recorders[closed].closed() == ("close", 1006, "", False)
    if closed:
        await peer.do(["accept"], ["close", 1000, ""])
    for number in {0, 1, 2} - {closed}:
        assert await recorders[number].closed() == ("close", 1000, "", True)
    assert len(await peer.seen()) >= 2
    await peer.close()


async def test_queue_per_host_opens_many_in_their_order(base_url: str) -> None:
    adapter = CPythonAdapter(queue_per_host=True)
    peer = await session(base_url)
    opened: list[int] = []
    sockets = [
        WebSocket(f"{peer.url}?{number}", adapter=adapter, onopen=lambda event, number=number: opened.append(number))
        for number in range(20)
    ]
    recorders = [Recorder(websocket) for websocket in sockets]
    for recorder in recorders:
        await recorder.wait("open")
    assert opened == list(range(20))
    requests = await peer.wait_for("request", 20)
    assert [request["path"].split("?")[1] for request in requests] == [str(number) for number in range(20)]
    for websocket, recorder in zip(sockets, recorders, strict=True):
        websocket.close()
        await recorder.closed()
    await peer.close()
