"""The commands for tools: ``tools``, ``describe`` and ``call``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ... import RPCError, SyncRouterMCPClient
from ...types import ToolResult
from ..arguments.words import parse_arguments
from ..client_commands import client_command
from ..failures import ExitCode, UsageProblem, complain
from ..options import ClientOptions, JsonOption
from ..output import describe_content, write_json, write_rows, write_text
from ..progress import call_progress
from .saved_files import OutputOption, write_content
from .tool_names import find_named, no_such_tool
from .tool_page import describe_tool, schema_of

app = typer.Typer()

VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show all about each, not one line.")]
ToolArgument = Annotated[
    str, typer.Argument(metavar="TOOL", help="The name of a tool, which may lack its server's alias.")
]
ArgumentWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="An argument; also KEY:=JSON, KEY:=@FILE, a JSON object, @FILE with one, or - for one on "
        "standard input.",
    ),
]


@client_command(app)
def tools(*, options: ClientOptions, verbose: VerboseOption = False, as_json: JsonOption = False) -> None:
    """List the tools, one line each."""
    with options.connected() as client:
        found = client.list_tools()
    if as_json:
        write_json({"tools": [tool.to_wire() for tool in found]})
    elif verbose and found:
        write_text("\n\n".join(describe_tool(tool, options) for tool in found))
    else:
        rows = [(tool.name, tool.description or tool.title or "") for tool in found]
        write_rows(rows, none="the server has no tools")


@client_command(app)
def describe(name: ToolArgument, *, options: ClientOptions, as_json: JsonOption = False) -> None:
    """Show all about a tool: its purpose, its arguments, and how to call it."""
    with options.connected() as client:
        found = client.list_tools()
        tool = find_named(name, found)
        if tool is None:
            raise UsageProblem(no_such_tool(name, found))
    if as_json:
        write_json(tool.to_wire())
    else:
        write_text(describe_tool(tool, options))


@client_command(app)
def call(
    name: ToolArgument,
    words: ArgumentWords = None,
    *,
    options: ClientOptions,
    output: OutputOption = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Send the arguments though the tool's schema forbids them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Call a tool.

    Values are read by the types that the tool declares: a=1 is a number where a number is
    wanted; arrays and objects are JSON. What does not fit the tool's schema is not sent.
    """
    with options.connected() as client:
        result = _called(client, name, words or [], check=not unchecked)
        if output is not None and not result.isError:
            write_content(result.content or _structured(result), output)
    if as_json:
        write_json(result.to_wire())
    elif result.isError:
        complain(f"the tool {name!r} failed: {_result_text(result) or 'it gave no reason'}")
    elif output is None:
        write_text(_result_text(result))
    if result.isError:
        raise typer.Exit(ExitCode.TOOL_ERROR)


def _called(client: SyncRouterMCPClient, name: str, words: list[str], *, check: bool) -> ToolResult:
    listed = client.list_tools()
    tool = find_named(name, listed)
    arguments = parse_arguments(words, schema_of(tool) if tool is not None else None, check=check)
    try:
        with call_progress(name) as on_progress:
            return client.call_tool(tool.name if tool else name, arguments, on_progress=on_progress)
    except RPCError as error:
        if tool is None:
            error.add_note(no_such_tool(name, listed))
        raise


def _structured(result: ToolResult) -> list[dict[str, Any]]:
    return [{"type": "text", "text": json.dumps(result.structuredContent, ensure_ascii=False)}]


def _result_text(result: ToolResult) -> str:
    items = result.content or (_structured(result) if result.structuredContent is not None else [])
    return "\n".join(describe_content(item) for item in items)
