"""`CPythonAdapter(thread=True, dispatch=...)`: the network in one thread, events in another; and forks."""

import asyncio
import contextlib
import contextvars
import gc
import json
import os
import queue
import shutil
import subprocess
import sys
import textwrap
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import trio
from fault_server import closed_port
from peer_process import peer_process

import unisocket
import unisocket.sync
from unisocket import WebSocket
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing.conformance import CASES
from unisocket.testing.runner import run_cases
from unisocket.testing.script import Peer, Recorder

KIB, MIB = 2**10, 2**20

# The state is looked at with a timer, which takes the way through the network's thread itself.
# test_states_change_only_where_dispatch_calls sees what this case is to see.
DIFFERENCES = {"test_close_frame_of_peer_moves_to_CLOSING_before_close"}


class Home:
    """A thread's queue of callables, run by hand."""

    def __init__(self) -> None:
        self.callables: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self.adapter = CPythonAdapter(thread=True, dispatch=self.callables.put)

    async def run_one(self) -> None:
        (await asyncio.to_thread(self.callables.get, timeout=10))()

    async def run_until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                while not self.callables.empty():
                    self.callables.get()()
                await asyncio.sleep(0.001)


class HomeThread:
    """A thread without an event loop that runs what it is given, as the thread of a GUI does."""

    def __init__(self) -> None:
        self.callables: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self.adapter = CPythonAdapter(thread=True, dispatch=self.callables.put)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while (callback := self.callables.get()) is not None:
            callback()

    def __enter__(self) -> "HomeThread":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.callables.put(None)
        self.thread.join(10)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


@contextlib.asynccontextmanager
async def session(base_url: str) -> Any:
    peer = await Peer.open(base_url, WebSocket)
    try:
        yield peer
    finally:
        await peer.close()


def run_program(
    text: str, *arguments: str, python: str = sys.executable, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    command = [python, "-P", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(text), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)


def asyncio_adapter(**options: Any) -> CPythonAdapter:
    return CPythonAdapter(thread=True, dispatch=asyncio.get_running_loop().call_soon_threadsafe, **options)


# Options


def test_thread_without_dispatch_is_told_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"call_soon_threadsafe.*run_sync_soon.*TkDispatch.*Qt"):
        CPythonAdapter(thread=True)


def test_dispatch_without_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="thread=True"):
        CPythonAdapter(dispatch=lambda callback: callback())


def test_dispatch_that_is_not_callable_is_refused() -> None:
    with pytest.raises(TypeError, match="dispatch is a callable that takes a callable, not int"):
        CPythonAdapter(thread=True, dispatch=5)  # type: ignore[arg-type]


# States, order, threads


async def test_states_change_only_where_dispatch_calls(base_url: str) -> None:
    """Contract section 5: between two callables nothing changes; each is one event."""
    home = Home()
    async with session(base_url) as peer:
        await peer.script(["accept"], ["together", [["text", "a"], ["binary", "62"], ["close", 4000, "bye"]]], ["fin"])
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await peer.wait_for("eof")  # all is over in the network
        seen = [(websocket.readyState, len(recorder.events))]
        while websocket.readyState != websocket.CLOSED:
            await home.run_one()
            seen.append((websocket.readyState, len(recorder.events)))
    assert seen == [(0, 0), (1, 1), (1, 2), (1, 3), (2, 3), (3, 4)]
    assert recorder.events == [("open",), ("message", "a"), ("message", b"b"), ("close", 4000, "bye", True)]


