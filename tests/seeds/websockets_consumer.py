"""The pattern "Consumer" in the documentation of `websockets`, in a client.

Changed:
- `consumer()`, which the documentation leaves to the reader, prints.
- `main()`, which connects and calls the handler.
"""

import asyncio
import websockets


async def consumer(message):
    print(f"< {message}")


async def consumer_handler(websocket, path):
    async for message in websocket:
        await consumer(message)


async def main():
    async with websockets.connect("ws://localhost:8765") as websocket:
        await consumer_handler(websocket, "/")


asyncio.run(main())
