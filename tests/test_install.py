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
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from browser.chromium import Chromium
from browser.contexts import open_context
from browser.plain import PlainServer
from test_packaging import NOT_PORTABLE
from websockets.sync.server import ServerConnection, serve

import unisocket
from unisocket._assets import NPM, PARTS, RUNTIMES, brython_bundle, lay_out, micropython_files, sources
from unisocket._minify import minify

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
    browser.show(url)
    said = ""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        # For a moment the last page may be there still.
        if browser.address() == url:
            said += browser.console()
            text = browser.text("out") + said
            if until in text:
                return text
        time.sleep(0.1)
    raise AssertionError(f"{until!r} is not what {url} says within {PATIENCE:g} s: {browser.text('out')}\n{said}")


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


def test_documentation_names_this_version_and_the_runtimes_that_are_tested() -> None:
    tested = json.loads((ROOT / "package.json").read_text())["dependencies"]
    assert {name: tested[name] for name, _ in NPM.values()} == dict(NPM.values())
    named = re.findall(r"(@?[\w/-]+)@(\d[\w.-]*)", PAGE)
    assert {name for name, _ in named} == set(tested)
    assert [name for name, version in named if tested[name] != version] == []
    assert set(re.findall(r"unisocket-([\d.]+)-py3", PAGE)) == {unisocket.__version__}


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

        total = sum([again(part) for part in range(3)])
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
    outcomes = []
    for text in (program, minify(program)):
        names: dict[str, object] = {}
        exec(compile(text, "program", "exec"), names)  # noqa: S102
        outcomes.append(names["result"])
    assert outcomes[0] == outcomes[1]
    assert len(minify(program)) < len(program) / 1.5
    assert "Docstring" not in minify(program)


def test_minify_has_done_with_a_module_at_once() -> None:
    for name, source in sources("micropython").items():
        short = minify(source)
        ast.parse(short)
        assert minify(short) == short, name


# The files in a browser, from a plain server.


def serve_page(stack: ExitStack, folder: Path, page: str, *runtimes: Path) -> PlainServer:
    """Serve a page, and runtimes beside it."""
    (folder / "index.html").write_text(f'<!doctype html><link rel="icon" href="data:,"><pre id="out"></pre>{page}')
    for runtime in runtimes:
        (folder / runtime.name).symlink_to(runtime)
    return stack.enter_context(PlainServer(folder))


BRYTHON = '<script src="brython/brython.js"></script><script src="brython/brython_stdlib.js"></script>'


@pytest.mark.browser
def test_brython_imports_a_folder_with_one_404_for_each_package(
    served_folder: Path, browser: Chromium, echo: str, tmp_path: Path
) -> None:
    (tmp_path / "unisocket").symlink_to(Path(unisocket.__file__).parent)
    page = f'{BRYTHON}<script type="text/python">{HELLO.replace("URL", echo)}</script>'
    with ExitStack() as stack:
        server = serve_page(stack, tmp_path, page, served_folder / "brython")
        shown(browser, server.url, GREETING)
    assert sorted(server.failed()) == ["/unisocket.py", "/unisocket/adapters.py"]
    asked = {path for path, _ in server.log}
    assert not [path for path in asked if re.search("testing|compat|sync|cpython|pyodide|micropython", path)]


@pytest.mark.browser
def test_brython_loads_the_parts_from_scripts_of_their_own(
    served_folder: Path, browser: Chromium, tmp_path: Path
) -> None:
    scripts = ""
    for part in PARTS:
        name = f"unisocket-{part}.brython.js" if part else "unisocket.brython.js"
        (tmp_path / name).write_text(brython_bundle(part), encoding="utf-8")
        scripts += f'<script src="{name}"></script>'
    program = "import unisocket.testing.runner\nimport unisocket.compat.pyscript\nprint('all there')"
    page = f'{BRYTHON}{scripts}<script type="text/python">{program}</script>'
    with ExitStack() as stack:
        server = serve_page(stack, tmp_path, page, served_folder / "brython")
        shown(browser, server.url, "all there")
    assert server.failed() == []


