"""Finding out where to sign in."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.discovery import MAX_METADATA_REDIRECTS, discover_target, find_server
from routermcp_proto.oauth.steps import MAX_ANSWER_BYTES, HTTPAnswer, HTTPStep
from routermcp_proto.oauth.urls import same_issuer
from tests.proto.oauth.world import (
    ENDPOINT,
    ISSUER,
    RESOURCE_METADATA,
    SERVER_METADATA,
    Party,
    World,
    answer,
)

ROOT_METADATA = "https://mcp.example/.well-known/oauth-protected-resource"
LEGACY_METADATA = "https://mcp.example/.well-known/oauth-authorization-server"


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


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example", "https://a.example/", True),
        ("https://a.example/t", "https://a.example/t/", False),
        ("https://a.example?q", "https://a.example?q/", False),
        ("://a", "://a/", False),
        ("a", "a/", False),
    ],
)
def test_which_issuers_are_one(one: str, other: str, same: bool) -> None:
    assert same_issuer(one, other) is same is same_issuer(other, one)


@pytest.mark.parametrize(
    "dead", [answer(404), HTTPAnswer(0, {}, b""), answer(503), answer(200, {"issuer": "x"})]
)
def test_the_next_server_is_asked_where_one_is_dead(dead: HTTPAnswer) -> None:
    world = World()
    world.resource["authorization_servers"] = ["https://dead.example", ISSUER]
    world.handlers["https://dead.example/.well-known/oauth-authorization-server"] = lambda _: dead
    assert world.drive(discover_target(ENDPOINT, None)).server.issuer == ISSUER
    assert [step.optional for step in world.steps][0 :: len(world.steps) - 1] == [False, False]
    assert any(step.optional for step in world.steps)
    del world.handlers[SERVER_METADATA]
    with pytest.raises(OAuthError, match=r"dead\.example"):
        world.drive(discover_target(ENDPOINT, None))


def test_redirects_are_followed_within_the_origin() -> None:
    world = World()
    moved = f"{ISSUER}/moved"
    world.handlers[moved] = world.handlers[SERVER_METADATA]
    world.handlers[SERVER_METADATA] = lambda _: answer(302, location="/moved")
    assert world.drive(discover_target(ENDPOINT, None)).server.issuer == ISSUER
    for elsewhere in ("https://evil.example/moved", "http://auth.example/moved", ""):
        world.handlers["https://evil.example/moved"] = world.handlers[moved]
        world.handlers[SERVER_METADATA] = lambda _, to=elsewhere: answer(307, location=to)
        with pytest.raises(OAuthError, match="has no metadata"):
            world.drive(discover_target(ENDPOINT, None))
    world.steps.clear()
    world.handlers[SERVER_METADATA] = lambda _: answer(301, location=SERVER_METADATA)
    with pytest.raises(OAuthError, match="has no metadata"):
        world.drive(discover_target(ENDPOINT, None))
    assert world.asked().count(SERVER_METADATA) == 1 + MAX_METADATA_REDIRECTS


def test_a_byte_order_mark_is_passed_over() -> None:
    world = World()
    body = b"\xef\xbb\xbf" + world.handlers[SERVER_METADATA](HTTPStep("GET", SERVER_METADATA)).body
    world.handlers[SERVER_METADATA] = lambda _: HTTPAnswer(200, {}, body)
    assert world.drive(discover_target(ENDPOINT, None)).server.issuer == ISSUER


def test_a_resource_that_names_no_server_is_its_own() -> None:
    world = World()
    del world.resource["authorization_servers"]
    own = {**world.server, "issuer": "https://mcp.example/"}
    world.handlers["https://mcp.example/.well-known/oauth-authorization-server"] = lambda _: answer(
        document=own
    )
    target = world.drive(discover_target(ENDPOINT, None))
    assert (target.resource, target.server.issuer) == (ENDPOINT, "https://mcp.example/")


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
                "/tenant/.well-known/oauth-authorization-server",
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


@pytest.mark.parametrize("slashes", [("", "/"), ("/", ""), ("/", "/")])
def test_the_slash_of_an_empty_path_does_not_count(slashes: tuple[str, str]) -> None:
    world = World()
    world.resource["authorization_servers"] = [f"{ISSUER}{slashes[0]}"]
    world.server["issuer"] = f"{ISSUER}{slashes[1]}"
    assert world.drive(discover_target(ENDPOINT, None)).server.issuer == f"{ISSUER}{slashes[1]}"


@pytest.mark.parametrize(
    "issuer",
    ["https://attacker.example", "https://AUTH.example", "https://auth.example//", "http://auth.example",
     "https://auth.example/x", "https://auth.example:443/", "https://auth.example?/", "/", "", None],
)  # fmt: skip
def test_issuers_are_compared_letter_by_letter(issuer: Any) -> None:
    world = World()
    world.server["issuer"] = issuer
    with pytest.raises(OAuthError, match="another issuer"):
        world.drive(discover_target(ENDPOINT, None))


@pytest.mark.parametrize(("written", "read"), [(f"{ISSUER}/keys", f"{ISSUER}/keys"), (7, None), (None, None)])
def test_a_server_says_where_its_keys_are(written: Any, read: str | None) -> None:
    world = World()
    world.server["jwks_uri"] = written
    assert world.drive(find_server(ISSUER)).jwks_uri == read


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


PAGE = HTTPAnswer(200, {"content-type": "text/html"}, b"<!doctype html><title>app</title>")


@pytest.mark.parametrize(
    ("there", "said"),
    [(PAGE, "HTTP 200, but no metadata"), (answer(404), "HTTP 404"), (answer(403), "HTTP 403")],
)
def test_a_place_that_was_guessed_is_not_taken_for_what_the_server_says(there: HTTPAnswer, said: str) -> None:
    party = Party()
    party.world.handlers = dict.fromkeys(
        [RESOURCE_METADATA, ROOT_METADATA, LEGACY_METADATA, "https://mcp.example/register"], lambda _: there
    )
    with pytest.raises(OAuthError) as raised:
        party.world.drive(party.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()))
    text = str(raised.value)
    assert f"asked {LEGACY_METADATA}: {said})" in text
    assert "https://mcp.example/register, registered no application" in text
    assert "give api_key=" in text
    assert "say so with issuer=" in text
    assert party.world.visits == []


def test_what_is_there_in_place_of_metadata_is_said() -> None:
    world = World()
    world.handlers[SERVER_METADATA] = lambda _: PAGE
    with pytest.raises(OAuthError, match=r"authorization-server: HTTP 200, but no metadata, .*: HTTP 404;"):
        world.drive(find_server(ISSUER))
