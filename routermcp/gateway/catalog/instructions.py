"""The instructions of several servers, as those of the gateway.

Source: https://modelcontextprotocol.io/specification/2026-07-28/server/discover, ``instructions``.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Characters of the instructions of one server: a page, as long as servers commonly write.
MAX_OF_ONE = 4_000

#: Characters of all together: language models get them with every conversation.
MAX_OF_ALL = 16_000


def merged_instructions(servers: Iterable[tuple[str, str | None]]) -> str | None:
    """Return the instructions of servers, each under the server's name, or None where none has some.

    Args:
        servers: The name of each server here, and its instructions.
    """
    parts: list[str] = []
    left = MAX_OF_ALL
    for alias, instructions in servers:
        said = (instructions or "").strip()
        if not said:
            continue
        part = f"# {alias}\n{said if len(said) <= MAX_OF_ONE else said[: MAX_OF_ONE - 1] + '…'}"
        left -= len(part)
        if left < 0:
            break
        parts.append(part)
    return "\n\n".join(parts) or None
