"""Signing in from the command line, at a server and at one behind a gateway, as programs."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from routermcp import SyncRouterMCPClient
from routermcp.cli.app import run
from routermcp.cli.auth import _expiry_text
from routermcp.cli.sign_in import SignInOptions
from routermcp.gateway import LocalGateway
from routermcp.gateway.config.model import GatewayConfig
from routermcp.oauth import AuthorizationServer, OAuthConfig, file_adapter, presets
from routermcp.oauth.flows.connections import Connection, ConnectionState
from tests import loopback
from tests.cli.gateway_programs import PATIENCE, command, environment, running
from tests.cli.toolbox import Ended
from tests.oauth.servers.protected_server import ProtectedServer, callback, consent
from tests.programs import free_port

SUM = {"a": 1, "b": 2}


@pytest.fixture
def server() -> Iterator[ProtectedServer]:
    with ProtectedServer() as server:
        yield server


def signed_in(server: ProtectedServer, home: Path, *arguments: str) -> str:
    """Run ``auth login``, be its user's browser, and return what it says at last."""
    program = subprocess.Popen(
        command("auth", "login", "--no-browser", *arguments),
        env=environment(HOME=str(home)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stderr is not None
        page = next(line.strip() for line in program.stderr if "/oauth/authorize?" in line)
        consent(server, "ada", page)
        said, problems = program.communicate(timeout=PATIENCE)
    assert program.returncode == 0, problems
    return said


def test_tokens_of_a_sign_in_are_for_all_commands(
    server: ProtectedServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def auth(*arguments: str) -> Ended:
        return Ended(capsys, *arguments, "--url", server.url)

    before = auth("tools")
    assert (before.code, before.out) == (3, "")
    assert "to sign in: routermcp auth login" in before.err
    assert "signed in nowhere" in auth("auth", "status").out

    said = signed_in(server, home, server.url, "--port", str(free_port()))
    assert said == f"signed in at 127.0.0.1:{server.port}/mcp\n"
    assert "add" in auth("tools").out
    (connection,) = json.loads(auth("auth", "status", "--json").out)["connections"]
    assert (connection["server"], connection["state"]) == (f"127.0.0.1:{server.port}/mcp", "connected")
    assert "signed in at" in auth("auth", "login").out  # no page is shown

    assert auth("auth", "revoke").out.startswith("signed out at")
    assert "revoked" in auth("auth", "status").out
    again = auth("auth", "revoke")
    assert (again.code, again.out) == (0, f"you are not signed in at 127.0.0.1:{server.port}/mcp\n")
    assert auth("auth", "revoke", "--all").out == "you are signed in nowhere\n"
    assert auth("tools").code == 3


def test_over_ssh_the_last_address_of_the_browser_is_pasted(server: ProtectedServer, tmp_path: Path) -> None:
    program = subprocess.Popen(
        command("auth", "login", "--url", server.url, "--port", str(free_port())),
        env=environment(HOME=str(tmp_path), SSH_CONNECTION="192.0.2.1 5 192.0.2.2 22", DISPLAY=""),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stderr is not None
        hints = list(takewhile(lambda line: "press Enter" not in line, program.stderr))
        back = callback(server, "ada", next(line.strip() for line in hints if "/oauth/authorize?" in line))
        said, told = program.communicate(f"{back.replace('state=', 'state=x')}\n{back}\n", timeout=PATIENCE)
    assert (program.returncode, said) == (0, f"signed in at 127.0.0.1:{server.port}/mcp\n")
    assert "ssh -L" in "".join(hints)
    assert "another sign-in" in told


def test_a_code_on_another_device(
    server: ProtectedServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login = ("auth", "login", "--device", "--url", server.url)
    server.polled = ["authorization_pending"]
    ended = Ended(capsys, *login)
    assert (ended.code, ended.out) == (0, f"signed in at 127.0.0.1:{server.port}/mcp\n")
    assert "enter the code CODE-" in ended.err


def test_an_application_that_was_registered_by_hand(server: ProtectedServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("planted-secret\n")
    back = f"http://localhost:{free_port()}/done"
    options = ("--client-id", "mine", "--client-secret-file", str(secret), "--redirect-uri", back)
    more = ("--scope", "read write", "--issuer", server.origin, "--param", "audience=api")
    signed_in(server, tmp_path, "--url", server.url, *options, *more)
    (page,) = [seen for seen in server.seen if seen.target.startswith("/oauth/authorize?")]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(page.target).query).items()}
    assert (asked["client_id"], asked["redirect_uri"]) == ("mine", back)
    assert (asked["scope"], asked["audience"]) == ("read write", "api")
    assert not [seen for seen in server.seen if seen.target == "/oauth/register"]
    (form,) = [seen for seen in server.seen if seen.target == "/oauth/token"]
    assert b"client_id=mine" in form.body


def test_tokens_of_a_sign_in_are_for_connect(server: ProtectedServer, tmp_path: Path) -> None:
    server.shows_user = "ada"
    kept = file_adapter(tmp_path / ".routermcp/mcp-oauth")
    kept.set("default", f"127.0.0.1:{server.port}/mcp", server.grant("ada"))
    asked = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-11-25",
                "capabilities": {},
                "clientInfo": {"name": "host", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "add", "arguments": SUM}},
    ]
    with subprocess.Popen(
        command("connect", "--url", server.url),
        env=environment(HOME=str(tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.writelines(f"{json.dumps(each)}\n" for each in asked)
        program.stdin.flush()
        answers = (json.loads(line) for line in program.stdout)
        answer = next(each for each in answers if each.get("id") == 2)
        program.stdin.close()
        assert program.wait(PATIENCE) == 0
    assert answer["result"]["content"][0]["text"] == "3"
    assert [user for user, _ in server.calls] == ["ada"]


def test_the_registration_is_dropped_by_hand(
    server: ProtectedServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_in(server, home, "--url", server.url, "--port", str(free_port()))
    kept = file_adapter(home / ".routermcp/mcp-oauth")
    here = f"127.0.0.1:{server.port}/mcp"
    assert (kept.get("", here) or {})["clients"]
    ended = Ended(capsys, "auth", "revoke", "--forget-client", "--url", server.url)
    assert (ended.code, ended.out) == (0, f"signed out at {here}\n")
    assert (kept.get("", here) or {}).get("clients") == {}


def test_where_nothing_asks_for_a_sign_in_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = {"tools": {"command": "unused", "enabled": False}}
    with LocalGateway(GatewayConfig.model_validate({"mcpServers": servers})) as gateway:
        place = gateway.url.removeprefix("http://")
        ended = Ended(capsys, "auth", "login", gateway.url)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out == f"{place} asks for no sign-in: it lets this program in as it is\n"
        behind = Ended(capsys, "auth", "login", "tools", "--url", gateway.url)
        assert behind.code == 2
        assert f"users sign in at no server behind {place}, and so not at 'tools'" in behind.err


def test_a_missing_api_key_is_no_missing_sign_in(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = GatewayConfig.model_validate({"auth": {"apiKeys": ["rmc_key"]}})
    with LocalGateway(config) as gateway:
        for login in (("tools",), ("auth", "login", "--no-browser")):
            ended = Ended(capsys, *login, "--url", gateway.url)
            assert ended.code == 3
            assert "requires an API key: give --api-key" in ended.err
            assert "sign in" not in ended.err
            assert "auth login" not in ended.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--device", "--paste"), "either --device or --paste"),
        (("--param", "audience"), "not key=value"),
        (("--client-secret-file", "missing"), "cannot be read"),
        (("--preset", "gogle"), "there is no preset 'gogle'"),
        (("--preset", "entra"), "entra=TENANT"),
        (("--concession", "pkce"), "there are metadata_issuer, unadvertised_pkce"),
        (
            ("--concession", "metadata_issuer", "--issuer", "https://a.example"),
            "given as metadata_issuer=URL",
        ),
        (("--concession", "plain_http=yes", "--issuer", "https://a.example"), "given as plain_http"),
        (("--concession", "plain_http"), "say which, by its issuer"),
    ],
)
def test_options_that_cannot_be_read(
    options: tuple[str, ...],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ROUTERMCP_API_KEY", raising=False)
    assert run(["auth", "login", "--url", "http://127.0.0.1:1/mcp", *options]) == 2
    assert problem in capsys.readouterr().err


def test_an_option_wins_over_the_preset() -> None:
    options = SignInOptions(preset="google", param=["prompt=login"], issuer="https://id.example")
    settings = options.settings(options.receiver())
    assert settings["authorize_params"] == {"access_type": "offline", "prompt": "login"}
    assert (settings["issuer"], settings["offline_access"]) == ("https://id.example", False)


def test_concessions_are_made_to_the_server_of_the_issuer_or_the_preset() -> None:
    made = SignInOptions(
        issuer="http://id.test/a", concession=["plain_http", "metadata_issuer=http://id.test"]
    )
    assert made.settings(made.receiver())["issuer"] == AuthorizationServer(
        "http://id.test/a", plain_http=True, metadata_issuer="http://id.test"
    )
    made = SignInOptions(preset="cognito=eu-west-1_AbCdEf", concession=["private_address"])
    of_preset = presets.cognito("eu-west-1_AbCdEf").get("issuer")
    assert isinstance(of_preset, AuthorizationServer)
    assert made.settings(made.receiver())["issuer"] == replace(of_preset, private_address=True)
    # Those of a preset are for its own server.
    made = SignInOptions(preset="cognito=eu-west-1_AbCdEf", issuer="https://id.example")
    assert made.settings(made.receiver())["issuer"] == "https://id.example"


def test_the_resource_is_given_or_left_out() -> None:
    for given, resource in (("none", False), ("https://mcp.example", "https://mcp.example")):
        options = SignInOptions(resource=given)
        assert options.settings(options.receiver())["resource"] == resource
    options = SignInOptions(preset="entra=contoso")
    assert options.settings(options.receiver())["resource"] is False


def test_what_a_concession_would_cure_names_its_option(
    server: ProtectedServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.odd_metadata = {"code_challenge_methods_supported": None}
    monkeypatch.setenv("HOME", str(tmp_path))
    paste = ["auth", "login", "--paste", "--url", server.url]
    assert run(paste) == 3
    assert "--issuer with --concession unadvertised_pkce" in capsys.readouterr().err
    with Path("/dev/null").open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert run([*paste, "--issuer", server.origin, "--concession", "unadvertised_pkce"]) == 3
    assert "nothing was pasted" in capsys.readouterr().err  # the page was shown


def test_a_refusal_of_the_user_is_said_at_once(server: ProtectedServer, tmp_path: Path) -> None:
    port = free_port()
    program = subprocess.Popen(
        command("auth", "login", "--no-browser", "--url", server.url, "--port", str(port)),
        env=environment(HOME=str(tmp_path)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stderr is not None
        shown = next(line for line in program.stderr if "/oauth/authorize?" in line)
        state = parse_qs(urlsplit(shown.strip()).query)["state"][0]
        back = f"http://127.0.0.1:{port}/callback?error=access_denied&state={state}"
        page = loopback.get(back)
        assert "access_denied" in page.text
        _, told = program.communicate(timeout=PATIENCE)
    assert program.returncode == 3
    assert "did not sign the user in: access_denied" in told


def test_a_port_that_is_taken_can_be_another(
    server: ProtectedServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        login = ("auth", "login", "--no-browser", "--url", server.url, "--port", port)
        ended = Ended(capsys, *login)
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == f"routermcp: port {port} of this machine is taken; give another with --port\n"


def test_signing_in_behind_a_gateway(
    server: ProtectedServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway of the command line and the SDK share their files."""
    (home / "routermcp.jsonc").write_text(
        json.dumps({"mcpServers": {"mail": {"url": server.url, "authType": "oauth"}}})
    )
    port = str(free_port())
    with running("serve", "--port", port, cwd=home, HOME=str(home)) as (served, _):
        url = served.removesuffix("/mcp") + "/v1/mcp/default"

        def auth(*arguments: str) -> Ended:
            return Ended(capsys, *arguments, "--url", url, "--user-id", "ada")

        call = ("call", "mail.add", "a:=1", "b:=2")
        before = auth(*call)
        assert before.code == 3
        assert "to sign in: routermcp auth login mail" in before.err
        said = signed_in(server, home, "mail", "--url", url, "--user-id", "ada")
        assert said == "signed in at mail\n"
        assert auth(*call).out == "3\n"
        assert "mail" in auth("auth", "status").out

        oauth = OAuthConfig(file_adapter(home / ".routermcp/mcp-oauth"))
        with SyncRouterMCPClient(url, user_id="ada", oauth=oauth) as client:
            assert [(each.server_id, each.state.value) for each in client.connections()] == [
                ("mail", "connected")
            ]
        assert auth("auth", "revoke", "mail").out == "signed out at mail\n"
        assert auth(*call).code == 3
    assert [user for user, _ in server.calls] == ["ada"]


def test_what_this_machine_keeps_is_there_without_the_server(
    server: ProtectedServer, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = file_adapter(home / ".routermcp/mcp-oauth")
    nowhere = f"http://127.0.0.1:{free_port()}"
    record = server.grant("ada")
    for each in ("here", "there"):
        kept.set("default", each, record)
    lost = {**record, "revocation_endpoint": f"{nowhere}/revoke"}
    kept.set("default", "lost", lost)

    def auth(*arguments: str) -> Ended:
        return Ended(capsys, "auth", *arguments, "--url", f"{nowhere}/mcp")

    status = auth("status", "--json")
    assert status.code == 0
    assert [each["server"] for each in json.loads(status.out)["connections"]] == ["here", "lost", "there"]
    assert status.err.count("\n") == 1
    assert "nothing listens there" in status.err
    assert "the tokens of this machine" in status.err

    there = auth("revoke", "there")
    assert (there.code, there.out) == (0, "signed out at there\n")
    assert "nothing listens there" in there.err
    unknown = auth("revoke", "mail")
    assert (unknown.code, unknown.out) == (3, "")
    assert unknown.err.count("nothing listens there") == 1
    assert auth("revoke").out.startswith("you are not signed in at 127.0.0.1")

    everything = auth("revoke", "--all")
    assert (everything.code, everything.out) == (3, "")
    assert "forgotten" in everything.err
    assert not any((kept.get("default", each) or {}).get("tokens") for each in ("here", "there", "lost"))
    assert len(server.revoked) == 4
    assert auth("revoke", "--all").out == "you are signed in nowhere\n"


def test_a_gateway_that_browsers_cannot_find_back_to_does_not_start(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "httpServer": {"host": "0.0.0.0"},
        "auth": {"apiKeys": ["rmc_key"]},
        "mcpServers": {"mail": {"url": "https://mail.example/mcp", "authType": "oauth"}},
    }
    (home / "routermcp.jsonc").write_text(json.dumps(config))
    ended = Ended(capsys, "serve")
    assert ended.code == 2
    assert "set oauth.redirectUri" in ended.err


@pytest.mark.parametrize("expires_at", [1e20, 1e308, float("inf"), float("nan"), 253402300800.0])
def test_a_time_that_is_no_date_is_shown_all_the_same(expires_at: float) -> None:
    assert _expiry_text(Connection("it", ConnectionState.CONNECTED, expires_at)) == "never ends"
