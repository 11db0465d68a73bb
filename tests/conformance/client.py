"""The client program that the official MCP conformance suite starts.

Run as ``python tests/conformance/client.py URL``. The suite says in the environment what
it plays: ``MCP_CONFORMANCE_SCENARIO`` and ``MCP_CONFORMANCE_CONTEXT``. ``ROUTERMCP_RUNTIME``
picks ``asyncio`` (the default), ``trio`` or ``blocking``; the scenarios are one text.

Settings are the defaults that users run with; above all ``protocol="auto"``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from routermcp.oauth import (
    OAuthConfig,
    client_credentials,
    enterprise_managed,
    memory_adapter,
    workload_identity,
)
from tests.three_runtimes import make_client, run

if TYPE_CHECKING:
    from routermcp import RouterMCPClient

#: An argument of each JSON type, for tools that are called only to see whether they can be.
SAMPLES: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


@dataclass(frozen=True)
class Scenario:
    """What one scenario does with a connected client, and what that client is made with."""

    play: Callable[[RouterMCPClient], Awaitable[None]]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    oauth: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    """Makes what OAuthConfig is given of what the suite says, None where nobody signs in."""


def given_context() -> dict[str, Any]:
    """Return what the suite tells the client beside the scenario's name."""
    return json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")


async def list_tools(client: RouterMCPClient) -> None:
    await client.list_tools()


async def add_numbers(client: RouterMCPClient) -> None:
    await client.list_tools()
    await client.call_tool("add_numbers", {"a": 5, "b": 3})


async def echo_schema(client: RouterMCPClient) -> None:
    tools = {tool.name: tool for tool in await client.list_tools()}
    schema = tools["json_schema_2020_12_tool"].inputSchema.model_dump()
    await client.call_tool("json_schema_echo", {"schema": schema})


async def request_metadata(client: RouterMCPClient) -> None:
    await client.list_tools()
    await client.call_tool("any_tool", {})


async def call_reconnecting_tool(client: RouterMCPClient) -> None:
    await client.list_tools()
    await client.call_tool("test_reconnection", {})


async def call_tool_that_asks(client: RouterMCPClient) -> None:
    await client.list_tools()
    await client.call_tool("test_client_elicitation_defaults", {})


async def call_tools_that_need_input(client: RouterMCPClient) -> None:
    await client.list_tools()
    for name in (
        "test_mrtr_echo_state",
        "test_mrtr_unrelated",
        "test_mrtr_no_state",
        "test_mrtr_no_result_type",
    ):
        await client.call_tool(name, {})


async def use_everything_named(client: RouterMCPClient) -> None:
    for tool in await client.list_tools():
        await client.call_tool(tool.name, sample_arguments(tool.inputSchema.model_dump()))
    for resource in await client.list_resources():
        await client.read_resource(resource.uri)
    for prompt in await client.list_prompts():
        await client.get_prompt(prompt.name)


