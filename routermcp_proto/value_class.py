"""Value classes: frozen to the type checker, and as cheap to make as ordinary classes.

A dataclass with ``frozen=True`` sets each of its attributes through ``object.__setattr__``, which
costs five times an assignment. A call makes some ten values with some forty attributes, and that
was an eighth of all its instructions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[T]) -> type[T]:
    """Make a dataclass of values, which are never changed: the type checker refuses assignments."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
