"""Ten thousand users on one client: whatever happens, nothing of one ever serves another."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routermcp import RouterMCPClient
from routermcp._async.session import RouterMCPSession
from routermcp.oauth import OAuthConfig, memory_adapter
from routermcp.types import AuthorizationRequiredError, OAuthError
from tests.oauth.servers.crowd_server import Crowd, serve

USERS = 10_000

#: Whether the long profile is asked for: ``.ci/run --full``.
LONG = settings.get_current_profile_name() == "long"

ERAS = ("2026-07-28", "2025-11-25")

#: What a user or the world does. Those after the bar end what a user had.
ACTIONS = ("call", "list", "leave", "sign in", "cancel", "give up", "expire", "forget session", "steal")
ENDS = ("withdraw", "revoke")

#: Turns of the event loop within which a call whose token has ended is given up.
STEPS = 120

#: Users of one interleaving, and what they do at once, several times.
FEW = st.lists(st.integers(0, USERS - 1), min_size=2, max_size=5, unique=True)
BURSTS = st.lists(
    st.lists(st.tuples(st.sampled_from(ACTIONS + ENDS), st.integers(0, 4)), min_size=1, max_size=8),
    min_size=1,
    max_size=12,
)


class Company:
    """One client, a session for each user, and the server."""

    def __init__(self, era: str) -> None:
        self.loop = asyncio.Runner()
        self.crowd = Crowd(era)
        self._server = self.loop.run(self._begin())
        self._adapter = memory_adapter()
        oauth = OAuthConfig(self._adapter, server_id="s", redirect_uri="https://app.example/", dpop=False)
        self.client = RouterMCPClient(
            f"{self.crowd.origin}/mcp", user_id="admin", oauth=oauth, send_user_id=True, protocol=era
        )
        self.sessions = [self.client.create_session(self.name(number)) for number in range(USERS)]
        for number in range(USERS):
            self.give(self.name(number))
        self.done: Counter[str] = Counter()

    async def _begin(self) -> asyncio.Server:
        return await serve(self.crowd)

    @staticmethod
    def name(number: int) -> str:
        return f"user{number}"

    def give(self, user: str) -> None:
        """Let the store hold tokens of a user."""
        self._adapter.set(user, "s", self.crowd.record(user))

    def close(self) -> None:
        self.loop.run(self._end())
        self.loop.close()

    async def _end(self) -> None:
        await asyncio.gather(*(session.disconnect() for session in self.sessions))
        await self.client.disconnect()
        # Of ten thousand farewells some are cut short: connections that have just been made. A server
        # that is closed before it has seen those through loses their sockets (CPython 3.11).
        for _ in range(10):
            await asyncio.sleep(0)
        self._server.close()
        while self.crowd.connections:  # the clients have closed their ends
            await asyncio.wait(self.crowd.connections, timeout=60)

    # ---- what happens ---------------------------------------------------------------------------

    async def act(self, action: str, session: RouterMCPSession, other: RouterMCPSession) -> None:
        """Let something happen to a user; what comes of it has to be the user's own."""
        user = session.user_id or ""
        self.done[action] += 1
        if action == "expire":
            self.crowd.expire(user)
        elif action == "withdraw":
            self.crowd.withdraw(user)
        elif action == "forget session":
            self.crowd.forget_session(user)
        elif action == "revoke":
            await session.revoke()
        elif action == "sign in":
            await session.complete_authorization(self.crowd.consent(user, (await session.authorize()).url))
        elif action == "steal":
            begun = await session.authorize()
            if other is not session:
                with pytest.raises(OAuthError, match="no sign-in of this user"):
                    await other.complete_authorization(self.crowd.consent(user, begun.url))
        elif action == "leave":
            await session.disconnect()
        else:
            await self._use(action, session)

    async def _use(self, action: str, session: RouterMCPSession) -> None:
        user = session.user_id or ""
        server = await session.connect()
        assert server.serverInfo.name == f"server of {user}"
        if action == "call":
            assert (await session.call_tool("whoami")).text == user
        elif action == "list":
            assert [tool.name for tool in await session.list_tools()] == [f"tool-of-{user}"]
        else:
            steps = 1
            if action == "give up":  # wherever it is in having its token renewed
                self.crowd.expire(user)
                steps += self.done[action] % STEPS
            call = asyncio.create_task(session.call_tool("whoami"))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            with suppress(asyncio.CancelledError):
                assert (await call).text == user

    async def burst(self, steps: list[tuple[str, RouterMCPSession, RouterMCPSession]]) -> None:
        """Let several things happen at once.

        A call fails only where its user's consent ends meanwhile, or has ended before.
        """
        outcomes = await asyncio.gather(*(self.act(*step) for step in steps), return_exceptions=True)
        ended = {session.user_id for action, session, _ in steps if action in ENDS}
        left = {session.user_id for action, session, _ in steps if action == "leave"}
        for (action, session, _), outcome in zip(steps, outcomes, strict=True):
            if isinstance(outcome, AuthorizationRequiredError):
                assert session.user_id in ended | self._without
            elif isinstance(outcome, BaseException):
                # Who disconnects while calls are under way is told so.
                assert session.user_id in left, (action, outcome)
        self._without |= ended

    _without: set[str | None] = set()  # noqa: RUF012 - of each interleaving anew

    async def interleave(self, few: list[int], bursts: list[list[tuple[str, int]]]) -> None:
        self._without = set()
        for steps in bursts:
            at = [(action, few[index % len(few)], few[(index + 1) % len(few)]) for action, index in steps]
            await self.burst(
                [(action, self.sessions[one], self.sessions[other]) for action, one, other in at]
            )
            assert self.crowd.mixed == []
        for number in few:  # as they were before
            session = self.sessions[number]
            await session.complete_authorization(
                self.crowd.consent(self.name(number), (await session.authorize()).url)
            )
            await self.act("call", session, session)


@pytest.fixture(scope="module", params=ERAS)
def company(request: pytest.FixtureRequest) -> Iterator[Company]:
    company = Company(request.param)
    yield company
    company.close()


@settings(max_examples=1_000 if LONG else 60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(few=FEW, bursts=BURSTS)
def test_nothing_of_one_user_serves_another(
    company: Company, few: list[int], bursts: list[list[tuple[str, int]]]
) -> None:
    company.loop.run(company.interleave(few, bursts))


def test_everybody_at_once(company: Company) -> None:
    """A hundred at a time, while the tokens of every third have ended."""
    chosen = company.sessions[:: 1 if LONG else 20]

    async def use(session: RouterMCPSession, number: int) -> None:
        await company._use("call", session)
        if number % 3 == 0:
            company.crowd.expire(session.user_id or "")
        await company._use("list", session)

    async def body() -> None:
        for begin in range(0, len(chosen), 100):
            await asyncio.gather(*(use(session, n) for n, session in enumerate(chosen[begin : begin + 100])))

    company.loop.run(body())
    assert company.crowd.mixed == []
    assert company.crowd.calls >= 2 * len(chosen)
