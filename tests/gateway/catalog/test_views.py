"""What a project, an API key or a path does not show cannot be used by any way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from routermcp.gateway.config.file import parse
from routermcp.types import ConfigError
from tests import loopback
from tests.gateway.gateways import BOTH, INITIALIZE, PATIENCE, request
from tests.gateway.servers import Shop, serving, serving_config

CONFIG: dict[str, Any] = {
    "metrics": True,
    "auth": {
        "apiKeys": [
            "all",
            {"key": "reader", "allowedToolsGlob": ["*.saw"], "denyResources": ["demo://readme"]},
            {"key": "ops-only", "projects": ["ops"], "servers": ["b"]},
            {"key": "none", "servers": []},
        ]
    },
    "projects": {
        "main": {},
        "empty": {"servers": []},
        "ops": {"servers": ["b", "c"], "denyTools": ["b.echo"], "denyPromptsGlob": ["*"]},
    },
}


@dataclass
class Gateway:
    """A served gateway, and a plain client of it."""

    origin: str
    http: httpx.Client
    shops: dict[str, Shop]

    def post(self, message: Any, path: str, key: str = "all", **headers: str) -> httpx.Response:
        sent = {**BOTH, "X-API-Key": key, **headers}
        return self.http.post(self.origin + path, json=message, headers=sent)

    def ask(self, method: str, params: Any, path: str, key: str = "all") -> dict[str, Any]:
        return self.post(request(method, params), path, key).json()

    def names(self, path: str, key: str = "all", listing: str = "tools", member: str = "name") -> set[str]:
        listed = self.ask(f"{listing}/list", {}, path, key)["result"][listing]
        return {each[member] for each in listed}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    shops = {alias: Shop(["saw"]) for alias in "abc"}
    with ExitStack() as stack:
        servers = {alias: {"url": stack.enter_context(serving(shop))} for alias, shop in shops.items()}
        url = stack.enter_context(serving_config({**CONFIG, "mcpServers": servers}))
        http = stack.enter_context(loopback.Client(timeout=PATIENCE))
        yield Gateway(url.removesuffix("/v1/mcp/default"), http, shops)


def servers_in(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names} - {"routermcp"}


@pytest.mark.parametrize(
    ("path", "key", "servers"),
    [
        ("/mcp", "all", "abc"),
        ("/v1/mcp/main", "all", "abc"),
        ("/v1/mcp/ops", "all", "bc"),
        ("/v1/mcp/ops/request", "ops-only", "b"),
        ("/mcp/a", "all", "a"),
        ("/mcp/a/", "reader", "a"),
        ("/v1/mcp/empty", "all", ""),
        ("/mcp", "none", ""),
    ],
)
def test_each_project_key_and_path_shows_its_servers(
    gateway: Gateway, path: str, key: str, servers: str
) -> None:
    assert servers_in(gateway.names(path, key)) == set(servers)


def test_a_view_shows_the_tools_and_resources_that_it_allows(gateway: Gateway) -> None:
    assert gateway.names("/mcp", "reader") - {"routermcp.searchMcpForTask"} == {"a.saw", "b.saw", "c.saw"}
    assert gateway.names("/mcp", "reader", "resources", "uri") == set()
    shown = gateway.names("/v1/mcp/ops")
    assert "c.echo" in shown
    assert "b.echo" not in shown
    assert gateway.names("/v1/mcp/ops", listing="prompts") == set()


@pytest.mark.parametrize(
    ("name", "path", "key", "code"),
    [
        ("a.saw", "/v1/mcp/ops", "all", -32002),
        ("a.saw", "/v1/mcp/empty", "all", -32002),
        ("a.saw", "/mcp", "none", -32002),
        ("a__saw", "/v1/mcp/ops", "all", -32002),
        ("b.echo", "/v1/mcp/ops", "all", -32003),
        ("b__echo", "/v1/mcp/ops", "all", -32003),
        ("c.saw", "/mcp/b", "all", -32002),
        ("b.echo", "/mcp/b", "reader", -32003),
        ("echo", "/mcp/b", "reader", -32002),
    ],
)
def test_what_is_not_shown_cannot_be_called(
    gateway: Gateway, name: str, path: str, key: str, code: int
) -> None:
    answer = gateway.ask("tools/call", {"name": name, "arguments": {}}, path, key)
    assert answer["error"]["code"] == code


def test_what_is_shown_is_called_by_every_spelling(gateway: Gateway) -> None:
    for name in ("b.saw", "b__saw", "saw"):
        answer = gateway.ask("tools/call", {"name": name, "arguments": {}}, "/mcp/b", "reader")
        assert answer["result"]["content"] == [{"type": "text", "text": "sawn"}]


def test_a_search_finds_what_is_shown_alone(gateway: Gateway) -> None:
    def found(task: str, path: str, key: str) -> set[str]:
        params = {"name": "routermcp.searchMcpForTask", "arguments": {"task": task, "limit": 50}}
        tools = gateway.ask("tools/call", params, path, key)["result"]["structuredContent"]["tools"]
        return {tool["name"] for tool in tools}

    assert found("echo", "/mcp", "all") >= {"a.echo", "b.echo", "c.echo"}
    assert found("echo", "/v1/mcp/ops", "all") == {"c.echo"}
    assert found("echo", "/mcp", "reader") == set()


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("resources/read", {"uri": "demo://readme"}),
        ("resources/subscribe", {"uri": "demo://readme"}),
        (
            "completion/complete",
            {"ref": {"type": "ref/resource", "uri": "demo://readme"}, "argument": {"name": "x", "value": ""}},
        ),
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/mcp/a"])
def test_a_resource_that_is_not_shown_cannot_be_read_watched_or_completed(
    gateway: Gateway, method: str, params: Any, path: str
) -> None:
    begun = gateway.post(request("initialize", INITIALIZE), path, "reader")
    session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
    answer = gateway.post(request(method, params), path, "reader", **session).json()
    assert (answer["error"]["code"], answer["error"]["data"]) == (-32602, {"uri": "demo://readme"})


def test_a_prompt_that_is_not_shown_cannot_be_fetched_or_completed(gateway: Gateway) -> None:
    prompt = {"ref": {"type": "ref/prompt", "name": "b.greet"}, "argument": {"name": "name", "value": ""}}
    for method, params in (("prompts/get", {"name": "b.greet"}), ("completion/complete", prompt)):
        assert gateway.ask(method, params, "/v1/mcp/ops")["error"]["code"] == -32003


@pytest.mark.parametrize(
    ("key", "servers"), [("all", {"a", "b", "c"}), ("reader", {"a", "b", "c"}), ("ops-only", {"b"})]
)
def test_the_health_report_names_the_servers_that_the_key_shows(
    gateway: Gateway, key: str, servers: set[str]
) -> None:
    report = gateway.http.get(f"{gateway.origin}/health", headers={"X-API-Key": key}).json()
    assert set(report["upstreams"]) == servers


@pytest.mark.parametrize(("key", "status"), [("all", 200), ("reader", 403), ("ops-only", 403)])
def test_figures_of_all_servers_are_for_keys_that_see_all(gateway: Gateway, key: str, status: int) -> None:
    answer = gateway.http.get(f"{gateway.origin}/metrics", headers={"X-API-Key": key})
    assert answer.status_code == status
    assert ("a.saw" in answer.text or "routermcp" in answer.text) == (status == 200)


def test_a_key_opens_its_projects_alone(gateway: Gateway) -> None:
    answer = gateway.post(request("tools/list"), "/v1/mcp/main", "ops-only")
    assert answer.status_code == 403
    assert answer.json()["error"]["data"] == {"reason": "project_not_allowed"}


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/mcp/d", "all", 404),
        ("/mcp/d", "unknown", 401),
        ("/mcp/a", "unknown", 401),
        ("/mcp/a", "ops-only", 403),
        ("/v1/mcp/third", "all", 404),
        ("/v1/mcp/default", "all", 404),
    ],
)
def test_a_path_that_leads_nowhere_says_so(gateway: Gateway, path: str, key: str, status: int) -> None:
    assert gateway.post(request("tools/list"), path, key).status_code == status


def test_one_project_of_several_may_have_the_path_mcp() -> None:
    text = json.dumps({"project": "b", "projects": {"a": {}, "b": {"servers": []}}})
    served = parse(text, source="test.jsonc", environ={}).served_projects
    assert (next(iter(served)), served["b"].servers) == ("b", ())


def test_names_that_mean_nothing_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    config = {
        "auth": {"apiKeys": [{"key": "k", "servers": ["aa"], "projects": ["q"]}]},
        "projects": {"p": {"servers": ["a", "bb"], "denyTool": []}},
        "mcpServers": {"a": {"command": "it"}},
    }
    parse(json.dumps(config), source="it", environ={})
    warned = [message.partition(": ")[2].partition(":")[0] for message in caplog.messages]
    assert warned == [
        "auth.apiKeys[0].servers[0]",
        "auth.apiKeys[0].projects[0]",
        "projects.p.denyTool",
        "projects.p.servers[1]",
    ]


@pytest.mark.parametrize(
    "projects", [{"No": {}}, {"p": []}, {"p": {"servers": "a"}}, {"p": {"servers": [1]}}]
)
def test_projects_that_cannot_be_are_refused(projects: Any) -> None:
    with pytest.raises(ConfigError, match="projects"):
        parse(json.dumps({"projects": projects}), source="it", environ={})
