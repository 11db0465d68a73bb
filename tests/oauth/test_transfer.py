"""Records from one store to another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from routermcp.oauth import OAuthConfig, encrypted, export_records, import_records, memory_adapter
from routermcp.oauth.stores import transfer
from routermcp.types import ConfigError, TokenStoreError
from tests.oauth.servers.protected_server import ProtectedServer, callback
from tests.oauth.stores import KEY
from tests.three_runtimes import make_client, run

DOCUMENT: dict[str, Any] = {"version": 1, "user_id": "ada", "records": {"s": {"a": 1}}, "registrations": {}}


def test_a_user_goes_on_with_another_store() -> None:
    with ProtectedServer() as server:
        old, new = memory_adapter(), encrypted(memory_adapter(), KEY)

        def visit(url: str) -> str:
            return callback(server, "ada", url)

        async def use(store: Any, authorize: Any) -> None:
            oauth = OAuthConfig(store, authorize=authorize, single_user=True)
            async with make_client("blocking", url=server.url, oauth=oauth) as client:
                await client.list_tools()

        run("blocking", use, old, visit)
        document = json.loads(json.dumps(export_records(old, "default")))
        (here,) = import_records(new, document)
        assert here == f"127.0.0.1:{server.port}/mcp"
        assert new.get("", here) == old.get("", here)
        server.expire()
        run("blocking", use, new, None)
        assert (server.sign_ins["ada"], server.refreshes["ada"]) == (1, 1)


def test_what_is_there_stays_unless_it_is_to_be_replaced() -> None:
    store = memory_adapter()
    store.set("ada", "s", {"a": 0})
    assert import_records(store, DOCUMENT) == []
    assert store.get("ada", "s") == {"a": 0}
    assert import_records(store, DOCUMENT, replace=True) == ["s"]
    assert store.get("ada", "s") == {"a": 1}


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"user_id": 7}, {"records": None}, {"records": {"s": "text"}}, {"registrations": []}],
)
def test_other_documents_are_not_read(change: dict[str, Any]) -> None:
    store = memory_adapter()
    with pytest.raises(ConfigError, match="no document"):
        import_records(store, {**DOCUMENT, **change})
    assert store.list("ada") == []


def test_a_record_that_another_process_holds_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "LOCK_SECONDS", 0.0)
    store = memory_adapter()
    assert store.lock("ada", "s").acquire()
    with pytest.raises(TokenStoreError, match="another process"):
        import_records(store, DOCUMENT)


def test_adapters_that_are_awaited_are_refused() -> None:
    class Awaited:
        runtime = "any"

    with pytest.raises(ConfigError, match="plain methods"):
        export_records(Awaited(), "ada")  # pyright: ignore[reportArgumentType]
