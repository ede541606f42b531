"""The examples of the constructor in the documentation of `pyscript.websocket`.

Changed: the import, which they leave out.
"""

from pyscript import WebSocket

# Basic connection.
ws = WebSocket(url="ws://localhost:8080/")

# With protocol.
ws = WebSocket(
    url="wss://example.com/socket",
    protocols="chat"
)

# With handlers.
ws = WebSocket(
    url="ws://localhost:8080/",
    onopen=lambda e: print("Connected"),
    onmessage=lambda e: print(e.data)
)
