"""What is dialled: names, addresses and failures, on a clock that only moves when somebody waits."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from routermcp_adapters.http import connect
from routermcp_adapters.http.connect import (
    MAX_ADDRESSES,
    MAX_RESOLUTIONS,
    RESOLUTION_SECONDS,
    Resolver,
    dial,
)
from routermcp_adapters.runtime import Address
from routermcp_adapters.runtimes.run_sync import run_sync
from routermcp_proto.exceptions import TransportError
from routermcp_proto.http.url import EndpointURL
from tests.adapters.scripted_runtime import MemoryRuntime

FOUR, SIX = socket.AF_INET, socket.AF_INET6


class Names:
    """Stands in for the system's resolver, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.families: list[int] = [FOUR]

    def __call__(self, host: str, port: int, **options: object) -> list[Any]:
        self.asked.append((host, port))
        return [
            (family, socket.SOCK_STREAM, 6, "", (str(number), port))
            for number, family in enumerate(self.families)
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    names = Names()
    monkeypatch.setattr(connect.socket, "getaddrinfo", names)
    return names


class Lookups:
    """A resolver and the clock by which it remembers."""

    def __init__(self) -> None:
        self.runtime = MemoryRuntime(lambda: lambda data: [])
        self.resolver = Resolver()

    def addresses(self, host: str, port: int = 80) -> list[Address]:
        return run_sync(self.resolver.addresses(self.runtime, host, port))

    def let_pass(self, seconds: float) -> None:
        run_sync(self.runtime.sleep(seconds))


def test_a_name_is_remembered_for_half_a_minute_and_no_longer(names: Names) -> None:
    lookups = Lookups()
    lookups.addresses("one.example")
    lookups.let_pass(RESOLUTION_SECONDS - 1)
    lookups.addresses("one.example")
    assert len(names.asked) == 1
    lookups.let_pass(2)
    lookups.addresses("one.example")
    assert len(names.asked) == 2


def test_each_port_of_a_host_is_its_own(names: Names) -> None:
    lookups = Lookups()
    assert [lookups.addresses("one.example", port)[0][1][1] for port in (80, 81, 80)] == [80, 81, 80]
    assert names.asked == [("one.example", 80), ("one.example", 81)]


def test_only_so_many_names_are_remembered(names: Names) -> None:
    lookups = Lookups()
    for number in range(MAX_RESOLUTIONS + 10):
        lookups.addresses(f"{number}.example")
        assert len(lookups.resolver._known) <= MAX_RESOLUTIONS
    assert len(names.asked) == MAX_RESOLUTIONS + 10


def test_an_address_is_not_looked_up(names: Names) -> None:
    lookups = Lookups()
    assert lookups.addresses("127.0.0.1") == [(FOUR, ("127.0.0.1", 80))]
    assert lookups.addresses("::1") == [(SIX, ("::1", 80, 0, 0))]
    assert names.asked == []


@pytest.mark.parametrize(
    ("families", "order"),
    [
        ([SIX, SIX, SIX, FOUR, FOUR], "03142"),
        ([FOUR, FOUR, SIX], "021"),
        ([SIX, FOUR], "01"),
        ([FOUR, FOUR], "01"),
    ],
)
def test_families_take_turns_and_the_first_stays_first(names: Names, families: list[int], order: str) -> None:
    names.families = families
    assert "".join(where[0] for _, where in Lookups().addresses("one.example")) == order


def test_a_host_with_very_many_addresses_is_tried_at_some_of_each_family(names: Names) -> None:
    names.families = [SIX] * 50 + [FOUR] * 50
    found = [family for family, _ in Lookups().addresses("one.example")]
    assert found == [SIX, FOUR] * (MAX_ADDRESSES // 2)


@pytest.mark.parametrize(
    "error", [TimeoutError(errno.ETIMEDOUT, "timed out"), OSError(errno.ENETDOWN, "down")]
)
def test_what_the_kernel_says_of_a_connection_is_a_failure_to_connect(error: OSError) -> None:
    with pytest.raises(TransportError) as caught:
        dial_into(error)
    assert (caught.value.code, caught.value.not_run) == ("connect", True)


def test_the_callers_own_limit_passes_as_it_is() -> None:
    with pytest.raises(TimeoutError):
        dial_into(TimeoutError("the deadline has passed"))


def dial_into(error: OSError) -> None:
    def refuse() -> Callable[[bytes], list[Any]]:
        raise error

    run_sync(dial(MemoryRuntime(refuse), Resolver(), EndpointURL.parse("http://127.0.0.1:1/"), None))
