"""The example "Using binary (memoryview) data" in the documentation of `pyscript.websocket`.

Changed:
- The import, which it leaves out.
- It sends when the connection is open: before that, as its own warning says, it cannot.
"""

from pyscript import WebSocket


def handle_message(event):
    if isinstance(event.data, str):
        print(f"Text: {event.data}")
    else:
        # Binary data as memoryview.
        print(f"Binary: {len(event.data)} bytes")

ws = WebSocket(url="ws://example.com/", onmessage=handle_message)

def handle_open(event):
    # Send binary data.
    data = bytearray([0x01, 0x02, 0x03])
    ws.send(data)

ws.onopen = handle_open
