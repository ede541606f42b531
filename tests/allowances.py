"""Where an engine breaks a rule that this library cannot keep in its stead: the one list of these.

A case that stands here may fail there, and has to: one that passes fails the test, for its entry is
not needed any more.
"""

from typing import NamedTuple


class Allowance(NamedTuple):
    """A fault of an engine.

    Attributes:
        engine: What `browser.contexts.engine_of()` calls it.
        version: In which it was seen last.
        fact: What the engine does.
        cases: Of the conformance suite, without "test_".
    """

    engine: str
    version: str
    fact: str
    cases: tuple[str, ...]


ALLOWANCES = (
    Allowance(
        "node",
        "24.19",
        "says that a connection is closed only when the peer ends TCP",
        ("close_frame_of_peer_that_keeps_TCP_open_closes_all_the_same",),
    ),
    Allowance(
        "node",
        "24.19",
        "ends the process, with a TypeError of its own, where a server chooses a subprotocol and none was asked for",
        ("opening_with_subprotocol_nobody_asked_for_fires_error_then_close_1006",),
    ),
    Allowance(
        "node",
        "24.19",
        "takes permessage-deflate with parameters that there are none of",
        ("opening_with_extension_with_unknown_parameter_fires_error_then_close_1006",),
    ),
    Allowance(
        "node",
        "24.19",
        "does not find `Upgrade` in a Connection header that says more",
        ("opening_with_Connection_with_several_options_opens",),
    ),
    Allowance(
        "node",
        "24.19",
        "takes a length in more bytes than it needs",
        (
            "length_of_5_in_16_bits_fires_error_then_close_1006",
            "length_of_200_in_64_bits_fires_error_then_close_1006",
        ),
    ),
    Allowance(
        "node",
        "24.19",
        "takes RSV1 where a message does not begin",
        ("RSV1_in_ping_fires_error_then_close_1006", "RSV1_in_continuation_fires_error_then_close_1006"),
    ),
    Allowance(
        "node",
        "24.19",
        "drops the byte order mark that a text begins with",
        ("text_message_with_byte_order_mark_keeps_it",),
    ),
    Allowance(
        "node",
        "24.19",
        "reads nothing from the message after one whose last block of DEFLATE is marked as the final one",
        ("compressed_message_after_final_block_is_delivered_decompressed",),
    ),
    Allowance(
        "node",
        "24.19",
        "forgets what is buffered when a connection is reset",
        ("bufferedAmount_of_connection_that_was_reset_keeps_what_never_left",),
    ),
)


def allowance(engine: str, case: str) -> Allowance | None:
    """Return what an engine is allowed in a case, by its name."""
    found = (entry for entry in ALLOWANCES if entry.engine == engine and case.removeprefix("test_") in entry.cases)
    return next(found, None)


def allowed_to(engines: "set[str]") -> str:
    """Return the list for some engines, as text of a documentation page."""
    lines = []
    for entry in ALLOWANCES:
        if entry.engine in engines:
            cases = ", ".join(f"`{case}`" for case in entry.cases)
            lines.append(f"- {entry.engine.capitalize()} {entry.version} {entry.fact}: {cases}\n")
    return "".join(lines)
