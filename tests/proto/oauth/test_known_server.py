"""The authorization server that an application knows: by hand, with concessions, and under attack."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.client_auth import POST, Client
from routermcp_proto.oauth.client_grants import ClientCredentials
from routermcp_proto.oauth.metadata import AuthorizationServer
from tests.proto.oauth.world import (
    ENDPOINT,
    ISSUER,
    RESOURCE_METADATA,
    SERVER_METADATA,
    Party,
    answer,
)

EVIL = "https://evil.example"
BY_HAND = AuthorizationServer(
    ISSUER, authorization_endpoint=f"{ISSUER}/authorize", token_endpoint=f"{ISSUER}/token"
)


def sign_in(party: Party, **challenge: str) -> None:
    flow = party.authorizer.challenged(401, (Challenge("bearer", challenge),), AuthAttempt())
    assert party.world.drive(flow)
    assert party.authorizer.tokens is not None


def knows(server: AuthorizationServer, **settings: Any) -> Party:
    return Party(server=server, **settings)


def at(origin: str, members: dict[str, Any]) -> dict[str, Any]:
    """Return metadata with all URLs at another origin."""
    return json.loads(json.dumps(members).replace(ISSUER, origin))


# ---- by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("challenge", [{}, {"resource_metadata": RESOURCE_METADATA}])
def test_the_server_of_the_application_counts_where_nothing_is_published(challenge: dict[str, str]) -> None:
    party = knows(AuthorizationServer(ISSUER))
    del party.world.handlers[RESOURCE_METADATA]
    sign_in(party, **challenge)
    assert party.world.forms()[0]["resource"] == ENDPOINT  # MCP demands it, whatever is published


def test_metadata_may_be_anywhere() -> None:
    where = f"{ISSUER}/odd/place.json"
    party = knows(AuthorizationServer(ISSUER, metadata_url=where))
    party.world.handlers[where] = party.world.handlers.pop(SERVER_METADATA)
    sign_in(party)
    assert [url for url in party.world.asked() if ".well-known/oauth-authorization" in url] == []


def test_endpoints_by_hand_need_no_metadata() -> None:
    party = knows(BY_HAND, client_id="mine")
    party.world.handlers = {f"{ISSUER}/token": party.world.handlers[f"{ISSUER}/token"]}
    sign_in(party)
    assert party.world.visits[0].startswith(f"{ISSUER}/authorize?")
    assert [url for url in party.world.asked() if url.startswith(ISSUER)] == [f"{ISSUER}/token"]


def test_one_endpoint_by_hand_stands_for_that_of_the_metadata() -> None:
    party = knows(AuthorizationServer(ISSUER, authorization_endpoint=f"{ISSUER}/v2_user/authorize"))
    sign_in(party)
    assert party.world.visits[0].startswith(f"{ISSUER}/v2_user/authorize?")


def test_a_machine_needs_a_token_endpoint_only() -> None:
    grant = ClientCredentials(Client("c", "s", POST))
    party = Party(
        redirect_uri=None, grant=grant, server=AuthorizationServer(ISSUER, token_endpoint=f"{ISSUER}/token")
    )
    party.world.handlers = {f"{ISSUER}/token": party.world.handlers[f"{ISSUER}/token"]}
    sign_in(party)


def test_who_publishes_nothing_is_told_how_to_be_known() -> None:
    party = knows(AuthorizationServer(ISSUER))
    party.world.handlers.clear()
    with pytest.raises(OAuthError, match=r"AuthorizationServer\('https://auth.example', authorization_endp"):
        sign_in(party)


def test_what_is_given_by_hand_is_checked_too() -> None:
    for name in ("metadata_url", "authorization_endpoint", "token_endpoint", "revocation_endpoint"):
        party = knows(AuthorizationServer(ISSUER, **{name: "http://auth.example/x"}))
        with pytest.raises(OAuthError, match=f"{name} is not https"):
            sign_in(party)


# ---- concessions --------------------------------------------------------------------------------

TENANT = f"{ISSUER}/tenant"


def of_a_tenant(party: Party) -> None:
    """Have the server answer in the name of its root where a tenant was named, as Atlassian's does."""
    party.world.resource["authorization_servers"] = [TENANT]
    party.world.handlers[f"{SERVER_METADATA}/tenant"] = party.world.handlers[SERVER_METADATA]


def without_pkce(party: Party) -> None:
    del party.world.server["code_challenge_methods_supported"]


def over_http(party: Party) -> None:
    party.world.server["token_endpoint"] = "http://auth.example/token"
    party.world.handlers["http://auth.example/token"] = party.world.handlers[f"{ISSUER}/token"]


CONCESSIONS = [
    ("metadata_issuer", AuthorizationServer(TENANT, metadata_issuer=ISSUER), of_a_tenant),
    ("unadvertised_pkce", AuthorizationServer(ISSUER, unadvertised_pkce=True), without_pkce),
    ("plain_http", AuthorizationServer(ISSUER, plain_http=True), over_http),
]


@pytest.mark.parametrize(("name", "server", "oddity"), CONCESSIONS)
def test_a_concession_is_named_told_and_made_only_when_asked_for(
    name: str, server: AuthorizationServer, oddity: Any
) -> None:
    strict = knows(AuthorizationServer(server.issuer))
    oddity(strict)
    with pytest.raises(OAuthError, match=rf"AuthorizationServer\(.*{name}="):
        sign_in(strict)
    assert strict.world.visits == []
    lenient = knows(server)
    oddity(lenient)
    sign_in(lenient)
    assert [note.partition(":")[0] for note in lenient.authorizer.notes()] == [f"conceded by {name}"]
    lenient.world.drive(lenient.authorizer.renew())
    ordinary = knows(AuthorizationServer(ISSUER, unadvertised_pkce=True, plain_http=True))
    sign_in(ordinary)
    assert ordinary.authorizer.notes() == []  # nothing was conceded


