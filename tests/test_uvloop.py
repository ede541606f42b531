"""uvloop does as asyncio's own loop: the conformance suite, the fault table, attacks and options again, on it.

Contract section 5: any event loop.
"""

import asyncio
import json

import pytest
import uvloop
from peer_process import peer_process

# What tests there are, and their fixtures; conftest.py runs them all on the loop of this module.
from test_cpython_options import *  # noqa: F403
from test_faults import *  # noqa: F403
from test_hostile_server import *  # type: ignore[assignment]  # noqa: F403

from unisocket.testing.conformance import CASES
from unisocket.testing.runner import run_cases

loop_factory = uvloop.new_event_loop


async def test_these_tests_run_on_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


def test_conformance_suite_passes(caplog: pytest.LogCaptureFixture) -> None:
    reports = []
    with peer_process() as url, asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run_cases(CASES, url, lambda report: reports.append(json.loads(report))))
    failed = {report["case"]: report["message"] for report in reports if report["status"] == "fail"}
    assert not failed
    caplog.clear()  # the exceptions of its handlers
    assert sum(report["status"] == "pass" for report in reports) > 600