async def test_network_calls_dispatch_from_one_thread_for_all_sockets(base_url: str) -> None:
    """So a Qt signal, which from its receiver's own thread would call at once, never calls inside send() or close()."""
    threads: set[threading.Thread] = set()
    home = Home()

    def dispatch(callback: Callable[[], Any]) -> None:
        threads.add(threading.current_thread())
        home.callables.put(callback)

    async with session(base_url) as peer:
        adapter = CPythonAdapter(thread=True, dispatch=dispatch)
        websockets = [WebSocket(peer.url, adapter=adapter) for _ in range(3)]
        websockets.append(WebSocket("ws://127.0.0.1:9/", adapter=adapter))  # a port that is blocked
        recorders = [Recorder(websocket) for websocket in websockets]
        await home.run_until(lambda: all(recorder.events for recorder in recorders))
        for websocket in websockets:
            websocket.close()
            assert websocket.readyState in (2, 3)
        await home.run_until(lambda: all("close" in recorder.types for recorder in recorders))
    assert [thread.name for thread in threads] == ["unisocket"]
    assert threading.current_thread() not in threads


async def test_send_works_as_soon_as_another_thread_may_see_that_the_socket_is_open(base_url: str) -> None:
    class Hasty(WebSocket):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "_state" and value == WebSocket.OPEN:
                self.send("hasty")

    async with session(base_url) as peer:
        await peer.script(["accept"], ["read", 1], ["close", 1000, ""])
        recorder = Recorder(Hasty(peer.url, adapter=asyncio_adapter()))
        assert await recorder.closed() == ("close", 1000, "", True)


async def test_send_is_safe_from_eight_threads_at_once(base_url: str) -> None:
    """Nothing is lost, nothing is mixed, and each thread's messages stay in their order."""
    home = Home()
    count = 300

    def work(websocket: WebSocket, name: int) -> None:
        for number in range(count):
            text = json.dumps([name, number, "x" * (number % 200)])
            websocket.send(text if number % 2 else text.encode())

    async with session(base_url) as peer:
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await home.run_until(lambda: websocket.readyState == websocket.OPEN)
        threads = [threading.Thread(target=work, args=(websocket, name)) for name in range(8)]
        for thread in threads:
            thread.start()
        await home.run_until(lambda: len(recorder.messages) == 8 * count and not websocket.bufferedAmount)
        websocket.close(1000)
        await home.run_until(lambda: "close" in recorder.types)
    received = [json.loads(message) for message in recorder.messages]
    assert all(len(text) == number % 200 for _, number, text in received)
    for name in range(8):
        assert [number for sender, number, _ in received if sender == name] == list(range(count))
    assert [type(message) for message in recorder.messages if json.loads(message)[1] % 2] == [str] * (4 * count)


async def test_close_from_another_thread_takes_effect_where_dispatch_calls(base_url: str) -> None:
    home = Home()
    async with session(base_url) as peer:
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await home.run_until(lambda: websocket.readyState == websocket.OPEN)
        with pytest.raises(unisocket.InvalidCloseCodeError):
            await asyncio.to_thread(websocket.close, 1)
        for _ in range(2):
            await asyncio.to_thread(websocket.close, 4001, "from elsewhere")
            assert websocket.readyState == websocket.OPEN
        await home.run_one()
        assert websocket.readyState == websocket.CLOSING
        await home.run_until(lambda: "close" in recorder.types)
        assert recorder.events == [("open",), ("close", 4001, "", True)]  # the peer answers with the code alone
        assert [record["reason"] for record in await peer.wait_for("close")] == ["from elsewhere"]


async def test_message_of_a_thread_that_comes_behind_the_close_is_dropped_and_counted(base_url: str) -> None:
    """It saw the socket open, and was then too slow: nothing may follow a close frame (RFC 6455 section 5.5.1)."""
    home = Home()
    async with session(base_url) as peer:
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await home.run_until(lambda: websocket.readyState == websocket.OPEN)
        websocket.close(1000)
        websocket._transport.send_text("too late")  # what send() does then
        await home.run_until(lambda: "close" in recorder.types)
        assert [record["kind"] for record in await peer.seen() if record["kind"] in ("message", "close")] == ["close"]
        assert websocket.bufferedAmount == len("too late")


