"""Requests whose client has to answer first: their states, and the work that waits for the answer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any, cast

import pytest

from routermcp.gateway import Caller, InputRequired
from routermcp.gateway.upstreams import input_required
from routermcp.gateway.upstreams.input_required import (
    TRANSITIONS,
    SuspendableRequest,
    SuspendedRequests,
    Suspension,
    SuspensionInput,
    next_suspension,
)
from routermcp.types import InternalError, InvalidParamsError, LocalProtocolError, Progress

# ---- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "happening"), list(itertools.product(Suspension, SuspensionInput)))
def test_every_input_in_every_state(state: Suspension, happening: SuspensionInput) -> None:
    if (state, happening) in TRANSITIONS:
        assert next_suspension(state, happening) is TRANSITIONS[state, happening]
    else:
        with pytest.raises(LocalProtocolError, match=state.value):
            next_suspension(state, happening)


def test_work_that_has_ended_stays_so() -> None:
    assert {target for (state, _), target in TRANSITIONS.items() if state is Suspension.ENDED} == {
        Suspension.ENDED
    }


def test_a_client_is_away_only_with_a_question_and_comes_back_only_then() -> None:
    away = [state for (state, _), target in TRANSITIONS.items() if target is Suspension.SUSPENDED]
    assert set(away) == {Suspension.ASKING, Suspension.SUSPENDED}
    back = {state for state, happening in TRANSITIONS if happening is SuspensionInput.RESUME}
    assert back == {Suspension.SUSPENDED, Suspension.ENDED}


def test_work_may_end_whenever_it_goes_on() -> None:
    ends = {state for state, happening in TRANSITIONS if happening is SuspensionInput.END}
    assert ends == set(Suspension) - {Suspension.ENDED}


# ---- the work --------------------------------------------------------------------------------------


class Client:
    """A caller of the stateless era; answers travel with the next request."""

    session_id = None

    def __init__(self, user_id: str, state: str | None = None, **answers: str) -> None:
        self.user_id = user_id
        self.request_state = state
        self.reports: list[float] = []
        self._answers = answers

    async def ask(self, key: str, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = self._answers.get(key.replace("-", "_"))
        if answer is None:
            raise InputRequired({key: {"method": method, "params": params}})
        return {"answer": answer}

    async def report_progress(self, progress: float, **_: object) -> None:
        self.reports.append(progress)


def caller(*arguments: Any, **answers: str) -> Caller:
    return cast("Caller", Client(*arguments, **answers))


async def asked(
    requests: SuspendedRequests, client: Caller, work: input_required.ForwardedWork
) -> InputRequired:
    with pytest.raises(InputRequired) as caught:
        await requests.run(client, work)
    return caught.value


async def one_question(request: SuspendableRequest) -> Mapping[str, Any]:
    return await request.ask("elicitation/create", {})


async def never(_: SuspendableRequest) -> Mapping[str, Any]:
    raise AssertionError("only the first request begins the work")


def test_work_goes_on_with_the_answer() -> None:
    async def body() -> None:
        requests = SuspendedRequests()
        question = await asked(requests, caller("ada"), one_question)
        assert list(question.requests) == ["question-1"]
        assert len(requests) == 1
        assert await requests.run(caller("ada", question.state, question_1="yes"), never) == {"answer": "yes"}
        assert len(requests) == 0

    asyncio.run(body())


def test_a_token_is_good_once_and_for_its_own_user() -> None:
    async def body() -> None:
        requests = SuspendedRequests()
        question = await asked(requests, caller("ada"), one_question)
        for client in (caller("bob", question.state), caller("ada", "another")):
            with pytest.raises(InvalidParamsError, match="make the call again"):
                await requests.run(client, never)
        await requests.run(caller("ada", question.state, question_1="yes"), never)
        with pytest.raises(InvalidParamsError, match="make the call again"):
            await requests.run(caller("ada", question.state, question_1="yes"), never)

    asyncio.run(body())


def test_a_question_that_comes_while_the_client_is_away_is_told_when_it_is_back() -> None:
    async def body() -> None:
        requests, away, reported = SuspendedRequests(), asyncio.Event(), asyncio.Event()

        async def two_questions(request: SuspendableRequest) -> Mapping[str, Any]:
            async def second() -> Mapping[str, Any]:
                await away.wait()
                await request.report_progress(Progress(progress=1.0, total=None, message=None))
                reported.set()
                return await request.ask("elicitation/create", {})

            later = asyncio.create_task(second())
            first = await request.ask("elicitation/create", {})
            return {"answers": [first["answer"], (await later)["answer"]]}

        client = Client("ada")
        question = await asked(requests, cast("Caller", client), two_questions)
        away.set()
        await reported.wait()
        assert client.reports == [], "a client that is away gets no reports"
        more = await asked(requests, caller("ada", question.state, question_1="one"), never)
        assert list(more.requests) == ["question-2"]
        result = await requests.run(caller("ada", more.state, question_2="two"), never)
        assert result == {"answers": ["one", "two"]}

    asyncio.run(body())


def test_work_that_ends_while_the_client_is_away_has_its_result_waiting() -> None:
    """And what the server still asks then is refused, not kept."""

    async def body() -> None:
        requests, refusals = SuspendedRequests(), asyncio.Queue[str]()
        away = asyncio.Event()

        async def asks_aside(request: SuspendableRequest) -> Mapping[str, Any]:
            async def ask() -> None:
                try:
                    await request.ask("elicitation/create", {})
                except InternalError as error:
                    refusals.put_nowait(str(error))

            aside = asyncio.create_task(ask())
            await away.wait()
            asides.append(aside)
            return {"done": True}

        asides: list[asyncio.Task[None]] = []
        question = await asked(requests, caller("ada"), asks_aside)
        away.set()
        assert "is over" in await refusals.get()
        assert await requests.run(caller("ada", question.state), never) == {"done": True}

    asyncio.run(body())


@pytest.mark.parametrize("way", ["late", "closed", "cancelled", "too many"])
def test_work_that_nobody_waits_for_is_cancelled(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        cancelled = asyncio.Event()

        async def work(request: SuspendableRequest) -> Mapping[str, Any]:
            try:
                if way == "cancelled":
                    await asyncio.Event().wait()
                return await one_question(request)
            finally:
                cancelled.set()

        requests = SuspendedRequests(seconds=0.0 if way == "late" else 300.0)
        if way == "cancelled":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await requests.run(caller("ada"), work)
        elif way == "too many":
            monkeypatch.setattr(input_required, "MAX_SUSPENDED", 0)
            with pytest.raises(InternalError, match="too many questions"):
                await requests.run(caller("ada"), work)
        else:
            await asked(requests, caller("ada"), work)
            if way == "closed":
                await requests.close()
        await cancelled.wait()
        assert len(requests) == 0

    asyncio.run(body())


def test_work_that_fails_says_so_to_its_client() -> None:
    async def body() -> None:
        async def work(request: SuspendableRequest) -> Mapping[str, Any]:
            await one_question(request)
            raise InternalError("broken")

        requests = SuspendedRequests()
        question = await asked(requests, caller("ada"), work)
        with pytest.raises(InternalError, match="broken"):
            await requests.run(caller("ada", question.state, question_1="yes"), never)

    asyncio.run(body())
