"""The body of a request, read before the application reads it."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping, Sequence
from typing import Any

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import INVALID_REQUEST
from routermcp_proto.jsonrpc import ErrorObject, Invalid, Message, Request, RequestId

from ..errors import Rejected
from .asgi import Receive, RequestHead, read_body

#: Bytes that are read of a request that is going to be refused, to find its id: most have
#: less than a thousand, and who is not let in shall not fill the memory.
REFUSED_BODY = 64 * 1024

#: Seconds that such a request gets to arrive.
REFUSED_SECONDS = 5.0


class ReadAhead:
    """Reads a body and gives it out again.

    Args:
        head: The head of the request.
        receive: Where the body comes from.
    """

    def __init__(self, head: RequestHead, receive: Receive) -> None:
        self._head = head
        self._receive = receive
        self._body: bytes | None = None
        self._messages: Sequence[Message] = ()
        self._begun = False

    async def messages(self, limit: int) -> Sequence[Message]:
        """Read the body, and return the messages in it.

        Raises:
            Rejected: It is longer than the limit, in bytes, or was given up before.
        """
        if self._body is None:
            if self._begun:  # what is left of it is no message
                raise Rejected(400, ErrorObject(INVALID_REQUEST, "the body is not complete"))
            self._begun = True
            self._body = await read_body(self._head, self._receive, limit)
            self._messages = jsonrpc.decode(self._body, batches=True)
        return self._messages

    async def brief(self) -> Sequence[Message] | None:
        """Return the messages in the body, None where it is longer or slower than it may be."""
        try:
            async with asyncio.timeout(REFUSED_SECONDS):
                return await self.messages(REFUSED_BODY)
        except (Rejected, TimeoutError):
            return None

    async def request_id(self) -> RequestId | None:
        """Return the id of the only request in the body, None where that is not what it holds."""
        messages = await self.brief() or ()
        only = messages[0] if len(messages) == 1 else None
        return only.id if isinstance(only, Request) else None

    async def receive(self) -> MutableMapping[str, Any]:
        """Give out what was read, then what follows."""
        self._begun = True
        body, self._body = self._body, None
        if body is None:
            return await self._receive()
        return {"type": "http.request", "body": body, "more_body": False}


def requests_in(messages: Sequence[Message]) -> int:
    """Count what wants an answer among messages; answers and notifications want none."""
    return sum(isinstance(message, Request | Invalid) for message in messages)
