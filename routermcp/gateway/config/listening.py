"""Where the gateway listens, and how much its clients may ask for."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.http.url import EndpointURL

from .errors import problem
from .types import ConfigModel, Seconds, Texts, Whole

#: The port of the command-line gateway.
DEFAULT_GATEWAY_PORT = 5151

#: Seconds that requests under way get when the gateway ends: ``docker stop`` kills after 10.
DEFAULT_DRAIN_SECONDS = 8.0

#: Connections at once, idle ones included; one more gets a 503. Twice the requests that are let be
#: under way, as clients keep connections for their next requests.
MAX_CLIENT_CONNECTIONS = 1_000

#: Requests under way at once. Each has a connection, and often one to a server behind the
#: gateway; a process may have 1,024 descriptors by default on Linux.
MAX_REQUESTS = 500

#: Requests in one period, at most: more is no limit.
MAX_RATE_REQUESTS = 1_000_000_000

# Without what would end the text that it stands in, within a header.
_PLAIN_URL = re.compile(r"[!$->@-\[\]-~]+")
_HOST_NAME = re.compile(r"[^\s/]+")


class HTTPServerSettings(ConfigModel):
    """Where the gateway listens."""

    port: Whole = Field(default=DEFAULT_GATEWAY_PORT, ge=0, le=65535)
    """0 for one that is free."""
    host: str = "127.0.0.1"
    """The address to listen on; on another one than this machine's own, keys or tokens are required."""
    allowedHosts: Texts = ()
    """More names by which clients call it, as behind a proxy; without ports. An application that is no
    website is named by its whole origin, such as ``tauri://localhost``."""
    publicUrl: str | None = None
    """The URL by which clients reach it where they come through a proxy, without the path of the endpoint."""
    drainSeconds: Seconds = DEFAULT_DRAIN_SECONDS
    """Seconds that requests under way get after SIGTERM, before they are refused."""
    maxConnectionsPerAddress: Whole | None = Field(default=None, ge=1, le=MAX_CLIENT_CONNECTIONS)
    """Connections of one address at once. None for a quarter of all from other machines and any number
    from this one; behind a proxy on another machine, whose address all clients have, that of all."""
    maxRequestsPerOwner: Whole | None = Field(default=None, ge=1, le=MAX_REQUESTS)
    """Requests under way of one key and user. None for four times as many as are left for others."""

    @field_validator("host")
    @classmethod
    def _check_host(cls, host: str) -> str:
        if not _HOST_NAME.fullmatch(host):
            raise problem("expected the name or address of a network interface, such as 127.0.0.1")
        return host

    @field_validator("publicUrl")
    @classmethod
    def _check_public_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            EndpointURL.parse(url)
        except LocalProtocolError:
            raise problem("expected an http:// or https:// URL") from None
        if not _PLAIN_URL.fullmatch(url):
            raise problem("expected a URL of visible ASCII characters, without a query and a fragment")
        return url.rstrip("/")


class RateLimitSettings(ConfigModel):
    """How much one owner, a key and its user, may ask for."""

    requests: Whole = Field(ge=1, le=MAX_RATE_REQUESTS)
    """Requests in each period; one more gets a 429."""
    seconds: Seconds
    """The period that the requests are counted in."""
