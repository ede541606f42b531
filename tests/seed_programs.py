"""The programs in seeds/, the servers that they talk to, and what they must print."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from websockets.sync.server import ServerConnection, serve

FOLDER = Path(__file__).with_name("seeds")

# The one line that changes when a program goes over to unisocket.
IMPORTS = {
    "import websockets\n": "from unisocket.compat import websockets\n",
    "from simple_websocket import": "from unisocket.compat.simple_websocket import",
}

Handler = Callable[[ServerConnection], None]


class Seed(NamedTuple):
    """A program.

    Attributes:
        name: Of its file.
        handler: What its server does.
        answers: What its user types; then input ends.
        prints: What it prints.
        needs: "sleep", "tasks" (of asyncio), "tls" or "blocking": what not every runtime has.
    """

    name: str
    handler: Handler
    answers: tuple[str, ...]
    prints: tuple[str, ...]
    needs: str = ""

    @property
    def library(self) -> str:
        """Whose program it is."""
        return "websockets" if self.name.startswith("websockets") else "simple_websocket"

    def source(self, address: str, library: str) -> str:
        """Return its text, for a server at an address, and over the library itself or "unisocket"."""
        text = source_of(self.name, address)
        if library == "unisocket":
            for theirs, ours in IMPORTS.items():
                text = text.replace("\n" + theirs, "\n" + ours)
        return text


def source_of(name: str, address: str) -> str:
    """Return the text of a program, for a server at an address."""
    text = (FOLDER / f"{name}.py").read_text()
    text = re.sub(r"//(localhost|127\.0\.0\.1):\d+", "//" + address, text)
    return re.sub(r"wss?://(echo\.websocket\.org|example\.com)", "ws://" + address, text)


def echo(websocket: ServerConnection) -> None:
    for message in websocket:
        websocket.send(message)


def greet(websocket: ServerConnection) -> None:
    websocket.send(f"Hello {websocket.recv(decode=True)}!")


def tell_time(websocket: ServerConnection) -> None:
    for second in range(3):
        websocket.send(f"2026-11-21T09:00:0{second}Z")


def count(websocket: ServerConnection) -> None:
    value = 0
    websocket.send(json.dumps({"type": "users", "count": 1}))
    websocket.send(json.dumps({"type": "state", "value": value}))
    for message in websocket:
        value += {"plus": 1, "minus": -1}[json.loads(message)["action"]]
        websocket.send(json.dumps({"type": "state", "value": value}))


def take_three(websocket: ServerConnection) -> None:
    if [websocket.recv() for _ in range(3)] == ["1", "2", "3"]:
        websocket.close(1000, "enough")


def talk(websocket: ServerConnection) -> None:
    for _ in range(2):
        websocket.send(f"you said {websocket.recv(decode=True)}")


def answer_once(websocket: ServerConnection) -> None:
    websocket.send(f"you said {websocket.recv(decode=True)}")


def do_as_path_says(websocket: ServerConnection) -> bool:
    """Talk and close, or drop the connection; returns whether it is one of these paths."""
    assert websocket.request
    path = websocket.request.path
    if path == "/talk-and-close":
        websocket.send("text")
        websocket.send(b"binary")
        websocket.close(4001, "bye")
    elif path == "/drop":
        websocket.socket.shutdown(socket.SHUT_RDWR)
    else:
        return False
    return True


def send_both(websocket: ServerConnection) -> None:
    websocket.send("hello")
    websocket.send(b"\x00\xff")


def tell_protocol(websocket: ServerConnection) -> None:
    websocket.send(f"no {websocket.subprotocol}")


# Of `pyscript.websocket`: a program ends when it has printed this.
PYSCRIPT_SEEDS = (
    Seed("pyscript_first", answer_once, (), ("Connected!", "Received: you said Hello server", "Connection closed")),
    Seed("pyscript_event", send_both, (), ("Text: hello", "Binary: 2 bytes")),
    Seed("pyscript_text", echo, (), ("Got: Hello!",)),
    Seed("pyscript_binary", echo, (), ("Binary: 3 bytes",)),
    Seed("pyscript_constructor", tell_protocol, (), ("Connected", "no None")),
    Seed(
        "pyscript_send_and_close",
        echo,
        (),
        ("Hello server!", "[1, 2, 3, 4]", "[5, 6, 7, 8]", "1005", "1000 Task completed"),
    ),
)

SEEDS = (
    Seed("websockets_first", echo, (), ()),
    Seed("websockets_hello", greet, ("Ada",), ("> Ada", "< Hello Ada!")),
    Seed("websockets_secure", greet, ("Ada",), ("> Ada", "< Hello Ada!"), "tls"),
    Seed("websockets_show_time", tell_time, (), tuple(f"2026-11-21T09:00:0{second}Z" for second in range(3))),
    Seed("websockets_counter", count, (), ("1 user", "0", "1", "2", "1")),
    Seed("websockets_consumer", tell_time, (), tuple(f"< 2026-11-21T09:00:0{s}Z" for s in range(3))),
    Seed(
        "websockets_producer",
        take_three,
        (),
        ("received 1000 (OK) enough; then sent 1000 (OK) enough",),
        "sleep",
    ),
    Seed("websockets_both", talk, (), ("< you said one", "< you said two"), "tasks"),
    Seed("simple_websocket_client", echo, ("one", "två"), ("< one", "< två"), "blocking"),
    Seed("simple_websocket_aioclient", echo, ("one", "två"), ("< one", "< två")),
)


@contextmanager
def serving(handler: Handler, **options: Any) -> Iterator[str]:
    """Serve with the library `websockets`; gives "127.0.0.1:PORT"."""
    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


def play(source: str, answers: tuple[str, ...], file: Path) -> list[str]:
    """Run a program here, as a script of a name; returns what it prints."""
    printed: list[str] = []
    left = list(answers)

    def answer(prompt: str) -> str:
        if not left:
            raise EOFError
        return left.pop(0)

    def show(*values: object) -> None:
        printed.append(" ".join(map(str, values)))

    program = {"__name__": "__main__", "__file__": str(file), "input": answer, "print": show}
    exec(compile(source, str(file), "exec"), program)  # noqa: S102  that is the job
    return printed
