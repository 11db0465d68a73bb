"""Messages that are recorded once and played in tests ever after."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routermcp import RetryPolicy, RPCError, SyncRouterMCPClient, TransportError
from routermcp.testing import (
    Ask,
    FakeServer,
    Recording,
    RecordingError,
    ReplayMismatchError,
    Report,
)
from routermcp.testing.three_runtimes import RUNTIMES, gather, make_client, run
from routermcp.transports import stdio
from tests.routermcp.server import ERAS, ScriptedServer, refused

#: Milliseconds after which a call that hangs is given up here.
GUARD_MS = 20_000

KEY = "sk-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "recordings" / "test.jsonl"


def hotels() -> FakeServer:
    server = FakeServer("hotels")

    @server.tool
    def book(hotel: str) -> Iterator[Any]:
        yield Report(1, total=2, message="looking")
        answer = yield Ask(
            "elicitation/create",
            {"message": f"Book {hotel}?", "requestedSchema": {"type": "object", "properties": {}}},
        )
        yield Report(2, total=2, message="asked")
        return f"{hotel}: {answer['action']}"

    @server.tool
    def price(hotel: str) -> dict[str, Any]:
        return {"hotel": hotel, "euros": 100 + len(hotel)}

    return server


def recorded(path: Path, *hotels_asked: str) -> None:
    """Record the price of each hotel."""
    recording = Recording(path, "all")
    with SyncRouterMCPClient(transport=hotels(), recording=recording) as client:
        for hotel in hotels_asked:
            client.call_tool("price", {"hotel": hotel})


def prices(recording: Recording, *hotels_asked: str) -> list[str]:
    """Play the price of each hotel."""
    with SyncRouterMCPClient(recording=recording) as client:
        return [client.call_tool("price", {"hotel": hotel}).text for hotel in hotels_asked]


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_progress_and_questions_are_played_at_their_place(runtime: str, era: str, path: Path) -> None:
    async def book() -> list[str | None]:
        happened: list[str | None] = []

        def answer(request: Any) -> dict[str, Any]:
            happened.append(request.message)
            return {"action": "accept", "content": {}}

        with Recording(path) as recording:
            async with make_client(
                runtime,
                transport=hotels(),
                recording=recording,
                protocol=era,
                on_elicitation=answer,
                timeout=GUARD_MS,
            ) as client:
                result = await client.call_tool(
                    "book", {"hotel": "Ritz"}, on_progress=lambda report: happened.append(report.message)
                )
                happened.append(result.text)
                happened.extend(tool.name for tool in await client.list_tools())
        return [str(recording.plays), *happened]

    first, second = run(runtime, book), run(runtime, book)
    assert first[1:3] == ["looking", "Book Ritz?"]
    assert first[-4:] == ["asked", "Ritz: accept", "book", "price"]
    assert (first[0], second[0]) == ("False", "True")
    assert first[1:] == second[1:]
    header = json.loads(path.read_text().split("\n")[0])
    assert header == {"format": "routermcp-recording", "version": 1, "protocol": era}


@pytest.mark.parametrize("era", ERAS)
def test_a_server_over_http_with_its_sessions(era: str, path: Path) -> None:
    """What it refuses is played as that, retries are left out, and the secrets of requests are hidden."""
    with ScriptedServer(era) as server:
        server.tools["whoami"] = lambda exchange, arguments: {
            "content": [{"type": "text", "text": f"you are {KEY}"}]
        }
        server.script("tools/list", refused(503))
        server.script("tools/call", refused(502, "the proxy is down"))
        server.script("resources/read", lambda exchange: exchange.error(-32602, "no such thing", status=400))

        def visit() -> list[str]:
            url = server.url
            seen: list[str] = []
            retry = RetryPolicy(backoff=1)
            with (
                Recording(path) as recording,
                SyncRouterMCPClient(url, api_key=KEY, recording=recording, retry=retry) as client,
            ):
                seen.append(client.list_tools()[0].name)
                with pytest.raises(TransportError) as caught:
                    client.call_tool("echo", {"text": "1"}, headers={"X-Request": "1"})
                seen += (caught.value.code, str(caught.value.body))
                with pytest.raises(RPCError, match="no such thing") as refusal:
                    client.read_resource("a://b")
                seen.append(str(refusal.value.code))
                with client.create_session(user_id="ada") as session:
                    seen.append(session.call_tool("echo", {"text": "2"}).text)
                assert client.call_tool("whoami").text == (
                    "you are ***" if recording.plays else f"you are {KEY}"
                )
            return seen

        seen = visit()
    assert visit() == seen
    assert KEY not in path.read_text()
    assert "headers" not in path.read_text().lower()


def test_a_server_over_stdio(path: Path) -> None:
    server = stdio([sys.executable, "-m", "routermcp.testing.contract_server"])
    with SyncRouterMCPClient(transport=server, recording=Recording(path)) as client:
        assert client.call_tool("echo", {"text": "Zürich"}).text == "Zürich"
        with pytest.raises(TransportError):
            client.call_tool("end")
    with (
        Recording(path) as recording,
        SyncRouterMCPClient(transport=stdio(["/nowhere"]), recording=recording) as client,
    ):
        assert client.call_tool("echo", {"text": "Zürich"}).text == "Zürich"
        with pytest.raises(TransportError) as caught:
            client.call_tool("end")
    assert caught.value.code == "interrupted"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_calls_at_once_are_matched_by_their_arguments(runtime: str, path: Path) -> None:
    recorded(path, "Ritz", "Savoy", "Ritz")

    async def ask() -> list[Any]:
        with Recording(path, "none", strict=False) as recording:
            async with make_client(runtime, recording=recording, timeout=GUARD_MS) as client:

                async def price(hotel: str) -> Any:
                    return (await client.call_tool("price", {"hotel": hotel})).data["euros"]

                return await gather(
                    runtime, [lambda: price("Savoy"), lambda: price("Ritz"), lambda: price("Ritz")]
                )

    assert run(runtime, ask) == [105, 104, 104]


def test_another_call_than_the_recorded_one_shows_the_difference(path: Path) -> None:
    recorded(path, "Ritz", "Savoy")
    recording = Recording(path)
    with pytest.raises(ReplayMismatchError) as caught:
        prices(recording, "Ritz", "Plaza")
    problem = str(caught.value)
    assert "the next recorded call is tools/call 'price' (line 6)" in problem
    assert '-   "hotel": "Savoy"' in problem
    assert '+   "hotel": "Plaza"' in problem
    with pytest.raises(ReplayMismatchError, match="Plaza"):
        recording.check_all_used()  # also where the application has caught it


@pytest.mark.parametrize(
    ("strict", "problem"),
    [
        (True, "all 1 calls of session 1 were made, and the client made one more: tools/call 'price'"),
        (False, "tools/call 'price' was recorded 1 times, and the client made it once more"),
    ],
)
def test_a_call_too_many_is_said_to_be_that(path: Path, strict: bool, problem: str) -> None:
    recorded(path, "Ritz")
    with pytest.raises(ReplayMismatchError, match=problem):
        prices(Recording(path, strict=strict), "Ritz", "Ritz")


def test_calls_that_were_not_made_are_named_at_the_end(path: Path) -> None:
    recorded(path, "Ritz", "Savoy")
    recording = Recording(path, strict=False)
    with pytest.raises(ReplayMismatchError, match=r"not made now: tools/call 'price' \(line 6\)"), recording:
        assert prices(recording, "Ritz")
    with pytest.raises(ZeroDivisionError), Recording(path):
        raise ZeroDivisionError  # the error of the test tells more


def test_a_question_that_is_answered_in_another_way(path: Path) -> None:
    def book(action: str) -> str:
        with SyncRouterMCPClient(
            transport=hotels(),
            recording=Recording(path),
            protocol="2025-11-25",
            on_elicitation=lambda request: {"action": action, "content": {}} if action == "accept" else None,
        ) as client:
            return client.call_tool("book", {"hotel": "Ritz"}).text

    assert book("accept") == "Ritz: accept"
    with pytest.raises(ReplayMismatchError, match="a question during tools/call 'book' was answered"):
        book("decline")


def test_secrets_by_their_names(path: Path) -> None:
    """In arguments, results and JSON within a text; what is hidden matches whatever is given for it."""
    server = FakeServer()

    @server.tool
    def login(password: str, user: str) -> dict[str, Any]:
        return {"access_token": "t0k3n", "key": "a1b2", "code": "EUR", "user": user}

    def log_in(password: str) -> Any:
        with (
            Recording(path, public=["key"]) as recording,
            SyncRouterMCPClient(transport=server, recording=recording) as client,
        ):
            return client.call_tool("login", {"password": password, "user": "ada"}).structuredContent

    assert log_in("correct horse")["access_token"] == "t0k3n"
    text = path.read_text()
    assert not any(secret in text for secret in ("correct horse", "t0k3n"))
    assert log_in("another") == {"access_token": "***", "key": "a1b2", "code": "EUR", "user": "ada"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "there is no recording .*; record it with mode='new'"),
        ("{}\n", "is no recording of routermcp"),
        ("[" * 100_000, "is no recording of routermcp"),
        ('{"format": "routermcp-recording", "version": 2}\n', "version 2 of the format"),
        (
            '{"format": "routermcp-recording", "version": 1}\n{"session": 1}\n',
            "line 2: no object with session",
        ),
    ],
)
def test_files_that_cannot_be_played(tmp_path: Path, content: str | None, problem: str) -> None:
    path = tmp_path / "test.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordingError, match=problem):
        Recording(path, "none")


def test_a_recording_is_made_anew_where_all_is_asked_for(path: Path) -> None:
    recorded(path, "Ritz", "Savoy")
    recorded(path, "Plaza")
    assert prices(Recording(path), "Plaza") == ['{"hotel":"Plaza","euros":105}']