async def test_close_at_home_takes_effect_at_once_and_fires_later(base_url: str) -> None:
    home = Home()
    async with session(base_url) as peer:
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        websocket.close()
        assert (websocket.readyState, recorder.events) == (websocket.CLOSING, [])
        await home.run_until(lambda: "close" in recorder.types)
    assert recorder.events == [("error",), ("close", 1006, "", False)]


async def test_buffered_amount_falls_only_where_dispatch_calls(base_url: str) -> None:
    """What is handed over counts at once, in bytes; and what the network takes is booked as an event is."""
    home = Home()
    async with session(base_url) as peer:
        await peer.script(["accept"], ["read", 3], ["stall"])
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await home.run_until(lambda: websocket.readyState == websocket.OPEN)
        for data in ("\u20ac", b"four", "12345"):
            websocket.send(data)
        assert websocket.bufferedAmount == 3 + 4 + 5
        await peer.wait_for("message", 3)
        assert websocket.bufferedAmount == 12
        await home.run_until(lambda: not websocket.bufferedAmount)
        for _ in range(32):
            websocket.send(bytes(MIB))
        assert websocket.bufferedAmount == 32 * MIB
        await home.run_until(lambda: websocket.bufferedAmount < 32 * MIB)
        assert websocket.bufferedAmount > MIB  # the peer does not read
        await peer.do(["rst"])
        await home.run_until(lambda: "close" in recorder.types)
        left = websocket.bufferedAmount
        assert left > MIB
        websocket.send("late")
        assert websocket.bufferedAmount == left + 4


async def test_buffered_amount_falls_to_nothing_when_a_slow_peer_reads(base_url: str) -> None:
    home = Home()
    async with session(base_url) as peer:
        await peer.script(["accept"], ["sleep", 0.1], ["swallow"])
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await home.run_until(lambda: websocket.readyState == websocket.OPEN)
        websocket.send(bytes(16 * MIB))
        await home.run_until(lambda: not websocket.bufferedAmount)
        assert [record["length"] for record in await peer.wait_for("message")] == [16 * MIB]
        websocket.close()
        await home.run_until(lambda: "close" in recorder.types)


async def test_reading_stops_while_nothing_runs_at_home(base_url: str) -> None:
    """Whoever is slow makes the peer wait, not the memory grow; and loses nothing."""
    home = Home()
    async with session(base_url) as peer:
        await peer.script(["accept"], ["push", 1000, "binary", 64 * KIB], ["swallow"])
        websocket = WebSocket(peer.url, adapter=home.adapter)
        recorder = Recorder(websocket)
        await peer.wait_for("request")
        await asyncio.sleep(0.3)
        assert home.callables.qsize() < 100
        await home.run_until(lambda: len(recorder.messages) == 1000)
        websocket.close()
        await home.run_until(lambda: "close" in recorder.types)


async def test_context_of_the_constructor_is_that_of_the_handlers(base_url: str) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    home = Home()
    variable.set("constructor")
    seen: list[str] = []
    websocket = WebSocket("ws://127.0.0.1:1/", adapter=home.adapter, onclose=lambda event: seen.append(variable.get()))
    variable.set("later")
    await home.run_until(lambda: seen)
    assert (seen, websocket.readyState) == (["constructor"], 3)


# Handlers


async def test_asyncio_handlers_run_in_the_loop_of_call_soon_threadsafe(base_url: str) -> None:
    """Plain ones and coroutines; each of these runs to its first await before the next event."""
    seen: list[object] = []
    loop = asyncio.get_running_loop()

    async def on_open(event: unisocket.Event) -> None:
        event.target.onmessage = on_message
        seen.append(asyncio.get_running_loop() is loop)
        await asyncio.sleep(0.01)
        event.target.send("hello")

    async def on_message(event: unisocket.MessageEvent) -> None:
        seen.append(event.data)
        await asyncio.sleep(0)
        if event.data == "hello":
            event.target.close(1000)

    async with session(base_url) as peer:
        await peer.script(["together", [["accept"], ["text", "first"]]], ["echo"])
        websocket = WebSocket(peer.url, adapter=asyncio_adapter(), onopen=on_open)
        assert await Recorder(websocket).closed() == ("close", 1000, "", True)
    assert seen == [True, "first", "hello"]


