"""``routermcp doctor``: the step that fails is the one that is wrong, and says what to do."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.cli.toolbox import Ended
from tests.oauth.servers.protected_server import ProtectedServer
from tests.programs import free_port
from tests.routermcp.server import HANDSHAKE, ScriptedServer, ServerError

pytestmark = pytest.mark.usefixtures("_server")


@pytest.fixture(autouse=True)
def _nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def steps(ended: Ended) -> dict[str, dict[str, str]]:
    """Return the steps of a diagnosis in JSON, by their names."""
    return {each["step"]: each for each in json.loads(ended.out)["steps"]}


def failure(ended: Ended) -> dict[str, str]:
    """Return the step that failed: the last one, and the only one."""
    found = list(steps(ended).values())
    assert [each["step"] for each in found if each["state"] == "failed"] == [found[-1]["step"]]
    assert found[-1]["advice"]
    return found[-1]


def test_a_server_in_order(capsys: pytest.CaptureFixture[str], url: str) -> None:
    ended = Ended(capsys, "doctor", url)
    assert (ended.code, ended.err) == (0, "")
    states = {line.split()[1]: line.split()[0] for line in ended.out.splitlines()}
    assert states == {
        **dict.fromkeys(["target", "proxy", "dns", "tcp", "connect", "sign-in"], "ok"),
        "tls": "skipped",
        **dict.fromkeys(["tools", "resources", "prompts"], "ok"),
    }
    assert "MCP 2026-07-28, stateless era" in ended.out
    ended = Ended(capsys, "doctor", "--json")
    assert json.loads(ended.out)["state"] == "ok"
    assert steps(ended)["target"]["found"] == url


def test_a_program_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    program = [sys.executable, "-m", "routermcp.testing.contract_server"]
    ended = Ended(capsys, "doctor", "--json", "--", *program)
    assert ended.code == 0
    assert steps(ended)["program"]["found"] == sys.executable
    assert steps(ended)["tools"]["found"] == "7 listed"


@pytest.mark.parametrize(
    ("argv", "code", "step", "said"),
    [
        (["--", "no-such-program"], 3, "program", "no-such-program is not found"),
        (["http+unix://%2Fno%2Fsocket/mcp"], 3, "socket", "no such file"),
        (["https://a.example:0/mcp"], 2, "target", "port 0"),
        (["-H", "x", "http://a.example/mcp"], 2, "target", "--header"),
    ],
)
def test_what_is_wrong_before_the_network(
    capsys: pytest.CaptureFixture[str], argv: list[str], code: int, step: str, said: str
) -> None:
    ended = Ended(capsys, "doctor", "--json", *argv)
    found = failure(ended)
    assert (ended.code, found["step"]) == (code, step)
    assert said in found["found"]


def test_a_port_on_which_nothing_listens(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    ended = Ended(capsys, "doctor", "--json", f"http://127.0.0.1:{port}/mcp")
    assert (ended.code, failure(ended)["step"]) == (3, "tcp")
    assert f"nothing listens on port {port}" in failure(ended)["advice"]
    proxy = f"http://user:planted-secret@127.0.0.1:{port}"
    ended = Ended(capsys, "doctor", "--json", "http://a.example/mcp", "--proxy", proxy)
    assert failure(ended)["step"] == "tcp"
    assert steps(ended)["proxy"]["found"] == f"127.0.0.1:{port}"
    assert "planted-secret" not in ended.out + ended.err


def test_a_name_without_an_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    ended = Ended(capsys, "doctor", "--json", "http://a.example/mcp")
    assert (ended.code, failure(ended)["step"]) == (3, "dns")
    assert "a.example has no address: Name or service not known" in failure(ended)["found"]


# ---- certificates ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


def serving(authority: Authority, name: str, names: str) -> ScriptedServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(name, names))
    return ScriptedServer(HANDSHAKE, tls=context)


@pytest.fixture(scope="module")
def tls_url(authority: Authority) -> Iterator[str]:
    with serving(authority, "server", "IP:127.0.0.1,DNS:localhost") as server:
        yield server.url


def test_a_certificate_is_shown(
    capsys: pytest.CaptureFixture[str], authority: Authority, tls_url: str
) -> None:
    ended = Ended(capsys, "doctor", "--json", tls_url, "--cacert", str(authority.trusted))
    assert ended.code == 0, ended.out
    assert "issued by private CA, until 20" in steps(ended)["tls"]["found"]
    assert "it expires in" in steps(ended)["tls"]["advice"]
    assert "handshake era" in steps(ended)["connect"]["found"]
    ended = Ended(capsys, "doctor", "--json", tls_url, "--insecure")
    assert ended.code == 0, ended.out
    assert "not checked" in steps(ended)["tls"]["found"]


def test_an_authority_that_is_not_trusted(capsys: pytest.CaptureFixture[str], tls_url: str) -> None:
    ended = Ended(capsys, "doctor", "--json", tls_url)
    assert (ended.code, failure(ended)["step"]) == (3, "tls")
    assert "--cacert FILE" in failure(ended)["advice"]


def test_a_certificate_of_another_name(capsys: pytest.CaptureFixture[str], authority: Authority) -> None:
    with serving(authority, "other", "DNS:other.example") as server:
        url = server.url.replace("127.0.0.1", "localhost")
        ended = Ended(capsys, "doctor", "--json", url, "--cacert", str(authority.trusted))
    assert failure(ended)["step"] == "tls"
    assert failure(ended)["advice"] == "use the name that the certificate is for"


def test_a_port_without_tls(capsys: pytest.CaptureFixture[str], url: str) -> None:
    ended = Ended(capsys, "doctor", "--json", url.replace("http://", "https://"))
    assert (failure(ended)["step"], failure(ended)["found"]) == ("tls", "the server does not speak TLS there")
    assert "http://" in failure(ended)["advice"]


# ---- the session -------------------------------------------------------------------------------


def test_a_path_without_a_server(capsys: pytest.CaptureFixture[str], url: str) -> None:
    ended = Ended(capsys, "doctor", "--json", url.replace("/mcp", "/nothing"))
    assert (ended.code, failure(ended)["step"]) == (4, "connect")
    assert "it often ends with /mcp" in failure(ended)["advice"]


def test_a_server_that_wants_a_user_to_sign_in(capsys: pytest.CaptureFixture[str]) -> None:
    with ProtectedServer() as server:
        ended = Ended(capsys, "doctor", "--json", server.url)
        assert (ended.code, failure(ended)["step"]) == (3, "sign-in")
        assert failure(ended)["advice"] == f"routermcp auth login {server.url}"


def test_a_list_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: Any) -> Any:
        raise ServerError(-32603, "the database is gone")

    with ScriptedServer(HANDSHAKE) as server:
        server.results["tools/list"] = broken
        ended = Ended(capsys, "doctor", "--json", server.url)
    assert (ended.code, failure(ended)["step"]) == (4, "tools")
    assert "the database is gone" in failure(ended)["found"]
