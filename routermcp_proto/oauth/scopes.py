"""Which scopes to ask for (MCP authorization, "Scope Selection Strategy" and "Step-Up")."""

from __future__ import annotations

from collections.abc import Iterable

#: Lets an authorization server give a refresh token (OpenID Connect Core, section 11).
OFFLINE_ACCESS = "offline_access"


def chosen(
    challenged: Iterable[str] | None,
    supported: Iterable[str] | None,
    wished: Iterable[str] | None,
    server_supported: Iterable[str] | None,
    *,
    lasting: bool = True,
) -> tuple[str, ...]:
    """Return the scopes to ask for first, none where none are named.

    Args:
        challenged: The scopes of the server's refusal; they come first.
        supported: The scopes that the protected server supports.
        wished: The scopes that the application wants in any case.
        server_supported: The scopes that the authorization server supports.
        lasting: Whether to ask for a refresh token, where the server wants to be asked for one.
    """
    scopes = tuple(challenged or supported or ())
    scopes = union(scopes, wished or ())
    if lasting and scopes and OFFLINE_ACCESS in (server_supported or ()):
        scopes = union(scopes, (OFFLINE_ACCESS,))
    return scopes


def granted(text: str) -> tuple[str, ...]:
    """Return the scopes of an answer with tokens, which GitHub and Slack part with commas."""
    return tuple((text if " " in text else text.replace(",", " ")).split())


def union(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of both, each once, in their order."""
    return tuple(dict.fromkeys((*first, *second)))
