"""Which proxy leads where, by the argument and by the environment."""

from __future__ import annotations

import os

import pytest

from routermcp._proxies import proxy_for
from routermcp_proto.http.url import EndpointURL

PROXY, OTHER = "http://proxy.test:3128", "http://other.test:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tuple(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("http://gateway.test/", {}, None),
        ("http://gateway.test/", {"HTTP_PROXY": PROXY}, PROXY),
        ("http://gateway.test/", {"http_proxy": PROXY}, PROXY),
        ("http://gateway.test/", {"HTTPS_PROXY": PROXY}, None),
        ("https://gateway.test/", {"HTTP_PROXY": PROXY}, None),
        ("https://gateway.test/", {"HTTPS_PROXY": PROXY, "HTTP_PROXY": OTHER}, PROXY),
        ("https://gateway.test/", {"ALL_PROXY": PROXY}, PROXY),
        ("http://gateway.test/", {"ALL_PROXY": OTHER, "HTTP_PROXY": PROXY}, PROXY),
        ("http://gateway.test/", {"HTTP_PROXY": "proxy.test:3128"}, PROXY),
        ("http://gateway.test/", {"HTTP_PROXY": ""}, None),
        ("http://gateway.test/", {"ALL_PROXY": "socks5://proxy.test"}, "socks5://proxy.test"),
    ],
)
def test_the_environment_names_a_proxy(
    url: str, variables: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(EndpointURL.parse(url), None) == proxy


@pytest.mark.parametrize(
    ("url", "excluded", "applies"),
    [
        ("http://gateway.test/", "gateway.test", False),
        ("http://gateway.test/", "other.test, gateway.test", False),
        ("http://eu.gateway.test/", ".gateway.test", False),
        ("http://eu.gateway.test/", "gateway.test", False),
        ("http://gateway.test/", "eu.gateway.test", True),
        ("http://my-gateway.test/", "gateway.test", True),
        ("http://gateway.test/", "*", False),
        ("http://gateway.test:8080/", "gateway.test:8080", False),
        ("http://gateway.test:8081/", "gateway.test:8080", True),
        ("https://gateway.test/", "gateway.test:443", False),
    ],
)
def test_no_proxy_excludes_hosts_their_subdomains_and_ports(
    url: str, excluded: str, applies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", excluded)
    assert proxy_for(EndpointURL.parse(url), None) == (PROXY if applies else None)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://mcp.localhost:8080/",
        "http://127.0.0.1/",
        "https://127.1.2.3/",
        "http://[::1]/",
        "http+unix://%2Frun%2Fmcp.sock/mcp",
    ],
)
def test_the_environment_says_nothing_of_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("HTTP+UNIX_PROXY", PROXY)
    assert proxy_for(EndpointURL.parse(url), None) is None
    assert proxy_for(EndpointURL.parse(url), OTHER) == OTHER, "who asks for it gets it"


def test_an_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "gateway.test")
    endpoint, elsewhere = EndpointURL.parse("http://gateway.test/"), EndpointURL.parse("http://x.test/")
    assert proxy_for(endpoint, OTHER) == OTHER
    assert proxy_for(elsewhere, "") is None
