"""The server of the pages: files, the job that a page is to run, and where it reports to."""

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from browser.plain import Serving


class PageServer(Serving):
    """Serves a folder on a port of its own, as a context manager.

    Args:
        folder: Its files are served, and `harness.js` with the job before it.
        on_word: Is called with what a page says: the number of its run, a kind ("begin", "report",
            "end", and "gone" when the page is no more) and a text. Called in threads of the server.
        headers: Of all answers.

    Attributes:
        url: Address of the folder, with a slash at the end.
        job: What the page in the browser is to run; with its number as "run".
    """

    def __init__(
        self, folder: Path, on_word: Callable[[int, str, str], None], headers: Mapping[str, str] | None = None
    ) -> None:
        self.job: dict[str, Any] = {}
        self.folder = folder
        self.on_word = on_word
        self.headers = headers or {}
        super().__init__(_HttpServer(("127.0.0.1", 0), partial(_Handler, self, directory=str(folder))))


class _HttpServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone; anything else is a fault of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    # Python's table depends on the machine, and a browser takes modules and wasm by their types only.
    extensions_map = {
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".mjs": "text/javascript; charset=utf-8",
        ".py": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }
    protocol_version = "HTTP/1.1"
    # Head and body leave in two writes, and the second must not wait for the browser's delayed ACK.
    disable_nagle_algorithm = True

    def __init__(self, page_server: PageServer, *arguments: Any, **keywords: Any) -> None:
        self.page_server = page_server
        super().__init__(*arguments, **keywords)

    def do_GET(self) -> None:
        server = self.page_server
        if self.path == "/harness.js":
            job = f"const job = {json.dumps({**server.job, 'url': server.url})};\n"
            self._answer(job.encode() + (server.folder / "harness.js").read_bytes(), self.extensions_map[".js"])
        elif self.path.startswith("/alive?"):
            # Not answered: the browser drops the connection when the page is left or has crashed.
            self.close_connection = True
            self.rfile.read(1)
            self._hear("the page is no more", "gone")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self._hear(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._answer(b"", "text/plain")

    def _hear(self, text: str, kind: str = "") -> None:
        target = urlsplit(self.path)
        run = int(parse_qs(target.query)["run"][0])
        self.page_server.on_word(run, kind or target.path.removeprefix("/"), text)

    def end_headers(self) -> None:
        # Ask each time, and take a 304 for what has not changed.
        self.send_header("Cache-Control", "no-cache")
        for name, value in self.page_server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
