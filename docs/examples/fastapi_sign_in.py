"""A web application whose users have accounts of their own at an MCP server."""

import html
import os
import secrets
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Form, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

from routermcp import AuthorizationRequiredError, MCPError, OAuthError, RouterMCPClient, RouterMCPSession
from routermcp.oauth import OAuthConfig, file_adapter

client = RouterMCPClient(
    os.environ.get("MCP_URL", "http://127.0.0.1:9000/mcp"),
    user_id="web",  # never signed in: all calls are made by the sessions of users
    oauth=OAuthConfig(
        file_adapter(os.environ.get("TOKENS", "tokens")),
        redirect_uri=os.environ.get("PUBLIC_URL", "http://127.0.0.1:8000") + "/oauth/callback",
    ),
)


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with client.sessions() as sessions:
        app.state.sessions = sessions
        yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key=os.environ.get("SECRET_KEY") or secrets.token_hex())


def user_of(request: Request) -> str:
    """Return the id of the user: of a browser, as this site has no accounts."""
    return request.session.setdefault("user", secrets.token_urlsafe())


async def session_of(request: Request, user: Annotated[str, Depends(user_of)]):
    async with request.app.state.sessions.get(user) as session:
        yield session


Session = Annotated[RouterMCPSession, Depends(session_of)]


@app.exception_handler(AuthorizationRequiredError)
def sign_in(request: Request, needed: AuthorizationRequiredError):
    return RedirectResponse(needed.url, 303) if needed.url else failed(request, needed)


@app.exception_handler(MCPError)
def failed(_: Request, error: MCPError):
    return PlainTextResponse(str(error), 502)


@app.get("/oauth/callback")
async def callback(request: Request, user: Annotated[str, Depends(user_of)]):
    try:
        await client.create_session(user).complete_authorization(str(request.url))
    except OAuthError as error:  # another user's, too late, or the user has declined
        return PlainTextResponse(str(error), 400)
    return RedirectResponse("/notes", 303)


@app.get("/")
def home():
    return HTMLResponse('<h1>Notes</h1><a href="/notes">Your notes</a>')


@app.get("/tools")
async def tools(session: Session):
    return [tool.name for tool in await session.list_tools()]


@app.get("/notes")
async def notes(session: Session):
    account = (await session.call_tool("notes")).data
    items = "".join(f"<li>{html.escape(note)}</li>" for note in account["notes"])
    return HTMLResponse(
        f"<h1>Notes of {html.escape(account['user'])}</h1><ul>{items}</ul>"
        '<form method="post"><input name="text"><button>Add</button></form>'
        '<form method="post" action="/sign-out"><button>Sign out</button></form>'
    )


@app.post("/notes")
async def add_note(session: Session, text: Annotated[str, Form()]):
    await session.call_tool("add_note", {"text": text}, raise_on_error=True)
    return RedirectResponse("/notes", 303)


@app.post("/sign-out")
async def sign_out(request: Request, user: Annotated[str, Depends(user_of)]):
    await client.create_session(user).revoke_all()
    request.session.clear()
    return RedirectResponse("/", 303)
