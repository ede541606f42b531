"""What all tests share: options, the wheel that is tested, and a rule of selection."""

import asyncio
import gc
import inspect
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

PATIENCE = 30.0  # seconds that an async test may take; none should take one

# A shell has what it starts beside it ignore Ctrl-C, and all that this starts would do so, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--wheel", type=Path, help="the wheel of unisocket that is installed here; nox gives it")
    parser.addoption("--connections", type=int, default=300, help="how many tests/test_leaks.py opens in each runtime")
    parser.addoption("--write-support", action="store_true", help="write the support matrix as it was measured")
    parser.addoption("--engines", action="store_true", help="run what runs everywhere in further engines and workers")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in a loop of its own, and see that it leaves no task behind.

    A module may say what makes the loop: `loop_factory`.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.function):
        return None
    test = pyfuncitem.function(**{name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames})

    async def main() -> None:
        async with asyncio.timeout(PATIENCE):
            await test
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks were left behind: {left}"

    with asyncio.Runner(loop_factory=getattr(pyfuncitem.module, "loop_factory", None)) as runner:
        runner.run(main())
    return True


def pytest_collection_finish() -> None:
    """What is there before the tests need not be searched for garbage after each of them."""
    import hypothesis  # noqa: F401  before: what is frozen is hidden from it, and it would complain

    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_complaints(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """See that nothing is logged in a test, not even when what it leaves is collected; ResourceWarnings are errors.

    A test that wants something to be logged clears the log.
    """
    yield
    if request.node.get_closest_marker("browser"):
        return  # another process, mostly
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    # The servers of `websockets` complain of each close that is no good one.
    complaints = [record.getMessage() for record in records if record.name != "websockets.server"]
    assert not complaints, f"somebody complained: {complaints}"


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Leave out a test marked `whole_module` where another test of its module was left out."""
    collected = items[:]
    result = yield
    partial = {item.path for item in set(collected) - set(items)}
    left_out = [item for item in items if item.path in partial and item.get_closest_marker("whole_module")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test marked `everywhere` one run for each context, as its argument `runtime`."""
    if metafunc.definition.get_closest_marker("everywhere"):
        from browser.contexts import CONTEXTS, FURTHER_CONTEXTS  # late: other tests need no browser

        names = FURTHER_CONTEXTS if metafunc.config.getoption("--engines") else CONTEXTS
        marks = {name: () if name == "cpython" else pytest.mark.browser for name in names}
        metafunc.parametrize("runtime", [pytest.param(name, marks=marks[name]) for name in names])


@pytest.fixture(scope="session")
def wheel(pytestconfig: pytest.Config) -> Path:
    """The wheel that the browsers get."""
    path: Path | None = pytestconfig.getoption("--wheel")
    if path is None:
        pytest.fail("no wheel for the browsers: run nox, or add --wheel=dist/unisocket-....whl", pytrace=False)
    return path.resolve()


@pytest.fixture(scope="session")
def served_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the browsers' pages."""
    from browser.contexts import prepare  # late: other tests need no browser
    from browser.runtimes import MissingError

    try:
        return prepare(wheel, tmp_path_factory.mktemp("served"))
    except MissingError as missing:
        pytest.fail(str(missing), pytrace=False)
