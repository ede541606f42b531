"""MicroPython for WebAssembly, bare or under PyScript: page, worker and Node.

A throw in JavaScript cannot be caught here, it ends the running coroutine: so nothing is called
that may throw. Strings end at their first NUL on the way out, and integers at 2^31-1.
"""

import asyncio
import io
import json
import sys

import js
import jsffi
import uctypes

from unisocket.adapters._javascript import (
    Bridge,
    JavaScriptAdapter,
    JavaScriptRuntime,
    Queue,
    load_adapter,
    reported,
    run_sync,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

__all__ = ("MicroPythonAdapter", "Queue", "load_adapter", "run_sync")

supported = hasattr(js, "WebSocket")

_Uint8Array = js.Uint8Array.new


class Heap:
    """The memory of the interpreter, as JavaScript sees it.

    `Module.HEAPU8` is not exported, and to look for it aborts the interpreter. But a device of the
    file system is handed a view of it to read into: that is the way in, and no eval is needed.
    """

    DEVICE = "/dev/unisocket"

    # Up to here it is quicker to fill a bytearray, and copy that to bytes, than to have the device called. For a view
    # it always is: MicroPython hashes all bytes when they are made, which takes longer than to copy them.
    SMALL = 2048  # bytes

    def __init__(self) -> None:
        self._small = memoryview(bytearray(self.SMALL))  # what is filled; nobody else may have it
        self._memory: Any = None  # a Uint8Array
        self._fill: Any = None  # its `set`
        self._copy: Any = None  # its `slice`
        self._incoming: Any = None  # what the device is to give
        self.works = False
        if not hasattr(js, "Module"):
            return
        # Two interpreters on one page overwrite globalThis.Module: see whether this one is ours.
        files = js.Module.FS
        device = files.makedev(64, 7)
        files.registerDevice(device, jsffi.to_js({"read": self._read}))
        if not files.analyzePath(self.DEVICE).exists:
            files.mkdev(self.DEVICE, device)
        try:
            self._device = open(self.DEVICE, "rb")  # noqa: SIM115  for as long as the interpreter lives
        except OSError:  # the device is in somebody else's file system
            return
        self._device.read(1)
        if self._memory is not None:
            sample = bytes(range(256)) * 9
            self.works = all(self.bytes_in(self.bytes_out(data)) == data for data in (sample, sample[:9]))

    def _read(self, stream: "Any", buffer: "Any", offset: int, length: int, position: int) -> int:
        if self._incoming is None:
            memory = _Uint8Array(buffer.buffer)
            self._fill = memory.set
            self._copy = memory.slice
            self._memory = memory  # last: while it has a length, they may be called
            return 0
        fill = buffer.set
        if not buffer.length:
            return 0
        fill(self._incoming, offset)
        return length

    # When the interpreter's memory grows, what JavaScript has of it is detached, has no length, and to use it
    # throws. So all that allocates is done before the last look at the length.

    def bytes_out(self, data: bytes) -> "Any":
        """Copy bytes into a Uint8Array."""
        start = uctypes.addressof(data)
        end = start + len(data)
        while not self._memory.length:
            self._device.read(1)
        return self._copy(start, end)

    def bytes_in(self, buffer: "Any", view: bool = False) -> "bytes | bytearray":
        """Copy an ArrayBuffer, or another array."""
        array = _Uint8Array(buffer)
        size = array.length
        if size > self.SMALL and not view:
            return self._read_in(array, size)
        data: Any = bytearray(size) if view else self._small[:size]
        start = uctypes.addressof(data)
        while not self._memory.length:
            self._device.read(1)
        self._fill(array, start)
        return data if view else bytes(data)

    def _read_in(self, array: "Any", size: int) -> bytes:
        """Have the device fill bytes: a bytearray would have to be copied."""
        self._incoming = array
        data = b""
        try:
            while len(data) != size:
                data = self._device.read(size)
        finally:
            self._incoming = None
        return data


def _is_fragile(text: str) -> bool:
    # Cut at a NUL, and without a U+FEFF at the beginning, comes what is handed to JavaScript.
    return "\0" in text or text[:1] == "\ufeff"


def _are_fragile(arguments: "tuple[Any, ...]") -> bool:
    return any(isinstance(argument, str) and _is_fragile(argument) for argument in arguments)


def _array(arguments: "tuple[Any, ...]") -> "Any":
    # Such a string is whole only as long as it stays in JavaScript, where JSON can make it.
    return js.JSON.parse(json.dumps(list(arguments)))


class MicroPythonBridge(Bridge):
    """MicroPython's way to call JavaScript."""

    scope = js
    any_text = False  # from 17 bytes on, each byte of a lone surrogate becomes a U+FFFD

    def __init__(self) -> None:
        self._heap = Heap()
        if self._heap.works:
            self.bytes_out = self._heap.bytes_out  # type: ignore[method-assign]
            self.bytes_in = self._heap.bytes_in  # type: ignore[method-assign]

    def construct(self, constructor: "Any", *arguments: "Any") -> "Any":
        if _are_fragile(arguments):
            return js.Reflect.construct(constructor, _array(arguments))
        return constructor.new(*[jsffi.to_js(argument) for argument in arguments])

    def call(self, target: "Any", name: str, *arguments: "Any") -> "Any":
        if _are_fragile(arguments):
            return js.Reflect.apply(js.Reflect.get(target, name), target, _array(arguments))
        return getattr(target, name)(*arguments)

    def text_sender(self, socket: "Any") -> "Any":
        send = socket.send

        def send_text(text: str) -> None:
            if _is_fragile(text):
                self.call(socket, "send", text)
            else:
                send(text)

        return send_text

    def bytes_out(self, data: bytes) -> "Any":
        return js.Uint8Array.new(jsffi.to_js(list(data)))

    def bytes_in(self, buffer: "Any", view: bool = False) -> "Any":
        array = _Uint8Array(buffer)
        return bytes([array[index] for index in range(array.length)])


_bridge = MicroPythonBridge()


class Future:
    """A future: MicroPython 1.27 has none."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._result: Any = None

    def set_result(self, result: "Any") -> None:
        if not self._event.is_set():
            self._result = result
            self._event.set()

    def __iter__(self) -> "Any":  # what `await` calls here
        waiting: Any = self._event.wait()
        yield from waiting
        return self._result

    __await__ = __iter__


class MicroPythonRuntime(JavaScriptRuntime):
    """The services for a socket on MicroPython."""

    bridge = _bridge

    def soon(self, callback: "Callable[[], Any]") -> None:
        js.queueMicrotask(lambda: callback())  # what async handlers wait for: a timer may take 4 ms

    def spawn(self, coroutine: "Coroutine[Any, Any, Any]") -> "Any":
        return asyncio.create_task(coroutine)

    def future(self) -> "Any":
        return Future()


_runtime = MicroPythonRuntime()


class MicroPythonAdapter(JavaScriptAdapter):
    """Opens connections with the WebSocket of the page, the worker or Node."""

    name = "micropython"
    capabilities = ("await-connect", "cancellation")
    bridge = _bridge

    def runtime(self) -> MicroPythonRuntime:
        return _runtime


DefaultAdapter = MicroPythonAdapter


clock = js.performance.now


async def _coroutine() -> None: ...


_sample = _coroutine()
_Coroutine = type(_sample)  # that of generators, too: a handler must not be one
_sample.close()


def is_coroutine(result: "Any") -> bool:
    return type(result) is _Coroutine


def takes_nothing(function: "Any") -> bool:
    return False  # a function does not tell its parameters here


def async_next(method: "Any") -> "Any":
    return method


def quick_getter(name: str) -> "Callable[[Callable[[Any], Any]], Callable[[Any], Any]]":
    return lambda function: function


def cancelled() -> "Any":
    return asyncio.CancelledError


def usv_string(text: str) -> str:
    """Join surrogate pairs, replace lone ones by U+FFFD (WHATWG Infra, scalar value string)."""
    try:
        encoded = text.encode()
    except MemoryError:
        encoded = text.encode()  # 1.28 gets itself more memory, and fails all the same
    if b"\xed" not in encoded:  # the first byte of every surrogate
        return text
    characters: list[str] = []
    high = 0
    for character in text:
        code = ord(character)
        if high:
            if 0xDC00 <= code <= 0xDFFF:
                characters[-1] = chr(0x10000 + ((high - 0xD800) << 10) + code - 0xDC00)
                high = 0
                continue
            high = 0
        if 0xD800 <= code <= 0xDBFF:
            high = code
        characters.append("\ufffd" if 0xD800 <= code <= 0xDFFF else character)
    return "".join(characters)


def report(error: BaseException, event: "Any") -> None:
    """Tell the console of an exception that a handler raised."""
    text = io.StringIO()
    sys.print_exception(error, text)  # type: ignore[attr-defined]
    js.console.error(text.getvalue())


def run(coroutine: "Coroutine[Any, Any, Any] | None" = None) -> None:
    """Start a coroutine, if one is given, and return at once: the page keeps running."""
    if coroutine is not None:
        _runtime.spawn(reported(coroutine, report))
