"""Value classes: frozen to the type checker, and as cheap to make as ordinary classes.

A dataclass with ``frozen=True`` sets each of its attributes through ``object.__setattr__``, which
costs five times an assignment. A call makes some ten values with some forty attributes, and that
was an eighth of all its instructions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[T]) -> type[T]:
    """Make a dataclass of values, which are never changed: the type checker refuses assignments.

    All of these classes have the same methods to compare and to show a value, where :mod:`dataclasses`
    compiles new ones for each: that was more than half of the time for a class, a tenth of the import.
    """
    made: Any = dataclass(slots=True, eq=False, repr=False)(cls)
    made.__eq__, made.__hash__, made.__repr__ = _equal, _hashed, _shown
    return made


def _equal(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(self) is type(other) else NotImplemented


def _hashed(self: Any) -> int:
    return hash(_compared(self))


def _compared(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, each.name) for each in fields(value) if each.compare)


def _shown(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"
