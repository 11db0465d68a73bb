"""A form that a server asks to fill in: its fields, and how typed text becomes their values.

Source: https://modelcontextprotocol.io/specification/2026-07-28/client/elicitation, "Requested Schema".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..arguments.check import argument_problems
from ..arguments.schema import Schema, properties_of, required_of, resolved, type_of
from ..arguments.values import coerce
from ..failures import UsageProblem


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form.

    Attributes:
        name: Its name in the answer.
        schema: What its value has to be.
        required: Whether it must have a value.
    """

    name: str
    schema: Schema
    required: bool

    def describe(self) -> Iterator[str]:
        """Yield the lines that tell the user what is asked for."""
        title = self.schema.get("title")
        kind = "" if self.choices() else f" ({type_of(self.schema)})"
        facts = [f"{title if isinstance(title, str) else self.name}{kind}"]
        if self.many:
            facts.append("several, with commas between them")
        if not self.required:
            facts.append("may be left empty")
        yield ", ".join(facts)
        about = self.schema.get("description")
        if isinstance(about, str):
            yield f"  {about}"
        for number, (value, label) in enumerate(self.choices(), start=1):
            yield f"  {number}. {label}" + (f" ({value})" if label != value else "")

    @property
    def many(self) -> bool:
        """Whether several of the choices may be given."""
        return self.schema.get("type") == "array"

    def choices(self) -> Sequence[tuple[Any, str]]:
        """Return the values to choose from, each with its label; none where any value may be given."""
        source = resolved(self.schema.get("items"), {}) if self.many else self.schema
        titled: Any = source.get("oneOf") or source.get("anyOf")
        options = cast("list[Any]", titled) if isinstance(titled, list) else []
        named = [
            cast("dict[str, Any]", each) for each in options if isinstance(each, dict) and "const" in each
        ]
        if named:
            return [(each["const"], str(each.get("title", each["const"]))) for each in named]
        values: Any = source.get("enum")
        labels: Any = source.get("enumNames")
        if not isinstance(values, list):
            return []
        known = cast("list[Any]", labels) if isinstance(labels, list) else []
        return [
            (value, str(known[index] if index < len(known) else value))
            for index, value in enumerate(cast("list[Any]", values))
        ]

    def read(self, text: str) -> Any:
        """Return the value that a typed text stands for.

        Raises:
            UsageProblem: The schema does not allow it.
        """
        choices = self.choices()
        if self.many:
            parts = [part.strip() for part in text.split(",") if part.strip()]
            value: Any = [_chosen(self.name, part, choices) if choices else part for part in parts]
        elif choices:
            value = _chosen(self.name, text, choices)
        elif self.schema.get("type") == "boolean" and text.lower() in _YES_AND_NO:
            value = _YES_AND_NO[text.lower()]
        else:
            value = coerce(self.name, text, self.schema)
        problems = argument_problems({self.name: value}, {"properties": {self.name: self.schema}})
        if problems:
            raise UsageProblem(problems[0])
        return value


_YES_AND_NO: Mapping[str, bool] = {"y": True, "yes": True, "n": False, "no": False}


def fields_of(schema: Schema | None) -> list[FormField]:
    """Return the fields of a form."""
    form = schema or {}
    needed = required_of(form)
    return [
        FormField(name, resolved(part, form), name in needed) for name, part in properties_of(form).items()
    ]


def _chosen(name: str, text: str, choices: Sequence[tuple[Any, str]]) -> Any:
    """Return the choice of a value, a label or a number in the list; a value goes before a number."""
    for value, label in choices:
        if text in (str(value), label):
            return value
    for number, (value, _) in enumerate(choices, start=1):
        if text == str(number):
            return value
    raise UsageProblem(f"{name}: expected {', '.join(str(value) for value, _ in choices)}, got {text!r}")