async def test_connect_works_over_the_threaded_adapter(base_url: str) -> None:
    async with session(base_url) as peer, unisocket.connect(peer.url, adapter=asyncio_adapter()) as ws:
        await ws.send("hello")
        assert await ws.recv(timeout=5) == "hello"


def test_sync_connect_works_where_the_threaded_adapter_is_in_use(base_url: str) -> None:
    """It blocks, so nothing would run what is dispatched: its sockets live in the network's thread."""
    unisocket.use(Home().adapter)
    try:
        with unisocket.sync.connect(base_url + "/control") as ws:
            assert "result" in json.loads(ws.recv(timeout=5))
    finally:
        unisocket.use(None)


def test_trio_runs_handlers_and_coroutines(base_url: str) -> None:
    """Both what `dispatch` calls, and `connect()`."""
    seen: list[object] = []

    async def main() -> None:
        token = trio.lowlevel.current_trio_token()
        adapter = CPythonAdapter(thread=True, dispatch=token.run_sync_soon)
        closed = trio.Event()

        async def on_message(event: unisocket.MessageEvent) -> None:
            await trio.sleep(0.01)
            seen.append("result" in json.loads(event.data))
            event.target.close(1000)

        websocket = WebSocket(base_url + "/control", adapter=adapter, onmessage=on_message)
        websocket.onclose = lambda event: (seen.append(event.code), closed.set())
        with trio.fail_after(10):
            await closed.wait()
            async with unisocket.connect(base_url + "/control", adapter=adapter) as ws:
                seen.append("result" in json.loads(await ws.recv(timeout=5)))
                with pytest.raises(unisocket.TimeoutError):
                    await ws.recv(timeout=0.01)

    trio.run(main)
    assert seen == [True, 1000, True]


async def test_coroutine_that_waits_where_no_loop_runs_is_reported(base_url: str) -> None:
    """One that never waits runs; one that does cannot, and the report says what to do."""
    reports: list[str] = []
    seen: list[str] = []
    closed = threading.Event()

    async def on_open(event: unisocket.Event) -> None:
        event.target.send("hello")
        await asyncio.sleep(0.01)
        seen.append("slept")

    async def on_message(event: unisocket.MessageEvent) -> None:
        seen.append(event.data)
        await asyncio.sleep(0)
        seen.append("waited")

    async def on_close(event: unisocket.CloseEvent) -> None:
        seen.append("closed")
        closed.set()

    unisocket.on_handler_error(lambda error, event: reports.append(f"{type(error).__name__} {event.type} {error}"))
    try:
        async with session(base_url) as peer:
            await peer.script(["accept"], ["read", 1], ["text", "hello"], ["close", 1000, ""])
            with HomeThread() as home:
                WebSocket(peer.url, adapter=home.adapter, onopen=on_open, onmessage=on_message, onclose=on_close)
                assert await asyncio.to_thread(closed.wait, 10)
    finally:
        unisocket.on_handler_error(None)
    assert seen == ["hello", "closed"]
    assert [report.split()[:2] for report in reports] == [["RuntimeError", "open"], ["RuntimeError", "message"]]
    assert all("make the handler a plain function, or dispatch to a loop" in report for report in reports)


