"""Finding out where to sign in."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.metadata import discover_target, find_server
from routermcp_proto.oauth.steps import MAX_ANSWER_BYTES, HTTPAnswer
from tests.proto.oauth.world import ENDPOINT, ISSUER, RESOURCE_METADATA, SERVER_METADATA, World, answer

ROOT_METADATA = "https://mcp.example/.well-known/oauth-protected-resource"


def test_the_path_comes_before_the_root() -> None:
    world = World()
    target = world.drive(discover_target(ENDPOINT, None))
    assert world.asked() == [RESOURCE_METADATA, SERVER_METADATA]
    assert target.resource == ENDPOINT
    assert target.server.token_endpoint == f"{ISSUER}/token"


def test_the_root_comes_last_and_its_resource_is_kept_to_the_letter() -> None:
    world = World()
    del world.handlers[RESOURCE_METADATA]
    world.resource["resource"] = "https://mcp.example"
    world.handlers[ROOT_METADATA] = lambda _: answer(document=world.resource)
    assert world.drive(discover_target(ENDPOINT, None)).resource == "https://mcp.example"
    assert world.asked()[:2] == [RESOURCE_METADATA, ROOT_METADATA]


def test_what_the_server_names_comes_first() -> None:
    world = World()
    named = "https://mcp.example/custom"
    world.handlers[named] = lambda _: answer(document=world.resource)
    world.drive(discover_target(ENDPOINT, named))
    assert world.asked() == [named, SERVER_METADATA]


def test_an_endpoint_at_the_root_has_one_place() -> None:
    world = World()
    world.resource["resource"] = "https://mcp.example/"
    world.handlers[ROOT_METADATA] = lambda _: answer(document=world.resource)
    world.drive(discover_target("https://mcp.example/", None))
    assert world.asked() == [ROOT_METADATA, SERVER_METADATA]


@pytest.mark.parametrize("resource", ["https://evil.example/mcp", 7, "https://mcp.example/other"])
def test_metadata_of_another_server_end_it(resource: Any) -> None:
    world = World()
    world.resource["resource"] = resource
    with pytest.raises(OAuthError, match="another server"):
        world.drive(discover_target(ENDPOINT, None))
    assert world.asked() == [RESOURCE_METADATA]


def test_a_resource_has_no_fragment() -> None:
    world = World()
    world.resource["resource"] = f"{ENDPOINT}#x"
    with pytest.raises(OAuthError, match="another server"):
        world.drive(discover_target(ENDPOINT, None))


def test_the_path_is_asked_for_as_it_is_first() -> None:
    world = World()
    world.drive(discover_target(f"{ENDPOINT}/?tenant=1", None))
    assert world.asked()[:2] == [f"{RESOURCE_METADATA}/?tenant=1", RESOURCE_METADATA]
    world.steps.clear()
    with pytest.raises(OAuthError):
        world.drive(discover_target("https://mcp.example/?tenant=1", None, guess=False))
    assert world.asked()[:2] == [f"{ROOT_METADATA}?tenant=1", ROOT_METADATA]


def test_a_place_that_is_busy_is_not_one_that_is_not_there() -> None:
    world = World()
    world.handlers[f"{RESOURCE_METADATA}/"] = lambda _: answer(500)
    # Some servers fail at what they do not know: it may be elsewhere.
    assert world.drive(discover_target(f"{ENDPOINT}/", None)).server.issuer == ISSUER
    named = "https://mcp.example/custom"
    world.handlers[named] = lambda _: answer(503)
    world.steps.clear()
    with pytest.raises(OAuthError, match="custom cannot be had now: HTTP 503"):
        world.drive(discover_target(ENDPOINT, named))
    assert world.asked() == [named]
    world.handlers[SERVER_METADATA] = lambda _: answer(429)
    with pytest.raises(OAuthError, match="cannot be had now: HTTP 429"):
        world.drive(discover_target(ENDPOINT, None))


@pytest.mark.parametrize(
    "refusal", [answer(200), answer(401), answer(401, www_authenticate="Basic"), answer(404)]
)
def test_a_server_may_not_say_where_it_describes_itself(refusal: HTTPAnswer) -> None:
    world = World()
    del world.handlers[RESOURCE_METADATA]
    world.handlers[ENDPOINT] = lambda _: refusal
    assert world.drive(discover_target(ENDPOINT, None, ask=True)).resource is None
    assert ENDPOINT in world.asked()
    assert not world.drive(discover_target(ENDPOINT, None)).resource


@pytest.mark.parametrize("servers", [[], None, "https://auth.example", [7]])
def test_a_server_has_to_be_named(servers: Any) -> None:
    world = World()
    world.resource["authorization_servers"] = servers
    with pytest.raises(OAuthError, match="names no authorization server"):
        world.drive(discover_target(ENDPOINT, None))


@pytest.mark.parametrize(
    ("issuer", "places"),
    [
        (
            "https://auth.example",
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"],
        ),
        (
            "https://auth.example/tenant",
            [
                "/.well-known/oauth-authorization-server/tenant",
                "/.well-known/openid-configuration/tenant",
                "/tenant/.well-known/openid-configuration",
            ],
        ),
    ],
)
def test_where_a_server_describes_itself(issuer: str, places: list[str]) -> None:
    for last in range(len(places)):
        world = World()
        found = answer(document={**world.server, "issuer": issuer})
        world.handlers = {f"https://auth.example{places[last]}": lambda _, found=found: found}
        assert world.drive(find_server(issuer)).issuer == issuer
        assert world.asked() == [f"https://auth.example{place}" for place in places[: last + 1]]
    world.handlers = {}
    with pytest.raises(OAuthError, match="has no metadata"):
        world.drive(find_server(issuer))


@pytest.mark.parametrize("issuer", ["https://attacker.example", "https://auth.example/", None])
def test_issuers_are_compared_letter_by_letter(issuer: Any) -> None:
    world = World()
    world.server["issuer"] = issuer
    with pytest.raises(OAuthError, match="another issuer"):
        world.drive(discover_target(ENDPOINT, None))


def test_secrets_go_over_https() -> None:
    world = World()
    world.server["token_endpoint"] = "http://auth.example/token"
    with pytest.raises(OAuthError, match="token_endpoint is not https"):
        world.drive(discover_target(ENDPOINT, None))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'"x"', b" " * (MAX_ANSWER_BYTES + 1)])
def test_what_is_no_document_counts_as_none(body: bytes) -> None:
    world = World()
    world.handlers[RESOURCE_METADATA] = lambda _: HTTPAnswer(200, {}, body)
    target = world.drive(discover_target(ENDPOINT, None))
    assert target.resource is None
    assert target.server.authorization_endpoint == "https://mcp.example/authorize"


def test_a_server_of_2025_03_26_is_its_own_authorization_server() -> None:
    world = World()
    own = {
        **world.server,
        "issuer": "https://mcp.example",
        "token_endpoint": "https://mcp.example/oauth/token",
    }
    world.handlers = {
        "https://mcp.example/.well-known/oauth-authorization-server": lambda _: answer(document=own)
    }
    target = world.drive(discover_target(ENDPOINT, None))
    assert (target.resource, target.server.token_endpoint) == (None, "https://mcp.example/oauth/token")
    own["issuer"] = "https://other.example"
    with pytest.raises(OAuthError, match="another issuer"):
        world.drive(discover_target(ENDPOINT, None))
