"""The page that a user's browser comes back to."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from routermcp import SyncRouterMCPClient
from routermcp.oauth import OAuthConfig, callback_server, loopback_receiver, memory_adapter
from routermcp.oauth import browser as browser_module
from routermcp.oauth.browser import suspicion
from routermcp.oauth.callback_server import MAX_CONNECTIONS
from routermcp.oauth.config import CALLBACK_PORT, DEFAULT_REDIRECT_URI
from routermcp.types import ConfigError, OAuthError
from tests import loopback
from tests.oauth.servers.protected_server import ProtectedServer
from tests.programs import free_port
from tests.three_runtimes import RUNTIMES, make_client, run

#: Seconds that something may take that takes no time.
PATIENCE = 10.0

PAGE = "https://auth.example/authorize?state=right"


class WaitingReceiver:
    """A receiver that waits, and what it shows."""

    def __init__(self, url: str = PAGE, make: Callable[..., Any] | None = None) -> None:
        self.shown: list[str] = []
        self._told = threading.Event()
        make = make or partial(loopback_receiver, free_port())
        self.receiver = make(open_browser=False, show=self._show, seconds=30)
        self._pool = ThreadPoolExecutor(1)
        self.result = self._pool.submit(self.receiver, url)
        assert self._told.wait(10)

    def _show(self, line: str) -> None:
        self.shown.append(line)
        self._told.set()

    def get(self, target: str, **headers: str) -> httpx.Response:
        origin = self.receiver.redirect_uri.removesuffix("/callback")
        with loopback.Client() as browser:
            return browser.get(origin + target, headers=headers)


def test_the_answer_is_taken() -> None:
    waiting = WaitingReceiver()
    page = waiting.get("/callback?state=right&code=x")
    assert "can close this page" in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert waiting.result.result(10) == f"{waiting.receiver.redirect_uri}?state=right&code=x"
    assert PAGE in waiting.shown[0], "whole, and before anything opens it"


def test_other_requests_are_not_the_answer() -> None:
    waiting = WaitingReceiver()
    for target in ("/", "/callback", "/callback?state=wrong&code=y", "/other?state=right&code=y"):
        assert waiting.get(target).status_code == 404
    assert not waiting.result.done()
    waiting.get("/callback?state=right&code=x")
    assert waiting.result.result(10).endswith("code=x")


def test_a_page_of_another_site_does_not_end_the_wait() -> None:
    waiting = WaitingReceiver()
    for wanted in ("image", "script", "iframe", "empty", ""):
        answer = waiting.get("/callback?error=access_denied", **{"Sec-Fetch-Dest": wanted})
        assert answer.status_code == 404
    assert not waiting.result.done()
    waiting.get("/callback?state=right&code=x", **{"Sec-Fetch-Dest": "document"})
    assert waiting.result.result(PATIENCE).endswith("code=x")


def test_a_user_who_says_no_reads_so_at_once() -> None:
    waiting = WaitingReceiver()
    page = waiting.get("/callback?state=right&error=access_denied&error_description=%3Cb%3Enever%3C/b%3E")
    assert "access_denied (&lt;b&gt;never&lt;/b&gt;)" in page.text
    assert "error=access_denied" in waiting.result.result(PATIENCE)  # which the flow judges


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("error=access_denied", 400),
        ("error=access_denied&iss=https://auth.example", 400),
        ("error=access_denied&state=right&state=right", 400),
        ("error=access_denied&state=", 404),
        ("error=access_denied&state=wrong", 404),
        ("code=x", 404),
    ],
)
def test_without_the_right_state_no_answer_ends_the_wait(query: str, status: int) -> None:
    """RFC 8252, section 8.9: a page that sends the browser here is not believed, refusals included."""
    waiting = WaitingReceiver()
    assert waiting.get(f"/callback?{query}", **{"Sec-Fetch-Dest": "document"}).status_code == status
    assert waiting.get("/callback?state=right&code=x").status_code == 200
    assert waiting.result.result(PATIENCE).endswith("/callback?state=right&code=x")


def test_a_refusal_without_a_state_is_shown_once() -> None:
    """Some servers lose the state where they refuse, against RFC 6749, section 4.1.2.1."""
    waiting = WaitingReceiver()
    for word in ("access_denied&error_description=not%1b[2Jyou", "another"):
        assert "goes on" in waiting.get(f"/callback?error={word}").text
    waiting.get("/callback?state=right&code=x")
    waiting.result.result(PATIENCE)
    (told,) = waiting.shown[1:]
    assert 'said "access_denied (not [2Jyou)"' in told
    assert "goes on waiting" in told


def test_it_listens_where_the_application_lets_its_users_come_back_to() -> None:
    back = f"http://localhost:{free_port()}/oauth/done"
    waiting = WaitingReceiver(f"{PAGE}&redirect_uri={back}", loopback_receiver)
    with loopback.Client() as browser:
        assert browser.get(f"{back.replace('done', 'callback')}?state=right&code=x").status_code == 404
        assert browser.get(f"{back}?state=right&code=x").status_code == 200
    assert "/oauth/done?state=right" in waiting.result.result(PATIENCE)


def test_it_may_listen_elsewhere_than_users_come_back_to() -> None:
    """As behind a proxy, or in a container whose port is published under another number."""
    port = free_port()
    made = partial(loopback_receiver, port, host="0.0.0.0", path="/back")
    assert made().redirect_uri == f"http://127.0.0.1:{port}/back"
    waiting = WaitingReceiver(f"{PAGE}&redirect_uri=https://app.example/back", made)
    with loopback.Client() as browser:
        browser.get(f"http://127.0.0.1:{port}/back?state=right&code=x")
    assert waiting.result.result(PATIENCE).endswith("/back?state=right&code=x")


def test_users_who_come_back_to_another_machine_are_not_waited_for() -> None:
    with pytest.raises(OAuthError, match="use paste_receiver"):
        loopback_receiver(show=lambda _: None)(f"{PAGE}&redirect_uri=https://app.example/back")


def test_an_address_of_the_other_kind() -> None:
    assert loopback_receiver(1234, host="::1").redirect_uri == "http://[::1]:1234/callback"


def test_over_ssh_no_browser_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(browser_module.webbrowser, "open", opened.append)
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    shown: list[str] = []
    with pytest.raises(OAuthError, match="nobody came back"):
        loopback_receiver(port := free_port(), show=shown.append, seconds=0.01)(PAGE)
    assert f"ssh -L {port}:127.0.0.1:{port}" in shown[1]
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":10")  # forwarded
    assert not browser_module.over_ssh()


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OAuthError, match=str(port)):
            loopback_receiver(port, open_browser=False)(PAGE)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_port_that_is_taken_is_said_before_any_server_is_asked(runtime: str) -> None:
    with ProtectedServer() as server, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        receiver = loopback_receiver(port, open_browser=False, show=lambda _: None)

        async def body() -> None:
            oauth = OAuthConfig(memory_adapter(), authorize=receiver, single_user=True)
            async with make_client(runtime, url=server.url, oauth=oauth) as client:
                await client.list_tools()

        with pytest.raises(OAuthError, match=rf"port {port} .*is taken; give another with loop"):
            run(runtime, body)
        assert {seen.target for seen in server.seen} == {server.path}


def test_a_port_that_is_taken_matters_only_where_a_user_has_to_sign_in() -> None:
    with ProtectedServer() as server, socket.create_server(("127.0.0.1", 0)) as taken:
        adapter = memory_adapter()
        receiver = loopback_receiver(taken.getsockname()[1], open_browser=False)
        oauth = OAuthConfig(adapter, authorize=receiver, single_user=True, server_id="s")
        adapter.set("default", "s", server.grant("alice"))
        server.expire()
        with SyncRouterMCPClient(url=server.url, oauth=oauth) as client:
            client.list_tools()
        assert server.refreshes["alice"] == 1


def test_where_users_come_back_to_is_checked_as_it_is_listened_to() -> None:
    receiver = loopback_receiver()
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OAuthError, match="is taken"):
        receiver.check_redirect_uri(f"http://localhost:{taken.getsockname()[1]}/done")
    receiver.check_redirect_uri(f"http://localhost:{free_port()}/done")
    with pytest.raises(OAuthError, match="use paste_receiver"):
        receiver.check_redirect_uri("https://app.example/back")
    with pytest.raises(OAuthError, match=r"cannot be listened on at 192.0.2.1: .*; give another"):
        loopback_receiver(free_port(), host="192.0.2.1").check_redirect_uri(None)


def test_what_is_no_page_is_not_shown() -> None:
    shown: list[str] = []
    with pytest.raises(OAuthError, match="no page to sign in at"):
        loopback_receiver(free_port(), show=shown.append, seconds=0.05)("file:///etc/passwd")
    assert shown == []


def test_the_usual_port_is_none_that_connections_are_given() -> None:
    assert loopback_receiver().redirect_uri == DEFAULT_REDIRECT_URI
    assert 1024 < CALLBACK_PORT < 32768, "the first that Linux gives to connections"


def test_nobody_may_come_back() -> None:
    with pytest.raises(OAuthError, match="nobody came back"):
        loopback_receiver(free_port(), open_browser=False, show=lambda _: None, seconds=0.05)(PAGE)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_are_checked(port: int) -> None:
    with pytest.raises(ConfigError):
        loopback_receiver(port)


def test_paths_are_checked() -> None:
    with pytest.raises(ConfigError, match="slash"):
        loopback_receiver(path="callback")


@pytest.mark.parametrize("host", ["auth.example", "bücher.example", "xn--bcher-kva.example", "127.0.0.1"])
def test_ordinary_names(host: str) -> None:
    assert suspicion(host) is None


@pytest.mark.parametrize("host", ["\u0430uth.example", "xn--uth-7cd.example", "xn--a.example"])
def test_names_that_may_be_those_of_others(host: str) -> None:
    assert suspicion(host) is not None


def test_a_suspicious_page_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: queue.Queue[str] = queue.Queue()
    monkeypatch.setattr(browser_module.webbrowser, "open", opened.put)
    shown: list[str] = []
    for host in ("\u0430uth.example", "auth.example"):
        with pytest.raises(OAuthError):
            loopback_receiver(free_port(), show=shown.append, seconds=0.01)(f"https://{host}/?state=s")
    assert opened.get(timeout=PATIENCE) == "https://auth.example/?state=s"
    assert opened.empty()
    assert "Look twice" in shown[1]


def test_a_browser_that_stays_in_the_foreground_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those do that run in a terminal: they end when their user has read the last page."""
    read = threading.Event()
    receiver = loopback_receiver(free_port(), show=lambda _: None, seconds=30)

    def browse(_: str) -> bool:
        with loopback.Client() as browser:
            browser.get(f"{receiver.redirect_uri}?state=right&code=x")
        return read.wait(PATIENCE)

    monkeypatch.setattr(browser_module.webbrowser, "open", browse)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(receiver, PAGE).result(PATIENCE).endswith("code=x")
        read.set()


