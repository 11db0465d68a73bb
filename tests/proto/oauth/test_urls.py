"""Where the documents of others may lead."""

from __future__ import annotations

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.urls import Reach, admits, checked, covers, origin_of, path_of, reach_of


@pytest.mark.parametrize(
    "url", ["https://a.example/x", "http://localhost:1/x", "http://127.0.0.1/", "http://[::1]/"]
)
def test_secrets_may_go_there(url: str) -> None:
    assert checked(url, "it") == url


@pytest.mark.parametrize(
    "url",
    [None, 7, "", "nonsense", "http://a.example/", "https://a.example/#x", "https://u:p@a.example/",
     "file:///etc/passwd", "http+unix://%2Frun%2Fx.sock/"],
)  # fmt: skip
def test_secrets_may_not_go_there(url: object) -> None:
    with pytest.raises(OAuthError, match=r"^it "):
        checked(url, "it")


@pytest.mark.parametrize(
    ("resource", "endpoint", "same"),
    [
        ("https://a.example/mcp", "https://a.example/mcp", True),
        ("https://a.example", "https://a.example/mcp", True),
        ("https://a.example/", "https://a.example/mcp", True),
        ("https://A.example:443/mcp", "https://a.example/mcp", True),
        ("https://a.example/mc", "https://a.example/mcp", False),
        ("https://a.example/mcp/x", "https://a.example/mcp", False),
        ("https://b.example/mcp", "https://a.example/mcp", False),
        ("http://a.example/mcp", "https://a.example/mcp", False),
        ("nonsense", "https://a.example/mcp", False),
    ],
)
def test_what_a_resource_stands_for(resource: str, endpoint: str, same: bool) -> None:
    assert covers(resource, endpoint) is same


def test_parts_of_urls() -> None:
    assert origin_of("https://a.example:8443/x?y") == "https://a.example:8443"
    assert path_of("https://a.example/x/?y") == "/x"
    assert path_of("https://a.example/") == ""


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_the_open_internet(address: str) -> None:
    assert reach_of(address) is Reach.PUBLIC
    assert admits(Reach.PUBLIC, address)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
     "224.0.0.1", "::1", "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::"],
)  # fmt: skip
def test_private_networks(address: str) -> None:
    assert reach_of(address) > Reach.PUBLIC
    assert not admits(Reach.PUBLIC, address)
    assert admits(Reach.LOOPBACK, address)


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("10.1.2.3", Reach.PRIVATE),
        ("fc00::1", Reach.PRIVATE),
        ("100.64.0.1", Reach.PRIVATE),
        ("169.254.169.254", Reach.LINK_LOCAL),
        ("::ffff:169.254.169.254", Reach.LINK_LOCAL),
        ("fe80::1%eth0", Reach.LINK_LOCAL),
        ("127.1.2.3", Reach.LOOPBACK),
        ("::1", Reach.LOOPBACK),
        ("::ffff:127.0.0.1", Reach.LOOPBACK),
        ("0.0.0.0", Reach.LOOPBACK),
    ],
)
def test_a_peer_names_no_address_that_fewer_can_reach(address: str, reach: Reach) -> None:
    assert reach_of(address) is reach
    assert [peer for peer in Reach if admits(peer, address)] == [peer for peer in Reach if peer >= reach]
