"""The negotiation of a protocol revision between client and server, as a generator.

The generator yields the next request to make and receives its outcome; it returns the
:class:`Agreement` or raises. It is pure policy: the same text serves Streamable HTTP,
stdio and tests.

Source: https://modelcontextprotocol.io/specification/2026-07-28/basic/versioning,
sections "Protocol Version Negotiation" and "Backward Compatibility".
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, TypeAlias, cast

from .. import calls, types
from ..calls import Call
from ..error_codes import HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION
from ..exceptions import LocalProtocolError, MCPError, ResponseValidationError
from ..jsonrpc import ErrorObject
from ..value_class import value_class
from ..versions import LATEST, LATEST_HANDSHAKE, REVISIONS, Era, Revision, best_common

#: Errors that only a server of the stateless era sends (MCP 2026-07-28, Error Codes):
#: after one of them there is no falling back.
STATELESS_ERRORS = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION})

#: Characters of a message that are searched for revisions, and as many of the data beside it.
MAX_REFUSAL_SEARCHED = 1_000


@value_class
class HandshakeStep:
    """The next request of the handshake, and the revision it is written in."""

    call: Call[Any]
    revision: Revision

    probe: bool = False
    """Whether the next step is tried whatever becomes of this one."""


@value_class
class Refused:
    """A step was answered with an error, or with a message of the wrong shape."""

    error: ErrorObject | None
    """The server's error object, or None where it gave none."""

    cause: MCPError
    """The same as an exception, ready to be raised."""


@value_class
class Agreement:
    """The result of a handshake: the revision, and the server's description of itself."""

    revision: Revision
    server: types.InitializeResult
    discovered: types.DiscoverResult | None = None
    """The answer to ``server/discover`` in the stateless era, with its caching hints."""


HandshakeReply: TypeAlias = "types.DiscoverResult | types.InitializeResult | Refused"
Handshake = Generator[HandshakeStep, HandshakeReply, Agreement]


def negotiate(protocol: str, client_info: Mapping[str, Any], capabilities: Mapping[str, Any]) -> Handshake:
    """Agree on a revision with the server.

    Args:
        protocol: ``"auto"``, or the name of a revision to insist on.
        client_info: The client's ``Implementation`` as it goes on the wire.
        capabilities: The client's ``ClientCapabilities`` as they go on the wire.

    Raises:
        LocalProtocolError: There is no such revision.
        MCPError: The server refused, or there is no common revision.
    """
    if protocol == "auto":
        return _probe_era(client_info, capabilities)
    revision = REVISIONS.get(protocol)
    if revision is None:
        known = ", ".join(REVISIONS)
        raise LocalProtocolError(
            f"protocol={protocol!r} is not a revision of MCP; use 'auto' or one of {known}"
        )
    if revision.era is Era.STATELESS:
        return _insist_on_revision(revision)
    return _initialize_session(revision, client_info, capabilities)


def _insist_on_revision(revision: Revision) -> Handshake:
    reply = yield HandshakeStep(calls.discover(), revision)
    if _refusal_names_revision(reply, revision):
        reply = yield HandshakeStep(calls.discover(), revision)
    if isinstance(reply, types.DiscoverResult):
        return _stateless_agreement(revision, reply)
    raise _cause_of_refusal(reply)


def _probe_era(client_info: Mapping[str, Any], capabilities: Mapping[str, Any]) -> Handshake:
    reply = yield HandshakeStep(calls.discover(), LATEST, probe=True)
    supported = _supported_versions(reply)
    common = best_common(supported, Era.STATELESS)
    if common is not None and not isinstance(reply, types.DiscoverResult):
        # The server named a revision that we share: ask again in it, even if it is the
        # one that was just refused.
        reply = yield HandshakeStep(calls.discover(), common, probe=True)
    if common is not None and isinstance(reply, types.DiscoverResult):
        return _stateless_agreement(common, reply)
    older = best_common(supported, Era.HANDSHAKE)
    if older is None and _is_stateless(reply):
        raise _no_common_revision(reply, supported)
    unheard = isinstance(reply, Refused) and reply.error is None
    era = older or LATEST_HANDSHAKE
    return (yield from _initialize_session(era, client_info, capabilities, probed=True, unheard=unheard))


