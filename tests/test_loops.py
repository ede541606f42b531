"""Event loops of CPython: many at once, those that end with sockets open, and programs that do; on uvloop, too."""

import asyncio
import gc
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import pytest
import uvloop
from fault_server import all_ends, deaf, fault_server, fin, opened
from peer_process import peer_process

from unisocket import Connection, ConnectionClosedError, WebSocket, connect
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing._wire import CLOSE, Frame, close_body, make_frame, make_upgrade, take_frame, take_request
from unisocket.testing.script import Peer, Recorder

PROMPT = 5.0  # seconds that the end of a program may take; a timeout would take ten

NewLoop = Callable[[], asyncio.AbstractEventLoop]

loops = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


# Many at once


@pytest.mark.parametrize("queue_per_host", [False, True])
def test_one_adapter_serves_loops_in_many_threads_at_once(base_url: str, queue_per_host: bool) -> None:
    """Contract section 6: adapters keep no state of a loop: one serves many."""
    adapter = CPythonAdapter(queue_per_host=queue_per_host)
    answers: dict[int, list[list[str]]] = {}
    wrong: list[str] = []
    ready = threading.Barrier(8)

    async def talk(url: str, name: str) -> list[str]:
        """Count up to 100 together with the peer; see where the handlers run."""
        loop, got, over = asyncio.get_running_loop(), [], asyncio.Event()

        def on_message(event: Any) -> None:
            got.append(event.data)
            if asyncio.get_running_loop() is not loop:
                wrong.append(name)
            if len(got) < 100:
                event.target.send(f"{name} {len(got)}")
            else:
                event.target.close(1000)

        WebSocket(
            url,
            adapter=adapter,
            onopen=lambda event: event.target.send(f"{name} 0"),
            onmessage=on_message,
            onclose=lambda event: over.set(),
        )
        await over.wait()
        return got

    async def main(thread: int) -> None:
        peer = await Peer.open(base_url, WebSocket)
        await asyncio.to_thread(ready.wait)
        async with asyncio.timeout(30):
            answers[thread] = await asyncio.gather(*(talk(peer.url, f"{thread} {number}") for number in range(4)))
        await peer.close()

    def run(thread: int) -> None:
        factory = uvloop.new_event_loop if thread % 2 else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main(thread))

    threads = [threading.Thread(target=run, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert answers == {
        thread: [[f"{thread} {number} {count}" for count in range(100)] for number in range(4)] for thread in range(8)
    }


@loops
def test_loops_one_after_the_other_share_nothing(base_url: str, new_loop: NewLoop) -> None:
    adapter = CPythonAdapter(queue_per_host=True)

    async def main() -> tuple[Any, ...]:
        peer = await Peer.open(base_url, WebSocket)
        websocket = WebSocket(peer.url, adapter=adapter, onopen=lambda event: event.target.close(1000))
        try:
            return await Recorder(websocket).closed()
        finally:
            await peer.close()

    for _ in range(3):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(main()) == ("close", 1000, "", True)


# That end with sockets open


@contextmanager
def one_warning(state: str) -> Iterator[None]:
    """See that there is one ResourceWarning of ours, and that it names a socket of this state."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    # uvloop has one of its own for each connection of a loop that is closed by hand.
    ours = [str(warning.message) for warning in caught if "WebSocket" in str(warning.message)]
    assert [message.split()[-8] for message in ours] == [f"{state}>"]
    assert ours[0].endswith("not closed when the event loop ended")
    others = {type(warning.message) for warning in caught} - {ResourceWarning}
    assert not others


class Server:
    """A server in a thread, for one connection after the other.

    Args:
        answers: Whether it answers the opening handshake.
        answers_close: Whether it answers close frames.

    Attributes:
        url: Where to connect to.
        frames: What it was sent, from all.
        closing: Is set when a close frame has come.
        gone: Counts the clients that have let go of TCP.
    """

    def __init__(self, *, answers: bool = True, answers_close: bool = True) -> None:
        self._answers = answers
        self._answers_close = answers_close
        self.closing = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._server.getsockname()[1]}/"
        self.frames: list[Frame] = []
        self.gone = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        buffer = bytearray()
        is_open = False
        with client, suppress(ConnectionError):
            while data := client.recv(2**16):
                buffer += data
                if not self._answers:
                    continue
                if not is_open and (request := take_request(buffer)) is not None:
                    client.sendall(make_upgrade(request, {}))
                    is_open = True
                while is_open and (frame := take_frame(buffer)) is not None:
                    self.frames.append(frame)
                    if frame.opcode == CLOSE:
                        self.closing.set()
                    if frame.opcode == CLOSE and self._answers_close:
                        client.sendall(make_frame(CLOSE, frame.payload))
        self.gone.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._server.close()


def watched(url: str, events: list[str]) -> WebSocket:
    """Return a socket whose events are noted."""
    websocket = WebSocket(url)
    for type in ("open", "message", "error", "close"):
        websocket.addEventListener(type, lambda event: events.append(event.type))
    return websocket


async def returns(url: str, events: list[str]) -> None:
    await Recorder(watched(url, events)).wait("open")


async def returns_later(url: str, events: list[str]) -> None:
    await returns(url, events)
    await asyncio.sleep(0.05)


async def exits(url: str, events: list[str]) -> None:
    await returns(url, events)
    sys.exit()


async def exits_in_a_handler(url: str, events: list[str]) -> None:
    watched(url, events).onopen = lambda event: sys.exit()
    await asyncio.sleep(10)


async def returns_while_connecting(url: str, events: list[str]) -> None:
    watched(url, events)
    await asyncio.sleep(0.1)


async def returns_at_once(url: str, events: list[str]) -> None:
    watched(url, events)


async def returns_in_the_handshake_of_TLS(url: str, events: list[str]) -> None:
    await returns_while_connecting(url.replace("ws:", "wss:"), events)


CONNECTING = [returns_while_connecting, returns_at_once, returns_in_the_handshake_of_TLS]
ENDS = [returns, returns_later, exits, exits_in_a_handler, *CONNECTING]


@loops
@pytest.mark.parametrize("way", ["Runner", "close"])
@pytest.mark.parametrize("main", ENDS, ids=lambda main: main.__name__)
def test_loop_that_ends_aborts_its_sockets_without_events_and_warns_once(
    main: Callable[[str, list[str]], Coroutine[Any, Any, None]],
    way: str,
    new_loop: NewLoop,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Contract section 1, lifetime."""
    events: list[str] = []
    connecting = main in CONNECTING
    with Server(answers=not connecting) as server, one_warning("CONNECTING" if connecting else "OPEN"):
        with suppress(SystemExit):
            if way == "Runner":
                with asyncio.Runner(loop_factory=new_loop) as runner:
                    runner.run(main(server.url, events))
            else:
                loop = new_loop()
                try:
                    loop.run_until_complete(main(server.url, events))
                finally:
                    loop.close()
        gc.collect()
        assert main is returns_at_once or server.gone.acquire(timeout=PROMPT)
    assert events == ([] if connecting else ["open"])
    assert server.frames == []
    if (new_loop, way) == (uvloop.new_event_loop, "close"):
        caplog.clear()  # uvloop has a word of its own for a name that was being resolved when the loop was closed


@loops
def test_send_behind_a_reset_that_nobody_has_seen_complains_to_nobody(new_loop: NewLoop) -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
            websocket = WebSocket("ws://127.0.0.1:{1}/".format(*server.getsockname()))
            recorder = Recorder(websocket)
            client, _ = await asyncio.to_thread(server.accept)
            request = take_request(bytearray(await asyncio.to_thread(client.recv, 2**16)))
            assert request is not None
            client.sendall(make_upgrade(request, {}))
            await recorder.wait("open")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            for _ in range(6):
                websocket.send(bytes(100))
                await asyncio.sleep(0)
            assert await recorder.closed() == ("close", 1006, "", False)
            assert websocket.bufferedAmount == 600

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert not complaints


@loops
@pytest.mark.parametrize("type", ["error", "close"])
def test_system_exit_of_a_handler_leaves_when_TCP_ends(type: str, new_loop: NewLoop) -> None:
    async def main() -> None:
        async with fault_server(opened(b"", fin)) as url:
            WebSocket(url).addEventListener(type, lambda event: sys.exit())
            await asyncio.sleep(PROMPT)

    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(SystemExit):
        runner.run(main())


@loops
@pytest.mark.parametrize("way", ["Runner", "close"])
def test_socket_of_a_loop_that_has_ended_is_closed(way: str, new_loop: NewLoop) -> None:
    async def main(url: str) -> tuple[WebSocket, Connection]:
        ws = await connect(url)
        return (await connect(url)).websocket, ws

    with Server() as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        if way == "Runner":
            with asyncio.Runner(loop_factory=new_loop) as runner:
                websocket, ws = runner.run(main(server.url))
        else:
            loop = new_loop()
            websocket, ws = loop.run_until_complete(main(server.url))
            loop.close()
            del loop
        gc.collect()
    assert websocket.readyState == WebSocket.CLOSED
    websocket.send("late")
    websocket.close()
    assert websocket.bufferedAmount == 4

    async def receive() -> None:
        with pytest.raises(ConnectionClosedError, match="its event loop has ended"):
            await ws.recv()

    asyncio.run(receive())


@loops
@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_opening_whose_task_is_cancelled_with_all_others_fails(scheme: str, closes: bool, new_loop: NewLoop) -> None:
    """A program that cancels all tasks goes on; no socket is left without its end."""

    async def main() -> None:
        async with all_ends(), fault_server(deaf) as url:
            websocket = WebSocket(url.replace("ws", scheme, 1))
            recorder = Recorder(websocket)
            await asyncio.sleep(0.05)
            for task in asyncio.all_tasks():
                if getattr(task.get_coro(), "__qualname__", "") == "CPythonTransport._open":
                    task.cancel()
            await asyncio.sleep(0.02)
            if closes:
                websocket.close()
            assert await recorder.closed() == ("close", 1006, "", False)
            assert recorder.types == ["error", "close"]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())


# Programs that end with sockets open

PREFACE = """
import asyncio, sys, threading, uvloop, unisocket

def new():
    return unisocket.WebSocket(sys.argv[1], onclose=lambda event: print("close", event.code, flush=True))

async def opened():
    ws = new()
    is_open = asyncio.get_running_loop().create_future()
    ws.onopen = lambda event: is_open.set_result(ws)
    return await is_open

def in_thread(factory):
    is_open = threading.Event()
    async def main():
        await opened()
        is_open.set()
        await asyncio.sleep(60)
    def run():
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())
    threading.Thread(target=run, daemon=True).start()
    is_open.wait()
"""

PROGRAMS = {
    "asyncio.run": "asyncio.run(opened())",
    "uvloop.run": "uvloop.run(opened())",
    "unisocket.run": "unisocket.run(opened())",
    "loop_that_is_closed": "loop = asyncio.new_event_loop(); loop.run_until_complete(opened()); loop.close()",
    "loop_that_nobody_closes": "loop = asyncio.new_event_loop(); loop.run_until_complete(opened())",
    "uvloop_that_nobody_closes": "loop = uvloop.new_event_loop(); loop.run_until_complete(opened())",
    "daemon_thread": "in_thread(asyncio.new_event_loop)",
    "daemon_thread_with_uvloop": "in_thread(uvloop.new_event_loop)",
}

ENDINGS = {"end": ("", 0, ""), "exit": ("sys.exit(3)", 3, ""), "error": ("1 / 0", 1, "ZeroDivisionError")}


def command(text: str, url: str) -> list[str]:
    return [sys.executable, "-P", "-W", "always::ResourceWarning", "-c", PREFACE + text, url]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_program_with_an_open_socket_ends_at_once_and_says_one_thing_at_most(name: str, ending: str) -> None:
    """No event fires; where a loop ended, there is one ResourceWarning; the server sees the end of TCP."""
    last, code, error = ENDINGS[ending]
    with Server() as server:
        began = time.monotonic()
        done = subprocess.run(
            command(PROGRAMS[name] + "\n" + last, server.url), capture_output=True, text=True, timeout=30, check=False
        )
        assert time.monotonic() - began < PROMPT
        assert server.gone.acquire(timeout=PROMPT)
    assert (done.stdout, done.returncode) == ("", code)
    assert done.stderr.count("Traceback") == (1 if error else 0), done.stderr
    assert error in done.stderr
    said = [line for line in done.stderr.splitlines() if "ResourceWarning: <WebSocket" in line]
    assert len(said) <= (0 if "thread" in name else 1)
    assert all("OPEN> not closed when the event loop ended" in line for line in said)
    if "run" in name:
        assert len(said) == 1


# Ctrl-C


@contextmanager
def interrupted(text: str, url: str, code: int = -signal.SIGINT) -> Iterator["subprocess.Popen[str]"]:
    """Run a program until it says something; interrupt it, and see that it ends by that, or as it should."""
    process = subprocess.Popen(command(text, url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    yield process
    assert process.returncode == code


READY = "asyncio.get_running_loop().call_later(0.05, lambda: print('ready', flush=True))"

RUNS = {
    "until_no_socket_is_left": f"""
        new().onopen = lambda event: new()
        new().onopen = lambda event: {READY}
        unisocket.run()
    """,
    "a_coroutine": f"""
        async def main():
            for _ in range(3):
                await opened()
            {READY}
            await asyncio.sleep(60)
        unisocket.run(main())
    """,
}


@pytest.mark.parametrize("name", RUNS)
def test_ctrl_c_in_run_closes_all_sockets_with_1001(name: str) -> None:
    """Contract section 5: Ctrl-C in it closes all sockets with 1001 and waits a second."""
    with Server() as server, interrupted(textwrap.dedent(RUNS[name]), server.url) as process:
        began = time.monotonic()
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - began < PROMPT
    assert out == 3 * "close 1001\n"
    assert [frame.payload for frame in server.frames] == 3 * [close_body(1001)]
    assert "KeyboardInterrupt" in err
    assert "ResourceWarning" not in err


@pytest.mark.parametrize(
    ("end", "code"), [("return", 0), ("raise ZeroDivisionError", 1), ("await asyncio.sleep(0)", -signal.SIGINT)]
)
def test_ctrl_c_that_a_coroutine_takes_its_own_way_closes_all_sockets_with_1001(end: str, code: int) -> None:
    """It returns, or its cleaning up fails or takes time."""
    text = f"""
        async def main():
            await opened()
            {READY}
            try:
                await asyncio.sleep(60)
            finally:
                {end}
        unisocket.run(main())
    """
    with Server() as server, interrupted(textwrap.dedent(text), server.url, code) as process:
        out, err = process.communicate(timeout=30)
    assert out == "close 1001\n"
    assert [frame.payload for frame in server.frames] == [close_body(1001)]
    assert "ResourceWarning" not in err


def test_ctrl_c_in_run_waits_a_second_for_a_server_that_does_not_answer() -> None:
    text = f"""
        new()
        async def main():
            {READY}
            await asyncio.sleep(60)
        unisocket.run(main())
    """
    with Server(answers=False) as server, interrupted(textwrap.dedent(text), server.url) as process:
        began = time.monotonic()
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - began < PROMPT
        assert server.gone.acquire(timeout=PROMPT)
    assert out == "close 1006\n"  # it was not open yet
    assert "KeyboardInterrupt" in err


def test_second_ctrl_c_in_run_waits_for_nothing() -> None:
    text = f"""
        new().onopen = lambda event: {READY}
        from unisocket.adapters import _cpython
        _cpython.GOODBYE = 60
        unisocket.run()
    """
    with Server(answers_close=False) as server, interrupted(textwrap.dedent(text), server.url) as process:
        assert server.closing.wait(PROMPT)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, _ = process.communicate(timeout=30)
        assert time.monotonic() - began < PROMPT
    assert out == ""
