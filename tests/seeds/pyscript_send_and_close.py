"""The examples of `send()` and `close()` in the documentation of `pyscript.websocket`.

Changed:
- Two sockets, which they leave to the reader; one sends when it is open, and closes when all has come back; the other closes.
- What comes back is printed, and how they were closed.
"""

from pyscript import WebSocket


def send(event):
    # Send text.
    ws.send("Hello server!")

    # Send binary.
    ws.send(bytes([1, 2, 3, 4]))
    ws.send(bytearray([5, 6, 7, 8]))

def receive(event):
    print(event.data if isinstance(event.data, str) else list(event.data))
    if list(event.data) == [5, 6, 7, 8]:
        # Normal close.
        ws.close()

def close(event):
    # Close with code and reason.
    other.close(code=1000, reason="Task completed")

def start_other(event):
    global other
    print(event.code)
    other = WebSocket(
        url="ws://localhost:8080/",
        onopen=close,
        onclose=lambda e: print(e.code, e.reason)
    )

ws = WebSocket(
    url="ws://localhost:8080/",
    onopen=send,
    onmessage=receive,
    onclose=start_other
)
