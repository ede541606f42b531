"""What a case is, and the list of all of them."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from unisocket._websocket import WebSocket
    from unisocket.testing.script import Peer

    # connect(url, protocols=None, options=None, **handlers): `options` are keywords for the adapter.
    Connect = Callable[..., WebSocket]
    Function = Callable[[Connect, Peer], Coroutine[Any, Any, None]]


class Case:
    """One rule of the contract, and the test of it.

    Attributes:
        name: Subject, condition and outcome.
        rule: The contract's or a standard's rule, in words.
        function: Takes `connect` and a `Peer`; raises if the rule is broken.
        needs: What an adapter must be capable of for the case to make sense.
    """

    def __init__(self, name: str, rule: str, function: "Function", needs: tuple[str, ...] = ()) -> None:
        self.name = name
        self.rule = rule
        self.function = function
        self.needs = needs


CASES: list[Case] = []


def add_case(name: str, rule: str, function: "Function", needs: tuple[str, ...] = ()) -> None:
    """Add a case whose function has no name of its own: one of a table."""
    CASES.append(Case(name, rule, function, needs))


def case(rule: str, needs: tuple[str, ...] = ()) -> "Callable[[Function], Function]":
    """Make a function a case.

    Args:
        rule: What the contract or a standard says.
        needs: Capabilities of the adapter that it takes.
    """

    def add(function: "Function") -> "Function":
        add_case(function.__name__, rule, function, needs)
        return function

    return add
