"""The conformance suite on every runtime, and the support matrix that comes of it.

Each runtime runs its cases in one go, in the background and a few runtimes at a time, while the tests
here wait for one result each. A case that hangs or kills its page fails alone: the page is opened again for the rest.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from allowances import ALLOWANCES, allowance
from browser.contexts import Context, ProgramError, engine_of, open_context
from peer_process import peer_process
from support_page import engines_page, support_page

from unisocket.testing.conformance import CASES

DOCS = Path(__file__).parents[1] / "docs"
SILENCE = 45.0  # seconds; a case that does not end says so after 30

PROGRAM = """
from unisocket.testing.conformance import CASES
from unisocket.testing.runner import run_cases


async def main(report, arguments):
    cases = [case for case in CASES if case.name in arguments["names"]]
    await run_cases(cases, arguments["peer"], report)
"""


class Run:
    """Cases on one runtime.

    Attributes:
        results: For the name of each case a report of `run_cases()`, with the log of the runtime as "log".
        engine: The context's, when there are results.
    """

    def __init__(self, context: Context, names: list[str]) -> None:
        self.results: dict[str, Future[dict[str, Any]]] = {name: Future() for name in names}
        self.engine = ""
        self._context = context
        self._stopped = False

    def stop(self) -> None:
        """End the run at the next report."""
        self._stopped = True

    def run(self) -> None:
        """Run all cases; the results come as they are there."""
        try:
            with self._context, peer_process() as peer:
                while names := [name for name, result in self.results.items() if not result.done()]:
                    self._run_once(names, peer)
        except BaseException as error:  # whatever it is, nobody may wait for ever
            for result in self.results.values():
                if not result.done():
                    result.set_exception(error)

    def _run_once(self, names: list[str], peer: str) -> None:
        """Run cases until all are done, or one did not come back."""
        running = ""
        try:
            for report in self._context.run(PROGRAM, {"names": names, "peer": peer}, silence=SILENCE):
                if self._stopped:
                    raise InterruptedError("the tests have come to their end")
                running = report["case"]
                self.engine = self._context.engine
                if report["status"] != "start":
                    self.results[running].set_result({**report, "log": self._context.log()})
        except ProgramError as error:
            if not running or self.results[running].done():
                raise  # no case's fault
            kind = type(error).__name__.removesuffix("Error").lower()
            self.results[running].set_result({"status": "fail", "message": f"{kind}: {error}", "log": ""})
        else:
            missing = [name for name in names if not self.results[name].done()]
            if missing:
                raise LookupError(f"the runtime has no such cases: {missing}")


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[dict[str, Run]]:
    """The runtimes of which cases were selected, all at work."""
    names: dict[str, list[str]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.function is test_conformance:
            names.setdefault(str(item.callspec.params["runtime"]), []).append(str(item.callspec.params["name"]))
    folder = request.getfixturevalue("served_folder") if set(names) - {"cpython"} else Path()
    runs = {runtime: Run(open_context(runtime, folder), names[runtime]) for runtime in names}
    # Much of a run is waiting; but with more of them at a time a busy machine takes too long for some cases.
    # Firefox and WebKitGTK take more of it.
    at_a_time = (1 if request.config.getoption("--engines") else 2) * (os.cpu_count() or 2)
    with ThreadPoolExecutor(at_a_time) as pool:
        # Node first, which has most to wait for.
        for runtime in sorted(runs, key=lambda runtime: engine_of(runtime) != "node"):
            pool.submit(runs[runtime].run)
        yield runs
        for run in runs.values():
            run.stop()
        pool.shutdown(cancel_futures=True)


@pytest.mark.everywhere
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_conformance(runs: dict[str, Run], runtime: str, name: str) -> None:
    judge(runs[runtime].results[name].result(), runtime, engine_of(runtime), name)


def judge(result: dict[str, Any], runtime: str, engine: str, name: str) -> None:
    """End a test as its case ended; what `allowances.py` has must fail."""
    allowed = allowance(engine, name)
    if result["status"] == "skip":
        pytest.skip(f"the {runtime} adapter is not capable of: {result['message']}")
    if result["status"] == "fail" and allowed:
        pytest.xfail(f"{engine} {allowed.version} {allowed.fact}")
    if result["status"] == "fail":
        pytest.fail(f"{result['message']}\n{result['log']}".rstrip(), pytrace=False)
    if allowed:
        pytest.fail(f"{engine} does not break this any more: take it off tests/allowances.py", pytrace=False)


def test_allowances_are_for_cases_that_there_are() -> None:
    named = [(entry.engine, "test_" + case) for entry in ALLOWANCES for case in entry.cases]
    assert {case for _, case in named} <= {case.name for case in CASES}
    assert len(named) == len(set(named))


@pytest.mark.browser
@pytest.mark.whole_module
def test_support_matrix_is_what_was_measured(runs: dict[str, Run], pytestconfig: pytest.Config) -> None:
    results = {name: {case: result.result() for case, result in run.results.items()} for name, run in runs.items()}
    if pytestconfig.getoption("--engines"):
        session, name = "engines", "engines.md"
        measured = engines_page(results, {name: run.engine for name, run in runs.items()})
    else:
        session, name = "conformance", "support.md"
        measured = support_page(CASES, results)
    page = DOCS / name
    if pytestconfig.getoption("--write-support"):
        page.write_text(measured)
    written = page.read_text() if page.exists() else ""
    if written != measured:
        pytest.fail(f"docs/{name} is not what was measured: nox -s {session} -- --write", pytrace=False)
