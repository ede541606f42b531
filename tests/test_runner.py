"""What `run_cases()` reports of cases that pass, fail, hang, or are not for the adapter."""

import asyncio
import json
from typing import Any

import pytest
from peer_process import peer_process

import unisocket
from unisocket import use
from unisocket._runtime import default_adapter
from unisocket.adapters.cpython import CPythonAdapter
from unisocket.testing import runner
from unisocket.testing.conformance import Case


async def reports(*cases: Case, **options: Any) -> list[dict[str, Any]]:
    texts: list[str] = []
    with peer_process() as url:
        await runner.run_cases(list(cases), url, texts.append, **options)
    assert all(text.isascii() and text.isprintable() for text in texts)
    return [json.loads(text) for text in texts]


async def succeed(connect: Any, peer: Any) -> None:
    await peer.script(["accept"], ["close", 1000, ""])
    connect(peer.url)
    await peer.wait_for("close")


async def fail(connect: Any, peer: Any) -> None:
    raise ValueError("no é, no \U0001f600, no \0")


async def test_each_case_reports_its_start_then_its_result() -> None:
    first, second, third, fourth = await reports(Case("one", "", succeed), Case("two", "", fail))
    assert (first, third) == ({"case": "one", "status": "start"}, {"case": "two", "status": "start"})
    assert 0 <= second.pop("seconds") < runner.TIMEOUT
    assert second == {"case": "one", "status": "pass", "message": ""}
    assert fourth["status"] == "fail"
    assert "ValueError: no é, no \U0001f600, no \0" in fourth["message"]
    assert "in fail" in fourth["message"]


async def test_case_that_hangs_fails_and_the_next_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    released = asyncio.Event()

    async def hang(connect: Any, peer: Any) -> None:
        await released.wait()

    monkeypatch.setattr(runner, "TIMEOUT", 0.3)
    _, hung, _, passed = await reports(Case("one", "", hang), Case("two", "", succeed))
    released.set()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert (hung["status"], passed["status"]) == ("fail", "pass")
    assert hung["message"] == "no end within 0.3 s"


async def test_case_that_needs_what_the_adapter_lacks_is_skipped_by_name() -> None:
    class Lacking(CPythonAdapter):
        capabilities: Any = ("one",)

    case = Case("one", "", fail, needs=("one", "two", "three"))
    _, skipped = await reports(case, make_adapter=Lacking)
    assert (skipped["status"], skipped["message"]) == ("skip", "two, three")


async def test_options_of_a_case_make_an_adapter_of_the_class_under_test() -> None:
    made = []

    class Counted(CPythonAdapter):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(options)

    async def function(connect: Any, peer: Any) -> None:
        connect(peer.url, options={"close_timeout": 1}).close()

    _, passed = await reports(Case("one", "", function), make_adapter=Counted)
    assert passed["status"] == "pass"
    assert made == [{}, {"close_timeout": 1}]


async def test_adapter_under_test_is_in_force_as_long_as_the_cases_run() -> None:
    before = default_adapter()
    adapter = CPythonAdapter()
    in_force = []

    async def function(connect: Any, peer: Any) -> None:
        in_force.append(default_adapter())
        async with unisocket.connect(peer.url) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

    _, passed = await reports(Case("one", "", function), make_adapter=lambda: adapter)
    assert passed["status"] == "pass"
    assert in_force == [adapter]
    assert default_adapter() is before


async def test_adapter_in_force_before_is_so_again_when_a_report_ends_the_cases() -> None:
    before = use(CPythonAdapter())

    def stop(text: str) -> None:
        raise InterruptedError

    try:
        with pytest.raises(InterruptedError):
            await runner.run_cases([Case("one", "", fail)], "", stop, make_adapter=CPythonAdapter)
        assert default_adapter() is before
    finally:
        use(None)
