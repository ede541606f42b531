"""The example "Using textual (str) data" in the documentation of `pyscript.websocket`.

Changed: nothing.
"""

from pyscript import WebSocket


# Create WebSocket with handlers as arguments.
def handle_message(event):
    print(f"Got: {event.data}")

ws = WebSocket(
    url="ws://echo.websocket.org/",
    onmessage=handle_message
)

# Or assign handlers after creation.
def handle_open(event):
    ws.send("Hello!")

ws.onopen = handle_open
