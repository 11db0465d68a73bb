"""Signing in by a code on another device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from routermcp.oauth import OAuthConfig, UserCode, device_code, memory_adapter
from routermcp.oauth.device import show_code
from routermcp.types import AuthorizationRequiredError, OAuthError, TransportError
from tests.oauth.looking import assert_clean, shown_by
from tests.oauth.servers.protected_server import ProtectedServer
from tests.three_runtimes import RUNTIMES, gather, make_client, run

PAGE = "https://auth.example/go"


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


class Screen:
    """Where codes are shown."""

    def __init__(self) -> None:
        self.codes: list[UserCode] = []
        self.oauth = OAuthConfig(memory_adapter(), authorize=device_code(self.codes.append), single_user=True)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_client_signs_in_by_a_code(server: ProtectedServer, runtime: str) -> None:
    screen = Screen()
    server.polled = ["authorization_pending", "authorization_pending"]

    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=screen.oauth) as client:
            await gather(runtime, [client.list_tools, client.list_tools])
            (connection,) = await client.connections()
            assert connection.state.value == "connected"
            server.expire()
            await client.list_tools()

    run(runtime, body)
    (code,) = screen.codes  # one for all that wait
    assert code.user_code.startswith("CODE-")
    assert code.verification_uri == f"{server.origin}/go"
    assert (server.sign_ins["alice"], server.refreshes["alice"]) == (1, 1)


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_the_code_may_be_shown_by_a_coroutine(server: ProtectedServer, runtime: str) -> None:
    shown: list[str] = []

    async def show(code: UserCode) -> None:
        shown.append(code.user_code)

    oauth = OAuthConfig(memory_adapter(), authorize=device_code(show), single_user=True)

    async def body() -> None:
        async with make_client(runtime, url=server.url, oauth=oauth) as client:
            await client.list_tools()

    run(runtime, body)
    assert len(shown) == 1


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant"])
def test_what_ends_a_sign_in_is_said(server: ProtectedServer, error: str) -> None:
    screen = Screen()
    server.polled = ["authorization_pending", error]

    async def body() -> None:
        client = make_client("blocking", url=server.url, oauth=screen.oauth)
        with pytest.raises(OAuthError) as failure:
            await client.connect()
        assert_clean(shown_by(failure.value), "device-", "CODE-")
        assert await client.connections() == []
        await client.disconnect()

    run("blocking", body)
    assert server.sign_ins["alice"] == 0


def test_a_code_of_another_client_gives_no_tokens(
    server: ProtectedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device code that was stolen from, or planted by, another client of the authorization server."""
    screen = Screen()
    planted = server._codes_for_device("client_id=another")
    monkeypatch.setattr(server, "_codes_for_device", lambda _: planted)

    async def body() -> None:
        client = make_client("blocking", url=server.url, oauth=screen.oauth)
        with pytest.raises(OAuthError, match="invalid_grant"):
            await client.connect()
        await client.disconnect()

    run("blocking", body)
    assert server.sign_ins["alice"] == 0
    assert "tokens" not in (screen.oauth.adapter.get("default", f"127.0.0.1:{server.port}/mcp") or {})


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_user_who_never_comes_ends_the_call_but_not_the_client(
    server: ProtectedServer, runtime: str
) -> None:
    screen = Screen()
    server.polled, server.agrees = ["authorization_pending"], False

    async def body() -> None:
        client = make_client(runtime, url=server.url, oauth=screen.oauth, interaction_timeout=300)
        with pytest.raises(TransportError, match="interaction_timeout=300"):
            await client.connect()
        server.agrees = True
        patient = make_client(runtime, url=server.url, oauth=screen.oauth)
        async with patient:
            await patient.list_tools()
        await client.disconnect()

    run(runtime, body)
    assert len(screen.codes) == 2


def test_a_page_cannot_be_given_where_a_code_is_shown(server: ProtectedServer) -> None:
    async def body() -> None:
        client = make_client("blocking", url=server.url, oauth=Screen().oauth)
        with pytest.raises(AuthorizationRequiredError, match="shows a code"):
            await client.authorize()
        await client.disconnect()

    run("blocking", body)


def test_the_code_is_shown_on_standard_error_unless_told_otherwise(
    server: ProtectedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    oauth = OAuthConfig(memory_adapter(), authorize=device_code(), single_user=True)

    async def body() -> None:
        async with make_client("blocking", url=server.url, oauth=oauth) as client:
            await client.list_tools()

    run("blocking", body)
    said = capsys.readouterr().err
    assert f"{server.origin}/go\n\nand enter the code CODE-" in said
    assert "/go?code=CODE-" in said


def test_a_page_whose_name_is_odd_is_warned_of() -> None:
    shown: list[str] = []
    show_code(UserCode("ABCD", "https://\u0430uth.example/go", None, 0.0), shown.append)
    assert "Look twice" in shown[-1]
    shown.clear()
    show_code(UserCode("ABCD", PAGE, None, 0.0), shown.append)
    assert len(shown) == 1
    with pytest.raises(OAuthError, match="no page to sign in at"):
        show_code(UserCode("ABCD", "file:///etc/passwd", None, 0.0), shown.append)
