"""Every input in every state is in the table, or a mistake of whoever drives the machine."""

from __future__ import annotations

import itertools

import pytest

from routermcp_proto.exceptions import LocalProtocolError
from routermcp_proto.states import (
    REQUEST_TRANSITIONS,
    SESSION_TRANSITIONS,
    RequestInput,
    RequestState,
    SessionInput,
    SessionState,
    next_request_state,
    next_session_state,
)


@pytest.mark.parametrize(("state", "happening"), list(itertools.product(SessionState, SessionInput)))
def test_every_session_input(state: SessionState, happening: SessionInput) -> None:
    if (state, happening) in SESSION_TRANSITIONS:
        assert next_session_state(state, happening) is SESSION_TRANSITIONS[state, happening]
    else:
        with pytest.raises(LocalProtocolError, match=state.value):
            next_session_state(state, happening)


@pytest.mark.parametrize(("state", "happening"), list(itertools.product(RequestState, RequestInput)))
def test_every_request_input(state: RequestState, happening: RequestInput) -> None:
    if (state, happening) in REQUEST_TRANSITIONS:
        assert next_request_state(state, happening) is REQUEST_TRANSITIONS[state, happening]
    else:
        with pytest.raises(LocalProtocolError, match=state.value):
            next_request_state(state, happening)


def test_closed_is_final_and_can_be_reached_from_everywhere() -> None:
    for state in SessionState:
        assert SESSION_TRANSITIONS[state, SessionInput.CLOSE] is SessionState.CLOSED
    onward = {target for (state, _), target in SESSION_TRANSITIONS.items() if state is SessionState.CLOSED}
    assert onward == {SessionState.CLOSED}


def test_a_request_ends_once() -> None:
    assert {state for state, _ in REQUEST_TRANSITIONS} == {RequestState.PENDING}
    assert RequestState.PENDING not in REQUEST_TRANSITIONS.values()


def test_only_a_handshake_leads_to_ready() -> None:
    sources = {state for (state, _), target in SESSION_TRANSITIONS.items() if target is SessionState.READY}
    assert sources == {SessionState.PROBING, SessionState.INITIALIZING}
