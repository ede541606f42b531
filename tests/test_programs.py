"""The same programs, unchanged, on every runtime: what they print is compared character by character."""

import inspect
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import programs
import pytest
from browser.contexts import ProgramError, open_context
from peer_process import peer_process
from programs import PROGRAMS, Program

SILENCE = 60.0  # seconds that a program may take


def run(runtime: str, names: list[str], folder: Path) -> dict[str, list[str]]:
    """Run programs on a runtime, one after the other; one that hangs or dies says so, and the others go on."""
    printed: dict[str, list[str]] = {}
    with open_context(runtime, folder) as context, peer_process() as peer:
        while missing := [name for name in names if name not in printed]:
            running = ""
            try:
                for name, lines in context.run(
                    Path(programs.__file__).read_text(), {"names": missing, "peer": peer}, silence=SILENCE
                ):
                    running = name
                    if lines is not None:
                        printed[name] = lines
            except ProgramError as error:
                if running in printed or not running:
                    raise
                printed[running] = [f"{type(error).__name__}: {error}"]
    return printed


@pytest.fixture(scope="module")
def transcripts(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[dict[str, list[str]]]]]:
    """What the programs that were selected print, for each runtime; two of these are at work at a time."""
    names: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test_program:
            program = item.callspec.params["program"]
            assert isinstance(program, Program)
            names.setdefault(str(item.callspec.params["runtime"]), []).append(program.name)
    folder = request.getfixturevalue("served_folder") if set(names) - {"cpython"} else Path()
    with ThreadPoolExecutor(2) as pool:
        yield {runtime: pool.submit(run, runtime, names[runtime], folder) for runtime in names}
        pool.shutdown(cancel_futures=True)


@pytest.mark.everywhere
@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_program(transcripts: dict[str, Future[dict[str, list[str]]]], runtime: str, program: Program) -> None:
    printed = transcripts[runtime].result()[program.name]
    assert printed == inspect.cleandoc(program.prints).splitlines()
