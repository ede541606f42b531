"""What the scripted peer sends when it makes up messages itself: the same bytes on both sides."""

__all__ = ("generated", "numbered")

# Two lengths that are prime, so that no block of a power of two is like its neighbour.
_TEXT = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXY"
_BINARY = bytes(range(251))


def numbered(number: int, size: int) -> str:
    """Return the text of message `number` of the step "push": its number, then dots up to `size`.

    The binary messages are the same in ASCII.

    Examples:
        >>> numbered(7, 5)
        '7....'
    """
    text = str(number)
    return text + "." * (size - len(text))


def generated(kind: str, size: int) -> "str | bytes":
    r"""Return the message of the step "send": a pattern of `size` bytes, a str if `kind` is "text".

    Examples:
        >>> generated("text", 12)
        '0123456789ab'
        >>> generated("binary", 3)
        b'\x00\x01\x02'
    """
    if kind == "text":
        return (_TEXT * (size // len(_TEXT) + 1))[:size]
    return (_BINARY * (size // len(_BINARY) + 1))[:size]
