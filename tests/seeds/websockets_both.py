"""The pattern "Both" in the documentation of `websockets`, in a client.

Changed:
- `consumer()`, which the documentation leaves to the reader, prints; `producer()` gives two
  messages and then waits for ever.
- `main()`, which connects and calls the handler.
"""

import asyncio
import websockets

messages = ["one", "two"]


async def consumer(message):
    print(f"< {message}")


async def producer():
    if not messages:
        await asyncio.Event().wait()
    return messages.pop(0)


async def consumer_handler(websocket, path):
    async for message in websocket:
        await consumer(message)


async def producer_handler(websocket, path):
    while True:
        message = await producer()
        await websocket.send(message)


async def handler(websocket, path):
    consumer_task = asyncio.ensure_future(
        consumer_handler(websocket, path))
    producer_task = asyncio.ensure_future(
        producer_handler(websocket, path))
    done, pending = await asyncio.wait(
        [consumer_task, producer_task],
        return_when=asyncio.FIRST_COMPLETED,
    )
    for task in pending:
        task.cancel()


async def main():
    async with websockets.connect("ws://localhost:8765") as websocket:
        await handler(websocket, "/")


asyncio.run(main())
