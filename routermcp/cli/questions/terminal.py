"""Questions of a server, answered on the terminal: forms by their schema, and pages to open.

Questions are written to standard error, so that standard output has results alone. The user may
decline or cancel at each of them. Where standard input is no terminal, questions are declined.

Source: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from routermcp_proto.exceptions import printable

from ...oauth.browser import suspicion_of
from ...types import ElicitRequest, ElicitResult
from ..failures import UsageProblem, complain
from ..progress import progress_hidden
from .form import FormField, fields_of

#: What the user types in place of a value.
DECLINE, CANCEL = "/decline", "/cancel"

_DECLINED = ElicitResult(action="decline")
_CANCELLED = ElicitResult(action="cancel")


class _Refused(Exception):  # noqa: N818 - no error: the user's answer
    """The user declined or cancelled."""

    def __init__(self, answer: ElicitResult) -> None:
        super().__init__(answer.action)
        self.answer = answer


def question_settings() -> Mapping[str, Any]:
    """Return the settings of a client whose user answers on this terminal."""
    if sys.stdin is not None and sys.stdin.isatty():
        return {"on_elicitation": answer_on_terminal}
    # A page cannot be opened without a user; a gateway then says where to sign in instead.
    return {"on_elicitation": decline_for_lack_of_user, "capabilities": {"elicitation": {"form": {}}}}


def decline_for_lack_of_user(request: ElicitRequest) -> ElicitResult:
    """Decline a question, and say so."""
    complain(f"the server asks: {request.message}; declined, as standard input is no terminal")
    return _DECLINED


def answer_on_terminal(request: ElicitRequest) -> ElicitResult:
    """Put a question to the user, and return the answer."""
    with progress_hidden():
        _show(f"The server asks: {request.message}")
        try:
            if request.mode == "url":
                return _page_answer(request)
            return _form_answer(request)
        except _Refused as refused:
            return refused.answer
        except EOFError:
            _show("")
            return _CANCELLED


def _page_answer(request: ElicitRequest) -> ElicitResult:
    url = request.url or ""
    _show(f"It wants you to open this page:\n\n  {url}\n")
    suspicious = suspicion_of(url)
    if suspicious:
        _show(f"Look twice before you go there: {suspicious}.")
    while True:
        text = _asked("Open it yourself, then answer yes; or decline, or cancel: ").lower()
        if text in ("y", "yes"):
            return ElicitResult(action="accept")
        _refuse(text, bare=True)


def _form_answer(request: ElicitRequest) -> ElicitResult:
    fields = fields_of(request.requestedSchema)
    if fields:
        _show(f"({DECLINE} or {CANCEL} in place of a value ends this.)")
    values: dict[str, Any] = {}
    while True:
        for field in fields:
            _fill_in(field, values)
        text = _asked("Send this? yes, edit, decline or cancel [yes]: ").lower()
        if text in ("", "y", "yes"):
            return ElicitResult(action="accept", content=values)
        if text not in ("e", "edit"):
            _refuse(text, bare=True)


def _fill_in(field: FormField, values: dict[str, Any]) -> None:
    """Ask for the value of one field until it is one that the schema allows."""
    for line in field.describe():
        _show(line)
    known = field.name in values or "default" in field.schema
    before: Any = values.get(field.name, field.schema.get("default"))
    hint = f" [{before}]" if known else ""
    while True:
        text = _asked(f"{field.name}{hint}: ")
        _refuse(text, bare=False)
        if not text and (known or not field.required):
            if known:
                values[field.name] = before
            return
        try:
            values[field.name] = field.read(text)
        except UsageProblem as problem:
            _show(str(problem))
        else:
            return


def _refuse(text: str, *, bare: bool) -> None:
    """End the question where the user typed that.

    Args:
        text: What was typed.
        bare: Whether the words count without their slash too, as no value can be meant.
    """
    if text == DECLINE or (bare and text in ("decline", "n", "no")):
        raise _Refused(_DECLINED)
    if text == CANCEL or (bare and text == "cancel"):
        raise _Refused(_CANCELLED)


def _show(text: str) -> None:
    sys.stderr.write(f"{printable(text)}\n")


def _asked(prompt: str) -> str:
    """Return the line that the user types.

    Raises:
        EOFError: The input has ended, as by Ctrl-D.
    """
    sys.stderr.write(printable(prompt))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.strip()
