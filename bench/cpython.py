"""How fast unisocket is on CPython, beside its peers: `python bench/cpython.py`.

It prints ratios of what is measured in this one run: a time of one's own machine says little, and that of
another day nothing. unisocket and the peers must be installed; who is missing is shown as failed.
"""

import argparse
import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
TIMEOUT = 60  # seconds for one measurement

# Where a client and its server run, as CPUs; None is the system's choice.
CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [None]
FREE, ONE_CORE, TWO_CORES = "free", "one core", "two cores"
PLACES = {FREE: (None, None), ONE_CORE: (CPUS[-1], CPUS[-1]), TWO_CORES: (CPUS[0], CPUS[-1])}

KIB, MIB = 2**10, 2**20

WEBSOCKETS, UNISOCKET, ITERATOR = "websockets", "unisocket", "unisocket async for"
RECV, PICOWS, AIOHTTP = "unisocket recv()", "picows", "aiohttp"
ASYNCIO = (WEBSOCKETS, UNISOCKET, ITERATOR, PICOWS, AIOHTTP)
# picows brings an event loop's transports of its own; `stock` is without them.
LOOPS = (*ASYNCIO, RECV, PICOWS + " stock", WEBSOCKETS + " + uvloop", UNISOCKET + " + uvloop")
DEFLATING = (WEBSOCKETS, UNISOCKET, ITERATOR, AIOHTTP)
# The last is what a thread that blocks can have at best: no WebSocket, but a frame that is ready.
RAW = "raw socket"
THREADS = ("websockets.sync", "unisocket.sync", "websocket-client", "simple-websocket", RAW)

# What is imported, beside which the first socket of unisocket is made, too.
FIRST_SOCKET = UNISOCKET + ", first WebSocket"
IMPORTS = {
    WEBSOCKETS: "import websockets.asyncio.client",
    UNISOCKET: "import unisocket",
    FIRST_SOCKET: "import unisocket; unisocket.WebSocket('ws://127.0.0.1:9/')",
    PICOWS: "import picows",
    AIOHTTP: "import aiohttp",
}
IMPORT = """
import os, time
cpu, wall = time.process_time(), time.perf_counter()
{}
print('{{"wall": %r, "cpu": %r}}' % (time.perf_counter() - wall, time.process_time() - cpu), flush=True)
os._exit(0)
"""

PEERS = ("unisocket", "websockets", "aiohttp", "picows", "aiofastnet", "websocket-client", "simple-websocket", "uvloop")

HEAD = """# Performance

What CPython's adapter costs, beside other libraries. This page is made by
`nox -s bench`.

All that is compared was measured in one run: the contestants take turns, each measurement has a process of its
own, and the server, in another, does nothing but move bytes. A ratio is the median of the ratios of all rounds.
On a machine that is shared the client's CPU time is steadier than the time on the clock, and a difference of
less than 15 % is no evidence."""

GOALS_ARE = """`unisocket` is the event-driven `WebSocket`: `ws.onmessage = f`, an event per message, `ws.send()`
not waited for, default settings, plain asyncio. The ratios are how many times as fast it is; of memory, opening
and import, how many times as much they take: there less is better."""

SIDE_BY_SIDE = """Times as many messages per second as the first column; in brackets, per second of the client's CPU.
A server that takes nearly 100 % of a CPU would have been what is measured. In an echo it shares the core of the
client, if nothing else is said: to wake a process on another costs as much as a whole echo, of whichever library.
A raw socket is no WebSocket: it sends a frame that was made before, and looks at nothing that comes. No library that
blocks can be faster, so it shows what this machine has to give."""

Cost = dict[str, float]
Table = list[list[str]]


@dataclass(frozen=True)
class Workload:
    """What all contestants do; the first of them is what the others are compared with.

    `rounds` is how many of `burst` messages the first run of a measurement has; the second fills the time.
    `place` is where client and server run. Where they take turns it is one core: to wake a process on
    another costs as much as a whole echo, and chance would choose.
    """

    name: str
    contestants: tuple[str, ...]
    role: str
    kind: str = "text"
    size: int = 0
    rounds: int = 1
    burst: int = 1
    measure: str = "cpu"
    place: str = FREE


