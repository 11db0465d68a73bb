"""The stores that adapters are tested on: real ones, each with nothing in it."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy
from cryptography.fernet import Fernet

from routermcp.gateway import BuiltinTools, GatewayApp, LocalGateway, serve_in_thread
from routermcp.gateway.config.model import GatewayConfig
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.http.routes.token_api import TokenAPI
from routermcp.gateway.http.routes.token_leases import TokenLeases
from routermcp.oauth import TokenAdapter, file_adapter
from tests.gateway.sessions.redis_server import redis_server
from tests.oauth.servers.postgres_server import postgres_server
from tests.oauth.stores import KEY, open_store

Factory = Callable[[], TokenAdapter]
"""Makes an adapter, each time on the same store."""

ADAPTERS = ("memory", "file", "sqlite", "encrypted", "redis", "postgres", "cloud")

#: Those whose stores outlive a process.
LASTING = ("file", "sqlite", "redis", "postgres", "cloud")

#: Those that somebody else may write to, past them.
OPEN = ("file", "sqlite", "encrypted", "redis", "postgres")

#: Those whose locks are leases.
LEASES = ("sqlite", "redis", "postgres", "brief_cloud")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def cloud_url(tmp_path: Path) -> Iterator[str]:
    config = GatewayConfig.model_validate(
        {"auth": {"mode": "api_key", "apiKeys": [{"key": "rmc_acts", "user": True}, {"key": "rmc_plain"}]}}
    )
    with LocalGateway(config, tokens=file_adapter(tmp_path / "cloud")) as gateway:
        yield gateway.url.removesuffix("/mcp")


@pytest.fixture
def brief_cloud_url(tmp_path: Path) -> Iterator[str]:
    """A gateway whose leases last 1.5 seconds."""
    tokens = file_adapter(tmp_path / "cloud")
    api = TokenAPI(tokens, TokenLeases(tokens, seconds=1.5))
    keys = [APIKey("rmc_acts", acts_for_users=True)]
    with serve_in_thread(ProjectGateway(GatewayApp(BuiltinTools()), keys=keys, tokens=api)) as url:
        yield url.removesuffix("/mcp")


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of an adapter and where its store is, in one line, as a process is told it."""
    kind: str = getattr(request, "param", "file")
    places = {
        "file": f"{tmp_path}/tokens",
        "sqlite": f"sqlite:///{tmp_path}/tokens.db",
        "encrypted": "",
        "memory": "",
    }
    where = places.get(kind)
    if where is None:
        where = request.getfixturevalue(f"{kind}_url")
    return f"{kind} {secrets.token_hex(4)} {where}"


def spoil(store: str, adapter: TokenAdapter, data: str) -> None:
    """Put something else in the place of the record of ``u`` at ``s``, past the adapter."""
    kind, tenant, where = store.split(" ", 2)
    if kind == "file":
        (Path(where) / "u" / "s.json").write_text(data)
    elif kind == "redis":
        with redis.Redis.from_url(where) as client:
            (key,) = client.keys(f"*{base64.b64encode(tenant.encode()).decode()}:records:*")
            (field,) = client.hkeys(key)
            client.hset(key, field, data)
    elif kind in ("sqlite", "postgres"):
        engine = sqlalchemy.create_engine(where.replace("postgresql:", "postgresql+psycopg:"))
        statement = sqlalchemy.text("UPDATE routermcp_oauth SET record = :data WHERE tenant = :tenant")
        with engine.begin() as connection:
            assert connection.execute(statement, {"data": data, "tenant": f"~{tenant}"}).rowcount == 1
        engine.dispose()
    else:
        sealed = Fernet(KEY).encrypt(data.encode()).decode()
        adapter._adapter.set("u", "s", {"encrypted": sealed})


@pytest.fixture
def adapter(store: str) -> Iterator[TokenAdapter]:
    opened = open_store(store)
    yield opened
    close = getattr(opened, "close", None)
    if close is not None:
        close()