def test_a_browser_that_cannot_be_opened_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = threading.Event()

    def browse(_: str) -> bool:
        tried.set()
        raise OSError("there is no such program")

    monkeypatch.setattr(browser_module.webbrowser, "open", browse)
    with pytest.raises(OAuthError, match="nobody came back"):
        loopback_receiver(free_port(), show=lambda _: None, seconds=0.05)(PAGE)
    assert tried.wait(PATIENCE)
    assert capsys.readouterr().err == ""


def test_browsers_that_stay_are_not_opened_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Event()
    opened: queue.Queue[str] = queue.Queue()

    def browse(url: str) -> bool:
        opened.put(url)
        return read.wait(PATIENCE)

    monkeypatch.setattr(browser_module.webbrowser, "open", browse)
    before = set(threading.enumerate())
    try:
        for _ in range(browser_module.MAX_BROWSERS + 2):
            browser_module.show_page(PAGE, lambda _: None, open_browser=True)
        for _ in range(browser_module.MAX_BROWSERS):
            opened.get(timeout=PATIENCE)
        assert opened.empty()
    finally:
        read.set()
        for thread in set(threading.enumerate()) - before:
            thread.join(PATIENCE)


def test_a_browser_that_leaves_early_is_not_talked_about(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = WaitingReceiver()
    port = int(waiting.receiver.redirect_uri.split(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as browser:
        browser.sendall(b"GET / HTTP/1.1\r\n\r\n")
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    waiting.get("/callback?state=right&code=x")
    assert waiting.result.result(PATIENCE).endswith("code=x")
    assert capsys.readouterr().err == ""


def connections(receiver: Any, count: int) -> list[socket.socket]:
    """Connections that have said half of a request."""
    port = int(receiver.redirect_uri.split(":")[2].partition("/")[0])
    made = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(count)]
    for each in made:
        each.sendall(b"GET /callback?state=")
    return made


def ends(connection: socket.socket) -> bool:
    """Whether the other side ends a connection."""
    with connection, contextlib.suppress(ConnectionError):
        return connection.recv(1) == b""
    return True


def test_connections_of_others_keep_no_browser_out() -> None:
    """A program that connects first and says nothing more, as often as it likes."""
    waiting = WaitingReceiver()
    others = connections(waiting.receiver, 2 * MAX_CONNECTIONS)
    assert waiting.get("/callback?state=right&code=x").status_code == 200
    assert waiting.result.result(PATIENCE).endswith("code=x")
    assert all(ends(each) for each in others)


def test_a_request_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where each byte comes soon after the one before."""
    monkeypatch.setattr(callback_server._Handler, "timeout", 6 * PATIENCE)
    monkeypatch.setattr(callback_server, "REQUEST_SECONDS", 0.05)
    waiting = WaitingReceiver()
    assert ends(*connections(waiting.receiver, 1))
    monkeypatch.undo()
    assert waiting.get("/callback?state=right&code=x").status_code == 200
    assert waiting.result.result(PATIENCE).endswith("code=x")


def test_the_wait_ends_in_time_whatever_a_connection_says() -> None:
    waiting = WaitingReceiver(make=partial(_impatient, free_port()))
    others: list[socket.socket] = []
    with contextlib.suppress(ConnectionError):  # on a busy machine the wait may be over
        others += connections(waiting.receiver, 3)
    with pytest.raises(OAuthError, match="nobody came back"):
        waiting.result.result(PATIENCE)
    assert all(ends(each) for each in others)


def _impatient(port: int, *, seconds: float, **options: Any) -> Any:
    return loopback_receiver(port, seconds=seconds / 30, **options)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_client_signs_in_by_it(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[threading.Thread] = []

    def browse(url: str) -> bool:
        def visit() -> None:
            with loopback.Client(follow_redirects=True) as browser:
                assert "can close" in browser.get(url).text

        visits.append(threading.Thread(target=visit))
        visits[-1].start()
        return True

    monkeypatch.setattr(browser_module.webbrowser, "open", browse)
    with ProtectedServer() as server:
        receiver = loopback_receiver(free_port(), show=lambda _: None)
        oauth = OAuthConfig(memory_adapter(), authorize=receiver, single_user=True)

        async def body() -> None:
            async with make_client(runtime, url=server.url, oauth=oauth) as client:
                await client.list_tools()

        run(runtime, body)
        assert server.sign_ins["alice"] == 1
    for visit in visits:
        visit.join(10)
