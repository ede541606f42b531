"""Talks to an echo server. The same file runs in CPython, Brython, Pyodide and MicroPython."""

from unisocket import WebSocket, run

TEXT = "Grüße 😀\0"
BINARY = bytes(range(256)) * 4096  # 1 MiB


def on_open(event):
    print("open", ws.protocol)
    ws.send(TEXT)
    ws.send(BINARY)


async def on_message(event):
    if isinstance(event.data, str):
        print("text", event.data.replace("\0", "\\0"))
        print("as sent:", event.data == TEXT)
    else:
        print(len(event.data), "bytes")
        print("as sent:", event.data == BINARY)
        ws.close(4000, "😀")


def on_error(event):
    print("error")


def on_close(event):
    print("close", event.code, event.reason)
    print("clean:", event.wasClean)


ws = WebSocket("echo", "demo")
ws.onopen = on_open
ws.onmessage = on_message
ws.onerror = on_error
ws.bind("close", on_close)
print("state", ws.readyState)
run()
