"""Reading routermcp.jsonc: what is taken, and what is said of what is not."""

from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routermcp.gateway.config import file as config_file
from routermcp.gateway.config.model import GatewayConfig, HTTPServer, StdioServer
from routermcp.gateway.config.starter import starter
from routermcp.types import ConfigError

#: What to do where a variable is not set.
ADVICE = ": set it, or write ${NAME:-a default}"

STARTER = starter("/the path/of/python")

#: Stands wherever something secret can; it is in no text that anybody is shown.
SECRET = "s3cr3t-value"


def parse(config: object, **environ: str) -> GatewayConfig:
    text = config if isinstance(config, str) else json.dumps(config)
    return config_file.parse(text, source="test.jsonc", environ=environ)


def refused(config: object, **environ: str) -> str:
    """What is said of a configuration that is wrong, without the source's name."""
    with pytest.raises(ConfigError) as caught:
        parse(config, **environ)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    said = str(caught.value)
    assert said.startswith("test.jsonc:")
    return said.removeprefix("test.jsonc:").strip()


def server(**keys: Any) -> dict[str, Any]:
    return {"mcpServers": {"github": keys}}


def stdio(**keys: Any) -> StdioServer:
    found = parse(server(command="run", **keys)).mcpServers["github"]
    assert isinstance(found, StdioServer)
    return found


def http(**keys: Any) -> HTTPServer:
    found = parse(server(url="https://example.com/mcp", **keys)).mcpServers["github"]
    assert isinstance(found, HTTPServer)
    return found


# ---- what is taken ------------------------------------------------------------------------


def test_defaults() -> None:
    config = parse("{}")
    assert (config.httpServer.host, config.httpServer.port) == ("127.0.0.1", 5151)
    assert (config.session.timeout, config.session.max_sessions, config.session.store) == (300, 25, None)
    assert (config.auth.mode, config.auth.apiKeys) == ("none", ())
    assert (config.project, config.rateLimit, config.mcpServers) == ("default", None, {})


def test_everything_that_can_be_set(caplog: pytest.LogCaptureFixture) -> None:
    text = """
    { // a comment
      "$schema": "https://example.com/schema.json",
      "// note": "another way to comment",
      "httpServer": {"port": 0, "host": "0.0.0.0"}, /* and
      another */
      "session": {"timeout": 2.5, "max_sessions": 3, "store": "redis://:s3cr3t-value@localhost/0"},
      "auth": {"mode": "api_key", "apiKeys": ["rmc_1", {"key": "rmc_2", "user": true}]},
      "project": "my-project",
      "rateLimit": {"requests": 10, "seconds": 60},
      "mcpServers": {
        "local-1": {
          "command": "npx", "args": ["-y", "x"], "env": {"A": "b", "//": 1}, "cwd": "/srv", "timeout": 0,
        },
        "remote_2": {
          "url": "http://127.0.0.1:8000/mcp",
          "headers": {"X-Team": "a"}, "authType": "bearer", "authBearer": "token", "timeout": 1000,
        },
      },
    }
    """
    config = parse(text)
    assert caplog.messages == []
    assert (config.httpServer.port, config.httpServer.host) == (0, "0.0.0.0")
    assert (config.session.timeout, config.session.max_sessions) == (2.5, 3)
    assert config.session.store is not None
    assert config.session.store.get_secret_value() == f"redis://:{SECRET}@localhost/0"
    assert [(each.key.get_secret_value(), each.user) for each in config.auth.apiKeys] == [
        ("rmc_1", False),
        ("rmc_2", True),
    ]
    assert config.project == "my-project"
    assert config.rateLimit is not None
    assert (config.rateLimit.requests, config.rateLimit.seconds) == (10, 60)
    local, remote = config.mcpServers["local-1"], config.mcpServers["remote_2"]
    assert isinstance(local, StdioServer)
    assert (local.command, local.args, local.cwd, local.timeout) == ("npx", ("-y", "x"), "/srv", 0)
    assert local.environment() == {"A": "b"}
    assert isinstance(remote, HTTPServer)
    assert (remote.url, remote.timeout) == ("http://127.0.0.1:8000/mcp", 1000)
    assert remote.request_headers() == {"X-Team": "a", "Authorization": "Bearer token"}


