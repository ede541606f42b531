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
        "chromium",
        "156.0",
        "fails a connection whose peer goes on after its close frame, in the same packet",
        ("message_after_the_close_frame_of_the_peer_is_not_delivered",),
    ),
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
    Allowance(
        "firefox",
        "153.7",
        "may not tell of a connection that opened, nor of its messages, where it is lost in the same moment",
        ("connection_broken_in_the_moment_it_opens_tells_all_the_same",),
    ),
    Allowance(
        "firefox",
        "153.7",
        "may be CLOSED before anybody has seen it CLOSING",
        ("close_frame_of_peer_moves_to_CLOSING_before_close",),
    ),
    Allowance(
        "firefox",
        "153.7",
        "takes 20 s to drop a connection that is given up before it is open",
        (
            "close_while_CONNECTING_ends_TCP",
            "connect_cancelled_while_opening_drops_the_connection",
            "connect_never_answered_drops_the_connection",
        ),
    ),
    Allowance(
        "firefox",
        "153.7",
        "takes 1005 and half a code in a close frame for none",
        ("close_code_1005_fires_error_then_close_1006", "close_frame_of_one_byte_fires_error_then_close_1006"),
    ),
    Allowance(
        "firefox",
        "153.7",
        "takes a masked frame of a server",
        ("masked_frame_fires_error_then_close_1006",),
    ),
    Allowance(
        "firefox",
        "153.7",
        "does not tell the parameters of permessage-deflate",
        ("opening_with_permessage_deflate_and_parameters_tells_them",),
    ),
    Allowance(
        "firefox",
        "153.7",
        "opens where a server chooses a subprotocol and none was asked for, and does not tell it",
        ("opening_with_subprotocol_nobody_asked_for_fires_error_then_close_1006",),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "goes on to deliver what comes after a frame that it fails the connection for",
        (
            "bad_compressed_data_fires_error_then_close_1006",
            "bad_utf8_in_second_fragment_fires_error_then_close_1006",
            "compressed_text_with_byte_ff_fires_error_then_close_1006",
            "continuation_of_nothing_fires_error_then_close_1006",
            "fragmented_ping_fires_error_then_close_1006",
            "ping_of_126_bytes_fires_error_then_close_1006",
            "reserved_control_opcode_11_fires_error_then_close_1006",
            "text_beyond_10FFFF_fires_error_then_close_1006",
            "text_that_ends_within_a_character_fires_error_then_close_1006",
            "text_with_byte_ff_fires_error_then_close_1006",
            "text_with_encoded_surrogate_fires_error_then_close_1006",
            "text_with_overlong_form_fires_error_then_close_1006",
        ),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "takes RSV1 in a continuation",
        ("RSV1_in_continuation_fires_error_then_close_1006",),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "takes for sent, in `bufferedAmount`, what waits in a process of its own, however much",
        (
            "bufferedAmount_of_connection_closed_in_vain_keeps_what_never_left",
            "bufferedAmount_of_connection_that_was_reset_keeps_what_never_left",
            "connection_send_of_two_coroutines_waits_and_goes_on_in_both",
            "connection_send_to_a_peer_that_stalls_waits_until_it_reads",
            "connection_send_waiting_when_connection_is_lost_raises_ConnectionClosedError",
            "connection_send_waiting_when_the_peer_closes_raises_ConnectionClosed",
            "connection_send_waiting_when_we_close_raises_ConnectionClosed",
            "send_cancelled_while_it_waits_leaves_the_connection_whole",
        ),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "stays OPEN from the peer's close frame to CLOSED",
        ("close_frame_of_peer_moves_to_CLOSING_before_close",),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "cuts the reason of a close frame at a NUL character, in both directions",
        ("close_of_peer_with_NUL_in_reason_tells_it", "close_with_NUL_in_reason_sends_it"),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "answers a close frame without a code with 1000",
        ("close_of_peer_without_code_tells_1005",),
    ),
    Allowance(
        "webkitgtk",
        "2.50",
        "follows redirects",
        ("opening_with_redirect_fires_error_then_close_1006",),
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
            name = {"webkitgtk": "WebKitGTK"}.get(entry.engine, entry.engine.capitalize())
            lines.append(f"- {name} {entry.version} {entry.fact}: {cases}\n")
    return "".join(lines)
