"""The scripted peer: a real server on loopback that keeps, or breaks, every rule on demand (CPython).

    python -m unisocket.testing.peer [--host 127.0.0.1] [--port 0]

prints one line of JSON, {"url": "ws://127.0.0.1:PORT"}, and serves until its standard input ends, so
that it cannot outlive whoever started it. `unisocket.testing.script.Peer` is its client, on every runtime.

    /control                    A WebSocket whose JSON messages script and question the peer. One control
                                connection is one session: when it ends, so does all that belongs to it.
    /peer/<session>[/...][?...] The connections under test, which play the session's script.

A script is a list of steps, `["name", argument...]`; class `Steps` is their vocabulary. While it runs the
peer answers pings, keeps messages for later steps, and leaves a close frame unanswered. A script that
ends leaves the connection as after ["swallow"], unless it chose ["echo"], ["deaf"] or ["stall"].

All that a session's clients do is recorded; see `Session.record`.
"""

import argparse
import asyncio
import hashlib
import inspect
import json
import os
import secrets
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from unisocket.testing._endpoint import Endpoint, Link, Message, Signal
from unisocket.testing._wire import (
    BINARY,
    CLOSE,
    MAX_MESSAGE_BYTES,
    PING,
    PONG,
    TEXT,
    Frame,
    Request,
    broken_request_rules,
    close_body,
    encode,
    make_frame,
    make_response,
)
from unisocket.testing.payloads import generated, numbered

Step = list[Any]

KINDS = {"text": TEXT, "binary": BINARY}
MAX_RECORDS = 10_000  # of a session; the oldest are forgotten, but still counted
SHOWN = 256  # bytes of a payload, or characters of a text, in a record
PUSH_BYTES = 64 * 1024  # what "push" writes at a time
CONNECTION_SECONDS = 10.0  # for the connection that "do" is meant for


# The connections under test.


class Manners(NamedTuple):
    """How a connection treats what comes in, between and beside its steps."""

    echoes: bool = False
    keeps: bool = False  # messages, for a later step to echo
    pongs: bool = False
    closes: bool = False  # answers a close frame


SCRIPTED = Manners(keeps=True, pongs=True)
ECHO = Manners(echoes=True, pongs=True, closes=True)
SWALLOW = Manners(pongs=True, closes=True)
DEAF = Manners()
STALLED = Manners(keeps=True)


class GoneError(Exception):
    """A step waits for something that a connection that is over will not bring."""


