"""One measurement of one client, in this process: `python bench/client.py JSON` prints what a message costs.

Each library is used as its documentation does it, with its default settings but for the size of
messages. A first run warms up, and tells how many rounds fill the time.
"""

import asyncio
import contextlib
import dataclasses
import gc
import inspect
import json
import os
import socket
import sys
import time
import urllib.parse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from traffic import BINARY, COMPRESSED, Message, messages, pin

LARGEST = 2**24  # bytes of a message
MOST_ROUNDS = 10**7

Close = Callable[[], Awaitable[Any]]

UPGRADE = """GET {} HTTP/1.1\r
Host: {}\r
Upgrade: websocket\r
Connection: Upgrade\r
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
Sec-WebSocket-Version: 13\r
\r
"""


@dataclasses.dataclass
class Job:
    """What is to be done, and the time that it took; times are in seconds."""

    server: str
    role: str
    kind: str
    size: int
    burst: int
    rounds: int
    wall: float = 0.0
    cpu: float = 0.0

    def __post_init__(self) -> None:
        self.url = f"{self.server}/{self.role}/{self.kind}/{self.size}/{self.burst}/{self.rounds}"
        self.count = self.burst * self.rounds
        self.messages: list[Message] = messages(self.kind, self.size, self.burst)
        self.go: Message = b"go" if self.kind == BINARY else "go"  # begins a flood

    def start(self) -> None:
        """Begin to count the time."""
        self.wall -= time.perf_counter()
        self.cpu -= time.process_time()

    def stop(self) -> None:
        """Stop counting."""
        self.cpu += time.process_time()
        self.wall += time.perf_counter()


class Awaiting:
    """Libraries with `async with connect(url) as ws`, `await ws.send(...)`, `async for message in ws`."""

    def __init__(self, connect: Callable[..., Any], **options: Any) -> None:
        self._connect = connect
        self._options = options

    def connect(self, job: Job) -> Any:
        return self._connect(job.url, **self._options)

    def sender(self, ws: Any, job: Job) -> Any:
        """Return what sends."""
        return ws.send

    async def exchange(self, job: Job) -> None:
        async with self.connect(job) as ws:
            send = self.sender(ws, job)
            answers = aiter(ws)
            job.start()
            for _ in range(job.rounds):
                for message in job.messages:
                    await send(message)
                await anext(answers)
            job.stop()

    async def receive(self, job: Job) -> None:
        left = job.count
        async with self.connect(job) as ws:
            send = self.sender(ws, job)
            job.start()
            await send(job.go)
            async for _ in ws:
                left -= 1
                if not left:
                    break
            job.stop()

    async def open(self, job: Job) -> Close:
        """Open a connection; returns what closes it."""
        ws = await self.connect(job)
        return ws.close  # type: ignore[no-any-return]


class Receiving(Awaiting):
    """The same, by `await ws.recv()`."""

    async def exchange(self, job: Job) -> None:
        async with self.connect(job) as ws:
            job.start()
            for _ in range(job.rounds):
                for message in job.messages:
                    await ws.send(message)
                await ws.recv()
            job.stop()

    async def receive(self, job: Job) -> None:
        async with self.connect(job) as ws:
            job.start()
            await ws.send(job.go)
            for _ in range(job.count):
                await ws.recv()
            job.stop()


class Aiohttp(Awaiting):
    """aiohttp, with one session for all connections."""

    session: Any = None

    def connect(self, job: Job) -> Any:
        if self.session is None:
            import aiohttp

            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        compress = 15 if job.kind in COMPRESSED else 0
        return self._connect(self.session, job.url, max_msg_size=LARGEST, compress=compress)

    def sender(self, ws: Any, job: Job) -> Any:
        return ws.send_bytes if job.kind == BINARY else ws.send_str