def test_a_file_of_claude_is_read() -> None:
    config = parse(
        """{"mcpServers": {
            "a": {"type": "stdio", "command": "x", "disabled": true},
            "b": {"type": "http", "url": "https://example.com", "disabled": false}
        }}"""
    )
    assert list(config.mcpServers) == ["a", "b"]
    assert list(config.enabled_servers) == ["b"]


@pytest.mark.parametrize("key", ["type", "transport"])
@pytest.mark.parametrize("name", ["http", "http-streamable", "streamable-http", "streamable_http"])
def test_names_of_transports(key: str, name: str) -> None:
    assert http(**{key: name}).transport == "http-streamable"
    assert stdio(**{key: "stdio"}).transport == "stdio"


def test_keys_are_asked_for_where_they_are_given() -> None:
    assert parse({"auth": {"apiKeys": ["k"]}}).auth.mode == "api_key"
    assert parse({"auth": {"mode": "none", "apiKeys": ["k"]}}).auth.mode == "none"


def test_a_token_is_sent_unless_the_file_says_otherwise() -> None:
    assert http(authBearer="t").request_headers() == {"Authorization": "Bearer t"}
    assert http(authBearer="t", authType="none").request_headers() == {}
    assert http(authType="none", headers={"authorization": "Basic x"}).request_headers() == {
        "authorization": "Basic x"
    }


@pytest.mark.parametrize("area", ["Tools", "Resources", "Prompts"])
def test_the_lists_become_filters(area: str) -> None:
    found = stdio(
        **{
            f"allowed{area}": ["one", "two"],
            f"deny{area}": ["two"],
            f"allowed{area}Glob": ["get_*"],
            f"deny{area}Glob": ["get_x*"],
        }
    )
    names = ("one", "two", "get_a", "get_x1", "other")
    chosen = getattr(found, area.lower())
    assert [chosen.allows(name) for name in names] == [True, False, True, False, False]
    for other in {"tools", "resources", "prompts"} - {area.lower()}:
        assert getattr(found, other).allows("other")


def test_nothing_changes_afterwards() -> None:
    config = parse(server(command="x"))
    with pytest.raises(ValueError, match="frozen"):
        config.project = "other"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="frozen"):
        config.mcpServers["github"].enabled = False  # pyright: ignore[reportAttributeAccessIssue]


def test_the_starter_is_read_without_any_variable(caplog: pytest.LogCaptureFixture) -> None:
    config = parse(STARTER)
    assert caplog.messages == []
    assert list(config.enabled_servers) == ["demo"]
    found = config.enabled_servers["demo"]
    assert isinstance(found, StdioServer)
    assert found.command == "/the path/of/python"
    github = config.mcpServers["github"]
    assert isinstance(github, HTTPServer)
    assert github.tools.allows("get_issue")
    assert not github.tools.allows("delete_file")


def test_the_starter_works_when_its_server_is_enabled() -> None:
    text = STARTER.replace('"enabled": false', '"enabled": true')
    assert refused(text) == (
        "mcpServers.github.authBearer: the environment variable GITHUB_TOKEN is not set" + ADVICE
    )
    found = parse(text, GITHUB_TOKEN="t").enabled_servers["github"]
    assert isinstance(found, HTTPServer)
    assert found.request_headers() == {"Authorization": "Bearer t"}


def test_the_comments_of_the_starter_hold_settings_that_work() -> None:
    text = STARTER
    for key in ("auth", "rateLimit", "env", "cwd", "timeout"):
        assert f'// "{key}"' in text
        text = text.replace(f'// "{key}"', f'"{key}"')
    config = parse(text, ROUTERMCP_API_KEY="k")
    assert (config.auth.mode, config.rateLimit is None) == ("api_key", False)


# ---- secrets ------------------------------------------------------------------------------


