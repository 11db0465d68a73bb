"""What is said of a configuration before it is used, and its JSON Schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from routermcp.gateway.config.check import check
from routermcp.gateway.config.file import read_json5
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.config.schema import config_schema
from routermcp.gateway.config.starter import starter
from tests.gateway.config.test_config import SECRET

RUN: dict[str, Any] = {"command": sys.executable}


def told(folder: Path, config: object, **environ: str) -> list[str]:
    path = folder / "routermcp.jsonc"
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    _, findings = check(path, environ)
    assert {each.source for each in findings} <= {str(path)}
    said = [f"{each.level}: {each}" for each in findings]
    assert SECRET not in str(said)
    return said


def test_nothing_is_said_of_what_is_right(tmp_path: Path) -> None:
    assert told(tmp_path, starter(sys.executable)) == []


def test_access_tokens_that_would_go_on_to_a_server_are_told(tmp_path: Path) -> None:
    jwt = {"issuer": "https://a.example", "audience": "a"}
    servers = {"u": {"url": "https://b.example", "passthroughHeaders": ["X-Tenant", "authorization"]}}
    (said,) = told(tmp_path, {"auth": {"jwt": jwt}, "mcpServers": servers})
    assert said.startswith("warning: mcpServers.u.passthroughHeaders[1]: this server gets the access tokens")
    assert told(tmp_path, {"auth": {"apiKeys": ["k"]}, "mcpServers": servers}) == []


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    config = {
        "httpServr": {},
        "mcpServers": {
            "a b": {**RUN, "timeout": 30},
            "gone": {"command": "no-such-program", "args": [SECRET]},
            "nowhere": {**RUN, "cwd": "none"},
            "off": {"command": "no-such-program", "enabled": False},
            "twice": {"url": "x", "headers": {"K": "${NOT_SET}"}},
            "own": {"command": "./own", "cwd": "."},
        },
    }
    (tmp_path / "own").touch(mode=0o700)
    assert told(tmp_path, config) == [
        'warning: mcpServers["a b"]: the server is called a-b here',
        "warning: mcpServers.a-b.timeout: 30 is taken for seconds; the unit is milliseconds",
        'warning: httpServr: not a key that the gateway knows; did you mean "httpServer"?',
        "error: mcpServers.twice.headers.K: the environment variable NOT_SET is not set: "
        "set it, or write ${NAME:-a default}; the server is left out",
        "error: mcpServers.twice.url: expected an http:// or https:// URL, without a user name and a "
        "fragment; the server is left out",
        "error: mcpServers.gone.command: there is no such program: install it, or give its whole path",
        "error: mcpServers.nowhere.cwd: this is no folder: make it, or name another",
    ]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "error: 1:2: the text ends too early"),
        ("[]", "error: expected an object"),
        ({"project": "A b", "mcpServers": {}}, "error: project: expected a slug"),
        ({"mcpServers": {"bad": {}}}, "error: mcpServers.bad: expected command"),
        ({"mcpServers": {"u": {**RUN, "disabled": True}}}, "warning: mcpServers: no server is enabled"),
    ],
)
def test_what_costs_all_is_said(tmp_path: Path, config: object, said: str) -> None:
    assert told(tmp_path, config)[0].startswith(said)


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    written = config_schema()
    Draft202012Validator.check_schema(written)
    return Draft202012Validator(written)


@pytest.mark.parametrize(
    "config",
    [
        read_json5(starter("python"), ""),
        {"names": "portable", "auth": {"apiKeys": ["k", {"key": "k2", "user": True}]}},
        {"names": {"separator": "-"}, "httpServer": {"port": "${PORT}"}, "codeMode": {"enabled": False}},
        {"mcpServers": {"u": {"type": "stdio", **RUN, "env": {"A": 1, "B": True}, "envFile": ".env"}}},
        {"mcpServers": {"u": {"type": "sse", "url": "https://a.example", "disabled": True, "timeout": 1000}}},
        {"auth": {"jwt": {"issuer": "https://a.example", "audience": ["a"], "jwks": {"keys": []}}}},
        {"//": "a comment", "$schema": "./routermcp.schema.json", "mcpServers": {}},
    ],
)
def test_the_schema_takes_what_the_gateway_takes(schema: Draft202012Validator, config: object) -> None:
    assert list(schema.iter_errors(config)) == []


@pytest.mark.parametrize(
    "config",
    [
        {"mcpServer": {}},
        {"httpServer": {"port": 99999}},
        {"mcpServers": {"u": {}}},
        {"mcpServers": {"u": {**RUN, "timeout": -1}}},
        {"mcpServers": {"u": {**RUN, "comand": "x"}}},
        {"session": {"timeout": "soon"}},
        {"auth": {"jwt": {"issuer": "https://a.example"}}},
        {"auth": {"jwt": {"issuer": "https://a.example", "audience": "a", "algorithms": ["none"]}}},
    ],
)
def test_the_schema_marks_what_is_wrong(schema: Draft202012Validator, config: object) -> None:
    assert not schema.is_valid(config)


def test_the_schema_describes_every_setting(schema: Draft202012Validator) -> None:
    written: Any = schema.schema
    assert set(GatewayConfig.model_fields) <= set(written["properties"])
    assert "milliseconds" in written["$defs"]["StdioServer"]["properties"]["timeout"]["description"].lower()
