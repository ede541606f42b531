"""Brython's `browser.websocket`: `from unisocket.compat.brython import websocket`.

Or leave a program as it is, and before it is imported:

    import unisocket.compat.brython

    unisocket.compat.brython.install()

Then `from browser import websocket` gives this one: in a page, and in a worker, where Brython has none;
on the other runtimes, too.
"""

from unisocket.compat._native import put_in
from unisocket.compat.brython import websocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("install", "websocket")


def install() -> None:
    """Let `browser.websocket` be this one for all that is imported from now on.

    `browser.bind(ws, "message")`, where there is `browser.bind`, takes these sockets, too.
    """
    browser = put_in("browser.websocket", websocket.__name__, __name__)
    theirs = getattr(browser, "bind", None)
    if theirs is None:
        return

    def bind(target: "Any", event: str, *options: "Any") -> "Any":
        if isinstance(target, websocket.WebSocket):
            return target.bind(event)
        return theirs(target, event, *options)

    browser.bind = bind