async def test_handler_that_raises_hurts_nobody(base_url: str) -> None:
    """The socket lives, and so do the others; the report is made where the handler ran."""
    reports: list[tuple[str, threading.Thread]] = []
    closed = threading.Event()

    def on_message(event: unisocket.MessageEvent) -> None:
        if event.data == "close":
            event.target.close()
        raise ValueError(event.data)

    unisocket.on_handler_error(lambda error, event: reports.append((str(error), threading.current_thread())))
    try:
        async with session(base_url) as peer:
            await peer.script(["accept"], ["text", "1"], ["text", "2"], ["text", "close"], ["swallow"])
            with HomeThread() as home:
                WebSocket(peer.url, adapter=home.adapter, onmessage=on_message, onclose=lambda event: closed.set())
                assert await asyncio.to_thread(closed.wait, 10)
    finally:
        unisocket.on_handler_error(None)
    assert reports == [(text, home.thread) for text in ("1", "2", "close")]


async def test_system_exit_of_a_handler_leaves_where_dispatch_calls(base_url: str) -> None:
    home = Home()

    def on_open(event: unisocket.Event) -> None:
        raise SystemExit(7)

    async with session(base_url) as peer:
        websocket = WebSocket(peer.url, adapter=home.adapter, onopen=on_open)
        recorder = Recorder(websocket)
        with pytest.raises(SystemExit):
            await home.run_one()
        websocket.close()
        await home.run_until(lambda: "close" in recorder.types)


async def test_system_exit_in_what_is_told_late_does_not_swallow_the_close(base_url: str) -> None:
    text = """
        import asyncio, sys, unisocket
        from unisocket.adapters.cpython import CPythonAdapter

        def on_message(event):
            heard.append(event.data)
            if event.data == "40":
                raise SystemExit(7)

        async def main():
            adapter = CPythonAdapter(thread=True, dispatch=loop.call_soon_threadsafe)
            async with unisocket.connect(sys.argv[1], adapter=adapter, max_queue=4) as ws:
                ws.websocket.onmessage = on_message
                await ws.send("go")
                async for message in ws:
                    await asyncio.sleep(0.005)

        heard = []
        loop = asyncio.new_event_loop()
        task = loop.create_task(asyncio.wait_for(main(), 10))
        while not task.done():
            try:
                loop.run_until_complete(task)
            except SystemExit:
                print("left")
        print(len(heard))
        """
    async with session(base_url) as peer:
        messages = [["text", str(number)] for number in range(50)]
        await peer.script(["accept"], ["read"], ["together", [*messages, ["close", 1000, ""]]])
        done = await asyncio.to_thread(run_program, text, peer.url)
    assert (done.stdout, done.stderr) == ("left\n50\n", "")


# Ends


async def test_socket_is_forgotten_after_its_close(base_url: str) -> None:
    from unisocket.adapters import _threads

    recorder = Recorder(WebSocket("ws://127.0.0.1:1/", adapter=asyncio_adapter()))
    gc.collect()
    assert await recorder.closed() == ("close", 1006, "", False)
    assert not _threads._sockets


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_connection_whose_home_loop_has_ended_is_dropped(base_url: str) -> None:
    """Contract section 1, lifetime: aborted, no event, one ResourceWarning."""
    events: list[str] = []

    def run_home(url: str) -> None:
        async def main() -> None:
            websocket = WebSocket(url, adapter=asyncio_adapter(), onclose=lambda event: events.append("close"))
            await Recorder(websocket).wait("open")

        asyncio.run(main())

    async with session(base_url) as peer:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await asyncio.to_thread(run_home, peer.url)
            await peer.do(["text", "anybody?"])
            records = await peer.wait_for("eof") if not await ended_with_reset(peer) else []
    assert [str(warning.message).split(" OPEN> ")[1] for warning in caught] == [
        "not closed when its event loop ended: Event loop is closed"
    ]
    assert not events
    assert len(records) <= 1


async def ended_with_reset(peer: Peer) -> bool:
    for _ in range(200):
        kinds = {record["kind"] for record in await peer.seen()}
        if kinds & {"reset", "eof"}:
            return "reset" in kinds
        await asyncio.sleep(0.01)
    return False


