"""Why an access token is refused."""

from __future__ import annotations

from enum import StrEnum


class TokenProblem(StrEnum):
    """What is wrong with a token; the value is the ``data.reason`` that its sender is told."""

    MISSING = "token_missing"
    MALFORMED = "token_malformed"
    TOO_LONG = "token_too_long"
    ENCRYPTED = "token_encrypted"
    TYPE = "token_type"
    ALGORITHM = "token_algorithm"
    CRITICAL_HEADER = "token_critical_header"
    BOUND = "token_bound"
    UNKNOWN_KEY = "token_unknown_key"
    SIGNATURE = "token_signature"
    ISSUER = "token_issuer"
    AUDIENCE = "token_audience"
    EXPIRED = "token_expired"
    NOT_YET_VALID = "token_not_yet_valid"
    USER = "token_user"
    SCOPE = "insufficient_scope"


class TokenRefusedError(Exception):
    """A token does not open the gateway.

    Attributes:
        problem: What is wrong with it.
        text: The same for people, without a part of the token that could be a secret.
    """

    def __init__(self, problem: TokenProblem, text: str) -> None:
        super().__init__(text)
        self.problem = problem
        self.text = text
