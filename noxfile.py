"""What this project can be asked to do: `nox -l` lists it. CI asks for the same, and nothing else.

Everything runs on the wheel, built once for a session: never on the checkout, which has no
`unisocket.adapters`.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests"]
nox.options.reuse_venv = "yes"

PROJECT = nox.project.load_toml("pyproject.toml")
MINORS = (11, 12, 13, 14)  # of CPython 3

# Prints the browser of this machine, or nothing.
FIND_BROWSER = "from browser.chromium import find; print(find() or '')"


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, typing, package, this CPython, all browser runtimes; other CPythons are for the session `cpython`."""
    wheel = install_wheel(session, "lint", "typing")
    check_style(session)
    check_types(session, wheel)
    provide_browser(session)
    provide_display(session)
    pytest(session, wheel)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules and format."""
    install_groups(session, "lint")
    check_style(session)


@nox.session
def typing(session: nox.Session) -> None:
    """mypy --strict on the installed wheel, and on the tests."""
    check_types(session, install_wheel(session, "typing"))


@nox.session
def package(session: nox.Session) -> None:
    """What is in the wheel, whether each runtime can read it, and each way to install it."""
    wheel = install_wheel(session, "test")
    provide_browser(session)
    pytest(session, wheel, "tests/test_packaging.py", "tests/test_install.py")


@nox.session
def artifacts(session: nox.Session) -> None:
    """Write what users load into dist/, or `-- DIR`: the wheel, Brython's scripts, MicroPython's files."""
    wheel = install_wheel(session)
    session.run("python", "-P", "tests/artifacts.py", str(wheel), *session.posargs or ["dist"])


@nox.session
def cpython(session: nox.Session) -> None:
    """The tests that need no browser, on all CPythons that are there."""
    wheel = install_wheel(session, "test")
    provide_display(session)
    pytest(session, wheel, "-m", "not browser")
    test_other_cpythons(session, wheel)


@nox.session
def conformance(session: nox.Session) -> None:
    """The conformance suite on all runtimes; `-- --write` writes docs/support.md as it was measured."""
    wheel = install_wheel(session, "test")
    provide_browser(session)
    pytest(session, wheel, "tests/test_conformance.py")


@nox.session
def engines(session: nox.Session) -> None:
    """The suite and the programs in Chromium, Firefox and WebKitGTK, and in PyScript's workers; takes long.

    `-- --write` writes docs/engines.md as it was measured.
    """
    wheel = install_wheel(session, "test", "engines")
    provide_browser(session)
    provide_display(session)
    for program, name in (("firefox-esr", "firefox-esr"), ("WebKitWebDriver", "webkit2gtk-driver")):
        if not shutil.which(program):
            apt_install(session, name)
    pytest(session, wheel, "tests/test_conformance.py", "tests/test_programs.py", "--engines")


@nox.session
def autobahn(session: nox.Session) -> None:
    """All cases of an Autobahn fuzzing server, which runs already: `-- ws://127.0.0.1:9001`."""
    if not session.posargs:
        session.error("the URL of a fuzzing server is missing: nox -s autobahn -- ws://127.0.0.1:9001")
    install_wheel(session)
    session.run("python", "-P", "tests/autobahn.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """One program on four runtimes, side by side; `-- --serve` stays up for a browser of one's own."""
    wheel = install_wheel(session, "demo")
    provide_browser(session)
    session.run("python", "-P", "demos/echo/run.py", "--wheel", str(wheel), *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """CPython beside its peers, written into docs/performance.md; `-- --quick` is quick, and only prints."""
    install_wheel(session, "bench")
    # Not -P: the programs of bench/ import one another.
    session.run("python", "bench/cpython.py", *(session.posargs or ["--write", "docs/performance.md"]))


@nox.session(name="bench-browser")
def bench_browser(session: nox.Session) -> None:
    """The browser's Pythons beside what they bring, into docs/performance-browser.md; `-- --quick` only prints."""
    wheel = install_wheel(session, "test")
    provide_browser(session)
    options = session.posargs or ["--write", "docs/performance-browser.md"]
    session.run("python", "bench/browsers.py", "--wheel", str(wheel), *options)


@nox.session
def leaks(session: nox.Session) -> None:
    """A thousand connections in one page of each runtime leave nothing there; `tests` opens fewer."""
    wheel = install_wheel(session, "test")
    provide_browser(session)
    pytest(session, wheel, "tests/test_leaks.py", "--connections=1000")


def install_groups(session: nox.Session, *groups: str) -> None:
    """Install groups of dependencies of pyproject.toml."""
    session.install(*nox.project.dependency_groups(PROJECT, *groups))


def install_wheel(session: nox.Session, *groups: str) -> Path:
    """Build the wheel, from an sdist so that this is whole, too; install it, and groups of dependencies."""
    install_groups(session, "package", *groups)
    folder = Path(session.create_tmp()) / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(folder), silent=True)
    (wheel,) = folder.glob("*.whl")
    session.install(str(wheel))
    # The version may be that of an older wheel, which pip would leave there.
    session.install("--force-reinstall", "--no-deps", str(wheel))
    return wheel.resolve()


