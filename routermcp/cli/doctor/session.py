"""The steps of a diagnosis that speak MCP: connecting, signing in, and the lists."""

from __future__ import annotations

from collections.abc import Iterator

from routermcp_proto.versions import REVISIONS

from ... import SyncRouterMCPClient
from ...oauth.flows.connections import ConnectionState
from ...types import AuthorizationRequiredError, MCPError, RPCError, TransportError
from ..failures import ExitCode, as_options, exit_code
from .steps import DiagnosisStep, failed, passed, skipped

#: What to do about a failure, by its code.
_ADVICE = {
    "http_401": "give a key with --api-key or ROUTERMCP_API_KEY, or a header with -H",
    "http_403": "the key or the user has no right to this server",
    "http_404": "look at the path of the URL: it often ends with /mcp",
    "http_405": "look at the path of the URL: it often ends with /mcp",
    "http_429": "wait, and try again",
    "timeout": "give it more time with --timeout MS, or look whether the server hangs",
    "protocol": "there may be no MCP server at this URL; --debug shows what it answers",
    "redirect": "use the address that it leads to",
}


def session_steps(client: SyncRouterMCPClient, place: str, *, http: bool) -> Iterator[DiagnosisStep]:
    """Yield the steps of a session; after one that failed there is no other.

    Args:
        client: The client, not connected yet.
        place: The server, as ``auth login`` takes it.
        http: Whether the server is reached over HTTP.
    """
    try:
        server = client.connect()
    except AuthorizationRequiredError as error:
        yield passed("connect", "the server answers")
        yield failed("sign-in", as_options(str(error)), f"routermcp auth login {place}")
        return
    except MCPError as error:
        yield failed("connect", as_options(str(error)), _advice(error), exit_code(error))
        return
    revision = REVISIONS.get(server.protocolVersion)
    era = f", {revision.era.value} era" if revision is not None else ""
    info = server.serverInfo
    yield passed("connect", f"{info.name} {info.version}, MCP {server.protocolVersion}{era}")
    yield _sign_in_step(client) if http else skipped("sign-in", "a program on this machine")
    yield from _list_steps(client, server.capabilities.to_wire())


def _sign_in_step(client: SyncRouterMCPClient) -> DiagnosisStep:
    try:
        found = client.connections()
    except MCPError:
        return passed("sign-in", "not asked for")
    connected = [each.server_id for each in found if each.state is ConnectionState.CONNECTED]
    return passed("sign-in", f"signed in at {', '.join(connected)}" if connected else "not asked for")


def _list_steps(client: SyncRouterMCPClient, capabilities: dict[str, object]) -> Iterator[DiagnosisStep]:
    lists = {
        "tools": client.list_tools,
        "resources": client.list_resources,
        "prompts": client.list_prompts,
    }
    for name, read in lists.items():
        if name not in capabilities:
            yield skipped(name, "the server offers none")
            continue
        try:
            count = len(read())
        except AuthorizationRequiredError as error:
            yield failed(name, as_options(str(error)), "routermcp auth login")
            return
        except MCPError as error:
            yield failed(name, as_options(str(error)), _advice(error), exit_code(error))
            return
        yield passed(name, f"{count} listed")


def _advice(error: MCPError) -> str:
    known = error.code if isinstance(error, TransportError) else None
    if isinstance(error, RPCError):
        known = f"http_{error.status_code}"
    if known in _ADVICE:
        return _ADVICE[known]
    if isinstance(error, RPCError):
        return "the server reports this; its log may say more"
    return "look at the options" if exit_code(error) is ExitCode.USAGE else "--debug shows the traffic"
