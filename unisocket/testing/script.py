"""What cases are written with: the client of the scripted peer, and a few helpers; on every runtime.

`python -m unisocket.testing.peer` starts the peer, on CPython.

    peer = await Peer.open("ws://127.0.0.1:8000", WebSocket)
    await peer.script(["accept"], ["text", "hello"], ["close", 4000, "bye"])
    recorder = Recorder(WebSocket(peer.url))
    equal(await recorder.closed(), ("close", 4000, "bye", True))
    equal(recorder.messages, ["hello"])
    await peer.close()
"""

import json

from unisocket._runtime import clock, default_adapter
from unisocket.testing.payloads import generated, numbered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, TypeVar

    from unisocket._websocket import WebSocket
    from unisocket.adapters import Future

    E = TypeVar("E", bound=BaseException)

__all__ = ("Peer", "PeerError", "Recorder", "equal", "generated", "now", "numbered", "raises", "raises_async")

# Of a value that is not what it should be.
SHOWN = 100  # characters or bytes
SHOWN_ITEMS = 20  # of a list


class PeerError(Exception):
    """The peer did not see what it was to wait for, was told nonsense, or is gone."""


class Peer:
    """A session with the scripted peer, over a WebSocket of its own.

    Args:
        base_url: What the peer printed: "ws://127.0.0.1:PORT".
        make: Makes a WebSocket from a URL.

    Attributes:
        url: Where the connections under test go; a path and a query may follow it.
    """

    def __init__(self, base_url: str, make: "Callable[[str], WebSocket]") -> None:
        self.url = ""
        self._answers: dict[int, Future] = {}
        self._asked = 0
        self._over = False
        self._closed = default_adapter().runtime().future()
        self._websocket = make(base_url + "/control")
        self._websocket.addEventListener("message", self._on_message)
        self._websocket.addEventListener("close", self._on_close)

    @classmethod
    async def open(cls, base_url: str, make: "Callable[[str], WebSocket]") -> "Peer":
        """Begin a session.

        Raises:
            PeerError: There is no peer.
        """
        peer = cls(base_url, make)
        # The peer speaks first: it answers a question, number 0, that nobody asked.
        peer.url = base_url + "/peer/" + await peer._answer(0)
        return peer

    async def script(self, *steps: "list[Any]") -> None:
        """Say what every following connection does, from its request on.

        Args:
            *steps: Each is ["name", argument...], as the methods of `peer.Steps` have them. Until
                this is called they are ["accept"], ["echo"].

        Raises:
            PeerError: Something is no step.
        """
        await self._ask("script", steps)

    async def do(self, *steps: "list[Any]") -> None:
        """Run steps on the newest connection; return when they have run.

        They do not wait for the script, but for a connection, if there is none.

        Raises:
            PeerError: Something is no step, or failed, or no connection came within 10 s.
        """
        await self._ask("do", steps)

    async def seen(self) -> "list[dict[str, Any]]":
        """Return the records of the session so far: `peer.Session.record` says what is in them."""
        records: list[dict[str, Any]] = await self._ask("seen")
        return records

    async def wait_for(self, kind: str, count: int = 1, timeout: float = 10) -> "list[dict[str, Any]]":
        """Return the records of a kind, as soon as there are that many.

        Raises:
            PeerError: There are fewer after `timeout` seconds.
        """
        records: list[dict[str, Any]] = await self._ask("wait_for", kind, count, timeout)
        return records

    async def close(self) -> None:
        """End the session; the peer drops the connections that are left."""
        self._websocket.close(1000)
        await self._closed

    async def _ask(self, question: str, *arguments: "Any") -> "Any":
        self._asked += 1
        self._websocket.send(json.dumps({"id": self._asked, "ask": question, "arguments": arguments}))
        return await self._answer(self._asked)

    async def _answer(self, number: int) -> "Any":
        if self._over:
            raise PeerError("the control connection is closed")
        answer = self._answers[number] = default_adapter().runtime().future()
        reply = await answer
        if "error" in reply:
            raise PeerError(reply["error"])
        return reply["result"]

    def _on_message(self, event: "Any") -> None:
        reply = json.loads(event.data)
        self._answers.pop(reply["id"]).set_result(reply)

    def _on_close(self, event: "Any") -> None:
        self._over = True
        for answer in self._answers.values():
            answer.set_result({"error": "the control connection closed with " + str(event.code)})
        self._closed.set_result(None)


