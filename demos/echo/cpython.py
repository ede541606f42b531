"""The front for CPython: `python cpython.py http://127.0.0.1:8000/`."""

import sys

import unisocket
from unisocket.adapters.cpython import CPythonAdapter

unisocket.use(CPythonAdapter(base_url=sys.argv[1]))
import app  # noqa: E402, F401
