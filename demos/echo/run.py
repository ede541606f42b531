"""Runs app.py in CPython, Brython, Pyodide and MicroPython, and shows what each printed, side by side.

`nox -s demo`; with `-- --serve` it stays up, and prints the addresses for a browser of one's own.
"""

import argparse
import asyncio
import contextlib
import http
import mimetypes
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError
from websockets.http11 import Request, Response

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))  # the pages of the tests are served as these are
from browser.chromium import Chromium  # noqa: E402
from browser.runtimes import MissingError, serve_folder  # noqa: E402

PAGES = {"Brython": "brython.html", "Pyodide": "pyodide.html", "MicroPython": "micropython.html"}
PATIENCE = 60.0  # seconds for a page to come up and talk
MIB = 2**20

mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("application/wasm", ".wasm")


async def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    with contextlib.suppress(ConnectionClosedError):  # the program closes with a code of its own
        async for message in connection:
            await connection.send(message)


def files(folder: Path) -> Callable[[ServerConnection, Request], Response | None]:
    """Answer what is no WebSocket from a folder."""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/echo":
            return None
        file = (folder / request.path.lstrip("/").split("?")[0]).resolve()
        if not file.is_relative_to(folder.resolve()) or not file.is_file():
            return connection.respond(http.HTTPStatus.NOT_FOUND, "no such file\n")
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        body = file.read_bytes()
        headers = Headers({"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"})
        return Response(200, "OK", headers, body)

    return answer


def lay_out(wheel: Path, folder: Path) -> None:
    """Put the runtimes, the package and the program into a folder."""
    serve_folder(wheel, folder)
    for file in HERE.iterdir():
        if file.suffix in (".html", ".py"):
            (folder / file.name).write_text(file.read_text().replace("WHEEL", wheel.name))


async def run_cpython(folder: Path, url: str) -> str:
    """Run the program in a process; returns what it printed."""
    # -P: the wheel is shown, not what lies in the working directory; but app.py lies beside cpython.py.
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", str(folder / "cpython.py"), url), stdout=asyncio.subprocess.PIPE, env=environment
    )
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return out.decode()


def run_pages(url: str) -> dict[str, str]:
    """Open the pages one after the other; returns what they printed."""
    transcripts = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Chromium(Path(profile))
        try:
            for name, page in PAGES.items():
                browser.show(url + page)
                end = time.monotonic() + PATIENCE
                text = ""
                while "\nclean: " not in text and time.monotonic() < end:
                    time.sleep(0.1)
                    text = browser.text("out")
                transcripts[name] = text or f"nothing within {PATIENCE:g} s: {browser.console()}"
        finally:
            browser.quit()
    return transcripts


def show(transcripts: dict[str, str]) -> bool:
    """Print the transcripts side by side, and whether they are the same."""
    console = Console()
    width = max(console.width, 60)
    table = Table(title="demos/echo/app.py, unchanged", width=min(width, 150))
    for name in transcripts:
        table.add_column(name, ratio=1, overflow="fold")
    columns = [text.splitlines() for text in transcripts.values()]
    for index in range(max(map(len, columns))):
        table.add_row(*(lines[index] if index < len(lines) else "" for lines in columns))
    console.print(table)
    same = len(set(transcripts.values())) == 1
    console.print("[bold green]same[/]: four runtimes, one transcript" if same else "[bold red]differs[/]")
    return same


async def main(arguments: argparse.Namespace) -> bool:
    """Run the demo; returns whether all transcripts are the same."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lay_out(arguments.wheel, folder)
        async with serve(
            echo, "127.0.0.1", arguments.port, process_request=files(folder), subprotocols=["demo"], max_size=16 * MIB
        ) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            if arguments.serve:
                print("Open in a browser; Ctrl-C ends.", *(url + page for page in PAGES.values()), sep="\n")
                await server.serve_forever()
            return show({"CPython": await run_cpython(folder, url), **await asyncio.to_thread(run_pages, url)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheel", type=Path, required=True, help="the wheel of unisocket")
    parser.add_argument("--serve", action="store_true", help="stay up, and print the addresses")
    parser.add_argument("--port", type=int, default=0)
    try:
        sys.exit(not asyncio.run(main(parser.parse_args())))
    except MissingError as missing:
        sys.exit(str(missing))
    except KeyboardInterrupt:
        pass