class Recorder:
    """Records every event of a WebSocket, from its construction on.

    Attributes:
        events: ("open",), ("message", data), ("error",) and ("close", code, reason, wasClean), in order.
        states: The readyState in each.
    """

    def __init__(self, websocket: "WebSocket") -> None:
        self.events: list[tuple[Any, ...]] = []
        self.states: list[int] = []
        self._counts = {"open": 0, "message": 0, "error": 0, "close": 0}
        self._waiting: list[tuple[str, int, Future]] = []
        for type in self._counts:
            websocket.addEventListener(type, self._record)

    @property
    def types(self) -> "list[str]":
        """The types of the events."""
        return [event[0] for event in self.events]

    @property
    def messages(self) -> "list[Any]":
        """The data of the messages."""
        return [event[1] for event in self.events if event[0] == "message"]

    async def wait(self, type: str, count: int = 1, timeout: float = 15) -> "tuple[Any, ...]":
        """Return the first event of a type, or the one that `count` says, as soon as it has come.

        Raises:
            AssertionError: It has not come after `timeout` seconds.
        """
        if self._counts[type] < count:
            runtime = default_adapter().runtime()
            come = runtime.future()
            waiter = (type, count, come)
            self._waiting.append(waiter)
            timer = runtime.later(timeout, lambda: come.set_result(None))
            try:
                await come
            finally:
                timer.cancel()
                self._waiting.remove(waiter)
        found = [event for event in self.events if event[0] == type]
        if len(found) < count:
            raise AssertionError("not %d %s within %s s, but %s" % (count, type, timeout, _shown(self.events)))
        return found[count - 1]

    async def closed(self, timeout: float = 15) -> "tuple[Any, ...]":
        """Return ("close", code, reason, wasClean), as soon as it has come."""
        return await self.wait("close", 1, timeout)

    def _record(self, event: "Any") -> None:
        if event.type == "message":
            self.events.append(("message", event.data))
        elif event.type == "close":
            self.events.append(("close", event.code, event.reason, event.wasClean))
        else:
            self.events.append((event.type,))
        self.states.append(event.target.readyState)
        self._counts[event.type] += 1
        for type, count, come in self._waiting:
            if self._counts[type] >= count:
                come.set_result(None)


def now() -> float:
    """Return milliseconds of a clock that never goes back."""
    return float(clock())


def equal(actual: "Any", expected: "Any", what: str = "") -> None:
    """Assert that two values are equal; `what` says of what.

    Examples:
        >>> equal(1 + 1, 3, "the sum")
        Traceback (most recent call last):
        AssertionError: the sum: 2, not 3
    """
    if actual != expected:
        raise AssertionError((what + ": " if what else "") + _shown(actual) + ", not " + _shown(expected))


def raises(error_class: "type[E]", function: "Callable[[], Any]") -> "E":
    """Assert that a function raises, and return the exception."""
    try:
        function()
    except error_class as error:
        return error
    raise AssertionError("no " + error_class.__name__)


async def raises_async(error_class: "type[E]", coroutine: "Coroutine[Any, Any, Any]") -> "E":
    """Assert that a coroutine raises, and return the exception."""
    try:
        await coroutine
    except error_class as error:
        return error
    raise AssertionError("no " + error_class.__name__)


def _shown(value: "Any") -> str:
    """What to tell of a value, which may be a message of megabytes, or many of them."""
    if isinstance(value, (list, tuple)):
        items = ", ".join([_shown(item) for item in value[:SHOWN_ITEMS]])
        text = "[" + items + "]" if isinstance(value, list) else "(" + items + ")"
        return text if len(value) <= SHOWN_ITEMS else text + "... (%d in all)" % len(value)
    if isinstance(value, (str, bytes, bytearray, memoryview)) and len(value) > SHOWN:
        return repr(value[:SHOWN]) + "... (%d in all)" % len(value)
    return repr(value)
