"""What was called otherwise: the names of before work for one release, with a warning of the new one."""

from __future__ import annotations

import importlib

import pytest

import routermcp.gateway
from routermcp.gateway import InputRequired


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("app", "http.gateway_app"),
        ("config_file", "config.file"),
        ("filters", "config.filters"),
        ("rate_limit", "http.rate_limit"),
        ("redis_sessions", "sessions.redis"),
        ("server", "serving.uvicorn"),
        ("stdio", "serving.stdio"),
        ("upstream", "upstreams.upstream"),
    ],
)
def test_a_module_of_before(old: str, new: str) -> None:
    """One object under both names, so that what is set there has its effect."""
    with pytest.warns(DeprecationWarning, match=f"gateway.{old} is called {new}; ") as warned:
        found = getattr(routermcp.gateway, old)
    assert found is importlib.import_module(f"routermcp.gateway.{new}")
    assert [each.filename for each in warned] == [__file__], "it points at the caller's line"


def test_a_class_of_before() -> None:
    with pytest.warns(DeprecationWarning, match="InputNeeded is called InputRequired"):
        assert routermcp.gateway.InputNeeded is InputRequired  # pyright: ignore[reportAttributeAccessIssue]


def test_no_other_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'InputWanted'"):
        _ = routermcp.gateway.InputWanted  # pyright: ignore[reportAttributeAccessIssue]
