"""The presets, each at a server that behaves as its vendor documents."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from routermcp.oauth import AuthorizationServer, OAuthConfig, memory_adapter, presets
from routermcp.oauth.flows.resource import ProtectedResource
from routermcp.oauth.flows.storage import Store
from routermcp.types import ConfigError, OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt, Authorizer
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.metadata import CONCESSIONS
from routermcp_proto.oauth.records import GrantRecord
from tests.oauth.vendors import VENDORS, VendorWorld
from tests.proto.oauth.world import ENDPOINT, answer

PAGES = Path(__file__).resolve().parents[2] / "docs" / "oauth"

every_vendor = pytest.mark.parametrize("name", VENDORS)


def user_of(name: str, preset: Any) -> Authorizer:
    """Return the flows of a user, of an application that is registered by hand where it has to be."""
    settings: dict[str, Any] = {"authorize": str, **preset}
    if not VENDORS[name].registers:
        settings |= {"client_id": "mine", "client_secret": "secret"}
    adapter = memory_adapter()
    resource = ProtectedResource(ENDPOINT, "s", OAuthConfig(adapter, **settings), Store(adapter))
    return resource.authorizer(GrantRecord(), None, "")


def sign_in(world: VendorWorld, user: Authorizer) -> None:
    assert world.drive(user.challenged(401, (Challenge("bearer"),), AuthAttempt()))


def lenient(name: str) -> list[str]:
    """Return the concessions that a preset makes."""
    server = VENDORS[name].preset.get("issuer")
    return [each for each in CONCESSIONS if getattr(server, each, None)]


@every_vendor
def test_users_sign_in_and_stay_signed_in(name: str) -> None:
    world = VendorWorld(VENDORS[name])
    user = user_of(name, VENDORS[name].preset)
    sign_in(world, user)
    world.drive(user.renew())
    assert user.tokens is not None
    assert [note.split()[2].rstrip(":") for note in user.notes()] == sorted(lenient(name))


@every_vendor
def test_what_comes_of_it_without_the_preset(name: str) -> None:
    vendor = VENDORS[name]
    world, user = VendorWorld(vendor), user_of(name, {})
    if vendor.without in ("ok", "once"):
        sign_in(world, user)
        assert user.tokens is not None
        assert (user.tokens.refresh_token is None) == (vendor.without == "once")
    else:
        with pytest.raises(OAuthError, match=vendor.without):
            sign_in(world, user)


@every_vendor
def test_a_preset_concedes_what_its_vendor_needs_and_nothing_more(name: str) -> None:
    server = VENDORS[name].preset.get("issuer")
    for concession in lenient(name):
        assert isinstance(server, AuthorizationServer)
        (ordinary,) = (each.default for each in fields(server) if each.name == concession)
        strict = {**VENDORS[name].preset, "issuer": replace(server, **{concession: ordinary})}
        with pytest.raises(OAuthError, match=concession):
            sign_in(VendorWorld(VENDORS[name]), user_of(name, strict))


@every_vendor
def test_a_preset_that_is_pointed_elsewhere_sends_nothing_there(name: str) -> None:
    world = VendorWorld(VENDORS[name])
    world.handlers |= {
        "https://mcp.example/.well-known/oauth-protected-resource/api/mcp": lambda _: answer(
            document={"resource": ENDPOINT, "authorization_servers": ["https://evil.example"]}
        )
    }
    with pytest.raises(OAuthError, match="nothing was sent there"):
        sign_in(world, user_of(name, VENDORS[name].preset))
    assert [url for url in world.asked() if not url.startswith("https://mcp.example/")] == []
    assert world.visits == []


def test_a_setting_of_a_preset_can_be_changed() -> None:
    user = user_of("google", {**presets.google(), "authorize_params": {"login_hint": "ada@example.org"}})
    world = VendorWorld(VENDORS["google"])
    sign_in(world, user)
    assert parse_qs(urlsplit(world.visits[0]).query)["login_hint"] == ["ada@example.org"]


def test_presets_are_named_on_the_command_line() -> None:
    assert presets.named("google") == presets.google()
    assert presets.named("entra=contoso") == presets.entra("contoso")
    assert presets.named("keycloak=https://id.example/realms/a=b") == presets.keycloak(
        "https://id.example/realms/a=b"
    )
    for wrong, words in (
        ("gogle", "no preset 'gogle'; there are google, entra"),
        ("entra", "is given as entra=TENANT"),
        ("google=x", "is given as google$"),
    ):
        with pytest.raises(ConfigError, match=words):
            presets.named(wrong)


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_has_a_page_and_says_what_it_follows(name: str) -> None:
    source = (inspect.getdoc(presets.PRESETS[name]) or "").rpartition("Source: ")[2]
    assert source.startswith("https://")
    page = (PAGES / f"{name}.md").read_text()
    assert source in page
    assert f"presets.{name}(" in page
    assert any(vendor.partition("=")[0] == name for vendor in VENDORS)
