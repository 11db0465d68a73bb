"""A server over stdio that speaks when no call is under way: standard library only.

The tool ``speak`` is answered first. Then the server does what ``what`` says, and announces with a
notification of the method ``test/done`` that it got to the end of it. With the argument ``quiet`` it
announces no changes of its lists. After ``forget`` it refuses everything until it is initialized again.
"""

from __future__ import annotations

import json
import sys

MIB = 1024 * 1024

SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"


def send(**message: object) -> None:
    """Write one message."""
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def done(**params: object) -> None:
    """Announce the end."""
    send(method="test/done", params=params)


def speak(what: str) -> None:
    """Do something unasked."""
    if what == "ping":
        send(id="ping", method="ping")
    elif what == "elicit":
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        send(id="asked", method="elicitation/create", params={"message": "who?", "requestedSchema": schema})
    elif what == "stderr":
        sys.stderr.write(("x" * 63 + "\n") * (MIB // 64))
        sys.stderr.flush()
        done()
    elif what == "stdout":
        for _ in range(MIB // 1024):
            send(method="test/filler", params={"text": "y" * 1000})
        done()
    elif what == "changed":
        for number in (subscribed, "another"):
            send(method="notifications/tools/list_changed", params={"_meta": {SUBSCRIPTION: number}})
        done()
    else:
        done()


subscribed = None
forgotten = False

for line in sys.stdin:
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    if method is None:  # an answer to what was asked above
        done(answer=message.get("result"), error=message.get("error"))
    elif method == "initialize":
        forgotten = False
        about = {"capabilities": {"tools": {}}, "serverInfo": {"name": "speaker", "version": "1"}}
        send(id=number, result={"protocolVersion": "2025-11-25", **about})
    elif forgotten and number is not None:
        send(id=number, error={"code": -32002, "message": "Server not initialized"})
    elif method == "server/discover":
        about = {"capabilities": {"tools": {"listChanged": "quiet" not in sys.argv}}}
        send(id=number, result={"resultType": "complete", "supportedVersions": ["2026-07-28"], **about})
    elif method == "subscriptions/listen":
        subscribed = number
        acknowledged = {**message["params"], "_meta": {SUBSCRIPTION: number}}
        send(method="notifications/subscriptions/acknowledged", params=acknowledged)
    elif method == "tools/list":
        tools = [{"name": "speak", "inputSchema": {"type": "object"}}]
        send(
            id=number, result={"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": tools}
        )
    elif method == "tools/call":
        forgotten = message["params"]["arguments"].get("what") == "forget"
        send(id=number, result={"resultType": "complete", "content": [{"type": "text", "text": "ok"}]})
        speak(message["params"]["arguments"].get("what", "nothing"))
    elif number is not None:
        send(id=number, error={"code": -32601, "message": "unknown"})