def test_a_server_of_2025_03_26_may_answer_for_another_host() -> None:
    issuer, origin = "https://cf.mcp.example", "https://mcp.example"
    server = {
        "issuer": issuer,
        **{f"{each}_endpoint": f"{origin}/{each}" for each in ("authorization", "token")},
    }
    for known in (None, AuthorizationServer(origin, metadata_issuer=issuer)):
        party = Party(client_id="mine", server=known)
        document = answer(document={**server, "code_challenge_methods_supported": ["S256"]})
        party.world.handlers = {
            f"{origin}/.well-known/oauth-authorization-server": lambda _, document=document: document,
            f"{origin}/token": lambda _, party=party: answer(document=party.world.token),
        }
        if known is None:
            with pytest.raises(OAuthError, match=r"metadata_issuer='https://cf.mcp.example'"):
                sign_in(party)
        else:
            sign_in(party)


def test_plain_http_from_end_to_end() -> None:
    origin = "http://keycloak.test:8080"
    realm = f"{origin}/realms/demo"
    party = knows(AuthorizationServer(realm, plain_http=True))
    party.world.resource["authorization_servers"] = [realm]
    server = {**at(origin, party.world.server), "issuer": realm}
    party.world.handlers |= {
        f"{origin}/.well-known/oauth-authorization-server/realms/demo": lambda _: answer(document=server),
        **{url.replace(ISSUER, origin): handler for url, handler in party.world.handlers.items()},
    }
    sign_in(party)
    party.world.drive(party.authorizer.revoke())
    assert party.world.asked()[-1] == f"{origin}/revoke"


# ---- attacks -------------------------------------------------------------------------------------


def turned(party: Party, to: str = EVIL) -> None:
    """Have the MCP server name an authorization server of the attacker, which answers well."""
    party.world.resource["authorization_servers"] = [to]
    document = at(to, party.world.server)
    party.world.handlers |= {
        f"{to}/.well-known/oauth-authorization-server": lambda _: answer(document=document),
        f"{to}/register": lambda _: answer(201, {"client_id": "evil"}),
        f"{to}/token": lambda _: answer(document=party.world.token),
    }


@pytest.mark.parametrize(
    "server", [AuthorizationServer(ISSUER), BY_HAND, *(server for _, server, _ in CONCESSIONS[1:])]
)
def test_nothing_goes_to_a_server_that_the_application_has_not_named(server: AuthorizationServer) -> None:
    party = knows(server, page_parameters={"login_hint": "ada"}, token_parameters={"audience": "api"})
    turned(party)
    with pytest.raises(OAuthError, match="nothing was sent there"):
        sign_in(party)
    assert [url for url in party.world.asked() if url.startswith(EVIL)] == []
    assert party.world.visits == []


def test_an_honest_server_that_is_named_by_a_hostile_one_gives_tokens_for_that_one_only() -> None:
    party = knows(AuthorizationServer(ISSUER))
    party.world.resource["resource"] = "https://honest.example/mcp"
    with pytest.raises(OAuthError, match="those of another server"):
        sign_in(party)
    del party.world.handlers[RESOURCE_METADATA]
    sign_in(party)
    assert party.world.forms()[0]["resource"] == ENDPOINT


@pytest.mark.parametrize(
    "said", [EVIL, f"{ISSUER}/other", "https://auth.example.evil.example", f"{TENANT}/x", ""]
)
def test_metadata_may_name_no_third_issuer(said: str) -> None:
    party = knows(AuthorizationServer(TENANT, metadata_issuer=ISSUER))
    of_a_tenant(party)
    party.world.server["issuer"] = said
    with pytest.raises(OAuthError, match="name another issuer"):
        sign_in(party)


def test_a_server_that_takes_plain_challenges_only_is_not_believed_to_take_others() -> None:
    party = knows(AuthorizationServer(ISSUER, unadvertised_pkce=True))
    party.world.server["code_challenge_methods_supported"] = ["plain"]
    with pytest.raises(OAuthError, match="PKCE"):
        sign_in(party)
    assert party.world.asked()[-1] == SERVER_METADATA  # no client is registered in vain


@pytest.mark.parametrize("place", ["token_endpoint", "authorization_endpoint"])
def test_plain_http_is_spoken_to_the_hosts_of_the_server_only(place: str) -> None:
    party = knows(AuthorizationServer(ISSUER, plain_http=True))
    party.world.server[place] = "http://elsewhere.example/x"
    with pytest.raises(OAuthError, match="is not https"):
        sign_in(party)
    other = knows(AuthorizationServer(ISSUER, plain_http=True))
    with pytest.raises(OAuthError, match="the server's metadata is not https"):
        sign_in(other, resource_metadata="http://auth.example/metadata")


def test_private_addresses_are_those_of_the_hosts_that_are_named() -> None:
    server = AuthorizationServer(ISSUER, metadata_url="https://meta.example/x", private_address=True)
    assert server.private_hosts == {"auth.example", "meta.example"}
    assert AuthorizationServer(ISSUER).private_hosts == frozenset()
    assert server.plain_hosts == frozenset()
