"""Who asks."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.client_auth import (
    BASIC,
    NONE,
    POST,
    PRIVATE_KEY,
    Client,
    authenticate,
    method_for,
    register,
)
from routermcp_proto.oauth.metadata import ServerMetadata, server_metadata
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep
from tests.proto.oauth.world import ISSUER, REDIRECT, World, answer


def server(**changes: Any) -> ServerMetadata:
    return server_metadata({**World().server, **changes}, ISSUER)


def registered(
    document: Any, status: int = 201, redirect_uri: str = REDIRECT, **changes: Any
) -> tuple[Client, dict[str, Any]]:
    world = World()
    world.handlers[f"{ISSUER}/register"] = lambda _: answer(status, document)
    client = world.drive(
        register(server(**changes), redirect_uri=redirect_uri, name="app", scopes=("a", "b"))
    )
    return client, json.loads(world.steps[0].body)


def test_what_is_registered() -> None:
    client, sent = registered({"client_id": "c", "client_secret": "s", "token_endpoint_auth_method": POST})
    assert client == Client("c", "s", POST, ISSUER, 0.0, REDIRECT, ("a", "b"))
    assert sent == {
        "client_name": "app",
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "scope": "a b",
    }


@pytest.mark.parametrize(
    ("redirect_uri", "kind"),
    [
        ("https://app.example/", "web"),
        ("http://127.0.0.1:1/", "native"),
        ("https://localhost:1/", "native"),
        ("com.example.app:/back", "native"),
    ],
)
def test_programs_are_native_applications(redirect_uri: str, kind: str) -> None:
    _, sent = registered({"client_id": "c"}, redirect_uri=redirect_uri)
    assert sent["application_type"] == kind


@pytest.mark.parametrize(
    ("supported", "wished"), [(None, BASIC), ([POST, BASIC], BASIC), ([POST], POST), (["odd"], BASIC)]
)
def test_the_method_that_is_wished_for(supported: Any, wished: str) -> None:
    _, sent = registered({"client_id": "c"}, token_endpoint_auth_methods_supported=supported)
    assert sent["token_endpoint_auth_method"] == wished


def test_the_method_that_the_answer_does_not_name() -> None:
    assert registered({"client_id": "c", "client_secret": "s"})[0].method == BASIC
    assert registered({"client_id": "c"})[0].method == NONE
    assert (
        registered({"client_id": "c", "client_secret": "", "token_endpoint_auth_method": NONE})[0].method
        == NONE
    )


def test_a_secret_is_not_kept_for_a_method_without() -> None:
    kept = registered({"client_id": "c", "client_secret": "s", "token_endpoint_auth_method": NONE})[0]
    assert kept.client_secret is None


def test_secrets_end() -> None:
    client = registered({"client_id": "c", "client_secret_expires_at": 100})[0]
    assert client.expired(100)
    assert not client.expired(99)
    assert not Client("c").expired(1e12)


@pytest.mark.parametrize(
    ("status", "document", "words"),
    [(400, {"error": "invalid_redirect_uri"}, "invalid_redirect_uri"), (403, None, "HTTP 403"),
     (400, {"error": "x", "error_description": "no\nway"}, "no way"), (201, {}, "HTTP 201")],
)  # fmt: skip
def test_a_refusal_is_told(status: int, document: Any, words: str) -> None:
    with pytest.raises(OAuthError, match=f"did not register the application: {words}; .*client_id="):
        registered(document, status)


@pytest.mark.parametrize(
    "unnamed", [{}, {"token_endpoint_auth_method": None}, {"token_endpoint_auth_method": ""}]
)
@pytest.mark.parametrize(
    ("supported", "secret", "method"),
    [
        ([POST], "s", POST),
        ([BASIC], "s", BASIC),
        ([NONE, POST], "s", POST),
        ([NONE], None, NONE),
        ([POST], None, NONE),
        (None, None, NONE),
    ],
)
def test_the_method_that_was_asked_for_counts(
    unnamed: dict[str, Any], supported: Any, secret: str | None, method: str
) -> None:
    """Where the answer names none; without a secret the client is a public one."""
    document = {"client_id": "c", "client_secret": secret, **unnamed}
    client, _ = registered(document, token_endpoint_auth_methods_supported=supported)
    assert (client.method, client.client_secret) == (method, secret)


@pytest.mark.parametrize("named", [BASIC, POST])
def test_a_client_without_a_secret_is_a_public_one(named: str) -> None:
    assert registered({"client_id": "c", "token_endpoint_auth_method": named})[0].method == NONE


@pytest.mark.parametrize(
    ("status", "refusal", "again"),
    [
        (400, {"error": "invalid_scope"}, True),
        (400, {"error": "invalid_client_metadata", "error_description": "Scope not allowed: admin"}, True),
        (422, {"message": "scopes are unknown"}, True),
        (400, {"error": "invalid_redirect_uri"}, False),
        (503, {"message": "scope service is down"}, False),
    ],
)
def test_a_registration_that_is_refused_for_its_scopes_is_tried_without(
    status: int, refusal: Any, again: bool
) -> None:
    world = World()

    def handler(step: HTTPStep) -> HTTPAnswer:
        named = "scope" in json.loads(step.body)
        return answer(status, refusal) if named else answer(201, {"client_id": "c"})

    world.handlers[f"{ISSUER}/register"] = handler
    flow = register(server(), redirect_uri=REDIRECT, name="app", scopes=("read", "admin"))
    if again:
        client = world.drive(flow)
        assert client.scope == ("read", "admin")  # it is not registered again for them
    else:
        with pytest.raises(OAuthError, match="did not register"):
            world.drive(flow)
    assert len(world.steps) == 1 + again


def test_a_server_without_registration() -> None:
    with pytest.raises(OAuthError, match="OAuthConfig\\(client_id="):
        registered({}, registration_endpoint=None)


@pytest.mark.parametrize(
    ("secret", "supported", "method"),
    [
        (None, None, NONE),
        ("s", None, BASIC),
        ("s", [POST], POST),
        ("s", [BASIC, POST], BASIC),
        ("s", [], BASIC),
    ],
)
def test_the_method_of_a_client_that_was_registered_by_hand(secret: Any, supported: Any, method: str) -> None:
    assert method_for(secret, server(token_endpoint_auth_methods_supported=supported)) == method


def test_ways_to_authenticate() -> None:
    form: dict[str, str] = {}
    headers = authenticate(Client("a:b", "c d:e", BASIC), form)
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"a%3Ab:c+d%3Ae"
    assert form == {"client_id": "a:b"}
    assert authenticate(Client("a", "s", POST), form) == {}
    assert form == {"client_id": "a", "client_secret": "s"}
    form.clear()
    assert authenticate(Client("a"), form) == {}
    assert form == {"client_id": "a"}
    form.clear()
    assert authenticate(Client("a", None, PRIVATE_KEY), form, assertion="jwt") == {}
    assert form["client_assertion"] == "jwt"


@pytest.mark.parametrize(
    "client", [Client("a", None, BASIC), Client("a", "s", "odd"), Client("a", None, PRIVATE_KEY)]
)
def test_what_a_method_needs(client: Client) -> None:
    with pytest.raises(OAuthError):
        authenticate(client, {})


def test_clients_are_kept_as_json() -> None:
    client = Client("c", "s", POST, ISSUER, 7.0, REDIRECT)
    assert Client.from_json(json.loads(json.dumps(client.to_json()))) == client
    assert Client.from_json(Client("c").to_json()) == Client("c")
    for odd in (None, [], {}, {"client_id": 7}, {"client_id": "c", "token_endpoint_auth_method": 7}):
        assert Client.from_json(odd) is None
    assert Client.from_json({"client_id": "c", "client_secret": 7, "issuer": 7, "redirect_uri": 7}) == Client(
        "c"
    )


def test_secrets_do_not_show() -> None:
    assert "hush" not in repr(Client("c", "hush"))
