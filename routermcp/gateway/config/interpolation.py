"""Variables of the environment in the values of a configuration.

``${env:NAME}`` and ``${NAME}`` stand for a variable, in strings and never in keys, and
``${NAME:-text}`` for a text where the variable is not set or empty;
``${input:my-id}``, which an editor asks its user for, stands for the variable ``my-id`` or ``MY_ID``;
a variable or a header of a server that needs one which is not set is left out, with a warning.
``$${`` stands for ``${``. What a variable holds is taken as it is, not searched again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from .errors import KeyPath, Problems

_PLACEHOLDER = re.compile(
    r"\$\$\{|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*|/)(?::-([^}]*))?\}|\$\{input:([A-Za-z0-9_.-]+)\}|\$\{"
)

#: Characters that shells take in no name of a variable.
_UNFIT = re.compile(r"[^A-Za-z0-9_]")

#: Characters that no program takes in an argument or variable, and no text on the wire can hold.
_NOT_TEXT = re.compile(r"[\x00\ud800-\udfff]")

#: Keys that tell of which kind a server is, so that they are never left out.
_KINDS = ("command", "url")

#: Objects of which a member may be left out.
_OPTIONAL = ("env", "headers")

_LEFT_OUT = object()


class Substitution:
    """Puts variables into values.

    Args:
        environ: The variables.
        problems: Takes the problems.
        lenient: Leave values out whose variables are not set, instead of calling it a
            problem; ``command`` and ``url`` stay as they are written.
    """

    def __init__(self, environ: Mapping[str, str], problems: Problems, *, lenient: bool = False) -> None:
        self._environ = environ
        self._problems = problems
        self._lenient = lenient

    def apply(self, value: Any, path: KeyPath) -> Any:
        """Return a value of JSON with its variables put in; keys stay as they are."""
        done = self._apply(value, path)
        return None if done is _LEFT_OUT else done

    def _apply(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            done = {key: self._apply(each, (*path, key)) for key, each in members.items()}
            return {key: each for key, each in done.items() if each is not _LEFT_OUT}
        if isinstance(value, list):
            items = cast("list[Any]", value)
            listed = [self._apply(each, (*path, index)) for index, each in enumerate(items)]
            return [each for each in listed if each is not _LEFT_OUT]
        return value

    def _input_variable(self, written: str | None) -> str | None:
        """Return the variable of an input, by a name that shells can set unless its own name is set."""
        return written if written is None or written in self._environ else _UNFIT.sub("_", written).upper()

    def _text(self, text: str, path: KeyPath) -> Any:
        unset: list[str] = []

        def replacement(found: re.Match[str]) -> str:
            name, default = found.group(1) or self._input_variable(found.group(3)), found.group(2)
            if found.group() == "$${":
                return "${"
            if default is not None and name is not None and not self._environ.get(name):
                return default
            if name is None:
                self._problems.add(
                    path, "after '${' expected 'env:NAME}' or 'NAME}'; write '$${' for a plain '${'"
                )
            elif name not in self._environ:
                unset.append(name)
            else:
                return self._environ[name]
            return found.group()

        done = _PLACEHOLDER.sub(replacement, text)
        if unset and "${input:" in text and any(parent in _OPTIONAL for parent in path[-2:-1]):
            self._problems.warn(path, f"left out: set the variable {', '.join(unset)}")
            return _LEFT_OUT
        if unset and self._lenient:
            return text if path[-1] in _KINDS else _LEFT_OUT
        if unset:
            names = dict.fromkeys(unset)
            are = "s {} are" if len(names) > 1 else " {} is"
            text = f"the environment variable{are.format(', '.join(names))} not set"
            self._problems.add(path, f"{text}: set it, or write ${{NAME:-a default}}")
        elif _NOT_TEXT.search(done):
            self._problems.add(path, "expected text, without NUL and without halves of surrogate pairs")
        return done
