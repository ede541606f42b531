"""Starts real proxies for tests, each in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

CONNECT = """
import sys
import proxy

if __name__ == "__main__":
    arguments = ["--hostname=127.0.0.1", "--port=0", "--num-acceptors=1", "--num-workers=1", "--log-level=ERROR"]
    with proxy.Proxy([*arguments, *sys.argv[1:]]) as running:
        print(running.flags.port, flush=True)
        sys.stdin.read()
"""

SOCKS = """
import asyncio
import sys
import pproxy

async def main():
    server = await pproxy.Server("socks5://127.0.0.1:0" + "".join(sys.argv[1:])).start_server({"rserver": []})
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@contextmanager
def connect_proxy(*arguments: str) -> Iterator[str]:
    """Run proxy.py, an HTTP proxy, as long as the block, and give its address."""
    with _running(CONNECT, *arguments) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def socks_proxy(*credentials: str) -> Iterator[str]:
    """Run pproxy, a SOCKS5 proxy, as long as the block, and give its address; "#user:password" are credentials."""
    with _running(SOCKS, *credentials) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(program: str, *arguments: str) -> Iterator[str]:
    command = [sys.executable, "-P", "-c", program, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()  # which ends it
