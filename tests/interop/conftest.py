"""The peers, started when a test first needs them and stopped when all tests are done."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import settings

from tests.interop.peers.processes import KINDS, Kind, Peer, Vocabulary
from tests.third_party import UnavailableError, skips_are_failures
from tests.three_runtimes import RUNTIMES, make_client, run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from routermcp import RouterMCPClient

#: The files in which each peer is spoken to from each runtime.
ROTATED = frozenset({"test_gateway_interop.py", "test_interop.py", "test_stdio_interop.py"})

HANDSHAKE = "2025-11-25"
STATELESS = "2026-07-28"


@dataclass(frozen=True)
class Trial:
    """One peer, spoken to in one way from one runtime."""

    peer: Peer
    protocol: str
    runtime: str

    @property
    def words(self) -> Vocabulary:
        """What the peer calls things."""
        return self.peer.kind.words

    @property
    def revision(self) -> str:
        """The revision that the two sides have to find."""
        return STATELESS if self.protocol == "auto" and self.peer.kind.stateless_era else HANDSHAKE

    async def restart(self) -> None:
        """Let the peer crash and start again, while the event loop goes on."""
        if self.runtime == "asyncio":
            await asyncio.to_thread(self.peer.restart)
        elif self.runtime == "trio":
            await trio.to_thread.run_sync(self.peer.restart)
        else:
            self.peer.restart()

    def play(self, body: Callable[[RouterMCPClient], Coroutine[Any, Any, None]], **settings: Any) -> None:
        """Run a body with a connected client."""

        async def connected() -> None:
            async with make_client(
                self.runtime, url=self.peer.url, protocol=self.protocol, **settings
            ) as client:
                await body(client)

        run(self.runtime, connected)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave HTTP+SSE to ``auto``, as it has one era only.

    In the short form each case of a peer is on one of the runtimes, in turn; in the long one on all.
    """
    items[:] = [item for item in items if not _insists_on_the_only_era(item) and _has_its_turn(item)]


def _has_its_turn(item: pytest.Item) -> bool:
    if settings.get_current_profile_name() == "long" or item.path.name not in ROTATED:
        return True
    runtime: str | None = getattr(item, "callspec").params.get("runtime")  # noqa: B009 - of these items
    case = item.nodeid.replace(str(runtime), "")
    return runtime is None or RUNTIMES.index(runtime) == zlib.crc32(case.encode()) % len(RUNTIMES)


def _insists_on_the_only_era(item: pytest.Item) -> bool:
    chosen: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    kind = chosen.get("peer")
    return isinstance(kind, Kind) and kind.legacy and chosen.get("protocol") == HANDSHAKE


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, Peer]]:
    peers: dict[str, Peer] = {}
    yield peers
    for peer in peers.values():
        peer.close()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def peer(request: pytest.FixtureRequest, running: dict[str, Peer]) -> Peer:
    kind: Kind = request.param
    if kind.name not in running:
        peer = Peer(kind)
        try:
            peer.start()
        except UnavailableError as missing:
            peer.close()
            if skips_are_failures():
                raise
            pytest.skip(str(missing))
        running[kind.name] = peer
    return running[kind.name]


@pytest.fixture(params=["auto", HANDSHAKE])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def trial(peer: Peer, protocol: str, runtime: str) -> Trial:
    return Trial(peer, protocol, runtime)
