"""`unisocket.sync`: the rules of contract section 3 for who blocks, on CPython in threads, and in Pyodide."""

import asyncio
import concurrent.futures
import dis
import errno
import functools
import itertools
import math
import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from browser.contexts import Context, open_context
from peer_process import peer_process
from test_faults import RULES

import unisocket
from unisocket import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    ConnectionFailedError,
    WebSocket,
    _runtime,
)
from unisocket.adapters import _blocking, _buffers, _cpython, _frames
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.compat.simple_websocket import Client
from unisocket.compat.websockets.sync.client import connect as websockets_connect
from unisocket.sync import Connection, connect
from unisocket.testing._wire import BINARY, CONTINUATION, PING, TEXT, make_frame
from unisocket.testing.script import Peer, numbered

SECONDS = 15.0  # for anything to happen
AT_ONCE = 1.0  # what need not wait for anybody may take so long on a busy machine
PATIENCE = 30.0  # seconds that a test may block


class BlockingPeer:
    """A session with the scripted peer, for tests that know nothing of asyncio."""

    def __init__(self, base_url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._peer = self._wait(Peer.open(base_url, WebSocket))
        self.url: str = self._peer.url

    def script(self, *steps: list[Any]) -> None:
        self._wait(self._peer.script(*steps))

    def do(self, *steps: list[Any]) -> None:
        self._wait(self._peer.do(*steps))

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        return list(self._wait(self._peer.wait_for(kind, count, SECONDS)))

    def texts(self) -> list[str]:
        """Return the texts that have come."""
        return [record["text"] for record in self._wait(self._peer.seen()) if record["kind"] == "message"]

    def count(self, kind: str) -> int:
        """Return how many records of a kind there are."""
        return sum(record["kind"] == kind for record in self._wait(self._peer.seen()))

    def close(self) -> None:
        self._wait(self._peer.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(2 * SECONDS)


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


@pytest.fixture
def peer(base_url: str) -> Iterator[BlockingPeer]:
    peer = BlockingPeer(base_url)
    yield peer
    peer.close()


@pytest.fixture(autouse=True)
def bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that blocks for ever; those in browsers have bounds of their own."""

    def fail(*arguments: object) -> None:
        raise AssertionError(f"no end within {PATIENCE:g} s")

    if request.node.get_closest_marker("browser") or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1)  # again and again, for its end may block, too
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def start(function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
    """Call a function in a thread of its own, which keeps nobody from ending."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, a while."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@contextmanager
def program(text: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Have a program run, with all warnings but that of Python 3.12 for a fork beside threads."""
    command = [sys.executable, "-P", "-W", "always", "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(text)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # if it has not ended, it hangs


def output_of(text: str, *arguments: str) -> str:
    """Run a program to its end, which must be a quiet one."""
    with program(text, *arguments) as process:
        out, err = process.communicate(timeout=2 * SECONDS)
    assert (process.returncode, err) == (0, "")
    return out


# Receiving and sending


def test_messages_arrive_in_order_with_their_types(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["text", "a"], ["binary", "00ff"], ["text", ""], ["binary", ""], ["push", 100, "text", 20])
    with connect(peer.url) as ws:
        assert [ws.recv() for _ in range(4)] == ["a", b"\x00\xff", "", b""]
        assert [ws.recv() for _ in range(100)] == [numbered(number, 20) for number in range(100)]


def test_messages_are_sent_in_order_with_their_types(peer: BlockingPeer) -> None:
    changed = bytearray(b"before")
    with connect(peer.url) as ws:
        for data in ("a\u00e9\U0001f600", "", b"", b"\x00\xff", changed, memoryview(b"view")):
            ws.send(data)
        changed[:] = b"after!"
        assert [ws.recv() for _ in range(6)] == ["a\u00e9\U0001f600", "", b"", b"\x00\xff", b"before", b"view"]


def test_recv_that_runs_out_of_time_loses_nothing(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        began = time.monotonic()
        with pytest.raises(unisocket.TimeoutError, match=r"within 0\.1 s") as caught:
            ws.recv(timeout=0.1)
        assert 0.1 <= time.monotonic() - began < AT_ONCE
        assert isinstance(caught.value, TimeoutError)
        ws.send("late")
        assert ws.recv(timeout=SECONDS) == "late"


def test_recv_with_timeout_0_polls(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        with pytest.raises(unisocket.TimeoutError):
            ws.recv(timeout=0)
        peer.do(["together", [["text", "a"], ["text", "b"]]])
        assert ws.recv() == "a"
        assert ws.recv(timeout=0) == "b"
        with pytest.raises(unisocket.TimeoutError):
            ws.recv(timeout=0)


def test_messages_that_came_before_the_close_are_delivered_first(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["together", [["text", "a"], ["text", "b"], ["close", 4000, "why"]]])
    with connect(peer.url) as ws:
        ws.wait_closed()
        assert (ws.readyState, ws.close_code, ws.close_reason) == (3, 4000, "why")
        assert [ws.recv(), ws.recv(timeout=0)] == ["a", "b"]
        for _ in range(2):
            with pytest.raises(ConnectionClosedError) as caught:
                ws.recv()
            assert (caught.value.code, caught.value.reason, caught.value.wasClean) == (4000, "why", True)


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_iteration_ends_with_a_close_that_is_ok(peer: BlockingPeer, code: int | None) -> None:
    peer.script(["accept"], ["text", "a"], ["text", "b"], ["close", code, ""])
    with connect(peer.url) as ws:
        assert list(ws) == ["a", "b"]
        assert list(ws) == []
        with pytest.raises(ConnectionClosedOK) as caught:
            ws.recv()
        assert caught.value.code == (code or 1005)


@pytest.mark.parametrize(("step", "code"), [(["close", 1011, "oh"], 1011), (["fin"], 1006), (["rst"], 1006)], ids=str)
def test_iteration_raises_for_any_other_close(peer: BlockingPeer, step: list[Any], code: int) -> None:
    peer.script(["accept"], ["text", "a"], ["read"], step)
    received = []
    with connect(peer.url) as ws:
        with pytest.raises(ConnectionClosedError) as caught:  # noqa: PT012
            for message in ws:
                received.append(message)
                ws.send("go on")
        assert (received, caught.value.code, ws.close_code) == (["a"], code, code)


def test_iteration_ends_quietly_after_our_own_close(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["text", "a"], ["read_close"], ["close", 4002, "other"], ["finish"])
    with connect(peer.url) as ws:
        for message in ws:
            assert message == "a"
            ws.close(4001, "enough")
        assert (ws.close_code, ws.close_reason) == (4002, "other")
    record = peer.wait_for("close")[0]
    assert (record["code"], record["reason"]) == (4001, "enough")


def test_send_on_a_closed_connection_raises(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        ws.close()
        ws.close()
        with pytest.raises(ConnectionClosedOK):
            ws.send("late")
        with pytest.raises(TypeError):
            ws.send(1)  # type: ignore[arg-type]  # the type is checked before the state


def test_send_that_waits_raises_when_the_connection_is_lost(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["stall"])
    with connect(peer.url) as ws:
        sending = start(ws.send, bytes(32 * 2**20))
        with pytest.raises(concurrent.futures.TimeoutError):
            sending.result(0.2)
        assert ws.bufferedAmount > 2**20
        peer.do(["rst"])
        with pytest.raises(ConnectionClosedError):
            sending.result(SECONDS)


def test_wrong_arguments_raise_and_the_connection_lives(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        for data in (None, 1, ["a"], memoryview(b"abcd")[::2]):
            with pytest.raises(TypeError):
                ws.send(data)  # type: ignore[arg-type]
        with pytest.raises(unisocket.InvalidCloseCodeError):
            ws.close(1001)
        with pytest.raises(unisocket.CloseReasonTooLongError):
            ws.close(1000, "x" * 124)
        ws.send("alive")
        assert ws.recv() == "alive"
    assert peer.texts() == ["alive"]


def test_connection_has_the_attributes_of_its_websocket(peer: BlockingPeer) -> None:
    peer.script(["accept", {"protocol": "chat"}], ["echo"])
    closed = threading.Event()
    with connect(peer.url, ["news", "chat"], adapter=CPythonAdapter(headers={"X-Who": "me"})) as ws:
        assert (ws.url, ws.protocol, ws.readyState, ws.bufferedAmount) == (peer.url, "chat", 1, 0)
        assert (ws.close_code, ws.close_reason) == (None, None)
        assert isinstance(ws.websocket, WebSocket)
        ws.websocket.onclose = lambda event: closed.set()
    assert closed.wait(SECONDS)
    assert (ws.readyState, ws.close_code, ws.close_reason) == (3, 1000, "")
    assert ["X-Who", "me"] in peer.wait_for("request")[0]["headers"]


# What nobody waits for


def test_connection_that_nobody_reads_answers_pings_and_sees_the_close(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["ping", "6869"])
    with connect(peer.url) as ws:
        assert [record["hex"] for record in peer.wait_for("pong")] == ["6869"]
        peer.do(["text", "a"], ["close", 4000, "why"])
        until(lambda: ws.readyState == WebSocket.CLOSED)
        assert ws.close_code == 4000
        assert ws.recv() == "a"


def test_full_queue_that_nobody_reads_stops_the_clock_of_the_pong(peer: BlockingPeer) -> None:
    """Contract section 3: while reading is paused the pong deadline stands still."""
    peer.script(["accept"], ["push", 300, "text", 2**16], ["echo"])
    with connect(peer.url, adapter=CPythonAdapter(ping_interval=0.1, ping_timeout=0.1)) as ws:
        peer.wait_for("ping")
        with pytest.raises(concurrent.futures.TimeoutError):
            start(ws.wait_closed).result(0.5)
        assert [ws.recv() for _ in range(300)] == [numbered(number, 2**16) for number in range(300)]
        peer.wait_for("ping", 3)
        ws.send("alive")
        assert ws.recv() == "alive"


def test_leaving_with_a_full_queue_does_not_wait_for_it(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["push", 500, "text", 2**16])
    with connect(peer.url) as ws:
        ws.recv()
        began = time.monotonic()
    assert time.monotonic() - began < 2 * AT_ONCE
    assert ws.close_code == 1000
    peer.wait_for("close")


def test_bufferedAmount_is_looked_up_where_the_network_is(peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look it up books what was sent: in two threads at once the count would go wrong for ever."""
    names: list[str] = []
    with connect(peer.url) as ws:
        look = property(lambda connection: names.append(threading.current_thread().name))
        monkeypatch.setattr(unisocket.Connection, "bufferedAmount", look)
        ws.bufferedAmount  # noqa: B018
    assert names == ["unisocket"]


# In the thread that blocks


def not_lent(event: unisocket.MessageEvent) -> None:
    """A handler: as long as there is one, messages are handed over by the network's thread."""


def reads_here(ws: Connection) -> bool:
    """Whether a thread that blocks reads from the network itself."""
    return bool(ws._connection.websocket._transport.shared._reading_here)


@contextmanager
def reading(ws: Connection, count: int = 1) -> Iterator["Future[list[Any]]"]:
    """Have another thread read messages from the network itself; they are waited for at the end."""
    messages = start(lambda: [ws.recv() for _ in range(count)])
    until(lambda: reads_here(ws))
    yield messages
    messages.result(SECONDS)


def test_who_waits_reads_in_his_own_thread(peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(peer.url) as ws:
        ws.send("a")
        assert ws.recv() == "a"
        monkeypatch.setattr(_cpython.background, "run", None)  # handed over is nothing any more
        for number in range(100):
            ws.send(str(number))
            assert ws.recv(timeout=SECONDS) == str(number)
        monkeypatch.undo()


def test_what_is_not_a_whole_data_frame_is_left_to_the_network(peer: BlockingPeer) -> None:
    """Pings, fragments and all between them, while a thread reads."""
    with connect(peer.url) as ws, reading(ws, 6) as messages:
        peer.do(["text", "a"])
        peer.do(["together", [["text", "b"], ["ping", "6869"], ["text", "c"]]])
        assert [record["hex"] for record in peer.wait_for("pong")] == ["6869"]
        peer.do(["frame", 1, "6465", {"fin": False}], ["ping", "6a"], ["frame", 0, "66"], ["text", "\u20ac"])
        peer.do(["binary", "00ff"])
        assert messages.result(SECONDS) == ["a", "b", "c", "def", "\u20ac", b"\x00\xff"]


@pytest.mark.parametrize("kind", ["text", "binary"])
@pytest.mark.parametrize("size", [125, 126, 2**16 - 1, 2**16, 2**18, 2**18 + 1, 2**21])
def test_messages_of_all_sizes_are_read_and_written(peer: BlockingPeer, kind: str, size: int) -> None:
    message: Any = "a" * size if kind == "text" else bytes(size)
    with connect(peer.url) as ws:
        for _ in range(3):
            ws.send("first")
            ws.send(message)
            assert [ws.recv(timeout=SECONDS), ws.recv(timeout=SECONDS)] == ["first", message]


@pytest.mark.parametrize("size", [1, 2**19])
def test_text_that_is_no_utf8_ends_who_reads(peer: BlockingPeer, size: int) -> None:
    with connect(peer.url) as ws:
        waiting = start(lambda: [ws.recv(), ws.recv()])
        until(lambda: reads_here(ws))
        peer.do(["text", "a"], ["frame", 1, "ff" * size])
        assert isinstance(waiting.exception(SECONDS), ConnectionClosedError)
        assert [record["code"] for record in peer.wait_for("close")] == [1007]


@pytest.mark.parametrize(("data", "code"), RULES.values(), ids=RULES)
def test_broken_rule_ends_who_reads_and_is_told(peer: BlockingPeer, data: bytes, code: int) -> None:
    with connect(peer.url, adapter=CPythonAdapter(compression=None)) as ws:
        waiting = start(ws.recv)
        until(lambda: reads_here(ws))
        peer.do(["raw", data.hex()])
        error = waiting.exception(SECONDS)
        assert isinstance(error, ConnectionClosedError)
        assert (error.code, error.wasClean) == (1006, False)
    assert [record["code"] for record in peer.wait_for("close")] == [code]


@pytest.mark.parametrize("seed", range(5))
def test_frames_of_all_kinds_cut_anywhere_come_whole_while_others_send(peer: BlockingPeer, seed: int) -> None:
    """Who reads gives up now and then, another thread sends, and the network's sends pongs: each byte is read once."""
    chance = random.Random(seed)  # noqa: S311
    messages: list[str | bytes] = []
    stream = b""
    for number in range(200):
        size = 2**18 if number % 50 == 49 else chance.choice([0, 1, 5, 42, 126, 1000, 2**14])
        text = chance.choice("a\u20ac") * size
        payload = text.encode()
        opcode = chance.choice([TEXT, BINARY])
        cut = chance.choice([None, None, None, 0, 3])
        if cut is None:
            stream += make_frame(opcode, payload)
        else:
            stream += make_frame(opcode, payload[:cut], fin=False) + make_frame(PING, b"within")
            stream += make_frame(CONTINUATION, payload[cut:])
        stream += chance.choice([b"", b"", make_frame(PING, b"between")])
        messages.append(text if opcode == TEXT else payload)
    steps: list[list[Any]] = [["accept"]]
    while stream:
        size = chance.choice([1, 2, 7, 50, 1000, 2**16, 2**20])
        steps += [["raw", stream[:size].hex()], ["sleep", chance.choice([0, 0, 0.001])]]
        stream = stream[size:]
    peer.script(*steps)
    received: list[str | bytes] = []
    with connect(peer.url, adapter=CPythonAdapter(compression=None, ping_interval=None)) as ws:
        sending = start(lambda: [ws.send(f"{number}:".ljust(number)) for number in range(1000)])
        while len(received) < len(messages):
            try:
                received.append(ws.recv(timeout=chance.choice([SECONDS, 0, 0.0003])))
            except unisocket.TimeoutError:
                pass
        sending.result(SECONDS)
    assert received == messages
    sent = peer.wait_for("message", 1000)
    assert [record["text"].split(":")[0] for record in sent] == [str(number) for number in range(1000)]


@pytest.mark.parametrize("end", [["fin"], ["rst"]])
def test_connection_that_is_cut_ends_who_reads(peer: BlockingPeer, end: list[Any]) -> None:
    with connect(peer.url) as ws:
        waiting = start(ws.recv)
        until(lambda: reads_here(ws))
        peer.do(end)
        error = waiting.exception(SECONDS)
        assert isinstance(error, ConnectionClosedError)
        assert error.code == 1006


def test_peer_that_vanishes_is_found_while_a_thread_reads(peer: BlockingPeer) -> None:
    peer.script(["accept"], ["deaf"])
    with connect(peer.url, adapter=CPythonAdapter(ping_interval=0.1, ping_timeout=0.1)) as ws:
        waiting = start(ws.recv)
        assert isinstance(waiting.exception(SECONDS), ConnectionClosedError)


@pytest.mark.parametrize("options", [{}, {"ping_interval": 0.1, "ping_timeout": 0.1}], ids=["as it is", "pings"])
def test_connection_that_is_lent_and_that_nobody_reads_answers_pings_and_sees_the_close(
    peer: BlockingPeer, options: dict[str, Any]
) -> None:
    with connect(peer.url, adapter=CPythonAdapter(**options)) as ws:
        ws.send("a")
        assert ws.recv() == "a"
        peer.do(["ping", "6869"])
        assert [record["hex"] for record in peer.wait_for("pong")[-1:]] == ["6869"]
        peer.do(["text", "b"], ["close", 4000, "why"])
        until(lambda: ws.readyState == WebSocket.CLOSED)
        assert (ws.close_code, ws.recv()) == (4000, "b")


def test_wait_closed_sees_the_close_of_a_connection_that_is_lent(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        ws.send("a")
        assert ws.recv() == "a"
        waiting = start(ws.wait_closed)
        peer.do(["close", 4000])
        waiting.result(AT_ONCE)


def test_handler_that_comes_while_a_thread_reads_hears_of_the_next_message(peer: BlockingPeer) -> None:
    heard: list[tuple[str, str]] = []
    with connect(peer.url) as ws, reading(ws):
        ws.websocket.onmessage = lambda event: heard.append((event.data, threading.current_thread().name))
        peer.do(["text", "a"])
        until(lambda: heard)
        assert heard == [("a", "unisocket")]


def test_binaryType_of_the_websocket_holds_while_a_thread_reads(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        ws.send(b"a")
        assert ws.recv() == b"a"
        ws.websocket.binaryType = "arraybuffer"
        ws.send(b"b")
        assert type(ws.recv()) is memoryview


def test_frames_of_many_threads_stay_whole_where_the_network_takes_a_part(peer: BlockingPeer) -> None:
    """A frame of which a part was written is finished before the next one, and before pings."""
    threads, count, size = 4, 300, 2**15
    peer.script(["accept"], ["stall"], ["sleep", 0.3], ["swallow"])
    with connect(peer.url, adapter=CPythonAdapter(ping_interval=0.01, ping_timeout=None)) as ws:
        sending = [
            start(lambda name=name: [ws.send(f"{name}{number}:".ljust(size, name)) for number in range(count)])
            for name in "abcd"
        ]
        for sent in sending:
            sent.result(PATIENCE)
    records = peer.wait_for("message", threads * count)
    assert [record["length"] for record in records] == [size] * threads * count
    for name in "abcd":
        mine = [record["text"].split(":")[0] for record in records if record["text"].startswith(name)]
        assert mine == [f"{name}{number}" for number in range(count)]


def test_lending_again_and_again_leaves_one_timer(peer: BlockingPeer) -> None:
    """Else each ping of the peer would leave another, for as long as the connection lives."""
    with connect(peer.url) as ws:
        sweep = ws._connection.websocket._transport.shared._sweep
        for _ in range(20):
            peer.do(["ping", "61"], ["text", "a"])
            assert ws.recv() == "a"
        loop: Any = _cpython.background.loop()
        assert sum(timer._callback == sweep for timer in list(loop._scheduled)) == 1


def test_connection_that_is_lent_again_at_once_is_read_by_one_thread(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        shared = ws._connection.websocket._transport.shared

        async def lend_again() -> None:
            shared.take_back()
            shared._lend(ws._connection)

        async def look() -> bool:
            return shared._guest is None or not shared.transport.is_reading()

        ws.send("a")
        assert ws.recv() == "a"
        _cpython.background.run(lend_again, None)
        assert _cpython.background.run(look, None)


@pytest.mark.parametrize(
    ("method", "step"), [("_closing", ["close", 4000]), ("_fail", ["frame", 3, ""])], ids=["close", "broken rule"]
)
def test_thread_that_sends_when_the_close_frame_has_left_sends_nothing(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch, method: str, step: list[Any]
) -> None:
    """RFC 6455 section 5.5.1: no data frames behind a close frame; the socket itself does not know of it yet."""
    sent: list[bool] = []
    original = getattr(_blocking.SharedConnection, method)

    def send_before(shared: _blocking.SharedConnection, *arguments: Any) -> None:
        sent.append(start(shared.send_here, ws._connection, "late").result(SECONDS))
        original(shared, *arguments)

    monkeypatch.setattr(_blocking.SharedConnection, method, send_before)
    with connect(peer.url) as ws:
        peer.do(step)
        with pytest.raises(ConnectionClosedError):
            ws.recv()
    assert sent == [False]


def test_thread_reads_while_the_network_is_slow_though_many_files_are_open(peer: BlockingPeer) -> None:
    """select() knows 1024 files only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    peer.script(["accept"], ["text", "a"], ["stall"])
    with ExitStack() as files, open(os.devnull) as null:
        while (number := os.dup(null.fileno())) <= 1024:
            files.callback(os.close, number)
        files.callback(os.close, number)
        with connect(peer.url, adapter=CPythonAdapter(close_timeout=0.1)) as ws:
            assert ws.recv() == "a"
            while not ws._connection.websocket._transport.shared._slow:
                ws.send(bytes(2**15))
            with pytest.raises(unisocket.TimeoutError):
                ws.recv(timeout=0.1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connection_serves_where_no_further_file_may_be_opened(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(sock: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("asyncio.trsock.TransportSocket.dup", refuse)
    with connect(peer.url) as ws:
        ws.send("a")
        assert ws.recv(timeout=SECONDS) == "a"


def test_event_of_a_message_that_another_thread_read_has_its_own_time(peer: BlockingPeer) -> None:
    events: list[unisocket.MessageEvent] = []
    with connect(peer.url) as ws:
        peer.do(["text", "a"])
        assert ws.recv() == "a"
        with reading(ws):
            ws.websocket.onmessage = events.append
            before = _runtime.clock()
            peer.do(["text", "b"])
            until(lambda: events)
    assert events[0].timeStamp >= before


@pytest.mark.parametrize("first", [[], [["ping", ""]]], ids=["message", "ping"])
def test_handler_that_raises_SystemExit_for_what_another_thread_read_does_not_stop_the_reading(
    first: list[Any], peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[type[BaseException]] = []
    heard: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda raised: left.append(raised.exc_type))

    def on_message(event: unisocket.MessageEvent) -> None:
        heard.append(event.data)
        if event.data == "a":
            raise SystemExit(3)

    with connect(peer.url) as ws, reading(ws, 3):
        ws.websocket.onmessage = on_message
        peer.do(["together", [*first, ["text", "a"], ["text", "b"]]])
        until(lambda: len(heard) == 2)
        peer.do(["text", "c"])
    assert (heard, left) == (["a", "b", "c"], [SystemExit])


def test_message_that_is_put_back_while_another_thread_takes_one_is_not_lost(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_alone = _blocking.is_alone
    moments: list[None] = []

    def racing(queued: Any) -> bool:
        if "b" in shared._inbox and not moments:
            moments.append(None)
            put_back()
        return is_alone(queued)

    async def put_there() -> None:
        shared._put_back(ws._connection, "a")

    def put_back() -> None:
        _cpython.background.run(put_there, None)

    with connect(peer.url) as ws:
        ws.send("first")
        assert ws.recv() == "first"
        shared = ws._connection.websocket._transport.shared
        monkeypatch.setattr(_blocking, "is_alone", racing)
        ws.send("b")
        ws.send("c")
        assert sorted(ws.recv(timeout=SECONDS) for _ in range(3)) == ["a", "b", "c"]
        assert moments


def test_signal_as_the_connection_goes_back_to_the_network_leaves_it_readable(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(peer.url) as ws:
        shared = ws._connection.websocket._transport.shared
        ws.send("a")
        assert ws.recv() == "a"
        call = shared.loop.call_soon_threadsafe

        def interrupted(callback: Callable[..., Any], *arguments: Any) -> None:
            if threading.current_thread() is threading.main_thread():
                monkeypatch.undo()
                raise KeyboardInterrupt
            call(callback, *arguments)

        monkeypatch.setattr(shared.loop, "call_soon_threadsafe", interrupted)
        peer.do(["ping", "61"])
        with pytest.raises(KeyboardInterrupt):
            ws.recv()
        assert [record["hex"] for record in peer.wait_for("pong")] == ["61"]  # though nobody reads
        peer.do(["text", "b"])
        assert ws.recv(timeout=SECONDS) == "b"


# Opening and leaving


def test_connection_that_is_refused_raises(peer: BlockingPeer) -> None:
    peer.script(["http", 403, [], ""])
    with pytest.raises(ConnectionFailedError, match="HTTP 403"), connect(peer.url):
        pass


def test_opening_that_runs_out_of_time_raises_and_is_given_up(peer: BlockingPeer) -> None:
    peer.script(["deaf"])
    began = time.monotonic()
    with pytest.raises(ConnectionFailedError, match=r"0\.1 s"), connect(peer.url, open_timeout=0.1):
        pass
    assert 0.1 <= time.monotonic() - began < AT_ONCE
    peer.wait_for("eof")


def test_wrong_arguments_of_connect_raise_when_it_is_entered() -> None:
    with pytest.raises(unisocket.InvalidURLError), connect("ftp://127.0.0.1/"):
        pass
    with pytest.raises(unisocket.InvalidProtocolError), connect("ws://127.0.0.1:9/", ["a", "a"]):
        pass


def test_connect_that_has_a_connection_opens_no_second_one(peer: BlockingPeer) -> None:
    opening = connect(peer.url)
    for _ in range(2):
        with opening as ws:
            with pytest.raises(unisocket.ConcurrencyError):
                opening.__enter__()
            ws.send("1")
            assert ws.recv() == "1"
    peer.wait_for("request", 2)


def test_connect_whose_leaving_is_interrupted_can_be_entered_again(peer: BlockingPeer) -> None:
    opening = connect(peer.url)
    interrupt = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    ws = opening.__enter__()
    ws.websocket._runtime.loop.call_soon_threadsafe(time.sleep, 0.5)  # type: ignore[attr-defined]  # nothing can begin
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        opening.__exit__(None, None, None)
    with opening as ws:
        ws.send("1")
        assert ws.recv() == "1"


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_what_came_before_the_loss_that_a_send_finds_is_received(peer: BlockingPeer, end: str) -> None:
    with connect(peer.url) as ws:
        ws.send("0")
        assert ws.recv() == "0"  # the connection is lent
        peer.do(["together", [["text", "1"], ["text", "2"], ["close", 1000, "bye"]]], [end])
        with suppress(ConnectionClosed):
            for _ in range(4):
                time.sleep(0.05)  # until the end has come: whoever looked would have received
                ws.send("x")
        assert [ws.recv(timeout=SECONDS) for _ in range(2)] == ["1", "2"]
        with pytest.raises(unisocket.ConnectionClosedOK, match="bye"):
            ws.recv(timeout=SECONDS)


def test_recv_with_a_timeout_that_is_no_number_does_not_wait(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        for text in ("1", "2"):
            with pytest.raises(unisocket.TimeoutError):
                ws.recv(timeout=math.nan)
            ws.send(text)
            assert ws.recv(timeout=SECONDS) == text


def sync_connect(url: str) -> None:
    connect(url).__enter__()


@pytest.mark.parametrize("opens", [sync_connect, websockets_connect, Client], ids=["ours", "websockets", "simple"])
def test_signal_as_the_connection_is_handed_over_closes_it(
    opens: Callable[[str], Any], peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = _cpython.Errand.wait

    def interrupted(errand: _cpython.Errand) -> None:
        monkeypatch.undo()
        wait(errand)
        raise KeyboardInterrupt

    monkeypatch.setattr(_cpython.Errand, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        opens(peer.url)
    assert [record["code"] for record in peer.wait_for("close")] == [1000]


def test_leaving_closes_with_1000_and_waits(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        pass
    assert (ws.readyState, ws.close_code) == (3, 1000)
    assert [record["code"] for record in peer.wait_for("close")] == [1000]


def test_leaving_with_an_exception_closes_with_1000_and_passes_it_on(peer: BlockingPeer) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught, connect(peer.url) as ws:
        raise error
    assert caught.value is error
    assert caught.value.__context__ is None
    assert (ws.readyState, ws.close_code) == (3, 1000)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_leaving_with_what_ends_programs_starts_the_close_and_does_not_wait(
    peer: BlockingPeer, kind: type[BaseException]
) -> None:
    peer.script(["accept"], ["deaf"])
    with connect(peer.url) as ws:
        began = time.monotonic()
        with pytest.raises(kind), ws:
            raise kind
        assert ws.readyState == 2
        assert time.monotonic() - began < AT_ONCE
        assert [record["code"] for record in peer.wait_for("close")] == [1000]
        peer.do(["rst"])


def test_connection_is_a_context_manager_too(peer: BlockingPeer) -> None:
    opening = connect(peer.url)
    with opening.__enter__() as ws:
        ws.send("a")
        assert ws.recv() == "a"
    assert ws.readyState == 3


# Threads


def test_many_threads_share_one_connection(peer: BlockingPeer) -> None:
    """Contract section 4: 8 threads send 200 messages each while one receives; none is lost, none mixed."""
    threads, count = 8, 200
    texts = [
        [f"{thread}:{number}:" + chr(65 + thread) * (number * 7 % 600) for number in range(count)]
        for thread in range(threads)
    ]
    with connect(peer.url) as ws:

        def send_all(mine: list[str]) -> None:
            for text in mine:
                ws.send(text)

        sending = [start(send_all, mine) for mine in texts]
        received = start(lambda: [ws.recv(timeout=SECONDS) for _ in range(threads * count)]).result(PATIENCE)
        for sent in sending:
            sent.result(SECONDS)
    for thread, mine in enumerate(texts):
        assert [text for text in received if text.startswith(f"{thread}:")] == mine
    assert len(received) == threads * count


def test_second_thread_in_recv_is_told(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        receiving = {start(ws.recv), start(ws.recv)}
        done, left = concurrent.futures.wait(receiving, SECONDS, concurrent.futures.FIRST_COMPLETED)
        assert [type(future.exception()) for future in done] == [unisocket.ConcurrencyError]
        with pytest.raises(unisocket.ConcurrencyError):
            next(ws)
        peer.do(["text", "for the first"])
        assert [future.result(SECONDS) for future in left] == ["for the first"]


def test_many_connections_in_many_threads(peer: BlockingPeer) -> None:
    def work(number: int) -> list[str]:
        with ExitStack() as stack:
            connections = [stack.enter_context(connect(f"{peer.url}/{number}")) for _ in range(4)]
            texts = [f"{number} {index}" for index in range(len(connections))]
            for _ in range(20):
                for ws, text in zip(connections, texts, strict=True):
                    ws.send(text)
                assert [ws.recv(timeout=SECONDS) for ws in connections] == texts
            return texts

    working = [start(work, number) for number in range(16)]
    assert [len(future.result(PATIENCE)) for future in working] == [4] * 16
    assert len(peer.wait_for("close", 64)) == 64


def test_close_in_one_thread_ends_the_others(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        ws.send("a")
        assert ws.recv() == "a"  # what comes after the call of close() is dropped
        iterating, waiting = start(list, ws), start(ws.wait_closed)
        ws.close(4000)
        assert iterating.result(SECONDS) == []
        waiting.result(SECONDS)


def test_connection_opened_in_one_thread_serves_another_when_that_has_ended(peer: BlockingPeer) -> None:
    ws: Connection = start(connect(peer.url).__enter__).result(SECONDS)
    with ws:
        ws.send("a")
        assert ws.recv() == "a"


def test_program_with_a_loop_of_its_own_can_block_beside_it_and_in_it(peer: BlockingPeer) -> None:
    async def echo(text: str) -> str:
        async with unisocket.connect(peer.url) as ws:
            await ws.send(text)
            return str(await ws.recv())

    def echo_blocking(text: str) -> str:
        with connect(peer.url) as ws:
            ws.send(text)
            return str(ws.recv())

    async def main() -> list[str]:
        beside = [asyncio.to_thread(echo_blocking, "beside"), asyncio.to_thread(echo_blocking, "beside, too")]
        both = await asyncio.gather(echo("in it"), *beside)
        return [*both, echo_blocking("in it, though it stops the loop")]

    expected = ["in it", "beside", "beside, too", "in it, though it stops the loop"]
    assert start(asyncio.run, main()).result(SECONDS) == expected
    assert echo_blocking("without") == "without"


def test_blocking_call_in_a_handler_is_told_that_it_would_wait_for_itself(peer: BlockingPeer) -> None:
    told: Future[str] = Future()
    with connect(peer.url) as ws:

        def on_message(event: unisocket.MessageEvent) -> None:
            event.target.onmessage = None
            try:
                ws.send("blocking")
            except RuntimeError as error:
                told.set_result(str(error))
                event.target.send("through the target")

        ws.websocket.onmessage = on_message
        ws.send("a")
        assert "would wait for" in told.result(SECONDS)
        assert [ws.recv(), ws.recv()] == ["a", "through the target"]


def test_handler_that_raises_SystemExit_stops_nobody_else(peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    left: Future[type[BaseException]] = Future()
    monkeypatch.setattr(threading, "excepthook", lambda arguments: left.set_result(arguments.exc_type))

    def on_message(event: unisocket.MessageEvent) -> None:
        raise SystemExit(3)

    with connect(peer.url) as ws, connect(peer.url) as other:
        ws.websocket.onmessage = on_message
        ws.send("a")
        assert left.result(SECONDS) is SystemExit
        ws.websocket.onmessage = None
        for connection in (ws, other):
            connection.send("b")
        assert [ws.recv(), ws.recv(), other.recv()] == ["a", "b", "b"]


# Signals

WAITS = """
    import sys, threading
    from unisocket.sync import connect

    def tell_when_main_waits():
        while not ws._connection.websocket._transport.shared._reading_here:
            pass
        print("waiting", flush=True)

    with connect(sys.argv[1]) as ws:
        threading.Thread(target=tell_when_main_waits).start()
        try:
            ws.recv()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print(*[ws.recv() for _ in range(3)], flush=True)
        ws.recv()
"""


def test_ctrl_c_in_recv_works_at_once_and_loses_no_message(peer: BlockingPeer) -> None:
    with program(WAITS, peer.url) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - began < AT_ONCE
        peer.do(["text", "a"], ["text", "b"], ["text", "c"])
        line = process.stdout.readline()
        assert line == "a b c\n", line or process.communicate(timeout=SECONDS)[1]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (-signal.SIGINT, "")
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert [record["code"] for record in peer.wait_for("close")] == [1000]


def test_signals_at_any_moment_of_recv_lose_no_message(peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 1500
    end = time.monotonic() + SECONDS  # of the interrupts: then a message that was lost is waited for in vain
    # Python swallows what is raised in the callbacks of weak references.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)

    armed = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal armed
        # Elsewhere the exception would hit this test.
        while frame is not None and frame.f_code is not Connection.recv.__code__:
            frame = frame.f_back
        if frame is not None and armed and time.monotonic() < end:
            armed = False  # who interrupts an interrupt must expect anything
            raise KeyboardInterrupt

    received: list[str] = []
    interrupts = 0
    with connect(peer.url) as ws:
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        try:
            while len(received) < count:
                ws.send(str(len(received)))
                ws.send(str(len(received) + 1))
                goal = len(received) + 2
                while len(received) < goal:
                    armed = True
                    try:
                        received.append(ws.recv(timeout=SECONDS))
                    except KeyboardInterrupt:
                        interrupts += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert received == [str(number) for number in range(count)]
        assert interrupts > 10


def ctrl_c() -> None:
    """Do what it does."""
    raise KeyboardInterrupt


class InterruptAt:
    """Traces what may be interrupted, and does something at one of the moments where CPython sees signals.

    They are behind a call of C, where a loop begins anew, and where a function begins.

    Args:
        moment: Which of them: 0, 1, 2, ...
        handler: What is done.
    """

    files = tuple(module.__file__ for module in (_blocking, _frames, _buffers))

    def __init__(self, moment: int, handler: Callable[[], Any] = ctrl_c) -> None:
        self._left = moment
        self._handler = handler
        self.has_come = False
        self._last: dict[Any, str] = {}  # what each frame did last

    def __call__(self, frame: Any, event: str, argument: Any) -> Any:
        if event == "call" and frame.f_back in self._last:
            self._last[frame.f_back] = "a function of Python"
        if frame.f_code.co_filename not in self.files:
            return None
        frame.f_trace_opcodes = True
        if event == "call":
            self._look()
        elif event == "opcode":
            does = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            last, self._last[frame] = self._last.get(frame, ""), does
            if last.startswith("CALL") or ("JUMP_BACKWARD" in does and "NO_INTERRUPT" not in does):
                self._look()
        return self

    def _look(self) -> None:
        if self.has_come:
            return
        if not self._left:
            self.has_come = True
            self._handler()
        self._left -= 1


@pytest.mark.parametrize(
    "messages",
    [pytest.param(["a", "b", "c"], id="short"), pytest.param(["x" * 300_000, b"y" * 300_000, "z"], id="large")],
)
def test_interrupt_at_each_moment_of_recv_loses_no_message(peer: BlockingPeer, messages: list[str | bytes]) -> None:
    frames = [make_frame(TEXT, m.encode()) if isinstance(m, str) else make_frame(BINARY, m) for m in messages]
    stream = b"".join(frames).hex()
    interrupts = 0
    with connect(peer.url) as ws:
        for moment in itertools.count():
            peer.do(["raw", stream])  # short ones are read at once
            received = []
            before = sys.gettrace()
            sys.settrace(InterruptAt(moment))
            try:
                received.append(ws.recv(timeout=SECONDS))
            except KeyboardInterrupt:
                interrupts += 1
            finally:
                sys.settrace(before)
            was_interrupted = not received
            while len(received) < len(messages):
                received.append(ws.recv(timeout=SECONDS))
            assert received == messages, moment
            if not was_interrupted:
                break
    assert interrupts > 20


def test_interrupt_at_each_moment_of_send_leaves_the_stream_whole(peer: BlockingPeer) -> None:
    sent: list[str] = []
    received: list[Any] = []
    with connect(peer.url) as ws:
        ws.send("first")
        assert ws.recv() == "first"
        for moment in itertools.count():
            before = sys.gettrace()
            trace = InterruptAt(moment)
            sys.settrace(trace)
            try:
                ws.send(str(moment))
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            sent.append(str(moment))
            if not trace.has_come:
                break
        while not received or received[-1] != sent[-1]:
            received.append(ws.recv(timeout=SECONDS))
    assert len(sent) > 10
    assert received == [message for message in sent if message in received]  # each as a whole, in order


@pytest.mark.parametrize("way", ["close", "send"])
def test_handler_of_a_signal_may_close_and_send_at_each_moment_of_send(peer: BlockingPeer, way: str) -> None:
    for moment in itertools.count():
        peer.script(["accept"], ["echo"])
        with connect(peer.url) as ws:
            ws.send("first")
            assert ws.recv() == "first"
            before = sys.gettrace()
            large = functools.partial(ws.send, "x" * 100_000)  # by the network's thread
            trace = InterruptAt(moment, ws.close if way == "close" else large)
            sys.settrace(trace)
            try:
                ws.send("a")
            except ConnectionClosed:
                assert way == "close"
            finally:
                sys.settrace(before)
            if not trace.has_come:
                break
            if way == "send":
                assert {ws.recv(timeout=SECONDS), ws.recv(timeout=SECONDS)} == {"a", "x" * 100_000}
    assert moment > 10


class Slow:
    """A socket that takes the beginning of what is sent."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def send(self, frame: bytes, flags: int) -> int:
        return int(self._socket.send(frame[:1000], flags))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def test_rest_of_a_frame_is_sent_though_a_signal_comes_behind_its_beginning(peer: BlockingPeer) -> None:
    message = "y" * 5000
    with connect(peer.url) as ws:
        ws.send("first")
        assert ws.recv() == "first"
        shared = ws._connection.websocket._transport.shared
        for moment in range(1, 20):
            taken = shared._socket
            shared._socket = Slow(taken)
            before = sys.gettrace()
            sys.settrace(InterruptAt(moment))
            try:
                ws.send(message)
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
                shared._socket = taken
            ws.send(f"behind {moment}")
            answers = [ws.recv(timeout=SECONDS)]
            if answers == [message]:
                answers.append(ws.recv(timeout=SECONDS))
            assert answers[-1] == f"behind {moment}", moment


def test_handler_of_a_signal_that_receives_leaves_the_beginning_of_a_frame(peer: BlockingPeer, base_url: str) -> None:
    other = BlockingPeer(base_url)
    frame = make_frame(TEXT, b"a" * 1000)
    with connect(peer.url) as ws, connect(other.url) as another:
        for connection in (ws, another):
            connection.send("first")
            assert connection.recv() == "first"

        def receive() -> None:
            sys.settrace(None)
            another.send("b" * 200)
            assert another.recv(timeout=SECONDS) == "b" * 200
            peer.do(["raw", frame[500:].hex()])

        for moment in range(60):
            peer.do(["raw", frame[:500].hex()])
            received = []
            before = sys.gettrace()
            trace = InterruptAt(moment, receive)
            sys.settrace(trace)
            try:
                with suppress(TimeoutError):
                    received.append(ws.recv(timeout=0.05))
            finally:
                sys.settrace(before)
            if not trace.has_come:
                peer.do(["raw", frame[500:].hex()])
            if not received:
                received.append(ws.recv(timeout=SECONDS))
            assert received == ["a" * 1000], moment
    other.close()


def test_threads_that_have_read_leave_no_buffers_behind(peer: BlockingPeer) -> None:
    with connect(peer.url) as ws:
        shared = ws._connection.websocket._transport.shared
        ws.send("a")
        assert start(ws.recv).result(SECONDS) == "a"
        ws.send("b")
        assert start(ws.recv).result(SECONDS) == "b"
        until(lambda: shared._guest is None)  # it is taken back soon
        assert not shared._buffer


def test_handler_of_a_signal_that_receives_gets_what_is_its_own(peer: BlockingPeer, base_url: str) -> None:
    other = BlockingPeer(base_url)
    received: list[Any] = []
    with connect(peer.url) as ws, connect(other.url) as another:
        another.send("b" * 50)
        assert another.recv() == "b" * 50

        def receive(frame: Any, event: str, argument: Any) -> None:
            # As a handler of a signal would that comes when something was read, and not yet looked at.
            if event == "call" and frame.f_code.co_name == "buffer_updated" and not received:
                received.append(None)
                another.send("b" * 50)
                received.append(another.recv(timeout=SECONDS))

        for _ in range(2):  # the first is received in the network's thread, maybe
            ws.send("a" * 50)
            before = sys.gettrace()
            sys.settrace(receive)
            try:
                assert ws.recv(timeout=SECONDS) == "a" * 50
            finally:
                sys.settrace(before)
    other.close()
    assert received == [None, "b" * 50]


def interrupted_late(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], Any] = bool) -> None:
    """Let the next wait be interrupted when what it waits for is there already, and something has been done."""
    wait = _cpython.Errand.wait

    def wait_and_raise(errand: _cpython.Errand) -> None:
        monkeypatch.setattr(_cpython.Errand, "wait", wait)
        wait(errand)
        meanwhile()
        raise KeyboardInterrupt

    monkeypatch.setattr(_cpython.Errand, "wait", wait_and_raise)


def test_message_of_a_recv_that_is_interrupted_too_late_is_the_next_one(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.script(["accept"], ["together", [["text", "a"], ["text", "b"], ["text", "c"]]])
    with connect(peer.url) as ws:
        ws.websocket.onmessage = not_lent
        takes: list[Callable[[], Any]] = [ws.recv, ws.__next__]
        for take in takes:
            interrupted_late(monkeypatch)
            with pytest.raises(KeyboardInterrupt):
                take()
        assert [ws.recv(timeout=0) for _ in range(3)] == ["a", "b", "c"]


def test_message_of_a_recv_that_is_interrupted_too_late_wakes_who_waits_by_then(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.script(["accept"], ["text", "a"])
    others: list[Future[Any]] = []
    with connect(peer.url) as ws:
        ws.websocket.onmessage = not_lent

        def wait_elsewhere() -> None:
            others.append(start(ws.recv))
            until(lambda: ws._connection._receiver)

        interrupted_late(monkeypatch, wait_elsewhere)
        with pytest.raises(KeyboardInterrupt):
            ws.recv()
        assert others[0].result(SECONDS) == "a"


def test_message_of_a_recv_that_is_interrupted_too_late_wakes_who_reads_by_then(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.script(["accept"], ["text", "a"])
    others: list[Future[Any]] = []
    with connect(peer.url) as ws:
        ws.websocket.onmessage = not_lent

        def read_elsewhere() -> None:
            ws.websocket.onmessage = None
            others.append(start(ws.recv))
            until(lambda: reads_here(ws))

        interrupted_late(monkeypatch, read_elsewhere)
        with pytest.raises(KeyboardInterrupt):
            ws.recv()
        assert others[0].result(SECONDS) == "a"


def test_connection_of_an_opening_that_is_interrupted_too_late_is_closed(
    peer: BlockingPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_late(monkeypatch)
    with pytest.raises(KeyboardInterrupt), connect(peer.url):
        pass
    assert [record["code"] for record in peer.wait_for("close")] == [1000]


# Processes

FORKS = """
    import os, sys, threading
    from unisocket.sync import connect

    def report(function):
        try:
            print(function())
        except Exception as error:
            print(type(error).__name__, error, error.__context__)

    with connect(sys.argv[1]) as ws, connect(sys.argv[1]) as busy:
        thread = threading.Thread(target=busy.recv)
        thread.start()
        ws.send("parent")
        print(ws.recv(), flush=True)
        pid = os.fork()
        if not pid:
            for connection in (ws, busy):
                report(connection.recv)
                report(lambda: connection.recv(timeout=0))
                report(lambda: connection.send("from the child"))
                report(lambda: list(connection))
                report(connection.wait_closed)
                report(connection.close)
                report(lambda: connection.readyState)
                report(lambda: connection.bufferedAmount)
            with connect(sys.argv[1]) as own:
                own.send("child")
                print(own.recv(), flush=True)
            sys.exit()
        print(os.waitpid(pid, 0)[1])
        ws.send("parent again")
        print(ws.recv())
        busy.send("busy")
        thread.join()
"""
DEAD = (
    "ConnectionClosedError closed without a closing handshake, code 1006 "
    "(it stays with the parent process: after a fork, open another) None"
)


def test_after_a_fork_the_connections_of_the_child_say_that_they_are_dead(peer: BlockingPeer) -> None:
    dead = [DEAD] * 4 + ["None", "None", "3", "0"]
    assert output_of(FORKS, peer.url).splitlines() == ["parent", *dead, *dead, "child", "0", "parent again"]
    assert peer.texts() == ["parent", "child", "parent again", "busy"]
    assert [record["code"] for record in peer.wait_for("close", 3)] == [1000] * 3


EXITS = {
    "end_of_the_program": "",
    "sys.exit": "sys.exit()",
    "thread_in_recv": "threading.Thread(target=ws.recv, daemon=True).start(); ws.send('a'); ws.recv",
    "thread_in_iteration": "threading.Thread(target=list, args=(ws,), daemon=True).start()",
    "thread_in_close": "threading.Thread(target=ws.close, daemon=True).start()",
    "full_queue": "ws.send('push'); ws.recv()",
    "exit_handler_that_blocks": "atexit.register(lambda: (ws.send('bye'), ws.recv()))",
}


@pytest.mark.parametrize("ending", EXITS.values(), ids=EXITS)
def test_program_ends_quietly_with_an_open_connection(peer: BlockingPeer, ending: str) -> None:
    peer.script(["accept"], ["text", "first"], ["read"], ["push", 1000, "text", 2**16], ["deaf"])
    begin = "import atexit, sys, threading\nfrom unisocket.sync import connect\nws = connect(sys.argv[1]).__enter__()\n"
    began = time.monotonic()
    assert output_of(begin + "print(ws.recv())\n" + ending, peer.url) == "first\n"
    assert time.monotonic() - began < SECONDS


# Browsers

BLOCKING = ("cpython", "pyodide", "pyodide-worker", "pyscript-py")
NOT_BLOCKING = ("brython", "micropython", "pyscript-mpy")

# One program, and what it prints, for all who can block.
PROGRAM = r"""
import json
import unisocket
from unisocket.sync import connect


def blocking(urls, print):
    with connect(urls["chat"] + "/path", ["news", "chat"], open_timeout=30) as ws:
        print(ws.url == urls["chat"] + "/path", ws.protocol, ws.readyState, ws.bufferedAmount, ws.close_code)
        for data in ("text \u00e9 \U0001f600", "", b"", b"\x00\xff", bytearray(b"array"), memoryview(b"view")):
            ws.send(data)
        print([ws.recv() for _ in range(6)])
        ws.send("x" * 3000000)
        print(len(ws.recv()))
        for timeout in (0, 0.05):
            try:
                ws.recv(timeout)
            except unisocket.TimeoutError as error:
                print("TimeoutError", error)
        for wrong in (lambda: ws.send(1), lambda: ws.close(1001), lambda: ws.close(1000, "x" * 124)):
            try:
                wrong()
            except (TypeError, unisocket.WebSocketError) as error:
                print(type(error).__name__)
        ws.send("still alive")
        print(ws.recv(timeout=10))
        ws.close(4000, "enough")
        ws.close()
        print(ws.readyState, ws.close_code, ws.close_reason, list(ws))
    with connect(urls["push"]) as ws:
        print([message[:4] for message in ws])
        print(ws.close_code, ws.close_reason)
        for use in (ws.recv, lambda: ws.send("late"), lambda: next(ws)):
            try:
                use()
            except (unisocket.ConnectionClosed, StopIteration) as error:
                print(type(error).__name__, error)
    try:
        with connect(urls["bad end"]) as ws:
            for message in ws:
                print(message)
    except unisocket.ConnectionClosedError as error:
        print(error.code, error.reason, error.wasClean)
    try:
        with connect(urls["echo"]) as ws:
            1 / 0
    except ZeroDivisionError as error:
        print(error, ws.readyState, ws.close_code)
    for wrong in ((urls["refused"],), (urls["mute"], None, 0.2), ("ftp://host/",), (urls["echo"], "no token")):
        try:
            with connect(wrong[0], *wrong[1:2], open_timeout=wrong[2] if wrong[2:] else 30):
                print("open")
        except unisocket.WebSocketError as error:
            print(type(error).__name__)


async def main(report, arguments):
    lines = []
    blocking(arguments["urls"], lambda *values: lines.append(" ".join([str(value) for value in values])))
    report(json.dumps(lines))
"""

TRANSCRIPT = [
    "True chat 1 0 None",
    "['text \u00e9 \U0001f600', '', b'', b'\\x00\\xff', b'array', b'view']",
    "3000000",
    "TimeoutError no message within 0 s",
    "TimeoutError no message within 0.05 s",
    "TypeError",
    "InvalidCloseCodeError",
    "CloseReasonTooLongError",
    "still alive",
    "3 4000  []",
    str([numbered(number, 50)[:4] for number in range(100)]),
    "1000 bye",
    "ConnectionClosedOK closed cleanly, code 1000 (bye)",
    "ConnectionClosedOK closed cleanly, code 1000 (bye)",
    "StopIteration ",
    "a",
    "4001 why True",
    "division by zero 3 1000",
    "ConnectionFailedError",
    "ConnectionFailedError",
    "InvalidURLError",
    "InvalidProtocolError",
]
SCRIPTS: dict[str, list[list[Any]]] = {
    "chat": [["accept", {"protocol": "chat"}], ["echo"]],
    "echo": [["accept"], ["echo"]],
    "push": [["accept"], ["push", 100, "text", 50], ["close", 1000, "bye"]],
    "bad end": [["accept"], ["text", "a"], ["close", 4001, "why"]],
    "refused": [["http", 403, [], ""]],
    "mute": [["deaf"]],
}

# Where it is not possible to block; then another connection shows that nothing came of it.
REFUSED = """
import json
from unisocket import WebSocket
from unisocket.testing.script import Recorder


def attempt(url, say):
    from unisocket.sync import connect

    try:
        with connect(url):
            say("open")
    except NotImplementedError as error:
        say(str(error))


async def main(report, arguments):
    lines = []
    await HOW(attempt, arguments["url"], lines.append)
    recorder = Recorder(WebSocket(arguments["url"] + "/afterwards"))
    await recorder.wait("open")
    report(json.dumps(lines))
"""
IN_A_COROUTINE = """
async def HOW(function, *arguments):
    function(*arguments)
"""
IN_A_LISTENER = """
async def HOW(function, *arguments):
    import js
    from pyodide.ffi import create_proxy

    listener = create_proxy(lambda event: function(*arguments))
    target = js.EventTarget.new()
    target.addEventListener("happening", listener)
    target.dispatchEvent(js.Event.new("happening"))
    listener.destroy()
"""
IN_A_TIMER = """
async def HOW(function, *arguments):
    import asyncio
    import js
    from pyodide.ffi import create_proxy

    done = asyncio.get_running_loop().create_future()

    def callback():
        function(*arguments)
        done.set_result(None)

    proxy = create_proxy(callback)
    js.setTimeout(proxy, 0)
    await done
    proxy.destroy()
"""


@pytest.fixture(scope="module")
def context(request: pytest.FixtureRequest) -> Iterator[Context]:
    """A runtime, for all tests that name it."""
    folder = Path() if request.param == "cpython" else request.getfixturevalue("served_folder")
    with open_context(request.param, folder) as context:
        yield context


def on(*names: str) -> pytest.MarkDecorator:
    """Run a test on runtimes."""
    marks = {name: () if name == "cpython" else pytest.mark.browser for name in names}
    return pytest.mark.parametrize(
        "context", [pytest.param(name, marks=marks[name], id=name) for name in names], indirect=True, scope="module"
    )


@on(*BLOCKING)
def test_one_blocking_program_prints_the_same_wherever_it_can_block(context: Context, base_url: str) -> None:
    peers = {name: BlockingPeer(base_url) for name in SCRIPTS}
    for name, peer in peers.items():
        peer.script(*SCRIPTS[name])
    urls = {name: peer.url for name, peer in peers.items()}
    (lines,) = context.run(PROGRAM, {"urls": urls})
    assert lines == TRANSCRIPT
    assert [peers[name].wait_for("close")[0]["code"] for name in ("chat", "echo")] == [4000, 1000]
    for peer in peers.values():
        peer.close()


@on(*NOT_BLOCKING)
def test_blocking_where_that_is_impossible_is_refused_before_anything_is_opened(
    context: Context, peer: BlockingPeer
) -> None:
    check_refusal(context, peer, IN_A_COROUTINE)


@on("pyodide", "pyscript-py")
@pytest.mark.parametrize("how", [IN_A_LISTENER, IN_A_TIMER], ids=["listener", "timer"])
def test_blocking_in_a_callback_of_javascript_is_refused_before_anything_is_opened(
    context: Context, peer: BlockingPeer, how: str
) -> None:
    check_refusal(context, peer, how)


# What a task brings about in JavaScript calls listeners in the middle of it.
WOKEN = """
import asyncio
import json

import js
from pyodide.ffi import to_js
from unisocket import connect


async def main(report, arguments):
    async with connect(arguments["url"]) as ws:
        task = asyncio.create_task(ws.recv())
        await asyncio.sleep(0)
        options = to_js({"data": "made"}, dict_converter=js.Object.fromEntries)
        ws.websocket.raw.dispatchEvent(js.MessageEvent.new("message", options))
        report(json.dumps([task.done(), await task]))
"""


@on("pyodide")
def test_a_message_wakes_nobody_in_the_middle_of_another_task(context: Context, peer: BlockingPeer) -> None:
    assert list(context.run(WOKEN, {"url": peer.url})) == [[False, "made"]]


def check_refusal(context: Context, peer: BlockingPeer, how: str) -> None:
    (lines,) = context.run(REFUSED + how, {"url": peer.url})
    (message,) = lines
    assert "this runtime cannot block: use `async with unisocket.connect(url) as ws`" in message
    assert [record["path"].rpartition("/")[2] for record in peer.wait_for("request")] == ["afterwards"]
