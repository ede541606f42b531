"""How fast unisocket is in a browser, beside its runtimes' own ways: `python bench/browsers.py --wheel FILE`.

What is compared takes turns in one page; `pages/contest.py` is the program, `pages/contest.js` what is
JavaScript in it. `nox -s bench-browser` provides the wheel, the browser and the runtimes.
"""

import argparse
import contextlib
import datetime as dt
import gzip
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from browser.chromium import Chromium, installed
from browser.contexts import PageContext, prepare
from browser.plain import PlainServer
from browser.runtimes import npm_packages
from cpython import Server, Table, load, number, processor, text

from unisocket._assets import brython_bundle, micropython_files

PAGES = Path(__file__).parent / "pages"
SILENCE = 300.0  # seconds: what a machine takes that does other things, too
KIB, MIB = 2**10, 2**20

# `pages/contest.py` knows them by these names.
JAVASCRIPT, CALLBACK, RAW, UNISOCKET = "JavaScript", "thinnest callback", "js.WebSocket", "unisocket"
RECV, VIEWS = "unisocket recv()", "unisocket, arraybuffer"
BROWSER, PYSCRIPT = "browser.websocket", "pyscript.WebSocket"

# Where it runs, what that is called, and what the runtime itself has.
RUNTIMES = {
    "brython": ("Brython", BROWSER),
    "pyscript-py": ("Pyodide", PYSCRIPT),
    "pyscript-mpy": ("MicroPython", PYSCRIPT),
}

PING, PUSH_TEXT, PUSH_BINARY = "ping-pong, 16 B", "push, 64 B text", "push, 64 B binary"
SIZES = {"1 KiB": KIB, "64 KiB": 64 * KIB, "1 MiB": MIB, "16 MiB": 16 * MIB}
TAKE, GIVE = "binary in, {}", "binary out, {}"

IMPORT = """
import json
import sys

if sys.implementation.name == "Brython":
    from browser import window as js
else:
    import js


async def main(report, arguments):
    begin = float(js.performance.now())
    exec(arguments)
    report(json.dumps(float(js.performance.now()) - begin))
"""
STATEMENT = "import unisocket"
IMPORT_LIMIT = 60  # milliseconds
TIMES_PYSCRIPT = 100

HEAD = """# Performance in the browser

What unisocket costs in Brython, Pyodide and MicroPython, beside what one could do without it. This page is made
by `nox -s bench-browser`.

All that is compared was measured in one page: the contestants take turns, each on a connection of its own, and
each round begins with another of them. Each job has a fresh page, for large messages leave much memory behind, which
the runtime's garbage collector has to look through ever after. The server, a process of its own, does nothing but move
bytes. Ratios are medians of the ratios of all rounds, by the clock; in brackets, by the CPU time of the page's thread.
On a machine that is shared the clock counts what others do, too: where the two disagree, the second one is the
steadier, and with a load above the number of cores either may be off by half.

- **JavaScript**: a handler in JavaScript.
- **thinnest callback**: one Python function, given to `addEventListener` of JavaScript's socket, and for binary
  messages the fastest way to convert one by itself: in MicroPython by a view of the memory that is made for it, where
  unisocket keeps one.
- **js.WebSocket**: JavaScript's socket as one would use it at first, by `onmessage`.
- **browser.websocket**, **pyscript.WebSocket**: what Brython and PyScript bring. Their binary messages are
  converted as their documentation has it.
- **unisocket**: `ws.onmessage = f`, an event per message, `ws.send()`; **recv()** is `await ws.recv()` of
  `unisocket.connect()`; **arraybuffer** is with `ws.binaryType = "arraybuffer"`: a `memoryview` for each message.

Binary in: a message that the page has is delivered, and its bytes are bytes of Python. Binary out: the calls of
`send()`. MicroPython's thinnest callback gets a `bytearray`: a `bytes`, as unisocket delivers it if nothing else is
said, is hashed there when it is made, which takes longer than to copy it; a `memoryview` is not."""

GOALS_ARE = """The limits of ratios, and what was measured. The clock decides; what is beyond its limit is marked as
missed. The last two ratios, to JavaScript, are aims."""


@dataclass(frozen=True)
class Job:
    """What all contestants do.

    `least` is how many milliseconds it must take at least: what is quicker is repeated.
    """

    name: str
    role: str
    kind: str
    size: int
    contestants: tuple[str, ...]
    count: int = 1
    least: int = 0


