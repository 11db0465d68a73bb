"""The tool or prompt that is meant by a name as users type it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from ...types import Prompt, Tool
from ..failures import UsageProblem
from ..suggestions import did_you_mean

#: What stands between the alias of a server and the name of its tool, in the two spellings of a gateway.
_SEPARATORS = (".", "__")

#: Tools of a server that an error names.
MAX_TOOLS_NAMED = 5

NamedT = TypeVar("NamedT", Tool, Prompt)

_UNPORTABLE = re.compile(r"[^A-Za-z0-9_-]")


def find_named(name: str, listed: Sequence[NamedT]) -> NamedT | None:
    """Return the tool or prompt of a name, None where none is listed by it.

    The name may lack the alias of a server, where only one server has such an entry, and may be
    written in either spelling of a gateway.

    Raises:
        UsageProblem: Entries of several servers are called so.
    """
    for entry in listed:
        if entry.name == name:
            return entry
    found = [entry for entry in listed if _means(name, entry.name)]
    if len(found) > 1:
        raise UsageProblem(
            f"{name!r} may be {' or '.join(entry.name for entry in found)}: write the whole name"
        )
    return found[0] if found else None


def no_such_tool(name: str, tools: Sequence[Tool]) -> str:
    """Return the words for a name by which no tool is listed."""
    behind = [
        tool.name for tool in tools if tool.name.startswith(tuple(f"{name}{each}" for each in _SEPARATORS))
    ]
    if behind:
        more = ", ..." if len(behind) > MAX_TOOLS_NAMED else ""
        return f"{name!r} is a server: name a tool of it, {', '.join(behind[:MAX_TOOLS_NAMED])}{more}"
    meant = (
        did_you_mean(name, _names(tools))
        or ": 'routermcp tools' with the same server shows those that it has"
    )
    return f"the server lists no tool {name!r}{meant}"


def _means(typed: str, listed: str) -> bool:
    return any(listed.endswith(f"{separator}{typed}") for separator in _SEPARATORS) or _portable(
        typed
    ) == _portable(listed)


def _portable(name: str) -> str:
    return _UNPORTABLE.sub("_", name.replace(".", "__", 1))


def _names(tools: Sequence[Tool]) -> list[str]:
    """Return the names of tools, with and without the aliases of servers."""
    short = [tool.name.partition(separator)[2] for tool in tools for separator in _SEPARATORS]
    return [*(tool.name for tool in tools), *filter(None, short)]
