"""Servers of HTTP+SSE (2024-11-05) are found in the specification's way and used like any other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from routermcp.types import ConfigError, MCPError, TransportError
from tests.lifecycles import pause
from tests.routermcp.legacy_server import PATIENCE, legacy_server
from tests.three_runtimes import gather, make_client, run

#: The requests that find such a server: server/discover and initialize are refused.
FINDING = ["POST /sse", "POST /sse", "GET /sse"]

#: A session: initialize, notifications/initialized.
OPENING = ["POST /messages", "POST /messages"]

TOKEN = "a-token-that-nobody-must-see"


def test_it_is_found_and_used(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, on_roots=lambda: ["file:///work"]) as client:
                assert (await client.connect()).protocolVersion == "2024-11-05"
                assert (await client.call_tool("echo", {"a": 1})).text == '{"a": 1}'
                assert "file:///work" in (await client.call_tool("ask")).text

        run(runtime, body)
    assert server.requests()[:5] == FINDING + OPENING
    assert [message.get("method") for message in server.messages] == [
        "initialize",
        "notifications/initialized",
        "tools/call",
        "tools/call",
        None,
    ]


def test_calls_at_once_get_their_own_answers(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:

                async def call(number: int) -> str:
                    return (await client.call_tool("echo", {"n": number})).text

                answers = await gather(runtime, [lambda n=n: call(n) for n in range(12)])
                assert answers == [f'{{"n": {n}}}' for n in range(12)]

        run(runtime, body)


def test_nobody_is_asked_where_the_user_says_it() -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client("asyncio", url=server.url, sse=True) as client:
                await client.call_tool("echo")

        run("asyncio", body)
    assert server.requests()[:3] == ["GET /sse", *OPENING]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 406])
def test_a_refusal_leads_to_the_event_stream(status: int) -> None:
    with legacy_server(answers={"POST /sse": status}) as server:

        async def body() -> None:
            async with make_client("asyncio", url=server.url) as client:
                await client.call_tool("echo")

        run("asyncio", body)


@pytest.mark.parametrize("status", [401, 407, 500])
def test_a_refusal_that_is_not_about_the_transport_does_not(status: int) -> None:
    with legacy_server(answers={"POST /sse": status}) as server:

        async def body() -> None:
            with pytest.raises(TransportError, match=str(status)):
                await make_client("asyncio", url=server.url, retry=None).connect()

        run("asyncio", body)
    assert "GET /sse" not in server.requests()


@pytest.mark.parametrize(
    "changes",
    [
        {"answers": {"GET /sse": 404}},
        {"first_event": "event: message\ndata: {}\n\n"},
        {"first_event": "data: /messages\n\n"},
        {"answers": {"GET /sse": {"Location": "http://127.0.0.1:1/sse"}}},
    ],
    ids=["refused", "a message first", "no event of that name", "elsewhere"],
)
def test_a_server_that_has_neither_is_told_of_in_the_words_of_today(
    changes: dict[str, Any], runtime: str
) -> None:
    with legacy_server(**changes) as server:

        async def body() -> None:
            client = make_client(runtime, url=server.url)
            with pytest.raises(TransportError) as caught:
                await client.connect()
            assert caught.value.status_code == 405
            assert isinstance(caught.value.__cause__, TransportError)
            assert client.stats().open == 0

        run(runtime, body)
    assert server.requests().count("GET /sse") == 1


def test_a_demand_to_sign_in_at_the_stream_is_reported() -> None:
    with legacy_server(answers={"GET /sse": 401}) as server:

        async def body() -> None:
            with pytest.raises(TransportError) as caught:
                await make_client("asyncio", url=server.url).connect()
            assert caught.value.status_code == 401

        run("asyncio", body)


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://127.0.0.2:{port}/messages?session_id={id}", "another origin"),
        ("https://127.0.0.1:{port}/messages?session_id={id}", "another origin"),
        ("//evil.example/messages", "another origin"),
        ("http://[", "no valid URL"),
    ],
)
def test_messages_go_to_the_same_origin_only(endpoint: str, said: str) -> None:
    with legacy_server(endpoint=endpoint) as server:

        async def body() -> None:
            with pytest.raises(TransportError, match=said) as caught:
                await make_client("asyncio", url=server.url, sse=True).connect()
            assert "session_id" not in str(caught.value)

        run("asyncio", body)
    assert server.messages == []


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:{port}/messages?session_id={id}", "messages?session_id={id}"]
)
def test_the_endpoint_may_be_a_whole_url_or_a_relative_one(endpoint: str) -> None:
    with legacy_server(endpoint=endpoint) as server:

        async def body() -> None:
            async with make_client("asyncio", url=server.url) as client:
                await client.call_tool("echo")

        run("asyncio", body)


def test_what_was_found_is_remembered_for_other_sessions(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                user = client.create_session(user_id="ada")
                await user.connect()
                assert (await user.call_tool("echo", {"of": "ada"})).text == '{"of": "ada"}'
                await user.disconnect()
                await client.call_tool("echo")

        run(runtime, body)
    assert server.requests()[:8] == [*FINDING, *OPENING, "GET /sse", *OPENING]


def test_a_server_that_was_upgraded_is_found_out() -> None:
    """What is remembered is no longer true: GET is refused, and POST is answered."""
    with legacy_server() as server:

        async def body() -> None:
            async with make_client("asyncio", url=server.url) as client:
                server.answers["GET /sse"] = 405
                server.modern = True
                user = client.create_session(user_id="ada")
                await user.connect()
                assert (await user.call_tool("echo", {"a": 2})).text == '{"a": 2}'
                await user.disconnect()

        run("asyncio", body)


def test_headers_and_keys_go_to_stream_and_messages(runtime: str) -> None:
    with legacy_server(required_token=TOKEN) as server:

        async def body() -> None:
            client = make_client(runtime, url=server.url, api_key=lambda: TOKEN, headers={"X-Own": "1"})
            async with client:
                await client.call_tool("echo", headers={"X-Call": "2"})

        run(runtime, body)
    assert {headers["x-own"] for _, _, headers in server.seen} == {"1"}
    assert [headers.get("x-call") for _, _, headers in server.seen][-1] == "2"


def test_no_error_repeats_a_key() -> None:
    with legacy_server(required_token=TOKEN) as server:

        async def body() -> None:
            async with make_client("asyncio", url=server.url, api_key=TOKEN) as client:
                error = {"code": -32000, "message": f"Bearer {TOKEN} is too old"}
                server.on_post = lambda message: server.send(
                    "s1", {"jsonrpc": "2.0", "id": message.get("id"), "error": error}
                )
                with pytest.raises(MCPError, match="is too old") as caught:
                    await client.call_tool("never")
                assert TOKEN not in str(caught.value)

        run("asyncio", body)


@pytest.mark.parametrize("status", [404, 410])
def test_a_forgotten_session_is_opened_again(runtime: str, status: int) -> None:
    renewals: list[str] = []
    with legacy_server(unknown_session=status) as server:

        async def body() -> None:
            client = make_client(
                runtime, url=server.url, on_session_renewed=lambda renewal: renewals.append(renewal.reason)
            )
            async with client:
                server.sessions["other"] = server.sessions.pop("s1")
                assert (await client.call_tool("echo", {"a": 1})).text == '{"a": 1}'

        run(runtime, body)
    assert server.requests().count("GET /sse") == 2
    assert renewals == ["the server has forgotten the session"]


def test_a_call_whose_stream_ends_is_not_repeated_but_a_list_is(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("leave")
                assert caught.value.code == "interrupted"
                assert len(await client.list_tools()) > 1

        run(runtime, body)
    assert server.requests().count("GET /sse") == 2


def test_the_end_of_the_stream_ends_a_call_whose_post_is_not_answered(runtime: str) -> None:
    let_go = threading.Event()

    def hold(message: dict[str, Any]) -> None:
        if message.get("method") == "tools/call":
            server.end("s1")
            let_go.wait(PATIENCE)

    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url, timeout=60_000) as client:
                server.on_post = hold
                with pytest.raises(TransportError) as caught:
                    await client.call_tool("never")
                assert caught.value.code == "interrupted"
            let_go.set()

        run(runtime, body)


def test_the_answer_may_come_before_that_to_its_post(runtime: str) -> None:
    """Some servers answer a POST when they are done with its message; a question comes meanwhile."""
    answered = threading.Event()

    def handle(message: dict[str, Any]) -> None:
        if message.get("id") == "q1":
            answered.set()
        elif message.get("method") == "tools/call":
            server.send("s1", {"jsonrpc": "2.0", "id": "q1", "method": "ping"})
            assert answered.wait(PATIENCE)

    with legacy_server(on_post=handle) as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                server.asking["s1"] = "nobody"
                assert (await client.call_tool("echo", {"a": 1})).text == '{"a": 1}'

        run(runtime, body)


def test_a_post_that_is_never_answered_does_not_cost_the_call() -> None:
    """That of the answer to a question, which the server has got and goes on with."""
    over = threading.Event()

    def handle(message: dict[str, Any]) -> None:
        if message.get("id") == "q1":
            server.take("s1", message)
            over.wait(3 * PATIENCE)
            server.asking["s1"] = "nobody"

    with legacy_server(on_post=handle) as server:

        async def body() -> None:
            async with make_client("blocking", url=server.url, sse=True, on_roots=list) as client:
                assert (await client.call_tool("ask")).text == '{"roots": []}'

        try:
            run("blocking", body)
        finally:
            over.set()


def test_redirects_of_the_stream_and_of_a_message_are_followed() -> None:
    moved = {"GET /sse": {"Location": "/stream"}, "POST /messages": {"Location": "/moved?session_id=s1"}}
    with legacy_server(answers=moved) as server:

        async def body() -> None:
            async with make_client("asyncio", url=server.url) as client:
                await client.call_tool("echo")

        run("asyncio", body)
    assert server.requests()[2:] == [
        "GET /sse",
        "GET /stream",
        "POST /messages",
        *["POST /moved"] * 3,
    ]


def test_a_stream_that_redirects_in_circles_is_an_error() -> None:
    with legacy_server(answers={"GET /sse": {"Location": "/sse"}}) as server:

        async def body() -> None:
            with pytest.raises(TransportError, match="in circles"):
                await make_client("asyncio", url=server.url, sse=True).connect()

        run("asyncio", body)


def test_a_call_ends_at_its_deadline_and_the_next_one_is_right(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                with pytest.raises(TransportError, match="timeout=50"):
                    await client.call_tool("never", timeout=50)
                assert (await client.call_tool("echo", {"a": 1})).text == '{"a": 1}'

        run(runtime, body)
    assert server.requests().count("GET /sse") == 1


def test_a_ping_between_calls_is_answered(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            async with make_client(runtime, url=server.url) as client:
                server.send("s1", {"jsonrpc": "2.0", "id": "p", "method": "ping"})
                while not any(message.get("id") == "p" for message in server.messages):
                    await pause(runtime)
                await client.call_tool("echo")

        run(runtime, body)


# httpx leaves the generator of a request's body behind where the time is over before the body is sent.
@pytest.mark.filterwarnings("ignore:Async generator 'httpx._content.ByteStream:ResourceWarning")
@pytest.mark.parametrize("attend", [False, True])
def test_it_is_used_over_an_http_client_of_the_application(runtime: str, attend: bool) -> None:
    kinds: dict[str, Callable[[], Any]] = {"blocking": httpx.Client}
    http_client = kinds.get(runtime, httpx.AsyncClient)()
    before = threading.active_count()
    with legacy_server(endpoint="/messages?session_id={id}") as server:

        async def body() -> None:
            client = make_client(
                runtime,
                url=server.url,
                http_client=http_client,
                on_roots=lambda: ["file:///work"],
                attend=attend,
            )
            async with client:
                assert "file:///work" in (await client.call_tool("ask")).text
                with pytest.raises(TransportError, match="timeout=50"):
                    await client.call_tool("never", timeout=50)
                assert (await client.call_tool("echo", {"a": 1})).text == '{"a": 1}'
            if runtime == "blocking":
                http_client.close()
            else:
                await http_client.aclose()

        run(runtime, body)
        assert server.requests().count("GET /sse") == 1
    deadline = threading.Event()
    for _ in range(1000):
        if threading.active_count() <= before:
            break
        deadline.wait(0.01)
    assert threading.active_count() <= before


def test_a_server_that_is_not_there_yet_is_tried_again() -> None:
    with legacy_server(answers={"GET /sse": 503}) as server:
        server.on_request = lambda: server.answers.clear() if len(server.seen) > 1 else None

        async def body() -> None:
            async with make_client("asyncio", url=server.url, sse=True) as client:
                await client.call_tool("echo")

        run("asyncio", body)
    assert server.requests().count("GET /sse") == 2


def test_the_stateless_era_has_no_such_transport() -> None:
    with pytest.raises(ConfigError, match="HTTP\\+SSE"):
        make_client("asyncio", url="http://127.0.0.1:1/sse", sse=True, protocol="2026-07-28")


def test_a_client_that_insists_on_the_stateless_era_does_not_look_for_it(runtime: str) -> None:
    with legacy_server() as server:

        async def body() -> None:
            with pytest.raises(TransportError):
                await make_client(runtime, url=server.url, protocol="2026-07-28").connect()

        run(runtime, body)
    assert "GET /sse" not in server.requests()
