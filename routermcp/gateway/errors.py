"""HTTP errors of the gateway that any of its parts may raise."""

from __future__ import annotations

from collections.abc import Sequence

from routermcp_proto.jsonrpc import ErrorObject, RequestId

Header = tuple[bytes, bytes]


class Rejected(Exception):  # noqa: N818 - an HTTP status that is sent, not an error of ours
    """A request that is answered with an HTTP error and reaches no backend.

    Args:
        status: The HTTP status.
        error: The error object of the body.
        request_id: The id of the request, None where it could not be read.
        headers: More headers for the response.
    """

    def __init__(
        self,
        status: int,
        error: ErrorObject,
        request_id: RequestId | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.request_id = request_id
        self.headers = headers
