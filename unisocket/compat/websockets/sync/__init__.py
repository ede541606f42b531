"""`websockets.sync`: the client."""

from unisocket.compat.websockets.sync import client

__all__ = ("client",)
