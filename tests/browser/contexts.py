"""The places where the tests run a program: CPython, Node, browsers' pages and their workers.

    folder = prepare(wheel, tmp_path)
    with open_context("micropython", folder) as context:
        for report in context.run("async def main(report, arguments): report('1')"):
            ...

A program is the text of a module with `async def main(report, arguments)`, the same text in each
context. It calls `report` with ASCII JSON. Every report arrives before the call returns, so that a
silence can be put down to what the program was doing.
"""

import json
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any, Self

from browser.chromium import Chromium, installed
from browser.engines import Engine, Firefox, WebKitGTK
from browser.runtimes import node, serve_folder
from browser.server import PageServer
from peer_process import ENVIRONMENT

PAGES = Path(__file__).parent / "pages"

# What a page may do without: scripts that stand in it, and JavaScript made of text.
_NO_EVAL = {"Content-Security-Policy": "script-src 'self' 'wasm-unsafe-eval'"}
# What gives a page shared memory, and PyScript's workers the page's window.
_ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}

# The page of each runtime, and the headers of all that is served to it.
_PAGE_OF: dict[str, tuple[str, dict[str, str]]] = {
    "brython": ("brython.html?", {}),
    "brython-worker": ("brython.html?worker", {}),
    "pyodide": ("page.html?pyodide", _NO_EVAL),
    "pyodide-worker": ("page.html?pyodide&worker", _NO_EVAL),
    "micropython": ("page.html?micropython", _NO_EVAL),
    "micropython-worker": ("page.html?micropython&worker", _NO_EVAL),
    "pyscript-py": ("pyscript.html?type=py", {}),
    "pyscript-mpy": ("pyscript.html?type=mpy", {}),
    "pyscript-py-worker": ("pyscript.html?type=py&worker", {}),
    "pyscript-mpy-worker": ("pyscript.html?type=mpy&worker", {}),
    "pyscript-py-isolated": ("pyscript.html?type=py&worker", _ISOLATED),
    "pyscript-mpy-isolated": ("pyscript.html?type=mpy&worker", _ISOLATED),
}

# Take too long for every run: nox session `engines` has them, and some pages once more, to compare.
WORKERS = ("pyscript-py-worker", "pyscript-mpy-worker", "pyscript-py-isolated", "pyscript-mpy-isolated")
ENGINES: dict[str, type[Chromium] | type[Engine]] = {"chromium": Chromium, "firefox": Firefox, "webkitgtk": WebKitGTK}
FURTHER_CONTEXTS = (
    *(f"{page}-{engine}" for engine in ENGINES for page in ("brython", "pyodide", "micropython")),
    *WORKERS,
)

# Where everything runs that runs everywhere.
CONTEXTS = (
    "cpython",
    *(name for name in _PAGE_OF if name not in WORKERS),
    "pyodide-node",
    "micropython-node",
)

# Seconds from the call to the program's first line. On a busy machine Pyodide takes its time.
START_TIMEOUT = 120.0


class ProgramError(Exception):
    """The program raised: the message is the runtime's traceback, and its log."""


class HungError(ProgramError):
    """The program said nothing for too long; its page or process is gone."""


class CrashedError(ProgramError):
    """The page or the process died."""


def prepare(wheel: Path, folder: Path) -> Path:
    """Fill a folder with a wheel, the runtimes and the tests' pages, for `open_context()`.

    Raises:
        MissingError: There is no browser, or no npm.
    """
    installed()
    serve_folder(wheel, folder)
    shutil.copytree(PAGES, folder, dirs_exist_ok=True)
    return folder


def engine_of(name: str) -> str:
    """Return whose WebSocket a context has: the engine's name in `allowances.py`."""
    place = name.rpartition("-")[2]
    return place if place in ("cpython", "node", *ENGINES) else "chromium"


def open_context(name: str, folder: Path) -> "Context":
    """Return one of `CONTEXTS` or `FURTHER_CONTEXTS`, to be used as a context manager.

    Raises:
        MissingError: There is no Node that has what Pyodide needs.
    """
    runtime, _, place = name.partition("-")
    if name == "cpython":
        # -P: the wheel is tested, not what lies in the working directory.
        return ProcessContext([sys.executable, "-P", str(PAGES / "cpython.py")])
    if place == "node":
        return ProcessContext([node(), "node.mjs", runtime], folder)
    return PageContext(name, folder)


