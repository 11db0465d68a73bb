"""The authorization server of ``oidc-provider``, with the paths and the policies that Keycloak documents.

Keycloak itself is not on the registries that the tests install from.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from routermcp.oauth import OAuthConfig, TokenAdapter, memory_adapter, presets
from routermcp.types import OAuthError
from tests import loopback
from tests.interop.peers.processes import Kind, Peer
from tests.third_party import (
    OIDC_PACKAGE,
    OIDC_VERSION,
    UnavailableError,
    node,
    npm_package,
    skips_are_failures,
)
from tests.three_runtimes import RUNTIMES, make_client, run

pytestmark = pytest.mark.interop

PROGRAM = Path(__file__).resolve().parents[1] / "interop" / "peers" / "oidc_server.mjs"

#: Whether the long profile is asked for: ``.ci/run --full``.
LONG = settings.get_current_profile_name() == "long"

#: The runtimes, each with plain or with bound tokens; in the long form with both.
LIVES = (
    [(runtime, path) for runtime in RUNTIMES for path in ("/mcp", "/bound")]
    if LONG
    else [("asyncio", "/mcp"), ("trio", "/bound"), ("blocking", "/mcp")]
)

#: The redirects from the page to the application: to sign in, and back.
MAX_REDIRECTS = 8


class Realm:
    """A realm, the MCP servers that take its tokens, and what it tells of its clients and tokens."""

    def __init__(self) -> None:
        command = [str(node()), str(PROGRAM), str(npm_package(OIDC_PACKAGE, OIDC_VERSION))]
        self.peer = Peer(Kind("oidc", lambda: command))
        self.origin = self.peer.url.removesuffix("/mcp")
        self._told: dict[str, int] = {}

    def steer(self, path: str) -> None:
        """Have it end its access tokens (``/end``), or forget its clients too (``/forget``)."""
        loopback.post(f"{self.origin}{path}").raise_for_status()

    def news(self) -> dict[str, int]:
        """Return how often what has happened since the last look, without what has not."""
        told: dict[str, int] = loopback.get(f"{self.origin}/told").json()
        new = {name: count - self._told.get(name, 0) for name, count in told.items()}
        self._told = told
        return {name: count for name, count in new.items() if count}

    def settings(self, adapter: TokenAdapter) -> OAuthConfig:
        """Return the settings of the preset."""
        preset = presets.keycloak(f"{self.origin}/realms/demo")
        return OAuthConfig(adapter, authorize=visit, server_id="s", single_user=True, **preset)


@pytest.fixture(scope="module")
def realm() -> Iterator[Realm]:
    try:
        realm = Realm()
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))
    try:
        realm.peer.start()
        yield realm
    finally:
        realm.peer.close()


def visit(url: str) -> str:
    """Be the browser of a user whom the page asks nothing."""
    back = str(httpx.URL(url).params["redirect_uri"])
    with loopback.Client() as browser:
        for _ in range(MAX_REDIRECTS):
            answer = browser.get(url)
            assert answer.is_redirect, f"the browser stands at a page: {answer.text[:300]}"
            url = str(answer.url.join(answer.headers["location"]))
            if url.startswith(back):
                return url
    raise AssertionError(f"the browser is sent around: {url}")


@pytest.mark.parametrize(("runtime", "path"), LIVES)
def test_a_life_of_tokens(realm: Realm, runtime: str, path: str) -> None:
    """Signing in, renewing, a client that the realm has forgotten, and giving the tokens back."""
    adapter = memory_adapter()

    def kind() -> str:
        return (adapter.get("default", "s") or {})["tokens"]["token_type"]

    async def body() -> None:
        realm.news()
        oauth = realm.settings(adapter)
        async with make_client(runtime, url=f"{realm.origin}{path}", oauth=oauth) as client:
            assert (await client.call_tool("whoami")).text == "ada"
            # The policy of the realm lets no client register for "profile", which the MCP server lists.
            assert realm.news() == {"refused_for_scopes": 1, "registered": 1}
            # The realm could bind every token; the MCP server says whether it wants that.
            assert kind() == ("dpop" if path == "/bound" else "bearer")
            realm.steer("/end")
            assert (await client.call_tool("whoami")).text == "ada"
            assert realm.news() == {"renewed": 1}
            realm.steer("/forget")
            assert (await client.call_tool("whoami")).text == "ada"
            assert realm.news() == {"refused_for_scopes": 1, "registered": 1}
            await client.revoke()
            assert realm.news()["revoked"] >= 1
            assert [each.state.value for each in await client.connections()] == ["revoked"]

    run(runtime, body)


@pytest.mark.parametrize("runtime", RUNTIMES if LONG else ["blocking"])
def test_the_realm_refuses_offline_sessions(realm: Realm, runtime: str) -> None:
    """As many do; that is what the preset is for."""

    async def body() -> None:
        oauth = OAuthConfig(memory_adapter(), authorize=visit, single_user=True)
        async with make_client(runtime, url=f"{realm.origin}/mcp", oauth=oauth) as client:
            await client.call_tool("whoami")

    with pytest.raises(OAuthError, match="invalid_scope"):
        run(runtime, body)