def test_no_secret_shows_in_a_repr() -> None:
    config = parse(
        {
            "session": {"store": f"redis://:{SECRET}@localhost"},
            "auth": {"apiKeys": [SECRET, {"key": SECRET + "2"}]},
            "mcpServers": {
                "a": {"command": "x", "env": {"A": SECRET}, "args": ["--token", SECRET]},
                "b": {"url": f"https://e.com/?key={SECRET}", "headers": {"X": SECRET}},
                "c": {"url": "https://e.com/", "authBearer": SECRET},
            },
        }
    )
    assert SECRET not in repr(config)
    assert SECRET not in str(config)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (server(command="x", env={"A": [SECRET]}), "mcpServers.github.env.A: expected a string"),
        (server(command=[SECRET]), "mcpServers.github.command: expected a string"),
        (server(command="x", env={"A=B": SECRET}), 'mcpServers.github.env["A=B"]: expected the name of a va'),
        (server(url="https://e.com", headers={"X": SECRET + "\n"}), "mcpServers.github.headers.X: the value"),
        (server(url="https://e.com", authBearer=SECRET + " "), "mcpServers.github.authBearer: expected a te"),
        (server(url="ftp://e.com/" + SECRET), "mcpServers.github.url: expected an http:// or https:// URL"),
        (server(url="https://e.com", authType=SECRET), "mcpServers.github.authType: expected 'none', 'bea"),
        (server(url="https://e.com", type=SECRET), "mcpServers.github.type: expected 'stdio', 'http', "),
        (server(command="x", enabled=SECRET), "mcpServers.github.enabled: expected true or false"),
        ({"auth": {"apiKeys": [SECRET + "ä"]}}, "auth.apiKeys[0].key: expected a text of visible ASCII"),
        ({"auth": {"apiKeys": [SECRET, SECRET]}}, "auth.apiKeys[1]: the same key as apiKeys[0]"),
        ({"auth": {"apiKeys": [{"key": SECRET, "user": SECRET}]}}, "auth.apiKeys[0].user: expected true"),
        ({"session": {"store": "mysql://" + SECRET}}, "session.store: expected a URL such as redis://"),
        ({"project": SECRET + "!"}, "project: expected a slug"),
        ({"httpServer": {"port": SECRET}}, "httpServer.port: expected a whole number"),
        ({"httpServer": {"host": SECRET + " "}}, "httpServer.host: expected the name or address"),
        (server(command="x", args=["\0" + SECRET]), "mcpServers.github.args[0]: expected text, without NUL"),
        (server(command="x", args=["${" + SECRET]), "mcpServers.github.args[0]: after '${' expected"),
        (server(command="x", args=["${" + SECRET + "}"]), "mcpServers.github.args[0]: after '${' expected"),
    ],
)
def test_no_secret_shows_in_an_error(config: object, said: str) -> None:
    assert refused(config).startswith(said)


@pytest.mark.parametrize("cut", range(1, 60))
def test_no_secret_shows_in_an_error_of_syntax(cut: int) -> None:
    text = json.dumps(server(command="x", env={"A": SECRET}))
    assert len(text) > 60
    assert "not JSON" in refused(text[:cut] + "\n" + SECRET) or cut < 2


def test_no_secret_shows_in_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    parse({"auth": {"apiKeys": ["k"], "keyz": SECRET}, **server(command="x", authBearer=SECRET, tokn=SECRET)})
    assert len(caplog.messages) == 3
    assert SECRET not in caplog.text


