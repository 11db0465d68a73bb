"""Access tokens of an authorization server beside API keys, and how clients find where to get them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from routermcp.gateway.access_tokens.checker import SignatureKeys
from routermcp.gateway.access_tokens.key_sources import OwnKeys
from routermcp.gateway.access_tokens.verifier import TokenVerifier
from routermcp.gateway.errors import Rejected
from routermcp.gateway.http.asgi import RequestHead
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.bearer import BearerTokens
from routermcp.gateway.http.rate_limit import RateLimit
from routermcp.gateway.http.routes.token_api import USERS_PATH, TokenAPI
from routermcp.oauth import OAuthConfig, memory_adapter
from routermcp.types import TransportError
from routermcp_proto.oauth.challenges import Challenge, parse_challenges
from tests.gateway.access_tokens.issuing import AUDIENCE, ISSUER, KEY, NOW, RULES, key_set, token
from tests.gateway.access_tokens.issuing_server import IssuingServer
from tests.gateway.gateways import Bench, error, request, served_gateway
from tests.gateway.servers import Shop, serving, serving_config
from tests.oauth.servers.protected_server import callback
from tests.three_runtimes import make_client, run

WELL_KNOWN = "/.well-known/oauth-protected-resource"
PLAIN, TRUSTED = "rmc_plain", "rmc_trusted"
ADA = f"{ISSUER}#ada"


def tokens(**settings: Any) -> BearerTokens:
    rules = replace(RULES, required_scopes=("mcp",))
    verifier = TokenVerifier(rules, OwnKeys(key_set(KEY)), lambda: NOW)
    return BearerTokens(verifier, **{"scopes": ("mcp",), **settings})


def bearer(user: str = "ada", **changed: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(sub=user, **{'scope': 'mcp', **changed})}"}


def challenge(answer: httpx.Response) -> Challenge:
    (found,) = parse_challenges([answer.headers["www-authenticate"]])
    return found


@pytest.fixture(scope="module")
def gateway() -> Iterator[Bench]:
    keys = [APIKey(PLAIN), APIKey(TRUSTED, acts_for_users=True)]
    api = TokenAPI(memory_adapter())
    with served_gateway(
        keys=keys, bearers=tokens(), projects=("default", "second"), tokens=api, metrics=lambda: b"figures"
    ) as bench:
        yield bench


@pytest.fixture(scope="module")
def alone() -> Iterator[Bench]:
    """A gateway that tokens alone open, and one project of it only; two requests for each user."""
    with served_gateway(
        bearers=tokens(projects=("default",)),
        projects=("default", "second"),
        limit=RateLimit(2, 1_000),
        clock=lambda: NOW,
    ) as bench:
        yield bench


# ---- who is let in ------------------------------------------------------------------------------------


def test_tokens_and_keys_open_the_gateway_side_by_side(gateway: Bench) -> None:
    assert gateway.who(**bearer())["user"] == ADA
    assert gateway.who(Authorization=f"Bearer {PLAIN}")["user"] is None
    assert gateway.who(X_API_Key=PLAIN)["user"] is None
    assert gateway.who(Authorization=f"bearer {TRUSTED}", X_RouterMCP_User_Id="bob")["user"] == "bob"


def test_without_keys_tokens_alone_open_it(alone: Bench) -> None:
    assert alone.who(**bearer("carol"))["user"] == f"{ISSUER}#carol"
    assert error(alone.call("who", X_API_Key=PLAIN)) == (401, -32001, "token_missing")
    assert error(alone.call("who", Authorization=f"Bearer {PLAIN}")) == (401, -32001, "token_malformed")


def test_a_client_without_a_credential_is_told_where_to_get_one(gateway: Bench) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
        answer = gateway.call("who", **headers)
        assert error(answer) == (401, -32001, "token_missing")
        asked = challenge(answer)
        assert (asked.scheme, asked.error, asked.scope) == ("bearer", None, ("mcp",))
        assert asked.resource_metadata == gateway.url(f"{WELL_KNOWN}/v1/mcp/default")
    assert error(gateway.call("who", X_API_Key="wrong")) == (401, -32001, "unknown")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": NOW - 100}, "token_expired"),
        ({"nbf": NOW + 100}, "token_not_yet_valid"),
        ({"aud": 'other"\\\r\n'}, "token_audience"),
        ({"iss": "https://\u00e4.example"}, "token_issuer"),
        ({"sub": None}, "token_user"),
    ],
)
def test_a_token_that_is_not_good_is_an_invalid_token(
    gateway: Bench, changed: dict[str, Any], reason: str
) -> None:
    headers = {"Authorization": f"Bearer {token(**{'scope': 'mcp', **changed})}"}
    answer = gateway.call("who", **headers)
    assert error(answer) == (401, -32001, reason)
    assert challenge(answer).error == "invalid_token"
    assert challenge(answer).parameters["error_description"]
    assert token()[:40] not in answer.text


def test_a_token_without_a_scope_is_told_which(gateway: Bench) -> None:
    answer = gateway.call("who", **bearer(scope="other"))
    assert error(answer) == (403, -32001, "insufficient_scope")
    asked = challenge(answer)
    assert (asked.error, asked.scope) == ("insufficient_scope", ("mcp",))
    assert asked.resource_metadata == gateway.url(f"{WELL_KNOWN}/v1/mcp/default")


def test_a_token_is_no_api_key_and_stands_in_no_url(gateway: Bench) -> None:
    shown = bearer()["Authorization"].removeprefix("Bearer ")
    assert gateway.call("who", X_API_Key=shown).status_code == 401
    assert gateway.call("who", f"/mcp?access_token={shown}").status_code == 401
    twice = [("Authorization", f"Bearer {shown}"), ("Authorization", f"Bearer {PLAIN}")]
    answer = gateway.http.post(gateway.url(), json=request("tools/list"), headers=twice)
    assert answer.status_code == 400


def test_every_method_and_page_asks_for_a_token(gateway: Bench) -> None:
    for method in ("GET", "DELETE", "PUT"):
        assert gateway.http.request(method, gateway.url("/mcp/time")).status_code == 401
    refused = gateway.http.get(gateway.url("/metrics"))
    assert challenge(refused).resource_metadata == gateway.url(f"{WELL_KNOWN}/mcp")
    headers = bearer()
    assert gateway.http.get(gateway.url("/metrics"), headers=headers).content == b"figures"
    assert "sessions" in gateway.http.get(gateway.url("/health"), headers=headers).json()
    assert gateway.http.get(gateway.url("/health")).json() == {"status": "ok"}


def test_where_keys_cannot_be_had_it_is_not_the_token_that_is_wrong() -> None:
    class NoKeys:
        async def keys(self, missed: SignatureKeys | None = None) -> SignatureKeys:
            raise TransportError("no keys now", code="connect")

    with served_gateway(bearers=BearerTokens(TokenVerifier(RULES, NoKeys()))) as bench:
        answer = bench.call("who", **bearer())
        assert error(answer) == (503, -32603, "token_keys")
        assert int(answer.headers["retry-after"]) > 0
        assert "www-authenticate" not in answer.headers


# ---- users --------------------------------------------------------------------------------------------


def test_a_session_is_of_its_user_whatever_the_token(gateway: Bench) -> None:
    session = gateway.open(**bearer(jti="1"))
    assert gateway.post(request("ping"), Mcp_Session_Id=session, **bearer(jti="2")).status_code == 200
    strangers: list[dict[str, str]] = [
        bearer("bob"),
        {"Authorization": f"Bearer {PLAIN}"},
        {"Authorization": f"Bearer {TRUSTED}", "X_RouterMCP_User_Id": ADA},
    ]
    for headers in strangers:
        assert gateway.post(request("ping"), Mcp_Session_Id=session, **headers).status_code == 404
    of_a_key = gateway.open(Authorization=f"Bearer {TRUSTED}", X_RouterMCP_User_Id=ADA)
    assert gateway.post(request("ping"), Mcp_Session_Id=of_a_key, **bearer()).status_code == 404


def test_a_token_names_its_user_and_no_other(gateway: Bench) -> None:
    for name in ("ada", ADA):
        assert gateway.who(X_RouterMCP_User_Id=name, **bearer())["user"] == ADA
    for name in ("bob", f"{ISSUER}#bob", "", ISSUER):
        answer = gateway.call("who", X_RouterMCP_User_Id=name, **bearer())
        assert error(answer) == (403, -32001, "user_not_allowed")
    refused = gateway.http.get(gateway.url(f"{USERS_PATH}ada"), headers=bearer())
    assert refused.status_code == 403


def test_each_user_has_a_limit_of_their_own(alone: Bench) -> None:
    statuses = [alone.call("who", **bearer(user)).status_code for user in ("ada", "ada", "ada", "bob")]
    assert statuses == [200, 200, 429, 200]


def test_tokens_open_what_the_configuration_says(alone: Bench) -> None:
    answer = alone.call("who", "/v1/mcp/second", **bearer("dora"))
    assert error(answer) == (403, -32001, "project_not_allowed")
    assert alone.call("who", "/mcp", **bearer("dora")).status_code == 200


# ---- metadata -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("", "/mcp"),
        ("/mcp", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/mcp/time", "/mcp/time"),
        ("/mcp/request", "/mcp/request"),
        ("/v1/mcp/second", "/v1/mcp/second"),
        ("/v1/mcp/second/request", "/v1/mcp/second"),
        ("/v1/mcp/default/sse", "/v1/mcp/default"),
    ],
)
def test_each_endpoint_describes_itself(gateway: Bench, path: str, resource: str) -> None:
    answer = gateway.http.get(gateway.url(WELL_KNOWN + path))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "resource": gateway.url(resource),
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["mcp"],
    }


@pytest.mark.parametrize("path", ["/v1/mcp/third", "/other", "x", "/health", "/mcp/a/b"])
def test_what_is_no_endpoint_has_no_metadata(gateway: Bench, path: str) -> None:
    assert gateway.http.get(gateway.url(WELL_KNOWN + path)).status_code == 404


@pytest.mark.parametrize("path", ["/health", "/metrics", f"{WELL_KNOWN}/mcp"])
def test_monitors_may_ask_for_the_head_alone(gateway: Bench, path: str) -> None:
    """RFC 9110, 9.1: what answers GET answers HEAD, with the same headers."""
    read, head = (
        gateway.http.request(method, gateway.url(path), headers=bearer()) for method in ("GET", "HEAD")
    )
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-type", "cache-control"):
        assert head.headers[name] == read.headers[name]


def test_without_tokens_there_are_no_metadata_and_no_challenge() -> None:
    with served_gateway(keys=[APIKey(PLAIN)]) as bench:
        assert bench.http.get(bench.url(f"{WELL_KNOWN}/mcp")).status_code == 404
        assert bench.call("who").headers["www-authenticate"] == "Bearer"


def test_pages_of_every_origin_may_read_the_metadata(gateway: Bench) -> None:
    url = gateway.url(f"{WELL_KNOWN}/mcp")
    for origin, allowed in (
        ("https://inspector.example", "*"),
        ("http://localhost:6274", "http://localhost:6274"),
    ):
        asked = {
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "mcp-protocol-version",
        }
        preflight = gateway.http.options(url, headers={"Origin": origin, **asked})
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-headers"] == "mcp-protocol-version"
        for answer in (preflight, gateway.http.get(url, headers={"Origin": origin})):
            assert answer.headers.get_list("access-control-allow-origin") == [allowed]
    assert gateway.http.post(url).status_code == 405


def asked(path: str, **headers: str) -> dict[str, Any]:
    """Return the scope of a request as the application gets it."""
    lines = [
        (b"host", b"localhost"),
        *((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()),
    ]
    return {"method": "GET", "path": path, "headers": list(dict(lines).items()), "scheme": "http"}


@pytest.mark.parametrize(
    ("public_url", "headers", "origin"),
    [
        ("https://gateway.example", {}, "https://gateway.example"),
        ("https://example.com/tools", {"x_forwarded_proto": "http"}, "https://example.com/tools"),
        (None, {"host": "localhost:8443", "x_forwarded_proto": "https"}, "https://localhost:8443"),
        (None, {"host": "[::1]:5151", "x_forwarded_proto": "javascript"}, "http://[::1]:5151"),
    ],
)
def test_behind_a_proxy_urls_are_those_of_the_clients(
    public_url: str | None, headers: Mapping[str, str], origin: str
) -> None:
    bearers = tokens(public_url=public_url)
    scope = asked("/mcp/time", **headers)
    (line,) = [value for _, value in bearers.unauthenticated(RequestHead(scope), scope).headers]
    (found,) = parse_challenges([line.decode()])
    assert found.resource_metadata == f"{origin}{WELL_KNOWN}/mcp/time"
    scope = asked(f"{WELL_KNOWN}/v1/mcp/default", **headers)
    assert bearers.metadata(RequestHead(scope), scope)["resource"] == f"{origin}/v1/mcp/default"


def test_a_host_that_could_end_the_header_is_refused() -> None:
    scope = asked("/mcp", host='x",y="@localhost')
    with pytest.raises(Rejected) as caught:
        tokens().metadata(RequestHead(scope), scope)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("path", "resource"),
    [("", AUDIENCE), ("/mcp/time", AUDIENCE), ("/v1/mcp/default", "https://gateway.example/v1/mcp/default")],
)
def test_the_resource_is_the_audience_that_stands_for_the_endpoint(path: str, resource: str) -> None:
    """A client asks for a token for the resource, and it has to be one that is accepted."""
    scope = asked(WELL_KNOWN + path)
    bearers = tokens(public_url="https://gateway.example")
    assert bearers.metadata(RequestHead(scope), scope)["resource"] == resource


def test_clients_may_be_told_of_scopes_by_other_names_than_tokens_have() -> None:
    """Microsoft Entra takes ``api://ID/read`` and writes ``read`` into the token."""
    bearers = tokens(scopes=("api://id/mcp", "more"))
    scope = asked("/mcp")
    assert bearers.metadata(RequestHead(scope), scope)["scopes_supported"] == ["api://id/mcp", "more"]
    (line,) = [value for _, value in bearers.unauthenticated(RequestHead(scope), scope).headers]
    assert parse_challenges([line.decode()])[0].scope == ("api://id/mcp", "more")
    found = asyncio.run(bearers.identify(RequestHead(scope), scope, token(scp="mcp")))
    assert found.user_id == ADA


