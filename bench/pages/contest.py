"""What a page measures: one program for Brython, and for Pyodide and MicroPython under PyScript.

The contestants take turns; each does a job on a connection of its own, and the time that it took is
reported: from the first message to the last, or that of the calls. The ways of doing the same
stand side by side here, so that one sees what is compared.
"""

import json
import sys

import unisocket

BRYTHON = sys.implementation.name == "Brython"
MICROPYTHON = sys.implementation.name == "micropython"

if BRYTHON:
    from browser import websocket
    from browser import window as js
else:
    import js
    from pyscript import WebSocket as PyScriptWebSocket

    if MICROPYTHON:
        import jsffi
        import uctypes
    else:
        from pyodide.ffi import create_proxy, to_js

JAVASCRIPT, CALLBACK, RAW, UNISOCKET = "JavaScript", "thinnest callback", "js.WebSocket", "unisocket"
RECV, VIEWS = "unisocket recv()", "unisocket, arraybuffer"
OWN = "browser.websocket" if BRYTHON else "pyscript.WebSocket"

LARGEST = 2**26  # bytes that are sent, or converted, without a pause


def now():
    return float(js.performance.now())


def zeros(kind, size):
    try:
        return kind(size)
    except MemoryError:  # MicroPython 1.28 gets itself more memory then, and does not look again
        return kind(size)


# The fastest ways to take bytes from JavaScript and to give them.

if BRYTHON:
    to_bytes = js.Function.new("data", "return __BRYTHON__.fast_bytes(Array.from(new Uint8Array(data)))")
    from_bytes = js.Function.new("data", "return new Uint8Array(data.source)")
elif MICROPYTHON:
    seen = []

    def look(stream, buffer, offset, length, position):
        seen[:] = [buffer.buffer]
        return 0

    def heap():
        if not seen or not seen[0].byteLength:
            with open("/dev/contest", "rb") as device:
                device.read(1)
        return seen[0]

    files = js.Module.FS
    device = files.makedev(64, 9)
    files.registerDevice(device, jsffi.to_js({"read": look}))
    files.mkdev("/dev/contest", device)

    def to_bytes(data):
        array = js.Uint8Array.new(data)
        taken = zeros(bytearray, array.length)
        js.Uint8Array.new(heap(), uctypes.addressof(taken), len(taken)).set(array)
        return taken

    def from_bytes(data):
        return js.Uint8Array.new(heap(), uctypes.addressof(data), len(data)).slice()

else:

    def to_bytes(data):
        return data.to_bytes()

    from_bytes = to_js


class Native:
    """What the contestants without unisocket share: `raw` is JavaScript's socket."""

    def __init__(self):
        self.proxies = []
        self.opened = js.contest.promise()
        self.closed = js.contest.promise()

    def listen(self, socket, type, callback):
        if not BRYTHON and not MICROPYTHON:
            callback = create_proxy(callback)
            self.proxies.append(callback)
        socket.addEventListener(type, callback)

    def construct(self, url):
        self.raw = js.WebSocket.new(url)
        self.prepare()

    def prepare(self):
        self.raw.binaryType = "arraybuffer"
        self.listen(self.raw, "open", lambda event: self.opened.resolve(0))
        self.listen(self.raw, "close", lambda event: self.closed.resolve(0))
        self.send_text = self.raw.send

    async def open(self, url):
        self.construct(url)
        await self.opened.promise

    async def close(self):
        self.raw.close()
        await self.closed.promise
        for proxy in self.proxies:
            proxy.destroy()

    def send_binary(self, data):
        self.raw.send(from_bytes(data))


class Callback(Native):
    """The least that Python can do."""

    def on_message(self, callback):
        self.listen(self.raw, "message", callback)

    def converter(self):
        return to_bytes


class Raw(Callback):
    """As one would write it at first."""

    def on_message(self, callback):
        self.raw.onmessage = callback


class PyScript(Native):
    """The socket of PyScript, which makes a memoryview of binary messages when `data` is read."""

    def construct(self, url):
        self.socket = PyScriptWebSocket(url=url)
        self.raw = self.socket._js_websocket
        self.prepare()
        self.send_text = self.send_binary = self.socket.send

    def on_message(self, callback):
        self.socket.onmessage = callback

    def converter(self):
        return None


class Browser(Native):
    """The socket of Brython, which knows text only: bytes by what its documentation has for JavaScript's arrays."""

    def construct(self, url):
        self.raw = websocket.WebSocket(url)
        self.prepare()

    def on_message(self, callback):
        self.raw.bind("message", callback)

    def converter(self):
        return lambda data: bytes(list(js.Uint8Array.new(data)))

    def send_binary(self, data):
        self.raw.send(js.Uint8Array.new(list(data)))


class Unisocket:
    """What all this is about."""

    async def open(self, url):
        opened = js.contest.promise()
        self.closed = js.contest.promise()
        self.socket = unisocket.WebSocket(url)
        self.socket.onopen = lambda event: opened.resolve(0)
        self.socket.onclose = lambda event: self.closed.resolve(0)
        self.send_text = self.send_binary = self.socket.send
        await opened.promise
        self.raw = self.socket.raw

    def on_message(self, callback):
        self.socket.onmessage = callback

    def converter(self):
        return None

    async def close(self):
        self.socket.close()
        await self.closed.promise


