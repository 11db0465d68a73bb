"""The metadata by which clients find the authorization server of the gateway (RFC 9728)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from routermcp_proto import jsonrpc

from ..asgi import RequestHead, ResponseWriter, Send
from ..cors import SharedResponse, allowed_origin, answer_preflight, is_preflight
from ..validation import check_get

#: Where the metadata are, with the path of the endpoint behind it (RFC 9728, section 3.1).
METADATA_PATH = "/.well-known/oauth-protected-resource"


async def answer_resource_metadata(
    head: RequestHead, document: Mapping[str, Any], allowed_hosts: Collection[str], send: Send
) -> None:
    """Send the metadata, which pages of every origin may read: there is nothing secret in them.

    Raises:
        Rejected: The request is neither a GET nor a HEAD (405).
    """
    if allowed_origin(head, allowed_hosts) is None:  # that of an allowed host is let in already
        send = SharedResponse(send, "*").send
    if is_preflight(head):
        await answer_preflight(head, send)
        return
    check_get(head)
    await ResponseWriter(send).document(jsonrpc.dumps(document), headers=[(b"cache-control", b"no-store")])
