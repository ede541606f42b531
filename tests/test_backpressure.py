"""A slow end stops the other, and costs no memory; in processes of their own, for memory is one's own."""

import asyncio
import select
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from browser.contexts import CONTEXTS, open_context
from peer_process import peer_process

from unisocket import Connection, ConnectionClosedError, ConnectionClosedOK, WebSocket, connect
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.connection import HIGH_WATER, MAX_QUEUE_BYTES
from unisocket.testing._wire import BINARY, CLOSE, RSV1, TEXT, close_body, make_frame, make_upgrade, take_request
from unisocket.testing.script import Peer, numbered

MIB = 2**20
GROWTH = (
    MAX_QUEUE_BYTES + 24 * MIB
)  # of memory, at most: of 1 GiB, in messages of up to 4 MiB, of which some are copies
ON_THE_WAY = 64 * MIB  # what the kernel may hold of 1 GiB, both ends together
STALL = 0.5  # seconds without progress
SECONDS = 20.0  # for all
AT_ONCE = 2.0  # what does not wait for any timeout may take so long on a busy machine

# By how many bytes memory has grown, at its peak, since the first call; as Linux alone tells it.
GROWN = """
import asyncio, sys, threading

def of_status(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

def begin():
    global memory_before
    with open("/proc/self/clear_refs", "w") as clear_refs:
        clear_refs.write("5")  # the peak is what there is now
    memory_before = of_status("VmRSS")

def say(*values):
    print(*values, of_status("VmHWM") - memory_before, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


@asynccontextmanager
async def session(base_url: str, *steps: list[Any]) -> AsyncIterator[Peer]:
    """Have a peer that accepts, and does the rest of a script; at last it drops its connections."""
    peer = await Peer.open(base_url, WebSocket)
    await peer.script(["accept"], *steps)
    try:
        yield peer
    finally:
        await peer.close()


class Program:
    """A process that says things, and waits after each.

    Args:
        text: What it runs.
        url: What it connects to.
    """

    def __init__(self, text: str, url: str) -> None:
        command = [sys.executable, "-P", "-c", GROWN + text, url]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> list[int]:
        """Return what it says next; the last number is how much its memory has grown."""
        assert self._process.stdout
        return [int(word) for word in self._process.stdout.readline().split()]

    def go_on(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind:
            self._process.kill()
        self._process.communicate(timeout=SECONDS)
        assert kind or self._process.returncode == 0


# A peer that is too fast


class Pusher:
    """A server that pushes one message again and again, as fast as its one client takes it.

    Attributes:
        url: Where to connect to.
        sent: How many bytes the kernel took.
        stalled: Is set when it has taken none for a while.

    Args:
        frame: The message.
        count: How often.
        **options: Of the answer to the opening handshake.
    """

    def __init__(self, frame: bytes, count: int, **options: Any) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self._server.getsockname()[1]}/"
        self.sent = 0
        self.stalled = threading.Event()
        self._frame = frame
        self._total = len(frame) * count
        self._options = options
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        with client, suppress(ConnectionError):  # a client that was killed: its test has failed
            head = bytearray()
            while (request := take_request(head)) is None:
                head += client.recv(2**16)
            client.sendall(make_upgrade(request, self._options))
            self._push(client)
            client.sendall(make_frame(CLOSE, close_body(1000)))
            client.settimeout(SECONDS)
            while client.recv(2**16):
                pass

    def _push(self, client: socket.socket) -> None:
        many = memoryview(self._frame * (MIB // len(self._frame) + 1))
        client.setblocking(False)
        while self.sent < self._total:
            if select.select([], [client], [], STALL)[1]:
                start = self.sent % len(many)
                self.sent += client.send(many[start : start + self._total - self.sent])
            else:
                self.stalled.set()
        client.setblocking(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.join(SECONDS)
        self._server.close()
        assert not self._thread.is_alive()


TAKEN = 3  # messages that are taken before nobody looks any more

CONSUMER = """
import unisocket

