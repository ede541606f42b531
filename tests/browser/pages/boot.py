"""Runs the job of a page, a worker or a process: the same text in every runtime."""

import io
import json
import sys

if sys.implementation.name == "Brython":
    from browser import aio
    from browser import self as scope

    harness = scope.harness
    start = aio.run
else:
    import asyncio

    import js

    harness = js.harness
    start = asyncio.create_task


def traceback_of(error):
    text = io.StringIO()
    if hasattr(sys, "print_exception"):
        sys.print_exception(error, text)
    else:
        import traceback

        traceback.print_exception(error, file=text)
    return text.getvalue()


async def run():
    failure = ""
    try:
        program = {"__name__": "job"}
        exec(harness.source, program)
        harness.begin()
        await program["main"](harness.report, json.loads(harness.arguments))
    except BaseException as error:
        failure = traceback_of(error)
    harness.end(failure)


task = start(run())
