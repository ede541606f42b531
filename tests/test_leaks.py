"""Connections that were opened and closed leave nothing behind in the page.

What there is after the first hundred is there after all: `--connections` says how many.
"""

from pathlib import Path

import pytest
from browser.chromium import Chromium
from browser.contexts import PageContext
from peer_process import peer_process

pytestmark = pytest.mark.browser

STEP = 100  # connections
ROUNDS = 4  # of collecting garbage, in Python and in JavaScript
GROWTH = 1.05

PROGRAM = """
import json
import sys

from unisocket import WebSocket, connect
from unisocket.testing.script import Peer

BRYTHON = sys.implementation.name == "Brython"
if BRYTHON:
    from browser import window as js
else:
    import gc
    import js


def proxies():
    if sys.platform != "emscripten":
        return 0
    import pyodide_js

    return pyodide_js._module.pyproxy_alloc_map.size


def own_heap():
    if BRYTHON:
        return 0  # its objects are JavaScript's
    gc.collect()
    gc.collect()
    return gc.mem_alloc() if sys.implementation.name == "micropython" else len(gc.get_objects())


def wasm_memory():
    if BRYTHON:
        return 0
    if sys.implementation.name == "micropython":
        from unisocket._runtime import default_adapter

        heap = default_adapter().bridge._heap
        heap.bytes_out(b"")  # which looks at the memory as it is now
        return heap._memory.length
    import pyodide_js

    return pyodide_js._module.HEAP8.length


async def by_handlers(url):
    closed = js.Promise.withResolvers()
    seen = []

    async def onmessage(event):
        seen.append(event.data)
        if len(seen) == 2:
            event.target.close(1000)

    def onopen(event):
        event.target.send("text")
        event.target.send(bytes(100))

    websocket = WebSocket(url, onopen=onopen, onmessage=onmessage)
    websocket.bind("close", lambda event: closed.resolve(event.code))
    assert await closed.promise == 1000
    assert seen == ["text", bytes(100)], seen


async def by_coroutines(url):
    async with connect(url) as ws:
        await ws.send("text")
        assert await ws.recv(timeout=10) == "text"


async def main(report, arguments):
    if sys.platform == "emscripten":
        import pyodide_js

        pyodide_js._module.enable_pyproxy_allocation_tracing()
    peer = await Peer.open(arguments["peer"], WebSocket)
    for number in range(1, arguments["connections"] + 1):
        await (by_handlers if number % 2 else by_coroutines)(peer.url)
        if number % arguments["step"] == 0:
            # What the two languages have of each other goes in turns, and in JavaScript as a task.
            for _ in range(arguments["rounds"]):
                allowed = js.Promise.withResolvers()
                js.globalThis.allowed = allowed
                sizes = {"proxies": proxies(), "own heap": own_heap(), "wasm memory": wasm_memory()}
                report(json.dumps([number, sizes]))
                await allowed.promise
    await peer.close()
"""


@pytest.mark.parametrize("runtime", ["brython", "pyodide", "micropython"])
def test_connections_leave_nothing(runtime: str, served_folder: Path, pytestconfig: pytest.Config) -> None:
    connections = pytestconfig.getoption("--connections")
    sizes: list[dict[str, int]] = []
    with PageContext(runtime, served_folder) as context, peer_process() as peer:
        arguments = {"peer": peer, "step": STEP, "connections": connections, "rounds": ROUNDS}
        for at, size in context.run(PROGRAM, arguments, silence=60):
            browser = context._browser
            assert isinstance(browser, Chromium)
            sizes[at // STEP - 1 :] = [{**size, "JavaScript's heap": browser.heap()}]
            browser.run("setTimeout(allowed.resolve)")
    first, last = sizes[0], sizes[-1]
    assert len(sizes) == connections // STEP > 1
    assert last["proxies"] <= first["proxies"], sizes
    for name in first:
        assert last[name] <= first[name] * GROWTH, (name, sizes)
