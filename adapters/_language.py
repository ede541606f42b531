"""What CPython and Pyodide, which are one Python, say of time and values."""

import sys
import time
from collections import deque as Queue  # noqa: N812
from collections.abc import Coroutine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ("Queue", "async_next", "cancelled", "clock", "is_coroutine", "quick_getter", "takes_nothing", "usv_string")


def clock() -> float:
    return time.monotonic() * 1000


def is_coroutine(result: "Any") -> bool:
    return isinstance(result, Coroutine)


def takes_nothing(function: "Any") -> bool:
    """Whether a function, lambda or bound method has no place for the event; other callables get it."""
    import inspect  # which takes longer to import than all of this package

    if not (inspect.isfunction(function) or inspect.ismethod(function)):
        return False
    try:
        return all(each.kind >= each.KEYWORD_ONLY for each in inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # it cannot be read
        return False


def async_next(method: "Any") -> "Any":
    return method


def quick_getter(name: str) -> "Callable[[Callable[[Any], Any]], Callable[[Any], Any]]":
    if sys.version_info < (3, 12):
        from operator import attrgetter

        return lambda function: attrgetter(name)
    return lambda function: function  # which is not called: Python 3.12 does what is in it


def cancelled() -> "Any":
    asyncio = sys.modules.get("asyncio")
    return asyncio.CancelledError if asyncio else ()


def usv_string(text: str) -> str:
    """Join surrogate pairs, replace lone ones by U+FFFD (WHATWG Infra, scalar value string)."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