WORKLOADS = (
    Workload("echo 16 B text", LOOPS, "echo", "text", 16, 300, place=ONE_CORE),
    Workload("echo 16 B text, two cores", ASYNCIO, "echo", "text", 16, 300, place=TWO_CORES),
    Workload("echo 1 KiB text", ASYNCIO, "echo", "text", KIB, 300, place=ONE_CORE),
    Workload("echo 64 KiB binary", ASYNCIO, "echo", "binary", 64 * KIB, 100, place=ONE_CORE),
    Workload("receive 64 B text", LOOPS, "flood", "text", 64, 10000),
    Workload("receive 4 KiB text", (*ASYNCIO, RECV), "flood", "text", 4 * KIB, 2000),
    Workload("receive 8 MiB binary", ASYNCIO, "flood", "binary", 8 * MIB, 2, measure="wall"),
    Workload("send 64 B text", LOOPS, "sink", "text", 64, 1, 5000),
    Workload("send 4 KiB text", ASYNCIO, "sink", "text", 4 * KIB, 1, 1000),
    Workload("send 8 MiB binary", ASYNCIO, "sink", "binary", 8 * MIB, 2, measure="wall"),
    Workload("receive 64 B text, deflated", DEFLATING, "flood", "deflated", 64, 5000),
    Workload("send 64 B text, deflated", DEFLATING, "sink", "deflated", 64, 1, 5000),
    Workload("send one 64 B text again and again, deflated", DEFLATING, "sink", "repeated", 64, 1, 5000),
    Workload("echo 16 B text, blocking", THREADS, "echo", "text", 16, 300, place=ONE_CORE),
    Workload("memory of an idle connection", ASYNCIO, "hold", rounds=500, measure="memory"),
    Workload("open a connection", ASYNCIO, "open", rounds=100, measure="wall", place=ONE_CORE),
    Workload("import", tuple(IMPORTS), "import", measure="wall"),
)


@dataclass(frozen=True)
class Goal:
    """What a ratio must be, and what it would be if all went well.

    A ratio is how many times as fast as the other; or, if `at_most`, how many times as much it takes.
    """

    workload: str
    contestant: str
    must: float | None
    aim: float
    against: str = ""
    at_most: bool = False


GOALS = (
    Goal("echo 16 B text", UNISOCKET, 1.7, 2.2),
    Goal("echo 16 B text, two cores", UNISOCKET, 1.7, 2.2),
    Goal("echo 1 KiB text", UNISOCKET, 1.7, 2.2),
    Goal("echo 64 KiB binary", UNISOCKET, 1.6, 1.8),
    Goal("receive 64 B text", UNISOCKET, 7.4, 9),
    Goal("receive 64 B text", UNISOCKET, None, 1, PICOWS),
    Goal("receive 64 B text", ITERATOR, 8, 9),
    Goal("receive 4 KiB text", UNISOCKET, 4, 5),
    Goal("send 64 B text", UNISOCKET, 17, 20),
    Goal("send 64 B text", UNISOCKET, None, 3, PICOWS),
    Goal("send 4 KiB text", UNISOCKET, 5, 5.5),
    Goal("send 4 KiB text", UNISOCKET, None, 1.7, PICOWS),
    Goal("receive 8 MiB binary", UNISOCKET, 1, 1.3),
    Goal("send 8 MiB binary", UNISOCKET, 1, 1.3),
    Goal("receive 64 B text, deflated", UNISOCKET, 3, 4),
    Goal("send 64 B text, deflated", UNISOCKET, 5, 7),
    Goal("send one 64 B text again and again, deflated", UNISOCKET, 5, 7),
    Goal("echo 16 B text, blocking", "unisocket.sync", 4, 4.5),
    Goal("memory of an idle connection", UNISOCKET, 1, 0.9, at_most=True),
    Goal("open a connection", UNISOCKET, 1.1, 1, at_most=True),
    Goal("import", UNISOCKET, 0.15, 0.1, at_most=True),
)


class Results:
    """The costs of each contestant of each workload, one for each round; None where it failed."""

    def __init__(self) -> None:
        self.costs: dict[tuple[str, str], list[Cost | None]] = {}
        self.failures: dict[tuple[str, str], str] = {}

    def median(self, workload: str, contestant: str, measure: str) -> float | None:
        """Return the median of a cost."""
        costs = [cost[measure] for cost in self.costs.get((workload, contestant), []) if cost]
        return statistics.median(costs) if costs else None

    def ratios(self, workload: str, contestant: str, against: str, measure: str) -> list[float]:
        """Return, for each round, how many times the costs of another were those of a contestant."""
        pairs = zip(self.costs.get((workload, against), []), self.costs.get((workload, contestant), []), strict=False)
        return [theirs[measure] / own[measure] for theirs, own in pairs if theirs and own]


