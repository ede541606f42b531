"""Connections of those who block, who read and write in their own threads (CPython).

To have each message handed over by the network's thread would cost two switches of threads, many times
what a message costs. So that thread lends a connection to whoever waits for a message: it stops reading,
and he reads, with the same framer. What is not a whole data frame is not his business: with it the
connection goes back, and so does one that nobody has read for a second, for pings are to be answered and
closes to be seen. Short messages are written at once where nothing is on its way.

While it is lent its socket blocks, for to ask first whether there is something would cost a system call for
each message; it does not while asyncio writes.

Nothing is lost if a signal raises KeyboardInterrupt, at whatever moment: what one call of C does, and
what stands beside it without another call, is done wholly or not at all.
"""

import asyncio
import collections
import contextlib
import functools
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from websockets.protocol import State

import unisocket.errors
from unisocket._websocket import OPEN
from unisocket.adapters import Sink, _cpython
from unisocket.adapters._buffers import Buffers, here
from unisocket.adapters._frames import BINARY, LARGE, NOTHING, TEXT, Connection, Refusal, masked

if TYPE_CHECKING:
    from unisocket.connection import Connection as Queued

IDLE = 1.0  # seconds for which a connection stays lent that nobody reads
TICK = 0.1  # seconds after which who waits looks up: is the connection wanted back, has a signal come just before?
TIMEVAL = struct.Struct("ll")
MOMENT = 0.02  # seconds that a reader may take to leave


class NotHere(Exception):
    """What is to be done is the business of the network's thread."""


def is_alone(queued: "Queued") -> bool:
    """Whether messages concern nobody but who receives them, and go to him as they are."""
    websocket = queued.websocket
    return websocket._sink.batch is not None and not websocket._sink.view


def never(*arguments: Any) -> None:
    """Told to the inbox, which hears of messages only."""


