"""Whether the session of a call is lost, asked of the server where its answer alone does not tell."""

from __future__ import annotations

from typing import Any

from routermcp_proto import calls
from routermcp_proto.exceptions import MCPError
from routermcp_proto.http.lost_session import Verdict, judge, judge_probe, judge_renewed
from routermcp_proto.http.outcomes import Outcome
from routermcp_proto.session.handshake import Agreement

from ..logs import log
from .deadline import PROBE_SHARE, CallDeadline
from .transport import SessionTransport

#: Seconds that a server may take to answer the harmless request. It has just answered another, so this
#: is many times what it takes.
SESSION_PROBE_SECONDS = 10.0


async def verdict_on(
    outcome: Outcome | None,
    transport: SessionTransport,
    session_id: str | None,
    agreement: Agreement,
    extra: Any,
    deadline: CallDeadline,
) -> Verdict:
    """Say what the answer to a call means for its session.

    Args:
        outcome: The answer.
        transport: Carried the call.
        session_id: The name of the session in which it was sent.
        agreement: What was agreed on in that session.
        extra: What the call took along.
        deadline: That of the call.
    """

    def renewed() -> bool:
        return transport.session_id != session_id or transport.session.agreement is not agreement

    verdict = judge(outcome, session_id)
    if verdict is Verdict.UNSURE and not renewed():
        probed = await _probe(transport, extra, deadline)
        if not renewed():
            return judge_probe(outcome, probed, session_id)
    if verdict is Verdict.REFUSED or not renewed():
        return verdict
    return judge_renewed(outcome, session_id)


async def _probe(transport: SessionTransport, extra: Any, deadline: CallDeadline) -> Outcome | None:
    """Ask for a page of the tools and return the answer, None where there is none.

    A ping would not do: it is answered before ``initialize`` too.
    """
    part = deadline.part(SESSION_PROBE_SECONDS, PROBE_SHARE)
    try:
        async with part.scope:
            outgoing = transport.session.start_request(calls.list_tools())
            return await transport.deliver(outgoing, extra, None, part)
    except TimeoutError:
        if not part.scope.expired:
            raise
    except MCPError as error:
        log.debug("%s: whether the session lives is not known: %s", transport.place, error)
    return None