# ---- the whole way ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def issuer() -> Iterator[IssuingServer]:
    with IssuingServer() as server:
        yield server


@pytest.fixture(scope="module")
def origin(issuer: IssuingServer) -> Iterator[str]:
    """A gateway with two servers, of which tokens show one."""
    jwt = {
        "issuer": issuer.origin,
        "audience": issuer.audience,
        "requiredScopes": ["mcp"],
        "servers": ["shop"],
    }
    with serving(Shop(["saw"])) as shop:
        servers = {alias: {"url": shop} for alias in ("shop", "other")}
        with serving_config({"auth": {"jwt": {**jwt, "servers": ["shop"]}}, "mcpServers": servers}) as url:
            yield url.removesuffix("/v1/mcp/default")


@pytest.mark.parametrize(
    ("runtime", "path"), [("asyncio", "/mcp"), ("trio", "/mcp/shop"), ("blocking", "/v1/mcp/default")]
)
def test_our_client_signs_in_at_the_gateway(
    issuer: IssuingServer, origin: str, runtime: str, path: str
) -> None:
    oauth = OAuthConfig(
        memory_adapter(), authorize=lambda page: callback(issuer, runtime, page), single_user=True
    )

    async def body() -> None:
        async with make_client(runtime, url=origin + path, oauth=oauth) as client:
            assert (await client.call_tool("shop.saw", {})).text == "sawn"
            assert {tool.name.partition(".")[0] for tool in await client.list_tools()} == {"shop"}

    run(runtime, body)
    assert issuer.sign_ins[runtime] == 1
    forms = [parse_qs(seen.body.decode()) for seen in issuer.seen if seen.target == "/oauth/token"]
    assert forms[-1]["resource"] == [origin + path]
    assert issuer.fetched == 1, "the keys are fetched once"