class SharedConnection(Connection):
    """A connection of the network's thread, which others may read and write in theirs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._network = threading.get_ident()
        self._mutex = threading.RLock()  # guards what is written, and who reads
        self._socket: socket.socket | None = None  # a copy, which is there as long as somebody reads
        self._queued: Queued  # that it was lent for
        self._wanted = False  # back; then nobody begins to read
        self._used = False  # since it was last looked at
        self._sweeper: asyncio.TimerHandle | None = None
        self._reading_here = False  # a thread that it was lent to
        self._inbox: collections.deque[Any] = collections.deque()
        into = self._inbox.append
        self._inbox_sink = Sink(never, into, into, never, never, never)
        self._returned: list[Any] = []  # messages that come before those of the inbox
        self._patience = 0.0  # of the socket
        self._turns = 0  # to write, one within the other
        self._rest = b""  # of a frame, which the network did not take
        self._unread = 0  # bytes in the buffer, that a signal left there
        self._slow = False  # it did not take all: what asyncio has comes first

    # In the thread of whoever blocks

    def receive_here(self, queued: "Queued", timeout: float | None) -> Any:
        """Wait for a message, here or in the network's thread.

        Args:
            queued: The connection with the queue, in the network's thread.
            timeout: How long to wait, in seconds.

        Raises:
            unisocket.TimeoutError: No message in time.
            ConcurrencyError: Another thread reads.
        """
        until = None if timeout is None else monotonic() + timeout
        while True:
            inbox = self._inbox
            claimed = busy = False
            if threading.get_ident() == self._network:
                _cpython.background.refuse_here()
            try:
                with self._mutex:
                    if self._guest is not None and not self._wanted:
                        busy = self._reading_here
                        if not busy:
                            self._reading_here = self._used = claimed = True
                if busy:
                    raise unisocket.errors.ConcurrencyError(
                        "another recv() of this connection waits for the next message"
                    )
                if claimed:
                    if not is_alone(queued):
                        raise NotHere
                    if not inbox:
                        self._read(timeout, until)
                    if self._wanted or not is_alone(queued):
                        raise NotHere
                    (message,) = map(collections.deque.popleft, (inbox,))  # see `_read_once()`
                    self._reading_here = False
                    return message
            except NotHere:
                self._wanted = True
                self._reading_here = False
                self.loop.call_soon_threadsafe(self._read_on)
            except BaseException:
                if claimed:
                    self._reading_here = False
                raise
            left = None if until is None else max(0.0, until - monotonic())
            there = functools.partial(self._receive_there, queued, left)
            message = _cpython.background.run(there, functools.partial(self._put_back, queued))
            if message is not None:
                return message

    def _read(self, timeout: float | None, until: float | None) -> None:
        """Wait for messages, and put them into the inbox.

        Not within the `try` above, see `Connection._cut()`.
        """
        while not self._inbox:
            self._read_once(timeout, until)

    def _read_once(self, timeout: float | None, until: float | None) -> None:
        """Wait, read once, and put what is whole into the inbox."""
        reader = self._socket
        assert reader is not None
        patience, flags = TICK, 0
        if until is not None:
            left = until - monotonic()
            patience = min(left, TICK)
            if not patience > 0:  # or if it is NaN
                patience, flags = self._patience, socket.MSG_DONTWAIT
        if patience != self._patience:
            seconds, rest = divmod(patience, 1)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL.pack(int(seconds), int(rest * 1e6) + 1))
            self._patience = patience
        size = 0
        # Out of the way of what a signal's handler receives, of this connection or others.
        buffers = here.blocking or Buffers()
        here.blocking = None
        own: Buffers | None = buffers  # unless something stays in it
        try:
            self._buffers = buffers
            buffer = self.get_buffer(-1)
            state = self._round, self._lacking
            # What a signal raises comes before what this calls, or after the assignment.
            (size,) = map(reader.recv_into, (buffer,), (0,), (flags,))
            if not size:
                raise NotHere  # the end, which will be read there again
            self.buffer_updated(size)
        except BlockingIOError:
            if self._wanted:
                raise NotHere from None
            if flags:
                raise unisocket.errors.TimeoutError("no message within %g s" % (timeout or 0)) from None
            if self._slow:  # now the socket does not block
                news = select.poll()
                news.register(reader, select.POLLIN)
                news.poll(patience * 1000)
        except OSError:
            raise NotHere from None  # likewise
        except BaseException:
            if size and state == (self._round, self._lacking):
                # Interrupted before anything was done with it.
                if self._large is not None:
                    self._lacking -= size
                else:
                    self._unread, own = size, None  # no call here: another signal may be there already
            self._wanted = True
            raise
        finally:
            here.blocking = own

    def send_here(self, queued: "Queued", data: str | bytes) -> bool:
        """Send a message here, if it is short and nothing is on its way; returns whether it did."""
        if threading.get_ident() == self._network:
            _cpython.background.refuse_here()
        first, payload = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
        if len(payload) >= LARGE:
            return False
        frame = masked(first, payload)
        size = len(frame)
        writer = self._socket
        if writer is None:
            return False
        sending = map(writer.send, (frame,), (socket.MSG_DONTWAIT,))  # as above
        written = size
        try:
            # Nothing else is called in here: what a signal calls may wait for the network's thread, and that for this.
            with self._mutex:
                if self._slow or self._frames or not self._plain or self._socket is None:
                    return False
                (written,) = sending
                if written < size:
                    self._rest = frame[written:]
                    self._slow = True
        except OSError:
            return False  # the network takes nothing now, or is lost: there it will be seen
        finally:
            if written < size:
                self.loop.call_soon_threadsafe(self._end_task)
        return True

    # In any thread

    def take_back(self) -> None:
        """Have the connection back in the network's thread, soon."""
        with self._mutex:
            lent = self._guest is not None
            if lent:
                self._wanted = True
        if lent:
            self.loop.call_soon_threadsafe(self._read_on)

    def _go_on_later(self) -> None:
        if self._guest is not None:
            self._wanted = True
        else:
            super()._go_on_later()

    def _pass_on(self, frame: bytes) -> None:
        if self._guest is not None:
            raise NotHere
        super()._pass_on(frame)

    def _keep(self, beginning: bytes, header: int, size: int) -> None:
        if self._guest is not None and header and beginning[0] not in (TEXT, BINARY):
            raise NotHere
        super()._keep(beginning, header, size)

    def _refuse(self, refusal: Refusal) -> None:
        if self._guest is not None:
            raise NotHere
        super()._refuse(refusal)

    # In the network's thread

    async def _receive_there(self, queued: "Queued", timeout: float | None) -> Any:
        """Lend the connection, and return None; or wait for a message."""
        if self._wanted:
            self._read_on()
        return None if self._lend(queued) else await queued.recv(timeout)

    def _establish(self) -> None:
        # Not with TLS, which asyncio does, nor with compression, whose state an interrupt could lose.
        if (
            not self.protocol.extensions
            and self.transport.get_extra_info("ssl_object") is None
            and isinstance(self.loop, asyncio.SelectorEventLoop)
            and hasattr(socket, "MSG_DONTWAIT")
        ):
            with contextlib.suppress(OSError):  # no further file may be opened
                self._socket = self.transport.get_extra_info("socket").dup()
                self.owner.shared = self
        super()._establish()

    def _lend(self, queued: "Queued") -> bool:
        """Lend the connection to whoever blocks, if messages concern nobody else; returns whether it is."""
        with self._mutex:
            if self._guest is not None:
                return not self._wanted
            if (
                self._socket is None
                or self._ended
                or self._slow
                or not self._reading
                or queued._receiver is not None
                or not is_alone(queued)
                or self.protocol.current_size is not None
                or self._large is not None
                or self._data is not None
                or self._tail
                or self._inbox
                or self._unread
            ):
                return False
            self._inbox.extend(queued._queue)
            queued._queue.clear()
            self._queued = queued
            self._buffers.forget_large()  # who reads now has his own
            self.transport.pause_reading()
            self._socket.settimeout(None)
            self._guest = self._inbox_sink
            self._used = True
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(IDLE, self._sweep)
        return True

    def _sweep(self) -> None:
        """Take back what nobody has read for a while."""
        self._sweeper = None
        if not self._reading_here and (self._wanted or not self._used):
            self._read_on()
        if self._guest is not None:
            self._used = False
            self._sweeper = self.loop.call_later(IDLE, self._sweep)

    def _read_on(self) -> None:
        """Read in this thread again, behind what was not taken; as soon as nobody else reads."""
        with self._mutex:
            self._wanted = self._reading_here
            if self._guest is None or self._reading_here:
                return
            self._guest = None
            if self._socket is not None:
                self._socket.setblocking(False)
        self._inbox.extendleft(reversed(self._returned))
        self._returned.clear()
        self.owner.runtime.enter(self._catch_up)

    def _catch_up(self) -> None:
        websocket = self._queued.websocket
        websocket._sink.time = None  # it was that of an earlier message
        try:
            while self._inbox:
                data = self._inbox.popleft()
                if websocket._state != OPEN:
                    self._queued._on_message(data)  # it came before that
                elif isinstance(data, str):
                    websocket._on_message_otherwise(data)
                else:
                    websocket._on_binary(data)
        except BaseException:  # of a handler: SystemExit or the like, which leaves first
            self.loop.call_soon(self.loop.call_soon, self._catch_up)
            raise
        self._queued._settle()
        self._buffers = here.loop
        if self._unread:
            self._tail, self._unread = bytes(self._buffer[: self._filled + self._unread]), 0
        self._buffer = NOTHING  # not that of a thread, which may have ended
        if self._ended:
            return
        if self._reading:
            self._resume_reading()
        if self._large is not None and not self._lacking:
            self._fill(0)
        elif self._tail:
            self.data_received(b"")

    def _put_back(self, queued: "Queued", message: Any) -> None:
        """Let a message that was taken be the next one again."""
        if message is not None:
            with self._mutex:
                if self._guest is None:
                    queued.put_back(message)
                    return
                self._returned.append(message)
            self.take_back()  # whoever waits by now waits for the network

    def _look(self) -> None:
        if self._guest is not None and not self._reading_here:
            self._heard = True  # nobody has read: no pong could be seen
            self.take_back()
        super()._look()

    def connection_lost(self, exc: Exception | None) -> None:
        copy = self._socket
        if copy is not None and self._guest is not None and not self._reading_here:
            # What has come and nobody has read, while asyncio did not.
            self._read_on()
            with contextlib.suppress(OSError):
                while data := copy.recv(self._buffers.size):
                    self.data_received(data)
        super().connection_lost(exc)
        self._release()

    def _release(self) -> None:
        """Close the copy of the socket, as soon as nobody reads from it."""
        self._read_on()
        with self._mutex:
            if not self._reading_here:
                self.leave()
            elif self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)  # whoever reads from it finds the end
                except OSError:
                    pass
                self.loop.call_later(MOMENT, self._release)

    def leave(self) -> None:
        """Close the copy of the socket; the child of a fork does, for the connection is none of its."""
        self._guest = None
        copy, self._socket = self._socket, None
        if copy is not None:
            copy.close()

    # Writing, likewise

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Write with nobody else, and never wait for the network."""
        with self._mutex:
            if self._socket is None:  # nobody else can; and asyncio may have closed its own
                yield
                return
            self._turns += 1
            try:
                if self._turns == 1 and self._guest is not None:
                    os.set_blocking(self._socket.fileno(), False)
                rest, self._rest = self._rest, b""
                if rest:
                    self._payload += len(rest)
                    super()._write(rest)
                yield
            finally:
                self._turns -= 1
                if not self._turns:
                    self._slow = self.transport.get_write_buffer_size() > 0
                    if self._guest is not None and self._socket is not None and not self._slow:
                        os.set_blocking(self._socket.fileno(), True)

    def _write_out(self) -> None:
        with self._turn():
            super()._write_out()

    def _write_large(self, head: bytes, payload: bytes) -> None:
        with self._turn():
            super()._write_large(head, payload)

    def send_data(self) -> None:
        with self._turn():
            # Behind a close frame nothing may be.
            self._plain = self._plain and self.protocol.state is State.OPEN
            super().send_data()

    def _end_task(self) -> None:
        with self._turn():
            super()._end_task()

    def resume_writing(self) -> None:
        with self._turn():
            super().resume_writing()
