"""Errors of the gateway's own client in words for its operator and for its clients, who write no Python."""

from __future__ import annotations

from routermcp_proto.exceptions import (
    AuthorizationRequiredError,
    ConfigError,
    MCPError,
    OAuthError,
    TokenStoreError,
)
from routermcp_proto.oauth.metadata import CONCESSIONS

from ..oauth.text_settings import in_other_words

#: What the library calls a setting, and what a configuration has for it.
_AS_KEYS = (
    (
        "give OAuthConfig(client_id=..., client_secret=...), the latter if it gave one",
        'give the server\'s "oauth" its "clientId", and its "clientSecret" if it has one',
    ),
    ("give api_key= or an Authorization header", 'give the server "authBearer" or an Authorization header'),
    ("give api_key=", 'give the server "authBearer"'),
    (", and leave dpop=False out of OAuthConfig", ', and leave out "dpop": false'),
    ("say so with issuer=", 'say so with "issuer" in its "oauth"'),
    ("and issuer= says", 'and "issuer" says'),
    ("change issuer=", 'change "issuer"'),
)

#: What an error without a code is, the more special ones first.
_KINDS: tuple[tuple[type[MCPError], str], ...] = (
    (AuthorizationRequiredError, "a user has to sign in"),
    (TokenStoreError, "the store of tokens failed"),
    (OAuthError, "signing in failed"),
    (ConfigError, "its settings are wrong"),
)


def as_keys(problem: str) -> str:
    """Return a message of the library with keys of a configuration in place of the settings that it names."""
    return in_other_words(problem, _AS_KEYS, _key_for)


def _key_for(name: str, value: str) -> str:
    """Return what the configuration of a server has in place of a setting of the library."""
    if name in CONCESSIONS:
        concession = f"{name}={value}" if name == "metadata_issuer" else name
        return f'"issuer" and "concessions": ["{concession}"] in its "oauth"'
    first, *others = name.split("_")
    return f'"{first}{"".join(each.capitalize() for each in others)}" in its "oauth"'


def kind_of_failure(error: MCPError) -> str:
    """Return what is wrong with a server in a word or two: the code of the error, where it has one."""
    code: str | int | None = getattr(error, "code", None)
    if code is not None:
        return str(code)
    return next((words for kind, words in _KINDS if isinstance(error, kind)), "no answer that makes sense")
