"""A web application whose users sign in at an MCP server, each with an account of their own.

Two pages are all that it takes: one that calls a tool, and one that users come back to::

    pip install 'routermcp[oauth]' starlette uvicorn
    MCP_URL=https://mcp.example/mcp PUBLIC_URL=https://app.example uvicorn --factory web_application:make_app

Several processes of it may run side by side, with ``redis_adapter`` or ``sql_adapter`` also on several
machines: what a sign-in needs between the two pages is in the store.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from routermcp import RouterMCPClient
from routermcp.oauth import OAuthConfig, file_adapter
from routermcp.types import AuthorizationRequiredError, OAuthError


def user_of(request: Request) -> str:
    """Return who is logged in; stands for the login of your site, which a plain cookie is none of."""
    return request.cookies["user"]


def make_app() -> Starlette:
    """Return the application."""
    client = RouterMCPClient(
        url=os.environ["MCP_URL"],
        user_id="web",  # never signed in: all calls are made by the sessions of users
        oauth=OAuthConfig(
            file_adapter(os.environ.get("TOKENS")),
            redirect_uri=f"{os.environ['PUBLIC_URL']}/oauth/callback",
        ),
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # The client itself is not connected, as it has no tokens.
        async with client.sessions(max_open=500) as sessions:
            app.state.sessions = sessions
            yield

    async def home(request: Request) -> Response:
        try:
            async with request.app.state.sessions.get(user_of(request)) as session:
                result = await session.call_tool("add", {"a": 1, "b": 2})
        except AuthorizationRequiredError as needed:
            if needed.url is None:
                raise
            return RedirectResponse(needed.url, status_code=303)
        return PlainTextResponse(f"1 + 2 = {result.text}")

    async def callback(request: Request) -> Response:
        try:
            session = client.create_session(user_of(request))
            await session.complete_authorization(str(request.url))
        except OAuthError as error:  # another user's, too late, or the user said no
            return PlainTextResponse(str(error), status_code=400)
        return RedirectResponse("/", status_code=303)

    return Starlette(routes=[Route("/", home), Route("/oauth/callback", callback)], lifespan=lifespan)
