"""Verifies access tokens, each once for as long as it is good."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from .checker import AccessToken, SignatureKeys, TokenRules, check_token
from .refusals import TokenProblem, TokenRefusedError

#: Seconds that keys are used before they are fetched again, and that a token is known to be good: a key that
#: the authorization server withdraws counts no longer than twice that.
KEYS_SECONDS = 600.0

#: Tokens that are known to be good at once, at some 500 bytes each; of more, the oldest are checked again.
MAX_VERIFIED_TOKENS = 10_000

#: What keys that the server has made since may mend: it may have renewed them under their old names, too.
_BY_NEW_KEYS = (TokenProblem.UNKNOWN_KEY, TokenProblem.SIGNATURE)


class KeySource(Protocol):
    """Gives the keys of an authorization server."""

    async def keys(self, missed: SignatureKeys | None = None) -> SignatureKeys:
        """Return the keys.

        Args:
            missed: The keys among which one was missed; others are returned where there are any.

        Raises:
            MCPError: There are none now.
        """
        ...


class TokenVerifier:
    """Verifies the tokens of one issuer.

    A token that was accepted is known by its digest until it ends, for ``KEYS_SECONDS`` at most, so that a
    key that was withdrawn counts no longer.

    Args:
        rules: What a token has to be.
        source: Gives the keys.
        clock: Returns the time, in seconds since 1970.
    """

    def __init__(self, rules: TokenRules, source: KeySource, clock: Callable[[], float] = time.time) -> None:
        self.rules = rules
        self._source = source
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[float, AccessToken]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verified)

    async def verify(self, token: str) -> AccessToken:
        """Return what a token says.

        Raises:
            TokenRefusedError: It is not accepted.
            MCPError: There are no keys to check it with now.
        """
        digest, now = hashlib.sha256(token.encode()).digest(), self._clock()
        until, accepted = self._verified.get(digest, (0.0, None))
        if accepted is not None and now < until:
            return accepted
        keys = await self._source.keys()
        try:
            accepted = check_token(token, keys, self.rules, self._clock())
        except TokenRefusedError as refused:
            if refused.problem not in _BY_NEW_KEYS:
                raise
            newer = await self._source.keys(missed=keys)
            if newer is keys:
                raise
            accepted = check_token(token, newer, self.rules, self._clock())
        self._verified[digest] = (min(accepted.until, now + KEYS_SECONDS), accepted)
        self._verified.move_to_end(digest)
        if len(self._verified) > MAX_VERIFIED_TOKENS:
            self._verified.popitem(last=False)
        return accepted
