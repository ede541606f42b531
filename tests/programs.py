"""Programs with coroutines, one text for every runtime, and what they print everywhere.

A program takes the URL of a peer and `say`, which prints. It uses what `unisocket` offers and
nothing of any runtime's own; what the peer does is its script. The transcript is written down
here: programs that are wrong in the same way everywhere must not pass.
"""

import json

from unisocket import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionFailedError,
    Event,
    TimeoutError,
    WebSocket,
    connect,
)
from unisocket.testing.script import Peer, numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from unisocket import Connection

    Say = Callable[..., None]
    Function = Callable[[str, Say], Coroutine[Any, Any, None]]
    Work = Callable[[], Coroutine[Any, Any, None]]


class Program:
    """A program.

    Attributes:
        name: Name of its function.
        function: Takes a URL and `say`.
        script: What the peer does with each of its connections.
        prints: What it prints, a line for each call of `say`, indented as it stands here.
    """

    def __init__(self, function: "Function", script: "list[list[Any]]", prints: str) -> None:
        self.name = function.__name__
        self.function = function
        self.script = script
        self.prints = prints


PROGRAMS: list[Program] = []

ECHO: "list[list[Any]]" = [["accept"], ["echo"]]


def program(*, script: "list[list[Any]]" = ECHO, prints: str) -> "Callable[[Function], Function]":
    """Make a function a program."""

    def add(function: "Function") -> "Function":
        PROGRAMS.append(Program(function, script, prints))
        return function

    return add


async def main(report: "Callable[[str], Any]", arguments: "Any") -> None:
    """Run programs: report the name of each before it runs, and its lines after it."""
    for program in PROGRAMS:
        if program.name in arguments["names"]:
            report(json.dumps([program.name, None]))
            report(json.dumps([program.name, await transcript(program, arguments["peer"])]))


async def transcript(program: Program, base_url: str) -> list[str]:
    """Run a program with a session of its own; return what it prints."""
    lines: list[str] = []

    def say(*values: "Any") -> None:
        lines.append(" ".join([str(value) for value in values]))

    peer = await Peer.open(base_url, WebSocket)
    await peer.script(*program.script)
    try:
        await program.function(peer.url, say)
    except Exception as error:
        say("raised", type(error).__name__, error)
    await peer.close()
    return lines


def beside(ws: "Connection", work: "Work") -> None:
    """Start a coroutine beside this one, as every runtime can: it handles an event."""

    async def handler(event: Event) -> None:
        await work()

    ws.websocket.addEventListener("begin", handler, once=True)
    ws.websocket.dispatchEvent(Event("begin"))


# Requests and responses