@dataclass(frozen=True)
class Goal:
    """What a ratio to another contestant must not exceed; or, if `times`, how many times as fast it must be."""

    job: str
    contestant: str
    limit: float
    against: str = CALLBACK
    times: bool = False


GOALS = (
    Goal(PING, UNISOCKET, 1.15),
    Goal(PING, RECV, 1.5),
    Goal(PUSH_TEXT, UNISOCKET, 1.25),
    Goal(PUSH_BINARY, UNISOCKET, 1.25),
    *(Goal(TAKE.format(size), who, 1.3) for size in SIZES for who in (UNISOCKET, VIEWS)),
    *(Goal(GIVE.format(size), UNISOCKET, 1.3) for size in SIZES),
    Goal(GIVE.format("64 KiB"), UNISOCKET, TIMES_PYSCRIPT, PYSCRIPT, times=True),
    Goal(PING, UNISOCKET, 1.25, JAVASCRIPT),
    Goal(PUSH_TEXT, UNISOCKET, 1.7, JAVASCRIPT),
)


def jobs(own: str) -> list[Job]:
    """Return what is to be done where the runtime itself has `own`."""
    raw = () if own == BROWSER else (RAW,)  # Brython's own is that
    text = (JAVASCRIPT, CALLBACK, *raw, own, UNISOCKET)
    binary = (JAVASCRIPT, CALLBACK, own, UNISOCKET)
    found = [
        Job(PING, "ping", "text", 16, (*text, RECV), 2000),
        Job(PUSH_TEXT, "push", "text", 64, (*text, RECV), 20000),
        Job(PUSH_BINARY, "push", "binary", 64, binary, 20000),
    ]
    for name, size in SIZES.items():
        # Theirs takes half a minute for 16 MiB.
        some = binary if size < MIB else (JAVASCRIPT, CALLBACK, UNISOCKET)
        found.append(Job(TAKE.format(name), "take", "binary", size, (*some, VIEWS), least=50))
        found.append(Job(GIVE.format(name), "give", "binary", size, some, least=50))
    return found


class Results:
    """What each contestant took for each job in each round, in microseconds a message: by the clock, and of CPU."""

    def __init__(self) -> None:
        self.costs: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self.arrived: dict[str, str] = {}
        self.imports: list[float] = []
        self.later_imports: list[float] = []

    def cost(self, job: str, contestant: str) -> tuple[float, ...]:
        """Return the medians of both."""
        return tuple(map(statistics.median, zip(*self.costs[job, contestant], strict=True)))

    def ratios(self, job: str, contestant: str, against: str) -> list[list[float]]:
        """Return, of both, how many times as much as another it took in each round."""
        if (job, contestant) not in self.costs or (job, against) not in self.costs:
            return []
        pairs = zip(self.costs[job, contestant], self.costs[job, against], strict=True)
        both = [[a / b if b else 0.0 for a, b in zip(own, other, strict=True)] for own, other in pairs]
        return [list(ratios) for ratios in zip(*both, strict=True)]

    def ratio(self, job: str, contestant: str, against: str) -> str:
        """Write the medians of `ratios()`."""
        ratios = self.ratios(job, contestant, against)
        if not ratios:
            return ""
        wall, cpu = (number(statistics.median(both)) for both in ratios)
        return f"{wall} ({cpu})" if float(cpu) else wall


class TimedContext(PageContext):
    """A page that is told to look at the clock of its thread by each report."""

    def cpu(self) -> float:
        """Return the seconds of CPU that the threads that run pages took; 0 where nobody tells."""
        assert self._browser
        pids = [self._browser._driver.service.process.pid]
        seconds = 0.0
        for pid in pids:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += map(int, (task / "children").read_text().split())
                if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    seconds += int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9
        return seconds

    def _hear(self, run: int, kind: str, text: str) -> None:
        super()._hear(run, kind, f"[{self.cpu()}, {text}]" if kind == "report" else text)


