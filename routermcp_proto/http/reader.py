"""Reading HTTP/1.1 answers.

:class:`ResponseReader` is the interface: any parser that turns bytes into a head, pieces of
a body and its end can implement it. :class:`~.h11_reader.H11ResponseReader` does it with h11.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from ..value_class import value_class

#: Bytes of a head: four times h11's own default and eight times that of common servers, for
#: gateways that add policy and tracing headers.
MAX_HEAD_SIZE = 64 * 1024


@value_class
class ResponseHead:
    """Status and headers of an answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    """Names in lower case."""
    reason: bytes = b""

    def header(self, wanted: bytes) -> str:
        """Return the first value of a header, empty where the answer has none; not ASCII is replaced."""
        found = next((value for name, value in self.headers if name == wanted), b"")
        return found.decode("ascii", "replace")


@value_class
class BodyData:
    """A piece of the body."""

    data: bytes


@value_class
class EndOfBody:
    """The answer is complete."""


class NeedData(Enum):
    """The reader needs more bytes for the next item."""

    NEED_DATA = "need data"


NEED_DATA = NeedData.NEED_DATA
Item = ResponseHead | BodyData | EndOfBody | NeedData

END_OF_BODY = EndOfBody()


class ResponseReader(Protocol):
    """Reads the answers on one connection, one after another."""

    def start(self, method: bytes) -> None:
        """Expect the answer to a request that is being sent."""
        ...

    def receive_data(self, data: bytes) -> None:
        """Feed bytes; ``b""`` is the end of the connection.

        Raises:
            RemoteProtocolError: They cannot belong to an answer.
        """
        ...

    def next_event(self) -> Item:
        """Return the next item in the bytes fed so far.

        Raises:
            RemoteProtocolError: They are not an HTTP answer.
        """
        ...

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another exchange now."""
        ...

    @property
    def trailing(self) -> bool:
        """Whether bytes arrived that belong to no answer."""
        ...
