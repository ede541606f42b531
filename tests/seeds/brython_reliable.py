"""The program `ReliableConnection` in the guide to Brython's WebSocket.

Changed:
- Indented.
- `set_timeout`, which it uses, is imported, too.
"""

from browser.websocket import WebSocket
from browser.timer import set_interval, clear_interval, set_timeout

class ReliableConnection:
    def __init__(self, url):
        self.url = url
        self.ws = None
        self.reconnect_attempts = 0
        self.max_reconnect_attempts = 5
        self.reconnect_interval = 1000  # Start with 1 second
        self.heartbeat_interval = None
        self.connect()

    def connect(self):
        """Establish WebSocket connection."""
        print(f"Connecting to {self.url}...")
        self.ws = WebSocket(self.url)

        def on_open(event):
            print("Connected successfully")
            self.reconnect_attempts = 0
            self.reconnect_interval = 1000  # Reset interval
            self.start_heartbeat()

        def on_message(event):
            if event.data == "pong":
                print("Heartbeat response received")
            else:
                # Handle actual messages
                print(f"Received: {event.data}")

        def on_close(event):
            print("Connection closed")
            self.stop_heartbeat()
            if event.code != 1000:  # Not normal closure
                self.attempt_reconnect()

        def on_error(event):
            print("Connection error")

        self.ws.bind('open', on_open)
        self.ws.bind('message', on_message)
        self.ws.bind('close', on_close)
        self.ws.bind('error', on_error)

    def start_heartbeat(self):
        """Start sending heartbeat messages."""
        def send_ping():
            if self.ws and self.ws.readyState == 1:
                self.ws.send("ping")

        self.heartbeat_interval = set_interval(send_ping, 30000)  # 30 seconds

    def stop_heartbeat(self):
        """Stop heartbeat."""
        if self.heartbeat_interval:
            clear_interval(self.heartbeat_interval)
            self.heartbeat_interval = None

    def attempt_reconnect(self):
        """Attempt to reconnect with exponential backoff."""
        if self.reconnect_attempts >= self.max_reconnect_attempts:
            print("Max reconnection attempts reached")
            return
        self.reconnect_attempts += 1
        delay = self.reconnect_interval * (2 ** (self.reconnect_attempts - 1))
        print(f"Reconnecting in {delay}ms (attempt {self.reconnect_attempts})")

        def do_reconnect():
            self.connect()

        set_timeout(do_reconnect, delay)

    def send(self, data):
        """Send data if connected."""
        if self.ws and self.ws.readyState == 1:
            self.ws.send(data)
        else:
            print("Cannot send - not connected")

    def close(self):
        """Close connection."""
        self.stop_heartbeat()
        if self.ws:
            self.ws.close(1000, "Client closing")

# Usage
reliable_ws = ReliableConnection("ws://localhost:8080/api")
