"""What each level of zlib costs and saves: `python bench/deflate.py`. CPython's adapter sends with `LEVEL`.

Messages are compressed as on a connection (RFC 7692 section 7.2.1): one stream, flushed behind each of them.
"""

import json
import random
import re
import time
import zlib
from pathlib import Path

from traffic import TEXT, messages

from unisocket.adapters._deflate import LEVEL, MEMORY

ROUNDS = 7
LEVELS = range(1, 10)


def chat(count: int) -> list[str]:
    """Return what people write, in words of the documentation."""
    chance = random.Random(6455)  # noqa: S311 # the same each time
    pages = sorted((Path(__file__).parents[1] / "docs").glob("c*.md"))
    words = re.findall(r"[a-z]+", " ".join(page.read_text() for page in pages).lower())
    names = ("alice", "bob", "carol", "dave")
    return [
        json.dumps({"user": chance.choice(names), "text": " ".join(chance.choices(words, k=chance.randint(2, 15)))})
        for _ in range(count)
    ]


def measure(texts: list[bytes], level: int) -> tuple[int, float]:
    """Return how many bytes come of all texts, and the seconds of CPU that it takes at best."""
    best, size = float("inf"), 0
    for _ in range(ROUNDS):
        deflater = zlib.compressobj(level, zlib.DEFLATED, -15, MEMORY)
        start = time.process_time()
        size = sum(len(deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)) - 4 for text in texts)
        best = min(best, time.process_time() - start)
    return size, best


def main() -> None:
    """Print a table for each kind of message; 6 is what zlib does if it is not told."""
    for name, texts in (("ticks", messages(TEXT, 64, 3000)), ("chat", chat(3000))):
        data = [str(text).encode() for text in texts]
        costs = {level: measure(data, level) for level in LEVELS}
        size, seconds = costs[6]
        print(f"{name}, {sum(map(len, data)) / len(data):.0f} bytes each, beside level 6")
        for level, (own_size, own_seconds) in costs.items():
            mark = "  <- unisocket" if level == LEVEL else ""
            print(f"  level {level}: size x {own_size / size:.3f}, CPU x {own_seconds / seconds:.2f}{mark}")


if __name__ == "__main__":
    main()
