"""The gateway's own questions, in the middle of what a server and a client have with each other.

In the stateless era a question is the result of a request, which comes again with the answer. The
server's state and the client's answers to the server travel with it, and would be lost where the
gateway asks something itself meanwhile. So they are put into the state of the gateway's question,
and taken out when the request comes again. What a client could change in there it could as well
have sent by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json

from routermcp_proto import jsonrpc
from routermcp_proto.error_codes import URL_ELICITATION_REQUIRED
from routermcp_proto.exceptions import InvalidParamsError, RPCError

from ..backend import Caller, InputNeeded

#: What a state of ours begins with. One of a server that begins so, as it may be a gateway itself,
#: is put into one of ours.
MARK = "routermcp-gateway:"

#: What the names of the questions begin with by which the pages of a server are opened.
PAGE = "routermcp.page-"

Answers = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interlude:
    """A request, apart from what the gateway itself has asked about it.

    Attributes:
        caller: Who made it, with the input that is for the server.
        answers: What the client says to the gateway's own questions; None where it was not asked.
    """

    caller: Caller
    answers: Answers | None

    def question(self, requests: Mapping[str, Mapping[str, Any]]) -> InputNeeded:
        """Return what asks the client something for the gateway itself."""
        caller = self.caller
        return InputNeeded(requests, _state(caller.request_state, caller.input_responses, asked=True))

    def anew(self) -> Interlude:
        """Return the request as it was before the server asked anything."""
        return Interlude(self.caller.with_input(None, None), self.answers)

    def pages(self, refused: RPCError) -> InputNeeded | None:
        """Return what has the client open the pages that a server's error is about.

        None where the client gets the error: in the handshake era, which has that error for it, and
        where it opens no pages, or has been asked to.
        """
        if refused.code != URL_ELICITATION_REQUIRED or self.caller.revision.peer_requests:
            return None
        if not opens_pages(self.caller) or any(key.startswith(PAGE) for key in self.answers or ()):
            return None
        pages: list[Any] = refused.data["elicitations"]
        return self.question(
            {
                f"{PAGE}{number}": {"method": "elicitation/create", "params": {**page, "mode": "url"}}
                for number, page in enumerate(pages, 1)
            }
        )


def opens_pages(caller: Caller) -> bool:
    """Whether a client can be asked to open a URL."""
    return "url" in cast("dict[str, Any]", caller.capabilities.get("elicitation") or {})


def resumed(caller: Caller) -> Interlude:
    """Take a request apart.

    Raises:
        InvalidParamsError: Its state has our mark, and is none of ours.
    """
    state = caller.request_state
    if state is None or not state.startswith(MARK):
        return Interlude(caller, None)
    inner, responses, asked = _read(state)
    if not asked:
        return Interlude(caller.with_input(caller.input_responses, inner), None)
    return Interlude(caller.with_input(responses, inner), caller.input_responses or {})


def passed_on(needed: InputNeeded) -> InputNeeded:
    """Return a server's question as it goes on to the client: its state cannot be taken for ours."""
    if needed.state is None or not needed.state.startswith(MARK):
        return needed
    return InputNeeded(needed.requests, _state(needed.state, None, asked=False))


def _state(state: str | None, responses: Answers | None, *, asked: bool) -> str:
    kept = {"state": state, "responses": dict(responses) if responses is not None else None, "asked": asked}
    return MARK + jsonrpc.dumps(kept).decode()


def _read(state: str) -> tuple[str | None, Answers | None, bool]:
    try:
        value: Any = from_json(state.removeprefix(MARK))
    except ValueError:
        value = None
    kept = cast("dict[str, Any]", value) if isinstance(value, dict) else {"state": 0}
    inner, responses = kept.get("state"), kept.get("responses")
    if not isinstance(inner, str | None) or not isinstance(responses, dict | None):
        raise InvalidParamsError("requestState was changed on its way")
    return inner, cast("dict[str, Any] | None", responses), kept.get("asked") is True