# ---- what is refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "1:1: the text ends too early"),
        ("{", "1:2: the text ends too early"),
        ('{\n  "a": 1,\n  }}', "3:4: not JSON: this } was not expected"),
        ('{\n  "a" 1}', "2:7: not JSON: this was not expected"),
        ('{"a": "x\n"}', "1:9: not JSON: this was not expected"),
        ("[]", "expected an object"),
        ("null", "expected an object"),
        ('"text"', "expected an object"),
        ('{"a": ' + "9" * 5000 + "}", "1:5008: the text ends too early, or a number in it is too long"),
        ("[" * 10_000, "objects and lists stand in each other too deeply"),
    ],
)
def test_errors_of_syntax_say_where(text: str, said: str) -> None:
    assert refused(text).startswith(said)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"mcpServers": []}, "mcpServers: expected an object"),
        ({"mcpServers": {"github": []}}, "mcpServers.github: expected an object"),
        ({"session": None}, "session: expected an object"),
        ({"auth": {"apiKeys": "k"}}, "auth.apiKeys: expected a list"),
        ({"auth": {"apiKeys": [1]}}, "auth.apiKeys[0]: expected an object"),
        ({"auth": {"apiKeys": [""]}}, "auth.apiKeys[0].key: expected a text"),
        ({"auth": {"apiKeys": [{}]}}, "auth.apiKeys[0].key: is missing"),
        ({"auth": {"mode": "api_key"}}, "auth.apiKeys: expected at least one key"),
        ({"auth": {"apiKeys": []}}, "auth.apiKeys: expected at least one key"),
        ({"auth": {"mode": "oauth"}}, "auth.mode: expected 'none', 'api_key' or 'jwt'"),
        ({"httpServer": {"port": 65536}}, "httpServer.port: expected less than or equal to 65535"),
        (
            {"httpServer": {"maxConnectionsPerAddress": 0}},
            "httpServer.maxConnectionsPerAddress: expected greater",
        ),
        ({"httpServer": {"port": True}}, "httpServer.port: expected a number, not true or false"),
        ({"httpServer": {"port": 1.5}}, "httpServer.port: expected a whole number"),
        ('{"httpServer": {"port": Infinity}}', "httpServer.port: expected a finite number"),
        ({"session": {"timeout": 0}}, "session.timeout: expected greater than 0"),
        ('{"session": {"timeout": NaN}}', "session.timeout: expected "),
        ({"session": {"max_sessions": 0}}, "session.max_sessions: expected greater than or equal to 1"),
        ({"rateLimit": {"requests": 1}}, "rateLimit.seconds: is missing"),
        ({"rateLimit": {"requests": 0, "seconds": 1}}, "rateLimit.requests: expected greater"),
        (server(command=""), "mcpServers.github.command: is empty"),
        (server(command="x", args="-y"), "mcpServers.github.args: expected a list"),
        (server(command="x", args=["-y", 1]), "mcpServers.github.args[1]: expected a string"),
        (server(command="x", timeout=-1), "mcpServers.github.timeout: expected greater"),
        (server(command="x", allowedTools="a"), "mcpServers.github.allowedTools: expected a list"),
        (server(command="x", url="https://e.com"), "mcpServers.github: expected command, for a process, or "),
        (
            server(args=["x"]),
            "mcpServers.github: expected command, for a process, or url, for a server over H",
        ),
        (server(url="https://e.com", type="stdio"), "mcpServers.github.type: 'stdio' needs command"),
        (server(command="x", transport="http"), "mcpServers.github.transport: 'http-streamable' needs url"),
        (server(command="x", type="sse"), "mcpServers.github.type: 'sse' needs url"),
        (
            server(url="https://e.com", type="sse", transport="http"),
            "mcpServers.github.type: contradicts transport",
        ),
        (
            server(command="x", type="stdio", transport="http"),
            "mcpServers.github.type: contradicts transport",
        ),
        (server(command="x", enabled=True, disabled=True), "mcpServers.github.disabled: contradicts enabled"),
        (server(command="x", disabled="perhaps"), "mcpServers.github.disabled: expected true or false"),
        (
            server(url="https://e.com", authType="oauth", headers={"authorization": "x"}),
            "mcpServers.github.headers.authorization: give either this header or authType 'oauth'",
        ),
        ({"oauth": {"store": "somewhere"}}, "oauth.store: expected file:"),
        ({"oauth": {"store": "https://tokens.example"}}, "oauth.apiKey: is missing"),
        ({"oauth": {"redirectUri": "http://app.example/"}}, "oauth.redirectUri: expected https://"),
        ({"oauth": {"redirectUri": "app"}}, "oauth.redirectUri: expected an http:// or https:// URL"),
        (server(url="https://e.com", authType="bearer"), "mcpServers.github.authBearer: is missing"),
        (
            server(url="https://e.com", authType="oauth", shared=True),
            "mcpServers.github.shared: each user has tok",
        ),
        (server(url="https://e.com", authBearer=""), "mcpServers.github.authBearer: expected a text"),
        (server(url="https://u:p@e.com"), "mcpServers.github.url: expected an http"),
        (server(url="https://e.com", headers={"a b": ""}), 'mcpServers.github.headers["a b"]: '),
        (
            server(url="https://e.com", headers={"Host": "x"}),
            "mcpServers.github.headers.Host: the header 'Host'",
        ),
        (
            server(url="https://e.com", headers={"X": "1", "x": "2"}),
            "mcpServers.github.headers.x: this header",
        ),
        (
            server(url="https://e.com", headers={"authorization": "x"}, authBearer="t"),
            "mcpServers.github.headers.authorization: give either this header or authBearer",
        ),
    ],
)
def test_errors_say_where_and_what_was_expected(config: object, said: str) -> None:
    assert refused(config).startswith(said)


