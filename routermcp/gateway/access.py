"""What opens the gateway, as its configuration says: API keys, access tokens, and what is seen with each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from routermcp_proto.exceptions import ConfigError

from .backend import Listing
from .catalog.views import EntryView
from .config.access import APIKeySettings, EntrySettings, JWTSettings, ViewSettings
from .config.filters import Filter
from .config.model import GatewayConfig
from .http.authentication import APIKey

if TYPE_CHECKING:
    from .access_tokens.verifier import KeySource
    from .http.bearer import BearerTokens


def rules_of(settings: EntrySettings) -> Mapping[Listing, Filter]:
    """Return which entries of each list settings let through."""
    return {
        Listing.TOOLS: settings.tools,
        Listing.RESOURCES: settings.resources,
        Listing.RESOURCE_TEMPLATES: settings.resources,
        Listing.PROMPTS: settings.prompts,
    }


def view_of(settings: ViewSettings) -> EntryView | None:
    """Return the view that settings describe, None for one that shows everything."""
    if not settings.limited:
        return None
    servers = frozenset(settings.servers) if settings.servers is not None else None
    return EntryView(servers, rules_of(settings))


def api_keys_of(config: GatewayConfig) -> Sequence[APIKey] | None:
    """Return the API keys that open the gateway, None where none do."""
    keys = [*map(_key_of, config.auth.apiKeys)] if config.auth.mode != "none" else None
    return keys or None


def _key_of(settings: APIKeySettings) -> APIKey:
    return APIKey(
        settings.key.get_secret_value(),
        acts_for_users=settings.user,
        projects=settings.projects,
        view=view_of(settings),
    )


def bearer_tokens_of(config: GatewayConfig, *, folder: Path | None, path: str) -> BearerTokens | None:
    """Return the access tokens that open the gateway, None where none do.

    Args:
        config: The configuration.
        folder: What the path of a key set begins at.
        path: Path of the endpoint.

    Raises:
        ConfigError: A key set cannot be used, or a library is missing.
    """
    settings = config.auth.jwt
    if settings is None or config.auth.mode == "none":
        return None
    # Only those who take tokens need these, and a library of an extra.
    from .access_tokens.checker import TokenRules  # noqa: PLC0415
    from .access_tokens.verifier import TokenVerifier  # noqa: PLC0415
    from .http.bearer import BearerTokens  # noqa: PLC0415

    rules = TokenRules(
        settings.issuer,
        settings.audiences,
        frozenset(settings.algorithms),
        settings.requiredScopes,
        settings.userClaim,
    )
    return BearerTokens(
        TokenVerifier(rules, _key_source_of(settings, folder)),
        path=path,
        public_url=config.httpServer.publicUrl,
        scopes=settings.asked_scopes,
        projects=settings.projects,
        view=view_of(settings),
    )


def _key_source_of(settings: JWTSettings, folder: Path | None) -> KeySource:
    try:
        from .access_tokens.key_sources import FetchedKeys, OwnKeys  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"auth.jwt needs {error.name}, which is not installed: pip install 'routermcp[oauth]'"
        ) from error
    jwks = settings.jwks
    if jwks is None or settings.jwks_url is not None:
        return FetchedKeys(settings.issuer, settings.jwks_url)
    return OwnKeys((folder or Path()) / jwks if isinstance(jwks, str) else jwks)
