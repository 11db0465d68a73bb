from __future__ import annotations

import pickle
from dataclasses import field, replace

import pytest

from routermcp_proto.value_class import value_class


@value_class
class Point:
    x: int
    label: str = field(default="", compare=False)
    secret: str = field(default="", repr=False, kw_only=True)


def test_values_are_equal_by_what_they_hold() -> None:
    assert Point(1, "a") == Point(1, "b") != Point(2)
    assert Point(1) != Point(1, secret="s")
    assert Point(1) != (1, "")
    assert {Point(1): "one"}[Point(1, "b")] == "one"
    assert replace(Point(1, "a"), x=2) == Point(2)
    assert pickle.loads(pickle.dumps(Point(3))) == Point(3)


def test_values_show_what_they_may_show() -> None:
    assert repr(Point(1, "a", secret="s")) == "Point(x=1, label='a')"


def test_values_have_no_other_attributes() -> None:
    with pytest.raises(AttributeError):
        setattr(Point(1), "z", 3)  # noqa: B010 - the type checker would refuse the assignment
