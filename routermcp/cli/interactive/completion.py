"""The words that fit at a place of the shell's line: commands, tools, arguments, resources and prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ... import SyncRouterMCPClient
from ...types import MCPError, Prompt, Tool
from ..arguments.schema import choices_of, properties_of, resolved, type_of
from ..commands.tool_names import find_named
from ..failures import UsageProblem


class ShellCompleter:
    """Completes words by what the server of a session offers.

    Args:
        client: The session.
        commands: The commands of the shell.
    """

    def __init__(self, client: SyncRouterMCPClient, commands: Sequence[str]) -> None:
        self._client = client
        self._commands = commands
        self._lists: dict[str, Sequence[Any]] = {}

    def forget(self) -> None:
        """Have lists read again: the server has changed one."""
        self._lists.clear()

    def candidates(self, before: Sequence[str], begun: str) -> list[str]:
        """Return the words that begin like one and fit behind others.

        Args:
            before: The words in front.
            begun: The word as far as it was typed.
        """
        try:
            fitting = [word for word in self._fitting(before, begun) if word.startswith(begun)]
        except (MCPError, UsageProblem):
            return []  # the command will say what is wrong
        return sorted(dict.fromkeys(fitting))

    def _fitting(self, before: Sequence[str], begun: str) -> Iterable[str]:
        if not before:
            return self._commands
        command, *words = before
        own = [word for word in words if not word.startswith("-")]
        if own:
            return self._arguments(command, own, begun)
        names: Mapping[str, Callable[[], Iterable[str]]] = {
            "call": lambda: (tool.name for tool in self._tools()),
            "describe": lambda: (tool.name for tool in self._tools()),
            "prompt": lambda: (prompt.name for prompt in self._prompts()),
            "read": lambda: (each.uri for each in self._listed("resources", self._client.list_resources)),
        }
        return names[command]() if command in names else []

    def _arguments(self, command: str, own: Sequence[str], begun: str) -> Iterable[str]:
        if command == "call":
            tool = find_named(own[0], self._tools())
            return _argument_words(tool.inputSchema.model_dump(), own[1:], begun) if tool else []
        if command == "prompt":
            found = [each for each in self._prompts() if each.name == own[0]]
            return [f"{argument.name}=" for prompt in found for argument in prompt.arguments or []]
        return []

    def _prompts(self) -> Sequence[Prompt]:
        return self._listed("prompts", self._client.list_prompts)

    def _tools(self) -> Sequence[Tool]:
        return self._listed("tools", self._client.list_tools)

    def _listed(self, name: str, read: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        if name not in self._lists:
            self._lists[name] = read()
        return self._lists[name]


def _argument_words(schema: Mapping[str, Any], given: Sequence[str], begun: str) -> Iterable[str]:
    """Yield the arguments that are not given yet, and the values of the one that is begun."""
    known = properties_of(schema)
    key, equals, _ = begun.partition("=")
    if equals and key in known:
        part = resolved(known[key], schema)
        choices = ["true", "false"] if type_of(part, schema) == "boolean" else choices_of(part) or []
        for choice in choices:
            yield f"{key}={choice if isinstance(choice, str) else json.dumps(choice)}"
        return
    used = {word.partition("=")[0].removesuffix(":") for word in given}
    yield from (f"{name}=" for name in known if name not in used)
