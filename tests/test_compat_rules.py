"""What `pyscript.websocket` and `browser.websocket` promise, on every runtime; and the page that says so."""

import re
from pathlib import Path

import facade_rules
import pytest
from browser.contexts import open_context
from facade_rules import RULES
from peer_process import peer_process

# Each runtime, and the workers of those whose facades these are.
RUNTIMES = (
    "cpython",
    "brython",
    "brython-worker",
    "pyodide",
    "micropython",
    "pyscript-py",
    "pyscript-py-worker",
    "pyscript-mpy",
    "pyscript-mpy-worker",
)

PAGE = Path(__file__).parents[1] / "docs" / "compat.md"


@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=() if name == "cpython" else pytest.mark.browser) for name in RUNTIMES]
)
def test_rules_hold(runtime: str, request: pytest.FixtureRequest) -> None:
    folder = Path() if runtime == "cpython" else request.getfixturevalue("served_folder")
    names = [rule.name for rule in RULES]
    with open_context(runtime, folder) as context, peer_process() as peer:
        reports = list(context.run(Path(facade_rules.__file__).read_text(), {"names": names, "peer": peer}))
        log = context.log()
    failed = [f"{report['case']}: {report['message']}" for report in reports if report["status"] == "fail"]
    assert not failed, "\n\n".join([*failed, log])
    assert [report["case"] for report in reports if report["status"] == "pass"] == names
    assert "BinaryType" not in log  # Chromium's complaint of a value that is none


@pytest.mark.browser
def test_async_handlers_leave_no_warning_in_brython(served_folder: Path) -> None:
    names = [facade_rules.test_events_have_what_those_of_javascript_have.__name__]
    with open_context("brython", served_folder) as context, peer_process() as peer:
        reports = list(context.run(Path(facade_rules.__file__).read_text(), {"names": names, "peer": peer}))
        log = context.log()
    assert [report["status"] for report in reports] == ["start", "pass"], reports
    assert "never awaited" not in log


WITHOUT = """
import json
import sys

if sys.implementation.name == "Brython":
    from browser import self as js
else:
    import js
js.Reflect.deleteProperty(js.globalThis, "WebSocket")


async def main(report, arguments):
    from unisocket.compat.brython import websocket

    try:
        websocket.WebSocket("ws://localhost/")
    except NotImplementedError:
        report(json.dumps([websocket.supported, websocket.WebSocket.supported]))
"""


@pytest.mark.browser
@pytest.mark.parametrize("runtime", ["brython", "pyodide", "micropython"])
def test_constructor_raises_where_there_is_no_websocket(runtime: str, served_folder: Path) -> None:
    with open_context(runtime, served_folder) as context:
        assert list(context.run(WITHOUT)) == [[False, False]]


def test_page_has_each_rule_that_is_tested_and_promises_no_other() -> None:
    promised = re.findall(r"^\| ([RBT]\d.*?) \| yes\b.*\|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(promised) == sorted(rule.rule for rule in RULES)
