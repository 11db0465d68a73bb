"""The last address of a browser on another machine, pasted on the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from routermcp.oauth import OAuthConfig, loopback_receiver, memory_adapter, paste_receiver
from routermcp.oauth.paste import MAX_LINE_BYTES, MAX_WRONG_LINES, WrongLineError, answer_in
from routermcp.types import OAuthError
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.programs import free_port
from tests.three_runtimes import RUNTIMES, make_client, run

BACK = "http://127.0.0.1:28418/callback"
PAGE = f"https://auth.example/authorize?state=right&redirect_uri={BACK}"


class Keyboard:
    """Stands for standard input."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.stdin = os.fdopen(self._reader)
        self._open = True

    def type(self, text: str) -> None:
        os.write(self._writer, text.encode())

    def end(self) -> None:
        if self._open:
            self._open = False
            os.close(self._writer)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyboard]:
    keyboard = Keyboard()
    monkeypatch.setattr("sys.stdin", keyboard.stdin)
    yield keyboard
    keyboard.end()
    keyboard.stdin.close()


@pytest.mark.parametrize(
    "line",
    [
        f"{BACK}?code=x&state=right",
        f"  '{BACK}?code=x&state=right#'  ",
        "http://localhost:1/elsewhere?code=x&state=right",
        "?code=x&state=right",
        "code=x&state=right",
        "x",
        "x#right",
    ],
)
def test_what_a_user_may_paste(line: str) -> None:
    assert answer_in(line, PAGE) == f"{BACK}?code=x&state=right"


@pytest.mark.parametrize("line", ["4/0Ab+c=", "a.b_c-d~e"])
def test_codes_are_taken_as_they_are(line: str) -> None:
    (encoded,) = answer_in(line, PAGE).split("?code=")[1].split("&state=right")[:1]
    assert encoded == line.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{BACK}?code=x&state=wrong", "another sign-in"),
        (f"{BACK}?code=x", "another sign-in"),
        (f"{BACK}?code=x&state=right&state=wrong", "another sign-in"),
        (f"{BACK}?error=access_denied&state=wrong", "another sign-in"),
        ("x#wrong", "another sign-in"),
        (BACK, "neither"),
        ("what now", "neither"),
        ("#right", "neither"),
        ("x\x1b[2J", "neither"),
    ],
)
def test_what_is_no_answer(line: str, problem: str) -> None:
    with pytest.raises(WrongLineError, match=problem):
        answer_in(line, PAGE)


def test_the_user_is_told_what_to_do_and_may_try_again(keyboard: Keyboard) -> None:
    shown: list[str] = []
    keyboard.type(f"\n{BACK}?code=x&state=wrong\n{BACK}?code=x&sta")
    keyboard.type("te=right")
    keyboard.end()  # without a line break
    assert paste_receiver(show=shown.append)(PAGE) == f"{BACK}?code=x&state=right"
    assert PAGE in shown[0]
    assert "paste it here" in shown[1]
    assert "another sign-in" in shown[2]


def test_a_refusal_is_said_at_once(keyboard: Keyboard) -> None:
    keyboard.type(f"{BACK}?error=access_denied&error_description=not+today\n")
    with pytest.raises(OAuthError, match=r"access_denied \(not today\)"):
        paste_receiver(show=lambda _: None)(PAGE)


def test_a_terminal_that_is_not_there(keyboard: Keyboard, monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard.end()
    with pytest.raises(OAuthError, match="nothing was pasted"):
        paste_receiver(show=lambda _: None)(PAGE)
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(OAuthError, match="nothing was pasted"):
        paste_receiver(show=lambda _: None)(PAGE)


def test_a_user_who_pastes_nothing(keyboard: Keyboard) -> None:
    with pytest.raises(OAuthError, match="in time"):
        paste_receiver(show=lambda _: None, seconds=0.01)(PAGE)


@pytest.mark.parametrize("text", ["noise and more\n" * (MAX_WRONG_LINES + 1), "x" * MAX_LINE_BYTES])
def test_a_program_that_writes_there_is_not_read_without_end(keyboard: Keyboard, text: str) -> None:
    shown: list[str] = []
    keyboard.type(text)
    with pytest.raises(OAuthError, match="nothing was pasted"):
        paste_receiver(show=shown.append)(PAGE)
    assert len(shown) <= 2 + MAX_WRONG_LINES + 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_client_signs_in_by_it(runtime: str, keyboard: Keyboard) -> None:
    with ProtectedServer() as server:

        def show(line: str) -> None:
            page = next((each.strip() for each in line.splitlines() if "/oauth/authorize?" in each), None)
            if page is not None:
                keyboard.type(f"{callback(server, 'alice', page)}\n")

        oauth = OAuthConfig(memory_adapter(), authorize=paste_receiver(show=show), single_user=True)

        async def body() -> None:
            async with make_client(runtime, url=server.url, oauth=oauth) as client:
                await client.list_tools()

        run(runtime, body)
        assert server.sign_ins["alice"] == 1


def test_a_code_alone_does_not_stand_for_the_server_that_has_to_say_its_name(keyboard: Keyboard) -> None:
    """The sender of the answer cannot be told from a code (RFC 9207)."""
    with ProtectedServer() as server:
        metadata = server._metadata()
        server._metadata = lambda: {**metadata, "authorization_response_iss_parameter_supported": True}
        oauth = OAuthConfig(memory_adapter(), authorize=paste_receiver(show=lambda _: None), single_user=True)
        keyboard.type("code-1\n")

        async def body() -> None:
            client = make_client("blocking", url=server.url, oauth=oauth)
            with pytest.raises(OAuthError, match="paste the whole address"):
                await client.connect()
            await client.disconnect()

        run("blocking", body)
        assert server.sign_ins["alice"] == 0


def test_a_receiver_that_listens_may_read_as_well(keyboard: Keyboard) -> None:
    shown: list[str] = []
    receiver = loopback_receiver(free_port(), open_browser=False, paste=True, show=shown.append)
    keyboard.type("what now?\nx\n")
    page = f"https://auth.example/authorize?state=right&redirect_uri={receiver.redirect_uri}"
    assert receiver(page) == f"{receiver.redirect_uri}?code=x&state=right"
    assert "paste it here" in shown[1]


def test_a_receiver_whose_terminal_ends_listens_on(keyboard: Keyboard) -> None:
    keyboard.end()
    receiver = loopback_receiver(
        free_port(), open_browser=False, paste=True, show=lambda _: None, seconds=0.05
    )
    with pytest.raises(OAuthError, match="nobody came back"):
        receiver(f"https://auth.example/authorize?state=right&redirect_uri={receiver.redirect_uri}")
