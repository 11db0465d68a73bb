"""The server that the transport contract talks to, as a function from messages to messages.

``python -m routermcp.testing.contract_server`` runs it over stdio.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any

from routermcp_proto import RequestReceived, ServerSession
from routermcp_proto.error_codes import INVALID_PARAMS
from routermcp_proto.events import MessageDropped, MessageReady, RequestWithdrawn
from routermcp_proto.jsonrpc import ErrorObject

CONTRACT_TOOLS = ("echo", "hang", "count", "end", "executed", "cancelled", "pause")

#: What is counted as executed where something came that is no JSON, half a message for example.
GARBAGE = "garbage"

#: Seconds for which "pause" reads nothing.
PAUSE_SECONDS = 0.3


class ServerEnded(Exception):  # noqa: N818 - it is no error, it is an end
    """The server breaks off: close the connection without another word."""


class ContractServer:
    """The state that connections share: how often each tool was executed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.executed: dict[str, int] = {}

    def count(self, tool: str) -> None:
        """Note that a tool is executed."""
        with self._lock:
            self.executed[tool] = self.executed.get(tool, 0) + 1

    def connection(self) -> ContractConnection:
        """Serve one more connection."""
        return ContractConnection(self)


class ContractConnection:
    """One connection: feed it each message that comes, and send what it returns."""

    def __init__(self, server: ContractServer) -> None:
        self._server = server
        self._session = ServerSession(
            server_info={"name": "contract", "version": "1"}, capabilities={"tools": {}}
        )
        self._cancelled = 0

    def receive(self, payload: bytes) -> list[bytes]:
        """Take a message and return those to be sent back, in order.

        Raises:
            ServerEnded: The connection has to be closed now.
        """
        replies: list[bytes] = []
        for event in self._session.receive_message(payload):
            if isinstance(event, MessageReady):
                replies.append(event.outgoing.payload)
            elif isinstance(event, MessageDropped) and event.problem.startswith("not JSON"):
                self._server.count(GARBAGE)
            elif isinstance(event, RequestWithdrawn):
                self._cancelled += 1
            elif isinstance(event, RequestReceived):
                replies += self._answer(event)
        return replies

    def _answer(self, event: RequestReceived) -> list[bytes]:
        session = self._session
        if event.method == "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object"}} for name in CONTRACT_TOOLS]
            return [session.answer(event.request_id, {"tools": tools})]
        name = str(event.params.get("name"))
        if event.method != "tools/call" or name not in CONTRACT_TOOLS:
            return [session.refuse(event.request_id, ErrorObject(INVALID_PARAMS, "no such thing"))]
        self._server.count(name)
        arguments: dict[str, Any] = dict(event.params.get("arguments") or {})
        if name == "hang":
            return []
        if name == "pause":
            time.sleep(PAUSE_SECONDS)
        if name == "end":
            raise ServerEnded
        replies: list[bytes] = []
        text = str(arguments.get("text", ""))
        if name == "count":
            token = event.progress_token
            reports = [] if token is None else [session.report_progress(token, n, total=3) for n in (1, 2, 3)]
            replies = [report.payload for report in reports]
        elif name == "executed":
            text = str(self._server.executed.get(text, 0))
        elif name == "cancelled":
            text = str(self._cancelled)
        content = [{"type": "text", "text": text}]
        return [*replies, session.answer(event.request_id, {"content": content})]


def main() -> None:
    """Serve one connection over standard input and output."""
    connection = ContractServer().connection()
    for line in sys.stdin.buffer:
        try:
            replies = connection.receive(line)
        except ServerEnded:
            os._exit(0)
        for reply in replies:
            sys.stdout.buffer.write(reply + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
