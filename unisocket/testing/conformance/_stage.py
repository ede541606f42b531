"""What the cases of listeners and handlers do: dispatch events without a connection, and note who was called."""

from unisocket import Event, on_handler_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from unisocket._websocket import WebSocket
    from unisocket.testing.conformance._case import Connect

# Fetch blocks this port: such a socket fails in a task of its own, and never comes near the network.
NOWHERE = "ws://127.0.0.1:9/"


class Stage:
    """A socket whose listeners are called by dispatchEvent(), and the names of those who were.

    Attributes:
        websocket: Goes nowhere.
        called: The names, since the last `fire()`.
    """

    def __init__(self, connect: "Connect") -> None:
        self.websocket: WebSocket = connect(NOWHERE)
        self.called: list[str] = []

    def listener(self, name: str, action: "Callable[[], Any] | None" = None) -> "Callable[[Event], None]":
        """Return a new function that notes its name, and then acts."""

        def listen(event: Event) -> None:
            self.called.append(name)
            if action is not None:
                action()

        return listen

    def add(self, name: str, action: "Callable[[], Any] | None" = None) -> "Callable[[Event], None]":
        """Add a listener for "message", and return it."""
        listener = self.listener(name, action)
        self.websocket.addEventListener("message", listener)
        return listener

    def fire(self, type: str = "message") -> "list[str]":
        """Dispatch an event; return who was called."""
        self.called = []
        self.websocket.dispatchEvent(Event(type))
        return self.called


class HandlerErrors:
    """Hears of the exceptions of handlers, as long as its block runs.

    Attributes:
        reports: The pairs of exception and event.
    """

    def __init__(self) -> None:
        self.reports: list[tuple[BaseException, Event]] = []

    def __enter__(self) -> "HandlerErrors":
        on_handler_error(lambda error, event: self.reports.append((error, event)))
        return self

    def __exit__(self, *exception: object) -> None:
        on_handler_error(None)
