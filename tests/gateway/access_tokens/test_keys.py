"""Keys are fetched when they are needed and no oftener; good tokens are checked once."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from routermcp.gateway.access_tokens import key_sources
from routermcp.gateway.access_tokens import verifier as verifiers
from routermcp.gateway.access_tokens.checker import CLOCK_SKEW_SECONDS, SignatureKeys, TokenRules
from routermcp.gateway.access_tokens.key_sources import (
    MAX_DOCUMENT_BYTES,
    MISSED_SECONDS,
    RETRY_SECONDS,
    STALE_SECONDS,
    FetchedKeys,
    OwnKeys,
)
from routermcp.gateway.access_tokens.refusals import TokenProblem, TokenRefusedError
from routermcp.gateway.access_tokens.verifier import KEYS_SECONDS, TokenVerifier
from routermcp.types import ConfigError, MCPError
from tests.gateway.access_tokens.issuing import KEY, NOW, OTHER, RULES, key_set, public, token
from tests.gateway.access_tokens.issuing_server import IssuingServer
from tests.routermcp.server import Action, dropped, refused, silent


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Iterator[IssuingServer]:
    with IssuingServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


# ---- fetched keys ---------------------------------------------------------------------------------------


def test_keys_are_found_by_the_issuer_and_fetched_once_for_all(server: IssuingServer, clock: Clock) -> None:
    async def body() -> None:
        source = FetchedKeys(server.origin, clock=clock)
        found = await asyncio.gather(*(source.keys() for _ in range(5)))
        assert len({id(keys) for keys in found}) == 1
        clock.now += KEYS_SECONDS - 1
        assert await source.keys() is found[0]
        assert server.fetched == 1
        clock.now += 1
        assert await source.keys() is not found[0]
        assert server.fetched == 2

    asyncio.run(body())
    assert [seen.target for seen in server.requests("GET")][:2] == [
        "/.well-known/oauth-authorization-server",
        "/jwks",
    ]


def test_a_key_that_is_missed_is_looked_for_once_in_a_while(server: IssuingServer, clock: Clock) -> None:
    async def body() -> None:
        source = FetchedKeys(server.origin, f"{server.origin}/jwks", clock)
        keys = await source.keys()
        for rounds in (2, 3):
            found = await asyncio.gather(*(source.keys(missed=keys) for _ in range(20)))
            assert len({id(each) for each in found}) == 1
            assert found[0] is not keys
            keys = found[0]
            for _ in range(20):
                assert await source.keys(missed=keys) is keys, "they were fetched just now"
            assert server.fetched == rounds
            clock.now += MISSED_SECONDS

    asyncio.run(body())


def test_an_authorization_server_that_is_down_costs_nothing_for_an_hour(
    server: IssuingServer, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        source = FetchedKeys(server.origin, f"{server.origin}/jwks", clock)
        keys = await source.keys()
        server.treats_keys = dropped
        clock.now += KEYS_SECONDS
        for _ in range(5):
            assert await source.keys() is keys
        asked = server.fetched
        clock.now += RETRY_SECONDS
        assert await source.keys() is keys
        assert server.fetched == 2 * asked - 1, "tried once more"
        clock.now += STALE_SECONDS
        with pytest.raises(MCPError, match="cannot be fetched now"):
            await source.keys()
        server.treats_keys = None
        clock.now += RETRY_SECONDS
        assert await source.keys() is not keys

    with caplog.at_level(logging.WARNING):
        asyncio.run(body())
    assert len(caplog.messages) == 3, "one for each attempt"


@pytest.mark.parametrize(
    "action",
    [
        dropped,
        silent,
        refused(404),
        refused(301, Location="/elsewhere"),
        refused(200, "<html>"),
        refused(200, '{"keys": []}'),
        refused(200, " " * MAX_DOCUMENT_BYTES + "{}"),
        refused(200, json.dumps(key_set(KEY)), Content_Encoding="gzip"),
    ],
)
def test_what_is_no_key_set_is_told_and_not_asked_for_again_at_once(
    server: IssuingServer, clock: Clock, action: Action, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.treats_keys = action
    if action is silent:
        monkeypatch.setattr(key_sources, "FETCH_SECONDS", 0.05)

    async def body() -> None:
        source = FetchedKeys(server.origin, f"{server.origin}/jwks", clock)
        asked = 0
        for _ in range(3):
            with pytest.raises(MCPError, match="cannot be fetched now"):
                await source.keys()
            asked = asked or server.fetched
        assert server.fetched == asked

    asyncio.run(body())


def test_an_issuer_that_names_no_keys_says_what_to_do(
    server: IssuingServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.odd_metadata = {"jwks_uri": None}

    async def body() -> None:
        with pytest.raises(MCPError):
            await FetchedKeys(server.origin).keys()

    asyncio.run(body())
    assert "set auth.jwt.jwks" in caplog.text


def test_a_caller_that_gives_up_takes_no_keys_from_the_others(server: IssuingServer) -> None:
    async def body() -> None:
        source = FetchedKeys(server.origin)
        first, second = (asyncio.create_task(source.keys()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second is await source.keys()
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(body())


# ---- given keys -----------------------------------------------------------------------------------------


def test_a_key_set_may_be_a_file_or_given(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(key_set(KEY, OTHER)))
    for given in (path, key_set(KEY, OTHER)):
        assert len(asyncio.run(OwnKeys(given).keys())) == 2


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", "\xff", '{"keys": [{"kty": "oct", "k": "secret"}]}']
)
def test_a_key_set_that_cannot_be_used_is_an_error_without_its_content(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"jwks\.json") as caught:
        OwnKeys(path)
    assert "secret" not in str(caught.value)


# ---- tokens that are known --------------------------------------------------------------------------------


class CountingKeys:
    """Keys that count the signatures they check."""

    def __init__(self) -> None:
        self.checked = 0
        self.keys_now = public(KEY)

    async def keys(self, missed: SignatureKeys | None = None) -> SignatureKeys:
        return self

    def check_signature(self, token: str, algorithm: str, key_id: str | None) -> None:
        self.checked += 1
        self.keys_now.check_signature(token, algorithm, key_id)


def test_a_good_token_is_checked_once_until_it_ends(clock: Clock) -> None:
    keys = CountingKeys()

    async def body() -> None:
        verifier = TokenVerifier(RULES, keys, clock)
        text = token(exp=NOW + 100)
        for _ in range(10):
            assert (await verifier.verify(text)).subject == "ada"
        assert keys.checked == 1
        clock.now += 100 + CLOCK_SKEW_SECONDS
        with pytest.raises(TokenRefusedError) as caught:
            await verifier.verify(text)
        assert caught.value.problem is TokenProblem.EXPIRED

    asyncio.run(body())


def test_a_key_that_is_withdrawn_ends_the_tokens_that_are_known(clock: Clock) -> None:
    keys = CountingKeys()

    async def body() -> None:
        verifier = TokenVerifier(RULES, keys, clock)
        text = token(exp=NOW + 10 * KEYS_SECONDS)
        await verifier.verify(text)
        keys.keys_now = public(OTHER)
        clock.now += KEYS_SECONDS
        with pytest.raises(TokenRefusedError):
            await verifier.verify(text)

    asyncio.run(body())


def test_the_tokens_that_are_known_are_bounded_and_refused_ones_are_none(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifiers, "MAX_VERIFIED_TOKENS", 3)

    async def body() -> None:
        verifier = TokenVerifier(RULES, CountingKeys(), clock)
        for number in range(10):
            await verifier.verify(token(sub=f"user-{number}"))
            with pytest.raises(TokenRefusedError):
                await verifier.verify(token(header={"kid": "x"}, sub=f"user-{number}"))
        assert len(verifier) == 3

    asyncio.run(body())


def test_a_token_with_a_new_key_is_good_at_once_and_the_old_one_is_over(
    server: IssuingServer, clock: Clock
) -> None:
    async def body() -> None:
        rules = TokenRules(server.origin, frozenset({server.audience}), RULES.algorithms)
        verifier = TokenVerifier(rules, FetchedKeys(server.origin, clock=clock))
        old = server.token("alice")
        await verifier.verify(old)
        server.rotate()
        assert (await verifier.verify(server.token("bob"))).subject == "bob"
        with pytest.raises(TokenRefusedError):
            await verifier.verify(server.token("carol", nbf=NOW * 2))
        assert server.fetched == 2
        server.rotate()
        with pytest.raises(TokenRefusedError):
            await verifier.verify(server.token("bob"))
        clock.now += MISSED_SECONDS
        assert (await verifier.verify(server.token("bob"))).subject == "bob"

    asyncio.run(body())