class Server:
    """A server's process, on a CPU or, if that is None, anywhere."""

    def __init__(self, cpu: int | None) -> None:
        command = [sys.executable, str(FOLDER / "server.py"), json.dumps(cpu)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"ws://127.0.0.1:{int(self._read())}"

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def cpu(self) -> float:
        """Return the seconds of CPU that it used for what it did last."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return float(self._read())

    def stop(self) -> None:
        self._process.communicate()


def measure(server: Server, workload: Workload, contestant: str, seconds: float) -> Cost:
    """Let a process of its own find out what a contestant's messages cost."""
    if workload.role == "import":
        arguments = ["-P", "-c", IMPORT.format(IMPORTS[contestant])]
        start(arguments)  # for the bytecode to be there
    else:
        job = {name: getattr(workload, name) for name in ("role", "kind", "size", "burst", "rounds")}
        task = {"contestant": contestant, "seconds": seconds, "job": {"server": server.url, **job}}
        task["cpu"], _ = PLACES[workload.place]
        arguments = [str(FOLDER / "client.py"), json.dumps(task)]
    cost: Cost = json.loads(start(arguments))
    if workload.role in ("echo", "flood", "sink"):
        cost["busy"] = server.cpu() / cost["seconds"]
    return cost


def start(arguments: list[str]) -> str:
    """Run Python, and return what it prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no word"])[-1])
    return done.stdout


def run(workloads: list[Workload], rounds: int, seconds: float) -> Results:
    """Measure all, the contestants taking turns; each round begins with another of them."""
    results = Results()
    servers = {cpu: Server(cpu) for _, cpu in PLACES.values()}
    try:
        for workload in workloads:
            print(workload.name, file=sys.stderr)
            _, cpu = PLACES[workload.place]
            for turn in range(rounds):
                first = turn % len(workload.contestants)
                for contestant in workload.contestants[first:] + workload.contestants[:first]:
                    key = workload.name, contestant
                    cost = None
                    if key not in results.failures:
                        try:
                            cost = measure(servers[cpu], workload, contestant, seconds)
                        except (RuntimeError, subprocess.TimeoutExpired) as error:
                            results.failures[key] = str(error)
                    results.costs.setdefault(key, []).append(cost)
    finally:
        for server in servers.values():
            server.stop()
    return results


def goals(results: Results, workloads: list[Workload]) -> Table:
    """Compare with the goals."""
    table = [["goal", "measure", "must", "aim", "median", "lowest - highest", ""]]
    by_name = {workload.name: workload for workload in workloads}
    for goal in GOALS:
        if goal.workload not in by_name:
            continue
        workload = by_name[goal.workload]
        against = goal.against or workload.contestants[0]
        ratios = results.ratios(workload.name, goal.contestant, against, workload.measure)
        if goal.at_most:
            ratios = [1 / ratio for ratio in ratios]
        name = f"{workload.name}: {goal.contestant}, x {against}"
        row = [name, workload.measure, number(goal.must), number(goal.aim)]
        if ratios:
            row += [number(statistics.median(ratios)), f"{number(min(ratios))} - {number(max(ratios))}"]
            row += [verdict(goal, statistics.median(ratios))]
        else:
            row += ["", "", "failed"]
        table.append(row)
    return table


def verdict(goal: Goal, ratio: float) -> str:
    """Say which of the two is reached."""
    reached: Callable[[float], bool] = ratio.__le__ if goal.at_most else ratio.__ge__
    if reached(goal.aim):
        return "pass, aim reached"
    if goal.must is None:
        return "aim missed"
    return "pass" if reached(goal.must) else "fails"


def side_by_side(results: Results, workloads: list[Workload]) -> Table:
    """Compare all contestants with the first one, wall and CPU, and say how busy the server was."""
    contestants = list(dict.fromkeys(name for workload in workloads for name in workload.contestants))
    baseline = contestants[0]
    table = [["", f"{baseline}: messages / s", "CPU, µs each", *contestants[1:], "server's CPU"]]
    for workload in workloads:
        name = workload.name
        wall, cpu = (results.median(name, baseline, measure) for measure in ("wall", "cpu"))
        row = [name, f"{1 / wall:,.0f}" if wall else "failed", number(cpu and cpu * 1e6)]
        for contestant in contestants[1:]:
            cell = ""
            if contestant in workload.contestants:
                ratios = [results.ratios(name, contestant, baseline, measure) for measure in ("wall", "cpu")]
                cell = "{} ({})".format(*(number(statistics.median(r)) for r in ratios)) if all(ratios) else "failed"
            row.append(cell)
        busy = [results.median(name, contestant, "busy") or 0 for contestant in workload.contestants]
        table.append([*row, f"{min(busy):.0%} - {max(busy):.0%}"])
    return table


def costs(results: Results, workloads: list[Workload]) -> Table:
    """List what is not a matter of messages, as it was measured and beside the first contestant."""
    units = {"memory": ("KiB", 1), "wall": ("ms", 1e3)}
    table = [["", "contestant", "cost", "x websockets"]]
    for workload in workloads:
        unit, factor = units[workload.measure]
        for contestant in workload.contestants:
            cost = results.median(workload.name, contestant, workload.measure)
            ratios = results.ratios(workload.name, contestant, workload.contestants[0], workload.measure)
            row = [workload.name, contestant, f"{number(cost * factor)} {unit}" if cost else "failed"]
            table.append([*row, number(1 / statistics.median(ratios)) if ratios else ""])
    return table


def number(value: float | None) -> str:
    """Write a number with the digits that mean something."""
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(table: Table) -> str:
    """Lay out a table, as Markdown that is read as plain text as well."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in table]
    return "\n".join([lines[0], "| " + " | ".join("-" * width for width in widths) + " |", *lines[1:]])


def report(results: Results, workloads: list[Workload], how: str) -> str:
    """Return the page."""
    messages = [workload for workload in workloads if workload.role in ("echo", "flood", "sink")]
    groups = [[w for w in messages if w.contestants[0] == first] for first in (WEBSOCKETS, THREADS[0])]
    others = [workload for workload in workloads if workload not in messages]
    failures = [[*key, message] for key, message in results.failures.items()]
    parts = [HEAD, how, "## Goals", GOALS_ARE, text(goals(results, workloads))]
    parts += ["## Side by side", SIDE_BY_SIDE] if messages else []
    parts += [text(side_by_side(results, group)) for group in groups if group]
    parts += ["## Memory, opening, import", text(costs(results, others))] if others else []
    parts += ["## Failed", text([["workload", "contestant", "error"], *failures])] if failures else []
    return "\n\n".join(parts) + "\n"


def circumstances(rounds: int, seconds: float) -> str:
    """Say when, where and how long is measured; before it begins, for the load."""
    versions = []
    for name in PEERS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    return textwrap.fill(
        f"Taken on {dt.datetime.now(dt.UTC):%Y-%m-%d} with {platform.python_implementation()} "
        f"{platform.python_version()}, {', '.join(versions)}; {platform.system()} {platform.release()}, "
        f"{os.cpu_count()} cores ({processor()}), loopback; load before: {load():.1f}; "
        f"{rounds} rounds of {seconds:g} s.",
        width=110,
    )


def load() -> float:
    """Return how many processes want to run, on average of a minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def processor() -> str:
    """Name the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> int:
    """Run the benchmark; returns 1 if unisocket failed anywhere."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="two short rounds, without some of the peers: for a glance"
    )
    parser.add_argument("--rounds", type=int, default=7, help="how often each contestant does each workload")
    parser.add_argument("--only", metavar="NAME", default="", help="only workloads whose name has this in it")
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the report there, too")
    options = parser.parse_args()
    workloads = [workload for workload in WORKLOADS if options.only in workload.name]
    if not workloads:
        parser.error("no workload has that in its name: " + ", ".join(workload.name for workload in WORKLOADS))
    rounds, seconds = (2, 0.1) if options.quick else (options.rounds, 0.4)
    if options.quick:
        workloads = [dataclasses.replace(w, contestants=tuple(filter(in_quick, w.contestants))) for w in workloads]
    how = circumstances(rounds, seconds)
    with tempfile.TemporaryDirectory() as bytecode:
        # So that an import is of bytecode, wherever and however a library is installed.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = bytecode
        results = run(workloads, rounds, seconds)
    page = report(results, workloads, how)
    print(page)
    if options.write:
        options.write.write_text(page)
    return any(contestant.startswith(UNISOCKET) for _, contestant in results.failures)


def in_quick(contestant: str) -> bool:
    """Whether a glance is worth the contestant's time."""
    return contestant != AIOHTTP and not contestant.endswith(("stock", "uvloop"))


if __name__ == "__main__":
    sys.exit(main())
