"""Starts the scripted peer for tests, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# -P: in the root of a checkout, ./unisocket would shadow the package that is installed.
COMMAND = [sys.executable, "-P", "-m", "unisocket.testing.peer"]

# As it was when the tests began: what they start, they start in threads, while pytest writes the name of each test into
# its own environment.
ENVIRONMENT = dict(os.environ)


@contextmanager
def peer_process() -> Iterator[str]:
    """Run a peer as long as the block, and give its URL."""
    pipe = subprocess.PIPE
    with subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, text=True, env=ENVIRONMENT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.stdin.close()  # which ends it
