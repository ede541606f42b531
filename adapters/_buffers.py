"""Buffers of CPython, which are there once for many connections of a thread."""

import mmap
import threading
from typing import Any

# How large a buffer for a larger frame may be, to be kept for the next one.
KEPT = 2**24

# Of memory that is mapped: a child of a fork gets a copy (but on Windows, which has no fork).
_OURS: Any = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}


class Buffers:
    """What connections read into, one at a time.

    Args:
        size: How much is read at a time, in bytes; larger frames are read into buffers of their own.

    Attributes:
        shared: The buffer, if there is one.
    """

    __slots__ = ("_large", "shared", "size")

    def __init__(self, size: int = 2**18) -> None:
        self.size = size
        self.shared: memoryview | None = None
        self._large: memoryview | None = None

    def take(self, tail: int) -> memoryview:
        """Return a buffer to read into, behind the tail that was left of the last."""
        if tail >= self.size:
            return memoryview(bytearray(2 * tail))
        if self.shared is None:
            self.shared = memoryview(bytearray(self.size))
        return self.shared

    def take_large(self, size: int) -> memoryview:
        """Return a buffer for one large frame.

        It is used again, for the kernel takes longer to find new memory than to copy into it; and it is
        mapped, for so there is only as much memory as was filled: a peer that announces much gets none.
        """
        large, self._large = self._large, None
        if large is None or len(large) < size:
            large = memoryview(mmap.mmap(-1, size, **_OURS))
        return large[:size]

    def forget_large(self) -> None:
        """Keep no large buffer."""
        self._large = None

    def give_back_large(self, view: memoryview) -> None:
        """Keep the buffer of a large frame for the next one."""
        large = memoryview(view.obj)
        if len(large) <= KEPT and (self._large is None or len(self._large) < len(large)):
            self._large = large


class Here(threading.local):
    """The buffers of this thread.

    Attributes:
        loop: Those of connections that its event loop reads.
        blocking: Those of connections that it reads itself, if need be in the middle of the others, when a
            signal's handler does; None while it does.
    """

    def __init__(self) -> None:
        self.loop = Buffers()
        self.blocking: Buffers | None = None


here = Here()
