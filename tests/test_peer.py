"""The scripted peer, seen by plain sockets and by `websockets`."""

import hashlib
import json
import select
import socket
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from peer_process import COMMAND, peer_process
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_websocket

from unisocket.testing._wire import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, make_frame, take_frame
from unisocket.testing.payloads import generated, numbered

SECONDS = 15.0  # for anything to happen
# The key, and what must be made of it, of RFC 6455 section 1.3.
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Control:
    """A session, over `websockets`."""

    def __init__(self, base_url: str, websocket: ClientConnection) -> None:
        self._websocket = websocket
        self.url = f"{base_url}/peer/{self.reply()['result']}"
        self._asked = 0

    def post(self, question: str, *arguments: Any) -> None:
        """Ask, and do not wait for the answer."""
        self._asked += 1
        self._websocket.send(json.dumps({"id": self._asked, "ask": question, "arguments": arguments}))

    def reply(self) -> dict[str, Any]:
        """Wait for the next answer."""
        reply: dict[str, Any] = json.loads(self._websocket.recv(SECONDS))
        return reply

    def ask(self, question: str, *arguments: Any) -> Any:
        """Ask, and return what is answered."""
        self.post(question, *arguments)
        reply = self.reply()
        assert "error" not in reply, reply["error"]
        return reply["result"]

    def script(self, *steps: list[Any]) -> None:
        """Set the script of the connections to come."""
        self.ask("script", steps)

    def do(self, *steps: list[Any]) -> None:
        """Run steps on the newest connection."""
        self.ask("do", steps)

    def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the records of a kind, when there are that many."""
        records: list[dict[str, Any]] = self.ask("wait_for", kind, count, SECONDS)
        return records


def masked(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
    """Return a frame as a client sends it."""
    return make_frame(opcode, payload, masked=True, **options)


@contextmanager
def session(base_url: str) -> Iterator[Control]:
    """Run a session as long as the block."""
    with connect_websocket(base_url + "/control", proxy=None) as websocket:
        yield Control(base_url, websocket)


class Client:
    """A connection under test that sends bytes, and reads frames."""

    def __init__(self, url: str) -> None:
        host, _, path = url.removeprefix("ws://").partition("/")
        address, _, port = host.partition(":")
        self.path = "/" + path
        self.socket = socket.create_connection((address, int(port)), SECONDS)
        self._buffer = bytearray()

    def request(self, *extra: str) -> None:
        """Send a sound opening handshake, with more headers."""
        lines = [
            f"GET {self.path} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: keep-alive, Upgrade",
            f"Sec-WebSocket-Key: {KEY}",
            "Sec-WebSocket-Version: 13",
        ]
        self.socket.sendall("\r\n".join([*lines, *extra, "", ""]).encode())

    def upgrade(self) -> "Client":
        """Go through with the opening handshake."""
        self.request()
        assert self.head().startswith("HTTP/1.1 101 ")
        return self

    def head(self) -> str:
        """Read the head of the answer."""
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        return head.decode()

    def send(self, opcode: int, payload: bytes = b"", *, masked: bool = True, **options: Any) -> None:
        """Send a frame."""
        self.socket.sendall(make_frame(opcode, payload, masked=masked, **options))

    def frame(self) -> Frame:
        """Read a frame."""
        while (frame := take_frame(self._buffer)) is None:
            self._read()
        return frame

    def receive(self) -> tuple[int, bytes]:
        """Read a frame, and return what is in it."""
        frame = self.frame()
        return frame.opcode, frame.payload

    def rest(self) -> bytes:
        """Read up to FIN."""
        while data := self.socket.recv(65536):
            self._buffer += data
        return bytes(self._buffer)

    def _read(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"FIN after {bytes(self._buffer)!r}"
        self._buffer += data


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with peer_process() as url:
        yield url


@pytest.fixture
def peer(base_url: str) -> Iterator[Control]:
    with session(base_url) as control:
        yield control


@pytest.fixture
def connect() -> Iterator[Callable[[str], Client]]:
    clients = []

    def connect(url: str) -> Client:
        clients.append(Client(url))
        return clients[-1]

    yield connect
    for client in clients:
        client.socket.close()


@pytest.fixture
def client(peer: Control, connect: Callable[[str], Client]) -> Client:
    """A connection to the peer of the test, not yet asking for anything."""
    return connect(peer.url)


# HTTP


def test_root_answers_with_its_name(base_url: str, connect: Callable[[str], Client]) -> None:
    client = connect(base_url + "/")
    client.request()
    assert client.head().startswith("HTTP/1.1 200 OK")
    assert client.rest() == b"unisocket peer"


@pytest.mark.parametrize("path", ["/peer/nobody", "/peer", "/peer/", "/other", "/controls"])
def test_unknown_paths_and_sessions_are_404(base_url: str, connect: Callable[[str], Client], path: str) -> None:
    client = connect(base_url + path)
    client.request()
    assert client.head().startswith("HTTP/1.1 404 Not Found")
    client.rest()


def test_control_demands_a_websocket(base_url: str, connect: Callable[[str], Client]) -> None:
    client = connect(base_url)
    client.socket.sendall(b"GET /control HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.head().startswith("HTTP/1.1 426 ")


@pytest.mark.parametrize("head", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"x" * 70_000])
def test_what_is_not_http_is_400(base_url: str, connect: Callable[[str], Client], head: bytes) -> None:
    client = connect(base_url)
    client.socket.sendall(head)
    assert client.head().startswith("HTTP/1.1 400 ")


def test_any_origin_is_welcome(client: Client) -> None:
    client.request("Origin: https://evil.example")
    assert client.head().startswith("HTTP/1.1 101 ")


# The opening handshake


def test_default_script_accepts_and_echoes(peer: Control) -> None:
    with connect_websocket(peer.url + "/more?x=1", proxy=None) as websocket:
        websocket.send("héllo 😀")
        assert websocket.recv(SECONDS) == "héllo 😀"
        websocket.send(b"\x00\xff")
        assert websocket.recv(SECONDS) == b"\x00\xff"
        assert websocket.subprotocol is None
    [request] = peer.wait_for("request")
    assert request["path"] == "/peer/" + peer.url.rpartition("/")[2] + "/more?x=1"
    assert request["connection"] == 1
    assert ["Upgrade", "websocket"] in request["headers"]


def test_accept_answers_as_rfc_6455_section_1_3(client: Client) -> None:
    client.request()
    assert client.head().split("\r\n") == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {ACCEPT}",
    ]


def test_accept_takes_options(peer: Control, client: Client) -> None:
    headers = [["upgrade", None], ["X-Number", "1"], ["X-Number", "2"]]
    options = {"protocol": "chat", "extensions": "x-none", "accept": "wrong", "status": "200 Fine", "headers": headers}
    peer.script(["accept", options])
    client.request()
    assert client.head().split("\r\n") == [
        "HTTP/1.1 200 Fine",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: wrong",
        "Sec-WebSocket-Protocol: chat",
        "Sec-WebSocket-Extensions: x-none",
        "X-Number: 1",
        "X-Number: 2",
    ]


def test_accept_without_accept_header(peer: Control, client: Client) -> None:
    peer.script(["accept", {"accept": None, "protocol": None}])
    client.request()
    assert "Sec-WebSocket" not in client.head()


def test_http_answers_and_ends(peer: Control, client: Client) -> None:
    peer.script(["http", 302, [["Location", "ws://elsewhere"]], "gone"])
    client.request()
    assert client.head().split("\r\n") == [
        "HTTP/1.1 302 Found",
        "Location: ws://elsewhere",
        "Connection: close",
        "Content-Length: 4",
    ]
    assert client.rest() == b"gone"


def test_http_takes_any_status_and_length(peer: Control, client: Client) -> None:
    peer.script(["http", 799, [["Content-Length", "9"]]])
    client.request()
    assert client.head().split("\r\n") == ["HTTP/1.1 799 Unknown", "Content-Length: 9", "Connection: close"]


def test_raw_needs_no_handshake(peer: Control, client: Client) -> None:
    peer.script(["raw", b"SSH-2.0\r\n".hex()], ["fin"])
    client.request()
    assert client.rest() == b"SSH-2.0\r\n"


# Steps that send


@pytest.mark.parametrize(
    ("step", "data"),
    [
        (["text", "Hello"], b"\x81\x05Hello"),  # RFC 6455 section 5.7, as the next two
        (["ping", b"Hello".hex()], b"\x89\x05Hello"),
        (["binary", "00" * 256], b"\x82\x7e\x01\x00" + bytes(256)),
        (["binary", "00" * 65536], b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536)),
        (["text", "é😀"], b"\x81\x06\xc3\xa9\xf0\x9f\x98\x80"),
        (["text", "\ud800"], b"\x81\x03\xed\xa0\x80"),
        (["text", ""], b"\x81\x00"),
        (["ping"], b"\x89\x00"),
        (["pong", "01"], b"\x8a\x01\x01"),
        (["close"], b"\x88\x00"),
        (["close", None, ""], b"\x88\x00"),
        (["close", 1000, ""], b"\x88\x02\x03\xe8"),
        (["close", 4999, "é"], b"\x88\x04\x13\x87\xc3\xa9"),
        (["bad_close", "03"], b"\x88\x01\x03"),
        (["raw", "818100"], b"\x81\x81\x00"),
        (["frame", 1, "4865", {"fin": False}], b"\x01\x02He"),
        (["frame", 0, "6c6c6f"], b"\x80\x03llo"),
        (["frame", 11, "", {"rsv": 7}], b"\xfb\x00"),
        (["frame", 9, "00" * 126], b"\x89\x7e\x00\x7e" + bytes(126)),
        (["frame", 2, "0102", {"length": 1 << 62}], b"\x82\x7f\x40" + bytes(7) + b"\x01\x02"),
        (["push", 2, "text", 3], b"\x81\x030..\x81\x031.."),
        (["push", 1, "binary", 2], b"\x82\x020."),
        (["send", "text", 3], b"\x81\x03012"),
        (["send", "binary", 3], b"\x82\x03\x00\x01\x02"),
        (["together", [["text", "a"], ["push", 2, "text", 1], ["ping"]]], b"\x81\x01a\x81\x010\x81\x011\x89\x00"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, list) else "",
)
def test_step_sends_these_bytes(peer: Control, client: Client, step: list[Any], data: bytes) -> None:
    peer.script(["accept"], step, ["fin"])
    assert client.upgrade().rest() == data


def test_frame_can_be_masked(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["frame", TEXT, b"Hello".hex(), {"masked": True}])
    frame = client.upgrade().frame()
    assert frame.masked
    assert frame.payload == b"Hello"


def test_together_is_one_packet(peer: Control, client: Client) -> None:
    peer.script(["together", [["accept"], ["text", "hi"], ["close", 1000, ""]]])
    client.request()
    data = client.socket.recv(65536)
    assert data.startswith(b"HTTP/1.1 101 ")
    assert data.endswith(b"\r\n\r\n\x81\x02hi\x88\x02\x03\xe8")


def test_push_numbers_its_messages(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["push", 2000, "text", 100])
    client.upgrade()
    for number in range(2000):
        assert client.receive() == (TEXT, numbered(number, 100).encode())


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_send_generates_16_mib(peer: Control, kind: str) -> None:
    peer.script(["accept"], ["send", kind, 1 << 24])
    with connect_websocket(peer.url, proxy=None, max_size=None, compression=None) as websocket:
        assert websocket.recv(SECONDS) == generated(kind, 1 << 24)


# Steps about what comes in


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1 << 24])
def test_echo_sends_back_every_size(peer: Control, client: Client, size: int) -> None:
    client.upgrade()
    message = generated("binary", size)
    assert isinstance(message, bytes)
    client.send(BINARY, message)
    assert client.receive() == (BINARY, message)
    assert peer.wait_for("message")[0]["length"] == size


def test_echo_bears_a_client_that_reads_late(client: Client) -> None:
    client.upgrade()
    message = bytes(1 << 16)
    frames = memoryview(masked(BINARY, message) * 1000)
    client.socket.setblocking(False)
    sent = 0
    while select.select([], [client.socket], [], 0.05)[1]:  # until all buffers are full, those of the peer too
        sent += client.socket.send(frames[sent:])
    client.socket.settimeout(SECONDS)
    assert sent < len(frames)
    for _ in range(sent // len(masked(BINARY, message))):
        assert client.receive() == (BINARY, message)


def test_echo_answers_pings_and_the_close_frame(client: Client) -> None:
    client.upgrade()
    client.send(PING, b"are you there")
    assert client.receive() == (PONG, b"are you there")
    client.send(CLOSE, b"\x0b\xb8bye")
    assert client.receive() == (CLOSE, b"\x0b\xb8")
    assert client.rest() == b""


def test_empty_close_frame_is_answered_by_one(client: Client) -> None:
    client.upgrade().send(CLOSE)
    assert client.receive() == (CLOSE, b"")
    assert client.rest() == b""


def test_echo_puts_fragments_together(client: Client) -> None:
    client.upgrade()
    client.send(TEXT, b"\xc3", fin=False)
    client.send(PING)
    client.send(CONTINUATION, b"", fin=False)
    client.send(CONTINUATION, b"\xa9")
    assert client.receive() == (PONG, b"")
    assert client.receive() == (TEXT, "é".encode())


def test_echo_is_silent_after_a_close_frame(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.do(["close", 1001, ""])
    client.send(TEXT, b"too late")
    client.send(PING)
    client.send(CLOSE, b"\x03\xe9")
    assert client.receive() == (CLOSE, b"\x03\xe9")
    assert client.rest() == b""


def test_echo_takes_what_came_before_it(peer: Control, client: Client) -> None:
    peer.script(["accept"])
    peer.script(["accept"], ["read", 2], ["text", "now"], ["read"], ["echo"])
    client.upgrade()
    for data in (b"1", b"2", b"3", b"4"):
        client.send(TEXT, data)
    assert [client.receive() for _ in range(2)] == [(TEXT, b"now"), (TEXT, b"4")]


def test_read_counts_echoed_messages(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["echo"], ["read", 2], ["close", 1000, ""])
    client.upgrade()
    client.send(TEXT, b"1")
    client.send(TEXT, b"2")
    assert [client.receive()[0] for _ in range(3)] == [TEXT, TEXT, CLOSE]


def test_swallow_answers_all_but_messages(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["swallow"])
    client.upgrade()
    client.send(TEXT, b"message")
    client.send(PING, b"1")
    client.send(CLOSE, b"\x03\xe8")
    assert client.receive() == (PONG, b"1")
    assert client.receive() == (CLOSE, b"\x03\xe8")
    assert client.rest() == b""


def test_script_that_ends_swallows(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["read_close"])
    client.upgrade()
    client.send(TEXT, b"message")
    client.send(CLOSE, b"\x03\xe8")
    assert client.receive() == (CLOSE, b"\x03\xe8")
    assert client.rest() == b""


def test_deaf_answers_nothing(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["deaf"])
    client.upgrade()
    client.send(PING, b"1")
    client.send(CLOSE, b"\x03\xe8")
    peer.wait_for("close")
    peer.do(["raw", "ff"])
    client.socket.shutdown(socket.SHUT_WR)
    assert client.rest() == b"\xff"
    assert [record["kind"] for record in peer.ask("seen")] == ["request", "frame", "ping", "frame", "close", "eof"]


def test_deaf_can_keep_a_request_waiting(peer: Control, client: Client) -> None:
    peer.script(["deaf"])
    client.request()
    peer.wait_for("request")
    peer.do(["accept"])
    assert client.head().startswith("HTTP/1.1 101 ")


def test_stall_reads_nothing_until_another_step(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["stall"])
    client.upgrade()
    client.send(TEXT, b"message")
    peer.do(["text", "writing still works"])
    assert client.receive() == (TEXT, b"writing still works")
    assert [record["kind"] for record in peer.ask("seen")] == ["request"]
    peer.do(["echo"])
    assert client.receive() == (TEXT, b"message")


def test_stall_keeps_back_what_is_read_already(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["read"], ["stall"])
    client.upgrade()
    client.socket.sendall(b"".join(make_frame(TEXT, data, masked=True) for data in (b"1", b"2", b"3")))
    peer.wait_for("message")
    peer.do(["echo"])
    assert [client.receive() for _ in range(2)] == [(TEXT, b"2"), (TEXT, b"3")]


def test_read_close_leaves_the_close_frame_to_the_script(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["echo"], ["read_close"], ["text", "wait"], ["close", 3001, "mine"], ["finish"])
    client.upgrade()
    client.send(TEXT, b"message")
    client.send(CLOSE, b"\x03\xe8")
    assert client.receive() == (TEXT, b"message")
    assert client.receive() == (TEXT, b"wait")
    assert client.receive() == (CLOSE, b"\x0b\xb9mine")
    assert client.rest() == b""


def test_finish_answers_what_is_unanswered(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["read_close"], ["finish"])
    client.upgrade()
    client.send(CLOSE, b"\x0b\xb8")
    assert client.receive() == (CLOSE, b"\x0b\xb8")
    assert client.rest() == b""


def test_finish_waits_for_the_client(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.post("do", [["finish"]])
    assert client.rest() == b""
    client.socket.close()
    assert peer.reply()["result"] is None
    assert peer.wait_for("eof")


def test_fin_goes_on_reading(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.do(["fin"], ["text", "too late"])
    assert client.rest() == b""
    client.send(TEXT, b"still there")
    assert peer.wait_for("message")[0]["text"] == "still there"


def test_rst_resets(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.do(["rst"])
    with pytest.raises(ConnectionResetError):
        client.rest()


def test_rst_instead_of_an_answer(peer: Control, client: Client) -> None:
    peer.script(["rst"])
    client.request()
    with pytest.raises(ConnectionResetError):
        client.rest()


def test_sleep_lets_the_rest_wait(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["sleep", 0.001], ["text", "later"], ["echo"])
    client.upgrade().send(TEXT, b"meanwhile")
    assert client.receive() == (TEXT, b"later")
    assert client.receive() == (TEXT, b"meanwhile")


# Records


def test_long_payloads_are_cut_in_records(peer: Control, client: Client) -> None:
    client.upgrade()
    client.send(TEXT, "é".encode() * 1000)
    client.send(BINARY, b"\x01" * 1000)
    text, binary = peer.wait_for("message", 2)
    assert (text["type"], text["text"], text["length"]) == ("text", "é" * 256, 2000)
    assert (binary["type"], binary["hex"], binary["length"]) == ("binary", "01" * 256, 1000)
    assert "text" not in binary
    assert binary["sha256"] == hashlib.sha256(b"\x01" * 1000).hexdigest()
    frame = peer.wait_for("frame", 2)[1]
    assert (frame["opcode"], frame["fin"], frame["rsv"], frame["masked"]) == (BINARY, True, 0, True)
    assert frame["length"] == 1000


def test_close_is_recorded(peer: Control, client: Client) -> None:
    client.upgrade().send(CLOSE, b"\x0f\xa0" + "schöß".encode())
    [close] = peer.wait_for("close")
    assert (close["code"], close["reason"]) == (4000, "schöß")


def test_empty_close_is_recorded(peer: Control, client: Client) -> None:
    client.upgrade().send(CLOSE)
    [close] = peer.wait_for("close")
    assert (close["code"], close["reason"]) == (None, "")


def test_pong_is_recorded(peer: Control, client: Client) -> None:
    client.upgrade().send(PONG, b"\xab")
    assert peer.wait_for("pong")[0]["hex"] == "ab"


def test_reset_is_recorded(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.do(["text", "unread data makes close() reset"])
    client.socket.recv(1)
    client.socket.close()
    assert peer.wait_for("reset")


def test_connections_are_numbered(peer: Control, connect: Callable[[str], Client]) -> None:
    for _ in range(3):
        connect(peer.url).upgrade()
    assert [record["connection"] for record in peer.wait_for("request", 3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (make_frame(TEXT, b"naked"), "not masked"),
        (masked(TEXT, rsv=4), "reserved bits 4"),
        (masked(PING, rsv=1), "reserved bits 1"),
        (masked(3), "reserved opcode 3"),
        (masked(PING, fin=False), "fragmented control frame"),
        (masked(PING, bytes(126)), "control frame of 126 bytes"),
        (b"\x82\xfe\x00\x01\x00\x00\x00\x00x", "a length in more bytes"),
        (b"\x82\xff" + bytes(7) + b"\x01\x00\x00\x00\x00x", "a length in more bytes"),
        (masked(CONTINUATION), "continuation of nothing"),
        (masked(TEXT, fin=False) + masked(BINARY), "within a fragmented message"),
        (masked(TEXT, b"\xff"), "a text that is not UTF-8"),
        (masked(CLOSE, b"\x03"), "a close frame of one byte"),
        (masked(CLOSE, b"\x03\xe7"), "close code 999"),
        (masked(CLOSE, b"\x03\xed"), "close code 1005"),
        (masked(CLOSE, b"\x03\xf7"), "close code 1015"),
        (masked(CLOSE, b"\x0b\xb7"), "close code 2999"),
        (masked(CLOSE, b"\x13\x88"), "close code 5000"),
        (masked(CLOSE, b"\x03\xe8\xff"), "a close reason that is not UTF-8"),
        (masked(CLOSE) + masked(TEXT), "a frame after the close frame"),
        (masked(BINARY, b"", length=1 << 62), "a frame of 4611686018427387904 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_violation_is_recorded(peer: Control, client: Client, data: bytes, what: str) -> None:
    client.upgrade().socket.sendall(data)
    [violation] = peer.wait_for("violation")
    assert what in violation["what"]


def test_bad_close_frame_is_answered_with_1002(client: Client) -> None:
    client.upgrade().send(CLOSE, b"\x03\xed")
    assert client.receive() == (CLOSE, b"\x03\xea")


@pytest.mark.parametrize(
    ("request_line", "headers", "what"),
    [
        ("POST {} HTTP/1.1", {}, "request line"),
        ("GET {} HTTP/1.0", {}, "request line"),
        ("GET {} HTTP/1.1", {"Host": None}, "Host"),
        ("GET {} HTTP/1.1", {"Upgrade": "h2c"}, "no upgrade"),
        ("GET {} HTTP/1.1", {"Connection": "close"}, "no upgrade"),
        ("GET {} HTTP/1.1", {"Sec-WebSocket-Version": "8"}, "Sec-WebSocket-Version"),
        ("GET {} HTTP/1.1", {"Sec-WebSocket-Key": None}, "Sec-WebSocket-Key"),
        ("GET {} HTTP/1.1", {"Sec-WebSocket-Key": "c2hvcnQ="}, "Sec-WebSocket-Key"),
        ("GET {} HTTP/1.1", {"Sec-WebSocket-Key": "?"}, "Sec-WebSocket-Key"),
    ],
)
def test_bad_request_is_a_violation(
    peer: Control, client: Client, request_line: str, headers: dict[str, str | None], what: str
) -> None:
    sound = {"Host": "x", "Upgrade": "WebSocket", "Connection": "upgrade", "Sec-WebSocket-Key": KEY}
    filled = {**sound, "Sec-WebSocket-Version": "13", **headers}
    lines = [request_line.format(client.path), *(f"{name}: {value}" for name, value in filled.items() if value)]
    client.socket.sendall("\r\n".join([*lines, "", ""]).encode())
    [violation] = peer.wait_for("violation")
    assert what in violation["what"]


def test_well_behaved_client_violates_nothing(peer: Control) -> None:
    with connect_websocket(peer.url, proxy=None) as websocket:
        websocket.send(["frag", "ments"])
        assert websocket.recv(SECONDS) == "fragments"
        websocket.ping()
    peer.wait_for("eof")
    assert not [record for record in peer.ask("seen") if record["kind"] == "violation"]


def test_compressed_messages_are_inflated(peer: Control) -> None:
    peer.script(["accept", {"extensions": "permessage-deflate"}], ["echo"])
    with connect_websocket(peer.url, proxy=None) as websocket:
        for _ in range(3):  # the second refers to the first
            websocket.send("the same " * 100)
            assert websocket.recv(SECONDS) == "the same " * 100
    assert [record["rsv"] for record in peer.wait_for("frame", 3)[:3]] == [4, 4, 4]
    assert peer.wait_for("message", 3)[2]["length"] == 900
    assert not [record for record in peer.ask("seen") if record["kind"] == "violation"]


def test_compressed_messages_may_end_their_stream(peer: Control, client: Client) -> None:
    """RFC 7692 section 7.2.3.4: a block with BFINAL."""
    peer.script(["accept", {"extensions": "permessage-deflate"}], ["echo"])
    client.upgrade()
    for _ in range(2):
        client.send(TEXT, zlib.compress(b"Hello", wbits=-15) + b"\x00", rsv=4)
        assert client.receive() == (TEXT, b"Hello")


def test_broken_compression_is_a_violation(peer: Control, client: Client) -> None:
    peer.script(["accept", {"extensions": "permessage-deflate"}], ["echo"])
    client.upgrade().send(TEXT, b"\xff\xff", rsv=4)
    assert "compressed message that is broken" in peer.wait_for("violation")[0]["what"]


# Control


def test_do_acts_on_the_newest_connection(peer: Control, connect: Callable[[str], Client]) -> None:
    connect(peer.url).upgrade()
    newest = connect(peer.url).upgrade()
    peer.do(["text", "to you"])
    assert newest.receive() == (TEXT, b"to you")


def test_do_waits_for_a_connection(peer: Control, client: Client) -> None:
    peer.post("do", [["text", "welcome"]])
    client.upgrade()
    assert client.receive() == (TEXT, b"welcome")
    assert peer.reply()["result"] is None


def test_do_tells_when_the_client_has_gone(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.post("do", [["read"]])
    client.socket.close()
    assert peer.reply()["error"] == "GoneError: connection 1 is over"


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        (["accept"], "'accept' is not a step"),
        ([[]], "[] is not a step"),
        ([["jump"]], "'jump' is not the name of a step"),
        ([["__init__", 1]], "'__init__' is not the name of a step"),
        ([["text"]], "missing a required argument: 'data'"),
        ([["text", "a", "b"]], "too many positional arguments"),
        ([["together", [["jump"]]]], "'jump' is not the name of a step"),
        ([["together", [["fin"]]]], "'fin' sends no bytes"),
    ],
)
def test_what_is_no_step_is_refused(peer: Control, steps: list[Any], error: str) -> None:
    peer.post("script", steps)
    assert error in peer.reply()["error"]


def test_mistake_in_a_script_is_recorded(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["binary", "no hex"])
    client.upgrade()
    assert "ValueError" in peer.wait_for("error")[0]["what"]


def test_wait_for_tells_what_came_instead(peer: Control, client: Client) -> None:
    client.upgrade()
    peer.post("wait_for", "close", 1, 0.001)
    assert peer.reply()["error"] == "TimeoutError: not 1 close within 0.001 s; seen: 1 request"


def test_wait_for_counts_what_is_forgotten(peer: Control, client: Client) -> None:
    peer.script(["accept"], ["swallow"])
    client.upgrade().socket.sendall(masked(TEXT, b"x") * 12_000)
    assert len(peer.wait_for("message", 12_000)) == 5_000  # of 10,000 records, half are frames


def test_questions_do_not_wait_for_each_other(peer: Control, client: Client) -> None:
    peer.post("wait_for", "eof", 1, SECONDS)
    client.upgrade()
    peer.post("seen")
    assert peer.reply()["id"] == 2
    client.socket.close()
    assert peer.reply()["id"] == 1


def test_sessions_are_apart(base_url: str, peer: Control, client: Client) -> None:
    with session(base_url) as other:
        other.script(["http", 403])
        client.upgrade()
        peer.wait_for("request")
        assert other.ask("seen") == []


def test_session_ends_with_its_control_connection(base_url: str, connect: Callable[[str], Client]) -> None:
    with session(base_url) as control:
        control.script(["accept"], ["stall"])
        client = connect(control.url).upgrade()
        control.post("do", [["sleep", 3600]])
    assert client.rest() == b""
    late = connect(control.url)
    late.request()
    assert late.head().startswith("HTTP/1.1 404 ")


def test_control_frames_are_checked(base_url: str, connect: Callable[[str], Client]) -> None:
    client = connect(base_url + "/control").upgrade()
    assert client.receive()[0] == TEXT
    client.send(TEXT, b"naked", masked=False)
    opcode, body = client.receive()
    assert (opcode, body[:2]) == (CLOSE, b"\x03\xea")


def test_peer_ends_with_its_standard_input() -> None:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"url": "ws://127.0.0.1:')
        process.stdin.close()
        assert process.wait(SECONDS) == 0
