"""Whom a client trusts, how it shows who it is, and Unix sockets, through the public clients."""

from __future__ import annotations

import contextlib
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from routermcp import RouterMCPClient, SyncRouterMCPClient
from routermcp._tls import _CertificateFiles, _usual_context, context_source
from routermcp.types import ConfigError, RetryPolicy, TransportError
from tests.certificates import PASSWORD, Authority
from tests.routermcp.server import ScriptedServer
from tests.three_runtimes import make_client, run


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server_files(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server", "IP:127.0.0.1,DNS:localhost")


@pytest.fixture(scope="module")
def client_files(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("client", encrypted=True)


@pytest.fixture
def context(server_files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server_files)
    return context


@pytest.fixture
def strict_server(context: ssl.SSLContext, authority: Authority) -> Iterator[ScriptedServer]:
    """A server that wants to know its clients."""
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.trusted)
    with ScriptedServer(tls=context) as scripted:
        yield scripted


def add(runtime: str, **settings: Any) -> str:
    async def body() -> str:
        async with make_client(runtime, retry=RetryPolicy(attempts=1), timeout=20_000, **settings) as client:
            return (await client.call_tool("add", {"a": 1, "b": 2})).text

    return run(runtime, body)


def test_a_private_authority_is_trusted_by_its_file_folder_or_context(
    context: ssl.SSLContext, authority: Authority, runtime: str, tmp_path: Path
) -> None:
    authority.call("x509", "-in", "ca.pem", "-subject_hash", "-noout", "-out", "ca.hash")
    shutil.copy(authority.trusted, tmp_path / f"{(authority.folder / 'ca.hash').read_text().strip()}.0")
    with ScriptedServer(tls=context) as server:
        for verify in (
            authority.trusted,
            str(authority.trusted),
            tmp_path,
            ssl.create_default_context(cafile=str(authority.trusted)),
        ):
            assert add(runtime, url=server.url, verify=verify) == "3"


def test_without_verification_there_is_a_warning(context: ssl.SSLContext, runtime: str) -> None:
    with ScriptedServer(tls=context) as server, pytest.warns(UserWarning, match="identity") as warned:
        assert add(runtime, url=server.url, verify=False) == "3"
    assert len(warned) == 1


@pytest.mark.parametrize("kind", [RouterMCPClient, SyncRouterMCPClient])
def test_the_warning_points_at_who_asked_for_it(kind: Any, client_files: tuple[Path, Path]) -> None:
    for cert in (None, client_files):
        with pytest.warns(UserWarning, match="identity") as warned:
            kind("https://127.0.0.1:9/", verify=False, cert=cert)
        assert warned[0].filename == __file__


def spoken(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Shake hands in memory and return the protocol that was agreed upon over TLS."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(back, there, server_hostname="localhost"),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(3):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    assert ends[0].version()
    return ends[0].selected_alpn_protocol()


def test_ours_speak_http_1_and_your_own_context_is_left_as_it_is(
    context: ssl.SSLContext, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.set_alpn_protocols(["h2", "http/1.1"])
    assert spoken(context, context_source(authority.trusted)()) == "http/1.1"
    with pytest.warns(UserWarning, match="identity"):
        assert spoken(context, context_source(verify=False)()) == "http/1.1"
    own = ssl.create_default_context(cafile=str(authority.trusted))
    assert context_source(own)() is own
    assert spoken(context, own) is None
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    assert spoken(context, _usual_context()) == "http/1.1"


def test_a_context_is_made_once_and_trusts_what_it_was_told(
    authority: Authority, client_files: tuple[Path, Path]
) -> None:
    certificate = (*client_files, PASSWORD)
    for verify, cert in [(authority.trusted, None), (authority.trusted, certificate), (True, certificate)]:
        source = context_source(verify, cert)
        made = source()
        assert source() is made
        assert (made.verify_mode, made.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert made is not context_source(True)(), "what others share shows nobody's certificate"
        if verify is not True:
            assert made.cert_store_stats()["x509_ca"] == 1, "and nothing else"


def test_a_system_without_certificates_trusts_certifi(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert _usual_context().cert_store_stats()["x509_ca"] > 50


def test_a_server_is_told_the_name_and_never_an_address(
    context: ssl.SSLContext, authority: Authority, runtime: str
) -> None:
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, context: names.append(name)
    with ScriptedServer(tls=context) as server:
        assert add(runtime, url=server.url, verify=authority.trusted) == "3"
        assert add(runtime, url=server.url.replace("127.0.0.1", "localhost"), verify=authority.trusted) == "3"
    assert set(names) == {None, "localhost"}


def test_a_client_certificate(
    strict_server: ScriptedServer, authority: Authority, client_files: tuple[Path, Path], runtime: str
) -> None:
    both = (*client_files, PASSWORD)
    assert add(runtime, url=strict_server.url, verify=authority.trusted, cert=both) == "3"


def test_without_the_certificate_that_a_server_wants(
    strict_server: ScriptedServer, authority: Authority, runtime: str
) -> None:
    with pytest.raises(TransportError) as caught:
        add(runtime, url=strict_server.url, verify=authority.trusted)
    assert caught.value.code in ("tls", "closed")
    assert strict_server.seen == []


def test_a_client_that_was_brought_tells_of_certificates(context: ssl.SSLContext, runtime: str) -> None:
    async def body() -> TransportError:
        http: Any = httpx.Client() if runtime == "blocking" else httpx.AsyncClient()
        with pytest.raises(TransportError) as caught:
            await make_client(
                runtime, url=server.url, http_client=http, retry=RetryPolicy(attempts=1)
            ).connect()
        http.close() if runtime == "blocking" else await http.aclose()
        return caught.value

    with ScriptedServer(tls=context) as server:
        error = run(runtime, body)
    assert (error.code, error.not_run) == ("tls", True)


def test_certificates_that_cannot_be_used_are_named(
    authority: Authority, client_files: tuple[Path, Path], runtime: str, tmp_path: Path
) -> None:
    certificate, key = client_files
    url = "https://127.0.0.1:9/"
    for wrong, word in [
        (tmp_path / "none.pem", "no such file"),
        ((certificate, tmp_path / "none.key"), "no such file"),
        ((), "PEM file"),
        ((certificate, tmp_path), "no such file"),
        (7, "PEM file"),
    ]:
        with pytest.raises(ConfigError, match=word):
            make_client(runtime, url=url, cert=wrong)
    with pytest.raises(ConfigError, match="no such file or folder"):
        make_client(runtime, url=url, verify=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match="no cert="):
        make_client(runtime, url=url, verify=ssl.create_default_context(), cert=certificate)
    for unusable in [certificate, (certificate, key), (certificate, key, "wrong"), (key, certificate)]:
        with pytest.raises(ConfigError, match="cannot be used") as caught:
            add(runtime, url=url, verify=authority.trusted, cert=unusable)
        assert PASSWORD not in str(caught.value)
    assert PASSWORD not in repr(_CertificateFiles.checked((certificate, key, PASSWORD)))


def test_a_server_behind_a_unix_socket(runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "Mcp.sock"
    with ScriptedServer(unix=path) as server:
        assert server.url.startswith("http+unix://")
        assert add(runtime, url=server.url) == "3"
        assert server.seen[0].headers["host"] == "localhost"
