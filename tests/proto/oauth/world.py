"""Servers without sockets: a protected MCP server and its authorization servers, and a user."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from routermcp_proto.oauth.authorizer import Authorizer
from routermcp_proto.oauth.client import Application
from routermcp_proto.oauth.records import GrantRecord
from routermcp_proto.oauth.steps import (
    AskUser,
    Flow,
    HTTPAnswer,
    HTTPStep,
    Pause,
    SaveRecord,
    ShowCode,
    UserCode,
)

T = TypeVar("T")

ENDPOINT = "https://mcp.example/api/mcp"
RESOURCE_METADATA = "https://mcp.example/.well-known/oauth-protected-resource/api/mcp"
ISSUER = "https://auth.example"
SERVER_METADATA = "https://auth.example/.well-known/oauth-authorization-server"
REDIRECT = "http://127.0.0.1:5000/callback"

Handler = Callable[[HTTPStep], HTTPAnswer]


def answer(status: int = 200, document: Any = None, **headers: str) -> HTTPAnswer:
    body = b"" if document is None else json.dumps(document).encode()
    return HTTPAnswer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def form_of(step: HTTPStep) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(step.body.decode(), keep_blank_values=True).items()}


class Chance:
    """Entropy that can be told apart, and a clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self._drawn = 0

    def random(self, count: int) -> bytes:
        self._drawn += 1
        return self._drawn.to_bytes(count, "big")

    def now(self) -> float:
        return self.time


class PlainSigner:
    """Shows what it would sign."""

    def sign(self, claims: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()

    @staticmethod
    def read(signed: str) -> dict[str, Any]:
        return json.loads(base64.urlsafe_b64decode(signed))


class World:
    """Answers the steps of flows."""

    def __init__(self) -> None:
        self.steps: list[HTTPStep] = []
        self.visits: list[str] = []
        self.shown: list[UserCode] = []
        self.pauses: list[float] = []
        self.clock = Chance()
        self.kept = 0
        self.resource: dict[str, Any] = {"resource": ENDPOINT, "authorization_servers": [ISSUER]}
        self.server: dict[str, Any] = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "registration_endpoint": f"{ISSUER}/register",
            "revocation_endpoint": f"{ISSUER}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
        }
        self.token: dict[str, Any] = {
            "access_token": "access-1",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": "refresh-1",
        }
        self.callback: dict[str, str] = {"code": "code-1"}
        self.handlers: dict[str, Handler] = {
            RESOURCE_METADATA: lambda _: answer(document=self.resource),
            SERVER_METADATA: lambda _: answer(document=self.server),
            f"{ISSUER}/token": lambda _: answer(document=self.token),
            f"{ISSUER}/register": lambda _: answer(201, {"client_id": "registered"}),
            f"{ISSUER}/revoke": lambda _: answer(),
        }

    def drive(self, flow: Flow[T]) -> T:
        reply: Any = None
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                return end.value
            match step:
                case SaveRecord():
                    self.kept += 1
                    reply = None
                case ShowCode(code, polling):
                    self.shown.append(code)
                    reply = self.drive(polling)
                case Pause(seconds):
                    self.pauses.append(seconds)
                    self.clock.time += seconds
                    reply = None
                case AskUser():
                    reply = self._visit(step)
                case _:
                    reply = self._request(step)

    def _request(self, step: HTTPStep) -> HTTPAnswer:
        self.steps.append(step)
        handler = self.handlers.get(step.url)
        return handler(step) if handler is not None else answer(404)

    def _visit(self, step: AskUser) -> str:
        self.visits.append(step.url)
        return self.comes_back(step.url)

    def comes_back(self, url: str) -> str:
        """Return where the browser of a user ends who was sent to a URL."""
        state = parse_qs(urlsplit(url).query)["state"][0]
        return f"{REDIRECT}?{urlencode({'state': state, **self.callback})}"

    def asked(self) -> list[str]:
        """Return the URLs that were asked for."""
        return [step.url for step in self.steps]

    def forms(self) -> list[dict[str, str]]:
        """Return the forms that the token endpoint got."""
        return [form_of(step) for step in self.steps if step.url == f"{ISSUER}/token"]


class Party:
    """A world and one user's authorizer in it."""

    def __init__(self, record: dict[str, Any] | None = None, **settings: Any) -> None:
        self.world = World()
        self.chance = Chance()
        self.registrations: dict[str, Any] = {}
        application = Application(**{"name": "app", "redirect_uri": REDIRECT, **settings})
        self.authorizer = Authorizer(
            ENDPOINT,
            application,
            GrantRecord(record),
            self.registrations,
            random=self.chance.random,
            clock=self.chance.now,
        )
