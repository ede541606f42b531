"""`websockets.asyncio`: the client."""

from unisocket.compat.websockets.asyncio import client

__all__ = ("client",)
