"""What is kept of a user in a store that another program has written to: it is used, or counts as none."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, cast

import pytest

from routermcp_proto.exceptions import AuthorizationRequiredError, OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.records import GrantRecord
from tests.proto.oauth.world import REDIRECT, Party

#: Values in the place of any other, an ellipsis for none; one text has no UTF-8, one fits into no header.
ODD: tuple[Any, ...] = (..., 7, "\ud800", "a\r\nb: c", ["x"], {"x": {}})


def places(value: object, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each member in an object."""
    if isinstance(value, dict):
        for name, member in cast("dict[str, Any]", value).items():
            yield (*where, name)
            yield from places(member, (*where, name))


def damaged(members: dict[str, Any], place: tuple[str, ...], odd: Any) -> dict[str, Any]:
    """Return a copy with another value at a place, or without it for an ellipsis."""
    whole = copy.deepcopy(members)
    inside = whole
    for name in place[:-1]:
        inside = inside[name]
    if odd is ...:
        del inside[place[-1]]
    else:
        inside[place[-1]] = odd
    return whole


def full_party(**settings: Any) -> tuple[Party, str]:
    """Return a user with tokens and a sign-in that waits, and the state of that."""
    party = Party(**settings)
    party.world.drive(party.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()))
    return party, party.world.drive(party.authorizer.begin(("more",))).state


@pytest.mark.parametrize("what", ["record", "registrations"])
def test_whatever_is_kept_a_flow_ends_well_or_with_a_typed_error(what: str) -> None:
    party, state = full_party()
    authorizer, world, registrations = party.authorizer, party.world, party.registrations
    kept = {"record": copy.deepcopy(authorizer.record.members), "registrations": copy.deepcopy(registrations)}
    flows = (
        lambda: authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()),
        authorizer.renew,
        authorizer.begin,
        lambda: authorizer.complete(f"{REDIRECT}?code=code-1&state={state}"),
        authorizer.revoke,
    )
    for place in places(kept[what]):
        for odd in ODD:
            for flow in flows:
                now = {**kept, what: damaged(kept[what], place, odd)}
                authorizer.record = GrantRecord(copy.deepcopy(now["record"]))
                registrations.clear()
                registrations.update(copy.deepcopy(now["registrations"]))
                authorizer.headers("POST", authorizer.endpoint)
                with suppress(OAuthError):
                    world.drive(flow())


def test_what_no_request_can_carry_is_signed_in_anew() -> None:
    for name, odd in (("access_token", "access\r\nx: y"), ("refresh_token", "\ud800")):
        party, _ = full_party()
        party.authorizer.record.members["tokens"][name] = odd
        assert party.world.drive(party.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()))
        assert party.authorizer.headers("POST", party.authorizer.endpoint)
        assert len(party.world.visits) == 2


def test_a_page_that_was_lost_is_made_anew() -> None:
    party = Party(interactive=False)
    pages: list[str | None] = []
    for _ in range(3):
        with pytest.raises(AuthorizationRequiredError) as raised:
            party.world.drive(party.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()))
        pages.append(raised.value.url)
        if len(pages) == 2:
            for kept in party.authorizer.record.members["pending"].values():
                del kept["url"]
    assert pages[0] == pages[1] != pages[2]


def test_an_address_that_was_pasted_with_halves_of_characters_is_no_answer() -> None:
    party, state = full_party()
    for odd in (f"{REDIRECT}?code=code-1&state=\udce9", f"{REDIRECT}?error=\udce9&state={state}"):
        with pytest.raises(OAuthError):
            party.world.drive(party.authorizer.complete(odd))
