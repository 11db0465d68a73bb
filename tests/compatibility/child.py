"""A server over stdio for the compatibility table, which goes on when its call is answered.

The tool ``start`` is answered first. Then the server does what ``what`` says, and makes the file
``mark`` when it got to the end of it. With the argument ``silent`` it does not answer
``server/discover``, with ``leaves`` it ends at that. Standard library only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

#: More than a pipe holds.
LINES = 2000


def send(**message: object) -> None:
    """Write one message."""
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def start(what: str, mark: Path) -> None:
    """Do something that nobody waits for."""
    if what == "ping":
        send(id="ping", method="ping")
        return
    for _ in range(LINES):
        if what == "stderr":
            sys.stderr.write("x" * 99 + "\n")
        else:
            send(method="notifications/message", params={"level": "info", "data": "x" * 60})
    mark.touch()


def serve() -> None:
    """Serve until the input ends."""
    mark = Path()
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        if method is None:  # the answer to the ping
            mark.touch()
        elif method == "server/discover" and "leaves" in sys.argv:
            return
        elif number is None or (method == "server/discover" and "silent" in sys.argv):
            continue
        elif method == "initialize":
            about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "child", "version": "1"}}
            send(id=number, result={"protocolVersion": "2025-11-25", **about})
        elif method == "tools/call":
            arguments = message["params"].get("arguments") or {}
            send(id=number, result={"content": [{"type": "text", "text": "3"}]})
            if "what" in arguments:
                mark = Path(arguments["mark"])
                start(arguments["what"], mark)
        elif method == "tools/list":
            send(id=number, result={"tools": [{"name": "start", "inputSchema": {"type": "object"}}]})
        else:
            send(id=number, error={"code": -32601, "message": "unknown"})


if __name__ == "__main__":
    serve()
