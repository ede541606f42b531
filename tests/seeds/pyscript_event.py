"""The example of `WebSocketEvent` in the documentation of `pyscript.websocket`.

Changed: a socket, which the documentation leaves to the reader, has the handler.
"""

from pyscript import WebSocket


def on_message(event):  # The event is a WebSocketEvent instance.
    # For text messages.
    if isinstance(event.data, str):
        print(f"Text: {event.data}")
    else:
        # For binary messages.
        print(f"Binary: {len(event.data)} bytes")

ws = WebSocket(url="ws://localhost:8080/")
ws.onmessage = on_message
