"""The commands."""

from __future__ import annotations

import difflib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from .. import InvalidParamsError, MethodNotFoundError, SyncRouterMCPClient, __version__
from ..types import ResourceTemplate, Tool, ToolResult
from .arguments import parse_arguments
from .auth import app as auth_commands
from .config import app as config_commands
from .failures import EXIT_CODES, ExitCode, UsageProblem, complain
from .gateway import app as gateway_commands
from .options import ClientOptions, JsonOption, takes_client_options
from .output import describe_arguments, describe_content, write_json, write_table, write_text
from .progress import call_progress

app = typer.Typer(
    name="routermcp",
    help=f"Use MCP servers from the command line.\n\n{EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(gateway_commands)
app.add_typer(config_commands)
app.add_typer(auth_commands)

PairsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Arguments; KEY:=JSON gives any JSON value."),
]


def run(argv: Sequence[str] | None) -> int:
    """Run a command and return the exit code."""
    try:
        app(args=None if argv is None else list(argv), prog_name="routermcp")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"routermcp {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options before the command; the help is that of the application."""
    del version


@app.command()
@takes_client_options
def tools(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """List the tools.

    Arguments with ? may be left out.
    """
    with options.connected() as client:
        found = client.list_tools()
    if as_json:
        write_json({"tools": [tool.to_wire() for tool in found]})
        return
    rows = [
        (tool.name, tool.description or tool.title or "", describe_arguments(_tool_schema(tool)))
        for tool in found
    ]
    write_table(("name", "description", "arguments"), rows, none="the server has no tools")


@app.command()
@takes_client_options
def call(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the tool.")],
    pairs: PairsArgument = None,
    *,
    options: ClientOptions,
    as_json: JsonOption = False,
) -> None:
    """Call a tool.

    Values are read by the types that the tool declares: a=1 is a number where a number is
    wanted; arrays and objects are JSON.
    """
    with options.connected() as client:
        result = _call_tool_checked(client, name, pairs or [])
    if as_json:
        write_json(result.to_wire())
    elif result.isError:
        complain(f"the tool {name!r} failed: {_result_text(result) or 'it gave no reason'}")
    else:
        write_text(_result_text(result))
    if result.isError:
        raise typer.Exit(ExitCode.TOOL_ERROR)


def _call_tool_checked(client: SyncRouterMCPClient, name: str, pairs: list[str]) -> ToolResult:
    listed = {tool.name: tool for tool in client.list_tools()}
    tool = listed.get(name)
    arguments = parse_arguments(pairs, _tool_schema(tool) if tool is not None else None)
    try:
        with call_progress(name) as on_progress:
            return client.call_tool(name, arguments, on_progress=on_progress)
    except InvalidParamsError as error:
        if tool is None:
            error.add_note(_unlisted_tool(name, list(listed)))
        raise


def _result_text(result: ToolResult) -> str:
    if not result.content and result.structuredContent is not None:
        return json.dumps(result.structuredContent, ensure_ascii=False)
    return "\n".join(describe_content(item) for item in result.content)


@app.command()
@takes_client_options
def resources(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """List the resources and the templates of resources."""
    with options.connected() as client:
        found, templates = client.list_resources(), _list_templates(client)
    if as_json:
        write_json(
            {
                "resources": [resource.to_wire() for resource in found],
                "resourceTemplates": [template.to_wire() for template in templates],
            }
        )
        return
    rows = [
        (resource.uri, resource.name, resource.description or "", resource.mimeType or "")
        for resource in found
    ]
    rows += [
        (template.uriTemplate, template.name, template.description or "", template.mimeType or "")
        for template in templates
    ]
    write_table(("uri", "name", "description", "type"), rows, none="the server has no resources")


def _list_templates(client: SyncRouterMCPClient) -> list[ResourceTemplate]:
    try:
        return client.list_resource_templates()
    except MethodNotFoundError:
        return []  # many servers with resources have no templates, and do not know the method


@app.command()
@takes_client_options
def read(
    uri: Annotated[str, typer.Argument(metavar="URI", help="URI of the resource.")],
    *,
    options: ClientOptions,
    as_json: JsonOption = False,
) -> None:
    """Read a resource."""
    with options.connected() as client:
        result = client.read_resource(uri)
    if as_json:
        write_json(result.to_wire())
        return
    for content in result.contents:
        write_text(describe_content(content.to_wire()))


@app.command()
@takes_client_options
def prompts(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """List the prompts.

    Arguments with ? may be left out.
    """
    with options.connected() as client:
        found = client.list_prompts()
    if as_json:
        write_json({"prompts": [prompt.to_wire() for prompt in found]})
        return
    rows = [
        (
            prompt.name,
            prompt.description or prompt.title or "",
            ", ".join(f"{item.name}{'' if item.required else '?'}" for item in prompt.arguments or []),
        )
        for prompt in found
    ]
    write_table(("name", "description", "arguments"), rows, none="the server has no prompts")


@app.command()
@takes_client_options
def prompt(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the prompt.")],
    pairs: PairsArgument = None,
    *,
    options: ClientOptions,
    as_json: JsonOption = False,
) -> None:
    """Get a prompt with its arguments filled in."""
    with options.connected() as client:
        result = client.get_prompt(name, _text_arguments(parse_arguments(pairs or [], None)))
    if as_json:
        write_json(result.to_wire())
        return
    for message in result.messages:
        content = message.to_wire().get("content")
        items: list[Any] = content if isinstance(content, list) else [content]  # pyright: ignore[reportUnknownVariableType]
        for item in items:
            write_text(f"{message.role}: {describe_content(item)}")


def _text_arguments(arguments: Mapping[str, Any]) -> dict[str, str]:
    for key, value in arguments.items():
        if not isinstance(value, str):
            raise UsageProblem(f"{key}: expected string, got {value!r}: arguments of prompts are texts")
    return dict(arguments)


@app.command()
@takes_client_options
def ping(*, options: ClientOptions, as_json: JsonOption = False) -> None:
    """See that the server answers, and how long that takes."""
    with options.connected() as client:
        started = time.perf_counter()
        client.ping()
        milliseconds = round((time.perf_counter() - started) * 1000, 2)
        server = client.server
    assert server is not None  # noqa: S101 - it is connected
    info = server.serverInfo
    if as_json:
        write_json(
            {
                "milliseconds": milliseconds,
                "protocolVersion": server.protocolVersion,
                "serverInfo": info.to_wire(),
            }
        )
        return
    write_text(
        f"{info.name} {info.version} answered in {milliseconds} ms, speaking MCP {server.protocolVersion}"
    )


@app.command()
@takes_client_options
def demo(*, options: ClientOptions) -> None:
    """Show the client on all its runtimes.

    Runs one scenario under asyncio, under trio and in plain code. Without --url a local
    server is started (ROUTERMCP_URL is not used). A server of yours is only asked what it
    has, and to run one tool that says that it changes nothing and needs no arguments.
    """
    from .demo.command import run_demo  # noqa: PLC0415 - only where it is shown

    ok = run_demo(options)
    raise typer.Exit(ExitCode.OK if ok else ExitCode.TOOL_ERROR)


def _tool_schema(tool: Tool) -> dict[str, Any]:
    return tool.inputSchema.model_dump()


def _unlisted_tool(name: str, known: Sequence[str]) -> str:
    alike = difflib.get_close_matches(name, known, n=1)
    return f"the server lists no tool {name!r}" + (f", did you mean {alike[0]!r}?" if alike else "")
