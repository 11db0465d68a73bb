"""Authorization servers of well-known vendors, as their documentation describes them, as data.

:class:`Vendor` says what one publishes and wants; :class:`VendorWorld` behaves like that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from routermcp.oauth import presets
from routermcp.oauth.presets import PresetSettings
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep
from tests.proto.oauth.world import RESOURCE_METADATA, World, answer, form_of

SERVER, OPENID = "/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"
S256 = {"code_challenge_methods_supported": ["S256"]}
LASTING = {"scopes_supported": ["openid", "offline_access"]}


@dataclass(frozen=True)
class Vendor:
    """One vendor.

    Attributes:
        preset: The settings under test.
        named: The authorization server that the MCP server names; None where it publishes nothing.
        places: Where the metadata are; nowhere for vendors that publish none.
        issuer: The issuer in the metadata; default ``named``.
        page: The page where users sign in.
        token: Where tokens are given.
        metadata: Further members of the metadata.
        registers: Whether applications register themselves.
        wants: Parameters without which a page gives no token that is good.
        refuses: Parameters of a page that it refuses, with their values; ``""`` for any.
        lasting: The parameter of a page, and its value, without which there is no refresh token.
        status: The status of an answer with tokens.
        error_status: The status of a refusal.
        without: What comes of signing in without the preset: ``"ok"``, ``"once"`` for no refresh
            token, or the words of the refusal.
    """

    preset: PresetSettings
    named: str | None
    places: tuple[str, ...]
    page: str
    token: str
    issuer: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    registers: bool = False
    wants: Mapping[str, str] = field(default_factory=dict[str, str])
    refuses: Mapping[str, str] = field(default_factory=dict[str, str])
    lasting: tuple[str, str] | None = None
    status: int = 200
    error_status: int = 400
    without: str = "ok"

    @property
    def origin(self) -> str:
        """Where applications register themselves."""
        return self.token.rpartition("/")[0]


TENANT = "7b1c5d1e-0000-4000-8000-2f6c3d4e5f60"
MICROSOFT = "https://login.microsoftonline.com"
ATLASSIAN = "https://auth.atlassian.com"
POOL = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf"
REALM = "https://id.example/realms/demo"
OKTA = "https://example.okta.com/oauth2/default"
SUPABASE = "https://abc.supabase.co/auth/v1"

VENDORS: dict[str, Vendor] = {
    "google": Vendor(
        presets.google(),
        named="https://accounts.google.com/",
        issuer="https://accounts.google.com",
        places=(f"https://accounts.google.com{OPENID}",),
        page="https://accounts.google.com/o/oauth2/v2/auth",
        token="https://oauth2.googleapis.com/token",
        metadata={"code_challenge_methods_supported": ["plain", "S256"]},
        refuses={"scope": "offline_access"},
        lasting=("access_type", "offline"),
        without="once",
    ),
    "entra": Vendor(
        presets.entra(TENANT),
        named=f"{MICROSOFT}/{TENANT}/v2.0",
        places=(f"{MICROSOFT}/{TENANT}/v2.0{OPENID}",),
        page=f"{MICROSOFT}/{TENANT}/oauth2/v2.0/authorize",
        token=f"{MICROSOFT}/{TENANT}/oauth2/v2.0/token",
        metadata=LASTING,
        refuses={"resource": "", "prompt": "consent"},
        lasting=("scope", "offline_access"),
        without="unadvertised_pkce",
    ),
    "entra=common": Vendor(
        presets.entra("common"),
        named=f"{MICROSOFT}/common/v2.0",
        issuer=f"{MICROSOFT}/{{tenantid}}/v2.0",
        places=(f"{MICROSOFT}/common/v2.0{OPENID}",),
        page=f"{MICROSOFT}/common/oauth2/v2.0/authorize",
        token=f"{MICROSOFT}/common/oauth2/v2.0/token",
        metadata=LASTING,
        refuses={"resource": "", "prompt": "consent"},
        lasting=("scope", "offline_access"),
        without="metadata_issuer",
    ),
    "github": Vendor(
        presets.github(),
        named=None,
        places=(),
        page="https://github.com/login/oauth/authorize",
        token="https://github.com/login/oauth/access_token",
        error_status=200,
        without="there is no such page",
    ),
    "slack": Vendor(
        presets.slack(),
        named="https://mcp.slack.com",
        issuer="https://slack.com",
        places=(f"https://mcp.slack.com{SERVER}",),
        page="https://slack.com/oauth/v2_user/authorize",
        token="https://slack.com/api/oauth.v2.user.access",
        metadata=S256,
        error_status=200,
        without="name another issuer",
    ),
    "atlassian": Vendor(
        presets.atlassian(),
        named=f"{ATLASSIAN}/VCeDsk8ZHncYF1g234fKtc4lNipbBhu3",
        issuer=ATLASSIAN,
        places=(f"{ATLASSIAN}{SERVER}/VCeDsk8ZHncYF1g234fKtc4lNipbBhu3",),
        page=f"{ATLASSIAN}/authorize",
        token=f"{ATLASSIAN}/oauth/token",
        metadata=S256,
        registers=True,
        without="metadata_issuer",
    ),
    "auth0": Vendor(
        presets.auth0("example.eu.auth0.com", audience="https://api.example/"),
        named="https://example.eu.auth0.com/",
        places=(f"https://example.eu.auth0.com{SERVER}", f"https://example.eu.auth0.com{OPENID}"),
        page="https://example.eu.auth0.com/authorize",
        token="https://example.eu.auth0.com/oauth/token",
        metadata={**S256, **LASTING},
        wants={"audience": "https://api.example/"},
        lasting=("scope", "offline_access"),
        without="audience is missing",
    ),
    "cognito": Vendor(
        presets.cognito("eu-west-1_AbCdEf"),
        named=POOL,
        places=(f"{POOL}{OPENID}",),
        page="https://example.auth.eu-west-1.amazoncognito.com/oauth2/authorize",
        token="https://example.auth.eu-west-1.amazoncognito.com/oauth2/token",
        refuses={"scope": "offline_access"},
        without="unadvertised_pkce",
    ),
    "keycloak": Vendor(
        presets.keycloak(REALM),
        named=REALM,
        places=(f"https://id.example{SERVER}/realms/demo", f"{REALM}{OPENID}"),
        page=f"{REALM}/protocol/openid-connect/auth",
        token=f"{REALM}/protocol/openid-connect/token",
        metadata={**S256, **LASTING, "dpop_signing_alg_values_supported": ["ES256"]},
        registers=True,
        refuses={"scope": "offline_access"},
        without="scope is refused",
    ),
    "okta": Vendor(
        presets.okta("example.okta.com"),
        named=OKTA,
        places=(f"{OKTA}{SERVER}", f"{OKTA}{OPENID}"),
        page=f"{OKTA}/v1/authorize",
        token=f"{OKTA}/v1/token",
        metadata={**S256, **LASTING},
        lasting=("scope", "offline_access"),
    ),
    "supabase": Vendor(
        presets.supabase("abc"),
        named=SUPABASE,
        places=(f"https://abc.supabase.co{SERVER}/auth/v1",),
        page=f"{SUPABASE}/oauth/authorize",
        token=f"{SUPABASE}/oauth/token",
        metadata=S256,
        registers=True,
        status=201,
    ),
}


class VendorWorld(World):
    """An MCP server with scopes of its own, and the authorization server of a vendor."""

    def __init__(self, vendor: Vendor) -> None:
        super().__init__()
        self.vendor = vendor
        self.lasting = False
        self.resource |= {"authorization_servers": [vendor.named], "scopes_supported": ["tools"]}
        self.server = {
            "issuer": vendor.issuer or vendor.named,
            "authorization_endpoint": vendor.page,
            "token_endpoint": vendor.token,
            **vendor.metadata,
        }
        if vendor.registers:
            self.server["registration_endpoint"] = f"{vendor.origin}/register"
        self.handlers = {
            **({RESOURCE_METADATA: lambda _: answer(document=self.resource)} if vendor.named else {}),
            **{place: lambda _: answer(document=self.server) for place in vendor.places},
            f"{vendor.origin}/register": lambda _: answer(201, {"client_id": "registered"}),
            vendor.token: self._give,
        }

    def comes_back(self, url: str) -> str:
        """Return where the vendor's page sends a user."""
        vendor, query = self.vendor, parse_qs(urlsplit(url).query)
        asked = {name: values[0] for name, values in query.items()}
        said = "" if url.startswith(vendor.page) else "there is no such page"
        for name, value in vendor.wants.items():
            if asked.get(name) != value:
                said = f"{name} is missing"
        for name, value in vendor.refuses.items():
            if name in asked and (not value or value in asked[name].split()):
                said = f"{name} is refused"
        if said:
            self.callback = {"error": "invalid_request", "error_description": said}
        if vendor.lasting is not None:
            name, value = vendor.lasting
            self.lasting = value in asked.get(name, "").split()
        else:
            self.lasting = True
        return super().comes_back(url)

    def _give(self, step: HTTPStep) -> HTTPAnswer:
        """Give tokens once for the code, and as often as the refresh token is shown."""
        form = form_of(step)
        known = form["grant_type"] == "refresh_token" and form["refresh_token"] == "refresh-1"
        if not known and form.get("code") != "code-1":
            return answer(self.vendor.error_status, {"ok": False, "error": "bad_refresh_token"})
        if any(name in form and not value for name, value in self.vendor.refuses.items()):
            return answer(self.vendor.error_status, {"error": "invalid_request"})
        given = {name: value for name, value in self.token.items() if self.lasting or "refresh" not in name}
        return answer(self.vendor.status, given)
