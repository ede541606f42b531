"""TCP connections to the first address of a host that answers (CPython)."""

import asyncio
import ipaddress
import itertools
import socket
from typing import Any

Address = tuple[Any, ...]  # as `getaddrinfo()` has it


async def connect_tcp(host: str, port: int, local: tuple[str, int] | None, delay: float | None) -> socket.socket:
    """Return a socket that is connected, and leave no other behind.

    asyncio has the same ("happy eyeballs"), but a task that is cancelled at the wrong moment leaves
    a connected socket behind; and uvloop has not.

    Args:
        host: Name or address.
        port: Port.
        local: Address and port to connect from.
        delay: Seconds that an address is tried alone; None = up to its end.

    Raises:
        OSError: What the first address failed with.

    Spec: RFC 8305 sections 4 and 5.
    """
    loop = asyncio.get_running_loop()
    addresses = await _resolve(host, port)
    if len(addresses) == 1:
        return await _connect(addresses[0], local)
    failure: BaseException | None = None
    attempts: set[asyncio.Task[socket.socket]] = set()
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(loop.create_task(_connect(addresses.pop(0), local)))
            patience = delay if addresses else None
            done, _ = await asyncio.wait(attempts, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                attempts.remove(attempt)
                if attempt.exception() is None:
                    return attempt.result()
                failure = failure or attempt.exception()
        raise failure or OSError(f"{host} has no address")
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


async def _resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, families by turns."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        return [(family, socket.SOCK_STREAM, 0, "", (host, port))]
    families: dict[int, list[Address]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _connect(address: Address, local: tuple[str, int] | None) -> socket.socket:
    family, kind, protocol, _, peer = address
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        if local is not None:
            connection.bind(local)
        await asyncio.get_running_loop().sock_connect(connection, peer)
    except BaseException:  # CancelledError, too: the socket is not to be left open
        connection.close()
        raise
    return connection


def _close(attempt: "asyncio.Task[socket.socket]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
