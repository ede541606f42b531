"""The page docs/support.md, made of what the conformance suite measured."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from allowances import allowed_to
from browser.contexts import engine_of

from unisocket.testing.conformance import Case

HEAD = """\
# Support matrix

What each runtime was seen to do: on CPython, in pages of Chromium and their workers, and in Node. This page
is made by the tests: they fail where it is not what they measured, and `nox -s conformance -- --write`
writes it anew. Where no worker is named it is a page, and those of Pyodide and MicroPython have the
Content-Security-Policy `script-src 'self' 'wasm-unsafe-eval'`, which forbids `eval` and inline scripts.

"""
CAPABILITIES = """
## Capabilities

What the adapters declare to have. A case that needs what an adapter lacks is not for its runtime.

"""
ALLOWED = """
## What the engines break

These rules are broken beneath the library, which cannot keep them in the engine's stead. A case that passes
again fails the tests until it is taken off this list.

"""
CASES = """
## Cases

Each line is a case of the conformance suite, in `unisocket/testing/conformance/`. `everywhere` means in each
runtime of the first table; else stands what it takes, and where it fails all the same.
"""


def support_page(cases: Sequence[Case], results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the page.

    Args:
        cases: All cases.
        results: For each runtime and the name of each case its "status" and "message".
    """
    text = HEAD + table(
        ["runtime", "cases passed", "not for it", "broken by the engine"],
        (
            [name, *(str(sum(each["status"] == status for each in of.values())) for status in ("pass", "skip", "fail"))]
            for name, of in results.items()
        ),
    )
    needs = sorted({need for case in cases for need in case.needs})
    lacking = {name: ", ".join(map(_lacking, of.values())).split(", ") for name, of in results.items()}
    text += CAPABILITIES + table(
        ["runtime", *needs], ([name, *("no" if need in lacking[name] else "yes" for need in needs)] for name in results)
    )
    text += ALLOWED + allowed_to(set(map(engine_of, results))) + CASES
    for module, group in groupby(cases, key=lambda case: case.function.__module__):
        text += f"\n### {module.rpartition('.')[2].replace('_', ' ').strip().capitalize()}\n\n" + table(
            ["case", "rule", "runs"],
            ([f"`{case.name.removeprefix('test_')}`", case.rule, _where(case, results)] for case in group),
        )
    return text


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n" for cells in lines)


def _where(case: Case, results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    where = "with " + ", ".join(case.needs) if case.needs else "everywhere"
    failed = [name for name, of in results.items() if of[case.name]["status"] == "fail"]
    return where + (f", but fails in {', '.join(failed)}" if failed else "")


def _lacking(result: Mapping[str, Any]) -> str:
    return str(result["message"]) if result["status"] == "skip" else ""