@pytest.mark.parametrize(
    "alias", ["", "a b", "a.b", "a/b", "x" * 51, "ä", "github\n", "routermcp", "RouterMCP"]
)
def test_aliases_that_are_refused(alias: str) -> None:
    path = f"mcpServers.{alias}" if alias in ("routermcp", "RouterMCP", "x" * 51) else "mcpServers["
    assert refused({"mcpServers": {alias: {"command": "x"}}}).startswith(path)


def test_the_longest_alias_is_taken() -> None:
    assert list(parse({"mcpServers": {"x" * 50: {"command": "x"}}}).mcpServers) == ["x" * 50]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"codeMode": True}, "codeMode"),
        (server(command="x", codeMode=False), "mcpServers.github.codeMode"),
        ({"session": {"codeMode": {}}}, "session.codeMode"),
        ({"experimental": [{"codeMode": 1}]}, "experimental[0].codeMode"),
    ],
)
def test_code_mode_is_refused(config: object, path: str, caplog: pytest.LogCaptureFixture) -> None:
    assert refused(config) == f"{path}: codeMode is not supported: take it away"
    assert "codeMode" not in caplog.text


def test_names_that_people_make_up_may_be_code_mode() -> None:
    parse({"mcpServers": {"codeMode": {"command": "x", "env": {"codeMode": "1"}}}})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"mcpServers": {}, "mcpServers": {}}', "mcpServers"),
        ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "mcpServers.a"),
        ('{"mcpServers": {"a": {"command": "x", "command": "y"}}}', "mcpServers.a.command"),
        ('{"auth": {"apiKeys": [{"key": "k", "key": "k"}]}}', "auth.apiKeys[0].key"),
    ],
)
def test_keys_that_are_there_twice_are_refused(text: str, path: str) -> None:
    assert refused(text) == f"{path}: this key is there twice: take one away"


def test_comments_may_be_there_twice() -> None:
    assert parse('{"//": 1, "//": 2}') == parse("{}")


def test_several_problems_are_listed_together() -> None:
    config = {
        "project": "?",
        "httpServer": {"port": -1},
        **server(command="x", args=["${A}", 1], env={"B": 2}),
    }
    assert refused(config).splitlines() == [
        "5 problems",
        "  mcpServers.github.args[0]: the environment variable A is not set" + ADVICE,
        "  httpServer.port: expected greater than or equal to 0",
        "  project: expected a slug of 1 to 50 lower-case letters, digits and '-'",
        "  mcpServers.github.args[1]: expected a string",
        "  mcpServers.github.env.B: expected a string",
    ]


def test_the_list_of_problems_is_bounded() -> None:
    lines = refused(server(command="x", args=[1] * 100)).splitlines()
    assert len(lines) == 22
    assert (lines[0], lines[-1]) == ("100 problems", "  and 80 more")


def outcome(config: object) -> None:
    """Parse, and let nothing but what the user is told come out."""
    try:
        parse(config, A=SECRET)
    except ConfigError as error:
        assert SECRET not in str(error)  # noqa: PT017 - that it is raised is not asked for


@given(st.text("{}[]:,\"'/*\\\n -+.0123456789xeaunINtrlf$_\u2028\ufeff", max_size=20))
def test_whatever_the_text_is_the_user_is_told(text: str) -> None:
    outcome(text)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "${A}", "sse", "stdio", "x"])
)
VALUES = st.recursive(
    LEAVES, lambda each: st.lists(each, max_size=2) | st.dictionaries(st.sampled_from("ab"), each, max_size=2)
)
SERVERS = st.dictionaries(
    st.sampled_from([*StdioServer.model_fields, *HTTPServer.model_fields, "type", "disabled"]), VALUES
)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "httpServer": VALUES | st.dictionaries(st.sampled_from(["host", "port"]), VALUES),
        "session": VALUES | st.dictionaries(st.sampled_from(["timeout", "max_sessions", "store"]), VALUES),
        "auth": VALUES
        | st.dictionaries(st.sampled_from(["mode", "apiKeys", "jwt"]), VALUES | st.lists(VALUES)),
        "rateLimit": VALUES | st.dictionaries(st.sampled_from(["requests", "seconds"]), VALUES),
        "project": VALUES,
        "mcpServers": VALUES | st.dictionaries(st.sampled_from(["a", "b", "routermcp"]), VALUES | SERVERS),
        "other": VALUES,
    },
)


