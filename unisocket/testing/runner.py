"""Runs cases where it is called, on any runtime, and reports each result as soon as it is there."""

import io
import json
import sys

from unisocket._runtime import default_adapter, use
from unisocket._websocket import WebSocket
from unisocket.testing.script import Peer, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from unisocket.adapters import Adapter
    from unisocket.testing.conformance import Case

__all__ = ("run_cases",)

# Of a case, in seconds: none needs a tenth of it, but on a machine that is busy.
TIMEOUT = 30.0


async def run_cases(
    cases: "list[Case]",
    base_url: str,
    report: "Callable[[str], Any]",
    make_adapter: "Callable[..., Adapter] | None" = None,
) -> None:
    """Run cases one after the other, each in a session of its own with the peer.

    Meanwhile the adapter under test is the one of all sockets that are given none.

    Args:
        cases: Some or all of `unisocket.testing.conformance.CASES`.
        base_url: What the peer printed.
        report: Gets ASCII JSON: before a case {"case": name, "status": "start"}, after it
            {"case": name, "status": "pass", "fail" or "skip", "message": text, "seconds": float}.
            The message is a traceback, or what the adapter is not capable of.
        make_adapter: Makes the adapter under test of the keywords that a case asks for; None = the
            default adapter, whose class makes others.
    """
    before = default_adapter()
    adapter = make_adapter() if make_adapter else before
    make = make_adapter or type(adapter)

    def connect(
        url: str, protocols: "Any" = None, options: "dict[str, Any] | None" = None, **handlers: "Any"
    ) -> WebSocket:
        return WebSocket(url, protocols, adapter=make(**options) if options else adapter, **handlers)

    use(adapter)
    try:
        for case in cases:
            report(_ascii_json({"case": case.name, "status": "start"}))
            begin = now()
            lacking = [name for name in case.needs if name not in adapter.capabilities]
            status, message = ("skip", ", ".join(lacking)) if lacking else await _outcome(case, connect, base_url)
            seconds = (now() - begin) / 1000
            report(_ascii_json({"case": case.name, "status": status, "message": message, "seconds": seconds}))
    finally:
        use(before)


async def _outcome(case: "Case", connect: "Callable[..., WebSocket]", base_url: str) -> tuple[str, str]:
    """Run one case; return its status and message."""
    peers = []

    async def play() -> None:
        peers.append(await Peer.open(base_url, connect))
        await case.function(connect, peers[0])

    failure = await _failure(play())
    for peer in peers:
        failure = await _failure(peer.close()) or failure
    return ("fail", failure) if failure else ("pass", "")


async def _failure(coroutine: "Coroutine[Any, Any, Any]") -> str:
    """Run a coroutine; return "" if it came to its end, else why not."""
    runtime = default_adapter().runtime()
    ended = runtime.future()

    async def run() -> None:
        failure = ""
        try:
            await coroutine
        except Exception as error:
            failure = _traceback(error)
        ended.set_result(failure)

    timer = runtime.later(TIMEOUT, lambda: ended.set_result("no end within %s s" % TIMEOUT))
    runtime.spawn(run())
    failure: str = await ended
    timer.cancel()
    return failure


def _traceback(error: Exception) -> str:
    text = io.StringIO()
    if hasattr(sys, "print_exception"):  # MicroPython, which has no module for it
        sys.print_exception(error, text)
    else:
        import traceback  # late: it takes Brython seconds, and the need is rare

        traceback.print_exception(error, file=text)
    return text.getvalue()


def _ascii_json(value: "Any") -> str:
    """JSON that arrives whole wherever it goes: json.dumps() escapes nothing on MicroPython."""
    return "".join([character if character < "\x7f" else _escaped(ord(character)) for character in json.dumps(value)])


def _escaped(code: int) -> str:
    if code < 0x10000:
        return "\\u%04x" % code
    code -= 0x10000
    return "\\u%04x\\u%04x" % (0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))