class Handlers:
    """unisocket's `WebSocket`, with its handlers; `ws.send()` is not waited for."""

    def __init__(self, websocket: Callable[[str], Any]) -> None:
        self.websocket = websocket

    async def exchange(self, job: Job) -> None:
        left = job.rounds
        ws = self.websocket(job.url)

        def burst() -> None:
            for message in job.messages:
                ws.send(message)

        def opened(event: Any) -> None:
            job.start()
            burst()

        def answered(event: Any) -> None:
            nonlocal left
            assert event.data
            left -= 1
            if left:
                burst()
            else:
                job.stop()
                ws.close()

        await self.run(ws, opened, answered)

    async def receive(self, job: Job) -> None:
        left = job.count
        ws = self.websocket(job.url)

        def opened(event: Any) -> None:
            job.start()
            ws.send(job.go)

        def received(event: Any) -> None:
            nonlocal left
            assert event.data  # which others are handed without asking
            left -= 1
            if not left:
                job.stop()
                ws.close()

        await self.run(ws, opened, received)

    async def run(self, ws: Any, opened: Callable[[Any], None], received: Callable[[Any], None]) -> None:
        """Set the handlers, and wait for the end."""
        closed = asyncio.get_running_loop().create_future()
        ws.onopen = opened
        ws.onmessage = received
        ws.onclose = closed.set_result
        event = await closed
        assert event.wasClean, event.code

    async def open(self, job: Job) -> Close:
        """Open a connection; returns what closes it."""
        ws = self.websocket(job.url)
        opened, closed = (asyncio.get_running_loop().create_future() for _ in range(2))
        ws.onopen = opened.set_result
        ws.onclose = closed.set_result
        await opened

        async def close() -> None:
            ws.close()
            await closed

        return close


class Picows:
    """picows, with its listener.

    Args:
        options: For its `ws_connect()`.
    """

    def __init__(self, **options: Any) -> None:
        self._options = options | {"max_frame_size": LARGEST}

    async def exchange(self, job: Job) -> None:
        from picows import WSFrame, WSListener, WSMsgType, WSTransport

        binary = job.kind == BINARY
        kind = WSMsgType.BINARY if binary else WSMsgType.TEXT

        class Listener(WSListener):
            left = job.rounds

            def burst(self, transport: WSTransport) -> None:
                for message in job.messages:
                    transport.send(kind, message if binary else message.encode())  # type: ignore[union-attr]

            def on_ws_connected(self, transport: WSTransport) -> None:
                job.start()
                self.burst(transport)

            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                if frame.msg_type == WSMsgType.TEXT:
                    frame.get_payload_as_utf8_text()
                elif frame.msg_type == WSMsgType.BINARY:
                    frame.get_payload_as_bytes()
                else:
                    return
                self.left -= 1
                if self.left:
                    self.burst(transport)
                else:
                    job.stop()
                    transport.send_close()

        await self.run(job, Listener)

    async def receive(self, job: Job) -> None:
        from picows import WSFrame, WSListener, WSMsgType, WSTransport

        class Listener(WSListener):
            left = job.count

            def on_ws_connected(self, transport: WSTransport) -> None:
                job.start()
                transport.send(WSMsgType.BINARY, b"go")

            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                if frame.msg_type == WSMsgType.TEXT:
                    frame.get_payload_as_utf8_text()
                elif frame.msg_type == WSMsgType.BINARY:
                    frame.get_payload_as_bytes()
                else:
                    return
                self.left -= 1
                if not self.left:
                    job.stop()
                    transport.send_close()

        await self.run(job, Listener)

    async def run(self, job: Job, listener: Any) -> None:
        """Connect, and wait for the end."""
        from picows import ws_connect

        transport, _ = await ws_connect(listener, job.url, **self._options)
        await transport.wait_disconnected()

    async def open(self, job: Job) -> Close:
        """Open a connection; returns what closes it."""
        from picows import WSListener, ws_connect

        transport, _ = await ws_connect(WSListener, job.url, **self._options)

        async def close() -> None:
            transport.send_close()
            await transport.wait_disconnected()

        return close


class Blocking:
    """Libraries that block the thread.

    Args:
        connect: Takes the URL.
        receive: The method's name.
    """

    def __init__(self, connect: Callable[[str], Any], receive: str = "recv") -> None:
        self._connect = connect
        self._receive = receive

    def exchange(self, job: Job) -> None:
        with contextlib.closing(self._connect(job.url)) as ws:
            receive = getattr(ws, self._receive)
            job.start()
            for _ in range(job.rounds):
                for message in job.messages:
                    ws.send(message)
                receive()
            job.stop()


