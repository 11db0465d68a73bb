"""``python -m routermcp.gateway.builtin``: the demonstration tools as a server over stdio."""

from __future__ import annotations

import asyncio

from ..serving.stdio import serve_stdio
from .tools import BuiltinTools

if __name__ == "__main__":
    asyncio.run(serve_stdio(BuiltinTools()))
