"""The documented programs of PyScript's WebSocket: over PyScript's own, and over unisocket on every runtime."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from browser.contexts import open_context
from seed_programs import PYSCRIPT_SEEDS, serving
from websockets.sync.server import ServerConnection
from websockets.typing import Subprotocol

PROGRAM = """
import json

from unisocket._runtime import default_adapter
from unisocket.testing.script import now


async def main(report, arguments):
    for library in arguments["libraries"]:
        if library == "unisocket":
            import unisocket.compat.pyscript

            unisocket.compat.pyscript.install()
        for seed in arguments["seeds"]:
            report(json.dumps([library, seed["name"], await play(seed)]))


async def play(seed):
    printed = []

    def show(*values):
        printed.append(" ".join([str(value) for value in values]))

    program = {"__name__": "__main__", "print": show}
    exec(seed["source"], program)
    runtime = default_adapter().runtime()
    end = now() + 10000
    while len(printed) < len(seed["prints"]) and now() < end:
        await runtime.sleep(0.01)
    return printed
"""

# Where there is a PyScript, both its own and ours.
LIBRARIES = {
    "cpython": ["unisocket"],
    "pyodide": ["unisocket"],
    "micropython": ["unisocket"],
    "pyscript-py": ["pyscript", "unisocket"],
    "pyscript-mpy": ["pyscript", "unisocket"],
}


def choose(websocket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return offered[0] if offered else None


@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=() if name == "cpython" else pytest.mark.browser) for name in LIBRARIES]
)
def test_seeds_print_the_same(runtime: str, request: pytest.FixtureRequest) -> None:
    folder = Path() if runtime == "cpython" else request.getfixturevalue("served_folder")
    with ExitStack() as servers, open_context(runtime, folder) as context:
        jobs = []
        for seed in PYSCRIPT_SEEDS:
            address = servers.enter_context(serving(seed.handler, select_subprotocol=choose, subprotocols=["chat"]))
            jobs.append({"name": seed.name, "source": seed.source(address, ""), "prints": seed.prints})
        printed = list(context.run(PROGRAM, {"libraries": LIBRARIES[runtime], "seeds": jobs}))
        log = context.log()
    expected = [[library, seed.name, list(seed.prints)] for library in LIBRARIES[runtime] for seed in PYSCRIPT_SEEDS]
    assert printed == expected, log
