"""Globs and the order of the rules."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routermcp.gateway.config.filters import Filter, Glob


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("", [""], ["a"]),
        ("get_issue", ["get_issue"], ["get_issues", "Get_issue", "xget_issue", ""]),
        ("get_*", ["get_", "get_a", "get_\n"], ["get", "get_a/b", "xget_a"]),
        ("*", ["", "a.b-c"], ["a/b", "/"]),
        ("**", ["", "a/b", "/", "a\nb"], []),
        ("***", ["a/b"], []),
        ("file:///**", ["file:///", "file:///a/b"], ["file://a"]),
        ("file:///*/x", ["file:///a/x"], ["file:///a/b/x", "file:///x"]),
        ("**/x", ["/x", "a/b/x"], ["x"]),
        ("a?c", ["abc", "a\nc"], ["ac", "a/c", "abbc"]),
        ("a[bc]d", ["abd", "acd"], ["ad", "aed", "abcd"]),
        ("a[b-d]e", ["abe", "ace", "ade"], ["a-e", "aee"]),
        ("a[!bc]d", ["aed", "a!d"], ["abd", "acd", "a/d", "ad"]),
        ("a[-b]", ["a-", "ab"], ["ac"]),
        ("a[b-]", ["a-", "ab"], ["ac"]),
        ("a[]b]", ["a]", "ab"], ["a", "a["]),
        ("a[!]b]", ["ac"], ["a]", "ab"]),
        ("a[/]b", ["a/b"], ["aab"]),
        ("a[b", ["a[b"], ["ab"]),
        ("a[]", ["a[]"], ["a"]),
        ("a[!", ["a[!"], ["ab"]),
        ("a.b+c(d)|e$^\\", ["a.b+c(d)|e$^\\"], ["aXb+c(d)|e$^\\"]),
        ("{a,b}", ["{a,b}"], ["a"]),
    ],
)
def test_globs(glob: str, matching: list[str], others: list[str]) -> None:
    assert [name for name in matching if not Glob(glob).matches(name)] == []
    assert [name for name in others if Glob(glob).matches(name)] == []


def fits(glob: str, name: str) -> bool:
    """The simplest matcher there is: try everything."""
    if not glob:
        return not name
    if glob.startswith("**"):
        return any(fits(glob[2:], name[cut:]) for cut in range(len(name) + 1))
    if glob[0] == "*":
        inside = itertools.takewhile(lambda cut: "/" not in name[:cut], range(len(name) + 1))
        return any(fits(glob[1:], name[cut:]) for cut in inside)
    if not name:
        return False
    end = glob.find("]", 3 if glob.startswith("[!") else 2)
    if glob[0] == "[" and end > 0:
        inner = glob[1:end]
        accepted = name[0] not in f"{inner[1:]}/" if inner[0] == "!" else name[0] in inner
        return accepted and fits(glob[end + 1 :], name[1:])
    accepted = name[0] != "/" if glob[0] == "?" else name[0] == glob[0]
    return accepted and fits(glob[1:], name[1:])


@given(st.text("ab/*?[]!", max_size=8), st.text("ab/[]!", max_size=8))
@example("**a*b", "a/ab")
@example("*/*", "a/b")
@example("**", "a/b")
@example("[!?]", "!")
def test_globs_do_what_a_simple_matcher_does(glob: str, name: str) -> None:
    assert Glob(glob).matches(name) is fits(glob, name)


@given(st.text())
def test_stars_fit_everything_and_names_themselves(name: str) -> None:
    assert Glob("**").matches(name)
    assert Glob("*").matches(name) is ("/" not in name)
    assert Glob("".join(f"[{character}]" if character in "*?[" else character for character in name)).matches(
        name
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize("star", ["*", "**", "***", "*a**"])
def test_many_stars_take_no_longer_than_few(star: str) -> None:
    assert not Glob(f"{star}a" * 100 + "b").matches("a" * 20_000)
    assert Glob(f"{star}a" * 100).matches("a" * 20_000)


RULES = Filter(
    allowed=["get", "both", "denied_by_glob"],
    denied=["both", "list_denied"],
    allowed_globs=["list_*"],
    denied_globs=["denied_*", "list_secret*"],
)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("both", False),  # an exact deny goes before an exact allow
        ("list_denied", False),  # and before a glob
        ("denied_by_glob", False),  # a denying glob goes before an exact allow
        ("list_secrets", False),  # and before a glob
        ("get", True),
        ("list_issues", True),
        ("create", False),  # something is allowed, so nothing else is
    ],
)
def test_the_order_of_the_rules(name: str, allowed: bool) -> None:
    assert RULES.allows(name) is allowed


def test_without_rules_that_allow_everything_is_allowed_but_what_is_denied() -> None:
    assert Filter().allows("anything")
    denying = Filter(denied=["a"], denied_globs=["b*"])
    assert [denying.allows(name) for name in ("a", "b1", "c")] == [False, False, True]
    assert not Filter(allowed=["a"]).allows("b")
    assert not Filter(allowed_globs=["a*"]).allows("b")


NAMES = st.text("ab", max_size=3)


@given(st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3), NAMES)
def test_a_glob_without_wildcards_does_what_a_name_does(
    allowed: list[str], denied: list[str], name: str
) -> None:
    by_name = Filter(allowed, denied)
    by_glob = Filter(allowed_globs=allowed, denied_globs=denied)
    assert by_name.allows(name) is by_glob.allows(name)
    assert not (name in denied and by_name.allows(name))