async def test_dispatch_that_fails_is_logged_and_the_socket_dropped(
    base_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def dispatch(callback: Callable[[], Any]) -> None:
        raise TypeError("no such signal")

    async with session(base_url) as peer:
        websocket = WebSocket(peer.url, adapter=CPythonAdapter(thread=True, dispatch=dispatch))
        await peer.wait_for("request")
        assert await ended_with_reset(peer) or await peer.wait_for("eof")
    assert websocket.readyState == websocket.CONNECTING
    assert caplog.text.count("dispatch failed, so <WebSocket") == 1
    assert "no such signal" in caplog.text
    caplog.clear()


def test_program_that_ends_with_open_sockets_ends_at_once(base_url: str) -> None:
    text = """
        import queue, sys, unisocket
        from unisocket.adapters.cpython import CPythonAdapter
        home = queue.Queue()
        adapter = CPythonAdapter(thread=True, dispatch=home.put)
        websockets = [unisocket.WebSocket(sys.argv[1], adapter=adapter) for _ in range(3)]
        while any(websocket.readyState != 1 for websocket in websockets):
            home.get(timeout=10)()
        print("open")
    """
    done = run_program(text, base_url + "/control")
    assert (done.stdout, done.stderr, done.returncode) == ("open\n", "", 0)
    done = run_program(
        "import warnings; warnings.simplefilter('default')\n" + textwrap.dedent(text), base_url + "/control"
    )
    ours = [line for line in done.stderr.splitlines() if "ResourceWarning:" in line]
    assert len(ours) == 1
    assert "not closed when the program ended" in ours[0]


FORK = """
    import os, sys, time, queue, unisocket
    from unisocket.adapters.cpython import CPythonAdapter

    def say(what, call):
        try:
            print(what, call())
        except Exception as error:
            print(what, type(error).__name__, error.code, error.reason)

    def fork(ws):
        child = os.fork()
        if not child:
            say("send", lambda: ws.send("from the child"))
            say("close", lambda: ws.close())
            print("state", ws.readyState)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
        print("parent", ws.readyState, flush=True)
        ws.send("from the parent")
"""

FORKED = """\
send ConnectionClosedError 1006 it stays with the parent process: after a fork, open another
close ConnectionClosedError 1006 it stays with the parent process: after a fork, open another
state 3
parent 1
from the parent
1000
"""


@pytest.mark.parametrize("mode", ["asyncio", "thread"])
async def test_socket_is_dead_in_the_child_of_a_fork_and_says_so(base_url: str, mode: str) -> None:
    """The parent's goes on; contract section 5."""
    ends = {
        "asyncio": """
    ws = unisocket.WebSocket(sys.argv[1], onopen=lambda event: fork(ws))
    ws.onmessage = lambda event: (print(event.data), ws.close(1000))
    ws.onclose = lambda event: print(event.code)
    unisocket.run()
        """,
        "thread": """
    home = queue.Queue()
    adapter = CPythonAdapter(thread=True, dispatch=home.put)
    ws = unisocket.WebSocket(sys.argv[1], adapter=adapter, onopen=lambda event: fork(ws))
    ws.onmessage = lambda event: (print(event.data), ws.close(1000))
    ws.onclose = lambda event: print(event.code)
    while ws.readyState != 3:
        home.get(timeout=10)()
        """,
    }
    async with session(base_url) as peer:
        done = await asyncio.to_thread(run_program, textwrap.dedent(FORK) + textwrap.dedent(ends[mode]), peer.url)
    assert (done.stdout, done.stderr) == (FORKED, "")


async def test_fork_while_an_opening_fails_leaves_all_other_sockets_to_the_parent(base_url: str) -> None:
    """The fork is in the middle of what opens it."""
    text = """
        import os, sys, unisocket
        def fork(event):
            child = os.fork()
            if not child:
                print(*[ws.readyState for ws in others], flush=True)
                os._exit(0)
            os.waitpid(child, 0)
            for ws in others:
                ws.close()
        others = [unisocket.WebSocket(sys.argv[1]) for _ in range(8)]
        others[-1].onopen = lambda event: unisocket.WebSocket("ws://" + sys.argv[2], onerror=fork)
        unisocket.run()
        """
    with closed_port() as port:
        async with session(base_url) as peer:
            done = await asyncio.to_thread(run_program, text, peer.url, port)
    assert (done.stdout, done.stderr) == ("3 3 3 3 3 3 3 3\n", "")


async def test_socket_that_waits_for_run_stays_with_the_parent_of_a_fork(base_url: str) -> None:
    text = """
        import os, sys, unisocket
        ws = unisocket.WebSocket(sys.argv[1], onopen=lambda event: (print("parent", flush=True), ws.close()))
        child = os.fork()
        if not child:
            try:
                ws.close()
            except unisocket.ConnectionClosedError as error:
                print(ws.readyState, error.reason, flush=True)
            unisocket.run()
            os._exit(0)
        os.waitpid(child, 0)
        unisocket.run()
        """
    async with session(base_url) as peer:
        done = await asyncio.to_thread(run_program, text, peer.url)
        assert [record["kind"] for record in await peer.seen()].count("request") == 1
    assert done.stdout == "3 it stays with the parent process: after a fork, open another\nparent\n"
    assert done.stderr == ""


async def test_child_of_a_fork_opens_sockets_of_its_own(base_url: str) -> None:
    text = """
        import os, queue, sys, unisocket
        from unisocket.adapters.cpython import CPythonAdapter
        home = queue.Queue()
        adapter = CPythonAdapter(thread=True, dispatch=home.put)

        def talk(name):
            ws = unisocket.WebSocket(sys.argv[1], adapter=adapter, onopen=lambda event: ws.send(name))
            ws.onmessage = lambda event: (print(event.data, flush=True), ws.close())
            while ws.readyState != 3:
                home.get(timeout=10)()

        talk("parent")
        child = os.fork()
        if not child:
            talk("child")
            os._exit(0)
        print(os.waitpid(child, 0)[1])
        """
    async with session(base_url) as peer:
        done = await asyncio.to_thread(run_program, text, peer.url)
    assert done.stderr == ""
    assert sorted(done.stdout.split()) == ["0", "child", "parent"]


def test_child_of_a_fork_reads_large_messages_into_memory_of_its_own() -> None:
    """The buffer that is kept for the next large message is none that two processes write to."""
    text = """
        import os
        from unisocket.adapters._buffers import here

        mine = here.loop
        mine.give_back_large(mine.take_large(2 * mine.size))
        large = mine.take_large(2 * mine.size)
        large[:6] = b"parent"
        mine.give_back_large(large)
        child = os.fork()
        if not child:
            mine.take_large(2 * mine.size)[:6] = b"child!"
            os._exit(0)
        print(os.waitpid(child, 0)[1], bytes(large[:6]).decode())
        """
    done = run_program(text)
    assert (done.stdout, done.stderr) == ("0 parent\n", "")


# Tk

HAS_TK = "import tkinter; print(tkinter.TkVersion)"

TK = """
    import sys, threading, tkinter, unisocket
    from unisocket.adapters.cpython import CPythonAdapter, TkDispatch

    root = tkinter.Tk()
    label = tkinter.Label(root, text="nothing yet")
    label.pack()
    unisocket.use(CPythonAdapter(thread=True, dispatch=TkDispatch(root)))
    transcript = []
    main = threading.current_thread()

    def note(*what):
        transcript.append(what)
        assert threading.current_thread() is main

    def on_open(event):
        note("open", ws.readyState)
        threading.Thread(target=ws.send, args=("from a thread",)).start()
        ws.send("hello")

    def on_message(event):
        label["text"] = event.data
        shown = label["text"]
        root.update()  # a handler that runs Tk's loop, in which the other message may come
        note("message", shown)
        if len(transcript) == 3:
            ws.close(1000)

    def on_close(event):
        note("close", event.code, event.wasClean)
        root.after(0, root.destroy)

    ws = unisocket.WebSocket(sys.argv[1], onopen=on_open, onmessage=on_message, onclose=on_close)
    root.mainloop()
    for line in sorted(transcript[1:3]):
        print(*line)
    print(*transcript[0], *transcript[3])
"""

TK_DESTROYED = """
    import sys, tkinter, unisocket, warnings
    from unisocket.adapters.cpython import CPythonAdapter, TkDispatch

    root = tkinter.Tk()
    adapter = CPythonAdapter(thread=True, dispatch=TkDispatch(root))

    def on_open(event):
        print("open")
        ws.send("hello")
        root.destroy()

    ws = unisocket.WebSocket(sys.argv[1], adapter=adapter, onopen=on_open, onmessage=print, onclose=print)
    root.mainloop()
    print("ended")
"""


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display that nobody sees."""
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.fail("Xvfb is missing: install it (Debian: apt-get install xvfb)", pytrace=False)
    reader, writer = os.pipe()
    command = [xvfb, "-displayfd", str(writer), "-screen", "0", "320x200x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.PIPE) as process:
        os.close(writer)
        with os.fdopen(reader) as pipe:
            number = pipe.readline().strip()
        try:
            if not number:
                process.kill()
                assert process.stderr
                pytest.fail(f"Xvfb does not start: {process.stderr.read().decode()}", pytrace=False)
            yield ":" + number
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def python_with_tk() -> str:
    """This Python, or Debian's of the same version, which reads what is installed for this one."""
    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists():
            done = subprocess.run([python, "-c", HAS_TK], capture_output=True, env=tk_environment(), check=False)
            if done.returncode == 0:
                return python
    pytest.fail("tkinter is missing: install it (Debian: apt-get install python3-tk)", pytrace=False)


def tk_environment(display: str = "") -> dict[str, str]:
    """The environment of a program that imports what is installed here, whatever Python it runs on."""
    folders = {}
    for name in ("unisocket", "websockets", "ada_url"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        folders[str(Path(spec.origin).parents[1])] = name
    return {**os.environ, "DISPLAY": display, "PYTHONPATH": os.pathsep.join(folders)}


async def test_tk_program_shows_what_comes(base_url: str, display: str, python_with_tk: str) -> None:
    async with session(base_url) as peer:
        environment = tk_environment(display)
        done = await asyncio.to_thread(run_program, TK, peer.url, python=python_with_tk, env=environment)
    assert (done.stdout, done.stderr) == ("message from a thread\nmessage hello\nopen 1 close 1000 True\n", "")


async def test_tk_window_that_is_destroyed_drops_the_connection(
    base_url: str, display: str, python_with_tk: str
) -> None:
    async with session(base_url) as peer:
        environment = tk_environment(display)
        done = await asyncio.to_thread(run_program, TK_DESTROYED, peer.url, python=python_with_tk, env=environment)
    assert (done.stdout, done.stderr, done.returncode) == ("open\nended\n", "", 0)


# The whole suite


def test_conformance_of_the_threaded_adapter(base_url: str) -> None:
    """All of contract.md, but for what stands in DIFFERENCES."""
    results: list[dict[str, Any]] = []
    cases = [case for case in CASES if case.name not in DIFFERENCES]

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # cases raise in handlers
        await run_cases(cases, base_url, lambda report: results.append(json.loads(report)), asyncio_adapter)

    asyncio.run(main())
    failed = [f"{result['case']}\n{result['message']}" for result in results if result["status"] == "fail"]
    assert not failed, "\n".join(failed)
    assert Counter(result["status"] for result in results) == {"start": len(cases), "pass": len(cases)}
