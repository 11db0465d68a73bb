"""A protected server for ten thousand users, in the event loop of the test.

Tokens, sessions and results name their user, and every request is looked at: what it carries has to
be one user's.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

#: Seconds that a token lasts: for ever, unless the test ends it.
LIFE = 3600

Answer = tuple[int, Any, dict[str, str]]


class Crowd:
    """What the server knows.

    Attributes:
        mixed: Requests that carried what is of two users.
        calls: Requests that were let in.
    """

    def __init__(self, era: str) -> None:
        self.era = era
        self.origin = ""
        self.mixed: list[str] = []
        self.calls = 0
        self.connections: set[asyncio.Future[None]] = set()
        self._access: dict[str, str] = {}
        self._refresh: dict[str, str] = {}
        self._codes: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self._numbers = itertools.count(1)

    # ---- what a test does ------------------------------------------------------------------------

    def expire(self, user: str) -> None:
        """End the access tokens of a user."""
        for token in [token for token, owner in self._access.items() if owner == user]:
            del self._access[token]

    def withdraw(self, user: str) -> None:
        """End all tokens of a user."""
        self.expire(user)
        for token in [token for token, owner in self._refresh.items() if owner == user]:
            del self._refresh[token]

    def forget_session(self, user: str) -> None:
        """End the sessions of a user."""
        for session in [session for session, owner in self._sessions.items() if owner == user]:
            del self._sessions[session]

    def consent(self, user: str, url: str) -> str:
        """Be the browser of a user who agrees; return where it is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-{user}-{next(self._numbers)}"
        self._codes[code] = user
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def record(self, user: str) -> dict[str, Any]:
        """Return what the store holds of a user who has signed in."""
        tokens = self._give(user)
        return {
            "endpoint": f"{self.origin}/mcp",
            "resource": f"{self.origin}/mcp",
            "issuer": self.origin,
            "token_endpoint": f"{self.origin}/token",
            "client": {"client_id": "app", "token_endpoint_auth_method": "none"},
            "tokens": {
                "access_token": tokens["access_token"],
                "refresh_token": tokens["refresh_token"],
                "token_type": "bearer",
                "issuer": self.origin,
            },
        }

    # ---- what the server does -------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request: status, document, headers."""
        if target == "/mcp":
            return self._mcp(method, headers, body)
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        served: dict[str, Callable[[], Answer]] = {
            "/.well-known/oauth-protected-resource/mcp": lambda: (
                200,
                {"resource": f"{self.origin}/mcp", "authorization_servers": [self.origin]},
                {},
            ),
            "/.well-known/oauth-authorization-server": lambda: (200, self._metadata(), {}),
            "/register": lambda: (201, {"client_id": "app", "token_endpoint_auth_method": "none"}, {}),
            "/token": lambda: self._token(form),
            "/revoke": lambda: self._revoked(form),
        }
        return served.get(target, lambda: (404, None, {}))()

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "revocation_endpoint": f"{self.origin}/revoke",
            "code_challenge_methods_supported": ["S256"],
        }

    def _give(self, user: str) -> dict[str, Any]:
        access, refresh = (f"{kind}-{user}-{next(self._numbers)}" for kind in ("access", "refresh"))
        self._access[access] = self._refresh[refresh] = user
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": LIFE,
        }

    def _token(self, form: Mapping[str, str]) -> Answer:
        if form["grant_type"] == "authorization_code":
            user = self._codes.pop(form["code"], None)
        else:
            user = self._refresh.pop(form["refresh_token"], None)
        if user is None:
            return 400, {"error": "invalid_grant"}, {}
        return 200, self._give(user), {}

    def _revoked(self, form: Mapping[str, str]) -> Answer:
        self._access.pop(form["token"], None)
        self._refresh.pop(form["token"], None)
        return 200, None, {}

    def _mcp(self, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        named = headers.get("x-routermcp-user-id", "")
        # Tokens that have ended still say whose they were.
        carried = {named, *([token.split("-")[1]] if token else [])}
        session = headers.get("mcp-session-id")
        if session is not None:
            carried.add(session.split("-")[1])
        if len(carried) > 1:
            self.mixed.append(f"{method} with {sorted(carried)}")
        user = self._access.get(token)
        if user is None:
            where = f"{self.origin}/.well-known/oauth-protected-resource/mcp"
            return 401, None, {"WWW-Authenticate": f'Bearer resource_metadata="{where}"'}
        self.calls += 1
        if method != "POST":
            return 405, None, {}
        message = json.loads(body)
        if session is not None and session not in self._sessions:
            return 404, None, {}
        if "id" not in message:
            return 202, None, {}
        return self._result(user, message)

    def _result(self, user: str, message: dict[str, Any]) -> Answer:
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        stateless = self.era == "2026-07-28"
        private = {"resultType": "complete", "ttlMs": 3_600_000, "cacheScope": "private"} if stateless else {}
        info = {"name": f"server of {user}", "version": "1"}
        method, headers = message["method"], {}
        if method == "server/discover" and stateless:
            meta = {"io.modelcontextprotocol/serverInfo": info}
            answer["result"] = {
                **private,
                "supportedVersions": [self.era],
                "capabilities": {"tools": {}},
                "_meta": meta,
            }
        elif method == "initialize" and not stateless:
            name = f"session-{user}-{next(self._numbers)}"
            self._sessions[name] = user
            headers = {"Mcp-Session-Id": name}
            answer["result"] = {
                "protocolVersion": self.era,
                "capabilities": {"tools": {}},
                "serverInfo": info,
            }
        elif method == "tools/list":
            tool = {"name": f"tool-of-{user}", "inputSchema": {"type": "object"}}
            answer["result"] = {**private, "tools": [tool]}
        elif method == "tools/call":
            answer["result"] = {**private, "content": [{"type": "text", "text": user}]}
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
            return (404 if stateless else 400), answer, {}
        return 200, answer, headers


class _Connection(asyncio.Protocol):
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._crowd.connections.add(self._gone)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.connections.discard(self._gone)
        self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
            }
            length = int(headers.get("content-length", "0"))
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            method, target, _ = first.split(" ")
            self._transport.write(_response(*self._crowd.answer(method, target, headers, body)))


def _response(status: int, document: Any, headers: Mapping[str, str]) -> bytes:
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"HTTP/1.1 {status} Any", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def serve(crowd: Crowd) -> asyncio.Server:
    """Serve in this event loop."""
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(crowd), "127.0.0.1", 0)
    crowd.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    return server
