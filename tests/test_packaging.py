"""What is in the wheel, and that every runtime can read it."""

import ast
import json
import re
import subprocess
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from browser.contexts import open_context

ROOT = Path(__file__).parents[1]

# Modules for one runtime, or for CPython and Pyodide, which are one Python: not in the shared dialect.
NOT_PORTABLE = {
    "unisocket/__main__.py",
    "unisocket/_assets.py",
    "unisocket/_minify.py",
    "unisocket/adapters/_asyncio.py",
    "unisocket/adapters/_blocking.py",
    "unisocket/adapters/_buffers.py",
    "unisocket/adapters/_connecting.py",
    "unisocket/adapters/_cpython.py",
    "unisocket/adapters/_deflate.py",
    "unisocket/adapters/_frames.py",
    "unisocket/adapters/_language.py",
    "unisocket/adapters/_responses.py",
    "unisocket/adapters/_threads.py",
    "unisocket/adapters/_websockets.py",
    "unisocket/adapters/cpython.py",
    "unisocket/adapters/pyodide.py",
    "unisocket/testing/_endpoint.py",
    "unisocket/testing/_wire.py",
    "unisocket/testing/peer.py",
}
# Adapters that only their own runtime can import.
OWN = {"unisocket.adapters.brython": "brython", "unisocket.adapters.micropython": "micropython"}

# Reports what is wrong with each module, "" if nothing.
COMPILE = """
import json


async def main(report, sources):
    for name in sources:
        wrong = ""
        try:
            compile(sources[name], name, "exec")
        except SyntaxError as error:
            wrong = repr(error)
        report(json.dumps([name, wrong]))
"""
IMPORT = """
import json


async def main(report, names):
    for name in names:
        wrong = ""
        try:
            __import__(name)
        except Exception as error:
            wrong = repr(error)
        report(json.dumps([name, wrong]))
"""


@pytest.fixture(scope="session")
def archive(wheel: Path) -> dict[str, bytes]:
    """The files of the wheel, in their order."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def portable(archive: dict[str, bytes]) -> dict[str, str]:
    """The modules in the dialect of all runtimes."""
    names = [name for name in archive if name.endswith(".py") and name not in NOT_PORTABLE]
    assert names
    return {name: archive[name].decode() for name in names}


def test_wheel_has_the_files_of_both_folders_and_no_others(archive: dict[str, bytes]) -> None:
    expected = {}
    for folder, package in (("unisocket", "unisocket"), ("adapters", "unisocket/adapters")):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                expected[f"{package}/{file.relative_to(ROOT / folder).as_posix()}"] = file.read_bytes()
    assert {name: data for name, data in archive.items() if ".dist-info/" not in name} == expected


def test_top_level_is_unisocket_alone(archive: dict[str, bytes]) -> None:
    tops = {name.split("/")[0] for name in archive}
    assert {top for top in tops if not re.fullmatch(r"unisocket-[\d.]+\.dist-info", top)} == {"unisocket"}


def test_each_folder_of_the_wheel_comes_after_the_one_that_holds_it(archive: dict[str, bytes]) -> None:
    """PyScript 0.7 unpacks a wheel for MicroPython file by file, and makes one level of folders at a time."""
    made = {""}
    for name in archive:
        folder, _, _ = name.rpartition("/")
        above, _, _ = folder.rpartition("/")
        assert above in made, name
        made.add(folder)


def test_no_dependency_is_for_the_browser(archive: dict[str, bytes]) -> None:
    """micropip would ask a package index for it."""
    (metadata,) = (message_from_bytes(data) for name, data in archive.items() if name.endswith(".dist-info/METADATA"))
    needed = metadata.get_all("Requires-Dist") or []
    assert needed
    assert [line for line in needed if 'sys_platform != "emscripten"' not in line and "extra ==" not in line] == []
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"


def test_portable_modules_do_not_await_in_comprehensions(portable: dict[str, str]) -> None:
    """In Brython 3.15 `[x for x in await f()]` is a promise; MicroPython refuses some of them."""
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    found = [
        f"{name}:{node.lineno}"
        for name, source in portable.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, comprehensions) and any(isinstance(inner, ast.Await) for inner in ast.walk(node))
    ]
    assert not found, found


@pytest.mark.browser
@pytest.mark.parametrize("runtime", ["brython", "micropython"])
def test_portable_modules_compile_and_import(runtime: str, served_folder: Path, portable: dict[str, str]) -> None:
    modules = [name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in portable]
    importable = [name for name in modules if OWN.get(name, runtime) == runtime]
    with open_context(runtime, served_folder) as context:
        compiled = dict(context.run(COMPILE, portable))
        imported = dict(context.run(IMPORT, importable))
    assert compiled == dict.fromkeys(portable, "")
    assert imported == dict.fromkeys(importable, "")


def test_no_file_of_the_project_names_a_package_registry() -> None:
    """Where packages come from is the business of each machine's pip and npm."""
    # Any address of theirs, and the bare name; spelt in parts, for this file is looked at, too.
    names = ["".join(parts).encode() for parts in (("py", "pi"), ("python", "hosted"), ("npm", "js"))]
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\0")
    files = [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    assert files
    # Whole words: a digest may have the letters by chance.
    named = re.compile(rb"(?<![a-z\d])(?:%b)(?![a-z\d])" % b"|".join(names), re.IGNORECASE)
    assert [(str(file), found) for file in files for found in named.findall(file.read_bytes())] == []


def test_lock_file_pins_what_package_json_asks_for() -> None:
    """And names no address of a package."""
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    versions = {name: version.rpartition("@")[2] for name, version in wanted.items()}  # behind another name, maybe
    assert {name: lock[f"node_modules/{name}"]["version"] for name in wanted} == versions
    assert [name for name, package in lock.items() if "resolved" in package] == []
