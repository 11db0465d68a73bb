"""Sanitizes the messages of servers, so that no client takes one for the gateway's own.

A client believes its gateway about where its user is to sign in. The gateway says so by errors with
a reason, and by questions whose ``_meta`` names the server; a server behind it that says the same
would have the user believe that its page is that of another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from routermcp_proto.error_codes import UNAUTHORIZED, UPSTREAM_ERROR, URL_ELICITATION_REQUIRED
from routermcp_proto.exceptions import AuthorizationRequiredError, MCPError, RPCError
from routermcp_proto.http.outcomes import AUTHORIZATION_REQUIRED
from routermcp_proto.names import SERVER_ID_KEY


def without_meta(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object without a member of its ``_meta``, and without ``_meta`` where that was all."""
    meta = members.get("_meta")
    if not isinstance(meta, dict) or name not in meta:
        return members
    kept = {key: value for key, value in cast("dict[str, Any]", meta).items() if key != name}
    others = {key: value for key, value in members.items() if key != "_meta"}
    return {**others, "_meta": kept} if kept else others


def question(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a server's question as a client is to see them.

    Without ``task``: to a side that declared no ``tasks``, the gateway, it has no meaning (MCP
    2025-11-25, Tasks, "Task Support and Handling"), and the client that did declare some would
    answer with a task that the server could not ask for.
    """
    seen = without_meta(params, SERVER_ID_KEY)
    return {key: value for key, value in seen.items() if key != "task"} if "task" in seen else seen


def questions(requests: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return a server's questions as a client is to see them."""
    told: dict[str, Mapping[str, Any]] = {}
    for key, request in requests.items():
        params = request.get("params")
        seen = {"params": question(cast("dict[str, Any]", params))} if isinstance(params, dict) else {}
        told[key] = {**request, **seen}
    return told


def said_by(error: MCPError) -> RPCError | None:
    """Return the error that a server answered with, None where an error is the gateway's own.

    A server, too, may say that a user has to sign in first. That is told apart by its cause, the
    error that came from the server.
    """
    said = error.__cause__ if isinstance(error, AuthorizationRequiredError) else error
    return said if isinstance(said, RPCError) else None


def retold(said: RPCError, alias: str) -> RPCError:
    """Return a server's error as a client is to see it.

    Args:
        said: The server's error.
        alias: Its name here.
    """
    data: Any = said.data
    members = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    urls = elicitation_urls(members)
    if said.code == URL_ELICITATION_REQUIRED and urls:
        return RPCError(said.message, code=said.code, data={"elicitations": urls})
    # As the client knows that it speaks to a gateway, -32001 would be about its own key.
    ours = said.code in (UNAUTHORIZED, URL_ELICITATION_REQUIRED)
    if not ours and members.get("reason") != AUTHORIZATION_REQUIRED:
        return RPCError(said.message, code=said.code, data=data)
    error: dict[str, Any] = {"code": said.code, "message": said.message}
    if data is not None:
        error["data"] = data
    told: dict[str, Any] = {"server": alias, "error": error}
    return RPCError(f"server {alias!r} refuses: {said.message}", code=UPSTREAM_ERROR, data=told)


def elicitation_urls(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the URLs to open that the data of the error -32042 names, as a client is to see them."""
    asked = data.get("elicitations")
    found = cast("list[Any]", asked) if isinstance(asked, list) else []
    named = [cast("dict[str, Any]", each) for each in found if isinstance(each, dict)]
    return [question(each) for each in named if isinstance(each.get("url"), str)]
