"""Buffers of CPython, which are there once for all connections of a thread."""

import mmap
import threading
from typing import Any

__all__ = ("Buffers", "buffers")

# How large a buffer for a larger frame may be, to be kept for the next one.
KEPT = 2**24

# Of memory that is mapped: a child of a fork gets a copy (but on Windows, which has no fork).
_OURS: Any = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}


class Buffers:
    """What all connections of a thread read into.

    Args:
        size: How much is read at a time, in bytes; larger frames are read into buffers of their own.
    """

    __slots__ = ("_large", "_shared", "size")

    def __init__(self, size: int = 2**18) -> None:
        self.size = size
        self._shared = memoryview(bytearray(size))
        self._large: memoryview | None = None

    def take(self, tail: int) -> memoryview:
        """Return a buffer to read into, behind the tail that was left of the last."""
        return self._shared if tail < self.size else memoryview(bytearray(2 * tail))

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


_here = threading.local()


def buffers() -> Buffers:
    """Return those of this thread."""
    try:
        found: Buffers = _here.buffers
    except AttributeError:
        found = _here.buffers = Buffers()
    return found