class RawSocket:
    """A socket of Python's, without a WebSocket: it sends a frame that was made before, and looks at nothing.

    Whatever else blocks can only take longer.

    Args:
        url: Where one short message after the other is sent back.
    """

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(UPGRADE.format(parts.path, parts.netloc).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._socket.recv(4096)
        self._frame = b""

    def send(self, message: str) -> None:
        if not self._frame:
            # RFC 6455 section 5.2: FIN and text, masked by zeros
            self._frame = bytes((0x81, 0x80 | len(message), 0, 0, 0, 0)) + message.encode()
        self._socket.send(self._frame)

    def recv(self) -> bytes:
        return self._socket.recv(4096)

    def close(self) -> None:
        self._socket.close()


def contestant(name: str) -> Any:
    """Import a library, and return the way that it is used."""
    match name.removesuffix(" + uvloop"):
        case "websockets":
            import websockets.asyncio.client

            return Awaiting(websockets.asyncio.client.connect, max_size=LARGEST)
        case "unisocket":
            import unisocket

            return Handlers(unisocket.WebSocket)
        case "unisocket async for":
            import unisocket

            return Awaiting(unisocket.connect)
        case "unisocket recv()":
            import unisocket

            return Receiving(unisocket.connect)
        case "picows":
            return Picows()
        case "picows stock":
            return Picows(use_aiofastnet=False)
        case "aiohttp":
            import aiohttp

            return Aiohttp(aiohttp.ClientSession.ws_connect)
        case "websockets.sync":
            import websockets.sync.client

            return Blocking(websockets.sync.client.connect)
        case "unisocket.sync":
            import unisocket.sync

            return Blocking(lambda url: unisocket.sync.connect(url).__enter__())
        case "raw socket":
            return Blocking(RawSocket)
        case "websocket-client":
            import websocket

            return Blocking(websocket.create_connection)
        case "simple-websocket":
            import simple_websocket

            return Blocking(simple_websocket.Client, "receive")
        case _:
            raise LookupError(name)


async def open_each(client: Any, job: Job) -> None:
    """Open one connection after the other; closing does not count."""
    for _ in range(job.count):
        job.start()
        close = await client.open(job)
        job.stop()
        await close()


async def hold(client: Any, job: Job) -> float:
    """Open connections, and return how many KiB each takes; the first ones, which fill pools, do not count."""
    kept = [await client.open(job) for _ in range(job.count // 10)]
    before = resident()
    kept += [await client.open(job) for _ in range(job.count)]
    return (resident() - before) / job.count


def resident() -> float:
    """Return the memory of this process, in KiB."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1024


def measure(name: str, seconds: float, job: Job) -> dict[str, float]:
    """Return what each message, or connection, costs."""
    client = contestant(name)
    loops = None
    if name.endswith("uvloop"):
        import uvloop

        loops = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loops) as runner:

        def play(job: Job) -> None:
            action = {"echo": "exchange", "sink": "exchange", "flood": "receive"}.get(job.role)
            coroutine = getattr(client, action)(job) if action else open_each(client, job)
            if inspect.iscoroutine(coroutine):
                runner.run(coroutine)

        if job.role == "hold":
            return {"memory": runner.run(hold(client, job))}
        play(job)
        rounds = min(max(job.rounds, int(job.rounds * seconds / job.wall)), MOST_ROUNDS)
        job = dataclasses.replace(job, rounds=rounds, wall=0.0, cpu=0.0)
        play(job)
        return {"wall": job.wall / job.count, "cpu": job.cpu / job.count, "seconds": job.wall}


def main() -> None:
    """Measure what the first argument tells."""
    task = json.loads(sys.argv[1])
    pin(task["cpu"])
    costs = measure(task["contestant"], task["seconds"], Job(**task["job"]))
    print(json.dumps(costs), flush=True)
    os._exit(0)  # not to close what is held, nor to be told that it is not closed


if __name__ == "__main__":
    main()
