"""The body of a request, which the gateway may read before the endpoint does."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject, Invalid, Message, Request, RequestId

from ..errors import Rejected
from .asgi import Receive, RequestHead, read_body

#: Bytes read of a request that is going to be refused, to find its id: most requests have less
#: than a thousand, and a client without access must not fill the memory.
REFUSED_BODY = 64 * 1024

#: Seconds that such a request gets to arrive.
REFUSED_SECONDS = 5.0


class RequestBody:
    """Reads a body once and replays it to the endpoint.

    Args:
        head: The head of the request.
        receive: The ASGI receive function.
        refused_seconds: Seconds that a request which is going to be refused gets to arrive.
    """

    def __init__(self, head: RequestHead, receive: Receive, refused_seconds: float = REFUSED_SECONDS) -> None:
        self._head = head
        self._receive = receive
        self._refused_seconds = refused_seconds
        self._body: bytes | None = None
        self._messages: Sequence[Message] = ()
        self._begun = False

    async def messages(self, limit: int) -> Sequence[Message]:
        """Read the body and return the messages in it.

        Raises:
            Rejected: The body is longer than the limit, in bytes, or reading it was given up before.
        """
        if self._body is None:
            if self._begun:  # the rest of a body is no message
                raise Rejected(400, ErrorObject(INVALID_REQUEST, "the body is not complete"))
            self._begun = True
            self._body = await read_body(self._head, self._receive, limit)
            self._messages = jsonrpc.decode(self._body, batches=True)
        return self._messages

    async def brief(self) -> Sequence[Message] | None:
        """Return the messages in a short body, None where it is too long or too slow."""
        try:
            async with asyncio.timeout(self._refused_seconds):
                return await self.messages(REFUSED_BODY)
        except (Rejected, TimeoutError):
            return None

    async def request_id(self) -> RequestId | None:
        """Return the id of the only request in the body, None where the body holds anything else."""
        messages = await self.brief() or ()
        only = messages[0] if len(messages) == 1 else None
        return only.id if isinstance(only, Request) else None

    async def receive(self) -> MutableMapping[str, Any]:
        """Replay the body that was read, then pass on what follows it."""
        self._begun = True
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}


def requests_in(messages: Sequence[Message]) -> int:
    """Count the messages that expect a response; responses and notifications expect none."""
    return sum(isinstance(message, Request | Invalid) for message in messages)
