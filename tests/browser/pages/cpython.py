"""Runs the job of a process, as boot.py does that of a page: one line of JSON for each thing it has to say."""

import asyncio
import json
import sys
import traceback

job = json.load(sys.stdin)
out = sys.stdout
# What the program prints belongs to the log.
sys.stdout = sys.stderr


def say(kind, text):
    out.write(json.dumps([kind, text]) + "\n")
    out.flush()


async def run():
    program = {"__name__": "job"}
    exec(job["source"], program)
    say("begin", "")
    await program["main"](lambda text: say("report", text), json.loads(job["arguments"]))


failure = ""
try:
    asyncio.run(run())
except BaseException:
    failure = traceback.format_exc()
say("end", failure)
