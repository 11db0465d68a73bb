"""Standard output: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from routermcp_proto.exceptions import printable

#: Columns where there is no terminal that has a width. Wide, so that a line stays a line for
#: grep, and not so wide that a viewer of logs cannot show it.
PIPE_WIDTH = 200

#: Columns of the names in a list; what is longer pushes its text to the right.
MAX_NAME_WIDTH = 40


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
    _write(shown if shown.endswith("\n") else f"{shown}\n")


def write_line(text: str) -> None:
    """Write one line, whatever a server has put into it."""
    _write(f"{_one_line(text)}\n")


def _write(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


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


def write_rows(rows: Sequence[tuple[str, str]], *, none: str) -> None:
    """Write a name and a text in each line, cut to the width of the terminal; a sentence for no rows.

    Args:
        rows: The names, and a text for each.
        none: What to write where there are none.
    """
    if not rows:
        sys.stdout.write(f"{none}\n")
        return
    output = console()
    names = [_one_line(name) for name, _ in rows]
    width = min(max(cell_len(name) for name in names), MAX_NAME_WIDTH)
    for name, (_, text) in zip(names, rows, strict=True):
        room = max(output.width - max(width, cell_len(name)) - 2, 0)
        line = f"{name}{' ' * (width - cell_len(name))}  {_cut(_one_line(text), room)}"
        _write(f"{line.rstrip()}\n")


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "\N{HORIZONTAL ELLIPSIS}" if width > 0 else ""


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
        padding = data[-2:].count("=")
        facts.append(f"{len(data) * 3 // 4 - padding} bytes; -o FILE saves them")
    return f"[{', '.join(str(fact) for fact in facts if fact)}]"