def measure(name: str, folder: Path, server: Server, chosen: list[Job], rounds: int, *, imports: bool) -> Results:
    """Run the contest in one runtime, then the import, each time in a fresh page."""
    results = Results()
    arguments: dict[str, Any] = {"javascript": (PAGES / "contest.js").read_text(), "server": server.url}
    cpu: list[float] = []
    with TimedContext(name, folder) as context:
        for job in chosen:
            arguments |= {"job": asdict(job), "rounds": rounds, "first": job is chosen[0]}
            for at, report in context.run((PAGES / "contest.py").read_text(), arguments, silence=SILENCE):
                if report is None:
                    cpu.append(at)
                elif "arrived" in report:
                    results.arrived[report["contestant"]] = report["arrived"]
                else:
                    contestant, wall, count = report["contestant"], report["wall"], report["count"]
                    used = (cpu[-1] - cpu[-2]) * 1e6 / count
                    results.costs.setdefault((job.name, contestant), []).append((wall, used))
                    print(f"{name}: {job.name}: {contestant}: {number(wall)} ({number(used)}) µs", file=sys.stderr)
    for _ in range(rounds if imports else 0):
        with PageContext(name, folder) as page:
            results.imports += page.run(IMPORT, STATEMENT)
    if results.imports and name == "brython":
        results.later_imports = visits(folder, rounds)
    return results


def visits(folder: Path, rounds: int) -> list[float]:
    """Return how long the import takes in a page that was visited before: Brython keeps there what it compiled."""
    shutil.copy(PAGES / "visit.html", folder)
    took = []
    with tempfile.TemporaryDirectory() as profile, PlainServer(folder) as server:
        browser = Chromium(Path(profile))
        try:
            for _ in range(1 + rounds):
                browser.show(server.url + "visit.html")
                browser.wait("return location.pathname", "/visit.html")
                browser.wait("return document.getElementById('out')?.textContent > ''", expected=True)
                took.append(float(browser.text("out")))
                browser.show("about:blank")
                browser.wait("return location.href", "about:blank")
        finally:
            browser.quit()
    return took[1:]


def verdicts(found: dict[str, Results]) -> Table:
    """Compare with the goals."""
    table = [["", "limit", *(RUNTIMES[name][0] for name in found)]]
    for goal in GOALS:
        row = [f"{goal.job}: {goal.contestant}, x {goal.against}", f"{'>=' if goal.times else '<='} {goal.limit:g}"]
        if goal.times:
            row[0] = f"{goal.job}: {goal.contestant}, times as fast as {goal.against}"
        table.append(row + [verdict(goal, results) for results in found.values()])
    row = [f"`{STATEMENT}`", f"<= {IMPORT_LIMIT} ms"]
    for results in found.values():
        took = statistics.median(results.imports or [0])
        row.append(judged(f"{number(took)} ms", took <= IMPORT_LIMIT) if took else "")
    return [line for line in [*table, row] if any(line[2:])]


def verdict(goal: Goal, results: Results) -> str:
    """Write a ratio, and whether it is missed."""
    a, b = (goal.against, goal.contestant) if goal.times else (goal.contestant, goal.against)
    ratios = results.ratios(goal.job, a, b)
    if not ratios:
        return ""
    median = statistics.median(ratios[0])
    return judged(results.ratio(goal.job, a, b), median >= goal.limit if goal.times else median <= goal.limit)


def judged(figure: str, reached: bool) -> str:
    """Mark what is missed."""
    return figure if reached else f"**{figure} missed**"


def side_by_side(results: Results) -> Table:
    """Compare all contestants of a runtime with the thinnest callback."""
    names = list(dict.fromkeys(name for _, name in results.costs if name != CALLBACK))
    table = [["", f"{CALLBACK}: µs", *(f"{name}, x" for name in names)]]
    for job in dict.fromkeys(job for job, _ in results.costs):
        cells = [results.ratio(job, name, CALLBACK) for name in names]
        table.append([job, " ".join(map(bracketed, results.cost(job, CALLBACK), (False, True))), *cells])
    return table


def bracketed(value: float, brackets: bool) -> str:
    """Write a number of microseconds."""
    return f"({number(value)})" if brackets else f"{value:,.0f}" if value >= 1000 else number(value)


def arrivals(found: dict[str, Results]) -> Table:
    """Say what comes of bytes that are just sent."""
    names = list(dict.fromkeys(name for results in found.values() for name in results.arrived))
    table = [["", *(RUNTIMES[name][0] for name in found)]]
    return table + [[name, *(results.arrived.get(name, "") for results in found.values())] for name in names]


