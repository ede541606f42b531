"""What client and server of the benchmark agree on without a word: what they send, and where they run."""

import os

__all__ = ("BINARY", "COMPRESSED", "DEFLATED", "REPEATED", "TEXT", "Message", "messages", "pin")

Message = str | bytes

# The kinds of messages; deflated ones are text on a connection that negotiated permessage-deflate, and so are
# repeated ones, which are all the same.
TEXT, BINARY, DEFLATED, REPEATED = "text", "binary", "deflated", "repeated"
COMPRESSED = (DEFLATED, REPEATED)

RECORD = '{{"symbol":"EURUSD","bid":{:07},"ask":{:07},"size":{:05}}}'


def messages(kind: str, size: int, count: int) -> list[Message]:
    """Return messages of so many bytes; the texts differ, if the kind does not forbid it, and are ASCII."""
    if kind == BINARY:
        return [bytes(size)] * count
    copies = size // len(RECORD) + 2
    numbers = [0] * count if kind == REPEATED else range(count)
    return [(RECORD.format(n * 7919 % 9999991, n * 104729 % 9999991, n) * copies)[:size] for n in numbers]


def pin(cpu: int | None) -> None:
    """Stay on one CPU, where the system lets a process choose."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