def _initialize_session(
    revision: Revision,
    client_info: Mapping[str, Any],
    capabilities: Mapping[str, Any],
    *,
    probed: bool = False,
    unheard: bool = False,
) -> Handshake:
    reply = yield HandshakeStep(calls.initialize(revision.name, capabilities, client_info), revision)
    supported = _supported_versions(reply) or _versions_in_words(reply, revision)
    older = best_common(supported, Era.HANDSHAKE)
    missed = unheard and isinstance(reply, Refused) and reply.error is not None
    if older is None and probed and (_is_stateless(reply) or missed):
        # It was only slow to answer the probe, while it started for example, or did not hear it.
        try:
            return (yield from _insist_on_revision(LATEST))
        except MCPError as error:
            raise error if _is_stateless(reply) else _cause_of_refusal(reply) from error
    if older is not None and older is not revision:
        reply = yield HandshakeStep(calls.initialize(older.name, capabilities, client_info), older)
    if not isinstance(reply, types.InitializeResult):
        raise _cause_of_refusal(reply)
    agreed = REVISIONS.get(reply.protocolVersion)
    if agreed is None:
        known = ", ".join(REVISIONS)
        raise ResponseValidationError(
            f"the server chose MCP {reply.protocolVersion[:40]!r}; this client knows {known}",
            method="initialize",
        )
    # A server that answers ``initialize`` has sessions of the handshake era, whatever
    # version it writes into the answer.
    return Agreement(agreed if agreed.era is Era.HANDSHAKE else LATEST_HANDSHAKE, reply)


def _stateless_agreement(revision: Revision, found: types.DiscoverResult) -> Agreement:
    """Translate the description of a stateless server into an ``InitializeResult``."""
    server = types.InitializeResult(
        protocolVersion=revision.name,
        capabilities=found.capabilities,
        serverInfo=found.server_info or types.Implementation(name="", version=""),
        instructions=found.instructions,
    )
    return Agreement(revision, server, found)


def _supported_versions(reply: HandshakeReply) -> list[str]:
    """Return the versions that a reply lists, in a result or in an error."""
    if isinstance(reply, types.DiscoverResult):
        return reply.supportedVersions
    data = reply.error.data if isinstance(reply, Refused) and reply.error is not None else None
    listed = cast("dict[str, Any]", data).get("supported") if isinstance(data, dict) else None
    return (
        [name for name in cast("list[Any]", listed) if isinstance(name, str)]
        if isinstance(listed, list)
        else []
    )


def _versions_in_words(reply: HandshakeReply, refused: Revision) -> list[str]:
    """Return the revisions that a refusal names in its own words, without the one that it refuses."""
    if not isinstance(reply, Refused):
        return []
    error = reply.error
    words = str(reply.cause) if error is None else f"{error.message[:MAX_REFUSAL_SEARCHED]} {error.data}"
    return [name for name in REVISIONS if name != refused.name and name in words[: 2 * MAX_REFUSAL_SEARCHED]]


def _is_stateless(reply: HandshakeReply) -> bool:
    """Return whether a reply comes from a server of the stateless era, although no revision is common."""
    if isinstance(reply, types.DiscoverResult):
        return bool(reply.supportedVersions)
    return isinstance(reply, Refused) and reply.error is not None and reply.error.code in STATELESS_ERRORS


def _refusal_names_revision(reply: HandshakeReply, revision: Revision) -> bool:
    return isinstance(reply, Refused) and revision.name in _supported_versions(reply)


def _cause_of_refusal(reply: HandshakeReply) -> MCPError:
    if isinstance(reply, Refused):
        return reply.cause
    return ResponseValidationError("the server answered a different request", method="initialize")


def _no_common_revision(reply: HandshakeReply, supported: list[str]) -> MCPError:
    if isinstance(reply, Refused) and not supported:
        return reply.cause
    theirs, ours = ", ".join(supported[:10]), ", ".join(REVISIONS)
    return ResponseValidationError(
        f"the server speaks MCP {theirs}, this client {ours}: there is no common revision",
        method="server/discover",
    )