class Context:
    """A place where programs run, one after the other, each in a fresh page or process.

    Attributes:
        engine: The browser and its version, as soon as one has been started.
    """

    def __init__(self) -> None:
        self.engine = ""
        self._inbox: queue.Queue[tuple[str, str]] = queue.Queue()

    def run(self, source: str, arguments: Any = None, *, silence: float = 15.0) -> Iterator[Any]:
        """Run a program, and give what it reports, as it comes.

        Args:
            source: Text of a module with `async def main(report, arguments)`.
            arguments: Anything that JSON can say.
            silence: How long the program may say nothing, in seconds.

        Raises:
            ProgramError: It raised an exception.
            HungError: It was silent for too long.
            CrashedError: It died.
        """
        self._inbox = queue.Queue()
        self._begin({"source": source, "arguments": json.dumps(arguments)})
        patience = START_TIMEOUT
        while True:
            try:
                kind, text = self._inbox.get(timeout=patience)
            except queue.Empty:
                kind, text = "silent", f"nothing was heard for {patience:g} s"
            if kind == "begin":
                patience = silence
            elif kind == "report":
                yield json.loads(text)
            elif kind == "end" and not text:
                return
            else:
                error = {"silent": HungError, "gone": CrashedError, "end": ProgramError}[kind]
                log = self.log()
                if kind != "end":
                    self._kill()
                raise error(f"{text}\n{log}".rstrip())

    def log(self) -> str:
        """Return what the console, or stderr, has got since the last call."""
        raise NotImplementedError

    def _begin(self, job: dict[str, str]) -> None:
        """Start a program; what is heard of it goes to `_inbox`."""
        raise NotImplementedError

    def _kill(self) -> None:
        """End the browser or the process; the next program gets a new one."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._kill()


class PageContext(Context):
    """A page in a browser of its own: one that hangs keeps no other from working."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__()
        self._engine = ENGINES[engine_of(name)]
        self._page, headers = _PAGE_OF[name.removesuffix(f"-{engine_of(name)}")]
        self._wheel = next(folder.glob("*.whl")).name
        self._server = PageServer(folder, self._hear, headers)
        self._browser: Chromium | Engine | None = None
        self._runs = 0

    def log(self) -> str:
        return self._browser.console() if self._browser else ""

    def _begin(self, job: dict[str, str]) -> None:
        self._runs += 1
        self._server.job = {**job, "wheel": self._server.url + self._wheel, "run": self._runs}
        if self._browser is None:
            self._profile = TemporaryDirectory(prefix="unisocket-", ignore_cleanup_errors=True)
            self._browser = self._engine(Path(self._profile.name))
            self.engine = f"{self._engine.__name__} {'.'.join(self._browser.version.split('.')[:2])}"
        self._browser.show(self._server.url + self._page)

    def _hear(self, run: int, kind: str, text: str) -> None:
        # A page that was left may still have something to say.
        if run == self._runs:
            self._inbox.put((kind, text))

    def _kill(self) -> None:
        if self._browser is not None:
            self._browser.quit()
            self._browser = None
            self._profile.cleanup()

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        super().__exit__(kind, error, at)
        self._server.__exit__(kind, error, at)


class ProcessContext(Context):
    """A process for each program: what hangs in a thread cannot be stopped.

    Args:
        command: Its program, which reads a job from stdin.
        folder: The folder that `prepare()` filled, if the program needs it.
    """

    def __init__(self, command: list[str], folder: Path | None = None) -> None:
        super().__init__()
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._log: list[str] = []

    def log(self) -> str:
        lines = self._log.copy()
        del self._log[: len(lines)]
        return "".join(lines)

    def _begin(self, job: dict[str, str]) -> None:
        self._kill()
        pipe = subprocess.PIPE
        self._process = process = subprocess.Popen(
            self._command, cwd=self._folder, env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe, encoding="utf-8"
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        threading.Thread(target=self._listen, args=(process.stdout, self._inbox), daemon=True).start()
        threading.Thread(target=self._collect, args=(process.stderr,), daemon=True).start()
        with process.stdin as stdin:
            json.dump(job, stdin)

    def _listen(self, stdout: IO[str], inbox: "queue.Queue[tuple[str, str]]") -> None:
        with stdout:
            for line in stdout:
                kind, text = json.loads(line)
                inbox.put((kind, text))
        inbox.put(("gone", "the process ended"))

    def _collect(self, stderr: IO[str]) -> None:
        with stderr:
            for line in stderr:
                self._log.append(line)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
