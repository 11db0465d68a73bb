"""What servers write into WWW-Authenticate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routermcp_proto.oauth.challenges import (
    MAX_CHALLENGE_PARAMETERS,
    MAX_CHALLENGES,
    Challenge,
    for_tokens,
    parse_challenges,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Bearer", [("bearer", {})]),
        ('Bearer realm="a, b", error="x"', [("bearer", {"realm": "a, b", "error": "x"})]),
        (r'Bearer realm="say \"hi\""', [("bearer", {"realm": 'say "hi"'})]),
        ("bearer scope=one", [("bearer", {"scope": "one"})]),
        ('Bearer scope = "a b" ,  error=x', [("bearer", {"scope": "a b", "error": "x"})]),
        ('Basic realm="x", Bearer a="1", DPoP algs="ES256"', [
            ("basic", {"realm": "x"}), ("bearer", {"a": "1"}), ("dpop", {"algs": "ES256"}),
        ]),
        ("Negotiate YIIB==, Bearer", [("negotiate", {}), ("bearer", {})]),
        ("Bearer, DPoP", [("bearer", {}), ("dpop", {})]),
        ('Bearer A="1", a="2"', [("bearer", {"a": "1"})]),
        ("", []),
        (", ,", []),
        ("(no scheme), Bearer", [("bearer", {})]),
        ("(", []),
        ("Bearer resource_metadata=https://x/y?z=1, a=b", [
            ("bearer", {"resource_metadata": "https://x/y?z=1", "a": "b"}),
        ]),
        ("Bearer a='b c', d='it''", [("bearer", {"a": "b c", "d": "it'"})]),
        ("Bearer a='b, c", [("bearer", {"a": "'b"}), ("c", {})]),
        ('Bearer realm="x" error="y"; a="b"', [("bearer", {"realm": "x", "error": "y", "a": "b"})]),
        ('Basic realm="x" Bearer a="b"', [("basic", {"realm": "x"}), ("bearer", {"a": "b"})]),
        ("Bearer d=The token ended, a=b", [("bearer", {"d": "The token ended", "a": "b"})]),
        ('Bearer d="No "X" header", a="b"', [("bearer", {"d": 'No "X" header', "a": "b"})]),
        ('Bearer: a="b"', [("bearer", {"a": "b"})]),
        ('a="b"', [("bearer", {"a": "b"})]),
        ('Bearer a="b', [("bearer", {"a": '"b'})]),
        ("Bearer a=", [("bearer", {})]),
    ],
)  # fmt: skip
def test_lines(line: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(found.scheme, dict(found.parameters)) for found in parse_challenges([line])] == expected


def test_several_lines_are_read() -> None:
    assert [found.scheme for found in parse_challenges(["Basic", "Bearer"])] == ["basic", "bearer"]


def test_there_are_bounds() -> None:
    assert len(parse_challenges(["Bearer, " * 99, "Basic"])) == MAX_CHALLENGES
    (long,) = parse_challenges(
        ["Bearer " + ", ".join(f"p{number}=x" for number in range(MAX_CHALLENGE_PARAMETERS))]
    )
    assert len(long.parameters) == MAX_CHALLENGE_PARAMETERS
    (longer,) = parse_challenges(["Bearer " + ", ".join(f"p{number}=x" for number in range(99))])
    assert len(longer.parameters) == MAX_CHALLENGE_PARAMETERS


@given(st.lists(st.text()))
def test_nothing_is_too_odd(lines: list[str]) -> None:
    parse_challenges(lines)


def test_what_a_challenge_says() -> None:
    (challenge,) = parse_challenges(
        ['Bearer error="insufficient_scope", scope="a b", resource_metadata="https://x/"']
    )
    assert challenge.error == "insufficient_scope"
    assert challenge.scope == ("a", "b")
    assert challenge.resource_metadata == "https://x/"
    assert Challenge("bearer").scope is None


def test_all_challenges_count_together() -> None:
    found = parse_challenges(['Basic realm="x"', "Bearer", 'DPoP resource_metadata="https://x/"'])
    assert for_tokens(found) == Challenge("bearer", {"resource_metadata": "https://x/"})
    assert for_tokens(found[2:]) == found[2]
    assert for_tokens(parse_challenges(["Basic"])) is None
    for line in ('OAuth resource_metadata="https://x/"', 'Bearer, OAuth resource_metadata="https://x/"'):
        found = parse_challenges([line])
        assert for_tokens(found) == Challenge("bearer", {"resource_metadata": "https://x/"})


def test_what_was_wrong_with_the_token_that_was_shown_counts_first() -> None:
    found = parse_challenges(
        ['Bearer error="invalid_token", scope="a"', 'DPoP error="use_dpop_nonce", algs="ES256"']
    )
    assert [getattr(for_tokens(found, used), "error", "") for used in ("bearer", "dpop")] == [
        "invalid_token",
        "use_dpop_nonce",
    ]
    (_, other) = found
    assert for_tokens((Challenge("bearer", {"scope": "a"}), other), "bearer") == Challenge(
        "bearer", {"error": "use_dpop_nonce", "algs": "ES256", "scope": "a"}
    )


@pytest.mark.parametrize("line", ["," * 1_000_000, " ," * 500_000 + "(", "(," * 500_000])
def test_long_lines_take_no_time(line: str) -> None:
    assert parse_challenges([line]) == ()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ['a="b,', "a='b,", 'a=" b c ', 'a="\\",'])
def test_quotes_that_are_never_closed_take_linear_time(unit: str) -> None:
    """Each was once searched for to the end of the line."""
    (challenge,) = parse_challenges([unit * 3_000] * 50)[:1]
    assert set(challenge.parameters) == {"a"}


def test_a_quote_that_is_not_closed_costs_its_parameter_only() -> None:
    (challenge,) = parse_challenges(['Bearer a="b, c="d"x, e="f", g=h'])
    assert challenge.parameters["g"] == "h"
