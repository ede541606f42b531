"""Servers of the test's own loop that do one thing wrong each, on raw TCP."""

import asyncio
import functools
import os
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, cast

import pytest
import uvloop

from unisocket.testing._wire import (
    CLOSE,
    PONG,
    Frame,
    Request,
    make_frame,
    make_upgrade,
    take_frame,
    take_request,
)

__all__ = (
    "Fault",
    "Peer",
    "all_ends",
    "all_left",
    "asked",
    "blackhole",
    "closed_port",
    "deaf",
    "echo",
    "fault_server",
    "fin",
    "half_close",
    "opened",
    "reply",
    "resolve_with",
    "rst",
    "says",
    "stalled",
    "trickle",
)

PATIENCE = 3.0  # seconds that a client may take to let go of TCP

Fault = Callable[["Peer"], Coroutine[Any, Any, object]]


class Peer:
    """The server's end of one TCP connection, for a fault to play with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self.transport = cast(asyncio.Transport, writer.transport)  # which reads, too

    async def read(self) -> None:
        """Read what has come, or comes next.

        Raises:
            EOFError: The client has sent FIN.
        """
        data = await self._reader.read(2**16)
        if not data:
            raise EOFError
        self._buffer += data

    async def request(self) -> Request:
        """Read the head of a request."""
        while (request := take_request(self._buffer)) is None:
            await self.read()
        return request

    async def accept(self, then: bytes = b"", **options: Any) -> Request:
        """Accept the opening handshake, with more bytes in the same packet.

        The options, of the step "accept" of `unisocket.testing.peer`, bend the answer.
        """
        request = await self.request()
        await self.send(make_upgrade(request, options) + then)
        return request

    async def frame(self) -> Frame:
        """Read a frame."""
        while (frame := take_frame(self._buffer)) is None:
            await self.read()
        return frame

    async def close_code(self) -> int | None:
        """Read up to the client's close frame, and return its code."""
        while (frame := await self.frame()).opcode != CLOSE:
            pass
        return int.from_bytes(frame.payload[:2], "big") if frame.payload else None

    async def send(self, data: bytes) -> None:
        """Send bytes, as fast as the client takes them.

        Raises:
            OSError: The client has let go.
        """
        if self.transport.is_closing():
            raise ConnectionResetError  # uvloop would raise RuntimeError
        self._writer.write(data)
        await self._writer.drain()

    def taken(self) -> bytes:
        """Return what was read, and forget it."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    async def gone(self) -> None:
        """Wait until the client has let go of TCP."""
        while True:
            await self.read()
            self.taken()


@asynccontextmanager
async def fault_server(fault: Fault, scheme: str = "ws", **options: Any) -> AsyncIterator[str]:
    """Play a fault to all who connect, and give the URL; at last wait until all have let go of TCP.

    Args:
        fault: Is called with each connection; when it returns, whatever comes is read and ignored.
        scheme: Of the URL.
        **options: For `loop.create_server()`, or with "path" for `loop.create_unix_server()`.
    """
    peers: list[Peer] = []
    played: list[asyncio.Task[None]] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(Peer(reader, writer))
        played.append(asyncio.create_task(_play(fault, peers[-1])))

    if "path" in options:
        server = await asyncio.start_unix_server(connected, **options)
        host = "localhost"
    else:
        server = await asyncio.start_server(connected, **{"host": "127.0.0.1", "port": 0, **options})
        host = "{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield f"{scheme}://{host}"
        for peer in peers:
            peer.transport.resume_reading()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*played)
    finally:
        server.close()
        for peer in peers:
            peer.transport.abort()


async def _play(fault: Fault, peer: Peer) -> None:
    try:
        await fault(peer)
        await peer.gone()
    except (OSError, EOFError):
        pass  # the client has let go
    finally:
        peer.transport.abort()


# Faults, and what makes some


async def deaf(peer: Peer) -> None:
    """Read, but answer nothing."""


async def stalled(peer: Peer) -> None:
    """Read no more."""
    peer.transport.pause_reading()


async def fin(peer: Peer) -> None:
    """Send FIN after all else, and nothing more; over TLS without its goodbye."""
    if peer.transport.can_write_eof():
        peer.transport.write_eof()
    else:
        peer.transport.abort()


async def all_left(peer: Peer) -> None:
    """Wait until asyncio has nothing more to send; over TLS, there are two transports."""
    beneath = getattr(getattr(peer.transport, "_ssl_protocol", None), "_transport", peer.transport)
    while peer.transport.get_write_buffer_size() or beneath.get_write_buffer_size():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def half_close(peer: Peer) -> None:
    """Send FIN at once, whatever asyncio has still to send; over TLS without its goodbye."""
    with socket.socket(fileno=os.dup(peer.transport.get_extra_info("socket").fileno())) as raw:
        raw.shutdown(socket.SHUT_WR)


async def rst(peer: Peer) -> None:
    """Reset TCP, when all else is sent."""
    raw = peer.transport.get_extra_info("socket")
    # Closed with linger time 0, a socket is reset (socket(7), SO_LINGER).
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.transport.abort()


async def echo(peer: Peer) -> None:
    """Do nothing wrong at all."""
    await peer.accept()
    while (frame := await peer.frame()).opcode != CLOSE:
        if frame.opcode != PONG:
            await peer.send(make_frame(frame.opcode, frame.payload))
    await peer.send(make_frame(CLOSE, frame.payload))
    await fin(peer)


def says(data: bytes, end: Fault = deaf) -> Fault:
    """Send these bytes, asked or not."""

    async def fault(peer: Peer) -> None:
        await peer.send(data)
        await end(peer)

    return fault


def reply(data: bytes, end: Fault = deaf) -> Fault:
    """Answer the first request with these bytes."""

    async def fault(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await end(peer)

    return fault


def opened(data: bytes, end: Fault = deaf, **options: Any) -> Fault:
    """Accept the opening handshake, with these bytes in the same packet; options as for `Peer.accept()`."""

    async def fault(peer: Peer) -> None:
        await peer.accept(data, **options)
        await end(peer)

    return fault


def asked(data: bytes, end: Fault = deaf, **options: Any) -> Fault:
    """Accept the opening handshake, and send these bytes when a message has come."""

    async def fault(peer: Peer) -> None:
        await peer.accept(**options)
        await peer.frame()
        await peer.send(data)
        await end(peer)

    return fault


def trickle(data: bytes, pause: float) -> Fault:
    """Send a byte now and then."""

    async def fault(peer: Peer) -> None:
        for index in range(len(data)):
            await peer.send(data[index : index + 1])
            await asyncio.sleep(pause)

    return fault


@contextmanager
def closed_port() -> Iterator[str]:
    """Give the address of a port that refuses."""
    with socket.socket() as bound:  # but not listening
        bound.bind(("127.0.0.1", 0))
        yield "{}:{}".format(*bound.getsockname())


@contextmanager
def blackhole(host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Give the address of a port that drops every SYN, as Linux does when a backlog is full."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(2):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield "{}:{}".format(*server.getsockname())


def resolve_with(patch: pytest.MonkeyPatch, resolve: Callable[..., Any]) -> None:
    """Have names resolved by a function that takes the arguments of `socket.getaddrinfo()`, by uvloop's loops, too."""

    async def getaddrinfo(loop: asyncio.AbstractEventLoop, *arguments: Any, **options: Any) -> Any:
        return await loop.run_in_executor(None, functools.partial(resolve, *arguments, **options))

    patch.setattr(socket, "getaddrinfo", resolve)
    patch.setattr(uvloop.Loop, "getaddrinfo", getaddrinfo)


# Leaks


@asynccontextmanager
async def all_ends() -> AsyncIterator[None]:
    """See that the tasks and the sockets of the block end by themselves, soon after it."""
    tasks, sockets = asyncio.all_tasks(), _open_sockets()
    yield
    deadline = time.monotonic() + PATIENCE
    while left := [*(asyncio.all_tasks() - tasks), *(_open_sockets() - sockets)]:
        assert time.monotonic() < deadline, f"left over: {left}"
        await asyncio.sleep(0.001)


def _open_sockets() -> set[tuple[int, int]]:
    """The sockets of this process: file descriptor, and inode."""
    found = set()
    for name in os.listdir("/dev/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # what listed them
        if stat.S_ISSOCK(status.st_mode):
            found.add((int(name), status.st_ino))
    return found
