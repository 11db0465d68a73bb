"""When a failed call is tried again, and after how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto.exceptions import LocalProtocolError, TransportError
from routermcp_proto.retry import RetryPolicy, deadline_after


def failure(
    code: str, status: int | None = None, *, not_run: bool = False, retry_after: float | None = None
) -> TransportError:
    return TransportError("x", code=code, status_code=status, not_run=not_run, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "read", "tool", "tool_at_gateway"),
    [
        (failure("closed"), True, False, False),
        (failure("closed", not_run=True), True, True, True),
        (failure("connect", not_run=True), True, True, True),
        (failure("dns", not_run=True), True, True, True),
        (failure("tls", not_run=True), False, False, False),
        (failure("redirect", 302, not_run=True), False, False, False),
        (failure("protocol"), False, False, False),
        (failure("timeout"), False, False, False),
        (failure("http_429", 429), True, True, True),
        (failure("http_502", 502), True, False, False),
        (failure("http_503", 503), True, False, False),
        (failure("http_503", 503, retry_after=1), True, False, True),
        (failure("http_504", 504, retry_after=1), True, False, False),
        (failure("http_500", 500), False, False, False),
        (failure("http_401", 401), False, False, False),
    ],
)
def test_what_is_repeated(error: TransportError, read: bool, tool: bool, tool_at_gateway: bool) -> None:
    policy = RetryPolicy()
    assert policy.allows(error, repeatable=True, gateway=False) is read
    assert policy.allows(error, repeatable=False, gateway=False) is tool
    assert policy.allows(error, repeatable=False, gateway=True) is tool_at_gateway


def test_statuses_can_be_chosen() -> None:
    policy = RetryPolicy(statuses=frozenset({500}))
    assert policy.allows(failure("http_500", 500), repeatable=True, gateway=False)
    assert not policy.allows(failure("http_429", 429), repeatable=True, gateway=False)


def test_waits_double_up_to_the_longest() -> None:
    policy = RetryPolicy(backoff=200, max_backoff=1000, jitter=0)
    waits = [policy.wait(attempt, retry_after=None, random=0.5) for attempt in (1, 2, 3, 4, 5000)]
    assert waits == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_servers_wait_is_obeyed_as_it_is() -> None:
    assert RetryPolicy().wait(1, retry_after=7.5, random=0.9) == 7.5


@given(
    attempt=st.integers(1, 10_000),
    chance=st.floats(0, 1),
    backoff=st.floats(0, 1e6),
    longest=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
)
def test_a_wait_is_never_negative_nor_longer_than_the_longest(
    attempt: int, chance: float, backoff: float, longest: float, jitter: float
) -> None:
    policy = RetryPolicy(backoff=backoff, max_backoff=longest, jitter=jitter)
    assert 0 <= policy.wait(attempt, retry_after=None, random=chance) <= longest / 1000


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"backoff": -1}, {"max_backoff": -1}, {"jitter": 1.5}, {"jitter": -0.1}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LocalProtocolError, match="RetryPolicy"):
        RetryPolicy(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_deadline_is_a_point_in_time() -> None:
    assert deadline_after(10.0, 1500) == 11.5
    assert deadline_after(10.0, 0) is None
