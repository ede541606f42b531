"""Bytes go the slow way where the fast one is shut: in Brython by a CSP, in MicroPython by a second interpreter."""

from pathlib import Path

import pytest
from browser.contexts import open_context
from peer_process import peer_process

SIZES = [0, 1, 255, 70_000]

# Shuts the fast ways of both bridges, and echoes.
PROGRAM = """
import json

from unisocket import connect
from unisocket._runtime import default_adapter


async def main(report, arguments):
    bridge = default_adapter().bridge
    if hasattr(bridge, "_heap"):
        fast = bridge._heap.works
        bridge._heap.works = False
    else:
        fast = {"bytes_in", "bytes_out"} <= set(vars(bridge))
        del bridge.bytes_in, bridge.bytes_out  # the class has the slow ones
    report(json.dumps(fast))
    # The session of a control connection that is ours: its first message says where to go.
    async with connect(arguments["peer"] + "/control") as control:
        session = json.loads(await control.recv())["result"]
        async with connect(arguments["peer"] + "/peer/" + session) as ws:
            for size in arguments["sizes"]:
                data = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
                await ws.send(data)
                report(json.dumps(await ws.recv() == data))
"""


@pytest.mark.browser
@pytest.mark.parametrize("runtime", ["brython", "micropython"])
def test_bytes_arrive_where_the_fast_way_is_closed(runtime: str, served_folder: Path) -> None:
    with open_context(runtime, served_folder) as context, peer_process() as peer:
        fast, *same = context.run(PROGRAM, {"peer": peer, "sizes": SIZES})
    assert fast, "the fast way was not open in the first place"
    assert same == [True] * len(SIZES)