async def main():
    async with unisocket.connect(sys.argv[1]) as ws:
        begin()
        for count in range(3):
            size = len(await ws.recv())
            await asyncio.sleep(0.01)
        await asyncio.to_thread(say, 3)
        DRAIN
    say(count + 1)

asyncio.run(main())
"""
DRAIN = """
        async for message in ws:
            count += 1
            assert len(message) == size
"""
BLOCKING_CONSUMER = """
from unisocket.sync import connect

with connect(sys.argv[1]) as ws:
    begin()
    for count in range(3):
        size = len(ws.recv())
    say(3)
    for message in ws:
        count += 1
        assert len(message) == size
say(count + 1)
"""
FRAME = make_frame(BINARY, bytes(2**16))
LARGE_FRAME = make_frame(BINARY, bytes(4 * MIB))


@pytest.mark.parametrize(("frame", "count"), [(FRAME, 2**14), (LARGE_FRAME, 2**8)], ids=["64KiB", "4MiB"])
def test_slow_consumer_stops_a_peer_that_pushes_1_GiB_and_memory_stays_bounded(frame: bytes, count: int) -> None:
    check_slow_consumer(CONSUMER.replace("DRAIN", DRAIN), frame, count)


@pytest.mark.parametrize(("frame", "count"), [(FRAME, 2**12), (LARGE_FRAME, 2**6)], ids=["64KiB", "4MiB"])
def test_slow_consumer_that_blocks_stops_the_peer_and_memory_stays_bounded(frame: bytes, count: int) -> None:
    check_slow_consumer(BLOCKING_CONSUMER, frame, count)


def test_slow_consumer_of_tiny_messages_stops_the_peer_and_memory_stays_bounded() -> None:
    check_slow_consumer(CONSUMER.replace("DRAIN", DRAIN), make_frame(TEXT, b"tiny"), 2**20)


def deflated(size: int) -> bytes:
    """Return a frame with zeros, which stand for themselves alone."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    data = compressor.compress(bytes(size)) + compressor.flush(zlib.Z_FULL_FLUSH)
    return make_frame(BINARY, data[:-4], rsv=RSV1)


@pytest.mark.parametrize(("size", "count"), [(2**14, 2**16), (2**18, 2**12), (4 * MIB, 2**8)])
@pytest.mark.parametrize("consumer", [CONSUMER.replace("DRAIN", DRAIN), BLOCKING_CONSUMER], ids=["asyncio", "blocking"])
def test_slow_consumer_of_1_GiB_of_zeros_that_are_deflated_takes_little_memory(
    consumer: str, size: int, count: int
) -> None:
    """What one read brings may inflate a thousandfold: the rest of it is held back."""
    with (
        Pusher(deflated(size), count, extensions="permessage-deflate") as pusher,
        Program(consumer, pusher.url) as program,
    ):
        time.sleep(STALL)  # in which it reads as much as it will
        for expected in (TAKEN, count):
            taken, growth = program.hear()
            assert (taken, growth < GROWTH) == (expected, True), growth
            program.go_on()


def check_slow_consumer(consumer: str, frame: bytes, count: int) -> None:
    began = time.monotonic()
    with Pusher(frame, count) as pusher, Program(consumer, pusher.url) as program:
        taken, growth = program.hear()
        assert pusher.stalled.wait(SECONDS)
        stalled_at = pusher.sent
        assert stalled_at - taken * len(frame) < ON_THE_WAY + len(frame)
        assert growth < GROWTH
        assert pusher.sent == stalled_at
        program.go_on()
        all_taken, growth = program.hear()
        assert all_taken == count
        assert growth < GROWTH
        program.go_on()
    assert time.monotonic() - began < SECONDS


def test_leaving_with_a_full_queue_reads_on_and_drops_what_comes() -> None:
    """Contract section 3: close() resumes reading; here the peer answers after all of 1 GiB only."""
    with Pusher(FRAME, 2**14) as pusher, Program(CONSUMER.replace("DRAIN", ""), pusher.url) as program:
        program.hear()
        assert pusher.stalled.wait(SECONDS)
        program.go_on()
        taken, growth = program.hear()
        assert taken == TAKEN
        assert pusher.sent == len(FRAME) * 2**14
        assert growth < GROWTH
        program.go_on()