@settings(max_examples=settings().max_examples // 2)
@given(CONFIGS | VALUES)
def test_whatever_the_values_are_the_user_is_told(config: object) -> None:
    outcome(config)


# ---- variables ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${env:A}", "1"),
        ("${A}", "1"),
        ("x${A}y${env:B_2}z", "x1y${A}z"),  # what a variable holds is not searched again
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A {A} $ $$", "$A {A} $ $$"),
        ("${EMPTY}", ""),
    ],
)
def test_variables_in_values(text: str, result: str) -> None:
    config = parse(server(command="x", args=[text], env={"${A}": text}), A="1", B_2="${A}", EMPTY="")
    found = config.mcpServers["github"]
    assert isinstance(found, StdioServer)
    assert found.args == (result,)
    assert found.environment() == {"${A}": result}


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${env:}", "${1A}", "${A-x}", "${input:}", "${ A }"])
def test_what_is_no_variable(text: str) -> None:
    assert refused({"project": text}, A="a").startswith("project: after '${' expected 'env:NAME}' or 'NAME}'")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_every_text_can_be_written(text: str) -> None:
    written = text.replace("${", "$${")
    found = parse(server(command="x", args=[written])).mcpServers["github"]
    assert isinstance(found, StdioServer)
    assert found.args == (text,)


def test_halves_of_surrogate_pairs_are_no_text() -> None:
    assert refused('{"mcpServers": {"a": {"command": "\\ud800"}}}').startswith(
        "mcpServers.a.command: expected text, without NUL and without halves of surrogate pairs"
    )


def test_variables_may_hold_numbers_and_booleans() -> None:
    config = parse({"httpServer": {"port": "${P}"}, **server(command="x", disabled="${D}")}, P="80", D="true")
    assert config.httpServer.port == 80
    assert config.enabled_servers == {}


def test_an_empty_variable_is_no_key() -> None:
    assert refused({"auth": {"apiKeys": ["${K}"]}}, K="").startswith("auth.apiKeys[0].key: expected a text")


def test_variables_that_are_not_set() -> None:
    config = {"auth": {"apiKeys": ["${env:K}"]}, **server(url="https://${H}/${P}", headers={"X Y": "${V}"})}
    assert refused(config).splitlines()[:4] == [
        "3 problems",
        "  auth.apiKeys[0]: the environment variable K is not set" + ADVICE,
        "  mcpServers.github.url: the environment variables H, P are not set" + ADVICE,
        '  mcpServers.github.headers["X Y"]: the environment variable V is not set' + ADVICE,
    ]


@pytest.mark.parametrize("switch", [{"enabled": False}, {"disabled": True}, {"enabled": "${OFF}"}])
@pytest.mark.parametrize(
    "keys",
    [
        {"command": "${A}", "args": ["${A}", "b"], "env": {"B": "${A}"}, "cwd": "${A}", "timeout": "${A}"},
        {"url": "${A}", "headers": {"X": "${A}"}, "authType": "${A}", "type": "${A}"},
        {"url": "${A}", "authBearer": "${A}", "authType": "bearer"},
    ],
)
def test_servers_that_are_not_enabled_need_no_variables(switch: dict[str, Any], keys: dict[str, Any]) -> None:
    config = parse(server(**switch, **keys), OFF="false")
    assert list(config.mcpServers) == ["github"]
    assert config.enabled_servers == {}
    assert "the environment variable A is not set" in refused(server(**keys))


def test_servers_that_are_not_enabled_are_checked_otherwise() -> None:
    assert refused(server(command="x", enabled=False, args=1)) == "mcpServers.github.args: expected a list"
    assert refused(server(command="x", enabled="${OFF}")) == (
        "mcpServers.github.enabled: the environment variable OFF is not set" + ADVICE
    )


