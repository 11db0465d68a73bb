"""Standard output: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from routermcp_proto.exceptions import printable

#: Columns where there is no terminal that has a width. Wide, so that a line stays a line for
#: grep, and not so wide that a viewer of logs cannot show it.
PIPE_WIDTH = 200


def console(*, stderr: bool = False) -> Console:
    """Make a console that shows texts as they are."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def write_json(document: Any) -> None:
    """Write one JSON document."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    if not text.replace("\n", "").isprintable():
        text = "".join(
            each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text
        )
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    sys.stdout.write(f"{text}\n")


def write_text(text: str) -> None:
    """Write a text of a server: to a terminal without control codes, else as it is."""
    shown = printable(text) if sys.stdout.isatty() else text
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(shown.encode(encoding, "replace").decode(encoding))
    if not shown.endswith("\n"):
        sys.stdout.write("\n")


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> Table:
    """Make a table of plain texts.

    Args:
        columns: The headings.
        rows: The cells.
        numbers: How many of the columns, from the right, hold numbers.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        right = index >= len(columns) - numbers
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(" ".join(printable(cell).split())) for cell in row))
    return table


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, none: str) -> None:
    """Write a table, or a sentence where it has no rows."""
    if rows:
        console().print(make_table(columns, rows))
    else:
        sys.stdout.write(f"{none}\n")


def describe_arguments(schema: Mapping[str, Any]) -> str:
    """Describe the arguments of a tool: ``a: number, b?: string``; those with ``?`` may be left out."""
    properties: Any = schema.get("properties")
    if not isinstance(properties, dict):
        return ""
    required: Any = schema.get("required")
    needed = cast("list[Any]", required) if isinstance(required, list) else []
    return ", ".join(
        f"{name}{'' if name in needed else '?'}: {type_of(part)}"
        for name, part in cast("dict[str, Any]", properties).items()
    )


def type_of(schema: Any) -> str:
    """Name the type that a schema asks for."""
    if not isinstance(schema, dict):
        return "any"
    members = cast("dict[str, Any]", schema)
    choices = members.get("enum")
    if isinstance(choices, list):
        return "|".join(json.dumps(choice) for choice in cast("list[Any]", choices))
    kind = members.get("type")
    if isinstance(kind, list):
        return "|".join(str(item) for item in cast("list[Any]", kind))
    if isinstance(kind, str):
        return kind
    branches = members.get("anyOf") or members.get("oneOf")
    if isinstance(branches, list):
        return "|".join(dict.fromkeys(type_of(branch) for branch in cast("list[Any]", branches)))
    return "any"


def describe_content(item: Mapping[str, Any]) -> str:
    """Show one content item as text; other content is named."""
    text = item.get("text")
    if isinstance(text, str):
        return text
    resource = item.get("resource")
    if isinstance(resource, dict):
        return describe_content(cast("dict[str, Any]", resource))
    facts = [str(item.get("type", "resource")), item.get("mimeType"), item.get("uri")]
    data = item.get("data") or item.get("blob")
    if isinstance(data, str):
        facts.append(f"{len(data) * 3 // 4} bytes; --json has them")
    return f"[{', '.join(str(fact) for fact in facts if fact)}]"