# A peer that is too slow

SENDER = """
import unisocket

async def main():
    async with unisocket.connect(sys.argv[1]) as ws:
        begin()
        message = bytes(2**16)
        done, count = True, 0
        while done and count < 2**14:
            sending = asyncio.ensure_future(ws.send(message))
            count += 1
            done, _ = await asyncio.wait([sending], timeout=0.5)
        await asyncio.to_thread(say, count, ws.bufferedAmount)
        await sending
        for _ in range(200):
            await ws.send(message)
            assert ws.bufferedAmount <= 2**20
    say(count + 200, 0)

asyncio.run(main())
"""
BLOCKING_SENDER = """
from unisocket.sync import connect

def send_all():
    global count
    while count < goal:
        count += 1
        ws.send(message)

with connect(sys.argv[1]) as ws:
    begin()
    message = bytes(2**16)
    count, goal = 0, 2**14
    sending = threading.Thread(target=send_all)
    sending.start()
    before = -1
    while count != before:
        before = count
        sending.join(0.5)
    goal = count + 200
    say(count, ws.bufferedAmount)
    sending.join()
say(count, 0)
"""


@pytest.mark.parametrize("sender", [SENDER, BLOCKING_SENDER], ids=["asyncio", "blocking"])
async def test_send_waits_for_a_slow_peer_and_memory_stays_bounded(sender: str, base_url: str) -> None:
    async with session(base_url, ["stall"]) as peer, asyncio.timeout(SECONDS):
        with Program(sender, peer.url) as program:
            count, buffered, growth = await asyncio.to_thread(program.hear)
            assert count * 2**16 - buffered < ON_THE_WAY
            assert HIGH_WATER < buffered <= HIGH_WATER + 2**16
            assert growth < GROWTH
            await peer.do(["swallow"])
            program.go_on()
            count, _, growth = await asyncio.to_thread(program.hear)
            assert growth < GROWTH
            program.go_on()
        records = await peer.wait_for("message", count)
        assert {record["length"] for record in records} == {2**16}


