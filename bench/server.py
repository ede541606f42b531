"""The server of the benchmark, a process of its own: `python bench/server.py CPU` prints its port.

Never the bottleneck: a blocking socket in a thread for each connection, frames built beforehand, what
comes counted by its bytes, and no message looked into. Each line on its stdin is answered by the seconds
of CPU that it took to do what a path last asked for; at the end of stdin it ends.

A path is /role/kind/size/burst/rounds (`traffic.py` has the kinds):
    echo, sink  `rounds` times: takes `burst` messages, then answers with one, in echo of their size
    flood       after one message, whichever: sends burst * rounds
    mirror      sends one message of less than 64 KiB back, as it came
    open, hold  nothing
"""

import base64
import contextlib
import functools
import hashlib
import itertools
import json
import socket
import sys
import threading
import time
import zlib
from collections.abc import Iterator

from traffic import COMPRESSED, Message, messages, pin

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
CLOSE = b"\x88\x02\x03\xe8"
MASK = 4  # bytes of the masking key in what a client sends
BLOCK = 2**18  # bytes that are written, or read, at a time

cpu = 0.0


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Take down how much CPU this thread uses."""
    global cpu
    begin = time.thread_time()
    yield
    cpu = time.thread_time() - begin


def frame(message: Message, first: int | None = None) -> bytes:
    """Return the whole frame of a message (RFC 6455 section 5.2)."""
    payload = message.encode() if isinstance(message, str) else message
    if first is None:
        first = 0x81 if isinstance(message, str) else 0x82
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 2**16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


@functools.cache
def block(kind: str, size: int) -> tuple[bytes, list[int]]:
    """Return many frames in a row, and where each ends.

    Deflated frames may be repeated so: they refer to nothing before the first of them.
    """
    many = messages(kind, size, BLOCK // size or 1)
    if kind in COMPRESSED:
        deflate = zlib.compressobj(wbits=-15)
        flushed = (deflate.compress(str(m).encode()) + deflate.flush(zlib.Z_SYNC_FLUSH) for m in many)
        frames = [frame(data[:-4], 0xC1) for data in flushed]
    else:
        frames = [frame(message) for message in many]
    return b"".join(frames), list(itertools.accumulate(map(len, frames)))


def flood(connection: socket.socket, kind: str, size: int, burst: int, rounds: int) -> None:
    """Send as fast as the client takes it."""
    frames, ends = block(kind, size)
    connection.recv(BLOCK)
    whole, rest = divmod(burst * rounds, len(ends))
    with watched():
        for _ in range(whole):
            connection.sendall(frames)
        connection.sendall(frames[: ends[rest - 1]] if rest else b"")


def answer(connection: socket.socket, role: str, kind: str, size: int, burst: int, rounds: int) -> None:
    """Answer each burst of messages with one."""
    (message,) = messages(kind, size, 1)
    reply = frame(message if role == "echo" else "done")
    awaited = burst * (len(frame(message)) + MASK)
    with watched():
        for _ in range(rounds):
            if kind in COMPRESSED:
                skip_frames(connection, burst)
            else:
                skip(connection, awaited)
            connection.sendall(reply)


def mirror(connection: socket.socket) -> None:
    """Send one message back."""
    first, size = connection.recv(2, socket.MSG_WAITALL)
    size &= 127
    if size == 126:  # two bytes follow
        size = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
    mask = connection.recv(MASK, socket.MSG_WAITALL)
    payload = connection.recv(size, socket.MSG_WAITALL)
    plain = bytes(byte ^ key for byte, key in zip(payload, itertools.cycle(mask), strict=False))
    connection.sendall(frame(plain, first))


def skip(connection: socket.socket, size: int) -> None:
    """Read so many bytes."""
    buffer = bytearray(min(size, BLOCK))
    while size:
        read = connection.recv_into(buffer, min(size, BLOCK), socket.MSG_WAITALL)
        if not read:
            raise EOFError
        size -= read


def skip_frames(connection: socket.socket, count: int) -> None:
    """Read so many short frames, the last of them to its end."""
    data, position = b"", 0
    while count or position > len(data):
        # What was read ends in the middle of a frame, or within its first two bytes.
        rest = data[position:]
        position = max(position - len(data), 0)
        data = rest + receive(connection)
        last = len(data) - 1
        while count and position < last:
            position += 2 + MASK + (data[position + 1] & 127)
            count -= 1


def receive(connection: socket.socket) -> bytes:
    """Return what has come."""
    data = connection.recv(BLOCK)
    if not data:
        raise EOFError
    return data


def serve(connection: socket.socket) -> None:
    """Do what the path asks for, from the opening handshake to the end of TCP."""
    with connection, contextlib.suppress(OSError, EOFError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += receive(connection)
        lines = head.split(b"\r\n")
        _, role, kind, size, burst, rounds = lines[0].split()[1].decode().split("/")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID).digest())  # noqa: S324  RFC 6455
        response = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        response += [b"Sec-WebSocket-Accept: " + accept]
        if kind in COMPRESSED:
            assert b"permessage-deflate" in headers[b"sec-websocket-extensions"]
            response += [b"Sec-WebSocket-Extensions: permessage-deflate"]
        connection.sendall(b"\r\n".join(response) + b"\r\n\r\n")
        if role == "flood":
            flood(connection, kind, int(size), int(burst), int(rounds))
        elif role in ("echo", "sink"):
            answer(connection, role, kind, int(size), int(burst), int(rounds))
        elif role == "mirror":
            mirror(connection)
        connection.recv(BLOCK)  # the client's close frame
        connection.sendall(CLOSE)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(BLOCK):
            pass


def accept(listener: socket.socket) -> None:
    """Give each connection its thread."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


def main() -> None:
    """Serve until the end of stdin."""
    pin(json.loads(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    for _ in sys.stdin:
        print(cpu, flush=True)


if __name__ == "__main__":
    main()
