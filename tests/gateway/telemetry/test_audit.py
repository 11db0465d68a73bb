"""What the audit tells of: refused requests, sessions, sign-ins, the token API and reloads."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of, application_of
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.http.rate_limit import RateLimit
from routermcp.gateway.http.routes.token_api import TokenAPI
from routermcp.gateway.http.routes.token_leases import TokenLeases
from routermcp.gateway.reload import changes_between
from routermcp.gateway.telemetry.audit import AuditedEvent, Details, event_line
from routermcp.gateway.telemetry.call_log import CallLog
from routermcp.gateway.telemetry.records import CallOutcome, CallRecord
from routermcp.oauth import memory_adapter
from routermcp.types import AuthorizationRequiredError, OAuthError
from tests import loopback
from tests.gateway.gateways import Bench, WaitingTools, request, served_gateway
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.three_runtimes import make_client, run

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)

#: Keys and tokens of these tests, none of which an event may hold.
KEY = "rmc_1"


class Heard(list[tuple[str, Details]]):
    """The events, in order."""

    def __call__(self, event: AuditedEvent, details: Details) -> None:
        assert "rmc_" not in str(details)
        self.append((event.value, details))

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        """Return the event and these details of each."""
        return [(event, *(details.get(name) for name in names)) for event, details in self]


# ---- refused requests ----------------------------------------------------------------------------------


def test_each_refused_request_is_told_of() -> None:
    heard = Heard()
    limit = RateLimit(2, 60.0)
    with served_gateway(keys=[APIKey(KEY)], limit=limit, on_audited=heard) as bench:
        key = {"Authorization": f"Bearer {KEY}"}
        assert bench.post(request("ping"), **key).status_code == 200
        assert not heard
        unknown = bench.post(
            request("ping"), **key, Mcp_Session_Id="made-up", MCP_Protocol_Version="2025-11-25"
        )
        assert unknown.status_code == 404, "what the endpoint itself refuses is told of, too"
        assert bench.post(request("ping"), **key).status_code == 429
        assert bench.post(request("ping"), Authorization="Bearer rmc_2").status_code == 401
        assert bench.post(request("ping"), **key, X_RouterMCP_User_Id="eve").status_code == 403
        assert bench.post(request("ping"), "/v1/mcp/other", **key).status_code == 404
        assert bench.post(request("ping"), **key, Origin="https://evil.example").status_code == 403
        assert bench.http.get(bench.url("/health"), headers={"X-API-Key": "rmc_2"}).status_code == 200
        assert bench.http.get(bench.url("/health")).status_code == 200, "a load balancer has no key"
    assert heard.of("status", "cause", "path", "user") == [
        ("refused", 404, None, "/v1/mcp/default", None),
        ("refused", 429, None, "/v1/mcp/default", None),
        ("refused", 401, "unknown", "/v1/mcp/default", None),
        ("refused", 403, "user_not_allowed", "/v1/mcp/default", "eve"),
        ("refused", 404, None, "/v1/mcp/other", None),
        ("refused", 403, None, "/v1/mcp/default", None),
        ("refused", 401, "unknown", "/health", None),
    ]
    assert {details["address"] for _, details in heard} == {"127.0.0.1"}


# ---- sessions ------------------------------------------------------------------------------------------


def test_sessions_are_told_of_from_their_beginning_to_their_end() -> None:
    heard, time = Heard(), [0.0]
    app = GatewayApp(WaitingTools(), max_sessions=2, session_idle=60.0, clock=lambda: time[0])
    app.on_audited = heard
    gateway = ProjectGateway(app, keys=[APIKey(KEY, acts_for_users=True)], on_shutdown=app.close)
    with serve_in_thread(gateway) as url, loopback.Client() as http:
        bench = Bench(url, WaitingTools(), http)
        http.headers.update({"Authorization": f"Bearer {KEY}", "X-RouterMCP-User-Id": "ada"})
        first = bench.open()
        session = {"Mcp-Session-Id": first, "MCP-Protocol-Version": "2025-11-25"}
        assert http.delete(bench.url(), headers=session).status_code == 204
        bench.open()
        time[0] = 61.0
        for _ in range(3):
            bench.open()
    key = sha256(KEY.encode()).hexdigest()[:8]
    begun = ("session_begun", None, "ada", "default", key, "test")
    ends = ("client", "expired", "evicted", "shutdown", "shutdown")
    client, expired, evicted, *shutdown = (("session_ended", end, *begun[2:]) for end in ends)
    assert heard.of("reason", "user", "project", "key", "client") == [
        *(begun, client, begun, expired, begun, begun, evicted, begun),
        *shutdown,
    ]
    names = [details["session"] for _, details in heard]
    assert names[0] == names[1]
    assert len(set(names)) == 5
    assert not any(str(name) in first for name in names)


# ---- the API of tokens -----------------------------------------------------------------------------------


def test_an_application_that_takes_tokens_is_told_of() -> None:
    heard, store = Heard(), memory_adapter()
    store.set("ada", "mail", {"tokens": {"access_token": "rmc_secret"}})
    api = TokenAPI(store, TokenLeases(store))
    api.on_audited = heard
    with served_gateway(tokens=api, keys=[APIKey(KEY, acts_for_users=True)]) as bench:
        http, record = bench.http, bench.url("/v1/oauth/users/~ada/servers/~mail")
        http.headers["Authorization"] = f"Bearer {KEY}"
        lock = f"{record}/lock"
        assert http.post(lock, json={"token": "rmc_mine"}).status_code == 200
        assert http.post(lock, json={"token": "rmc_other"}).status_code == 409
        assert http.get(record).status_code == 200
        assert http.put(record, json={}, headers={"X-Lock-Fence": "9"}).status_code == 409
        assert http.put(record, json={}, headers={"X-Lock-Fence": "1"}).status_code == 204
        assert http.delete(lock, params={"token": "rmc_other"}).status_code == 204
        assert http.delete(lock, params={"token": "rmc_mine"}).status_code == 204
        assert http.delete(record).status_code == 204
        assert http.get(record).status_code == 404
    told = ["lease_taken", "tokens_read", "tokens_stored", "lease_released", "tokens_deleted"]
    assert [event for event, _ in heard] == told
    key = sha256(KEY.encode()).hexdigest()[:8]
    assert {details["key"] for _, details in heard} == {key}
    assert {(details["user"], details["server"]) for _, details in heard} == {("ada", "mail")}


# ---- sign-ins --------------------------------------------------------------------------------------------


def test_sign_ins_are_told_of_until_they_are_revoked() -> None:
    written: list[str] = []
    with ProtectedServer() as mail:
        config = GatewayConfig.model_validate(
            {
                "log": {"audit": True, "calls": False, "format": "json"},
                "mcpServers": {"mail": {"url": mail.url, "authType": "oauth"}},
            }
        )
        backend = aggregate_of(config, tokens=memory_adapter())
        app = application_of(config, backend, write_log=written.append)

        async def body() -> None:
            async with make_client("asyncio", url=project, user_id="ada") as client:
                with pytest.raises(AuthorizationRequiredError):
                    await client.call_tool("mail.send")
                sent_to = await client.authorize("mail")
                url_back = await asyncio.to_thread(callback, mail, "ada", sent_to.url)
                with pytest.raises(OAuthError, match="waits"):
                    await client.complete_authorization(url_back.replace("state=", "state=x"))
                await client.complete_authorization(url_back)
                await client.revoke("mail")

        with serve_in_thread(app) as url:
            backend.listens_at(url.removesuffix("/mcp"))
            project = url.removesuffix("/mcp") + "/v1/mcp/default"
            run("asyncio", body)
    told = [json.loads(line) for line in "".join(written).splitlines()]
    signed = [each for each in told if each["event"].startswith("sign_in")]
    assert [(each["event"], each["user"], each["server"]) for each in signed] == [
        ("sign_in_begun", "ada", "mail"),
        ("sign_in_begun", "ada", "mail"),
        ("sign_in_failed", "ada", "mail"),
        ("sign_in_done", "ada", "mail"),
        ("sign_in_revoked", "ada", "mail"),
    ]
    assert "came too late" in signed[2]["reason"]
    assert "code=" not in "".join(written)


# ---- reloads ---------------------------------------------------------------------------------------------


def test_what_a_reload_changes_is_named() -> None:
    def config(servers: dict[str, Any], **more: Any) -> GatewayConfig:
        return GatewayConfig.model_validate({"mcpServers": servers, **more})

    before = config({"a": {"command": "x"}, "b": {"command": "x"}, "c": {"command": "x"}})
    after = config(
        {
            "a": {"command": "x"},
            "b": {"command": "x", "env": {"K": KEY}},
            "d": {"command": "y"},
            "e": {"command": "y"},
        },
        session={"timeout": 60},
        metrics=True,
    )
    found = changes_between(before, after).details()
    assert found == {"added": "d,e", "changed": "b", "removed": "c", "settings": "session,metrics"}
    assert set(changes_between(after, after).details().values()) == {None}
    off = config({"a": {"command": "x", "enabled": False}, "b": {"command": "x"}, "c": {"command": "x"}})
    assert changes_between(before, off).removed == ("a",)


# ---- the lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_audit_is_switched_on_by_the_configuration(form: str) -> None:
    written: list[str] = []
    config = GatewayConfig.model_validate(
        {"log": {"audit": True, "format": form}, "auth": {"apiKeys": [KEY]}}
    )
    app = application_of(config, aggregate_of(config), write_log=written.append)
    with serve_in_thread(app) as url:
        headers = {"X-RouterMCP-User-Id": "a b\tc status=200"}
        assert loopback.post(url, json={}, headers=headers).status_code == 401
    (line,) = "".join(written).splitlines()
    if form == "json":
        told = json.loads(line)
        assert (told["event"], told["status"], told["path"]) == ("refused", 401, "/mcp")
    else:
        assert " event=refused status=401 reason=" in line
        assert ' user="a b c status=200"' in line
        assert line.isprintable()


@pytest.mark.parametrize(
    "words", ["ada outcome=ok", 'a" outcome="ok', "a\noutcome=ok", "\x1b[2J outcome=ok", ""]
)
def test_the_words_of_a_client_are_no_members_of_a_line(words: str) -> None:
    written: list[str] = []

    async def body() -> None:
        log = CallLog(written.append, lambda _: None)
        log.add(CallRecord("tools/call", words, words, 1.0, CallOutcome.ERROR, 1))
        log.flush()

    asyncio.run(body())
    details: Details = {"user": words, "status": 403, "outcome": "error"}
    for each in (*written, event_line(NOON, AuditedEvent.REFUSED, details, as_json=False)):
        assert each.count("\n") == 1
        assert members_of(each)["outcome"] == "error"
        assert members_of(each)["user"].count("outcome") == ("outcome" in words)


def members_of(line: str) -> dict[str, str]:
    """Read a line as programs do that know logfmt; a member that comes twice is an error."""
    members: dict[str, str] = {}
    rest = line.strip()
    while rest:
        name, _, rest = rest.partition("=")
        assert name not in members
        if rest.startswith('"'):
            members[name], end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:].lstrip()
        else:
            members[name], _, rest = rest.partition(" ")
    return members


def test_a_detail_without_end_is_cut() -> None:
    line = event_line(NOON, AuditedEvent.REFUSED, {"path": "/" * 100_000}, as_json=True)
    assert len(line) < 1_000