# On every runtime; a browser cannot stop reading, but `send` waits there, too.
SENDS = """
import json
from unisocket import WebSocket, connect
from unisocket._runtime import default_adapter
from unisocket.testing.script import Peer

SIZE, GOAL = 2**18, 2**10
sent = []


async def send_all(ws, goal):
    while len(sent) < goal[0]:
        await ws.send(bytes(SIZE))
        sent.append(ws.bufferedAmount)
    goal.append("reached")


async def main(report, arguments):
    runtime = default_adapter().runtime()
    peer = await Peer.open(arguments["peer"], WebSocket)
    await peer.script(["accept"], ["stall"])
    goal = [GOAL]
    async with connect(peer.url) as ws:
        runtime.spawn(send_all(ws, goal))
        before = -1
        while len(sent) != before:
            before = len(sent)
            await runtime.sleep(0.5)
        waiting = ws.bufferedAmount
        goal[0] = len(sent) + 10
        await peer.do(["swallow"])
        await peer.wait_for("message", goal[0])
        while len(goal) == 1:
            await runtime.sleep(0.02)
    await peer.close()
    report(json.dumps({"before": before, "waiting": waiting, "after": max(sent), "count": len(sent)}))
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "cpython" else pytest.mark.browser)
        for name in CONTEXTS
        if not name.endswith("-worker")
    ],
)
def test_send_waits_on_bufferedAmount_everywhere(name: str, base_url: str, request: pytest.FixtureRequest) -> None:
    folder = Path() if name == "cpython" else request.getfixturevalue("served_folder")
    with open_context(name, folder) as context:
        (report,) = context.run(SENDS, {"peer": base_url})
    assert 0 < report["before"] * 2**18 < ON_THE_WAY
    assert HIGH_WATER < report["waiting"] <= HIGH_WATER + 2**18
    assert report["after"] <= HIGH_WATER
    assert report["count"] == report["before"] + 10


# A full queue


@asynccontextmanager
async def filled(base_url: str, *then: list[Any], **options: Any) -> AsyncIterator[tuple[Peer, Connection]]:
    """Open a connection to a peer that pushes more than anything can hold, and wait until its queue is full."""
    async with session(base_url, ["push", 500, "text", 2**16], *then) as peer:
        ws = await connect(peer.url, adapter=CPythonAdapter(**options))
        await full(ws)
        yield peer, ws


async def full(ws: Connection) -> None:
    """Wait until a queue is full."""
    while not ws._paused:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_full_queue_stops_the_clock_of_the_pong(base_url: str) -> None:
    """Contract section 3: while reading is paused the pong deadline stands still."""
    async with filled(base_url, ["echo"], ping_interval=0.1, ping_timeout=0.1) as (peer, ws):
        await peer.wait_for("ping")
        for number in range(500):
            if number in (0, 100, 200):
                await full(ws)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await ws.wait_closed()
            assert await ws.recv() == numbered(number, 2**16)
        await peer.wait_for("ping", 4)
        await ws.send("alive")
        assert await ws.recv() == "alive"
        await ws.close()


async def test_close_with_a_full_queue_does_not_wait_for_it(base_url: str) -> None:
    async with filled(base_url) as (peer, ws):
        began = time.monotonic()
        await ws.close(4000)
        assert time.monotonic() - began < AT_ONCE
        assert ws.close_code == 4000
        assert [record["code"] for record in await peer.wait_for("close")] == [4000]
        # What came before the close is there; what came behind it was dropped.
        messages = [message async for message in ws]
        assert messages == [numbered(number, 2**16) for number in range(len(messages))]
        assert 0 < len(messages) < 100


async def test_leaving_with_a_full_queue_does_not_wait_for_it(base_url: str) -> None:
    async with filled(base_url) as (_, ws):
        began = time.monotonic()
        async with ws:
            pass
        assert time.monotonic() - began < AT_ONCE
        assert (ws.close_code, ws.readyState) == (1000, WebSocket.CLOSED)


async def test_exception_that_leaves_with_a_full_queue_does_not_wait_for_it(base_url: str) -> None:
    async with filled(base_url) as (_, ws):
        began = time.monotonic()
        with pytest.raises(ZeroDivisionError, match="mine"):
            async with ws:
                raise ZeroDivisionError("mine")
        assert time.monotonic() - began < AT_ONCE
        assert (ws.close_code, ws.readyState) == (1000, WebSocket.CLOSED)


async def test_cancelled_with_a_full_queue_starts_the_close_and_does_not_wait(base_url: str) -> None:
    async with filled(base_url) as (_, ws):
        entered = asyncio.Event()

        async def use() -> None:
            async with ws:
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(use())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ws.readyState == WebSocket.CLOSING
        await ws.wait_closed()
        assert ws.close_code == 1000


async def test_close_with_a_full_queue_gives_up_a_peer_that_does_not_answer(base_url: str) -> None:
    async with filled(base_url, ["deaf"], close_timeout=0.2) as (_, ws):
        began = time.monotonic()
        await ws.close()
        assert time.monotonic() - began < AT_ONCE
        assert ws.close_code == 1006


async def test_send_goes_on_with_a_full_queue(base_url: str) -> None:
    async with filled(base_url) as (peer, ws):
        await ws.send("against the stream")
        assert [record["text"] for record in await peer.wait_for("message")] == ["against the stream"]
        await ws.close()
        with pytest.raises(ConnectionClosedOK):
            await ws.send("late")


async def test_connection_lost_with_a_full_queue_delivers_what_had_come(base_url: str) -> None:
    async with filled(base_url) as (peer, ws):
        await peer.close()  # which drops the connection
        messages: list[str] = []

        async def take_all() -> None:
            async for message in ws:
                messages.append(message)  # noqa: PERF401  and keep those that came before the exception

        with pytest.raises(ConnectionClosedError) as caught:
            await take_all()
        assert caught.value.code == 1006
        assert messages == [numbered(number, 2**16) for number in range(len(messages))]
        assert len(messages) >= 16
