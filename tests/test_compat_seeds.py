"""The clients in the documentation of two libraries, over the library itself and over unisocket.

On CPython and Pyodide the import alone is changed. On MicroPython and Brython, which have no
`asyncio.run()`, their coroutines run under `unisocket.run()`.
"""

import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from browser.contexts import open_context
from seed_programs import SEEDS, Seed, play, serving

RUNS = [(seed, library) for seed in SEEDS for library in (seed.library, "unisocket")]

# Of what a seed may need, what each runtime has.
HAS = {"pyodide": ("", "sleep", "tasks", "blocking"), "micropython": ("", "sleep"), "brython": ("",)}

PROGRAM = """
import sys

import unisocket
from unisocket._runtime import default_adapter
from unisocket.compat import websockets


async def main(report, arguments):
    for seed in arguments:
        report(dumps([seed["name"], await play(seed)]))
    try:
        websockets.connect("wss://localhost:8765", ssl=True)
    except NotImplementedError as error:
        report(dumps(["ssl", str(error)]))


async def play(seed):
    printed = []
    answers = seed["answers"]
    done = default_adapter().runtime().future()

    def answer(prompt):
        if not answers:
            raise EOFError
        return answers.pop(0)

    async def finished(coroutine):
        try:
            await coroutine
        except Exception as error:
            printed.append(repr(error))
        done.set_result(None)

    program = {
        "__name__": "__main__",
        "input": answer,
        "print": lambda *values: printed.append(" ".join([str(value) for value in values])),
        "run": lambda coroutine: unisocket.run(finished(coroutine)),
    }
    exec(seed["source"], program)
    if seed["runs"]:
        await done
    return printed


def dumps(value):
    import json

    # MicroPython's leaves other characters as they are.
    return "".join([c if c < "\\x7f" else "\\\\u%04x" % ord(c) for c in json.dumps(value)])
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(("seed", "library"), RUNS, ids=[f"{seed.name}-{library}" for seed, library in RUNS])
def test_seed_prints_what_it_prints_over_its_own_library(
    seed: Seed, library: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    options = {}
    if seed.needs == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(tmp_path / "localhost.pem")
        options["ssl"] = context
    with serving(seed.handler, **options) as address:
        assert play(seed.source(address, library), seed.answers, tmp_path / "client.py") == list(seed.prints)


@pytest.mark.parametrize(
    "seed", [seed for seed in SEEDS if seed.answers and seed.needs != "tls"], ids=lambda seed: seed.name
)
def test_seed_that_asks_runs_as_a_script_to_its_end(seed: Seed, tmp_path: Path) -> None:
    script = tmp_path / "client.py"
    with serving(seed.handler) as address:
        script.write_text(seed.source(address, "unisocket"))
        done = subprocess.run(
            [sys.executable, "-P", "-W", "error", str(script)],
            input="\n".join(seed.answers),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    for line in seed.prints:
        assert line in done.stdout


@pytest.mark.browser
@pytest.mark.parametrize("runtime", HAS)
def test_seeds_print_the_same_in_the_browser(runtime: str, served_folder: Path) -> None:
    seeds = [seed for seed in SEEDS if seed.needs in HAS[runtime]]
    with ExitStack() as servers, open_context(runtime, served_folder) as context:
        jobs = []
        for seed in seeds:
            source = seed.source(servers.enter_context(serving(seed.handler)), "unisocket")
            runs = runtime != "pyodide"
            if runs:
                source = source.replace("asyncio.run(", "run(")
            jobs.append({"name": seed.name, "source": source, "answers": seed.answers, "runs": runs})
        results = dict(context.run(PROGRAM, jobs))
    assert "ssl=" in results.pop("ssl")
    assert results == {seed.name: list(seed.prints) for seed in seeds}
