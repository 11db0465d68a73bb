"""Where the keys of an authorization server come from: its key set, fetched and kept, or a given one."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from routermcp_adapters.concurrency.single_flight import SingleFlight
from routermcp_adapters.http.base import SharedTransport
from routermcp_adapters.runtimes.auto import running
from routermcp_proto.exceptions import ConfigError, MCPError, OAuthError, RemoteProtocolError, TransportError
from routermcp_proto.oauth.discovery import find_server
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep, json_object
from routermcp_proto.oauth.urls import checked

from ... import __version__
from ..._internal import Options, resolve, transport_of
from .checker import SignatureKeys
from .signatures import VerificationKeys, read_key_set
from .verifier import KEYS_SECONDS

log = logging.getLogger("routermcp.gateway")

#: Seconds between two fetches for tokens with a key that is not known: senders make up as many as they like.
MISSED_SECONDS = 30.0

#: Seconds after a fetch that failed before the next one.
RETRY_SECONDS = 10.0

#: Seconds that keys are used while new ones cannot be fetched: an authorization server that is down for an
#: hour costs its users nothing but new tokens.
STALE_SECONDS = 3_600.0

#: Seconds that one fetch may take, with the discovery of the key set; requests wait for it.
FETCH_SECONDS = 5.0

#: Bytes of the largest document: a set of a hundred keys with certificates has as many.
MAX_DOCUMENT_BYTES = 512 * 1024


class OwnKeys:
    """A key set of the configuration.

    Args:
        jwks: The set, or the path of a file with it.

    Raises:
        ConfigError: It is not there, or no key in it can be used.
    """

    def __init__(self, jwks: Mapping[str, Any] | Path) -> None:
        place = f"the key set {jwks}" if isinstance(jwks, Path) else "auth.jwt.jwks"
        try:
            document = _read_json(jwks) if isinstance(jwks, Path) else jwks
            self._keys = read_key_set(document)
        except OSError as error:
            raise ConfigError(f"{place} cannot be read: {error.strerror}") from error
        except (ValueError, RemoteProtocolError) as error:
            raise ConfigError(f"{place} cannot be used: {error}") from None  # which may show a secret key

    async def keys(self, missed: SignatureKeys | None = None) -> VerificationKeys:
        """Return the keys."""
        del missed
        return self._keys


def _read_json(path: Path) -> object:
    with path.open("rb") as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"it is longer than {MAX_DOCUMENT_BYTES} bytes")
    return json.loads(content)


class FetchedKeys:
    """The key set that an authorization server publishes. Runs under asyncio.

    Args:
        issuer: The authorization server.
        url: URL of the key set, None for what the metadata of the server say.
        clock: Returns the time, in seconds.
    """

    def __init__(
        self, issuer: str, url: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._url = url
        self._clock = clock
        self._transport: SharedTransport | None = None
        self._flight = SingleFlight()
        self._keys: VerificationKeys | None = None
        self._fetched_at = self._next_attempt = clock()
        self._missed_at = self._fetched_at - MISSED_SECONDS

    async def keys(self, missed: SignatureKeys | None = None) -> VerificationKeys:
        """Return the keys, fetched anew where they are old or one was missed.

        See :class:`~routermcp.gateway.access_tokens.verifier.KeySource`.
        """
        known, now = self._keys, self._clock()
        missing = missed is known and now - self._missed_at >= MISSED_SECONDS
        if known is not None and not missing and now - self._fetched_at < KEYS_SECONDS:
            return known
        if now >= self._next_attempt:
            await self._flight.run(running(), partial(self._try, missing and known is not None))
        if self._keys is None or self._clock() - self._fetched_at > STALE_SECONDS:
            raise TransportError(f"the keys of {self._issuer} cannot be fetched now", code="connect")
        return self._keys

    async def _try(self, missing: bool) -> None:
        """Fetch the keys; where that fails, those that are known stay.

        Args:
            missing: Whether a token has a key that is not known.
        """
        try:
            await self._fetch()
        except MCPError as error:
            self._next_attempt = self._clock() + RETRY_SECONDS
            log.warning("the keys of %s cannot be fetched: %s", self._issuer, error)
        if missing:
            self._missed_at = self._clock()

    async def _fetch(self) -> None:
        if self._transport is None:
            self._transport = transport_of(resolve(Options(url=self._url or self._issuer), environment={}))
        transport, user = self._transport, object()
        if transport is None:
            raise AssertionError("an issuer has a URL")
        runtime = transport.open(running(), user)
        scope = runtime.deadline(runtime.now() + FETCH_SECONDS)
        try:
            async with scope:
                self._keys = await self._fetched(transport)
                self._fetched_at = self._clock()
        except TimeoutError as error:
            if not scope.expired:
                raise
            raise TransportError(f"it took longer than {FETCH_SECONDS:g} s", code="timeout") from error
        finally:
            transport.close(user)

    async def _fetched(self, transport: SharedTransport) -> VerificationKeys:
        url, named_by = self._url, ""
        if url is None:
            url, named_by = await self._discovered(transport), self._issuer
        answer = await _get(transport, url, named_by)
        if answer.status != 200:
            raise RemoteProtocolError(f"{url} answered HTTP {answer.status}")
        return read_key_set(json_object(answer))

    async def _discovered(self, transport: SharedTransport) -> str:
        """Return where the authorization server says that its key set is."""
        flow = find_server(self._issuer)
        step = next(flow)
        while True:
            if not isinstance(step, HTTPStep):
                raise AssertionError("metadata are found by requests alone")
            answer = await _get(transport, step.url, step.named_by)
            try:
                step = flow.send(answer)
            except StopIteration as end:
                url: str | None = end.value.jwks_uri
                break
        if url is None:
            raise OAuthError(f"the metadata of {self._issuer} name no jwks_uri: set auth.jwt.jwks")
        return checked(url, "jwks_uri")


async def _get(transport: SharedTransport, url: str, named_by: str) -> HTTPAnswer:
    headers = {"Accept": "application/json", "User-Agent": f"routermcp-gateway/{__version__}"}
    found = await transport.fetch("GET", url, headers, b"", MAX_DOCUMENT_BYTES, named_by=named_by)
    return HTTPAnswer(found.status, found.headers, found.body)
