"""The page of "Synchronization example" in the documentation of `websockets`.

Changed:
- Its script is Python instead of JavaScript: `websocket.onmessage = function (event) {...}` is
  `async for`, `switch` is `if`.
- The document, a value and a number of users, is what is printed; the clicks are a list, one after
  each new value.
"""

import asyncio
import json
import websockets

clicks = ["plus", "plus", "minus"]


async def counter():
    async with websockets.connect("ws://127.0.0.1:6789/") as websocket:
        async for message in websocket:
            data = json.loads(message)
            if data["type"] == "state":
                print(data["value"])
                if not clicks:
                    return
                await websocket.send(json.dumps({"action": clicks.pop(0)}))
            elif data["type"] == "users":
                print(str(data["count"]) + " user" + ("" if data["count"] == 1 else "s"))
            else:
                print("unsupported event", data)


asyncio.run(counter())
