"""Who may use the gateway, for whom, and whose sessions are whose."""

from __future__ import annotations

import asyncio
import hmac
import json
import pickle
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from routermcp import ConfigError, TransportError, UnauthorizedError
from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.errors import Rejected
from routermcp.gateway.http.asgi import RequestHead, ResponseWriter
from routermcp.gateway.http.authentication import APIKey, KeyRing, check_binding, identify, is_loopback
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.http.session_ids import SessionIdSigner
from tests.gateway.gateways import INITIALIZE, PATIENCE, Bench, WaitingTools, error, request, served_gateway
from tests.three_runtimes import RUNTIMES, make_client, run

RUNTIME = pytest.mark.parametrize("runtime", RUNTIMES)
ERA = pytest.mark.parametrize("era", ["2026-07-28", "2025-11-25"])

PLAIN = "rmc_plain"
OTHER = "rmc_other"
TRUSTED = "rmc_trusted"
TRUSTED_TOO = "rmc_trusted_too"
KEYS = [
    APIKey(PLAIN),
    APIKey(OTHER),
    APIKey(TRUSTED, acts_for_users=True),
    APIKey(TRUSTED_TOO, acts_for_users=True),
]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def closed() -> Iterator[Bench]:
    with served_gateway(keys=KEYS) as bench:
        yield bench


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[Bench]:
    with served_gateway() as bench:
        yield bench


# ---- keys -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("Bearer", "malformed"),
        (PLAIN, "malformed"),
        (f"Basic {PLAIN}", "malformed"),
        (f"Bearer {PLAIN} {PLAIN}", "malformed"),
        ("Bearer rmc_unknown", "unknown"),
        (f"Bearer {PLAIN}x", "unknown"),
        (f"Bearer {PLAIN[:-1]}", "unknown"),
        (f"Bearer {PLAIN.upper()}", "unknown"),
    ],
)
def test_who_shows_no_key_of_ours_is_told_why(closed: Bench, authorization: str | None, reason: str) -> None:
    headers = {"Authorization": authorization} if authorization is not None else {}
    for path in ("/mcp", "/v1/mcp/default", "/v1/mcp/default/request", "/v1/mcp/default/sse"):
        answer = closed.post(request("tools/list"), path, **headers)
        assert error(answer) == (401, -32001, reason)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert PLAIN not in answer.text


def test_every_method_asks_for_a_key(closed: Bench) -> None:
    for method in ("GET", "DELETE", "PUT"):
        assert closed.http.request(method, closed.url()).status_code == 401
    assert closed.http.get(closed.url("/v1/mcp/third")).status_code == 404, "the project comes first"


def test_every_key_opens(closed: Bench) -> None:
    for key in (PLAIN, OTHER, TRUSTED):
        assert closed.call("who", **bearer(key)).status_code == 200
    assert closed.call("who", Authorization=f"bearer  {PLAIN}").status_code == 200, "as RFC 9110 writes it"


def test_a_key_given_twice_is_no_key(closed: Bench) -> None:
    twice = [("Authorization", f"Bearer {PLAIN}"), ("Authorization", "Bearer rmc_unknown")]
    answer = closed.http.post(closed.url(), json=request("tools/list"), headers=twice)
    assert error(answer) == (400, -32600, None)


def test_who_is_not_let_in_cannot_fill_the_memory(closed: Bench) -> None:
    answer = closed.post({**request("tools/list"), "padding": "x" * 70_000})
    assert (answer.status_code, answer.json()["id"]) == (401, None)
    answer = closed.post([request("tools/list"), request("tools/list", None, 8)])
    assert (answer.status_code, answer.json()["id"]) == (401, None)


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with served_gateway(keys=KEYS, refused_seconds=0.05) as bench:
        url = httpx.URL(bench.url())
        with socket.create_connection((url.host, url.port or 0), timeout=PATIENCE) as connection:
            head = f"POST {url.path} HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: 100\r\n\r\n{{"
            connection.sendall(head.encode())
            assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


@RUNTIME
@ERA
@pytest.mark.parametrize(("key", "reason"), [(None, "missing"), ("rmc_unknown", "unknown")])
def test_our_clients_learn_that_their_key_is_not_accepted(
    closed: Bench, runtime: str, era: str, key: str | None, reason: str
) -> None:
    async def body() -> None:
        with pytest.raises(UnauthorizedError) as caught:
            await make_client(runtime, url=closed.url(), protocol=era, api_key=key).connect()
        assert (caught.value.code, caught.value.data) == (-32001, {"reason": reason})
        assert "rmc_unknown" not in str(caught.value)
        async with make_client(runtime, url=closed.url(), protocol=era, api_key=PLAIN) as client:
            assert await client.list_tools()

    run(runtime, body)


