"""The page of "Browser-based example" in the documentation of `websockets`.

Changed:
- Its script is Python instead of JavaScript: `ws.onmessage = function (event) {...}` is `async for`.
- The document, an <ul> with an <li> for each message, is what is printed.
"""

import asyncio
import websockets


async def show_time():
    async with websockets.connect("ws://127.0.0.1:5678/") as ws:
        async for data in ws:
            print(data)


asyncio.run(show_time())
