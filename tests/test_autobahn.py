"""The client for Autobahn's fuzzing server, against a small one: what it asks, what it echoes, what it concludes."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import autobahn
import pytest
from fault_server import Peer, fault_server

from unisocket.testing._wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_body, make_frame

Frames = list[tuple[int, bytes]]  # opcode and payload, as messages

END = make_frame(CLOSE, close_body(1000))
GOODBYE = (CLOSE, close_body(1000))
MANY = 5000  # fragments, more than `websockets` would take
MIB = 2**20

FRAGMENTS = make_frame(CONTINUATION, b"x", fin=False) * (MANY - 2) + make_frame(CONTINUATION, b"x")

# What the server sends, and what it wants to see.
CASES: dict[str, tuple[bytes, Frames]] = {
    "1.1.1": (make_frame(TEXT, b"") + END, [(TEXT, b""), GOODBYE]),
    "1.1.6": (make_frame(TEXT, b"*" * 65535) + END, [(TEXT, b"*" * 65535), GOODBYE]),
    "1.2.4": (make_frame(BINARY, b"\xfe" * 127) + END, [(BINARY, b"\xfe" * 127), GOODBYE]),
    "2.2": (make_frame(PING, b"Hello") + END, [(PONG, b"Hello"), GOODBYE]),
    "3.2": (make_frame(TEXT, b"a", rsv=2), [(CLOSE, close_body(1002))]),
    "4.1.1": (make_frame(3, b""), [(CLOSE, close_body(1002))]),
    "5.3": (make_frame(TEXT, b"a", fin=False) + make_frame(CONTINUATION, b"b") + END, [(TEXT, b"ab"), GOODBYE]),
    "6.3.1": (make_frame(TEXT, b"\xce\xba\xed\xa0\x80"), [(CLOSE, close_body(1007))]),
    "7.1.5": (make_frame(TEXT, b"a", fin=False) + END + make_frame(CONTINUATION, b"b"), [GOODBYE]),
    "9.1.6": (make_frame(BINARY, bytes(16 * MIB)) + END, [(BINARY, bytes(16 * MIB)), GOODBYE]),
    "9.3.1": (make_frame(TEXT, b"x", fin=False) + FRAGMENTS + END, [(TEXT, b"x" * MANY), GOODBYE]),
}
NAMES = list(CASES)


class FuzzingServer:
    """Plays the cases, and judges them.

    Args:
        judges: Whether it tells its verdicts.
        wrong: The case that it calls failed in any case.
    """

    def __init__(self, *, judges: bool = True, wrong: str = "") -> None:
        self.reported = False
        self.offers_deflate = True
        self._judges = judges
        self._wrong = wrong
        self._verdicts: dict[str, str] = {}
        self._ended = {name: asyncio.Event() for name in NAMES}

    async def __call__(self, peer: Peer) -> None:
        request = await peer.accept()
        self.offers_deflate &= "permessage-deflate" in str(request.all("sec-websocket-extensions"))
        url = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = NAMES[int(query["case"]) - 1] if "case" in query else ""
        if url.path == "/getCaseCount":
            await self._tell(peer, str(len(NAMES)))
        elif url.path == "/runCase":
            await self._run(peer, name)
        elif url.path == "/getCaseInfo" and self._judges:
            await self._tell(peer, json.dumps({"id": name, "description": ""}))
        elif url.path == "/getCaseStatus" and self._judges:
            await self._ended[name].wait()  # the client may have seen the end before we have seen its answer
            await self._tell(peer, json.dumps({"behavior": self._verdicts[name]}))
        else:
            self.reported |= url.path == "/updateReports" and query["agent"] == "somebody"
            await peer.send(END)

    async def _tell(self, peer: Peer, text: str) -> None:
        await peer.send(make_frame(TEXT, text.encode()) + END)

    async def _run(self, peer: Peer, name: str) -> None:
        data, wanted = CASES[name]
        await peer.send(data)
        seen: Frames = []
        while not seen or seen[-1][0] != CLOSE:
            frame = await peer.frame()
            seen.append((frame.opcode, frame.payload if frame.opcode != CLOSE else frame.payload[:2]))
        self._verdicts[name] = "OK" if seen == wanted and name != self._wrong else "FAILED"
        self._ended[name].set()


async def judged(server: FuzzingServer, capsys: pytest.CaptureFixture[str]) -> tuple[bool, list[str]]:
    """Run all cases; return the verdict, and what was printed."""
    async with fault_server(server) as url:
        verdict = await autobahn.judge(autobahn.Client(url, "somebody"))
    assert server.reported
    assert server.offers_deflate
    return verdict, capsys.readouterr().out.splitlines()


async def test_all_cases_pass(capsys: pytest.CaptureFixture[str]) -> None:
    verdict, lines = await judged(FuzzingServer(), capsys)
    assert [line.split()[1:] for line in lines[:-1]] == [[name, "OK"] for name in NAMES]
    assert (verdict, lines[-1]) == (True, f"{len(NAMES)} cases: {len(NAMES)} OK")


async def test_case_that_fails_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    verdict, lines = await judged(FuzzingServer(wrong="5.3"), capsys)
    assert (verdict, lines[-2:]) == (False, [f"{len(NAMES)} cases: {len(NAMES) - 1} OK, 1 FAILED", "Failed: 5.3"])


async def test_server_that_does_not_tell_is_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    verdict, lines = await judged(FuzzingServer(judges=False), capsys)
    assert (verdict, lines[-2]) == (True, f"{len(NAMES)} cases: {len(NAMES)} UNKNOWN")


async def test_case_that_does_not_end_has_failed() -> None:
    async def silent(peer: Peer) -> None:
        await peer.accept()
        assert await peer.close_code() is None
        await peer.send(make_frame(CLOSE, b""))

    async with fault_server(silent) as url:
        ended, _ = await autobahn.Client(url).visit("runCase", 1, echo=True, patience=0.2)
    assert not ended


async def test_other_server_is_no_fuzzing_server() -> None:
    async def other(peer: Peer) -> None:
        await peer.accept(END)

    async with fault_server(other) as url:
        with pytest.raises(LookupError, match="no fuzzing server"):
            await autobahn.Client(url).count()
