"""Servers that attack: their connection ends as the contract says, memory stays bounded, other sockets go on."""

import asyncio
import itertools
import random
import socket
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from fault_server import Fault, Peer, all_ends, echo, fault_server, opened, reply, rst

from unisocket import WebSocket
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing._wire import BINARY, CLOSE, CONTINUATION, PING, RSV1, TEXT, close_body, make_frame, make_head
from unisocket.testing.script import Recorder

KIB, MIB = 2**10, 2**20
MAX_SIZE = 256 * KIB  # of a message
MEMORY = 2 * MIB  # that a connection with messages of that size may take, with its server, which is here, too
TIMEOUT = 0.3  # where nothing else ends the opening, or the closing
LONGEST_TURN = 5.0  # seconds that another connection may have to wait, however slow the machine

CLOSE_FRAME = make_frame(CLOSE, close_body(4001))
CLOSED = [("open",), ("close", 4001, "", True)]
LOST: list[tuple[Any, ...]] = [("error",), ("close", 1006, "", False)]
OPENED_AND_LOST = [("open",), *LOST]


def endless(data: bytes) -> Fault:
    """Send the same for ever, until the client lets go."""

    async def fault(peer: Peer) -> None:
        while True:
            await peer.send(data)
            await asyncio.sleep(0)

    return fault


def shrink(transport: asyncio.Transport, buffer: int) -> None:
    """Let a buffer of the kernel be small, so that what it does not take can be seen."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, buffer, 4 * KIB)


async def pings_only(peer: Peer) -> None:
    """Send more pings than memory should hold pongs, and read none of these."""
    peer.transport.pause_reading()
    shrink(peer.transport, socket.SO_RCVBUF)
    pings = make_frame(PING, bytes(125)) * 100
    for _ in range(3 * MEMORY // 2 // len(pings)):
        await peer.send(pings)
        await asyncio.sleep(0)
    await rst(peer)


# A MiB of zeros, deflated, which may stand there many times in one message.
_compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
ZEROS = _compressor.compress(bytes(MIB)) + _compressor.flush(zlib.Z_FULL_FLUSH)
DEFLATE: dict[str, Any] = {"extensions": "permessage-deflate"}

GARBAGE = random.Random(1).randbytes(64 * KIB)  # noqa: S311  the same each time
NOTHING = bytes(64 * KIB)

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"

ATTACKS: dict[str, tuple[Fault, list[tuple[Any, ...]]]] = {
    "garbage_instead_of_an_answer": (endless(GARBAGE), LOST),
    "header_without_end": (reply(SWITCHING + b"X-Long: ", endless(b"x" * 64 * KIB)), LOST),
    "headers_without_end": (reply(SWITCHING, endless(b"X-Many: x\r\n" * 4 * KIB)), LOST),
    "lines_without_end": (reply(b"", endless(b"\r\n" * 4 * KIB)), LOST),
    "interim_responses_without_end": (reply(b"", endless(b"HTTP/1.1 103 Early Hints\r\n\r\n" * KIB)), LOST),
    "body_without_end": (reply(make_head("403 Forbidden", []), endless(NOTHING)), LOST),
    "body_of_2^62_bytes": (reply(make_head("403 Forbidden", [("Content-Length", str(2**62))]), endless(NOTHING)), LOST),
    "garbage": (opened(GARBAGE), OPENED_AND_LOST),
    "frame_of_2^62_bytes": (opened(make_frame(BINARY, b"", length=2**62), endless(NOTHING)), OPENED_AND_LOST),
    "frame_of_2^64_bytes": (opened(make_frame(BINARY, b"", length=2**64 - 1), endless(NOTHING)), OPENED_AND_LOST),
    "ping_of_2^62_bytes": (opened(make_frame(PING, b"", length=2**62), endless(NOTHING)), OPENED_AND_LOST),
    "fragments_without_end": (
        opened(make_frame(TEXT, b"", fin=False), endless(make_frame(CONTINUATION, bytes(4 * KIB), fin=False))),
        OPENED_AND_LOST,
    ),
    "compression_bomb": (opened(make_frame(BINARY, ZEROS * 256, rsv=RSV1), **DEFLATE), OPENED_AND_LOST),
    "compression_bomb_in_fragments": (
        opened(
            make_frame(BINARY, ZEROS, rsv=RSV1, fin=False),
            endless(make_frame(CONTINUATION, ZEROS, fin=False)),
            **DEFLATE,
        ),
        OPENED_AND_LOST,
    ),
    "pings_without_reading_pongs": (opened(b"", pings_only), OPENED_AND_LOST),
    "messages_after_the_close_frame": (opened(CLOSE_FRAME, endless(make_frame(TEXT, b"hello") * 1000)), CLOSED),
    "garbage_after_the_close_frame": (opened(CLOSE_FRAME, endless(GARBAGE)), CLOSED),
}


@contextmanager
def at_most(memory: int) -> Iterator[None]:
    """See that the block takes no more bytes at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def neighbour() -> AsyncIterator[Recorder]:
    """Keep another connection of the loop busy; at last see that it never had to wait."""
    turns: list[float] = []

    def take_turn(event: Any) -> None:
        turns.append(time.monotonic())
        asyncio.get_running_loop().call_later(0.005, websocket.send, "your turn")

    async with fault_server(echo) as url:
        websocket = WebSocket(url, onopen=take_turn, onmessage=take_turn)
        recorder = Recorder(websocket)
        await recorder.wait("message")
        yield recorder
        await recorder.wait("message", len(recorder.messages) + 2)
        websocket.close(1000)
        assert (await recorder.closed()) == ("close", 1000, "", True)
    assert max(later - earlier for earlier, later in itertools.pairwise(turns)) < LONGEST_TURN


@pytest.mark.parametrize(("fault", "events"), ATTACKS.values(), ids=ATTACKS)
async def test_attack_ends_its_own_connection_in_bounded_memory(fault: Fault, events: list[tuple[Any, ...]]) -> None:
    adapter = CPythonAdapter(max_size=MAX_SIZE, open_timeout=TIMEOUT, close_timeout=TIMEOUT)
    async with all_ends(), neighbour(), fault_server(fault) as url:
        with at_most(MEMORY):
            websocket = WebSocket(url, adapter=adapter)
            websocket.onopen = lambda event: shrink(websocket.raw.transport, socket.SO_SNDBUF)
            recorder = Recorder(websocket)
            await recorder.closed()
    assert recorder.events == events


async def test_bomb_against_the_default_limit_takes_little_more_than_that() -> None:
    """Contract section 6: there is a limit, not below 64 MiB."""
    bomb = make_frame(BINARY, ZEROS * 256, rsv=RSV1)
    async with all_ends(), neighbour(), fault_server(opened(bomb, **DEFLATE)) as url:
        with at_most(3 * 64 * MIB):
            recorder = Recorder(WebSocket(url))
            await recorder.closed()
    assert recorder.events == OPENED_AND_LOST


async def test_message_of_5000_fragments_of_one_byte_is_delivered() -> None:
    """RFC 6455 section 5.4 knows no limit but the size, which is small."""
    middle = make_frame(CONTINUATION, b"x", fin=False) * 4998
    fragments = make_frame(TEXT, b"x", fin=False) + middle + make_frame(CONTINUATION, b"x")
    async with all_ends(), neighbour(), fault_server(opened(fragments + CLOSE_FRAME)) as url:
        with at_most(MEMORY):
            recorder = Recorder(WebSocket(url, adapter=CPythonAdapter(max_size=5000)))
            await recorder.closed()
    assert recorder.events == [CLOSED[0], ("message", "x" * 5000), CLOSED[1]]
