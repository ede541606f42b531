"""The server of the pages: files, the job that a page is to run, and where it reports to."""

import json
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class PageServer:
    """Serves a folder on a port of its own, as a context manager.

    Attributes:
        url: Address of the folder, with a slash at the end.
        job: What `GET job` answers, as JSON: what the page in the browser is to run.
        on_word: Is called with what a page says: its query, a kind ("begin", "report", "end", and
            "gone" when the page is no more) and a text. Called in threads of the server.
    """

    def __init__(self, folder: Path, on_word: Callable[[str, str, str], None]) -> None:
        self.job: dict[str, str] = {}
        self.on_word = on_word
        self._http = _HttpServer(("127.0.0.1", 0), partial(_Handler, self, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self._http.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()


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
        target = urlsplit(self.path)
        if target.path == "/job":
            self._answer(json.dumps(self.page_server.job).encode(), "application/json")
        elif target.path == "/alive":
            # Not answered: the browser drops the connection when the page is left or has crashed.
            self.close_connection = True
            self.rfile.read(1)
            self.page_server.on_word(target.query, "gone", "the page is no more")
        else:
            super().do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        target = urlsplit(self.path)
        self.page_server.on_word(target.query, target.path.removeprefix("/"), body.decode())
        self._answer(b"", "text/plain")

    def end_headers(self) -> None:
        # Ask each time, and take a 304 for what has not changed.
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