async def replay_calls(client: RouterMCPClient) -> None:
    await client.list_tools()
    for call in given_context()["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def call_all_tools(client: RouterMCPClient) -> None:
    for tool in await client.list_tools():
        await client.call_tool(tool.name, sample_arguments(tool.inputSchema.model_dump()))


def sample_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """Return an argument for each property of a tool's schema."""
    properties: dict[str, dict[str, Any]] = schema.get("properties") or {}
    return {name: SAMPLES.get(str(rules.get("type")), "text") for name, rules in properties.items()}


def decline(_request: Any) -> None:
    """Answer a question of the server with a refusal."""


def confirm(_request: Any) -> dict[str, Any]:
    return {"confirmed": True}


def fill_in_nothing(_request: Any) -> dict[str, Any]:
    """Accept an empty form: the client itself adds the defaults of the schema."""
    return {}


def no_roots() -> list[Any]:
    return []


def no_sampling(_request: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": {"type": "text", "text": "nothing"}, "model": "none"}


# ---- signing in ----------------------------------------------------------------------------


def visit(url: str) -> str:
    """Be the user's browser: the suite's servers ask nothing and send it back at once."""
    with httpx.Client(trust_env=False) as browser:
        return browser.get(url).headers["location"]


def by_browser(_context: dict[str, Any]) -> dict[str, Any]:
    return {
        "authorize": visit,
        "redirect_uri": "http://localhost:3000/callback",
        "client_metadata_url": "https://conformance-test.local/client-metadata.json",
    }


def registered_before(context: dict[str, Any]) -> dict[str, Any]:
    known = {name: context[name] for name in ("client_id", "client_secret")}
    return {**by_browser(context), **known, "issuer": context.get("issuer")}


def with_private_key(context: dict[str, Any]) -> dict[str, Any]:
    key, algorithm = context["private_key_pem"], context["signing_algorithm"]
    return {"grant": client_credentials(context["client_id"], private_key=key, algorithm=algorithm)}


def with_secret(context: dict[str, Any]) -> dict[str, Any]:
    return {"grant": client_credentials(context["client_id"], context["client_secret"])}


def by_enterprise(context: dict[str, Any]) -> dict[str, Any]:
    return {
        "grant": enterprise_managed(
            client_id=context["client_id"],
            client_secret=context["client_secret"],
            id_token=context["idp_id_token"],
            identity_client_id=context["idp_client_id"],
            identity_token_endpoint=context["idp_token_endpoint"],
        )
    }


def by_workload(context: dict[str, Any]) -> dict[str, Any]:
    return {"grant": workload_identity(context["valid_jwt"])}


async def call_protected_tool(client: RouterMCPClient) -> None:
    await client.list_tools()
    await client.call_tool("test-tool", {})


OAUTH_SCENARIOS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "auth/pre-registration": registered_before,
    "auth/client-credentials-jwt": with_private_key,
    "auth/client-credentials-basic": with_secret,
    "auth/enterprise-managed-authorization": by_enterprise,
    "auth/wif-jwt-bearer": by_workload,
}


def scenario_of(name: str) -> Scenario | None:
    """Return what a scenario does; those of signing in differ by how that is done only."""
    if name.startswith("auth/"):
        return Scenario(call_protected_tool, oauth=OAUTH_SCENARIOS.get(name, by_browser))
    return SCENARIOS.get(name)


SCENARIOS: dict[str, Scenario] = {
    "initialize": Scenario(list_tools),
    "tools_call": Scenario(add_numbers),
    "request-metadata": Scenario(
        request_metadata,
        {"on_elicitation": decline, "on_roots": no_roots, "on_sampling": no_sampling},
    ),
    "sep-2322-client-request-state": Scenario(call_tools_that_need_input, {"on_elicitation": confirm}),
    "http-standard-headers": Scenario(use_everything_named),
    "http-custom-headers": Scenario(replay_calls),
    "http-invalid-tool-headers": Scenario(call_all_tools),
    "json-schema-ref-no-deref": Scenario(list_tools),
    "json-schema-2020-12-preservation": Scenario(echo_schema),
    "elicitation-sep1034-client-defaults": Scenario(call_tool_that_asks, {"on_elicitation": fill_in_nothing}),
    "sse-retry": Scenario(call_reconnecting_tool),
}


async def play(runtime: str, scenario: Scenario, url: str) -> None:
    settings = dict(scenario.settings)
    if scenario.oauth is not None:
        config = OAuthConfig(memory_adapter(), single_user=True, **scenario.oauth(given_context()))
        settings |= {"oauth": config}
    async with make_client(runtime, url=url, **settings) as client:
        await scenario.play(client)


def main() -> None:
    name = os.environ["MCP_CONFORMANCE_SCENARIO"]
    scenario = scenario_of(name)
    if scenario is None:
        sys.exit(f"this client does not know the scenario {name!r}")
    runtime = os.environ.get("ROUTERMCP_RUNTIME", "asyncio")
    run(runtime, play, runtime, scenario, sys.argv[-1])


if __name__ == "__main__":
    main()
