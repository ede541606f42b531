"""What each level of zlib costs and saves: `python bench/deflate.py`. CPython's adapter sends with `LEVEL`.

Messages are compressed as on a connection (RFC 7692 section 7.2.1): one stream, flushed behind each of them. The
window is what the server agrees to: most take the largest, of 15 bits, and `websockets` takes 12.
"""

import json
import random
import time
import zlib

from traffic import TEXT, messages

from unisocket.adapters._deflate import LEVEL, MEMORY

ROUNDS = 7
LEVELS = range(1, 10)
WINDOWS = (15, 12)  # bits

WORDS = """about after again always anybody around because before better bring call change close come could day did
do does done each else end even ever every feel find first fine for from gave get give go going gone good got great had
have hear hello help here how idea if in into is it just keep know last later least left let like little long look made
make many maybe mean meet message minute more morning much must my need never new next nice no not nothing now of off
often okay on once one only open or other our out over people please put quite read ready really right said same say
see seems send should so some something soon sorry still sure take talk tell thank that the their them then there they
thing think this though time to today together told tomorrow too try until up us very wait want was way we week well
were what when where which while who why will with work would write yes yet you your"""


def chat(count: int) -> list[str]:
    """Return what people write."""
    chance = random.Random(6455)  # noqa: S311 # the same each time
    words = WORDS.split()
    names = ("alice", "bob", "carol", "dave")
    return [
        json.dumps({"user": chance.choice(names), "text": " ".join(chance.choices(words, k=chance.randint(2, 15)))})
        for _ in range(count)
    ]


def measure(texts: list[bytes], level: int, window: int) -> tuple[int, float]:
    """Return how many bytes come of all texts, and the seconds of CPU that it takes at best."""
    best, size = float("inf"), 0
    for _ in range(ROUNDS):
        deflater = zlib.compressobj(level, zlib.DEFLATED, -window, MEMORY)
        start = time.process_time()
        size = sum(len(deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)) - 4 for text in texts)
        best = min(best, time.process_time() - start)
    return size, best


def main() -> None:
    """Print a table for each kind of message; 6 is what zlib does if it is not told."""
    for name, texts in (("ticks", messages(TEXT, 64, 3000)), ("chat", chat(3000))):
        data = [str(text).encode() for text in texts]
        for window in WINDOWS:
            costs = {level: measure(data, level, window) for level in LEVELS}
            size, seconds = costs[6]
            print(f"{name}, {sum(map(len, data)) / len(data):.0f} bytes each, window of {window} bits, beside level 6")
            for level, (own_size, own_seconds) in costs.items():
                mark = "  <- unisocket" if level == LEVEL else ""
                print(f"  level {level}: size x {own_size / size:.3f}, CPU x {own_seconds / seconds:.2f}{mark}")


if __name__ == "__main__":
    main()
