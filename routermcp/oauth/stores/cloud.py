"""Tokens behind an HTTP API, such as that of RouterMCP Cloud or of a local gateway.

The product's own API for tokens is not public. What is spoken here is a small contract of ours,
``docs/token-api.md``, which the local gateway serves; it is untested against the product.
"""

from __future__ import annotations

import json
import os
import secrets
import weakref
from typing import Any, cast
from urllib.parse import quote

from routermcp_adapters.concurrency import fork
from routermcp_proto.exceptions import (
    ConfigError,
    LocalProtocolError,
    LockLostError,
    OAuthError,
    TokenStoreError,
)
from routermcp_proto.http.numbers import finite_number
from routermcp_proto.http.url import EndpointURL

from .base import AdapterLock, Record, TokenAdapter
from .records import object_in

#: Where the API is unless another place is given.
DEFAULT_BASE_URL = "https://api.routermcp.com"

#: Seconds for a connection, and again for an answer.
CLOUD_SECONDS = 10.0

#: Times that a request is made which may be repeated.
ATTEMPTS = 3

#: Statuses that say "not now".
NOT_NOW = frozenset({502, 503, 504})


def path_segment(text: str) -> str:
    """Return an id as one segment of a path; never empty, never ``.`` or ``..``."""
    return "~" + quote(text.encode("utf-8", "surrogatepass"), safe="")


class _CloudLock:
    """A lease that the API gives."""

    def __init__(self, adapter: _CloudAdapter, path: str) -> None:
        self.seconds: float | None = None
        self.fence = 0
        self._adapter = adapter
        self._path = f"{path}/lock"
        self._token = secrets.token_hex(16)

    def acquire(self) -> bool:
        status, content = self._adapter.ask("POST", self._path, {"token": self._token}, good=(200, 409))
        if status != 200:
            return False
        answer = object_in(content) or {}
        fence, seconds = answer.get("fence"), finite_number(answer.get("seconds"))
        # True is an int too.
        if not isinstance(fence, int) or isinstance(fence, bool) or seconds is None or seconds <= 0:
            raise self._adapter.astray("a lock")
        self.fence, self.seconds = fence, seconds
        return True

    def renew(self) -> bool:
        return self._adapter.ask("PUT", self._path, {"token": self._token}, good=(200, 409))[0] == 200

    def release(self) -> None:
        self._adapter.ask("DELETE", f"{self._path}?token={self._token}", good=(204,))


class _CloudAdapter:
    """Keeps records behind the API."""

    inline = False

    def __init__(self, api_key: str, base_url: str) -> None:
        import httpx  # noqa: PLC0415 - only this adapter needs it

        self._errors = (httpx.HTTPError, httpx.InvalidURL)
        self._base = base_url.rstrip("/")
        self._make_client = lambda: httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"}, timeout=CLOUD_SECONDS, follow_redirects=False
        )
        self._open()
        fork.watch(self)

    def _open(self) -> None:
        self._client = self._make_client()
        # An adapter that is made as an argument has no owner that closes it.
        self._closing = weakref.finalize(self, self._client.close)

    def __repr__(self) -> str:
        return f"<cloud_adapter {self._base}>"

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def after_fork(self) -> None:
        """Leave the connections to the parent process."""
        fork.never_close(self._closing.detach())  # closing waits for a lock of a parent's thread
        self._open()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        good: tuple[int, ...],
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Make a request, again where it did not come through: all of them may be repeated.

        Returns:
            The status, and what came with it.

        Raises:
            TokenStoreError: It was refused, or did not come through.
        """
        content = None if body is None else json.dumps(body).encode()
        problem, cause = "", None
        for _ in range(ATTEMPTS):
            try:
                answer = self._client.request(
                    method,
                    f"{self._base}/v1/oauth/users/{path}",
                    content=content,
                    headers={"Content-Type": "application/json", **(headers or {})},
                )
            except self._errors as error:
                problem, cause = type(error).__name__, error
                continue
            if answer.status_code in good:
                return answer.status_code, answer.content
            problem, cause = f"HTTP {answer.status_code}", None
            if answer.status_code not in NOT_NOW:
                break
        advice = ": check the api_key" if problem in ("HTTP 401", "HTTP 403") else ""
        raise TokenStoreError(f"the tokens at {self._base} cannot be reached ({problem}){advice}") from cause

    def astray(self, subject: str) -> OAuthError:
        """Return the error for an answer that is none of the API, whose content may be tokens."""
        return OAuthError(
            f"what {self._base} answers for {subject} is none of the API of tokens: check base_url"
        )

    @staticmethod
    def _path(user_id: str, server_id: str) -> str:
        return f"{path_segment(user_id)}/servers/{path_segment(server_id)}"

    def get(self, user_id: str, server_id: str) -> Record | None:
        status, content = self.ask("GET", self._path(user_id, server_id), good=(200, 404))
        if status != 200:
            return None
        record = object_in(content)
        if record is None:
            raise self.astray(f"the tokens of {user_id!r} for {server_id!r}")
        return record

    def set(self, user_id: str, server_id: str, record: Record, *, lock: AdapterLock | None = None) -> None:
        headers = {"X-Lock-Fence": str(lock.fence)} if isinstance(lock, _CloudLock) else None
        status, _ = self.ask("PUT", self._path(user_id, server_id), record, good=(204, 409), headers=headers)
        if status == 409:
            raise LockLostError(
                f"another process has renewed the tokens of {user_id!r} for {server_id!r} since"
            )

    def delete(self, user_id: str, server_id: str) -> None:
        self.ask("DELETE", self._path(user_id, server_id), good=(204,))

    def list(self, user_id: str) -> list[str]:
        _, content = self.ask("GET", f"{path_segment(user_id)}/servers", good=(200,))
        servers: Any = (object_in(content) or {}).get("servers")
        if not isinstance(servers, list) or not all(isinstance(each, str) for each in cast("Any", servers)):
            raise self.astray(f"the servers of {user_id!r}")
        return cast("list[str]", servers)

    def lock(self, user_id: str, server_id: str) -> AdapterLock:
        return _CloudLock(self, self._path(user_id, server_id))


def cloud_adapter(api_key: str, *, base_url: str | None = None) -> TokenAdapter:
    """Keep tokens behind an HTTP API: RouterMCP Cloud, or a local gateway that serves the same.

    Args:
        api_key: Shown to the API; it has to be one that acts for users.
        base_url: Where the API is; default ``ROUTERMCP_CLOUD_URL`` or RouterMCP Cloud.

    Raises:
        ConfigError: The key is empty, or the URL is none that a key may be sent to.
    """
    if not api_key or not all("!" <= character <= "~" for character in api_key):
        raise ConfigError("cloud_adapter() needs an api_key of visible ASCII characters")
    url = base_url or os.environ.get("ROUTERMCP_CLOUD_URL") or DEFAULT_BASE_URL
    try:
        place = EndpointURL.parse(url)
    except LocalProtocolError as error:
        raise ConfigError(f"base_url: {error}") from error
    if not place.tls and place.host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigError(f"base_url={str(place)!r} is not https, so a key would be seen on the way")
    return _CloudAdapter(api_key, url)
