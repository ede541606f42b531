"""The program `ChatApp` in the guide to Brython's WebSocket.

Changed: indented.
"""

from browser.websocket import WebSocket
from browser import document, bind
from browser.html import DIV, INPUT, BUTTON, UL, LI
import json

class ChatApp:
    def __init__(self):
        self.ws = None
        self.username = "User"
        self.setup_ui()
        self.connect()

    def setup_ui(self):
        """Create chat interface."""
        # Chat container
        self.chat_container = DIV(style={
            'width': '400px',
            'height': '500px',
            'border': '1px solid #ccc',
            'display': 'flex',
            'flex-direction': 'column'
        })
        # Messages area
        self.messages_area = DIV(style={
            'flex': '1',
            'overflow-y': 'auto',
            'padding': '10px',
            'background': '#f9f9f9'
        })
        # Input area
        input_area = DIV(style={
            'display': 'flex',
            'padding': '10px',
            'border-top': '1px solid #ccc'
        })
        self.message_input = INPUT(
            placeholder="Type a message...",
            style={'flex': '1', 'margin-right': '10px'}
        )
        send_button = BUTTON("Send")
        # Assemble UI
        input_area <= self.message_input
        input_area <= send_button
        self.chat_container <= self.messages_area
        self.chat_container <= input_area
        document.body <= self.chat_container

        # Event handlers
        @bind(send_button, 'click')
        def handle_send(event):
            self.send_message()

        @bind(self.message_input, 'keypress')
        def handle_keypress(event):
            if event.key == 'Enter':
                self.send_message()

    def connect(self):
        """Connect to WebSocket server."""
        self.ws = WebSocket("ws://localhost:8080/chat")

        def on_open(event):
            self.add_system_message("Connected to chat server")
            # Send join message
            self.ws.send(json.dumps({
                'type': 'join',
                'username': self.username
            }))

        def on_message(event):
            try:
                data = json.loads(event.data)
                self.handle_server_message(data)
            except:
                self.add_system_message(f"Received: {event.data}")

        def on_close(event):
            self.add_system_message("Disconnected from server")

        def on_error(event):
            self.add_system_message("Connection error")

        self.ws.bind('open', on_open)
        self.ws.bind('message', on_message)
        self.ws.bind('close', on_close)
        self.ws.bind('error', on_error)

    def send_message(self):
        """Send chat message."""
        message = self.message_input.value.strip()
        if message and self.ws and self.ws.readyState == 1:
            self.ws.send(json.dumps({
                'type': 'message',
                'username': self.username,
                'text': message
            }))
            self.message_input.value = ""

    def handle_server_message(self, data):
        """Handle messages from server."""
        message_type = data.get('type')
        if message_type == 'message':
            self.add_chat_message(data['username'], data['text'])
        elif message_type == 'join':
            self.add_system_message(f"{data['username']} joined the chat")
        elif message_type == 'leave':
            self.add_system_message(f"{data['username']} left the chat")
        elif message_type == 'error':
            self.add_system_message(f"Error: {data['message']}")

    def add_chat_message(self, username, text):
        """Add chat message to display."""
        message_div = DIV(style={'margin': '5px 0'})
        username_span = DIV(
            f"{username}: ",
            style={'font-weight': 'bold', 'display': 'inline'}
        )
        text_span = DIV(
            text,
            style={'display': 'inline'}
        )
        message_div <= username_span
        message_div <= text_span
        self.messages_area <= message_div
        # Scroll to bottom
        self.messages_area.scrollTop = self.messages_area.scrollHeight

    def add_system_message(self, text):
        """Add system message to display."""
        message_div = DIV(
            text,
            style={
                'margin': '5px 0',
                'font-style': 'italic',
                'color': '#666'
            }
        )
        self.messages_area <= message_div
        self.messages_area.scrollTop = self.messages_area.scrollHeight

# Start chat application
chat_app = ChatApp()
