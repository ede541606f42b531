"""The conformance suite: what every WebSocket of unisocket does, in every runtime, over every adapter.

Cases are plain async functions, by topic; each takes a function that makes a WebSocket of the
adapter under test, and a `Peer` to script what the other end does.
"""

# To import a topic is to add its cases.
from unisocket.testing.conformance import (  # noqa: F401
    arguments,
    close,
    construct,
    coroutines,
    events,
    handlers,
    listeners,
    opening,
    order,
    receive,
    send,
)
from unisocket.testing.conformance._case import CASES, Case

__all__ = ("CASES", "Case")
