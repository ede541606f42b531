"""permessage-deflate of CPython: that of `websockets`, and what it leaves out of RFC 7692."""

import zlib
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from websockets.frames import Frame
from websockets.typing import ExtensionParameter

END_OF_DEFLATED = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.2: what the sender cuts off

# What is left of a message whose last block says that it is the last. The byte in the first makes an empty block of
# the end (section 7.2.3.4); some leave it out.
NOTHING_MORE = (b"\0" + END_OF_DEFLATED, END_OF_DEFLATED)

# How many blocks of a frame may say that they are the last: each costs a new beginning, and may take two bytes.
MANY_LAST = 1000

# A fifth less of time than with zlib's default, and 2 % more bytes, for chat and a window of 15 bits:
# `python bench/deflate.py`.
LEVEL = 5
MEMORY = 5  # likewise a level; what `websockets` has

# How much zlib is given at a time where such blocks are: it copies what it leaves over.
STEP = 2**12


class Deflate(PerMessageDeflate):
    """Inflates all blocks of a message.

    zlib ends with a block that says it is the last; in a message there may be many of these (RFC 7692
    section 7.2.1), and messages after it.

    Args:
        agreed: What `websockets` has made of the server's parameters.
    """

    def __init__(self, agreed: PerMessageDeflate) -> None:
        # Each message anew: that is done here, for else the decompressor would be gone when its rest is wanted.
        super().__init__(
            False,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            agreed.compress_settings,
        )
        self.each_anew = agreed.remote_no_context_takeover

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        if self.each_anew and frame.rsv1:
            self.decoder = self._decoder(b"")
        decoded = super().decode(frame, max_size=max_size)
        if decoded is not frame:  # it was deflated
            if self.decoder.eof:
                try:
                    decoded.data = self.go_on(bytes(decoded.data), max_size, whole=frame.fin)
                except zlib.error as error:
                    raise ProtocolError("decompression failed") from error
            if self.each_anew and frame.fin:
                del self.decoder  # it is large
        return decoded

    def go_on(self, inflated: bytes, limit: int | None, *, whole: bool = True) -> bytes:
        """Inflate what stands behind a block that said it was the last; and be ready for what comes next.

        Args:
            inflated: What came of the frame up to here.
            limit: Bytes that may come of it at most; None = any.
            whole: Whether it is the last frame of its message, so that `END_OF_DEFLATED` was added to it.

        Returns:
            What came of all of it.

        Raises:
            zlib.error: It is not deflated.
            PayloadTooBig: More came of it.
        """
        parts, size = [inflated], len(inflated)
        rest, position = memoryview(self.decoder.unused_data), 0
        history = inflated
        for _ in range(MANY_LAST):
            history = history[-(2**self.remote_max_window_bits) :]
            self.decoder = self._decoder(history)
            if whole and bytes(rest[position : position + 6]) in NOTHING_MORE:
                break
            while position < len(rest) and not self.decoder.eof:
                step = rest[position : position + STEP]
                part = self.decoder.decompress(step, 0 if limit is None else limit - size + 1)
                size += len(part)
                if limit is not None and size > limit:
                    raise PayloadTooBig(None, limit)
                parts.append(part)
                history += part
                position += len(step) - len(self.decoder.unused_data)
            if not self.decoder.eof:
                break
        else:
            raise zlib.error(f"more than {MANY_LAST} blocks say that they are the last")
        return b"".join(parts)

    def _decoder(self, history: bytes) -> Any:
        return zlib.decompressobj(wbits=-self.remote_max_window_bits, zdict=history)


SMALLEST = ("client_max_window_bits", "8")


class DeflateFactory(ClientPerMessageDeflateFactory):
    """Offers what `websockets` does by default, and compresses a little less."""

    def __init__(self) -> None:
        super().__init__(compress_settings={"memLevel": MEMORY, "level": LEVEL})

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> Deflate:
        # zlib does not deflate with a window of 256 bytes; with one of 512 it looks back 250 at most.
        within = [("client_max_window_bits", "9") if param == SMALLEST else param for param in params]
        return Deflate(super().process_response_params(within, accepted_extensions))
