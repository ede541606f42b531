"""Node 20, whose WebSocket is experimental: no `close` follows an opening that failed. Ours has it."""

from pathlib import Path

import pytest
from browser.contexts import ProcessContext
from browser.runtimes import MissingError, old_node
from peer_process import peer_process

PROGRAM = """
import json

import js
from unisocket import WebSocket
from unisocket._runtime import default_adapter
from unisocket.testing.script import Peer, Recorder

runtime = default_adapter().runtime()


async def main(report, arguments):
    report(json.dumps(str(js.process.version)))
    peer = await Peer.open(arguments["peer"], WebSocket)
    await peer.script(["http", 403])
    for url in (arguments["refused"], peer.url):
        ws = WebSocket(url)
        theirs = []
        listeners = [ws._transport._bridge.listener(lambda event: theirs.append(str(event.type))) for _ in range(2)]
        for type, listener in zip(("error", "close"), listeners):
            ws.raw.addEventListener(type, listener)
        recorder = Recorder(ws)
        await recorder.closed()
        await runtime.sleep(0.2)  # Node 20 never fires its own "close"; if another does, it comes by then
        report(json.dumps([theirs, recorder.events, recorder.states]))
    await peer.close()
"""


@pytest.mark.browser
@pytest.mark.parametrize("runtime", ["pyodide", "micropython"])
def test_opening_that_fails_in_Node_20_fires_error_then_close_1006(runtime: str, served_folder: Path) -> None:
    try:
        command = [old_node(), "--experimental-websocket", "node.mjs", runtime]
    except MissingError as missing:
        pytest.fail(str(missing), pytrace=False)
    with ProcessContext(command, served_folder) as context, peer_process() as peer:
        version, *failures = context.run(PROGRAM, {"peer": peer, "refused": "ws://127.0.0.1:4/"})
    assert version.startswith("v20.")
    ours = [["error"], ["close", 1006, "", False]]
    assert failures == [[["error"], ours, [3, 3]]] * 2
