"""What the cases of several topics do: script the peer, connect, record."""

from unisocket._runtime import default_adapter
from unisocket.testing.script import Recorder, equal, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unisocket._websocket import WebSocket
    from unisocket.testing.conformance._case import Connect
    from unisocket.testing.script import Peer

# The end of a connection that was lost, or failed.
LOST = [("error",), ("close", 1006, "", False)]

# A peer that closes after its last step, and means well.
GOODBYE = ["close", 1000, ""]


async def open_socket(
    connect: "Connect", peer: "Peer", *steps: "list[Any]", **options: "Any"
) -> "tuple[WebSocket, Recorder]":
    """Connect to a peer that accepts and then takes steps; return the socket, open, and its recorder."""
    await peer.script(["accept"], *steps)
    websocket = connect(peer.url, **options)
    recorder = Recorder(websocket)
    await recorder.wait("open")
    return websocket, recorder


async def record(connect: "Connect", peer: "Peer", *script: "list[Any]", **options: "Any") -> Recorder:
    """Connect to a peer that plays a script; return the recorder when the connection is over."""
    await peer.script(*script)
    recorder = Recorder(connect(peer.url, **options))
    await recorder.closed()
    return recorder


async def lost_after_message(peer: "Peer", recorder: Recorder) -> None:
    """Wait until a message is there, and end TCP then."""
    await recorder.wait("message")
    await peer.do(["fin"])
    await recorder.closed()


async def received(connect: "Connect", peer: "Peer", *steps: "list[Any]", **options: "Any") -> "list[Any]":
    """Connect to a peer that accepts, takes steps and closes; return the messages."""
    recorder = await record(connect, peer, ["accept"], *steps, GOODBYE, **options)
    equal(recorder.events[-1], ("close", 1000, "", True))
    return recorder.messages


async def seen(peer: "Peer", *kinds: str) -> "list[dict[str, Any]]":
    """Return the records of some kinds, as far as there are any yet."""
    # Not in one expression: Brython makes an asynchronous comprehension of one that awaits anywhere.
    records = await peer.seen()
    return [record for record in records if record["kind"] in kinds]


async def until(condition: "Callable[[], Any]", what: str, timeout: float = 15) -> None:
    """Wait for a condition that no event tells of."""
    end = now() + 1000 * timeout
    while not condition():
        assert now() < end, "not within %s s: %s" % (timeout, what)
        await sleep(0.005)


async def sleep(seconds: float) -> None:
    """Wait, where nothing is to happen."""
    await default_adapter().runtime().sleep(seconds)