@pytest.mark.browser
@pytest.mark.parametrize("way", ["micropip", "py-wheel", "mpy-wheel", "mpy-parts"])
def test_wheel_and_lists_load_from_a_plain_server(
    way: str, wheel: Path, served_folder: Path, browser: Chromium, echo: str, tmp_path: Path
) -> None:
    (tmp_path / wheel.name).symlink_to(wheel)
    program = HELLO.replace("URL", echo)
    interpreter, packages = "pyodide/pyodide.mjs", [wheel.name]
    if way == "mpy-parts":
        packages = ["unisocket.json", "unisocket-testing.json", "unisocket-compat.json"]
        command = [sys.executable, "-P", "-m", "unisocket", "micropython-files", str(tmp_path)]
        for part in PARTS:
            subprocess.run([*command, *["--part", part] * bool(part)], check=True)
        program = f"import unisocket.testing.runner, unisocket.compat.pyscript\n{program}"
    if way.startswith("mpy"):
        interpreter = "micropython/micropython.mjs"
    if way == "micropip":
        page = f"""<script type="module">
import {{ loadPyodide }} from "./{interpreter}";
const pyodide = await loadPyodide();
await pyodide.loadPackage("micropip");
await pyodide.pyimport("micropip").install(new URL("{wheel.name}", location.href).href);
await pyodide.runPythonAsync(`{program}`);
</script>"""
    else:
        page = f"""<script type="module" src="pyscript/core.js"></script>
<script>
const here = (name) => new URL(name, location.href).href;
const script = document.createElement("script");
script.type = "{way.split("-")[0]}";
script.textContent = `{program}`;
script.setAttribute("config", JSON.stringify({{
  interpreter: here("{interpreter}"), packages: {json.dumps(packages)}.map(here)
}}));
document.head.append(script);
</script>"""
    with ExitStack() as stack:
        runtimes = [served_folder / name for name in ("pyodide", "micropython", "pyscript")]
        server = serve_page(stack, tmp_path, page, *runtimes)
        shown(browser, server.url, GREETING)
    assert server.failed() == []


# What is wrong is said once, with the cure.

HALF = """
import sys


async def main(report, arguments):
    import json

    CRIPPLE
    said = []
    for _ in range(2):
        try:
            import unisocket
        except ImportError as error:
            said.append(str(error))
    report(json.dumps([said, [name for name in sys.modules if name == "unisocket"]]))
"""
# Makes `import sys` bring another; the rest of it is as it was.
OLD = """class Implementation:
        name = sys.implementation.name
        version = (0, 9)

    class Sys:
        implementation = Implementation
        platform = sys.platform

    sys.modules["sys"] = Sys"""
NEEDED = {"brython": "Brython 3.14", "micropython": "MicroPython 1.24", "pyodide": "Pyodide 0.26, with Python 3.12"}
# Takes the adapter away.
REMOVE = {
    "brython": 'from browser import window\n    del window.__BRYTHON__.VFS["unisocket.adapters.brython"]',
    "micropython": 'import os\n    os.remove("/lib/unisocket/adapters/micropython.py")',
    "pyodide": 'import os, site\n    os.remove(site.getsitepackages()[0] + "/unisocket/adapters/pyodide.py")',
}


@pytest.mark.browser
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_import_refuses_a_runtime_that_is_too_old_each_time(runtime: str, served_folder: Path) -> None:
    with open_context(runtime, served_folder) as context:
        ((said, left),) = context.run(HALF.replace("CRIPPLE", OLD), {})
    error = f"unisocket needs {NEEDED[runtime]} or newer, and this is 0.9: load a newer one"
    assert (said, left) == ([error, error], [])


