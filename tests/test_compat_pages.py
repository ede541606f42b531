"""The documented programs of Brython's WebSocket, in real pages over unisocket: clicked, typed into, and read."""

import json
import queue
import socket
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import count
from pathlib import Path

import pytest
from browser.chromium import Chromium
from browser.server import PageServer
from seed_programs import serving, source_of
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

pytestmark = pytest.mark.browser

# What a program prints stands in the page; its timers run a hundred times as fast.
PAGE = """\
<!doctype html>
<meta charset="utf-8">
<title>{name}</title>
<link rel="icon" href="data:,">
<script src="brython/brython.js"></script>
<script src="brython/brython_stdlib.js"></script>
<script src="unisocket.brython.js"></script>
{body}
<pre id="printed"></pre>
<script type="text/python">
import sys

from browser import document, timer

import unisocket.compat.brython

unisocket.compat.brython.install()


class Printed:
    def write(self, text):
        document["printed"].text += text


def faster(function):
    return lambda callback, milliseconds: function(callback, milliseconds / 100)


sys.stdout = sys.stderr = Printed()
timer.set_timeout = faster(timer.set_timeout)
timer.set_interval = faster(timer.set_interval)
</script>
<script type="text/python" id="program">
{program}
</script>
"""

Show = Callable[..., Chromium]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    browser = Chromium(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.quit()


@pytest.fixture
def show(browser: Chromium, served_folder: Path) -> Iterator[Show]:
    """Show the page of a program that talks to a server at an address."""
    with PageServer(served_folder, lambda run, kind, text: None, {}) as server:

        def show(name: str, address: str, body: str = "", more: str = "") -> Chromium:
            page = served_folder / f"{name}.html"
            page.write_text(PAGE.format(name=name, body=body, program=source_of(name, address) + more))
            browser.show(server.url + page.name)
            return browser

        yield show


def printed(browser: Chromium) -> list[str]:
    return browser.text("printed").splitlines()


def test_example_page_opens_sends_and_closes_as_its_buttons_say(show: Show) -> None:
    heard: queue.Queue[object] = queue.Queue()

    def echo(websocket: ServerConnection) -> None:
        heard.put("open")
        for message in websocket:
            heard.put(message)
            websocket.send(message)
        heard.put((websocket.close_code, websocket.close_reason))

    body = """
<input id="data">
<button id="openbtn">Open</button>
<button id="sendbtn" disabled>Send</button>
<button id="closebtn" disabled>Close</button>
"""
    with serving(echo) as address:
        browser = show("brython_example", address, body)
        enabled = (
            "return ['openbtn', 'sendbtn', 'closebtn'].filter(id => !document.getElementById(id)?.disabled).join()"
        )
        browser.wait(
            "return document.getElementById('printed') && window.__BRYTHON__?.imported.program ? 'up' : ''", "up"
        )
        browser.click("#openbtn")
        browser.wait(enabled, "sendbtn,closebtn")
        for text in ("Hello", "grüße"):
            browser.type("#data", text)
            browser.click("#sendbtn")
            assert browser.alert() == f"Message received : {text}"
            assert heard.get(timeout=10) == ("open" if text == "Hello" else "Hello")
            browser.run("document.getElementById('data').value = ''")
        browser.click("#closebtn")
        assert browser.alert() == "Connection is closed"
        browser.wait(enabled, "openbtn")
        assert [heard.get(timeout=10), heard.get(timeout=10)] == ["grüße", (1000, "")]
        # It can be opened again.
        browser.click("#openbtn")
        browser.wait(enabled, "sendbtn,closebtn")
        browser.click("#closebtn")
        assert browser.alert() == "Connection is closed"
        assert printed(browser) == []


def test_basic_program_prints_each_event(show: Show) -> None:
    def greet(websocket: ServerConnection) -> None:
        assert websocket.request
        websocket.send(f"{websocket.request.path} {websocket.recv(decode=True)}")
        websocket.close(4001, "bye")

    with serving(greet) as address:
        browser = show("brython_basic", address)
        browser.wait("return document.getElementById('printed')?.textContent.includes('closed')", True)
        assert printed(browser) == [
            "WebSocket connection established",
            "Received: /chat Hello Server!",
            "Connection closed: 4001 - bye",
        ]


def test_chat_shows_what_is_said_and_says_what_is_typed(show: Show) -> None:
    heard: queue.Queue[object] = queue.Queue()

    def chat(websocket: ServerConnection) -> None:
        heard.put(json.loads(websocket.recv()))
        for reply in (
            {"type": "join", "username": "Ada"},
            {"type": "message", "username": "Ada", "text": "grüße 😀"},
            {"type": "error", "message": "too many users"},
            {"type": "leave", "username": "Ada"},
        ):
            websocket.send(json.dumps(reply))
        websocket.send("no JSON")
        for message in websocket:
            heard.put(json.loads(message))
            websocket.send(message)
            if json.loads(message)["text"] == "drop me":
                websocket.socket.shutdown(socket.SHUT_RDWR)

    lines = "return [...document.querySelectorAll('body > div > div:first-child > div')].map(div => div.textContent)"
    greeting = [
        "Connected to chat server",
        "Ada joined the chat",
        "Ada: grüße 😀",
        "Error: too many users",
        "Ada left the chat",
        "Received: no JSON",
    ]
    with serving(chat) as address:
        browser = show("brython_chat", address)
        browser.wait(lines, greeting)
        assert heard.get(timeout=10) == {"type": "join", "username": "User"}
        browser.type("input", "  by the button ")
        browser.click("button")
        browser.wait(lines, [*greeting, "User: by the button"])
        browser.type("input", "by the key\n")
        browser.wait(lines, [*greeting, "User: by the button", "User: by the key"])
        browser.click("button")  # there is nothing to send
        browser.type("input", "drop me\n")
        browser.wait(
            lines,
            [
                *greeting,
                *("User: by the button", "User: by the key", "User: drop me"),
                *("Connection error", "Disconnected from server"),
            ],
        )
        browser.type("input", "too late\n")
        browser.click("button")
        assert browser.run("return document.querySelector('input').value") == "too late"
        sent = [
            {"type": "message", "username": "User", "text": text} for text in ("by the button", "by the key", "drop me")
        ]
        assert [heard.get(timeout=10) for _ in sent] == sent
        assert heard.empty()
        assert printed(browser) == []


def test_ticker_shows_the_newest_quotes(show: Show) -> None:
    heard: queue.Queue[object] = queue.Queue()

    def tick(websocket: ServerConnection) -> None:
        assert websocket.request
        heard.put((websocket.request.path, json.loads(websocket.recv())))
        for symbol, price, change, volume in (
            ("AAPL", 190.5, 1.25, 1234567),
            ("TSLA", 240, -3.333, 89),
            ("AAPL", 189.123, -0.127, 1234999),
        ):
            quote = {"type": "quote", "symbol": symbol, "price": price, "change": change, "volume": volume}
            websocket.send(json.dumps(quote))
        websocket.send(json.dumps({"type": "news"}))
        websocket.send("[")
        websocket.recv()

    rows = (
        "return [...document.querySelectorAll('tr')].map(row => [...row.children].map(cell => cell.textContent).join())"
    )
    colours = "return [...document.querySelectorAll('td:nth-child(3)')].map(cell => cell.style.color)"
    with serving(tick) as address:
        browser = show("brython_ticker", address)
        browser.wait(rows, ["Symbol,Price,Change,Volume", "AAPL,$189.12,-0.13,1,234,999", "TSLA,$240.00,-3.33,89"])
        browser.wait(colours, ["red", "red"])
        symbols = ["AAPL", "GOOGL", "MSFT", "TSLA", "AMZN"]
        assert heard.get(timeout=10) == ("/stocks", {"action": "subscribe", "symbols": symbols})
        browser.wait("return document.getElementById('printed').textContent.includes('Error')", True)
        connected, error = printed(browser)
        assert connected == "Connected to stock data stream"
        assert error.startswith("Error processing data: ")


def test_reliable_connection_beats_reconnects_and_closes(show: Show) -> None:
    heard: queue.Queue[object] = queue.Queue()
    numbers = count(1)

    def serve(websocket: ServerConnection) -> None:
        number = next(numbers)
        if number == 1:
            heard.put(websocket.recv())
            websocket.send("pong")
            websocket.send("news")
            websocket.socket.shutdown(socket.SHUT_RDWR)
        elif number == 2:
            websocket.close(4001)
        else:
            while (message := websocket.recv()) == "ping":
                pass
            heard.put(message)
            websocket.send("you said " + str(message))
            for _ in websocket:
                pass
            heard.put((websocket.close_code, websocket.close_reason))

    body = '<button id="send">Send</button><button id="close">Close</button>'
    more = """
from browser import document

document["send"].bind("click", lambda event: reliable_ws.send("hello"))
document["close"].bind("click", lambda event: reliable_ws.close())
"""
    text = "return document.getElementById('printed')?.textContent.split('\\n').at(-2)"
    with serving(serve) as address:
        browser = show("brython_reliable", address, body, more)
        again = [f"Connecting to ws://{address}/api...", "Connected successfully"]
        expected = [
            *again,
            "Heartbeat response received",
            "Received: news",
            *("Connection error", "Connection closed", "Reconnecting in 1000ms (attempt 1)"),
            *again,
            *("Connection closed", "Reconnecting in 1000ms (attempt 1)"),
            *again,
            "Received: you said hello",
        ]
        browser.wait("return document.getElementById('printed')?.textContent.split('Connected').length", 4)
        browser.click("#send")
        browser.wait(text, "Received: you said hello")
        assert printed(browser) == expected
        browser.click("#close")
        browser.wait(text, "Connection closed")
        browser.click("#send")
        assert [heard.get(timeout=10) for _ in range(3)] == ["ping", "hello", (1000, "Client closing")]
        assert printed(browser) == [*expected, "Connection closed", "Cannot send - not connected"]


def test_reliable_connection_gives_up_after_five_attempts(show: Show) -> None:
    def refuse(websocket: ServerConnection, request: Request) -> Response:
        return websocket.respond(HTTPStatus.SERVICE_UNAVAILABLE, "no\n")

    with serving(lambda websocket: None, process_request=refuse) as address:
        browser = show("brython_reliable", address)
        browser.wait("return document.getElementById('printed')?.textContent.includes('Max')", True)
        failure = [f"Connecting to ws://{address}/api...", "Connection error", "Connection closed"]
        expected = []
        for attempt in range(1, 6):
            expected += [*failure, f"Reconnecting in {1000 * 2 ** (attempt - 1)}ms (attempt {attempt})"]
        assert printed(browser) == [*expected, *failure, "Max reconnection attempts reached"]
