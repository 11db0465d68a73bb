"""Settings for the authorization servers of well-known vendors.

Each preset is a function that returns settings of :class:`~routermcp.oauth.OAuthConfig`, to be given
beside your own::

    OAuthConfig(file_adapter(), client_id="...", client_secret="...", **presets.google())

It names the vendor's authorization server, so that users sign in there and nowhere else, and says what
that server wants beside MCP. A concession is in it where the vendor needs one. To change a setting of
a preset, put it into the dict: ``{**presets.google(), "scopes": [...]}``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Literal, TypedDict

from routermcp_proto.exceptions import ConfigError
from routermcp_proto.oauth.metadata import AuthorizationServer


class PresetSettings(TypedDict, total=False):
    """The settings of :class:`~routermcp.oauth.OAuthConfig` that a preset may give."""

    issuer: str | AuthorizationServer
    authorize_params: Mapping[str, str]
    token_params: Mapping[str, str]
    offline_access: bool
    resource: str | Literal[False]


def google() -> PresetSettings:
    """Google: a refresh token only comes with ``access_type``, and again only with ``prompt``.

    Source: https://developers.google.com/identity/protocols/oauth2/web-server#offline
    """
    return {
        "issuer": "https://accounts.google.com",
        "authorize_params": {"access_type": "offline", "prompt": "consent"},
        "offline_access": False,
    }


def entra(tenant: str) -> PresetSettings:
    """Microsoft Entra: no ``resource`` beside scopes, PKCE unadvertised, consent not asked for again.

    With ``prompt=consent``, which goes with ``offline_access`` elsewhere, users who may not consent by
    themselves are refused although an administrator has consented for all.

    Args:
        tenant: The id of the tenant, or ``common`` or ``organizations`` for users of all tenants.

    Source: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
    """
    host = "https://login.microsoftonline.com"
    of_all_tenants = f"{host}/{{tenantid}}/v2.0" if tenant in ("common", "organizations") else None
    return {
        "issuer": AuthorizationServer(
            f"{host}/{tenant}/v2.0", unadvertised_pkce=True, metadata_issuer=of_all_tenants
        ),
        "authorize_params": {"prompt": "select_account"},
        "resource": False,
    }


def github() -> PresetSettings:
    """GitHub: the documented endpoints, for MCP servers that name no authorization server either.

    Source: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
    """
    login = "https://github.com/login"
    return {
        "issuer": AuthorizationServer(
            f"{login}/oauth",
            authorization_endpoint=f"{login}/oauth/authorize",
            token_endpoint=f"{login}/oauth/access_token",
            device_authorization_endpoint=f"{login}/device/code",
        )
    }


def slack() -> PresetSettings:
    """Slack: the documented endpoints of user tokens, as its metadata change their issuer.

    Source: https://docs.slack.dev/ai/slack-mcp-server/
    """
    return {
        "issuer": AuthorizationServer(
            "https://mcp.slack.com",
            authorization_endpoint="https://slack.com/oauth/v2_user/authorize",
            token_endpoint="https://slack.com/api/oauth.v2.user.access",  # noqa: S106 - a URL
        )
    }


def atlassian(tenant: str = "VCeDsk8ZHncYF1g234fKtc4lNipbBhu3") -> PresetSettings:
    """Atlassian: the MCP server names a tenant, whose metadata are in the name of their host.

    Args:
        tenant: The tenant that ``https://mcp.atlassian.com/v1/mcp/authv2`` names.

    Source: https://support.atlassian.com/atlassian-rovo-mcp-server/
    """
    host = "https://auth.atlassian.com"
    return {"issuer": AuthorizationServer(f"{host}/{tenant}", metadata_issuer=host)}


def auth0(domain: str, *, audience: str | None = None) -> PresetSettings:
    """Auth0: the API is named by ``audience``, unless the tenant takes ``resource`` for it.

    Args:
        domain: The domain of the tenant, such as ``example.eu.auth0.com``.
        audience: The identifier of the API; not needed with the "Resource Parameter Compatibility
            Profile" of the tenant.

    Source: https://auth0.com/ai/docs/mcp/guides/resource-param-compatibility-profile
    """
    settings: PresetSettings = {"issuer": f"https://{domain}/"}
    if audience is not None:
        settings |= {"authorize_params": {"audience": audience}, "token_params": {"audience": audience}}
    return settings


def cognito(user_pool: str) -> PresetSettings:
    """Amazon Cognito: PKCE is unadvertised.

    Args:
        user_pool: The id of the user pool, which begins with its region: ``eu-west-1_AbCdEf``.

    Source: https://docs.aws.amazon.com/cognito/latest/developerguide/authorization-endpoint.html
    """
    region = user_pool.partition("_")[0]
    issuer = f"https://cognito-idp.{region}.amazonaws.com/{user_pool}"
    return {"issuer": AuthorizationServer(issuer, unadvertised_pkce=True)}


def keycloak(realm: str) -> PresetSettings:
    """Keycloak: refresh tokens come without ``offline_access``, which asks for an offline session.

    Args:
        realm: The URL of the realm, such as ``https://id.example/realms/demo``.

    Source: https://www.keycloak.org/securing-apps/mcp-authz-server
    """
    return {"issuer": realm, "offline_access": False}


def okta(domain: str, *, server: str = "default") -> PresetSettings:
    """Okta: a custom authorization server, as tokens of the organization's own are for Okta alone.

    Args:
        domain: The domain of the organization, such as ``example.okta.com``.
        server: The id of the authorization server.

    Source: https://developer.okta.com/docs/concepts/auth-servers/
    """
    return {"issuer": f"https://{domain}/oauth2/{server}"}


def supabase(project: str) -> PresetSettings:
    """Supabase: the OAuth 2.1 server of a project.

    Args:
        project: The reference of the project.

    Source: https://supabase.com/docs/guides/auth/oauth-server/mcp-authentication
    """
    return {"issuer": f"https://{project}.supabase.co/auth/v1"}


#: All presets by name. Those that need one argument take it first.
PRESETS: Mapping[str, Callable[..., PresetSettings]] = {
    each.__name__: each
    for each in (google, entra, github, slack, atlassian, auth0, cognito, keycloak, okta, supabase)
}


def named(text: str) -> PresetSettings:
    """Return the settings of a preset as the command line and files name it.

    Args:
        text: The name, with its argument behind an equals sign: ``google``, ``entra=TENANT``.

    Raises:
        ConfigError: There is no such preset, or its argument is missing.
    """
    name, _, argument = text.partition("=")
    preset = PRESETS.get(name)
    if preset is None:
        raise ConfigError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    arguments, signature = [argument] if argument else [], inspect.signature(preset)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        wanted = next((f"={parameter.upper()}" for parameter in signature.parameters), "")
        raise ConfigError(f"the preset {name} is given as {name}{wanted}") from error
    return preset(*arguments)
