"""Through programs that stand between a client and its server: tinyproxy, and nginx with TLS and HTTP/2."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from routermcp.types import RetryPolicy, TransportError
from tests.certificates import Authority
from tests.programs import PATIENCE, free_port, program, wait_for
from tests.routermcp.server import ScriptedServer
from tests.three_runtimes import gather, make_client, run

pytestmark = pytest.mark.interop


ONCE = RetryPolicy(attempts=1)

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 128; }}
http {{
  access_log {folder}/access.log combined;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    location /gone {{ return 502; }}
    location /moved {{ return 308 /mcp; }}
  }}
}}
"""

TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 50
Allow 127.0.0.1
LogFile "{folder}/log"
LogLevel Connect
{auth}
"""


#: Seconds for a program to end when it is asked to.
ENDING_SECONDS = 3.0


@contextlib.contextmanager
def running(command: list[str], port: int) -> Generator[None]:
    """Run a program while the block runs, which begins once its port answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_for(port, process)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=ENDING_SECONDS)
        except subprocess.TimeoutExpired:  # tinyproxy misses a signal that comes while it accepts
            process.kill()
            process.communicate(timeout=PATIENCE)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="module")
def nginx(
    authority: Authority, upstream: ScriptedServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of nginx in front of the server."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    certificate, key = authority.issue("nginx", "IP:127.0.0.1,DNS:localhost")
    configuration = folder / "nginx.conf"
    configuration.write_text(
        NGINX.format(folder=folder, port=port, certificate=certificate, key=key, upstream=upstream.port)
    )
    command = [str(program("nginx", "nginx-light")), "-p", str(folder), "-c", str(configuration)]
    with running(command, port):
        yield f"https://127.0.0.1:{port}"


@pytest.fixture(params=[False, True], ids=["open", "with a password"])
def tinyproxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a proxy, and its log."""
    port = free_port()
    auth = "BasicAuth ada secret-word" if request.param else ""
    configuration = tmp_path / "tinyproxy.conf"
    configuration.write_text(TINYPROXY.format(port=port, folder=tmp_path, auth=auth))
    credentials = "ada:secret-word@" if request.param else ""
    command = [str(program("tinyproxy", "tinyproxy-bin")), "-d", "-c", str(configuration)]
    with running(command, port):
        yield f"http://{credentials}127.0.0.1:{port}", tmp_path / "log"


async def use(runtime: str, client: Any) -> None:
    """Make a few calls of every kind."""
    async with client:
        assert await client.list_tools()

        async def add() -> str:
            # tinyproxy closes connections without a word, also one that is just used again.
            return (await client.call_tool("add", {"a": 1, "b": 2}, retry=True)).text

        assert await gather(runtime, [add] * 10) == ["3"] * 10


def test_our_own_sockets_to_nginx(runtime: str, nginx: str, authority: Authority) -> None:
    run(runtime, use, runtime, make_client(runtime, url=f"{nginx}/mcp", verify=authority.trusted))
    run(runtime, use, runtime, make_client(runtime, url=f"{nginx}/moved", verify=authority.trusted))


def test_nginx_that_cannot_reach_its_server(runtime: str, nginx: str, authority: Authority) -> None:
    async def body() -> TransportError:
        client = make_client(runtime, url=f"{nginx}/gone", verify=authority.trusted, retry=ONCE)
        with pytest.raises(TransportError) as caught:
            await client.connect()
        return caught.value

    assert run(runtime, body).status_code == 502


def test_http_2_over_a_client_that_was_brought(runtime: str, nginx: str, authority: Authority) -> None:
    versions: set[str] = set()
    trust = ssl.create_default_context(cafile=str(authority.trusted))

    def plain(response: httpx.Response) -> None:
        versions.add(response.http_version)

    async def awaited(response: httpx.Response) -> None:
        plain(response)

    async def body() -> None:
        kind: Any = httpx.Client if runtime == "blocking" else httpx.AsyncClient
        hooks = {"response": [plain if runtime == "blocking" else awaited]}
        http = kind(http2=True, verify=trust, event_hooks=hooks)
        await use(runtime, make_client(runtime, url=f"{nginx}/mcp", http_client=http))
        if runtime == "blocking":
            http.close()
        else:
            await http.aclose()

    run(runtime, body)
    assert versions == {"HTTP/2"}


def test_a_server_through_tinyproxy(
    runtime: str, tinyproxy: tuple[str, Path], upstream: ScriptedServer
) -> None:
    url, log = tinyproxy
    run(runtime, use, runtime, make_client(runtime, url=upstream.url, proxy=url))
    assert f"127.0.0.1:{upstream.port}" in log.read_text() or "Established connection" in log.read_text()


def test_tls_through_tinyproxy(
    runtime: str, tinyproxy: tuple[str, Path], nginx: str, authority: Authority
) -> None:
    url, log = tinyproxy
    client = make_client(runtime, url=f"{nginx}/mcp", proxy=url, verify=authority.trusted)
    run(runtime, use, runtime, client)
    assert "CONNECT" in log.read_text()


def test_a_proxy_that_refuses(
    runtime: str, tinyproxy: tuple[str, Path], nginx: str, authority: Authority
) -> None:
    url, _ = tinyproxy
    if "@" not in url:
        return
    scheme, _, rest = url.partition("://")
    wrong = f"{scheme}://ada:wrong-word@{rest.rpartition('@')[2]}"

    async def body() -> TransportError:
        client = make_client(runtime, url=f"{nginx}/mcp", proxy=wrong, verify=authority.trusted, retry=ONCE)
        with pytest.raises(TransportError, match=r"401|407") as caught:
            await client.connect()
        return caught.value

    error = run(runtime, body)
    assert (error.code, error.not_run) == ("connect", True)
    assert "wrong-word" not in str(error)
