"""The program "Basic Usage" in the guide to Brython's WebSocket.

Changed: indented.
"""

from browser.websocket import WebSocket, supported

if not supported:
    print("WebSocket not supported in this browser")
else:
    # Create WebSocket connection
    ws = WebSocket("ws://localhost:8080/chat")

    def on_open(event):
        print("WebSocket connection established")
        ws.send("Hello Server!")

    def on_message(event):
        message = event.data
        print(f"Received: {message}")

    def on_close(event):
        print(f"Connection closed: {event.code} - {event.reason}")

    def on_error(event):
        print("WebSocket error occurred")

    # Bind event handlers
    ws.bind('open', on_open)
    ws.bind('message', on_message)
    ws.bind('close', on_close)
    ws.bind('error', on_error)
