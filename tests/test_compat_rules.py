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


def test_page_has_each_rule_that_is_tested_and_promises_no_other() -> None:
    promised = re.findall(r"^\| ([RBT]\d.*?) \| yes\b.*\|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(promised) == sorted(rule.rule for rule in RULES)
