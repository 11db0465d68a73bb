"""The page of the errors: the tree of :class:`routermcp.MCPError` with its codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType

import routermcp
from routermcp_proto import error_codes
from routermcp_proto.exceptions import MCPError, RPCError

from .markdown import first_sentence, plain, section, table

INTRODUCTION = """# Errors

Every error is an `MCPError`; no exception of a library leaves the API.
[Errors and retries](../how-to/errors.md) shows what to do about them.

The `code` of an error is public and does not change; its text may.

An arrow stands for a class below the one above it.

"""

TRANSPORT = """
## Codes of TransportError

`error.code` is a word; `http_503` stands for every status that is no success.

"""

#: What each code of a :class:`routermcp.TransportError` says.
TRANSPORT_CODES = {
    "connect": "no connection could be opened",
    "dns": "the name of the host could not be resolved",
    "tls": "the certificate is not trusted, or TLS failed otherwise",
    "timeout": "`timeout` has passed",
    "closed": "the client was closed, or the connection is gone, and the call did not run",
    "interrupted": "the connection was lost after the request had left: the call may have run",
    "protocol": "the answer breaks the rules of HTTP, of event streams or of JSON-RPC",
    "redirect": "a redirect that may not be followed, to another origin above all",
    "http_<status>": "the server or a proxy refused the request with this HTTP status",
}

RPC = """
## Codes of JSON-RPC, MCP and the gateway

`error.code` of an `RPCError` is the number that the server sent. Where it has a class, that is raised; the
classes of the gateway only where the URL is that of a RouterMCP gateway.

"""

REFERENCE = """
## Classes

"""


def _tree(error: type[MCPError], depth: int = 0) -> Iterator[tuple[type[MCPError], int]]:
    yield error, depth
    for each in error.__subclasses__():
        if hasattr(routermcp, each.__name__):
            yield from _tree(each, depth + 1)


def _comments(module: ModuleType) -> dict[str, str]:
    """Return what the comments above the constants of a module say."""
    with open(str(module.__file__)) as source:
        found = re.findall(r"((?:^#:.*\n)+)^([A-Z_]+) = ", source.read(), re.MULTILINE)
    return {name: plain(comment.replace("#:", "")) for comment, name in found}


def _classes() -> Iterator[list[str]]:
    for error, depth in _tree(MCPError):
        attributes = ", ".join(f"`{name}`" for name in section(error.__doc__, "Attributes"))
        name = f"{'→ ' * depth}[`{error.__name__}`](#routermcp.types.{error.__name__})"
        yield [name, first_sentence(error.__doc__), attributes]


def _codes() -> Iterator[list[str]]:
    errors = [
        error for error, _ in _tree(RPCError) if "default_code" in vars(error) and error is not RPCError
    ]
    for error in sorted(errors, key=lambda each: each.default_code):
        meaning = re.sub(r" \(-32.*?\)", "", first_sentence(error.__doc__))
        yield [f"{error.default_code}", meaning, f"`{error.__name__}`"]
    taken = {error.default_code for error in errors}
    for name, said in _comments(error_codes).items():
        if (code := vars(error_codes)[name]) not in taken:
            yield [f"{code}", said, "`RPCError`"]


def errors_page() -> str:
    """Return the page."""
    names = sorted(error.__name__ for error, _ in _tree(MCPError))
    blocks = "\n\n".join(
        f"::: routermcp.types.{name}\n    options:\n      heading_level: 3" for name in names
    )
    codes = ([f"`{code}`", meaning] for code, meaning in TRANSPORT_CODES.items())
    return (
        f"{INTRODUCTION}{table(('class', 'raised when', 'attributes'), _classes())}"
        f"{TRANSPORT}{table(('code', 'meaning'), codes)}"
        f"{RPC}{table(('code', 'meaning', 'class'), _codes())}"
        f"{REFERENCE}{blocks}\n"
    )
