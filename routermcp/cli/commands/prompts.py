"""The commands for prompts: ``prompts`` and ``prompt``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ... import RPCError, SyncRouterMCPClient
from ...types import Prompt
from ..arguments.words import parse_arguments
from ..client_commands import client_command
from ..failures import UsageProblem
from ..options import ClientOptions, JsonOption
from ..output import describe_content, write_json, write_rows, write_table, write_text
from ..suggestions import did_you_mean
from .tool_names import find_named
from .tools import ArgumentWords, VerboseOption

app = typer.Typer()


@client_command(app)
def prompts(*, options: ClientOptions, verbose: VerboseOption = False, as_json: JsonOption = False) -> None:
    """List the prompts, one line each.

    With -v their arguments too; those with ? may be left out.
    """
    with options.connected() as client:
        found = client.list_prompts()
    if as_json:
        write_json({"prompts": [each.to_wire() for each in found]})
        return
    none = "the server has no prompts"
    if verbose:
        rows = [(each.name, each.description or each.title or "", _arguments_text(each)) for each in found]
        write_table(("name", "description", "arguments"), rows, none=none)
    else:
        write_rows([(each.name, each.description or each.title or "") for each in found], none=none)


def _arguments_text(prompt: Prompt) -> str:
    return ", ".join(f"{item.name}{'' if item.required else '?'}" for item in prompt.arguments or [])


@client_command(app)
def prompt(
    name: Annotated[
        str, typer.Argument(metavar="PROMPT", help="The name of a prompt, which may lack its server's alias.")
    ],
    words: ArgumentWords = None,
    *,
    options: ClientOptions,
    as_json: JsonOption = False,
) -> None:
    """Get a prompt with its arguments filled in."""
    with options.connected() as client:
        listed = _listed(client)
        known = find_named(name, listed)
        arguments = parse_arguments(words or [], _schema_of(known) if known is not None else None)
        for key, value in arguments.items():
            if not isinstance(value, str):
                raise UsageProblem(f"{key}: expected string, got {value!r}: arguments of prompts are texts")
        try:
            result = client.get_prompt(known.name if known is not None else name, arguments)
        except RPCError as error:
            if known is None:
                suggestion = did_you_mean(name, (each.name for each in listed))
                error.add_note(f"the server lists no prompt {name!r}{suggestion}")
            raise
    if as_json:
        write_json(result.to_wire())
        return
    for message in result.messages:
        content = message.to_wire().get("content")
        items: list[Any] = content if isinstance(content, list) else [content]  # pyright: ignore[reportUnknownVariableType]
        for item in items:
            write_text(f"{message.role}: {describe_content(item)}")


def _listed(client: SyncRouterMCPClient) -> list[Prompt]:
    try:
        return client.list_prompts()
    except RPCError:
        return []  # a prompt can be had from a server that does not list its prompts


def _schema_of(prompt: Prompt) -> dict[str, Any]:
    """Return the arguments of a prompt as a schema: texts all of them."""
    arguments = prompt.arguments or []
    return {
        "properties": {each.name: {"type": "string"} for each in arguments},
        "required": [each.name for each in arguments if each.required],
    }
