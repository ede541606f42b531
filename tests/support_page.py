"""The page docs/support.md, made of what the conformance suite measured."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from unisocket.testing.conformance import Case

HEAD = """\
# Support matrix

What each runtime was seen to do, in Chromium and on CPython. This page is made by the tests: they fail
where it is not what they measured, and `nox -s conformance -- --write` writes it anew.

Each line is a case of the conformance suite, in `unisocket/testing/conformance/`. A capability stands where
the runtime's adapter declares that it lacks it, and the case was not run there.
"""


def support_page(cases: Sequence[Case], results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the page.

    Args:
        cases: All cases.
        results: For each runtime and the name of each case its "status" and "message".
    """
    runtimes = list(results)
    lines = [HEAD, *_table(["", *runtimes])]
    for status, title in (("pass", "cases passed"), ("skip", "cases not for it"), ("fail", "cases failed")):
        counts = [sum(result["status"] == status for result in results[name].values()) for name in runtimes]
        lines.append(_row([title, *map(str, counts)]))
    lines += ["", "## Capabilities", "", *_table(["the adapter declares", *runtimes])]
    lacking = {name: ", ".join(map(_lacking, results[name].values())).split(", ") for name in runtimes}
    for capability in sorted({need for case in cases for need in case.needs}):
        lines.append(_row([capability, *("no" if capability in lacking[name] else "yes" for name in runtimes)]))
    for module, group in groupby(cases, key=lambda case: case.function.__module__):
        lines += ["", f"## {module.rpartition('.')[2].replace('_', ' ').strip().capitalize()}", ""]
        lines += _table(["case", "rule", *runtimes])
        for case in group:
            name = f"`{case.name.removeprefix('test_')}`"
            lines.append(_row([name, case.rule, *(_cell(results[runtime][case.name]) for runtime in runtimes)]))
    return "\n".join(lines) + "\n"


def _table(titles: Sequence[str]) -> list[str]:
    return [_row(titles), _row(["---"] * len(titles))]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _lacking(result: Mapping[str, Any]) -> str:
    return str(result["message"]) if result["status"] == "skip" else ""


def _cell(result: Mapping[str, Any]) -> str:
    return {"pass": "yes", "skip": f"no: {_lacking(result)}", "fail": "FAILS"}[result["status"]]
