#!/usr/bin/env python
"""The first client in the documentation of `websockets`: "Here's how a client sends and receives messages".

Changed:
- The joined lines are apart again.
- `asyncio.get_event_loop().run_until_complete()`, gone by default in 3.14, is `asyncio.run()`.
"""

import asyncio
import websockets


async def hello():
    uri = "ws://localhost:8765"
    async with websockets.connect(uri) as websocket:
        await websocket.send("Hello world!")
        await websocket.recv()


asyncio.run(hello())
