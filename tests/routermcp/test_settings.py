"""Settings: from arguments and the environment, per call and by callables; and secrets, which stay inside."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import httpx
import pytest

import routermcp._settings as settings_module
from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp._internal import Options, resolve
from routermcp.oauth import OAuthConfig, memory_adapter
from routermcp.transports import HTTPOptions, http, stdio
from routermcp.types import ConfigError, MCPError, PoolLimits, RetryPolicy, RPCError, TransportError
from tests.routermcp.server import HANDSHAKE, Action, Exchange, ScriptedServer, dropped, refused
from tests.three_runtimes import make_client, run

ONCE = RetryPolicy(attempts=1)
PROJECT = "/v1/mcp/my-project/request"


# ---- the environment ---------------------------------------------------------------------


def test_everything_from_the_environment(
    server: ScriptedServer, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTERMCP_URL", server.url)
    monkeypatch.setenv("ROUTERMCP_API_KEY", "key-of-the-environment")
    monkeypatch.setenv("ROUTERMCP_USER_ID", "user-of-the-environment")
    monkeypatch.setenv("ROUTERMCP_TIMEOUT", "150")

    async def body() -> None:
        client = make_client(runtime, send_user_id=True)
        await client.connect(timeout=20_000)
        assert client.user_id == "user-of-the-environment"
        with pytest.raises(TransportError, match=r"timeout=150 ms"):
            await client.call_tool("wait", {"for": "ever"})
        await client.disconnect()

    run(runtime, body)
    headers = server.seen[0].headers
    assert headers["authorization"] == "Bearer key-of-the-environment"
    assert headers["x-routermcp-user-id"] == "user-of-the-environment"


def test_arguments_win_over_the_environment(
    server: ScriptedServer, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTERMCP_URL", "http://127.0.0.1:9/elsewhere")
    monkeypatch.setenv("ROUTERMCP_API_KEY", "other")
    monkeypatch.setenv("ROUTERMCP_USER_ID", "other")
    monkeypatch.setenv("ROUTERMCP_TIMEOUT", "1")
    monkeypatch.setenv("ROUTERMCP_DEBUG", "1")

    async def body() -> None:
        client = make_client(
            runtime, url=server.url, api_key="mine", user_id="me", timeout=30000, debug=False
        )
        async with client:
            assert client.user_id == "me"
            await client.list_tools()

    run(runtime, body)
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer mine"}


def test_environment_is_read_when_a_client_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTERMCP_URL", "http://127.0.0.1:9/first")
    client = SyncRouterMCPClient()
    monkeypatch.setenv("ROUTERMCP_URL", "http://127.0.0.1:9/second")
    assert "/first" in repr(client)
    assert "/second" in repr(SyncRouterMCPClient())


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", str(10**15)])
def test_wrong_timeout_in_the_environment(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTERMCP_TIMEOUT", value)
    with pytest.raises(ConfigError, match="ROUTERMCP_TIMEOUT"):
        SyncRouterMCPClient("http://127.0.0.1:9/mcp")


def test_timeout_zero_is_no_limit(server: ScriptedServer, runtime: str) -> None:
    server.events["now"].set()

    async def body() -> str:
        client = make_client(runtime, url=server.url, timeout=1)
        await client.connect(timeout=0)
        try:
            return (await client.call_tool("wait", {"for": "now"}, timeout=0)).text
        finally:
            await client.disconnect()

    assert run(runtime, body) == "done"


# ---- options that may be given in two places --------------------------------------------------

#: Something else than the default of each option of HTTP; none of it is used.
HTTP_OPTIONS: dict[str, Any] = {
    "url": "http://127.0.0.1:9/mcp",
    "verify": "ca.pem",
    "cert": "client.pem",
    "proxy": "",
    "limits": PoolLimits(),
    "max_message_size": 1_000_000,
    "http_client": object(),
    "sse": True,
    "accept_encoding": "gzip",
}


def test_the_options_of_http_in_one_value(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        transport = http(any_server.url, limits=PoolLimits(max_connections=1))
        async with make_client(runtime, transport=transport, api_key="key", headers={"X-A": "a"}) as client:
            await client.call_tool("echo")

    run(runtime, body)
    assert {seen.headers["authorization"] for seen in any_server.seen} == {"Bearer key"}
    assert any_server.executed["tools/call:echo"] == 1


def test_the_url_of_http_comes_from_the_environment_too(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTERMCP_URL", server.url)
    with SyncRouterMCPClient(transport=http(proxy="")) as client:
        client.ping()


def test_each_option_of_http_reaches_its_place() -> None:
    with pytest.raises(ConfigError, match=r"verify='nowhere\.pem'"):
        SyncRouterMCPClient(transport=http("https://127.0.0.1:9/mcp", verify="nowhere.pem"))
    with pytest.raises(ConfigError, match=r"cert='nowhere\.pem'"):
        SyncRouterMCPClient(transport=http("https://127.0.0.1:9/mcp", cert="nowhere.pem"))
    with pytest.raises(ConfigError, match=r"http_client is an httpx\.Client or httpx2\.Client here"):
        SyncRouterMCPClient(transport=http("http://127.0.0.1:9/mcp", http_client=httpx.AsyncClient()))
    with pytest.raises(ConfigError, match="give the proxy to http_client"), httpx.Client() as brought:
        SyncRouterMCPClient(transport=http("http://127.0.0.1:9/mcp", http_client=brought, proxy=""))


@pytest.mark.parametrize("name", [each.name for each in fields(HTTPOptions)])
def test_an_option_of_http_is_given_once(name: str) -> None:
    given = {name: HTTP_OPTIONS[name]}
    with pytest.raises(ConfigError, match=rf"either {name}= or transport=http\(\.\.\.\)"):
        SyncRouterMCPClient(transport=http("http://127.0.0.1:9/mcp"), **given)
    with pytest.raises(ConfigError, match=rf"either transport= or {name}="):
        SyncRouterMCPClient(transport=stdio(["server"]), **given)


@pytest.mark.parametrize("kind", [RouterMCPClient, SyncRouterMCPClient])
def test_options_that_have_moved_go_on_working(kind: type[RouterMCPClient]) -> None:
    oauth = OAuthConfig(memory_adapter())
    with pytest.warns(DeprecationWarning, match="is deprecated") as caught:
        client = kind("http://127.0.0.1:9/mcp", oauth=oauth, single_user=True, trust_annotations=True)
    assert client._settings.retry.trust_annotations
    assert [str(each.message).partition(":")[2] for each in caught] == [
        " give retry=RetryPolicy(..., trust_annotations=...)",
        " give oauth=OAuthConfig(..., single_user=...)",
    ]
    assert {each.filename for each in caught} == {__file__}


# ---- what travels --------------------------------------------------------------------------


def test_headers_and_meta_of_one_call(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url, headers={"X-A": "always", "X-B": "b"}) as client:
            await client.call_tool("echo", headers={"x-a": "once"}, meta={"example.com/trace": "t-1"})
            await client.call_tool("echo")

    run(runtime, body)
    first, second = any_server.requests("tools/call")
    assert (first.headers["x-a"], first.headers["x-b"]) == ("once", "b")
    assert (second.headers["x-a"], second.headers["x-b"]) == ("always", "b")
    assert first.params["_meta"]["example.com/trace"] == "t-1"
    assert "example.com/trace" not in second.params.get("_meta", {})


#: Every method that takes headers, with what it needs.
CALLS: dict[str, tuple[Any, ...]] = {
    "list_tools": (),
    "list_tools_page": (),
    "call_tool": ("echo",),
    "call_tool_typed": ("get_user", {"id": "1"}, dict),
    "list_resources": (),
    "list_resources_page": (),
    "list_resource_templates": (),
    "list_resource_templates_page": (),
    "read_resource": ("a:b",),
    "list_prompts": (),
    "list_prompts_page": (),
    "get_prompt": ("summarize",),
    "complete": ({"type": "ref/prompt", "name": "summarize"}, {"name": "text", "value": "a"}),
    "ping": (),
}


def test_every_method_takes_headers_and_timeout(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            for name, arguments in CALLS.items():
                any_server.seen.clear()
                await getattr(client, name)(*arguments, headers={"X-Call": name}, timeout=5000)
                assert [seen.headers.get("x-call") for seen in any_server.seen] == [name]

    run(runtime, body)


def test_explicit_authorization_wins(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        headers = {"authorization": "Basic abc"}
        async with make_client(runtime, url=server.url, api_key="key", headers=headers) as client:
            await client.list_tools()
        async with make_client(runtime, url=server.url, api_key=lambda: "key", headers=headers) as client:
            await client.list_tools()
        async with make_client(runtime, url=server.url, api_key="key", headers=lambda: headers) as client:
            await client.list_tools()
        async with make_client(runtime, url=server.url, api_key="key") as client:
            await client.list_tools(headers=headers)

    run(runtime, body)
    assert [seen.headers["authorization"] for seen in server.requests("tools/list")] == ["Basic abc"] * 4


def test_an_empty_variable_is_like_none(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "API_KEY", "USER_ID", "TIMEOUT", "DEBUG"):
        monkeypatch.setenv(f"ROUTERMCP_{name}", "")
    with SyncRouterMCPClient(server.url) as client:
        client.ping()
    assert "authorization" not in server.seen[0].headers


def test_callables_are_asked_for_each_request(any_server: ScriptedServer, runtime: str) -> None:
    keys, numbers = iter(range(100)), iter(range(100))

    async def body() -> None:
        client = make_client(
            runtime,
            url=any_server.url,
            api_key=lambda: f"key-{next(keys)}",
            headers=lambda: {"X-Number": str(next(numbers))},
        )
        async with client:
            await client.list_tools()
            await client.list_tools()

    run(runtime, body)
    first, second = any_server.requests("tools/list")
    assert first.headers["authorization"] != second.headers["authorization"]
    assert first.headers["x-number"] != second.headers["x-number"]
    assert all(seen.headers["authorization"].startswith("Bearer key-") for seen in any_server.seen)


def test_callables_are_asked_for_each_attempt(server: ScriptedServer, runtime: str) -> None:
    keys = iter(range(100))

    async def body() -> None:
        policy = RetryPolicy(backoff=0)
        async with make_client(
            runtime, url=server.url, api_key=lambda: f"key-{next(keys)}", retry=policy
        ) as client:
            server.script("tools/list", refused(503), refused(503))
            await client.list_tools()

    run(runtime, body)
    assert len({seen.headers["authorization"] for seen in server.requests("tools/list")}) == 3


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_coroutine_functions_give_headers_and_key(server: ScriptedServer, runtime: str) -> None:
    async def key() -> str:
        return "async-key"

    async def headers() -> Mapping[str, str]:
        return {"X-A": "async"}

    async def body() -> None:
        async with make_client(runtime, url=server.url, api_key=key, headers=headers) as client:
            await client.list_tools()

    run(runtime, body)
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer async-key"}
    assert {seen.headers["x-a"] for seen in server.seen} == {"async"}


@pytest.mark.parametrize(
    "name",
    ["api_key", "headers", "on_elicitation", "on_sampling", "on_roots", "on_log", "on_notification"],
)
def test_blocking_client_refuses_coroutine_functions(name: str) -> None:
    async def callback(*_: Any) -> Any: ...

    class Callback:
        async def __call__(self, *_: Any) -> Any: ...

    for given in (callback, Callback()):
        with pytest.raises(TypeError, match=f"{name} is a coroutine function"):
            SyncRouterMCPClient("http://127.0.0.1:9/mcp", **{name: given})
        RouterMCPClient("http://127.0.0.1:9/mcp", **{name: given})


def test_blocking_call_refuses_a_coroutine_function(server: ScriptedServer) -> None:
    async def on_progress(_: object) -> None: ...

    with SyncRouterMCPClient(server.url) as client:
        with pytest.raises(TypeError, match="on_progress is a coroutine function"):
            client.call_tool("echo", on_progress=on_progress)
        client.call_tool("echo")
    assert server.executed["tools/call:echo"] == 1


#: What a callable may give that is of no use, and what the error says.
USELESS: dict[str, tuple[dict[str, Any], str]] = {
    "key with LF": ({"api_key": lambda: "sesame\n"}, "Authorization"),
    "header with CR": ({"headers": lambda: {"X-A": "sesame\r"}}, "X-A"),
    "own header": ({"headers": lambda: {"Content-Length": "5"}}, "set by the client itself"),
}


@pytest.mark.parametrize("name", USELESS)
def test_callables_that_give_nonsense(server: ScriptedServer, runtime: str, name: str) -> None:
    settings, words = USELESS[name]

    async def body() -> None:
        client = make_client(runtime, url=server.url, **settings)
        with pytest.raises(MCPError, match=words) as caught:
            await client.connect()
        assert "sesame" not in str(caught.value)

    run(runtime, body)
    assert server.seen == []


def test_errors_of_callables_reach_the_caller(server: ScriptedServer, runtime: str) -> None:
    def no_key() -> str:
        raise KeyError("vault")

    async def body() -> None:
        client = make_client(runtime, url=server.url, api_key=no_key)
        with pytest.raises(KeyError, match="vault"):
            await client.connect()

    run(runtime, body)
    assert server.seen == []


def test_client_info_is_told_to_the_server(any_server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        info = {"name": "my-app", "version": "7"}
        async with make_client(runtime, url=any_server.url, client_info=info):
            pass

    run(runtime, body)
    if any_server.era == HANDSHAKE:
        (initialize,) = any_server.requests("initialize")
        assert initialize.params["clientInfo"] == {"name": "my-app", "version": "7"}
    else:
        meta = any_server.seen[0].params["_meta"]
        assert meta["io.modelcontextprotocol/clientInfo"] == {"name": "my-app", "version": "7"}


def test_a_revision_to_insist_on_skips_the_probe(sessions_server: ScriptedServer, runtime: str) -> None:
    async def body() -> str:
        async with make_client(runtime, url=sessions_server.url, protocol="2025-11-25") as client:
            assert client.server is not None
            return client.server.protocolVersion

    assert run(runtime, body) == "2025-11-25"
    assert sessions_server.methods()[0] == "initialize"


# ---- project URLs and the user id --------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/mcp/my-project", "/v1/mcp/my-project/", "/v1/mcp/my-project/request"])
def test_project_url(runtime: str, path: str) -> None:
    with ScriptedServer(path=PROJECT) as server:

        async def body() -> None:
            url = f"http://127.0.0.1:{server.port}{path}"
            async with make_client(runtime, url=url, user_id="ada") as client:
                await client.list_tools()

        run(runtime, body)
        assert {(seen.target, seen.headers["x-routermcp-user-id"]) for seen in server.seen} == {
            (PROJECT, "ada")
        }


def test_query_of_a_project_url_is_kept() -> None:
    with ScriptedServer(path=PROJECT) as server:
        with SyncRouterMCPClient(f"http://127.0.0.1:{server.port}/v1/mcp/my-project?region=eu") as client:
            client.ping()
        assert {seen.target for seen in server.seen} == {f"{PROJECT}?region=eu"}


@pytest.mark.parametrize("path", ["/mcp", "/v1/mcp", "/v1/mcp/a/b", "/v2/mcp/a", "/x/v1/mcp/a"])
def test_other_urls_are_used_as_they_are(path: str) -> None:
    with ScriptedServer(path=path) as server:
        with SyncRouterMCPClient(server.url, user_id="ada") as client:
            client.ping()
        assert {seen.target for seen in server.seen} == {path}
        assert all("x-routermcp-user-id" not in seen.headers for seen in server.seen)


def test_user_id_goes_elsewhere_only_when_wanted(server: ScriptedServer, runtime: str) -> None:
    async def body() -> None:
        async with make_client(runtime, url=server.url, user_id="ada") as client:
            await client.create_session("grace").connect()
        async with make_client(runtime, url=server.url, user_id="ada", send_user_id=True) as client:
            await client.create_session("grace").connect()

    run(runtime, body)
    users = [seen.headers.get("x-routermcp-user-id") for seen in server.seen]
    assert users == [None, None, "ada", "grace"]


# ---- the wire log ---------------------------------------------------------------------------------


API_KEY = "sk-planted-api-key"
SECRETS = (API_KEY, "planted-header-secret", "planted-query-secret", "session-1")


def test_debug_log_shows_the_wire_without_secrets(
    any_server: ScriptedServer, runtime: str, logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        client = make_client(
            runtime,
            url=f"{any_server.url}?key=planted-query-secret",
            api_key=API_KEY,
            headers={"X-Api-Token": "planted-header-secret", "X-Plain": "shown"},
            debug=True,
        )
        async with client:
            await client.call_tool("echo", {"words": "seen on the wire"})

    run(runtime, body)
    text = caplog.text
    assert "tools/call" in text
    assert "seen on the wire" in text
    assert "HTTP 200" in text
    assert "shown" in text
    for secret in SECRETS:
        assert secret not in text
    assert {record.name for record in caplog.records} <= {"routermcp", "routermcp.wire"}


def test_debug_from_the_environment(
    server: ScriptedServer,
    logger: logging.Logger,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("ROUTERMCP_DEBUG", "true")
    with SyncRouterMCPClient(server.url) as client:
        client.ping()
    assert "server/discover" in caplog.text


def test_without_debug_nothing_is_logged(
    any_server: ScriptedServer, runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with make_client(runtime, url=any_server.url) as client:
            await client.call_tool("echo")

    run(runtime, body)
    assert caplog.text == ""


def test_debug_alone_shows_the_wire_on_standard_error(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody has set logging up: pytest's own handlers are out of the way.
    monkeypatch.setattr(logger, "propagate", False)
    settings_module.enable_debug_log()
    settings_module.enable_debug_log()
    logging.getLogger("routermcp.wire").debug("-> POST")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith("routermcp.wire -> POST")


@pytest.mark.parametrize("ask_by", ["argument", "environment"])
def test_debug_shows_the_wire_where_a_library_discards_records(
    ask_by: str,
    any_server: ScriptedServer,
    runtime: str,
    logger: logging.Logger,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(logging.NullHandler())
    if ask_by == "environment":
        monkeypatch.setenv("ROUTERMCP_DEBUG", "1")

    async def body() -> None:
        debug = True if ask_by == "argument" else None
        async with make_client(runtime, url=any_server.url, debug=debug) as client:
            await client.call_tool("echo", {"words": "seen on the wire"})

    run(runtime, body)
    shown = capsys.readouterr().err
    assert "-> POST" in shown
    assert shown.count('{"words":"seen on the wire"}') == 1


def test_debug_shows_the_wire_where_the_parent_of_the_logger_discards_records(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = logging.Logger("parent")
    parent.addHandler(logging.NullHandler())
    monkeypatch.setattr(logger, "parent", parent)
    settings_module.enable_debug_log()
    logging.getLogger("routermcp.wire").debug("-> POST")
    assert capsys.readouterr().err.endswith("routermcp.wire -> POST\n")


def test_debug_leaves_an_application_that_logs_alone(logger: logging.Logger) -> None:
    handlers = list(logger.handlers)
    settings_module.enable_debug_log()
    assert logger.handlers == handlers


# ---- secrets ----------------------------------------------------------------------------------------


def unauthorized(exchange: Exchange) -> None:
    exchange.status(401, "no", WWW_Authenticate='Bearer realm="x"')


def error_object(exchange: Exchange) -> None:
    exchange.error(-32000, "no")


def half(exchange: Exchange) -> None:
    exchange.status(200, "{", "application/json")


#: Ways in which a call fails.
FAILURES: dict[str, Action] = {
    "401": unauthorized,
    "500": refused(500, "no"),
    "503": refused(503),
    "elsewhere": refused(307, Location="http://127.0.0.2/?key=planted-query-secret"),
    "into GET": refused(302, Location="/?key=planted-query-secret"),
    "lost": dropped,
    "error object": error_object,
    "half JSON": half,
}


def everything_in(error: BaseException | None) -> str:
    """Everything that an error could show, causes included, of which none may lead back to it."""
    texts: list[str] = []
    seen: list[BaseException] = []
    while error is not None:
        assert not any(error is earlier for earlier in seen)
        seen.append(error)
        texts += [str(error), repr(error), repr(vars(error)), repr(error.args)]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


@pytest.mark.parametrize("name", FAILURES)
def test_secrets_are_not_in_errors(
    any_server: ScriptedServer, runtime: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> MCPError:
        client = make_client(
            runtime,
            url=f"{any_server.url}?key=planted-query-secret",
            api_key=API_KEY,
            headers={"X-Api-Token": "planted-header-secret"},
            retry=ONCE,
        )
        async with client:
            any_server.script("tools/call", FAILURES[name])
            with pytest.raises(MCPError) as caught:
                await client.call_tool("echo")
            return caught.value

    with caplog.at_level(logging.DEBUG, "routermcp"):
        error = run(runtime, body)
    shown = everything_in(error) + repr(pickle.dumps(error)) + caplog.text
    for secret in SECRETS:
        assert secret not in shown


@pytest.mark.parametrize("runtime", ["asyncio", "blocking"])
def test_secrets_are_not_in_representations(server: ScriptedServer, runtime: str) -> None:
    kind = SyncRouterMCPClient if runtime == "blocking" else RouterMCPClient
    client = kind(
        f"{server.url}?key=planted-query-secret",
        API_KEY,
        "ada",
        headers={"X-Api-Token": "planted-header-secret"},
    )
    session = client.create_session("grace")
    shown = [repr(thing) for thing in (client, session, *vars(client).values(), *vars(session).values())]
    shown += [repr(client._driver._transport._http._binding), repr(client._settings)]
    for secret in SECRETS:
        assert secret not in "\n".join(shown)
    assert repr(client) == f"<{kind.__name__} {server.url} user_id='ada' not connected>"


def test_representation_says_whether_it_is_connected(server: ScriptedServer) -> None:
    with SyncRouterMCPClient(server.url) as client:
        assert repr(client) == f"<SyncRouterMCPClient {server.url} connected>"
    assert repr(client) == f"<SyncRouterMCPClient {server.url} not connected>"


def failed(server: ScriptedServer, action: Action, call: Callable[[SyncRouterMCPClient], Any]) -> MCPError:
    with SyncRouterMCPClient(server.url, retry=ONCE) as client:
        server.script("tools/call", action)
        with pytest.raises(MCPError) as caught:
            call(client)
        return caught.value


def test_errors_survive_pickling_and_copying(server: ScriptedServer) -> None:
    error = failed(server, refused(503, "busy", Retry_After="7"), lambda client: client.call_tool("echo"))
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is TransportError
        assert (twin.code, twin.status_code, twin.retry_after) == ("http_503", 503, 7.0)
        assert (twin.body, str(twin)) == ("busy", str(error))
    error = failed(
        server,
        lambda exchange: exchange.error(-32602, "no", data={"why": 1}),
        lambda client: client.call_tool("echo"),
    )
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(twin, RPCError)
    assert (twin.code, twin.message, twin.data, str(twin)) == (-32602, "no", {"why": 1}, str(error))


def test_an_empty_api_key_is_none_whatever_the_environment_says() -> None:
    options = Options(url="https://a.example/mcp", api_key="")
    settings = resolve(options, {"ROUTERMCP_API_KEY": "planted-secret"})
    assert settings.api_key is None
    assert "Authorization" not in settings.fixed_headers()
