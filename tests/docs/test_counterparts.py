"""The pages for those who come from another client: each name in their tables exists."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs import counterparts
from tests.docs.pages import DOCS
from tests.third_party import (
    FASTMCP_REQUIREMENT,
    MCP_REQUIREMENT,
    UnavailableError,
    python_environment,
    skips_are_failures,
)

MODULES = {
    "from-mcp": ["mcp", "mcp.types", "mcp.client.auth", "mcp.client.streamable_http"],
    "from-fastmcp": ["fastmcp.client.client", "fastmcp.client", "fastmcp.exceptions"],
}
OURS = [
    "routermcp",
    "routermcp.types",
    "routermcp.transports",
    "routermcp.testing",
    "routermcp.gateway",
    "routermcp.oauth",
]


#: What the tables call instances of these classes, here and in the other package.
INSTANCES = {
    "client": ("Client", "RouterMCPClient"),
    "result": ("CallToolResult", "ToolResult"),
    "tool": ("Tool", "Tool"),
}


def named(expression: str, column: int) -> str:
    """Return an expression with the class in place of an instance."""
    first, dot, rest = expression.partition(".")
    return INSTANCES[first][column] + dot + rest if first in INSTANCES else expression


def columns(page: str) -> tuple[list[str], list[str]]:
    """Return the names in the first and in the second column of the table of a page."""
    rows = re.findall(r"^\| `(.*?)` \| (.*?) \|", (DOCS / "how-to" / f"{page}.md").read_text(), re.MULTILINE)
    ours = [name for _, cell in rows for name in re.findall(r"`(.*?)`", cell)]
    return [named(first, 0) for first, _ in rows], [named(name, 1) for name in ours]


@pytest.mark.parametrize("page", MODULES)
def test_the_counterparts_exist(page: str) -> None:
    _, ours = columns(page)
    assert len(ours) > 20
    assert counterparts.unknown(OURS, ours) == []


@pytest.mark.interop
def test_the_names_of_the_other_clients_exist() -> None:
    try:
        python = python_environment(FASTMCP_REQUIREMENT, MCP_REQUIREMENT)
    except UnavailableError as missing:
        if skips_are_failures():
            raise
        pytest.skip(str(missing))
    asked = json.dumps([[modules, columns(page)[0]] for page, modules in MODULES.items()])
    command = [python, Path(counterparts.__file__)]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_a_name_that_is_not_there_is_noticed() -> None:
    names = ["RouterMCPClient(url)", "RouterMCPClient(uri=1)", "RouterMCPClient.call", "ToolResult.isError"]
    assert counterparts.unknown(OURS, names) == ["RouterMCPClient(uri=1)", "RouterMCPClient.call"]
