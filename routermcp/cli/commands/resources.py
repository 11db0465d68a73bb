"""The commands for resources: ``resources`` and ``read``."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import MethodNotFoundError, SyncRouterMCPClient
from ...types import ResourceTemplate
from ..client_commands import client_command
from ..options import ClientOptions, JsonOption
from ..output import write_json, write_rows, write_table
from .saved_files import OutputOption, write_content
from .tools import VerboseOption

app = typer.Typer()


@client_command(app)
def resources(*, options: ClientOptions, verbose: VerboseOption = False, as_json: JsonOption = False) -> None:
    """List the resources and the templates of resources, one line each."""
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
    rows = [(each.uri, each.name, each.description or "", each.mimeType or "") for each in found]
    rows += [(each.uriTemplate, each.name, each.description or "", each.mimeType or "") for each in templates]
    none = "the server has no resources"
    if verbose:
        write_table(("uri", "name", "description", "type"), rows, none=none)
    else:
        write_rows([(uri, about or name) for uri, name, about, _ in rows], none=none)


def _list_templates(client: SyncRouterMCPClient) -> list[ResourceTemplate]:
    try:
        return client.list_resource_templates()
    except MethodNotFoundError:
        return []  # many servers with resources have no templates, and do not know the method


@client_command(app)
def read(
    uri: Annotated[str, typer.Argument(metavar="URI", help="The URI of the resource.")],
    *,
    options: ClientOptions,
    output: OutputOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a resource."""
    with options.connected() as client:
        result = client.read_resource(uri)
        contents = [content.to_wire() for content in result.contents]
        if as_json:
            write_json(result.to_wire())
        elif output is not None:
            write_content(contents, output)
        else:
            for content in contents:
                write_content([content], None)
