"""A protected MCP server to try things with: two users, ada and bob, each with notes of their own.

It is its own authorization server, without passwords, and keeps everything in memory. For this machine only::

    pip install . fastapi uvicorn python-multipart
    python docs/examples/notes_server.py          # http://127.0.0.1:9000/mcp
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import sys
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from routermcp_proto import RequestReceived, ServerSession
from routermcp_proto.events import MessageReady

USERS = ("ada", "bob")
TOOLS = [
    {
        "name": "add_note",
        "description": "Keep a note.",
        "inputSchema": {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
        },
    },
    {"name": "notes", "description": "Return your notes.", "inputSchema": {"type": "object"}},
]

app = FastAPI()
notes: dict[str, list[str]] = {user: [] for user in USERS}
codes: dict[str, tuple[str, str]] = {}  # what a browser brings back: its user, and the challenge (RFC 7636)
tokens: dict[str, str] = {}  # access and refresh tokens, and their users


# ---- the authorization server ----------------------------------------------------------------------


def origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


@app.get("/.well-known/oauth-authorization-server")
def metadata(request: Request) -> dict[str, Any]:
    here = origin(request)
    return {
        "issuer": here,
        "authorization_endpoint": f"{here}/authorize",
        "token_endpoint": f"{here}/token",
        "registration_endpoint": f"{here}/register",
        "revocation_endpoint": f"{here}/revoke",
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
    }


@app.post("/register", status_code=201)
async def register(request: Request) -> dict[str, Any]:
    return {**await request.json(), "client_id": secrets.token_urlsafe(8)}


@app.get("/authorize")
def authorize(request: Request) -> HTMLResponse:
    query = html.escape(request.url.query)
    links = [f'<p><a href="/consent/{user}?{query}">Sign in as {user}</a></p>' for user in USERS]
    return HTMLResponse("".join(["<h1>Notes</h1>", *links]))


@app.get("/consent/{user}")
def consent(user: str, code_challenge: str, redirect_uri: str, state: str) -> RedirectResponse:
    code = secrets.token_urlsafe()
    codes[code] = (user, code_challenge)
    return RedirectResponse(f"{redirect_uri}?{urlencode({'code': code, 'state': state})}", 303)


@app.post("/token")
def token(
    code: Annotated[str, Form()] = "",
    code_verifier: Annotated[str, Form()] = "",
    refresh_token: Annotated[str, Form()] = "",
) -> JSONResponse:
    digest = hashlib.sha256(code_verifier.encode()).digest()
    user, challenge = codes.pop(code, ("", ""))
    if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
        user = tokens.pop(refresh_token, "")
    if not user:
        return JSONResponse({"error": "invalid_grant"}, 400)
    access, refresh = secrets.token_urlsafe(), secrets.token_urlsafe()
    tokens.update({access: user, refresh: user})
    return JSONResponse(
        {"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600}
    )


@app.post("/revoke")
def revoke(token: Annotated[str, Form()]) -> None:
    user = tokens.pop(token, None)
    for other in [other for other, whose in tokens.items() if whose == user]:
        del tokens[other]


# ---- the MCP server --------------------------------------------------------------------------------


@app.get("/.well-known/oauth-protected-resource/mcp")
def resource(request: Request) -> dict[str, Any]:
    return {"resource": f"{origin(request)}/mcp", "authorization_servers": [origin(request)]}


@app.post("/mcp")
async def mcp(request: Request) -> Response:
    user = tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
    if user is None:
        where = f"{origin(request)}/.well-known/oauth-protected-resource/mcp"
        return Response(status_code=401, headers={"WWW-Authenticate": f'Bearer resource_metadata="{where}"'})
    session = ServerSession(server_info={"name": "notes", "version": "1"}, capabilities={"tools": {}})
    answer = b""
    for event in session.receive_message(await request.body()):
        if isinstance(event, MessageReady):
            answer = event.outgoing.payload  # the machine's own: the handshake, and errors
        elif isinstance(event, RequestReceived):
            answer = session.answer(event.request_id, result(user, event.method, event.params))
    return Response(answer, media_type="application/json")


def result(user: str, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    if method == "tools/list":
        return {"tools": TOOLS}
    if params.get("name") == "add_note":
        notes[user].append(str(params["arguments"]["text"]))
    account = {"user": user, "notes": notes[user]}
    return {"content": [{"type": "text", "text": json.dumps(account)}], "structuredContent": account}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]) if len(sys.argv) > 1 else 9000, log_level="warning")