@pytest.mark.browser
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_import_names_an_adapter_that_is_missing_each_time(runtime: str, served_folder: Path) -> None:
    with open_context(runtime, served_folder) as context:
        ((said, left),) = context.run(HALF.replace("CRIPPLE", REMOVE[runtime]), {})
    assert said[0] == said[1]
    assert f"unisocket/adapters/{runtime}.py must be there" in said[0]
    assert left == []


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


@pytest.mark.browser
@pytest.mark.parametrize(
    ("runtime", "missing"),
    [
        ("brython", "brython/brython.js"),
        ("brython", "brython/brython_stdlib.js"),
        ("brython", "unisocket.brython.js"),
        ("pyodide", "pyodide/pyodide.mjs"),
        ("pyodide", "pyodide/pyodide.asm.wasm"),
        ("pyodide", "unisocket.zip"),
        ("micropython", "micropython/micropython.mjs"),
        ("micropython", "micropython/micropython.wasm"),
        ("micropython", "unisocket.json"),
        ("micropython", "unisocket/_events.py"),
        ("micropython", "hello.py"),
    ],
)
def test_page_names_a_file_that_is_missing(runtime: str, missing: str, sites: Path, browser: Chromium) -> None:
    with PlainServer(sites / runtime, missing=(missing,)) as server:
        shown(browser, server.url, AGAIN)
        assert re.fullmatch(
            rf"{server.url}{missing} is missing( \(HTTP 404\))?: {re.escape(AGAIN)}", browser.text("out")
        )


@pytest.mark.browser
@pytest.mark.parametrize(
    ("runtime", "file", "wanted"),
    [
        ("pyodide", "pyodide/pyodide.mjs", "text/javascript"),
        ("pyodide", "pyodide/pyodide.asm.wasm", "application/wasm"),
        ("micropython", "micropython/micropython.mjs", "text/javascript"),
        ("micropython", "micropython/micropython.wasm", "application/wasm"),
    ],
)
def test_page_names_a_file_of_the_wrong_type(
    runtime: str, file: str, wanted: str, sites: Path, browser: Chromium
) -> None:
    with PlainServer(sites / runtime, {file: "text/plain"}) as server:
        shown(browser, server.url, "teach the server this type")
        error = f"{server.url}{file} is sent as text/plain, and a browser takes it as {wanted} only"
        assert browser.text("out") == f"{error}: teach the server this type"


@pytest.mark.browser
def test_page_without_a_server_says_so(sites: Path, browser: Chromium) -> None:
    shown(browser, (sites / "micropython" / "index.html").as_uri(), "python -m http.server")
    assert browser.text("out") == "This page needs a server: python -m http.server"


@pytest.mark.browser
def test_page_says_what_the_program_cannot_reach(sites: Path, browser: Chromium) -> None:
    with PlainServer(sites / "micropython") as server:
        shown(browser, f"{server.url}?url=ws://127.0.0.1:1/", "failed: ")
        shown(browser, f"{server.url}?url=ftp://127.0.0.1/", "failed: ")


# The command line.


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "unisocket", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
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


def test_assets_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    empty = command("assets", str(tmp_path / "site"), "--runtime", "pyodide", "--from", str(tmp_path))
    assert empty.stderr == (
        f"unisocket: {tmp_path} has no pyodide.mjs: `--from` takes the folder that has the files of Pyodide\n"
    )
    no_npm = command("assets", str(tmp_path / "site"), "--runtime", "pyodide", PATH="/nowhere")
    assert no_npm.returncode == 1
    hidden = (
        "import sys; sys.modules['brython'] = None; import runpy; runpy.run_module('unisocket', run_name='__main__')"
    )
    arguments = ["assets", str(tmp_path / "site"), "--runtime", "brython"]
    no_brython = subprocess.run(
        [sys.executable, "-P", "-c", hidden, *arguments], capture_output=True, text=True, check=False
    )
    assert no_brython.stderr.startswith("unisocket: Brython is missing: `pip install brython`")
    assert len(no_brython.stderr.strip().split("\n")) == 1
