"""An MCP server that lets in only who shows a token, and the authorization server that gives them.

Tokens name their user, so that a request can be seen to carry its own. Refresh tokens rotate: one
that is shown a second time is a sign of theft, and ends all that its user has.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from tests import loopback
from tests.routermcp.server import Exchange, ScriptedServer

#: Seconds that a token lasts unless a test says otherwise.
LIFE = 3600.0

#: Seconds that an answer is held back at most.
LATEST = 60.0


class ProtectedServer(ScriptedServer):
    """Both servers at one address.

    Attributes:
        life: Seconds that new tokens last.
        issuer: The authorization server that it names, None for its own.
        odd_metadata: Members of its metadata in place of the ordinary ones, None for none.
        hangs_up: Whether nobody is given a token just now.
        hangs_on: Whether nobody who asks for a token is answered at all.
        answers_when: Raised when those who ask for a token get their answer, which is made before.
        shows_user: Whose consent the next visit of the page is.
        polled: The errors that polls with a device code are answered with before the user has agreed.
        agrees: Whether the user agrees at all; the last of those errors stays where not.
        refreshes: Renewals by user.
        sign_ins: Codes that were turned into tokens, by user.
        reused: Refresh tokens that were shown twice.
        calls: The users whose tokens came with ``tools/call``, and the ``X-RouterMCP-User-Id`` beside.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.life = LIFE
        self.issuer: str | None = None
        self.odd_metadata: dict[str, Any] = {}
        self.hangs_up = False
        self.hangs_on = False
        self.answers_when = threading.Event()
        self.answers_when.set()
        self.shows_user = "alice"
        self.polled: list[str] = []
        self.agrees = True
        self.refreshes: Counter[str] = Counter()
        self.sign_ins: Counter[str] = Counter()
        self.reused: list[str] = []
        self.revoked: list[str] = []
        self.calls: list[tuple[str, str | None]] = []
        self._tokens: dict[str, tuple[str, float]] = {}
        self._refresh: dict[str, str] = {}
        self._spent: set[str] = set()
        self._codes: dict[str, str] = {}
        self._devices: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()

    @property
    def origin(self) -> str:
        """Where both servers are."""
        return self.url.removesuffix(self.path)

    def expire(self, user: str | None = None) -> None:
        """End all access tokens, or those of one user."""
        with self._guard:
            for token in [token for token, (whose, _) in self._tokens.items() if user in (whose, None)]:
                del self._tokens[token]

    def withdraw(self) -> None:
        """End all tokens, refresh tokens too."""
        with self._guard:
            self._tokens.clear()
            self._refresh.clear()

    def grant(self, user: str) -> dict[str, Any]:
        """Give tokens to a user as if they had signed in; returns the record to be kept."""
        with self._guard:
            given = self._give(user)
        return {
            "endpoint": self.url,
            "resource": self.url,
            "issuer": self.origin,
            "token_endpoint": f"{self.origin}/oauth/token",
            "revocation_endpoint": f"{self.origin}/oauth/revoke",
            "client": {"client_id": "app", "token_endpoint_auth_method": "none"},
            "tokens": {
                **{name: given[name] for name in ("access_token", "refresh_token")},
                "token_type": "bearer",
                "issuer": self.origin,
                "obtained_at": time.time(),
                "expires_at": time.time() + given["expires_in"],
            },
        }

    # ---- requests --------------------------------------------------------------------------------

    def _treat(self, exchange: Exchange) -> None:
        seen = exchange.seen
        path, _, query = seen.target.partition("?")
        if path == self.path:
            self._let_in(exchange)
        elif path == f"/.well-known/oauth-protected-resource{self.path}":
            exchange.status(
                200, {"resource": self.url, "authorization_servers": [self.issuer or self.origin]}
            )
        elif path == "/.well-known/oauth-authorization-server":
            exchange.status(200, self._metadata())
        elif path == "/oauth/register":
            exchange.status(201, {"client_id": "app"})
        elif path == "/oauth/authorize":
            exchange.status(302, Location=self._consent(query))
        elif path == "/oauth/device":
            exchange.status(200, self._codes_for_device(seen.body.decode()))
        elif path == "/oauth/token":
            self._treat_token(exchange)
        elif path == "/oauth/revoke":
            self.revoked.append(parse_qs(seen.body.decode())["token"][0])
            exchange.status(200)
        else:
            exchange.status(404)

    def _treat_token(self, exchange: Exchange) -> None:
        if self.hangs_up:
            exchange.hang_up()
        elif self.hangs_on:
            exchange.closed_by_client()
        else:
            status, answer = self._token(exchange.seen.body.decode())
            self.answers_when.wait(LATEST)
            exchange.status(status, answer)

    def _metadata(self) -> dict[str, Any]:
        members: dict[str, Any] = {
            "issuer": self.origin,
            "authorization_endpoint": f"{self.origin}/oauth/authorize",
            "token_endpoint": f"{self.origin}/oauth/token",
            "registration_endpoint": f"{self.origin}/oauth/register",
            "revocation_endpoint": f"{self.origin}/oauth/revoke",
            "device_authorization_endpoint": f"{self.origin}/oauth/device",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            **self.odd_metadata,
        }
        return {name: value for name, value in members.items() if value is not None}

    def _let_in(self, exchange: Exchange) -> None:
        headers = exchange.seen.headers
        shown = headers.get("authorization", "").removeprefix("Bearer ")
        with self._guard:
            user, until = self._tokens.get(shown, ("", 0.0))
            if until <= time.time():
                user = ""
            elif exchange.seen.method == "tools/call":
                self.calls.append((user, headers.get("x-routermcp-user-id")))
        if user:
            super()._treat(exchange)
        else:
            metadata = f"{self.origin}/.well-known/oauth-protected-resource{self.path}"
            challenge = f'Bearer error="invalid_token", resource_metadata="{metadata}"'
            exchange.status(401, WWW_Authenticate=challenge)

    def _consent(self, query: str) -> str:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        with self._guard:
            code = f"code-{next(self._numbers)}"
            self._codes[code] = self.shows_user
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def _codes_for_device(self, body: str) -> dict[str, Any]:
        with self._guard:
            number = next(self._numbers)
            self._devices[f"device-{number}"] = parse_qs(body)["client_id"][0]
        return {
            "device_code": f"device-{number}",
            "user_code": f"CODE-{number}",
            "verification_uri": f"{self.origin}/go",
            "verification_uri_complete": f"{self.origin}/go?code=CODE-{number}",
            "expires_in": 600,
            "interval": 0,
        }

    def _answer_to_poll(self, form: dict[str, str]) -> str | None:
        """Return the error that a poll is answered with, None where the user has agreed."""
        if self._devices.get(form["device_code"]) != form["client_id"]:
            return "invalid_grant"
        if self.polled:
            return self.polled.pop(0) if self.agrees or len(self.polled) > 1 else self.polled[0]
        del self._devices[form["device_code"]]
        return None

    def _token(self, body: str) -> tuple[int, dict[str, Any]]:
        form = {name: values[0] for name, values in parse_qs(body).items()}
        with self._guard:
            if form["grant_type"] == "authorization_code":
                user = self._codes.pop(form["code"], None)
                if user is not None:
                    self.sign_ins[user] += 1
            elif "device_code" in form:
                error = self._answer_to_poll(form)
                if error is not None:
                    return 400, {"error": error}
                user = self.shows_user
                self.sign_ins[user] += 1
            else:
                user = self._renewed(form["refresh_token"])
            if user is None:
                return 400, {"error": "invalid_grant"}
            return 200, self._give(user)

    def _renewed(self, shown: str) -> str | None:
        if shown in self._spent:
            self.reused.append(shown)
            return None
        user = self._refresh.pop(shown, None)
        if user is not None:
            self._spent.add(shown)
            self.refreshes[user] += 1
        return user

    def _give(self, user: str) -> dict[str, Any]:
        access, refresh = (f"{kind}-{user}-{next(self._numbers)}" for kind in ("access", "refresh"))
        self._tokens[access] = (user, time.time() + self.life)
        self._refresh[refresh] = user
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.life,
        }


def consent(server: ProtectedServer, user: str, url: str) -> httpx.Response:
    """Be the browser of a user who agrees, and is sent back; return the last page."""
    server.shows_user = user
    with loopback.Client(follow_redirects=True) as browser:
        return browser.get(url)


def decline(server: ProtectedServer, url: str) -> httpx.Response:
    """Be the browser of a user who says no, and is sent back; return the last page."""
    asked = parse_qs(urlsplit(url).query)
    said = urlencode({"error": "access_denied", "state": asked["state"][0], "iss": server.origin})
    return loopback.get(f"{asked['redirect_uri'][0]}?{said}")


def callback(server: ProtectedServer, user: str, url: str) -> str:
    """Be that browser, but go no further than where it is sent back to."""
    server.shows_user = user
    with loopback.Client() as browser:
        return browser.get(url).headers["location"]


def state_in(url: str) -> str:
    """Return the state in a URL."""
    return parse_qs(urlsplit(url).query)["state"][0]
