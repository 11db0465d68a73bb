"""The picture of a sign-in: which party asks which other for what, recorded from the core's flow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from drawing.canvas import FADED, LINE, PAPER, Box, Canvas

from routermcp_proto.oauth.authorizer import AuthAttempt, Authorizer
from routermcp_proto.oauth.challenges import Challenge
from routermcp_proto.oauth.client import Application
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import AskUser, Flow, HTTPAnswer, HTTPStep

MCP, SERVER = "https://mcp.example", "https://auth.example"
CALL, RESOURCE = "POST /mcp: tools/call", "/.well-known/oauth-protected-resource/mcp"

#: The middles of the columns: the user's browser, the program, the MCP server and the other one.
BROWSER, PROGRAM, RESOURCE_SERVER, AUTHORIZATION_SERVER = 110, 400, 690, 980
COLUMNS = {
    BROWSER: "browser of the user",
    PROGRAM: "your program",
    RESOURCE_SERVER: "MCP server",
    AUTHORIZATION_SERVER: "authorization server",
}

_DOCUMENTS: dict[str, dict[str, Any]] = {
    RESOURCE: {"resource": f"{MCP}/mcp", "authorization_servers": [SERVER]},
    "/.well-known/oauth-authorization-server": {
        "issuer": SERVER,
        **{f"{name}_endpoint": f"{SERVER}/{path}" for name, path in (
            ("authorization", "authorize"), ("token", "token"), ("registration", "register"))},
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
    },
    "/register": {"client_id": "app"},
    "/token": {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 3600},
}  # fmt: skip

#: The members of these documents that matter to what comes next.
_TOLD = ("authorization_servers", "client_id", "access_token", "refresh_token", "expires_in")

Arrow = tuple[int, int, str]
"""From which column, to which, and what is said."""


def draw_sign_in() -> str:
    """Draw all that happens from a call without tokens to their renewal."""
    arrows = list(_recorded())
    bottom = 84 + 30 * len(arrows)
    canvas = Canvas(1130, bottom + 16, "A sign-in: who asks for what, when")
    for x, name in COLUMNS.items():
        canvas.path(f"M{x} 46V{bottom}", arrow=False, dash="3 4")
        canvas.rect(Box(x - 90, 16, 180, 30), PAPER, "#1f2933")
        canvas.text(x, 36, name, 12, anchor="middle", bold=True)
    for number, (start, end, said) in enumerate(arrows):
        y = 84 + 30 * number
        side = 6 if end > start else -6
        canvas.path(f"M{start} {y}H{end - side}", LINE)
        right = 8 if end > start else -8
        anchor = "start" if end > start else "end"
        canvas.text(start + right, y - 6, said, 10.5, anchor=anchor, fill=FADED, backed=True)
    return canvas.render()


def _recorded() -> Iterator[Arrow]:
    application = Application("app", "http://127.0.0.1/callback")
    user = Authorizer(
        f"{MCP}/mcp", application, GrantRecord(), {}, random=lambda count: b"\0" * count, clock=lambda: 0.0
    )
    yield PROGRAM, RESOURCE_SERVER, CALL
    yield RESOURCE_SERVER, PROGRAM, "401: resource_metadata"
    challenge = Challenge("bearer", {"resource_metadata": f"{MCP}{RESOURCE}"})
    yield from _steps(user.challenged(401, (challenge,), AuthAttempt()))
    yield PROGRAM, RESOURCE_SERVER, f"{CALL}, {', '.join(user.headers('POST', MCP))}"
    yield RESOURCE_SERVER, PROGRAM, "200: the result"
    yield from _steps(user.renew())


def _steps(flow: Flow[Any]) -> Iterator[Arrow]:
    answer: Any = None
    while True:
        try:
            step = flow.send(answer)
        except StopIteration:
            return
        if isinstance(step, AskUser):
            query = dict(parse_qsl(urlsplit(step.url).query))
            yield PROGRAM, BROWSER, "open this page"
            yield BROWSER, AUTHORIZATION_SERVER, f"GET /authorize: {', '.join(query)}"
            yield AUTHORIZATION_SERVER, BROWSER, "the user agrees, and is sent back"
            yield BROWSER, PROGRAM, "GET /callback: code, state, iss"
            answer = f"{step.redirect_uri}?code=c&state={query['state']}&iss={SERVER}"
        elif isinstance(step, HTTPStep):
            path = urlsplit(step.url).path
            form = dict(parse_qsl(step.body.decode())) if path == "/token" else {}
            names = [f"grant_type={value}" if name == "grant_type" else name for name, value in form.items()]
            to = RESOURCE_SERVER if step.url.startswith(MCP) else AUTHORIZATION_SERVER
            yield PROGRAM, to, f"{step.method} {path}{': ' if names else ''}{', '.join(names)}"
            document = _DOCUMENTS[path]
            told = [name for name in document if name in _TOLD]
            status = 201 if path == "/register" else 200
            yield to, PROGRAM, f"{status}: {', '.join(told) or 'its endpoints'}"
            answer = HTTPAnswer(status, {}, json.dumps(document).encode())
