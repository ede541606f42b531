"""The pages docs/support.md and docs/engines.md, made of what the conformance suite measured."""

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
Firefox, WebKitGTK and PyScript's workers have [a page of their own](engines.md).

"""
ENGINES = """\
# Engines and contexts

The whole conformance suite in the pages of three browsers, and in workers that PyScript makes: how many pass of
the cases that are for the runtime; the others are broken by the engine. `nox -s engines` runs it, and the
coroutine programs; it fails where this page is not what was measured, and `nox -s engines -- --write` writes it
anew. What CI runs, and what each case is, has [a page of its own](support.md).

"""
ISOLATED = """
`brython`, `pyodide` and `micropython` are pages, `pyscript-py-worker` is `<script type="py" worker>`, and `isolated`
such a worker of a page with cross-origin isolation.
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
COUNTS = ("cases passed", "not for it", "broken by the engine")


def support_page(cases: Sequence[Case], results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the page.

    Args:
        cases: All cases.
        results: For each runtime and the name of each case its "status" and "message".
    """
    text = HEAD + table(["runtime", *COUNTS], ([name, *_counts(of)] for name, of in results.items()))
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


def engines_page(results: Mapping[str, Mapping[str, Mapping[str, Any]]], versions: Mapping[str, str]) -> str:
    """Return the page of further engines and contexts.

    Args:
        results: As for `support_page()`.
        versions: For each context its engine, with the version.
    """
    engines = list(dict.fromkeys(versions.values()))
    cells: dict[str, dict[str, str]] = {}
    for name, of in results.items():
        passed, _, broken = map(int, _counts(of))
        context = name.removesuffix(f"-{engine_of(name)}")
        cells.setdefault(context, {})[versions[name]] = f"{passed} of {passed + broken}"
    text = ENGINES + table(
        ["", *engines], ([context, *(of.get(engine, "") for engine in engines)] for context, of in cells.items())
    )
    return text + ISOLATED + ALLOWED + allowed_to(set(map(engine_of, results)))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n" for cells in lines)


def _counts(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    ends = [each["status"] for each in results.values()]
    return [str(ends.count(status)) for status in ("pass", "skip", "fail")]


def _where(case: Case, results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    where = "with " + ", ".join(case.needs) if case.needs else "everywhere"
    failed = [name for name, of in results.items() if of[case.name]["status"] == "fail"]
    return where + (f", but fails in {', '.join(failed)}" if failed else "")


def _lacking(result: Mapping[str, Any]) -> str:
    return str(result["message"]) if result["status"] == "skip" else ""