class Connection(Endpoint):
    """A connection under test: plays the script of its session, and records what the client does."""

    def __init__(self, link: Link, request: Request, session: "Session", number: int) -> None:
        super().__init__(link, request)
        self._session = session
        self._number = number
        self._manners = SCRIPTED
        self._arrived = 0  # messages
        self._taken = 0  # of these, by "read"
        self._kept: deque[Message] = deque()  # the newest of them, for a later echo
        self._kept_bytes = 0
        self._change = Signal()
        self.begun = False  # whether the script has had the first turn
        self.over = False

    # What the steps build on

    async def play(self, steps: list[Step]) -> None:
        """Run steps, one after another; each that sends waits until there is room to write."""
        vocabulary = Steps(self)
        for name, *arguments in steps:
            played = getattr(vocabulary, name)(*arguments)
            if inspect.isawaitable(played):
                await played
            else:
                for chunk in played:
                    await self.link.drained()
                    self.link.write(chunk)

    def behave(self, manners: Manners) -> None:
        """Treat the client otherwise from now on, and make up for what has come already."""
        self._manners = manners
        while self._kept and not manners.keeps:
            message = self._take_kept()
            if manners.echoes:
                self._echo(message)
        if manners.closes and self.close_received is not None:
            self.answer_close()
        if manners == STALLED:
            self.link.hold("stall")
        else:
            self.link.release("kept")
            self.link.release("stall")

    def hold_close(self) -> None:
        """Leave the client's close frame to the steps."""
        self._manners = self._manners._replace(closes=False)

    async def take_message(self) -> None:
        """Wait for a message that no other step has waited for."""
        await self.until(lambda: self._arrived > self._taken)
        self._taken += 1
        if len(self._kept) > self._arrived - self._taken:
            self._take_kept()
            if self._kept_bytes <= MAX_MESSAGE_BYTES:
                self.link.release("kept")

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for the client to bring a condition about."""
        await self._change.until(lambda: condition() or self.over)
        if not condition():
            raise GoneError(f"connection {self._number} is over")

    async def ended(self) -> None:
        """Wait until TCP is over."""
        await self._change.until(lambda: self.over)

    # What happens

    def on_begin(self) -> None:
        """Record the request, and play the script."""
        self._record("request", path=self.request.target, headers=self.request.headers)
        for what in broken_request_rules(self.request):
            self.on_violation(what)
        self._session.start(self._play_script(self._session.script))

    def on_frame(self, frame: Frame) -> None:
        """Record it."""
        self._record(
            "frame",
            opcode=frame.opcode,
            fin=frame.fin,
            rsv=frame.rsv,
            masked=frame.masked,
            **shown_bytes(frame.payload),
        )

    def on_violation(self, what: str) -> None:
        """Record it, and bear it."""
        self._record("violation", what=what)

    def on_message(self, message: Message) -> None:
        """Record it, and treat it according to our manners, as all that follows."""
        shown = shown_text if message.opcode == TEXT else shown_bytes
        self._record("message", type="text" if message.opcode == TEXT else "binary", **shown(message.data))
        self._arrived += 1
        if self._manners.echoes:
            self._echo(message)
        elif self._manners.keeps:
            self._kept.append(message)
            self._kept_bytes += len(message.data)
            if self._kept_bytes > MAX_MESSAGE_BYTES:
                self.link.hold("kept")
        self._change.fire()

    def on_ping(self, payload: bytes) -> None:
        """Record it, and answer or not."""
        self._record("ping", **shown_bytes(payload))
        if self._manners.pongs and not self.close_sent:
            self.link.answer(make_frame(PONG, payload))

    def on_pong(self, payload: bytes) -> None:
        """Record it."""
        self._record("pong", **shown_bytes(payload))

    def on_close(self) -> None:
        """Record it, and answer or not."""
        body = self.close_received or b""
        code = int.from_bytes(body[:2], "big") if len(body) > 1 else None
        self._record("close", code=code, reason=body[2:].decode("utf-8", "replace"))
        if self._manners.closes:
            self.answer_close()
        self._change.fire()

    def on_eof(self) -> None:
        """Record it."""
        self._record("eof")

    def on_reset(self) -> None:
        """Record it."""
        self._record("reset")

    def on_lost(self) -> None:
        """Leave the session."""
        self.over = True
        self._change.fire()
        self._session.leave(self)

    # Details

    async def _play_script(self, steps: list[Step]) -> None:
        self.begun = True
        self._session.wake()
        try:
            await self.play(steps)
        except GoneError:
            pass
        except Exception as error:
            self._record("error", what=f"{type(error).__name__}: {error}")
        if self._manners == SCRIPTED:
            self.behave(SWALLOW)

    def _echo(self, message: Message) -> None:
        # No data after a close frame (RFC 6455 section 5.5.1).
        if not self.close_sent:
            self.link.answer(make_frame(message.opcode, message.data))

    def _take_kept(self) -> Message:
        message = self._kept.popleft()
        self._kept_bytes -= len(message.data)
        return message

    def _record(self, kind: str, **facts: Any) -> None:
        self._session.record(kind, connection=self._number, **facts)


def shown_bytes(data: bytes) -> dict[str, Any]:
    """Return what a record tells of a payload."""
    digest = hashlib.sha256(data).hexdigest()
    return {"hex": data[:SHOWN].hex(), "length": len(data), "sha256": digest}


def shown_text(data: bytes) -> dict[str, Any]:
    """Return what a record tells of a text."""
    # A character has at most four bytes.
    return {"text": data[: 4 * SHOWN].decode("utf-8", "replace")[:SHOWN], **shown_bytes(data)}


class Steps:
    """The vocabulary of scripts: a public method is a step, its arguments the rest of the list.

    Generators yield the bytes that a step sends; coroutines do something else.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def accept(self, options: dict[str, Any] | None = None) -> Iterator[bytes]:
        """Accept the opening handshake.

        Options, all of them optional: "protocol", "extensions", "accept" (a wrong Sec-WebSocket-Accept),
        "status" ("101 Fine"), "headers" (pairs that are added; a value of null takes the header out).
        """
        yield self._connection.accept(options or {})

    def raw(self, data: str) -> Iterator[bytes]:
        """Send bytes, given in hex, as they stand."""
        yield bytes.fromhex(data)

    def text(self, data: str) -> Iterator[bytes]:
        """Send a text message."""
        yield make_frame(TEXT, encode(data))

    def binary(self, data: str) -> Iterator[bytes]:
        """Send a binary message, given in hex."""
        yield make_frame(BINARY, bytes.fromhex(data))

    def frame(self, opcode: int, data: str, options: dict[str, Any] | None = None) -> Iterator[bytes]:
        """Send a frame, its payload in hex; options "fin", "masked", "rsv" (0 to 7), "length" (declared)."""
        if opcode == CLOSE:
            self._connection.close_sent = True
        yield make_frame(opcode, bytes.fromhex(data), **(options or {}))

    def push(self, count: int, kind: str, size: int) -> Iterator[bytes]:
        """Send `count` messages of `size` bytes, `payloads.numbered`, many to a packet."""
        batch = bytearray()
        for number in range(count):
            batch += make_frame(KINDS[kind], numbered(number, size).encode())
            if len(batch) >= PUSH_BYTES:
                yield bytes(batch)
                batch.clear()
        yield bytes(batch)

    def send(self, kind: str, size: int) -> Iterator[bytes]:
        """Send one big message, `payloads.generated`."""
        data = generated(kind, size)
        yield make_frame(KINDS[kind], data.encode() if isinstance(data, str) else data)

    def ping(self, data: str = "") -> Iterator[bytes]:
        """Send a ping, its payload in hex."""
        yield make_frame(PING, bytes.fromhex(data))

    def pong(self, data: str = "") -> Iterator[bytes]:
        """Send a pong that nobody asked for, its payload in hex."""
        yield make_frame(PONG, bytes.fromhex(data))

    def close(self, code: int | None = None, reason: str = "") -> Iterator[bytes]:
        """Send a close frame; without a code, an empty one."""
        yield self._connection.close_frame(close_body(code, reason))

    def bad_close(self, body: str) -> Iterator[bytes]:
        """Send a close frame with a body of any bytes, in hex."""
        yield self._connection.close_frame(bytes.fromhex(body))

    def together(self, steps: list[Step]) -> Iterator[bytes]:
        """Send the bytes of several steps in one write."""
        yield b"".join(chunk for name, *arguments in steps for chunk in getattr(self, name)(*arguments))

    async def http(self, status: int, headers: list[list[str]] | None = None, body: str = "") -> None:
        """Answer without an upgrade, and end TCP."""
        pairs = [(name, value) for name, value in headers or []]
        self._connection.link.write(make_response(status, pairs, body))
        self._connection.link.fin()

    async def echo(self) -> None:
        """From now on echo every message, answer pings, and answer the close frame with its code and FIN."""
        self._connection.behave(ECHO)

    async def swallow(self) -> None:
        """From now on do as after "echo", but echo nothing."""
        self._connection.behave(SWALLOW)

    async def deaf(self) -> None:
        """From now on read, but answer nothing, not even a close frame or FIN."""
        self._connection.behave(DEAF)

    async def stall(self) -> None:
        """Stop reading; "echo", "swallow" and "deaf" go on."""
        self._connection.behave(STALLED)

    async def read(self, count: int = 1) -> None:
        """Go on when that many messages have come that no earlier "read" has counted."""
        for _ in range(count):
            await self._connection.take_message()

    async def read_close(self) -> None:
        """Go on when a close frame has come, which stays unanswered until "echo", "swallow" or "finish"."""
        self._connection.hold_close()
        await self._connection.until(lambda: self._connection.close_received is not None)

    async def finish(self) -> None:
        """Answer a close frame that has come, send FIN, and go on when TCP is over."""
        if self._connection.close_received is not None:
            self._connection.answer_close()
        self._connection.link.fin()
        await self._connection.ended()

    async def fin(self) -> None:
        """Send FIN, with or without a closing handshake."""
        self._connection.link.fin()

    async def rst(self) -> None:
        """Reset TCP, now."""
        self._connection.link.reset()

    async def sleep(self, seconds: float) -> None:
        """Go on after a while."""
        await asyncio.sleep(seconds)


