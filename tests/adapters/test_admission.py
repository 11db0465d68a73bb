"""Where a request may go that a server asked for: to no address that fewer can reach than the server's.

The names are resolved by a resolver whose answers change, as an attacker's do.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_adapters.http.connect import RESOLUTION_SECONDS
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto.exceptions import TransportError
from routermcp_proto.oauth.urls import reach_of
from tests.adapters.rig import Rig

PUBLIC, OTHER_PUBLIC, LAN, METADATA, HERE = "8.8.8.8", "9.9.9.9", "10.0.0.5", "169.254.169.254", "127.0.0.1"

Names = dict[str, list[list[str]]]


def resolving(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Return what each name resolves to: at each look-up the next list of addresses, then the last one."""
    answers: Names = {}

    def resolve(host: str, port: int, **_: object) -> list[Any]:
        found = answers[host]
        addresses = found.pop(0) if len(found) > 1 else found[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return answers


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return resolving(monkeypatch)


def connected() -> Rig:
    """A client that has spoken with its server."""
    return Rig(url="http://mcp.example/mcp").connect()


def pass_time(rig: Rig) -> None:
    """Let names be looked up again."""
    run_sync(rig.runtime.sleep(RESOLUTION_SECONDS + 1))


def fetch(rig: Rig, url: str, named_by: str = "") -> str:
    """Make the request that a server asked for, and return where it went."""
    run_sync(rig.transport.fetch("GET", url, {}, b"", 1000, named_by=named_by))
    return rig.runtime.dialed[-1]


def refused(rig: Rig, url: str, named_by: str = "") -> None:
    before = list(rig.runtime.dialed)
    with pytest.raises(TransportError, match="in a private network") as caught:
        fetch(rig, url, named_by)
    assert caught.value.not_run
    assert rig.runtime.dialed == before


@pytest.mark.parametrize("inside", [LAN, METADATA, HERE])
@pytest.mark.parametrize(
    "own",
    [
        [[PUBLIC]],
        # One private record beside the public one switches nothing off, in whatever order.
        [[PUBLIC, LAN]],
        [[HERE, PUBLIC]],
        # Nor does a name that leads inside by the time that it is looked up again.
        [[PUBLIC], [HERE]],
        [[PUBLIC], [LAN]],
    ],
)
def test_a_public_server_leads_nowhere_inside(names: Names, own: list[list[str]], inside: str) -> None:
    names.update({"mcp.example": list(own), "inner.example": [[inside]]})
    rig = connected()
    pass_time(rig)
    refused(rig, "http://inner.example/token")
    refused(rig, f"http://{inside}/token")


def test_a_public_server_does_not_name_itself_once_its_name_leads_inside(names: Names) -> None:
    names["mcp.example"] = [[PUBLIC], [METADATA]]
    rig = connected()
    pass_time(rig)
    refused(rig, "http://mcp.example/latest/meta-data")


def test_no_connection_is_used_that_a_call_has_opened_inside(names: Names) -> None:
    """After rebinding, a call of the user goes to the new address; a request that was named does not."""
    names["mcp.example"] = [[PUBLIC], [LAN]]
    rig = connected()
    pass_time(rig)
    pool = rig.transport.pool()
    connection = run_sync(pool.lease(rig.transport.endpoint))
    pool.release(connection)
    assert rig.runtime.dialed == [PUBLIC, LAN]
    refused(rig, "http://mcp.example/latest")


@pytest.mark.parametrize(
    ("own", "named", "allowed"),
    [
        (PUBLIC, OTHER_PUBLIC, True),
        (LAN, PUBLIC, True),
        (LAN, "10.9.9.9", True),
        (LAN, METADATA, False),
        (LAN, HERE, False),
        (METADATA, LAN, True),
        (METADATA, HERE, False),
        (HERE, "127.0.0.2", True),
        (HERE, METADATA, True),
        (HERE, LAN, True),
    ],
)
def test_a_server_leads_where_all_can_go_that_reach_it(
    names: Names, own: str, named: str, allowed: bool
) -> None:
    names.update({"mcp.example": [[own]], "other.example": [[named]]})
    rig = connected()
    if allowed:
        assert fetch(rig, "http://other.example/token") == named
    else:
        refused(rig, "http://other.example/token")


def test_of_a_name_with_addresses_of_both_kinds_the_public_ones_are_used(names: Names) -> None:
    names.update({"mcp.example": [[PUBLIC]], "other.example": [[HERE, LAN, OTHER_PUBLIC]]})
    assert fetch(connected(), "http://other.example/token") == OTHER_PUBLIC


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(names: Names) -> None:
    names.update({"mcp.example": [[PUBLIC]], "other.example": [[OTHER_PUBLIC], [HERE]]})
    rig = connected()
    assert fetch(rig, "http://other.example/token") == OTHER_PUBLIC
    pass_time(rig)
    refused(rig, "http://other.example/token")


def test_a_public_authorization_server_of_a_private_mcp_server_leads_nowhere_inside(names: Names) -> None:
    names.update({"mcp.example": [[LAN]], "auth.example": [[PUBLIC], [LAN]]})
    rig = connected()
    assert fetch(rig, "http://auth.example/.well-known/oauth-authorization-server") == PUBLIC
    pass_time(rig)
    refused(rig, f"http://{LAN}:8080/token", named_by="http://auth.example")
    assert fetch(rig, f"http://{LAN}:8080/token") == LAN  # the MCP server itself may name it


@pytest.mark.parametrize(("own", "allowed"), [([PUBLIC, LAN], False), ([LAN, HERE], True)])
def test_before_any_connection_all_addresses_of_the_server_count(
    names: Names, own: list[str], allowed: bool
) -> None:
    """A token endpoint may be known from an earlier time: it was judged when it was named."""
    names.update({"mcp.example": [own], "auth.example": [["10.9.9.9"]]})
    rig = Rig(url="http://mcp.example/mcp")
    rig.transport.open(rig.runtime, object())
    if allowed:
        assert fetch(rig, "http://auth.example/token") == "10.9.9.9"
    else:
        refused(rig, "http://auth.example/token")


ANSWERS = st.lists(
    st.lists(st.sampled_from([PUBLIC, LAN, HERE]), min_size=1, max_size=2), min_size=1, max_size=3
)
STEPS = st.lists(st.sampled_from(["later", "other.example", "mcp.example"]), min_size=1, max_size=6)


@given(ANSWERS, ANSWERS, STEPS)
def test_whatever_names_resolve_to_no_request_goes_where_fewer_can_reach(
    own: list[list[str]], other: list[list[str]], steps: list[str]
) -> None:
    """Judged by the address of the connection on which the server spoke first."""
    with pytest.MonkeyPatch.context() as patch:
        resolving(patch).update({"mcp.example": own, "other.example": other})
        rig = connected()
        reach = reach_of(rig.runtime.dialed[0])
        for step in steps:
            if step == "later":
                pass_time(rig)
                continue
            before = len(rig.runtime.dialed)
            with suppress(TransportError):
                fetch(rig, f"http://{step}/token")
            assert all(reach_of(address) <= reach for address in rig.runtime.dialed[before:])
