"""Chromium, or a Chrome, without a window."""

import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from browser.runtimes import MissingError
from peer_process import ENVIRONMENT
from selenium import webdriver
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.wait import WebDriverWait

# Debian's name and the others' on the PATH, then where macOS and Windows have it.
PROGRAMS = (
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chromium-browser",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
)
FLAGS = (
    "--headless",
    "--disable-back-forward-cache",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--enable-logging",
    "--log-level=0",
    "--no-first-run",
)

# What the driver says of a tab whose process has ended; pyproject.toml has a test run again then, once.
CRASHED = "tab crashed"

# Seconds that a page may take for what a test waits for; none should take ten.
PATIENCE = 60.0

# What begins an entry of the log, and ends the one before.
_ENTRY = re.compile(r"^\[[^\]\n]*?(\w+:CONSOLE)?(?::\d+)?\] ", re.MULTILINE)


def find() -> str | None:
    """Return the browser of this machine, if there is one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def installed() -> str:
    """Return the browser of this machine.

    Raises:
        MissingError: There is none.
    """
    found = find()
    if found is None:
        raise MissingError("Chrome or Chromium is missing: install it (Debian: chromium and chromium-driver)")
    return found


class Chromium:
    """A browser with one tab.

    Args:
        folder: For the profile and the log; it may not go before `quit()`.

    Raises:
        MissingError: There is no browser.
    """

    def __init__(self, folder: Path) -> None:
        log = folder / "chromium.log"
        options = webdriver.ChromeOptions()
        options.binary_location = installed()
        # A page says itself when it is ready; one that never is must not block the driver.
        options.page_load_strategy = "none"
        for flag in (*FLAGS, f"--log-file={log}", f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(flag)
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        # Chromium has a socket in TMPDIR, whose path may be too long for one: nox puts it below the checkout.
        environment = {name: value for name, value in ENVIRONMENT.items() if name != "TMPDIR"}
        # Without a chromedriver on the PATH selenium looks for one.
        self._driver = webdriver.Chrome(options, Service(shutil.which("chromedriver"), env=environment))
        self._log = log.open(encoding="utf-8", errors="replace")

    @property
    def version(self) -> str:
        """The version of the browser."""
        return str(self._driver.capabilities["browserVersion"])

    def show(self, url: str) -> None:
        """Begin to load a page; in another tab, if the last one crashed."""
        try:
            self._driver.get(url)
            self.address()  # the driver may tell of a crash no sooner
        except WebDriverException as error:
            if CRASHED not in str(error):
                raise
            self._driver.switch_to.new_window("tab")
            self._driver.get(url)

    def address(self) -> str:
        """Return the address of the page that is there now: that of `show()`, once it has begun to come."""
        return str(self.look("return location.href"))

    def text(self, element: str) -> str:
        """Return the text of an element of the page, by its id; "" as long as there is none."""
        script = "return document.getElementById(arguments[0])?.textContent ?? ''"
        return str(self.look(script, element))

    def look(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript that only looks at the page.

        The answer may be lost where another page is just coming: then it is asked for once more.
        """
        try:
            return self._driver.execute_script(script, *arguments)
        except TimeoutException:
            return self._driver.execute_script(script, *arguments)

    def run(self, script: str) -> Any:
        """Run JavaScript in the page, and give what it returns."""
        return self._driver.execute_script(script)

    def wait(self, script: str, expected: Any) -> None:
        """Wait until JavaScript returns a value.

        Raises:
            AssertionError: It has not after `PATIENCE`.
        """
        until = time.monotonic() + PATIENCE
        while (value := self.look(script)) != expected:
            if time.monotonic() > until:
                raise AssertionError(f"{script} is {value!r}, not {expected!r}\n{self.console()}".rstrip())
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Click on an element, as a user does."""
        self._driver.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, selector: str, text: str) -> None:
        """Type into an element; a line feed is the key Enter."""
        self._driver.find_element(By.CSS_SELECTOR, selector).send_keys(text.replace("\n", Keys.ENTER))

    def alert(self) -> str:
        """Wait for an alert of the page; accept it, and return its text."""
        alert = WebDriverWait(self._driver, PATIENCE).until(alert_is_present())
        text = str(alert.text)
        alert.accept()
        return text

    def heap(self) -> int:
        """Collect the garbage of the page, and return how many bytes JavaScript and the DOM keep."""
        self._driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        usage = self._driver.execute_cdp_cmd("Runtime.getHeapUsage", {})
        return int(usage["usedSize"] + usage["embedderHeapUsedSize"])

    def console(self) -> str:
        """Return what has been written to the console since the last call.

        It is read from the log, for the driver does not answer while a page hangs.
        """
        _, *entries = _ENTRY.split(self._log.read())
        return "".join(text for kind, text in zip(entries[::2], entries[1::2], strict=True) if kind)

    def quit(self) -> None:
        """End the browser, whatever its page does."""
        self._driver.quit()
        self._log.close()
