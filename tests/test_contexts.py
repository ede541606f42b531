"""The places where the tests run programs are what their names say."""

from pathlib import Path

import pytest
from browser import runtimes
from browser.chromium import CRASHED, Chromium
from browser.contexts import open_context
from filelock import FileLock, Timeout
from selenium.common.exceptions import WebDriverException

PROGRAM = """
import json
import sys

if sys.implementation.name == "Brython":
    from browser import self as scope
    def array(*items): return list(items)
elif sys.implementation.name == "micropython":
    import js as scope
    import jsffi
    def array(*items): return jsffi.to_js(list(items))
else:
    import js as scope
    from pyodide.ffi import to_js
    def array(*items): return to_js(list(items))


async def main(report, arguments):
    # A promise: MicroPython cannot catch what JavaScript throws, but a rejection it can.
    made = getattr(scope.Promise, "try")(scope.Reflect.construct, scope.Function, array("return 1"))
    try:
        await made
        text_runs = True
    except Exception as error:
        assert "unsafe-eval" in str(error), error
        text_runs = False
    worker = hasattr(scope, "importScripts")
    isolated = hasattr(scope, "crossOriginIsolated") and bool(scope.crossOriginIsolated)
    report(json.dumps([worker, isolated, text_runs]))
"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("runtime", "worker", "isolated", "text_runs"),
    [
        ("brython-worker", True, False, True),
        ("pyodide", False, False, False),
        ("pyodide-worker", True, False, False),
        ("micropython", False, False, False),
        ("micropython-worker", True, False, False),
        ("pyscript-mpy-worker", True, False, True),
        ("pyscript-py-isolated", True, True, True),
        ("pyscript-mpy-isolated", True, True, True),
        ("micropython-node", False, False, True),
    ],
)
def test_context_is_what_its_name_says(
    runtime: str, worker: bool, isolated: bool, text_runs: bool, served_folder: Path
) -> None:
    with open_context(runtime, served_folder) as context:
        assert list(context.run(PROGRAM)) == [[worker, isolated, text_runs]]


@pytest.mark.browser
def test_page_is_shown_after_the_tab_has_crashed(tmp_path: Path) -> None:
    browser = Chromium(tmp_path)
    try:
        browser.show("chrome://crash")
        with pytest.raises(WebDriverException, match=CRASHED):
            browser.wait("return false", expected=True)
        browser.show("data:text/html,<p id=out>here")
        browser.wait("return document.getElementById('out')?.textContent", "here")
    finally:
        browser.quit()


def test_runtimes_are_fetched_by_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package-lock.json").touch()
    calls: list[str] = []

    def call(name: str, command: list[str], environment: dict[str, str]) -> None:
        calls.append(name)
        with pytest.raises(Timeout):
            FileLock(runtimes.DOWNLOADS.lock_file).acquire(timeout=0)

    monkeypatch.setattr(runtimes, "ROOT", tmp_path)
    monkeypatch.setattr(runtimes, "_call", call)
    runtimes.npm_packages()
    assert calls == ["npm"]
