"""The pattern "Producer" in the documentation of `websockets`, in a client.

Changed:
- `producer()`, which the documentation leaves to the reader, counts, a hundred times a second.
- `main()`, which connects, calls the handler, and catches the `ConnectionClosed` that ends it.
"""

import asyncio
import websockets

count = 0


async def producer():
    global count
    await asyncio.sleep(0.01)
    count += 1
    return str(count)


async def producer_handler(websocket, path):
    while True:
        message = await producer()
        await websocket.send(message)


async def main():
    async with websockets.connect("ws://localhost:8765") as websocket:
        try:
            await producer_handler(websocket, "/")
        except websockets.ConnectionClosed as closed:
            print(closed)


asyncio.run(main())
