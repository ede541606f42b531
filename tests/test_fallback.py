"""In MicroPython bytes go the slow way where the fast one is shut, by a second interpreter on the page."""

from pathlib import Path

import pytest
from browser.contexts import open_context
from peer_process import peer_process

SIZES = [0, 1, 255, 70_000]

# Shuts the fast way, and echoes.
PROGRAM = """
import json

from unisocket import connect
from unisocket._runtime import default_adapter


async def main(report, arguments):
    bridge = default_adapter().bridge
    report(json.dumps(bridge._heap.works))
    del bridge.bytes_in, bridge.bytes_out  # the class has the slow ones
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
def test_bytes_arrive_where_the_fast_way_is_closed(served_folder: Path) -> None:
    with open_context("micropython", served_folder) as context, peer_process() as peer:
        fast, *same = context.run(PROGRAM, {"peer": peer, "sizes": SIZES})
    assert fast, "the fast way was not open in the first place"
    assert same == [True] * len(SIZES)
