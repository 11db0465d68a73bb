"""The errors of a configuration: paths of keys, and lists of problems."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from routermcp.types import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: Problems in one error: more than a user mends before the next attempt.
MAX_CONFIG_PROBLEMS = 20

#: Characters of a key in an error; the keys that mean something are shorter.
MAX_KEY_SHOWN = 60

#: Keys, and indices of lists, from the outermost one inwards.
KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")

#: The type of a problem that pydantic reports for a validator of ours.
_OWN = "config_problem"

_EXPECTED = {
    "missing": "is missing",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "dict_type": "expected an object",
    "model_type": "expected an object",
    "model_attributes_type": "expected an object",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_from_float": "expected a whole number",
    "finite_number": "expected a finite number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_type": "expected a string",
    "string_too_short": "is empty",
}


def written_key_path(path: KeyPath) -> str:
    """Return a path as people write it: ``mcpServers.github.args[1]``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_KEY.fullmatch(key) and len(key) <= MAX_KEY_SHOWN:
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key[:MAX_KEY_SHOWN])}]"
    return text or "the file"


def problem(text: str, *key: str | int) -> PydanticCustomError:
    """Return the exception of a validator.

    Args:
        text: The problem and the expected value; nothing of the value, which may be secret.
        key: Path of the key, from the validated value.
    """
    return PydanticCustomError(_OWN, "{problem}", {"problem": text, "key": key})


class Level(StrEnum):
    """How much a finding costs."""

    ERROR = "error"
    """The configuration, or the server that the path names, is not used."""
    WARNING = "warning"
    """It is used, in a way that the text says."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a configuration that its user has to know.

    Attributes:
        source: The name of the configuration.
        path: The key.
        text: What is wrong and what to do; nothing of the value, which may be secret.
    """

    level: Level
    source: str
    path: KeyPath
    text: str

    def __str__(self) -> str:
        """Return the key and the text."""
        return f"{written_key_path(self.path)}: {self.text}" if self.path else self.text


class Problems:
    """The problems of one configuration, at most one a key, and what else its user has to know.

    Args:
        source: The configuration's name, for the error.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.noted: list[Finding] = []
        """Warnings, and the problems of servers that are left out."""
        self._texts: dict[KeyPath, str] = {}

    def add(self, path: KeyPath, text: str) -> None:
        """Note a problem, unless the key has one already, which causes the next."""
        self._texts.setdefault(path, text)

    def add_all(self, error: ValidationError) -> None:
        """Note the errors of pydantic."""
        for each in error.errors(include_url=False, include_input=False):
            self.add(_key_path_of(each), _problem_text(each))

    def warn(self, path: KeyPath, text: str) -> None:
        """Note a warning."""
        self.noted.append(Finding(Level.WARNING, self.source, path, text))

    def findings(self) -> list[Finding]:
        """Return everything that was noted, problems of the whole configuration first."""
        whole = [Finding(Level.ERROR, self.source, path, text) for path, text in self._texts.items()]
        return [*whole, *self.noted]

    def broken_servers(self) -> set[str]:
        """Return the aliases of the servers that have problems."""
        return {str(path[1]) for path in self._texts if _is_of_server(path)}

    def leave_out_servers(self) -> None:
        """Have the problems of servers cost only these."""
        for path in [path for path in self._texts if _is_of_server(path)]:
            text = f"{self._texts.pop(path)}; the server is left out"
            self.noted.append(Finding(Level.ERROR, self.source, path, text))

    def check(self) -> None:
        """Raise where there are problems.

        Raises:
            ConfigError: It lists them, up to ``MAX_CONFIG_PROBLEMS``.
        """
        if not self._texts:
            return
        lines = [f"{written_key_path(path)}: {text}" for path, text in self._texts.items()]
        if len(lines) == 1:
            raise ConfigError(f"{self.source}: {lines[0]}")
        shown = lines[:MAX_CONFIG_PROBLEMS]
        if len(lines) > MAX_CONFIG_PROBLEMS:
            shown.append(f"and {len(lines) - MAX_CONFIG_PROBLEMS} more")
        raise ConfigError("\n  ".join([f"{self.source}: {len(lines)} problems", *shown]))


def _is_of_server(path: KeyPath) -> bool:
    return path[:1] == ("mcpServers",) and len(path) > 1


def _key_path_of(error: ErrorDetails) -> KeyPath:
    """Return the path as it stands in the file, without the parts that pydantic adds."""
    path = error["loc"]
    if path and path[-1] == "[key]":
        path = path[:-1]
    if path[:1] == ("mcpServers",):
        # The third part, if there is one, names the kind of server that was chosen.
        path = (*path[:2], *path[3:])
    more = error.get("ctx", {}).get("key", ()) if error["type"] == _OWN else ()
    return (*path, *cast("KeyPath", more))


def _problem_text(error: ErrorDetails) -> str:
    if error["type"] == _OWN:
        context: dict[str, Any] = error.get("ctx", {})
        return str(context["problem"])
    known = _EXPECTED.get(error["type"])
    return known or error["msg"].replace("Input should be", "expected").replace("Value should", "should")
