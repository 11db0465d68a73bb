"""The user's consent on another device."""

from __future__ import annotations

from typing import Any

import pytest

from routermcp_proto.exceptions import AuthorizationRequiredError, OAuthError
from routermcp_proto.oauth.authorizer import AuthAttempt
from routermcp_proto.oauth.client_auth import DEVICE_CODE
from routermcp_proto.oauth.device_grant import MAX_BACKOFF_SECONDS
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import HTTPAnswer, HTTPStep, InvalidGrantError, TokenError
from tests.proto.oauth.world import ENDPOINT, ISSUER, Party, answer, form_of

DEVICE = f"{ISSUER}/device"


class Television(Party):
    """An authorization server with codes for devices, and a client that has no browser."""

    def __init__(self, *polls: HTTPAnswer, **settings: Any) -> None:
        super().__init__(redirect_uri=None, on_device=True, **settings)
        self.codes: dict[str, Any] = {
            "device_code": "device-1",
            "user_code": "WDJB-MJHT",
            "verification_uri": f"{ISSUER}/go",
            "expires_in": 600,
        }
        self._polls = list(polls)
        self.registered: list[bytes] = []
        world = self.world
        world.clock = self.chance  # so that time passes with each pause
        world.server["device_authorization_endpoint"] = DEVICE
        world.server["authorization_endpoint"] = None
        world.server["code_challenge_methods_supported"] = None
        world.handlers[DEVICE] = lambda _: answer(document=self.codes)
        world.handlers[f"{ISSUER}/token"] = self._poll
        world.handlers[f"{ISSUER}/register"] = self._register

    def _poll(self, _: HTTPStep) -> HTTPAnswer:
        return self._polls.pop(0) if self._polls else answer(document=self.world.token)

    def _register(self, step: HTTPStep) -> HTTPAnswer:
        self.registered.append(step.body)
        return answer(201, {"client_id": f"registered-{len(self.registered)}"})

    def sign_in(self) -> bool:
        return self.world.drive(self.authorizer.challenged(401, (), AuthAttempt()))


def says(error: str, status: int = 400) -> HTTPAnswer:
    return answer(status, {"error": error})


def test_a_sign_in_from_beginning_to_end() -> None:
    pending = says("authorization_pending")
    party = Television(pending, pending, scope=("read",), page_parameters={"audience": "api"})
    assert party.sign_in()
    (code,) = party.world.shown
    assert (code.user_code, code.verification_uri) == ("WDJB-MJHT", f"{ISSUER}/go")
    assert code.expires_at == party.chance.time - 15.0 + 600.0
    (asked,) = [form_of(step) for step in party.world.steps if step.url == DEVICE]
    assert asked == {"audience": "api", "scope": "read", "resource": ENDPOINT, "client_id": "registered-1"}
    poll = {"grant_type": DEVICE_CODE, "device_code": "device-1", "resource": ENDPOINT}
    assert party.world.forms() == [{**poll, "client_id": "registered-1"}] * 3
    assert party.world.pauses == [5.0, 5.0, 5.0]  # RFC 8628, section 3.2
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-1"}
    assert party.authorizer.audit_events() == ["obtain"]


def test_the_answer_to_a_poll_is_kept_whatever_becomes_of_its_caller() -> None:
    party = Television()
    party.sign_in()
    (poll,) = [step for step in party.world.steps if step.url == f"{ISSUER}/token"]
    assert poll.spends
    assert poll.optional


def test_tokens_are_put_into_the_record_as_it_is_when_they_come() -> None:
    """A pause releases the lock of the record, and afterwards it is read again."""
    party = Television(says("authorization_pending"))
    poll = party.world.handlers[f"{ISSUER}/token"]

    def read_again(step: HTTPStep) -> HTTPAnswer:
        party.authorizer.record = GrantRecord({"endpoint": ENDPOINT})
        return poll(step)

    party.world.handlers[f"{ISSUER}/token"] = read_again
    assert party.sign_in()
    assert party.authorizer.headers("POST", ENDPOINT) == {"Authorization": "Bearer access-1"}


def test_no_resource_is_named_where_it_is_left_out() -> None:
    party = Television(resource=False)
    party.sign_in()
    (asked,) = [form_of(step) for step in party.world.steps if step.url == DEVICE]
    assert asked == {"client_id": "registered-1"}
    assert "resource" not in party.world.forms()[0]


def test_tokens_are_renewed_and_revoked_as_others() -> None:
    party = Television()
    party.sign_in()
    party.world.handlers[f"{ISSUER}/token"] = lambda _: answer(document={**party.world.token, "x": 1})
    party.world.drive(party.authorizer.renew())
    assert party.world.forms()[-1]["grant_type"] == "refresh_token"
    party.world.drive(party.authorizer.revoke())
    assert f"{ISSUER}/revoke" in party.world.asked()


def test_the_registration_is_one_for_devices() -> None:
    party = Television()
    party.sign_in()
    (document,) = party.registered
    assert b'"redirect_uris": []' in document
    assert DEVICE_CODE.encode() in document
    assert b"authorization_code" not in document


@pytest.mark.parametrize(
    ("interval", "pauses"),
    [(None, [5.0]), (2, [2.0]), ("7", [7.0]), (0, [0.1]), ("soon", [5.0])],
)
def test_the_interval_is_that_of_the_server(interval: Any, pauses: list[float]) -> None:
    party = Television()
    party.codes["interval"] = interval
    party.sign_in()
    assert party.world.pauses == pauses


def test_slow_down_adds_five_seconds_for_good() -> None:
    party = Television(says("slow_down"), says("authorization_pending"), says("slow_down"))
    party.sign_in()
    assert party.world.pauses == [5.0, 10.0, 10.0, 15.0]