@ERA
def test_where_the_url_does_not_say_that_it_is_a_gateway_its_codes_mean_nothing(
    closed: Bench, era: str
) -> None:
    async def body() -> None:
        with pytest.raises(TransportError) as caught:
            await make_client("asyncio", url=closed.url("/mcp"), protocol=era).connect()
        assert caught.value.code == "http_401"

    run("asyncio", body)


@ERA
@pytest.mark.parametrize("request_id", [None, "other"])
def test_what_a_proxy_says_is_not_taken_for_the_gateways_word(era: str, request_id: str | None) -> None:
    answer = {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32001, "message": "no"}}

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        await ResponseWriter(send).document(json.dumps(answer).encode(), 401)

    async def body(url: str) -> None:
        with pytest.raises(TransportError) as caught:
            await make_client("asyncio", url=url, protocol=era).connect()
        assert caught.value.code == "http_401"

    proxy.path = "/v1/mcp/default"  # type: ignore[attr-defined]
    with serve_in_thread(proxy) as url:  # type: ignore[arg-type]
        run("asyncio", body, url)


@RUNTIME
@ERA
def test_a_key_that_is_withdrawn_is_an_error_of_the_next_call(closed: Bench, runtime: str, era: str) -> None:
    keys = [PLAIN]

    async def body() -> None:
        async with make_client(runtime, url=closed.url(), protocol=era, api_key=lambda: keys[0]) as client:
            assert await client.list_tools()
            keys[0] = "rmc_unknown"
            with pytest.raises(UnauthorizedError):
                await client.list_tools()
            keys[0] = PLAIN

    run(runtime, body)


def test_all_keys_are_compared_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def count(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return compare(left, right)

    monkeypatch.setattr("hmac.compare_digest", count)
    ring = KeyRing(KEYS)
    assert ring.find(PLAIN) is KEYS[0]
    assert len(compared) == len(KEYS), "it does not stop at the first"
    assert {len(part) for pair in compared for part in pair} == {32}
    shown = f"{ring!r} {KEYS!r} {vars(ring)!r} {SessionIdSigner(b'secret' * 8)!r}"
    assert "rmc_" not in shown
    assert "secretsecret" not in shown
    assert b"rmc_" not in pickle.dumps(KEYS)


@pytest.mark.parametrize("secret", ["", "a b", "rmc_ä", "rmc_\n"])
def test_a_key_can_travel_in_a_header(secret: str) -> None:
    with pytest.raises(ConfigError, match="visible ASCII"):
        APIKey(secret)


def test_no_keys_is_not_the_same_as_an_empty_list_of_them() -> None:
    with pytest.raises(ConfigError, match="keys=None"):
        ProjectGateway(GatewayApp(WaitingTools()), keys=[])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "::ffff:127.0.0.1"])
def test_over_loopback_no_key_is_needed(host: str) -> None:
    check_binding(host, None)
    check_binding(host, KEYS)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.0.2", "gateway.example", "::ffff:10.0.0.1"])
def test_where_others_can_come_a_key_is_needed(host: str) -> None:
    for none in (None, []):
        with pytest.raises(ConfigError, match="set an API key"):
            check_binding(host, none)
    check_binding(host, KEYS)


def test_names_are_not_addresses() -> None:
    assert not is_loopback("127.0.0.1.evil.example")


# ---- users ----------------------------------------------------------------------------------------


def test_a_key_that_acts_for_users_says_who_it_is_for(closed: Bench) -> None:
    assert closed.who(**bearer(TRUSTED), X_RouterMCP_User_Id="ada@example.com")["user"] == "ada@example.com"
    assert closed.who(**bearer(TRUSTED))["user"] is None


def test_a_key_that_does_not_is_refused_with_a_user(closed: Bench) -> None:
    answer = closed.call("who", **bearer(PLAIN), X_RouterMCP_User_Id="ada")
    assert error(answer) == (403, -32001, "user_not_allowed")
    assert error(closed.call("who", X_RouterMCP_User_Id="ada")) == (401, -32001, "missing")
    assert closed.who(**bearer(PLAIN))["user"] is None


def test_over_loopback_users_are_believed_where_no_keys_are_asked_for(open_to_all: Bench) -> None:
    assert open_to_all.who(X_RouterMCP_User_Id="ada")["user"] == "ada"
    for name in ("Forwarded", "X_Forwarded_For", "X_Real_IP"):
        answer = open_to_all.call("who", X_RouterMCP_User_Id="ada", **{name: "203.0.113.9"})
        assert error(answer) == (403, -32001, "user_not_allowed")


