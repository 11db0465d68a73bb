"""A server over stdio that starts at once: nothing but the standard library, and little of it.

Run as a child: ``python -I -S quick.py FOLDER [WAY]``. In the folder it leaves a file
named after its process id, and one with ``.bye`` when its input has ended and it ends by itself,
which one that stays does not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

FOLDER, *WAYS = sys.argv[1:]


def note(name: str) -> None:
    """Leave a file."""
    with open(os.path.join(FOLDER, name), "w"):
        pass


def wait_for(name: str) -> None:
    """Wait until there is a file, or the folder is gone."""
    while os.path.isdir(FOLDER) and not os.path.exists(os.path.join(FOLDER, name)):
        time.sleep(0.002)


def call(name: str, arguments: dict) -> str | None:
    """Do what a tool does; None is no answer."""
    if name == "add":
        return str(arguments["a"] + arguments["b"])
    if name == "echo":
        return arguments["text"]
    if name == "pid":
        return str(os.getpid())
    if name == "hang":
        note("hanging")
        return None
    if name == "stuck":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note("hanging")
    note("waiting")
    wait_for(arguments["until"])
    return "done"


def result_of(method: str, params: dict) -> dict | None:
    """Return the result of a request, None for none."""
    about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "quick", "version": "1"}}
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", **about}
    if method == "server/discover":
        return {"resultType": "complete", "supportedVersions": ["2026-07-28"], **about}
    if method == "ping":
        return {}
    text = call(params["name"], params.get("arguments") or {})
    if text is None:
        return None
    return {"resultType": "complete", "content": [{"type": "text", "text": text}]}


note(str(os.getpid()))
for line in sys.stdin.buffer:
    message = json.loads(line)
    if "id" not in message or "method" not in message:
        continue
    answer: dict = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "server/discover" and "handshake" in WAYS:
        answer["error"] = {"code": -32601, "message": "unknown"}
    else:
        answer["result"] = result_of(message["method"], message.get("params") or {})
    if "error" in answer or answer["result"] is not None:
        print(json.dumps(answer), flush=True)
if "stays" in WAYS:
    wait_for("never")
note(f"{os.getpid()}.bye")