class Views(Unisocket):
    """Binary messages as memoryviews."""

    async def open(self, url):
        await super().open(url)
        self.socket.binaryType = "arraybuffer"


KINDS = {CALLBACK: Callback, RAW: Raw, OWN: Browser if BRYTHON else PyScript, UNISOCKET: Unisocket, VIEWS: Views}


class Counter:
    """Counts messages, and notes when the last has come."""

    def __init__(self, count):
        self.done = js.contest.promise()
        self.end = 0.0
        self.count = count

    def finish(self):
        self.end = now()
        self.done.resolve(0)

    def ponger(self, send):
        left = self.count

        def on_message(event):
            nonlocal left
            data = event.data
            left -= 1
            if left:
                send(data)
            else:
                self.finish()

        return on_message

    def taker(self, convert):
        left = self.count
        size = 0

        def on_message(event):
            nonlocal left, size
            data = event.data
            size += len(data)
            left -= 1
            if not left:
                self.finish()

        def on_foreign(event):
            nonlocal left, size
            data = convert(event.data)
            size += len(data)
            left -= 1
            if not left:
                self.finish()

        return on_foreign if convert is not None else on_message


async def run(name, job, server, count, mark):
    """Let a contestant do a job; returns the milliseconds that it took."""
    role, kind, size = job["role"], job["kind"], job["size"]
    path = {"ping": ("echo", 1, count), "push": ("flood", 1, count), "take": ("hold", 0, 0), "give": ("sink", count, 1)}
    served, burst, rounds = path[role]
    url = "%s/%s/%s/%d/%d/%d" % (server, served, kind, size, burst, rounds)
    if name == JAVASCRIPT:
        return await getattr(js.contest, role)(url, count, kind, size)
    if name == RECV:
        return await receive(role, url, size, count, mark)
    contestant = KINDS[name]()
    await contestant.open(url)
    counter = Counter(count)
    convert = contestant.converter() if kind == "binary" else None
    mark()
    if role == "ping":
        contestant.on_message(counter.ponger(contestant.send_text))
        begin = now()
        contestant.send_text("x" * size)
    elif role == "push":
        contestant.on_message(counter.taker(convert))
        begin = now()
        contestant.send_text("go")
    elif role == "take":
        contestant.on_message(counter.taker(convert))
        begin = now()
        js.contest.dispatch(contestant.raw, kind, size, count)
    else:
        send = contestant.send_text if kind == "text" else contestant.send_binary
        data = "x" * size if kind == "text" else zeros(bytes, size)
        contestant.on_message(lambda event: counter.done.resolve(0))
        begin = now()
        for _ in range(count):
            send(data)
        counter.end = now()
        mark()
    await counter.done.promise
    if role != "give":
        mark()
    await contestant.close()
    return counter.end - begin


async def receive(role, url, size, count, mark):
    """Do the same with `recv()`."""
    async with unisocket.connect(url) as ws:
        mark()
        begin = now()
        if role == "ping":
            message = "x" * size
            for _ in range(count):
                await ws.send(message)
                message = await ws.recv()
        else:
            await ws.send("go")
            for _ in range(count):
                await ws.recv()
        end = now()
        mark()
        return end - begin


async def say(name, server):
    """Return what comes back of bytes that are sent as if that were all there is to it."""
    if MICROPYTHON and name == RAW:
        return "not tried: it ends the program"
    data = bytes(range(256))
    contestant = KINDS[name]()
    await contestant.open(server + "/mirror/binary/256/1/1")
    came = js.contest.promise()
    js.contest.describe(contestant.raw, came)
    if name == RAW or (BRYTHON and name == OWN):
        contestant.raw.send(data)
    else:
        contestant.send_binary(data)
    said = await came.promise
    await contestant.close()
    return said


async def main(report, arguments):
    js.eval(arguments["javascript"])
    server = arguments["server"]

    def mark():
        # The server looks at the clock of this page's thread.
        report("null")

    sayers = (OWN, UNISOCKET) if BRYTHON else (RAW, OWN, UNISOCKET)
    for name in sayers if arguments["first"] else ():
        report(json.dumps({"contestant": name, "arrived": await say(name, server)}))

    job = arguments["job"]
    contestants = list(job["contestants"])
    counts = {}
    for turn in range(arguments["rounds"]):
        first = turn % len(contestants)
        for name in contestants[first:] + contestants[:first]:
            count = counts.get(name, job["count"])
            time = await run(name, job, server, count, mark)
            # What is quick is repeated until it takes a time that can be measured.
            while name not in counts and time < job["least"] and 2 * count * job["size"] <= LARGEST:
                count *= 2
                time = await run(name, job, server, count, mark)
            counts[name] = count
            report(json.dumps({"contestant": name, "wall": time / count * 1000, "count": count}))
