"""What a client shows the gateway is for the gateway: no server behind it sees keys, cookies or users."""

from __future__ import annotations

from routermcp import SyncRouterMCPClient
from routermcp.gateway import GatewayApp, serve_in_thread
from routermcp.gateway.catalog.server_names import ServerNaming
from routermcp.gateway.http.authentication import APIKey
from routermcp.gateway.http.project_gateway import ProjectGateway
from routermcp.gateway.single import SingleServer
from routermcp.gateway.upstreams.targets import over_http
from routermcp.gateway.upstreams.upstream import Upstream
from tests.gateway.servers import Closing
from tests.routermcp.server import ScriptedServer

SECRETS = {"Cookie": "session=secret-cookie", "X-Forwarded-Authorization": "Bearer secret-other"}
KEY, USER = "rmc_secret", "secret-user"


def test_no_header_of_a_client_reaches_a_server() -> None:
    with ScriptedServer() as server:
        mirror = SingleServer(Upstream("it", over_http(server.url), names=ServerNaming("it")))
        app = GatewayApp(mirror)
        gateway = ProjectGateway(app, keys=[APIKey(KEY, acts_for_users=True)])
        with (
            serve_in_thread(Closing(gateway, mirror)) as url,  # type: ignore[arg-type]
            SyncRouterMCPClient(url, api_key=KEY, user_id=USER, send_user_id=True, headers=SECRETS) as client,
        ):
            assert client.call_tool("add", {"a": 1, "b": 2}).text == "3"
        sent = [f"{name}: {value}" for seen in server.seen for name, value in seen.headers.items()]
        bodies = b"".join(seen.body for seen in server.seen)
    assert sent
    assert [line for line in sent if "secret" in line] == []
    assert b"secret" not in bodies