def check(steps: list[Step], *, together: bool = False) -> None:
    """Raise ValueError if something is no step, before any of them runs."""
    for step in steps:
        if not isinstance(step, list) or not step or not isinstance(step[0], str):
            raise ValueError(f'{step!r} is not a step: ["name", argument...]')
        name, *arguments = step
        method = vars(Steps).get(name)
        if method is None or name.startswith("_"):
            raise ValueError(f"{name!r} is not the name of a step")
        if together and not inspect.isgeneratorfunction(method):
            raise ValueError(f"{name!r} sends no bytes that could go with others")
        try:
            inspect.signature(method).bind(None, *arguments)
        except TypeError as error:
            raise ValueError(f"{step!r}: {error}") from error
        if name == "together":
            check(arguments[0], together=True)


# The control connections.


class Session(Endpoint):
    """One control connection, and all that it controls."""

    def __init__(self, link: Link, request: Request, sessions: "dict[str, Session]") -> None:
        super().__init__(link, request)
        self.script: list[Step] = [["accept"], ["echo"]]
        self._sessions = sessions
        self._name = secrets.token_hex(8)
        self._connections: list[Connection] = []  # those not over yet, in order
        self._opened = 0
        self._records: deque[dict[str, Any]] = deque(maxlen=MAX_RECORDS)
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = Signal()

    def connect(self, link: Link, request: Request) -> Connection:
        """Make a connection under test."""
        self._opened += 1
        connection = Connection(link, request, self, self._opened)
        self._connections.append(connection)
        return connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        self._connections.remove(connection)

    def record(self, kind: str, **facts: Any) -> None:
        """Record what a client did, with the number of its connection, from 1.

        request    path (with the query), headers ([name, value] pairs)
        frame      opcode, fin, rsv, masked, and of the payload: hex (its first 256 bytes), length, sha256
        message    type ("text" or "binary"), text (its first 256 characters; only of a text), hex, length, sha256
        ping pong  hex, length, sha256
        close      code (null if there is none), reason
        eof        the client sent FIN
        reset      the client reset TCP
        violation  what: a rule of RFC 6455 or RFC 7692 that the client broke
        error      what: a mistake in the script
        """
        self._records.append({"kind": kind, **facts})
        self._counts[kind] += 1
        self.wake()

    def wake(self) -> None:
        """Let those who wait look again."""
        self._change.fire()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as long as the session lasts."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on_begin(self) -> None:
        """Accept, and tell the session's name."""
        self._sessions[self._name] = self
        self.link.write(self.accept({}))
        self._reply({"id": 0, "result": self._name})

    def on_message(self, message: Message) -> None:
        """Answer a question, while others wait for theirs."""
        self.start(self._answer(json.loads(message.data)))

    def on_violation(self, what: str) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        self.link.write(self.close_frame(close_body(1002, what[:100])))
        self.link.fin()

    def on_lost(self) -> None:
        """End all that belongs to the session."""
        del self._sessions[self._name]
        for connection in self._connections:
            connection.link.abort()
        for task in self._tasks:
            task.cancel()

    async def _answer(self, request: dict[str, Any]) -> None:
        questions: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
            "script": self._script,
            "do": self._do,
            "seen": self._seen,
            "wait_for": self._wait_for,
        }
        try:
            result = await questions[request["ask"]](*request["arguments"])
        except Exception as error:
            self._reply({"id": request["id"], "error": f"{type(error).__name__}: {error}"})
        else:
            self._reply({"id": request["id"], "result": result})

    async def _script(self, steps: list[Step]) -> None:
        check(steps)
        self.script = steps

    async def _do(self, steps: list[Step]) -> None:
        check(steps)
        try:
            async with asyncio.timeout(CONNECTION_SECONDS):
                await self._change.until(lambda: self._connections and self._connections[-1].begun)
        except TimeoutError:
            raise TimeoutError(f"no connection within {CONNECTION_SECONDS:g} s") from None
        await self._connections[-1].play(steps)

    async def _seen(self) -> list[dict[str, Any]]:
        return list(self._records)

    async def _wait_for(self, kind: str, count: int, seconds: float) -> list[dict[str, Any]]:
        try:
            async with asyncio.timeout(seconds):
                await self._change.until(lambda: self._counts[kind] >= count)
        except TimeoutError:
            seen = ", ".join(f"{n} {kind}" for kind, n in self._counts.items()) or "nothing"
            raise TimeoutError(f"not {count} {kind} within {seconds:g} s; seen: {seen}") from None
        return [record for record in self._records if record["kind"] == kind]

    def _reply(self, reply: dict[str, Any]) -> None:
        # Not as escapes: MicroPython does not join those of surrogate pairs.
        self.link.write(make_frame(TEXT, json.dumps(reply, ensure_ascii=False).encode()))


