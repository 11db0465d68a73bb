"""A web application whose routes call tools: one client for all requests."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from routermcp import MCPError, RouterMCPClient, ToolError, TransportError

T = TypeVar("T")


def make_client() -> RouterMCPClient:
    """Make the client; tests replace this function."""
    return RouterMCPClient(os.environ.get("MCP_URL", "http://127.0.0.1:9000/mcp"), timeout=5_000)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with make_client() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def client_of(request: Request) -> RouterMCPClient:
    return request.app.state.client


Client = Annotated[RouterMCPClient, Depends(client_of)]


@app.exception_handler(MCPError)
def failed(request: Request, error: MCPError) -> JSONResponse:
    if isinstance(error, ToolError):  # the tool ran and says what is wrong
        return JSONResponse({"detail": str(error)}, 422)
    logging.getLogger(__name__).warning("%s: %s", request.url.path, error)
    timed_out = isinstance(error, TransportError) and error.code == "timeout"
    return JSONResponse({"detail": "the tool did not answer"}, 504 if timed_out else 502)


async def while_wanted(request: Request, call: Coroutine[Any, Any, T]) -> T:
    """Return the result of a call, which is cancelled when the browser goes away."""
    task = asyncio.ensure_future(call)
    try:
        while not (await asyncio.wait([task], timeout=0.5))[0]:
            if await request.is_disconnected():
                raise HTTPException(499)  # for the log: no one reads it
        return task.result()
    finally:
        task.cancel()


@app.get("/sum")
async def total(request: Request, client: Client, a: int, b: int) -> dict[str, str]:
    call = client.call_tool("add", {"a": a, "b": b}, raise_on_error=True)
    return {"sum": (await while_wanted(request, call)).text}
