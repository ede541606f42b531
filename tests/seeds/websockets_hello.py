#!/usr/bin/env python
"""The client of "Basic example" in the documentation of `websockets`.

Changed:
- The joined lines are apart again, and the prompt, broken over two lines, is one string.
- `asyncio.get_event_loop().run_until_complete()`, gone by default in 3.14, is `asyncio.run()`.
"""

# WS client example

import asyncio
import websockets


async def hello():
    uri = "ws://localhost:8765"
    async with websockets.connect(uri) as websocket:
        name = input("What's your name? ")

        await websocket.send(name)
        print(f"> {name}")

        greeting = await websocket.recv()
        print(f"< {greeting}")


asyncio.run(hello())
