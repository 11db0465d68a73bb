"""The settings of an application, each by what it changes in the requests."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from routermcp_proto.exceptions import AuthorizationRequiredError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.client_auth import POST, Client
from routermcp_proto.oauth.client_grants import ClientCredentials
from routermcp_proto.oauth.steps import TokenError
from tests.proto.oauth.world import Party


def refused(party: Party, status: int = 401, **parameters: str) -> bool:
    challenge = Challenge("bearer", parameters)
    return party.world.drive(party.authorizer.challenged(status, (challenge,), AuthAttempt()))


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_a_server_that_does_not_know_offline_access_is_told_from_others() -> None:
    for server_knows, hint in ((["offline_access"], True), ([], False)):
        party = Party(scope=("a",))
        party.world.server["scopes_supported"] = server_knows
        party.world.callback = {"error": "invalid_scope"}
        with pytest.raises(TokenError) as caught:
            refused(party)
        assert ("OAuthConfig(offline_access=False)" in str(caught.value)) == hint


def test_further_parameters_go_to_the_page_and_with_each_request_for_tokens() -> None:
    party = Party(page_parameters={"access_type": "offline"}, token_parameters={"audience": "api"})
    assert refused(party)
    party.world.drive(party.authorizer.renew())
    assert query(party.world.visits[0])["access_type"] == "offline"
    assert [form["audience"] for form in party.world.forms()] == ["api", "api"]
    assert "audience" not in query(party.world.visits[0])
    assert all("access_type" not in form for form in party.world.forms())


def test_a_machine_gives_its_further_parameters_too() -> None:
    grant = ClientCredentials(Client("c", "s", POST))
    party = Party(redirect_uri=None, grant=grant, token_parameters={"audience": "api"})
    assert refused(party)
    assert party.world.forms()[0]["audience"] == "api"


@pytest.mark.parametrize("name", ["state", "redirect_uri", "code_challenge", "client_id"])
def test_no_further_parameter_replaces_one_of_the_grant(name: str) -> None:
    party = Party(page_parameters={name: "mine"}, token_parameters={"code_verifier": "mine"})
    assert refused(party)
    assert query(party.world.visits[0])[name] != "mine"
    assert party.world.forms()[0]["code_verifier"] != "mine"


def test_the_application_says_how_the_user_is_prompted() -> None:
    party = Party(page_parameters={"prompt": "select_account"}, exact_scope=("offline_access",))
    assert refused(party)
    assert query(party.world.visits[0])["prompt"] == "select_account"


def test_a_page_that_waits_has_the_parameters_of_now() -> None:
    first = Party(interactive=False, page_parameters={"login_hint": "ada"})
    with pytest.raises(AuthorizationRequiredError):
        refused(first)
    for hint in ("ada", "bob"):
        party = Party(
            first.authorizer.record.members, interactive=False, page_parameters={"login_hint": hint}
        )
        party.registrations.update(first.registrations)
        with pytest.raises(AuthorizationRequiredError) as caught:
            refused(party)
        assert query(caught.value.url or "")["login_hint"] == hint


@pytest.mark.parametrize(
    ("supported", "challenged", "asked"),
    [
        (["a", "offline_access"], None, "a"),
        (["a"], "a b offline_access", "a b"),
        (["offline_access"], None, None),
    ],
)
def test_offline_access_is_left_out_whoever_names_it(
    supported: list[str], challenged: str | None, asked: str | None
) -> None:
    party = Party(offline_access=False, scope=("a",) if asked else ())
    party.world.server["scopes_supported"] = ["offline_access"]
    party.world.resource["scopes_supported"] = supported
    parameters: dict[str, Any] = {"scope": challenged} if challenged else {}
    assert refused(party, **parameters)
    assert query(party.world.visits[0]).get("scope") == asked
    assert "prompt" not in query(party.world.visits[0])
    refused(party, 403, error="insufficient_scope", scope="c offline_access")
    assert query(party.world.visits[-1])["scope"].split()[-1] == "c"


@pytest.mark.parametrize("said", ["repo read:user", "repo,read:user", "repo, read:user"])
def test_granted_scopes_may_have_commas_between_them(said: str) -> None:
    party = Party(exact_scope=("repo", "read:user"))
    party.world.token["scope"] = said
    assert refused(party)
    tokens = party.authorizer.tokens
    assert tokens is not None
    assert [scope.rstrip(",") for scope in tokens.scope] == ["repo", "read:user"]


def test_scopes_can_be_asked_for_ahead_of_a_call() -> None:
    party = Party()
    party.world.resource["scopes_supported"] = ["read"]
    pending = party.world.drive(party.authorizer.begin(("write", "read")))
    assert query(pending.url)["scope"] == "read write"
    party.world.drive(party.authorizer.complete(party.world.comes_back(pending.url)))
    assert not refused(party, 403, error="insufficient_scope", scope="write")  # it has been asked for
