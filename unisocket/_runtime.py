"""Where this program runs: the one file that asks, and picks what belongs to it.

It looks at `sys` only. To try imports instead would cost Brython six failed requests a module, and
`import asyncio` succeeds there with a module of stubs. What `_assets` writes for one runtime has the answers in it.
"""

import sys


def _need(what: str, *oldest: int) -> None:
    """Refuse what is too old, before anything of the package is imported that it could not read."""
    version = sys.implementation.version
    found = tuple([version[index] for index in range(len(oldest))])  # Brython 3.14 cannot iterate over it
    if found < oldest:
        needed, this = [".".join([str(number) for number in numbers]) for numbers in (oldest, found)]
        raise ImportError("unisocket needs %s %s or newer, and this is %s: load a newer one" % (what, needed, this))


def not_whole(error: Exception) -> ImportError:
    """Return what to raise for a module of the package that is missing, or is something else.

    Args:
        error: What its import raised. A server may send a page of its own in a file's place, which is
            a SyntaxError to Python.
    """
    for module in list(sys.modules):
        if module.startswith("unisocket."):
            del sys.modules[module]  # those that are there, too, so that nothing stays by halves
    facts = (type(error).__name__, error)
    return ImportError("unisocket is not whole (%s: %s): install it again, or copy all of its files" % facts)


# The oldest that pass the conformance suite; Brython 3.14.3 all but two cases.
if sys.implementation.name == "micropython":
    _module = "micropython"
    _need("MicroPython", 1, 24)
elif sys.implementation.name.lower() == "brython":  # old ones have no capital
    _module = "brython"
    _need("Brython", 3, 14, 3)
elif sys.platform == "emscripten":
    _module = "pyodide"
    _need("Pyodide 0.26, with Python", 3, 12)
else:
    _module = "cpython"
    _need("Python", 3, 11)

try:
    from unisocket.adapters import Adapter

    if _module == "micropython":
        from unisocket.adapters import micropython as _here
    elif _module == "brython":
        from unisocket.adapters import brython as _here  # type: ignore[no-redef]
    elif _module == "pyodide":
        from unisocket.adapters import pyodide as _here  # type: ignore[no-redef]
    else:
        from unisocket.adapters import cpython as _here  # type: ignore[no-redef]
except (ImportError, SyntaxError) as error:
    raise not_whole(error)

supported = _here.supported  # can it open a WebSocket?
clock = _here.clock  # milliseconds of a clock that never goes back; float() makes one of a number of JavaScript
is_coroutine = _here.is_coroutine  # did an `async def` return this?
takes_nothing = _here.takes_nothing  # is this a callable without parameters?
quick_getter = _here.quick_getter  # decorate what returns an attribute of that name: maybe there is a quicker way
Queue = _here.Queue  # first in, first out: append, appendleft, popleft
cancelled = _here.cancelled  # the exceptions of a cancelled task, for an `except` clause
usv_string = _here.usv_string  # a str whose surrogates are joined, or U+FFFD
report = _here.report  # tell the runtime of an exception that nobody caught
async_next = _here.async_next  # make a coroutine function one for __anext__
run = _here.run
run_sync = _here.run_sync  # wait for a coroutine, where that is possible

_adapter: "Adapter | None" = None


def default_adapter() -> "Adapter":
    """Return the adapter of sockets that are given none."""
    global _adapter
    if _adapter is None:
        _adapter = _here.DefaultAdapter()
    return _adapter


def checked_adapter(adapter: "Adapter | None") -> "Adapter":
    """Return the adapter that is given, or the default one.

    Raises:
        TypeError: It is no adapter.
    """
    if adapter is None:
        return default_adapter()
    if not isinstance(adapter, Adapter):
        raise TypeError("an adapter must be an instance of Adapter, not " + type(adapter).__name__)
    return adapter


def use(adapter: "Adapter | str | None") -> "Adapter":
    """Set the adapter of all sockets that are given none, for the whole program.

    Args:
        adapter: An adapter; the name of one that an installed package offers by the entry point
            group `unisocket.adapters`; or None for the runtime's own again.

    Returns:
        The adapter now in force.

    Raises:
        LookupError: No installed package offers an adapter of that name.
        TypeError: It is something else.
    """
    global _adapter
    given = _here.load_adapter(adapter) if isinstance(adapter, str) else adapter
    _adapter = None if given is None else checked_adapter(given)
    return default_adapter()