@pytest.mark.parametrize("failure", [HTTPAnswer(0, {}, b""), answer(503), says("temporarily_unavailable")])
def test_a_server_in_trouble_is_asked_less_often(failure: HTTPAnswer) -> None:
    party = Television(*[failure] * 5)
    party.sign_in()
    assert party.world.pauses == [5.0, 10.0, 20.0, 40.0, MAX_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS]


def test_a_pause_of_the_server_that_is_longer_stays() -> None:
    party = Television(answer(503))
    party.codes["interval"] = 90
    party.sign_in()
    assert party.world.pauses == [90.0, 90.0]


def test_a_user_who_says_no_is_asked_no_more() -> None:
    party = Television(says("access_denied"))
    with pytest.raises(TokenError, match="access_denied"):
        party.sign_in()
    assert party.authorizer.tokens is None
    assert len(party.world.forms()) == 1


@pytest.mark.parametrize("last", [says("expired_token"), says("authorization_pending")])
def test_a_code_ends(last: HTTPAnswer) -> None:
    party = Television(*[says("authorization_pending")] * 3, last)
    party.codes["expires_in"] = 21
    with pytest.raises(OAuthError, match="has ended before a user entered it"):
        party.sign_in()
    assert len(party.world.forms()) == 4


def test_a_code_for_another_client_gives_no_tokens() -> None:
    """As a server answers that was shown the device code of a sign-in that is not this client's."""
    party = Television(says("authorization_pending"), says("invalid_grant"))
    with pytest.raises(InvalidGrantError):
        party.sign_in()
    assert party.authorizer.tokens is None
    assert "tokens" not in party.authorizer.record.members


def test_no_secret_is_in_the_error_of_a_poll() -> None:
    party = Television(answer(400, {"error": "invalid_request", "error_description": "no device-1 here"}))
    with pytest.raises(TokenError) as failure:
        party.sign_in()
    assert "device-1" not in str(failure.value)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("device_code", None, "no device code"),
        ("device_code", "", "no device code"),
        ("user_code", 7, "no code for the user"),
        ("user_code", " ", "no code for the user"),
        ("user_code", "A" * 65, "no user can type"),
        ("user_code", "AB\u202eCD", "no user can type"),
        ("verification_uri", None, "verification_uri is missing"),
        ("verification_uri", "javascript:alert(1)", "no URL that can be used"),
        ("verification_uri", "http://auth.example/go", "not https"),
        ("error", "invalid_scope", "invalid_scope"),
    ],
)
def test_codes_that_cannot_be_shown_are_none(name: str, value: Any, problem: str) -> None:
    party = Television()
    party.codes[name] = value
    with pytest.raises(OAuthError, match=problem):
        party.sign_in()
    assert party.world.shown == []


@pytest.mark.parametrize(
    ("complete", "shown"),
    [
        (f"{ISSUER}/go?code=WDJB-MJHT", True),
        ("https://elsewhere.example/go?code=WDJB-MJHT", False),
        (f"{ISSUER}/go#WDJB-MJHT", False),
        (f"{ISSUER}/\u202ego", False),
        (7, False),
    ],
)
def test_a_page_with_the_code_filled_in_is_one_of_the_same_site(complete: Any, shown: bool) -> None:
    party = Television()
    party.codes["verification_uri_complete"] = complete
    party.sign_in()
    assert (party.world.shown[0].verification_uri_complete is not None) is shown


def test_the_spelling_of_google_is_understood() -> None:
    party = Television()
    party.codes["verification_url"] = party.codes.pop("verification_uri")
    del party.codes["expires_in"]
    party.sign_in()
    assert party.world.shown[0].verification_uri == f"{ISSUER}/go"


def test_a_page_cannot_be_asked_for() -> None:
    party = Television()
    party.world.server.update(
        authorization_endpoint=f"{ISSUER}/authorize", code_challenge_methods_supported=["S256"]
    )
    with pytest.raises(AuthorizationRequiredError, match="shows a code"):
        party.world.drive(party.authorizer.begin())


def test_a_server_without_codes_says_so() -> None:
    party = Television()
    del party.world.server["device_authorization_endpoint"]
    with pytest.raises(OAuthError, match="by a code on another device"):
        party.sign_in()


def test_a_server_that_has_codes_comes_before_one_that_has_none() -> None:
    party = Television()
    first = "https://first.example"
    party.world.resource["authorization_servers"] = [first, ISSUER]
    party.world.handlers[f"{first}/.well-known/oauth-authorization-server"] = lambda _: answer(
        document={
            "issuer": first,
            "token_endpoint": f"{first}/token",
            "registration_endpoint": f"{first}/register",
        }
    )
    assert party.sign_in()
    assert party.authorizer.record.text("issuer") == ISSUER


def test_a_forgotten_client_is_registered_anew_once() -> None:
    party = Television()
    refusals = [says("invalid_client", 401)]
    party.world.handlers[DEVICE] = lambda _: refusals.pop() if refusals else answer(document=party.codes)
    assert party.sign_in()
    assert party.registrations[ISSUER]["client_id"] == "registered-2"

    other = Television()
    other.world.handlers[DEVICE] = lambda _: says("unauthorized_client")
    with pytest.raises(TokenError, match="unauthorized_client"):
        other.sign_in()
    assert len(other.registered) == 2


def test_a_client_made_by_hand_is_never_forgotten() -> None:
    party = Television(client_id="mine", client_secret="planted")
    party.world.server["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    party.world.handlers[DEVICE] = lambda _: answer(
        401, {"error": "invalid_client", "error_description": "planted"}
    )
    with pytest.raises(TokenError) as failure:
        party.sign_in()
    assert "planted" not in str(failure.value)
    assert party.registered == []
