"""Authorization servers that have forgotten the application."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from routermcp_proto.exceptions import OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.client import TRUSTED_SECONDS
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import AskUser, ForgottenClientError, HTTPAnswer, HTTPStep, TokenError
from tests.proto.oauth.world import ISSUER, Party, answer, form_of


class ForgetfulParty(Party):
    """A party whose authorization server knows the clients that it has not forgotten."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.known: set[str] = {"mine"}
        self.made = 0
        self.at_callback = False
        self.world.handlers[f"{ISSUER}/register"] = self._register
        self.world.handlers[f"{ISSUER}/token"] = self._token
        comes_back = self.world.comes_back

        def back(url: str) -> str:
            client = parse_qs(urlsplit(url).query)["client_id"][0]
            refused = self.at_callback and client not in self.known
            self.world.callback = {"error": "unauthorized_client"} if refused else {"code": client}
            return comes_back(url)

        self.world.comes_back = back

    def _register(self, _: HTTPStep) -> HTTPAnswer:
        self.made += 1
        self.known.add(f"client-{self.made}")
        return answer(201, {"client_id": f"client-{self.made}"})

    def _token(self, step: HTTPStep) -> HTTPAnswer:
        if form_of(step)["client_id"] not in self.known:
            return answer(401, {"error": "invalid_client"})
        return answer(document=self.world.token)

    def sign_in(self) -> bool:
        self.authorizer.record.forget_tokens()
        return self.world.drive(self.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt()))

    def walks_away(self) -> None:
        """Send the user to a page that shows an error."""
        flow = self.authorizer.challenged(401, (Challenge("bearer"),), AuthAttempt())
        reply: Any = None
        while not isinstance(step := flow.send(reply), AskUser):
            reply = self.world._request(step) if isinstance(step, HTTPStep) else None  # pyright: ignore[reportPrivateUsage]
        flow.close()


@pytest.mark.parametrize("at_callback", [True, False])
def test_at_the_callback_and_at_the_exchange_another_registration_is_made_once(at_callback: bool) -> None:
    party = ForgetfulParty()
    party.at_callback = at_callback
    assert party.sign_in()
    party.known.clear()
    assert party.sign_in()
    assert party.made == 2
    assert len(party.world.visits) == 3


def test_a_server_that_knows_no_client_for_long_ends_it() -> None:
    party = ForgetfulParty()
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(401, {"error": "invalid_client"})
    with pytest.raises(ForgottenClientError, match="signing in again makes a new one"):
        party.sign_in()
    assert len(party.world.visits) == 2


@pytest.mark.parametrize("at_callback", [True, False])
def test_what_was_registered_by_hand_stays(at_callback: bool) -> None:
    party = ForgetfulParty(client_id="mine")
    party.at_callback = at_callback
    party.known.clear()
    with pytest.raises(TokenError, match="_client") as caught:
        party.sign_in()
    assert not isinstance(caught.value, ForgottenClientError)
    assert party.made == 0


def test_a_user_who_does_not_come_back_from_the_page_gets_another_client() -> None:
    party = ForgetfulParty()
    party.sign_in()
    party.authorizer.record.forget_tokens()
    party.walks_away()
    assert party.made == 1
    assert party.sign_in()
    assert party.made == 2


def test_users_who_never_come_back_cost_one_registration_a_day() -> None:
    party = ForgetfulParty()
    for _ in range(5):
        party.walks_away()
    assert party.made == 1
    party.chance.time += TRUSTED_SECONDS
    party.walks_away()  # the sign-ins of yesterday are the proof
    for _ in range(5):
        party.walks_away()
    assert party.made == 2


def test_a_user_who_came_back_proves_the_client() -> None:
    party = ForgetfulParty()
    for _ in range(3):
        party.authorizer.record = GrantRecord()
        assert party.sign_in()
    assert party.made == 1


def test_a_client_that_was_registered_anew_meanwhile_stays() -> None:
    party = ForgetfulParty()
    pending = party.world.drive(party.authorizer.begin())
    party.registrations[ISSUER]["client_id"] = "newer"
    party.world.drive(party.authorizer.complete(party.world.comes_back(pending.url)))
    assert party.registrations[ISSUER]["client_id"] == "newer"
    party.known.clear()
    later = party.world.drive(party.authorizer.begin())
    party.registrations[ISSUER]["client_id"] = "newest"
    with pytest.raises(TokenError, match="invalid_client"):
        party.world.drive(party.authorizer.complete(party.world.comes_back(later.url)))
    assert party.registrations[ISSUER]["client_id"] == "newest"


def test_another_process_completes_a_sign_in_with_a_client_that_is_forgotten() -> None:
    party = ForgetfulParty()
    party.sign_in()
    pending = party.world.drive(party.authorizer.begin())
    party.known.clear()
    with pytest.raises(ForgottenClientError):
        party.world.drive(party.authorizer.complete(party.world.comes_back(pending.url)))
    again = party.world.drive(party.authorizer.begin())
    party.world.drive(party.authorizer.complete(party.world.comes_back(again.url)))
    assert party.made == 2


def test_registrations_are_forgotten_by_hand() -> None:
    party = ForgetfulParty()
    party.sign_in()
    party.registrations["issuer for mine"] = ISSUER
    party.world.drive(party.authorizer.forget_clients())
    assert party.registrations == {"issuer for mine": ISSUER}
    assert party.world.kept == 1
    party.sign_in()
    assert party.made == 2


def test_a_user_who_says_no_is_told_so_and_the_client_stays() -> None:
    party = ForgetfulParty()
    party.world.comes_back = lambda url: (
        f"{url.partition('?')[0]}?error=access_denied&state=" + (parse_qs(urlsplit(url).query)["state"][0])
    )
    with pytest.raises(OAuthError, match="access_denied"):
        party.sign_in()
    assert ISSUER in party.registrations
