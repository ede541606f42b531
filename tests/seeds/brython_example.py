"""The example in Brython's documentation of `browser.websocket`.

Changed: nothing.
"""

from browser import alert, document, websocket

def on_open(evt):
    document['sendbtn'].disabled = False
    document['closebtn'].disabled = False
    document['openbtn'].disabled = True

def on_message(evt):
    # message received from server
    alert(f"Message received : {evt.data}")

def on_close(evt):
    # websocket is closed
    alert("Connection is closed")
    document['openbtn'].disabled = False
    document['closebtn'].disabled = True
    document['sendbtn'].disabled = True

ws = None

@document['openbtn'].bind('click')
def _open(ev):
    if not websocket.supported:
        alert("WebSocket is not supported by your browser")
        return
    global ws
    # open a web socket
    ws = websocket.WebSocket("wss://echo.websocket.org")
    # bind functions to web socket events
    ws.bind('open',on_open)
    ws.bind('message',on_message)
    ws.bind('close',on_close)

@document['sendbtn'].bind('click')
def send(ev):
    data = document["data"].value
    if data:
        ws.send(data)

@document['closebtn'].bind('click')
def close_connection(ev):
    ws.close()
    document['openbtn'].disabled = False