def provide_browser(session: nox.Session) -> None:
    """See that there is a browser; root gets what is missing from apt."""
    if find_browser(session):
        return
    apt_install(session, "chromium", "chromium-driver")
    if not find_browser(session):
        session.error("Chrome or Chromium is missing: install it (Debian: apt-get install chromium chromium-driver)")


def provide_display(session: nox.Session) -> None:
    """See that a Tk program can run without a screen; root gets what is missing from apt."""
    if not shutil.which("Xvfb"):
        apt_install(session, "python3-tk", "xvfb")


def apt_install(session: nox.Session, *packages: str) -> None:
    """Install packages of Debian, where this is root on one."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return
    session.run("apt-get", "update", external=True)
    session.run("apt-get", "install", "-y", *packages, external=True)


def find_browser(session: nox.Session) -> bool:
    """Ask the tests' harness for the browser."""
    found = session.run("python", "-P", "-c", FIND_BROWSER, env={"PYTHONPATH": "tests"}, silent=True, log=False)
    return bool(str(found).strip())


def check_style(session: nox.Session) -> None:
    """Run ruff."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


def check_types(session: nox.Session, wheel: Path) -> None:
    """Run mypy from an empty folder: in the root it would find ./unisocket, and pass without the adapters."""
    root = Path.cwd()
    mypy = ["mypy", f"--config-file={root / 'pyproject.toml'}"]
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.startswith("unisocket/")}
    # A folder of other files is a package to mypy, too: a namespace.
    folders = {f"{Path(name).parent}/__init__.py" for name in names}
    modules = len({name for name in names if name.endswith(".py")} | folders)
    with session.chdir(session.create_tmp()):
        report = session.run(*mypy, "-p", "unisocket", silent=True, success_codes=[0, 1])
        session.log(report)
        if f"no issues found in {modules} source files" not in str(report):
            session.error(f"mypy has not passed all {modules} modules of the wheel")
        session.run(*mypy, str(root / "tests"), env={"MYPYPATH": str(root / "tests")})
        session.run(*mypy, str(root / "noxfile.py"))


def pytest(session: nox.Session, wheel: Path, *arguments: str, python: str = "python") -> None:
    """Run the tests, with what stands after `--` on the command line."""
    further = ["--write-support" if argument == "--write" else argument for argument in session.posargs]
    # Some files at a time, whatever the machine: most of them wait for a browser, or for nothing to happen.
    at_a_time = ["-n", "4", "--dist", "loadfile"]
    command = [python, "-P", "-m", "pytest", f"--wheel={wheel}", *at_a_time, *arguments, *further]
    session.run(*command, external=python != "python")


def test_other_cpythons(session: nox.Session, wheel: Path) -> None:
    """Run the tests that need no browser on the other CPythons that are there."""
    for name in other_cpythons():
        folder = Path(session.create_tmp()) / Path(name).name
        session.run(name, "-m", "venv", "--clear", str(folder), external=True)
        (python,) = (str(path) for path in folder.glob("*/*") if path.stem == "python")
        groups = nox.project.dependency_groups(PROJECT, "test")
        session.run(python, "-m", "pip", "install", "--quiet", *groups, str(wheel), external=True)
        pytest(session, wheel, "-m", "not browser", python=python)


def other_cpythons() -> list[str]:
    """Return a Python for each supported version but the running one: of the PATH, or of pyenv."""
    found = []
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in MINORS:
        candidates = [f"python3.{minor}", *map(str, sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python3.{minor}")))]
        works = [name for name in candidates if shutil.which(name) and _says_version(name, minor)]
        if works and minor != sys.version_info.minor:
            found.append(works[-1])
    return found


def _says_version(python: str, minor: int) -> bool:
    # A shim of pyenv is there, but fails, for a version that is not switched on.
    done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
    return re.match(rf"Python 3\.{minor}\.", done.stdout) is not None