@program(
    prints="""
        one -> one
        two -> two
        three -> three
        closed with 1000
    """
)
async def request_and_response(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        for question in ("one", "two", "three"):
            await ws.send(question)
            say(question, "->", await ws.recv())
    say("closed with", ws.close_code)


@program(
    prints="""
        str 0 True
        str 12 True
        str 7 True
        bytes 0 True
        bytes 256 True
        bytes 2 True
        bytes 3 True
    """
)
async def every_kind_of_message(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        for text in ("", "h\u00e9llo \U0001f600\0", "a\ufeff\uffff"):
            await ws.send(text)
            answer = await ws.recv()
            say(type(answer).__name__, len(answer.encode()), answer == text)
        for data in (b"", bytes(range(256)), bytearray(b"ab"), memoryview(b"abcd")[1:]):
            await ws.send(data)
            answer = await ws.recv()
            say(type(answer).__name__, len(answer), answer == bytes(data))


@program(
    prints="""
        200 sent before the first answer
        200 answers, in order: True
    """
)
async def pipelining(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        for number in range(200):
            await ws.send("request %d" % number)
        say("200 sent before the first answer")
        answers: list[str] = []
        while len(answers) < 200:
            answers.append(await ws.recv())
        say(len(answers), "answers, in order:", answers == ["request %d" % number for number in range(200)])


@program(
    script=[
        ["accept"],
        ["read", 3],
        ["text", '{"id": 2, "sum": 22}'],
        ["text", '{"id": 0, "sum": 2}'],
        ["text", '{"id": 1, "sum": 12}'],
    ],
    prints="""
        call 0: 2
        call 1: 12
        call 2: 22
    """,
)
async def calls_answered_out_of_order(url: str, say: "Say") -> None:
    answers: dict[int, int] = {}

    async def answer_to(ws: "Connection", call: int) -> int:
        while call not in answers:
            answer = json.loads(await ws.recv())
            answers[answer["id"]] = answer["sum"]
        return answers.pop(call)

    async with connect(url) as ws:
        for call in range(3):
            await ws.send(json.dumps([call, "add", 10 * call + 1, 1]))
        for call in range(3):
            say("call %d:" % call, await answer_to(ws, call))


@program(
    prints="""
        1000 round trips
    """
)
async def ping_pong(url: str, say: "Say") -> None:
    trips = 0
    async with connect(url) as ws:
        await ws.send("ball")
        async for ball in ws:
            trips += 1
            if trips == 1000:
                await ws.close()
            else:
                await ws.send(ball)
    say(trips, "round trips")


# Producers and consumers


@program(
    script=[["accept"], ["push", 4, "text", 3], ["binary", "ff00"], ["close", 1000, "that is all"]],
    prints="""
        received 0..
        received 1..
        received 2..
        received 3..
        received b'\\xff\\x00'
        closed with 1000 that is all
        and nothing more
    """,
)
async def consumer(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        async for message in ws:
            say("received", message)
        say("closed with", ws.close_code, ws.close_reason)
        async for message in ws:
            say("received", message)
        say("and nothing more")


@program(
    script=[["accept"], ["read", 300], ["text", "300 received"], ["read_close"], ["close", 1000, "thank you"]],
    prints="""
        300 received
        closed with 1000 thank you
    """,
)
async def producer(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        for number in range(300):
            await ws.send("reading %d" % number)
        say(await ws.recv())
    say("closed with", ws.close_code, ws.close_reason)


@program(
    prints="""
        1000 there and back, in order: True
    """
)
async def producer_and_consumer_at_once(url: str, say: "Say") -> None:
    received = []
    async with connect(url) as ws:

        async def produce() -> None:
            for number in range(1000):
                await ws.send(str(number))

        beside(ws, produce)
        async for message in ws:
            received.append(message)
            if len(received) == 1000:
                await ws.close()
    say(len(received), "there and back, in order:", received == [str(number) for number in range(1000)])


@program(
    prints="""
        a: 100 in order: True
        b: 100 in order: True
    """
)
async def fan_in(url: str, say: "Say") -> None:
    numbers: dict[str, list[int]] = {"a": [], "b": []}
    async with connect(url + "/a") as a, connect(url + "/b") as b, connect(url + "/both") as both:

        def forward(source: "Connection", name: str) -> "Work":
            async def work() -> None:
                async for message in source:
                    await both.send(name + message)

            return work

        beside(a, forward(a, "a"))
        beside(b, forward(b, "b"))
        for number in range(100):
            await a.send(str(number))
            await b.send(str(number))
        for _ in range(200):
            message = await both.recv()
            numbers[message[0]].append(int(message[1:]))
    for name in ("a", "b"):
        say("%s: %d in order:" % (name, len(numbers[name])), numbers[name] == list(range(100)))


@program(
    prints="""
        both got hello 0: True
        both got hello 1: True
        both got hello 2: True
    """
)
async def fan_out(url: str, say: "Say") -> None:
    async with connect(url) as first, connect(url) as second:
        for number in range(3):
            news = "hello %d" % number
            for ws in (first, second):
                await ws.send(news)
            say("both got %s:" % news, (await second.recv(), await first.recv()) == (news, news))


@program(
    prints="""
        the coroutine received tick 4
        the handler heard tick 0, tick 1, tick 2, tick 3, tick 4
    """
)
async def handlers_beside_coroutines(url: str, say: "Say") -> None:
    heard: list[str] = []
    async with connect(url) as ws:
        ws.websocket.onmessage = lambda event: heard.append(event.data)
        for number in range(5):
            await ws.send("tick %d" % number)
            message = await ws.recv()
        say("the coroutine received", message)
    say("the handler heard", ", ".join(heard))


# Much


@program(
    script=[["accept"], ["push", 10000, "text", 16], ["close", 1000, ""]],
    prints="""
        10000 messages, in order: True
        the last: 9999............
    """,
)
async def ten_thousand_messages(url: str, say: "Say") -> None:
    count = 0
    in_order = True
    last = ""
    async with connect(url) as ws:
        async for message in ws:
            in_order = in_order and message == numbered(count, 16)
            count += 1
            last = message
    say(count, "messages, in order:", in_order)
    say("the last:", last)


def made(make: "Callable[[], Any]") -> "Any":
    """Make something large: MicroPython 1.28 may fail at first, and then have got itself the memory."""
    try:
        return make()
    except MemoryError:
        return make()


@program(
    prints="""
        16777216 bytes of text come back the same: True
        16777216 bytes come back the same: True
    """
)
async def sixteen_mebibytes(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        text = made(lambda: "0123456789abcdef" * 2**20)
        await ws.send(text)
        say(len(text), "bytes of text come back the same:", text == await ws.recv())
        data = made(lambda: bytes(range(256)) * 2**16)
        await ws.send(data)
        say(len(data), "bytes come back the same:", data == await ws.recv())


@program(
    script=[["accept"], ["stall"], ["sleep", 0.3], ["swallow"], ["read", 64], ["text", "64 received"]],
    prints="""
        more than 1 MiB in the buffer after a send(): False
        64 received
    """,
)
async def peer_that_is_slow(url: str, say: "Say") -> None:
    most = 0
    chunk = bytes(2**18)
    async with connect(url) as ws:
        for _ in range(64):
            await ws.send(chunk)
            most = max(most, ws.bufferedAmount)
        say("more than 1 MiB in the buffer after a send():", most > 2**20)
        say(await ws.recv())


# Time


@program(
    prints="""
        TimeoutError: no message within 0.05 s
        the answer came: True
        TimeoutError: no message within 0 s
    """
)
async def timeouts(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        try:
            await ws.recv(timeout=0.05)
        except TimeoutError as error:
            say("TimeoutError:", error)
        await ws.send("question")
        say("the answer came:", await ws.recv(timeout=10) == "question")
        try:
            await ws.recv(timeout=0)
        except TimeoutError as error:
            say("TimeoutError:", error)


@program(
    script=[["accept"], ["text", "1"], ["sleep", 0.1], ["text", "2"], ["sleep", 0.1], ["text", "3"]],
    prints="""
        1, 2, 3
        waited in vain: True
    """,
)
async def impatience_loses_nothing(url: str, say: "Say") -> None:
    messages: list[str] = []
    in_vain = 0
    async with connect(url) as ws:
        while len(messages) < 3:
            try:
                messages.append(await ws.recv(timeout=0.01))
            except TimeoutError:
                in_vain += 1
    say(", ".join(messages))
    say("waited in vain:", in_vain > 0)


# Failing, and trying again


@program(
    script=[],
    prints="""
        ConnectionFailedError: not open within 0.1 s
        in time for something else
    """,
)
async def server_that_never_answers(url: str, say: "Say") -> None:
    try:
        async with connect(url, open_timeout=0.1):
            say("open")
    except ConnectionFailedError as error:
        say("ConnectionFailedError:", error.message)
    say("in time for something else")


@program(
    script=[["http", 403]],
    prints="""
        no connection to the peer: True
        no connection to nobody: True
        no connection, for the URL is wrong: InvalidURLError
        no connection, for the subprotocol is wrong: InvalidProtocolError
    """,
)
async def four_ways_to_fail(url: str, say: "Say") -> None:
    for name, target in (("the peer", url), ("nobody", "ws://127.0.0.1:4/")):
        try:
            async with connect(target):
                say("open")
        except ConnectionFailedError as error:
            say("no connection to %s:" % name, error.url == target)
    for name, target, protocols in (("URL", "gopher://127.0.0.1/", []), ("subprotocol", url, ["a", "A"])):
        try:
            async with connect(target, protocols):
                say("open")
        except Exception as error:
            say("no connection, for the %s is wrong:" % name, type(error).__name__)


@program(
    script=[["accept"], ["read"], ["text", "half of the"], ["fin"]],
    prints="""
        attempt 1: half of the
        attempt 1: closed without a closing handshake, code 1006
        attempt 2: half of the
        attempt 2: closed without a closing handshake, code 1006
        attempt 3: half of the
        attempt 3: closed without a closing handshake, code 1006
        given up
    """,
)
async def reconnecting_by_hand(url: str, say: "Say") -> None:
    for attempt in range(1, 4):
        try:
            async with connect(url) as ws:
                await ws.send("the story, please")
                async for message in ws:
                    say("attempt %d:" % attempt, message)
                say("the end")
        except ConnectionClosedError as error:
            say("attempt %d:" % attempt, error)
    say("given up")


# Closing


@program(
    script=[["accept"], ["read", 100], ["read_close"], ["text", "late"], ["close", 4001, "100 received"]],
    prints="""
        received after the close: 0
        closed with 4001 100 received
        ConnectionClosedError: closed cleanly, code 4001 (100 received)
    """,
)
async def closing_with_messages_in_flight(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        for number in range(100):
            await ws.send("message %d" % number)
        await ws.close(4000, "enough")
        late = 0
        async for _ in ws:
            late += 1
        say("received after the close:", late)
        say("closed with", ws.close_code, ws.close_reason)
        try:
            await ws.send("too late")
        except ConnectionClosed as error:
            say(type(error).__name__ + ":", error)


@program(
    script=[["accept"], ["together", [["text", "1"], ["text", "2"], ["close", 4004, "no more"]]]],
    prints="""
        1
        2
        ConnectionClosedError 4004 no more True
        ConnectionClosedError 4004 no more True
    """,
)
async def closed_by_the_server_with_messages_in_flight(url: str, say: "Say") -> None:
    async with connect(url) as ws:
        await ws.wait_closed()
        for _ in range(2):
            try:
                async for message in ws:
                    say(message)
            except ConnectionClosed as error:
                say(type(error).__name__, error.code, error.reason, error.wasClean)


@program(
    script=[["accept"], ["read", 3], ["close", 1001, "going away"]],
    prints="""
        ConnectionClosedOK: closed cleanly, code 1001 (going away)
    """,
)
async def closed_by_the_server_while_we_send(url: str, say: "Say") -> None:
    data = bytes(2**16)
    async with connect(url) as ws:
        try:
            while True:
                await ws.send(data)
        except ConnectionClosed as error:
            say(type(error).__name__ + ":", error)


@program(
    prints="""
        received 1
        received 2
        stopping
        the loop has ended, closed with 4000
    """
)
async def stopped_from_elsewhere(url: str, say: "Say") -> None:
    async with connect(url) as ws:

        async def stop() -> None:
            say("stopping")
            await ws.close(4000, "enough")

        await ws.send("1")
        await ws.send("2")
        async for message in ws:
            say("received", message)
            if message == "2":
                beside(ws, stop)
        say("the loop has ended, closed with", ws.close_code)


@program(
    prints="""
        the second: another recv() of this connection waits for the next message
        the first: hello
        closed with 1000
    """
)
async def two_that_receive(url: str, say: "Say") -> None:
    async with connect(url) as ws:

        async def first() -> None:
            say("the first:", await ws.recv())
            await ws.close()

        async def second() -> None:
            try:
                await ws.recv()
            except ConcurrencyError as error:
                say("the second:", error)
            await ws.send("hello")

        beside(ws, first)
        beside(ws, second)
        await ws.wait_closed()
        say("closed with", ws.close_code)


@program(
    script=[["accept"], ["read_close"], ["close", 1000, "I saw you leave"]],
    prints="""
        KeyError
        closed with 1000 I saw you leave
        early
        closed with 1000 I saw you leave
    """,
)
async def leaving_in_a_hurry(url: str, say: "Say") -> None:
    left: list[Connection] = []

    async def fail() -> None:
        async with connect(url) as ws:
            left.append(ws)
            raise KeyError("nothing here")

    async def return_early() -> str:
        async with connect(url) as ws:
            left.append(ws)
            return "early"

    try:
        await fail()
    except KeyError as error:
        say(type(error).__name__)
    say("closed with", left[0].close_code, left[0].close_reason)
    say(await return_early())
    say("closed with", left[1].close_code, left[1].close_reason)
