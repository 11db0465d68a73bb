"""A runtime, an era and a server for each test that asks for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.routermcp.server import ERAS, ScriptedServer
from tests.three_runtimes import RUNTIMES


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "API_KEY", "USER_ID", "TIMEOUT", "DEBUG"):
        monkeypatch.delenv(f"ROUTERMCP_{name}", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    """The package's logger, silent before each test and put back after it."""
    logger = logging.getLogger("routermcp")
    level, handlers = logger.level, list(logger.handlers)
    logger.setLevel(logging.NOTSET)
    logger.handlers[:] = []
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server of the stateless era."""
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def sessions_server() -> Iterator[ScriptedServer]:
    """A server of the handshake era."""
    with ScriptedServer("2025-11-25") as scripted:
        yield scripted


@pytest.fixture
def any_server(era: str) -> Iterator[ScriptedServer]:
    """A server of each era in turn."""
    with ScriptedServer(era) as scripted:
        yield scripted
