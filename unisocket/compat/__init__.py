"""Other libraries' names over `unisocket`: their programs run with the import changed.

`websockets` and `simple_websocket`: clients, on every runtime. What only CPython can do raises
NotImplementedError elsewhere, and names itself. `brython` and `pyscript`: what browsers' Pythons
have, on every runtime; `install()` puts it in the place of theirs.
"""