@pytest.mark.parametrize(
    ("client", "believed"),
    [
        (("127.0.0.1", 1), True),
        (("::1", 1), True),
        (("10.0.0.1", 1), False),
        (None, False),
        (("unix", 0), False),
    ],
)
def test_users_are_believed_only_from_this_machine(client: Any, believed: bool) -> None:
    scope = {
        "method": "POST",
        "path": "/mcp",
        "headers": [(b"x-routermcp-user-id", b"ada")],
        "client": client,
    }
    if believed:
        assert identify(RequestHead(scope), scope, None).user_id == "ada"
        return
    with pytest.raises(Rejected, match="from this machine") as caught:
        identify(RequestHead(scope), scope, None)
    assert caught.value.status == 403


@pytest.mark.parametrize("user_id", ["", "a b", "x" * 257, "ad\xe4", "a\tb"])
def test_a_user_has_an_id_that_can_be_one(open_to_all: Bench, user_id: str) -> None:
    headers = [(b"X-RouterMCP-User-Id", user_id.encode("latin-1"))]
    answer = open_to_all.http.post(open_to_all.url(), json=request("tools/list"), headers=headers)
    assert error(answer) == (400, -32600, None)


def test_the_longest_user_id_is_taken(open_to_all: Bench) -> None:
    assert open_to_all.who(X_RouterMCP_User_Id="x" * 256)["user"] == "x" * 256


def test_what_stood_in_the_scope_before_does_not_count() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        body = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"who"}}'
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "routermcp.user_id": "mallory",
    }
    asyncio.run(ProjectGateway(GatewayApp(WaitingTools()))(scope, receive, send))
    assert b"who" not in sent[1]["body"]
    assert b"null" in sent[1]["body"]
    assert scope["routermcp.user_id"] == "mallory", "the scope of others stays theirs"


@RUNTIME
@ERA
def test_sessions_of_users_are_apart(closed: Bench, runtime: str, era: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=closed.url(), protocol=era, api_key=TRUSTED) as client:
            for user in ("ada", "bob"):
                async with client.create_session(user_id=user) as session:
                    assert f'"user": "{user}"' in (await session.call_tool("who")).text

    run(runtime, body)


# ---- whose session it is ---------------------------------------------------------------------------


def test_a_session_is_unknown_to_all_but_who_opened_it(closed: Bench) -> None:
    mine = {**bearer(TRUSTED), "X_RouterMCP_User_Id": "ada"}
    session = closed.open(**mine)
    others: list[dict[str, str]] = [
        bearer(PLAIN),
        bearer(OTHER),
        bearer(TRUSTED),
        {**bearer(TRUSTED), "X_RouterMCP_User_Id": "bob"},
        {**bearer(TRUSTED_TOO), "X_RouterMCP_User_Id": "ada"},
    ]
    never = closed.post(request("ping"), Mcp_Session_Id="never", **mine)
    for headers in others:
        answer = closed.post(request("ping"), Mcp_Session_Id=session, **headers)
        assert (answer.status_code, answer.content) == (404, never.content), "as one that never was"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        gone = closed.http.delete(closed.url(), headers={**named, "Mcp-Session-Id": session})
        stream = closed.http.get(
            closed.url(), headers={**named, "Accept": "text/event-stream", "Mcp-Session-Id": session}
        )
        assert (gone.status_code, stream.status_code) == (404, 404)
    assert closed.post(request("ping"), Mcp_Session_Id=session, **mine).status_code == 200


def test_a_session_of_nobody_is_not_that_of_a_user(open_to_all: Bench) -> None:
    session = open_to_all.open()
    assert open_to_all.post(request("ping"), Mcp_Session_Id=session).status_code == 200
    answer = open_to_all.post(request("ping"), Mcp_Session_Id=session, X_RouterMCP_User_Id="ada")
    assert answer.status_code == 404


def test_an_old_session_does_not_stand_in_the_way_of_a_new_one(closed: Bench) -> None:
    answer = closed.post(request("initialize", INITIALIZE), Mcp_Session_Id="old.signature", **bearer(PLAIN))
    assert answer.status_code == 200


def test_processes_that_share_a_secret_verify_each_others_session_ids() -> None:
    secret = secrets.token_bytes(32)
    owner = (b"default", b"key", b"ada")
    signed = SessionIdSigner(secret).sign(b"id", owner)
    assert SessionIdSigner(secret).verify(signed, owner) == b"id"
    assert SessionIdSigner().verify(signed, owner) is None
    for stranger in ((b"default", b"keya", b"da"), (b"default", b"key", b""), (b"second", b"key", b"ada")):
        assert SessionIdSigner(secret).verify(signed, stranger) is None
    for broken in (b"", b".", b"id", b"id.", signed[:-1], b"x" + signed, b"\xff." + signed):
        assert SessionIdSigner(secret).verify(broken, owner) is None


def test_the_signature_of_parts_depends_on_their_lengths() -> None:
    signer = SessionIdSigner()
    assert signer.sign(b"i", (b"ab", b"c"))[2:] != signer.sign(b"i", (b"a", b"bc"))[2:]


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        ProjectGateway(GatewayApp(WaitingTools()), session_secret=b"short")
