"""A server over stdio on the protocol core, and the ways in which such servers misbehave.

Run as a child: ``python server.py [WAY ...]``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

from routermcp_proto import RequestReceived, ResponseReceived, ServerSession
from routermcp_proto.calls import Call
from routermcp_proto.events import RequestWithdrawn
from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.jsonrpc import ErrorObject
from routermcp_proto.types import WireModel

WAYS = set(sys.argv[1:])


def say(line: str) -> None:
    """Write to standard error."""
    print(line, file=sys.stderr, flush=True)


class Server:
    """One session over standard input and output."""

    def __init__(self) -> None:
        self.session = ServerSession(
            server_info={"name": "child", "version": "1"}, capabilities={"tools": {}, "logging": {}}
        )
        self.asking: dict[object, object] = {}
        self.probed = False
        self.cancelled = 0

    def run(self) -> None:
        """Serve until the input ends."""
        while data := os.read(0, 65536):
            if "handshake only" in WAYS and b"server/discover" in data:
                data = self.refuse_probe(data)
            elif "slow when probed" in WAYS:
                data = self.refuse_initialize(data)
            self.session.receive_data(data)
            for event in self.session.events_received():
                if isinstance(event, RequestReceived):
                    self.treat(event)
                elif isinstance(event, ResponseReceived):
                    text = json.dumps(event.value.model_dump())
                    self.give(self.asking.pop(event.request_id), text)
                elif isinstance(event, RequestWithdrawn):
                    self.cancelled += 1
            self.flush()
        if "stays" in WAYS:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            say("staying")
            while True:
                time.sleep(1)

    def refuse_probe(self, data: bytes) -> bytes:
        """Treat the probe as an old server might."""
        if "dies when probed" in WAYS:
            say("what is that?")
            os._exit(7)
        if "silent when probed" not in WAYS:
            os.write(1, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"unknown"}}\n')
        # A child that starts slowly finds there what came after it too.
        return b"".join(line for line in data.splitlines(keepends=True) if b"server/discover" not in line)

    def refuse_initialize(self, data: bytes) -> bytes:
        """Answer the probe only when initialize has come, and refuse that."""
        if b"server/discover" in data and not self.probed:
            self.probed = True
            while b"initialize" not in data:
                data += os.read(0, 65536)
            probe, initialize, *_ = data.split(b"\n")
            refused = {"code": -32022, "message": "this connection is stateless"}
            answer = {"jsonrpc": "2.0", "id": json.loads(initialize)["id"], "error": refused}
            os.write(1, json.dumps(answer).encode() + b"\n")
            return probe + b"\n"
        return data

    def flush(self) -> None:
        """Send what is due."""
        due = memoryview(self.session.data_to_send())
        while due:
            due = due[os.write(1, due) :]

    def treat(self, event: RequestReceived) -> None:
        """Answer one request."""
        if event.method == "tools/list":
            self.session.send_answer(event.request_id, {"tools": self.tools()})
        elif event.method != "tools/call":
            self.session.send_refusal(event.request_id, ErrorObject(-32601, "unknown method"))
        else:
            name = event.params["name"]
            arguments = event.params.get("arguments") or {}
            text = getattr(self, f"do_{name}")(arguments, event)
            if text is not None:
                self.give(event.request_id, text)

    def tools(self) -> list[dict]:
        """List the methods below."""
        names = [name.removeprefix("do_") for name in dir(self) if name.startswith("do_")]
        return [{"name": name, "inputSchema": {"type": "object"}} for name in names]

    def give(self, request_id: object, text: str) -> None:
        """Answer with a text."""
        with contextlib.suppress(LocalProtocolError):  # It was withdrawn meanwhile.
            self.session.send_answer(request_id, {"content": [{"type": "text", "text": text}]})

    # ---- tools -------------------------------------------------------------------------

    def do_echo(self, arguments: dict, event: RequestReceived) -> str:
        return str(arguments.get("text", ""))

    def do_pid(self, arguments: dict, event: RequestReceived) -> str:
        return str(os.getpid())

    def do_environment(self, arguments: dict, event: RequestReceived) -> str:
        return "\n".join(sorted(os.environ))

    def do_die(self, arguments: dict, event: RequestReceived) -> None:
        for line in arguments.get("saying", []):
            say(line)
        os._exit(arguments.get("code", 3))

    def do_flood(self, arguments: dict, event: RequestReceived) -> str:
        """Fill both outputs before reading on."""
        for number in range(arguments["lines"]):
            say(f"error line {number} " + "x" * 80)
            params = {"level": "info", "data": "y" * 200}
            self.session.send_notification("notifications/message", params)
            self.flush()
        return "flooded"

    def do_ask(self, arguments: dict, event: RequestReceived) -> None:
        """Ask for input, and answer with what is given."""
        params = {"mode": "form", "message": "?", "requestedSchema": {"type": "object", "properties": {}}}
        call = Call("elicitation/create", params, WireModel, safe=False)
        self.asking[self.session.send_request(call)] = event.request_id

    def do_cancelled(self, arguments: dict, event: RequestReceived) -> str:
        return str(self.cancelled)

    def do_hang(self, arguments: dict, event: RequestReceived) -> None:
        """Never answer this call; go on with others."""

    def do_wait(self, arguments: dict, event: RequestReceived) -> str:
        """Read nothing for a while."""
        time.sleep(arguments["seconds"])
        return "waited"

    def do_size(self, arguments: dict, event: RequestReceived) -> str:
        return str(len(arguments["text"]))

    def do_spawn(self, arguments: dict, event: RequestReceived) -> str:
        """Start a child of its own that stays."""
        child = os.fork()
        if child == 0:
            os.close(0)
            while True:
                time.sleep(1)
        return str(child)


if __name__ == "__main__":
    Server().run()
