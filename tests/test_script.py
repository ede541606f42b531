"""The client of the scripted peer, and the helpers of cases, on CPython."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from peer_process import peer_process

from unisocket import WebSocket
from unisocket.testing.script import Peer, PeerError, Recorder, equal, generated, numbered, raises, raises_async

Case = Callable[[Peer], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


@pytest.fixture
def play(base_url: str) -> Callable[[Case], None]:
    """Run a case with a session of its own."""

    async def run(case: Case) -> None:
        peer = await Peer.open(base_url, WebSocket)
        await case(peer)
        await peer.close()

    return lambda case: asyncio.run(run(case))


def test_script_is_played(play: Callable[[Case], None]) -> None:
    async def case(peer: Peer) -> None:
        await peer.script(["accept"], ["text", "hello"], ["close", 4000, "bye"])
        recorder = Recorder(WebSocket(peer.url))
        assert await recorder.closed() == ("close", 4000, "bye", True)
        assert recorder.events == [("open",), ("message", "hello"), ("close", 4000, "bye", True)]
        assert recorder.states == [WebSocket.OPEN, WebSocket.OPEN, WebSocket.CLOSED]
        assert recorder.types == ["open", "message", "close"]
        assert recorder.messages == ["hello"]

    play(case)


def test_do_seen_and_wait_for(play: Callable[[Case], None]) -> None:
    async def case(peer: Peer) -> None:
        ws = WebSocket(peer.url + "/room?x=1")
        recorder = Recorder(ws)
        await peer.do(["push", 3, "text", 4], ["send", "binary", 300])
        assert await recorder.wait("message", 4) == ("message", generated("binary", 300))
        assert recorder.messages[:3] == [numbered(number, 4) for number in range(3)]
        ws.send("héllo")
        [message] = await peer.wait_for("message")
        assert message["text"] == "héllo"
        assert (await peer.seen())[0]["path"].endswith("/room?x=1")
        ws.close()
        await recorder.closed()

    play(case)


def test_mistakes_are_peer_errors(play: Callable[[Case], None]) -> None:
    async def case(peer: Peer) -> None:
        error = await raises_async(PeerError, peer.script(["jump"]))
        assert "'jump' is not the name of a step" in str(error)
        error = await raises_async(PeerError, peer.wait_for("close", timeout=0.001))
        assert "not 1 close within 0.001 s; seen: nothing" in str(error)

    play(case)


def test_questions_fail_when_the_session_ends(play: Callable[[Case], None]) -> None:
    async def case(peer: Peer) -> None:
        waiting = asyncio.create_task(raises_async(PeerError, peer.wait_for("close")))
        await peer.seen()
        await peer.close()
        assert str(await waiting) == "the control connection closed with 1000"
        assert str(await raises_async(PeerError, peer.seen())) == "the control connection is closed"

    play(case)


def test_no_peer_is_a_peer_error(base_url: str) -> None:
    async def case() -> None:
        error = await raises_async(PeerError, Peer.open(base_url + "/nowhere", WebSocket))
        assert str(error) == "the control connection closed with 1006"

    asyncio.run(case())


def test_recorder_says_what_came_instead(play: Callable[[Case], None]) -> None:
    async def case(peer: Peer) -> None:
        recorder = Recorder(websocket := WebSocket(peer.url))
        await recorder.wait("open")
        error = await raises_async(AssertionError, recorder.wait("message", 2, timeout=0.001))
        assert str(error) == "not 2 message within 0.001 s, but [('open')]"
        websocket.close()
        await recorder.closed()

    play(case)


def test_equal_shows_both_values() -> None:
    equal([1], [1])
    assert str(raises(AssertionError, lambda: equal(1, 2, "number"))) == "number: 1, not 2"


def test_equal_cuts_long_values() -> None:
    error = raises(AssertionError, lambda: equal(b"a" * 1000, [("message", "b" * 1000)] * 1000))
    assert str(error).startswith("b'" + "a" * 100 + "'... (1000 in all), not [('message', 'bbb")
    assert str(error).endswith("bbb'... (1000 in all))]... (1000 in all)")
    assert len(str(error)) < 4000


def test_raises_demands_an_exception() -> None:
    async def nothing() -> None:
        pass

    with pytest.raises(AssertionError, match="no KeyError"):
        raises(KeyError, lambda: None)
    with pytest.raises(AssertionError, match="no KeyError"):
        asyncio.run(raises_async(KeyError, nothing()))
    with pytest.raises(ZeroDivisionError):
        raises(KeyError, lambda: 1 / 0)