def imports(found: dict[str, Results]) -> Table:
    """Say how long the import takes: medians, and from the shortest to the longest."""
    table = [["", *(RUNTIMES[name][0] for name in found)]]
    table.append([f"`{STATEMENT}`", *(spread(results.imports) for results in found.values())])
    table.append(["in a page that was visited before", *(spread(results.later_imports) for results in found.values())])
    return table


def spread(times: list[float]) -> str:
    """Write the median, the shortest and the longest of times in milliseconds."""
    return f"{number(statistics.median(times))} ms ({number(min(times))} - {number(max(times))})" if times else ""


def downloads(wheel: Path) -> Table:
    """Say how much each runtime downloads."""
    files = micropython_files("")
    modules = "".join(text for path, text in files.items() if path.endswith(".py"))
    contents = {
        "Brython: `unisocket.brython.js`": brython_bundle("").encode(),
        f"MicroPython: {sum(path.endswith('.py') for path in files)} files": modules.encode(),
        "Pyodide, PyScript: the wheel, with `compat` and `testing`": wheel.read_bytes(),
    }
    return [["", "bytes", "compressed by gzip"]] + [
        [name, f"{len(data):,}", f"{len(gzip.compress(data)):,}"] for name, data in contents.items()
    ]


def page(found: dict[str, Results], wheel: Path, how: str) -> str:
    """Return the page."""
    parts = [HEAD, how, "## Goals", GOALS_ARE, text(verdicts(found))]
    for name, results in found.items():
        parts += [f"## {RUNTIMES[name][0]}", text(side_by_side(results))]
    parts += ["## Bytes that are just sent", "What an echo brings back of `send(bytes(range(256)))`."]
    parts.append(text(arrivals(found)))
    if all(results.imports for results in found.values()):
        parts += ["## Import and download", IMPORTS_ARE, text(imports(found))]
    parts += [DOWNLOADS_ARE, text(downloads(wheel))]
    return "\n\n".join(parts) + "\n"


IMPORTS_ARE = """The first import in a page whose Python is up, from what was downloaded to objects: each in a fresh
page and browser, compiling included. In Brython it is the import out of `unisocket.brython.js`; to read its scripts and
the bundle, which happens before, is not in it. Brython alone keeps what it has compiled: in the IndexedDB of the page,
for its next visit."""

DOWNLOADS_ARE = """What a page downloads for it, beside the runtime."""


def circumstances(rounds: int) -> str:
    """Say when, where and how long is measured; before it begins, for the load."""
    npm = {name: npm_packages() / name / "package.json" for name in ("pyodide", "@pyscript/core")}
    npm["its MicroPython"] = npm_packages() / "micropython-of-pyscript/package.json"
    versions = [f"{name} {json.loads(file.read_text())['version']}" for name, file in npm.items()]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in ("brython", "unisocket")]
    chromium = subprocess.run([installed(), "--version"], capture_output=True, text=True, check=True).stdout.split()
    return textwrap.fill(
        f"Taken on {dt.datetime.now(dt.UTC):%Y-%m-%d} with {' '.join(chromium[:2])}, {', '.join(versions)}; "
        f"{platform.system()} {platform.release()}, {os.cpu_count()} cores ({processor()}), loopback; "
        f"load before: {load():.1f}; {rounds} rounds.",
        width=110,
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel of unisocket")
    parser.add_argument("--quick", action="store_true", help="two rounds of fewer messages, without the largest")
    parser.add_argument("--only", metavar="NAME", default="", help="only what has this in its name, and no import")
    parser.add_argument("--runtime", choices=RUNTIMES, action="append", help="only there; may be given again")
    parser.add_argument("--rounds", type=int, default=11, help="how often each contestant does each job")
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the report there, too")
    options = parser.parse_args()
    names = options.runtime or list(RUNTIMES)
    rounds = 2 if options.quick else options.rounds
    how = circumstances(rounds)
    server = Server(None)
    found = {}
    with tempfile.TemporaryDirectory(prefix="unisocket-") as temporary:
        folder = prepare(options.wheel, Path(temporary))
        for name in names:
            _, own = RUNTIMES[name]
            chosen = [job for job in jobs(own) if options.only in job.name]
            if options.quick:
                chosen = [replace(job, count=max(job.count // 10, 1)) for job in chosen if job.size <= MIB]
            found[name] = measure(name, folder, server, chosen, rounds, imports=not options.only)
    server.stop()
    report = page(found, options.wheel, how)
    print(report)
    if options.write:
        options.write.write_text(report)


if __name__ == "__main__":
    main()
