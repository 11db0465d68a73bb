"""One rate limit for all processes that share their sessions in Redis."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.factory import aggregate_of, application_of
from routermcp.gateway.http import redis_rates
from routermcp.gateway.http.rate_limit import RateLimit
from routermcp.gateway.http.redis_rates import DOWN_SECONDS, RATE_PREFIX, RedisRates
from routermcp.gateway.sessions.redis import redis_at
from tests.gateway.sessions.redis_server import PASSWORD, RedisServer, redis_server

#: A period so long that nothing comes back while a test runs.
LIMIT = RateLimit(4, 40_000.0)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@asynccontextmanager
async def workers(
    url: str, limit: RateLimit = LIMIT, clock: Callable[[], float] = lambda: 0.0
) -> AsyncIterator[list[RedisRates]]:
    rates = [RedisRates(redis_at(url), limit, clock) for _ in range(2)]
    try:
        yield rates
    finally:
        for each in rates:
            await each.close()


def test_all_processes_count_together(redis: RedisServer) -> None:
    async def body() -> None:
        async with workers(redis.url) as (one, other):
            for rates in (one, other, one, other):
                assert await rates.take(b"ada", 1) is None
            wait = await other.take(b"ada", 1)
            assert wait == pytest.approx(10_000.0, abs=100.0)
            assert await one.take(b"ada", 4) == pytest.approx(40_000.0, abs=100.0)
            assert await one.take(b"brian", 4) is None, "another owner has its own"

    asyncio.run(body())


def test_requests_come_back_and_an_owner_that_rests_is_forgotten(redis: RedisServer) -> None:
    async def body() -> None:
        client = redis_at(redis.url)
        before = len(await client.keys(RATE_PREFIX + "*"))
        async with workers(redis.url, RateLimit(100, 0.1)) as (one, _):
            assert await one.take(b"rest", 100) is None
            while await one.take(b"rest", 1) is not None:  # a millisecond each
                pass
        while len(await client.keys(RATE_PREFIX + "*")) > before:
            pass
        await client.aclose(close_connection_pool=True)

    asyncio.run(body())


def test_without_redis_each_process_counts_alone_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0

    async def body(server: RedisServer) -> None:
        nonlocal now
        async with workers(server.url, clock=lambda: now) as (one, other):
            assert await one.take(b"ada", 4) is None
            server.stop()
            for rates in (one, other):
                assert [await rates.take(b"ada", 2) for _ in range(2)] == [None, None]
                assert await rates.take(b"ada", 1) is not None
            assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
            server.start()
            now += DOWN_SECONDS
            assert await other.take(b"ada", 4) is None, "what Redis held is gone"
            assert "over all processes again" in caplog.records[-1].message

    with redis_server(tmp_path) as server:
        asyncio.run(body(server))
    assert PASSWORD not in caplog.text


def test_a_redis_that_says_nothing_holds_up_one_request(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        async with workers(redis.url) as (one, _):
            assert await one.take(b"frozen", 1) is None
            monkeypatch.setattr(redis_rates, "COUNT_SECONDS", 0.05)
            with redis.frozen():
                for _ in range(4):
                    assert await one.take(b"frozen", 1) is None
                assert await one.take(b"frozen", 1) is not None
            assert len(caplog.records) == 1

    asyncio.run(body())


def test_a_value_that_others_wrote_is_no_error(redis: RedisServer) -> None:
    async def body() -> None:
        async with workers(redis.url) as (one, _):
            client = redis_at(redis.url)
            await one.take(b"odd", 1)
            for odd in ("x" * 100, "nan", "inf", "-inf", "9e15"):  # the last is of a clock that was ahead
                for key in await client.keys(RATE_PREFIX + "*"):
                    await client.set(key, odd)
                assert await one.take(b"odd", 4) is None
                assert await one.take(b"odd", 1) is not None, "it counts from now on"
            await client.flushdb()
            await client.aclose(close_connection_pool=True)

    asyncio.run(body())


def test_gateways_with_one_store_share_the_limit(redis: RedisServer) -> None:
    config = GatewayConfig.model_validate(
        {"session": {"store": redis.url}, "rateLimit": {"requests": 1, "seconds": 60}}
    )
    (one, other) = (application_of(config, aggregate_of(config)) for _ in range(2))
    rates = [vars(app)["_rates"] for app in (one, other)]

    async def body() -> None:
        assert await rates[0].take(b"gateways", 1) is None
        assert not math.isclose(await rates[1].take(b"gateways", 1) or 0.0, 0.0)
        for each in rates:
            await each.close()

    asyncio.run(body())