# ---- unknown keys -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"servers": {}}, 'servers: not a key that the gateway knows; did you mean "mcpServers"?'),
        (
            {"HTTPSERVER": {}},
            'HTTPSERVER: not a key that the gateway knows; did you mean "httpServer"?',
        ),
        ({"q" * 100: 1}, f'["{"q" * 60}"]: not a key that the gateway knows; take it away'),
        ({"q " * 100: 1}, f'["{"q " * 30}"]: not a key that the gateway knows; take it away'),
        ({"qqq": {}}, "qqq: not a key that the gateway knows; take it away"),
        (
            {"httpServer": {"prot": 1}},
            'httpServer.prot: not a key that the gateway knows; did you mean "port"?',
        ),
        ({"log": {"cals": True}}, 'log.cals: not a key that the gateway knows; did you mean "calls"?'),
        (
            {"session": {"maxSessions": 1}},
            'session.maxSessions: not a key that the gateway knows; did you mean "max_sessions"?',
        ),
        (
            {"auth": {"apikeys": []}},
            'auth.apikeys: not a key that the gateway knows; did you mean "apiKeys"?',
        ),
        (
            {"auth": {"apiKeys": [{"key": "k", "users": True}]}},
            'auth.apiKeys[0].users: not a key that the gateway knows; did you mean "user"?',
        ),
        (
            {"rateLimit": {"requests": 1, "seconds": 1, "second": 1}},
            'rateLimit.second: not a key that the gateway knows; did you mean "seconds"?',
        ),
        (
            server(command="x", **{"allowedtoolsglobs\n": []}),
            'mcpServers.github["allowedtoolsglobs\\n"]: not a key that the gateway knows; '
            'did you mean "allowedToolsGlob"?',
        ),
        (server(command="x", headers={}), "mcpServers.github.headers: no effect for a process: take it away"),
        (
            server(url="https://e.com", env={}),
            "mcpServers.github.env: no effect for a server over HTTP: take it away",
        ),
    ],
)
def test_keys_that_nobody_knows_are_told(config: object, said: str, caplog: pytest.LogCaptureFixture) -> None:
    parse(config)
    assert caplog.record_tuples == [("routermcp.gateway", logging.WARNING, f"test.jsonc: {said}")]


def test_warnings_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    parse({f"q{number}": 1 for number in range(100)})
    assert len(caplog.messages) == 21
    assert caplog.messages[-1].endswith("and 80 more unknown keys")


# ---- files --------------------------------------------------------------------------------


def test_a_file_is_read_with_the_variables_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "routermcp.jsonc"
    path.write_text('\ufeff{"project": "${env:ROUTERMCP_TEST_PROJECT}"} // done', encoding="utf-8")
    monkeypatch.setenv("ROUTERMCP_TEST_PROJECT", "mine")
    assert config_file.load(path).project == "mine"
    assert config_file.load(str(path), environ={"ROUTERMCP_TEST_PROJECT": "yours"}).project == "yours"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{\n"a": "\xff"}', ":2: not UTF-8"),
        (b"{ x", ":1:4: the text ends too early"),
        (b" " * (config_file.MAX_FILE_BYTES + 1), ": longer than 262144 bytes"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file.jsonc"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config_file.load(path)
    assert str(caught.value).startswith(f"{path}{said}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="the configuration cannot be read"):
            config_file.load(path)


def test_no_more_is_read_than_a_configuration_may_have() -> None:
    endless = Path("/dev/zero")
    if not endless.exists():
        pytest.skip("there is no endless file here")
    with pytest.raises(ConfigError, match="longer than 262144 bytes"):
        config_file.load(endless)


def test_text_is_bounded_too() -> None:
    assert refused(" " * (config_file.MAX_FILE_BYTES + 1)).startswith("longer than 262144 characters")


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    places = [here / "routermcp.jsonc", here / "routermcp.json", home / ".routermcp" / "routermcp.jsonc"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("{}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    for place in places:
        assert config_file.find() == place
        assert config_file.find(here) == place
        place.unlink()
    assert config_file.find() is None
    places[0].mkdir()  # a folder is no file
    assert config_file.find() is None