# The server.


class Router:
    """Knows the sessions, and which endpoint a request is for."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def route(self, link: Link, request: Request) -> Endpoint | None:
        """Return the endpoint of a request; None if it was answered."""
        path, _, _ = request.target.partition("?")
        _, folder, *rest = [*path.split("/"), ""]
        session = self._sessions.get(rest[0]) if folder == "peer" else None
        if session is not None:
            return session.connect(link, request)
        if path == "/control":
            if not any(broken_request_rules(request)):
                return Session(link, request, self._sessions)
            response = make_response(426, [("Upgrade", "websocket")], "a WebSocket is expected here")
        elif path == "/":
            response = make_response(200, [("Content-Type", "text/plain")], "unisocket peer")
        else:
            response = make_response(404, [], "no such session")
        link.write(response)
        link.fin()
        return None


async def serve(host: str, port: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    router = Router()
    server = await loop.create_server(lambda: Link(router.route), host, port, backlog=4096)
    address = f"[{host}]" if ":" in host else host
    print(json.dumps({"url": f"ws://{address}:{server.sockets[0].getsockname()[1]}"}), flush=True)  # noqa: T201

    def watch_stdin() -> None:
        # A thread, for an event loop cannot watch every kind of standard input.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=watch_stdin, daemon=True).start()
    await stopped.wait()
    server.close()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m unisocket.testing.peer", description="The scripted peer.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 for any that is free")
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
