"""A plain server of files, as anybody has one, which writes down what was asked for."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit


class Serving:
    """Lets an HTTP server serve, as a context manager.

    Args:
        http: The server.

    Attributes:
        url: Its address, with a slash at the end.
    """

    def __init__(self, http: ThreadingHTTPServer) -> None:
        self._http = http
        self.url = f"http://127.0.0.1:{http.server_port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()


class PlainServer(Serving):
    """Serves a folder on a port of its own.

    Args:
        folder: What is served.
        types: For the end of a path the MIME type that is sent; the others are Python's own choice.
        missing: Paths that are answered with 404, though they may be there.
        page_instead: Send `index.html` in place of 404, as servers of one-page programs do.
        headers: What is sent with each answer.

    Attributes:
        url: Address of the folder, with a slash at the end.
        log: Path and status of each answer.
    """

    def __init__(
        self,
        folder: Path,
        types: dict[str, str] | None = None,
        missing: tuple[str, ...] = (),
        *,
        page_instead: bool = False,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.types = types or {}
        self.missing = missing
        self.page_instead = page_instead
        self.headers = headers or {}
        self.log: list[tuple[str, int]] = []
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, directory=str(folder))))

    def failed(self) -> list[str]:
        """Return the paths that were answered with 404."""
        return [path for path, status in self.log if status == 404]


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, server: PlainServer, *arguments: Any, **keywords: Any) -> None:
        self._plain = server
        super().__init__(*arguments, **keywords)

    def guess_type(self, path: Any) -> str:
        return next((kind for end, kind in self._plain.types.items() if path.endswith(end)), super().guess_type(path))

    def translate_path(self, path: str) -> str:
        file = super().translate_path(path)
        if urlsplit(path).path.removeprefix("/") in self._plain.missing or not Path(file).exists():
            file = super().translate_path("/index.html" if self._plain.page_instead else "/there/is/no/such/file")
        return file

    def end_headers(self) -> None:
        for name, value in self._plain.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        self._plain.log.append((urlsplit(self.path).path, int(code)))

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""
