"""The shape of the public classes: the contract's arguments in order, additions by keyword only."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import routermcp
import routermcp.types
from routermcp import RouterMCPClient, RouterMCPSession, SyncRouterMCPClient, SyncRouterMCPSession
from routermcp._options import Options

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [(RouterMCPClient, SyncRouterMCPClient), (RouterMCPSession, SyncRouterMCPSession)]
CLASSES = [kind for pair in PAIRS for kind in pair]

#: What may be given by position: names in order, with the number of those that must be given.
CONTRACT: dict[str, tuple[list[str], int]] = {
    "connect": ([], 0),
    "disconnect": ([], 0),
    "list_tools": ([], 0),
    "list_tools_page": (["cursor"], 0),
    "call_tool": (["name", "arguments"], 1),
    "call_tool_typed": (["name", "arguments", "model"], 3),
    "list_resources": ([], 0),
    "list_resources_page": (["cursor"], 0),
    "list_resource_templates": ([], 0),
    "list_resource_templates_page": (["cursor"], 0),
    "read_resource": (["uri"], 1),
    "list_prompts": ([], 0),
    "list_prompts_page": (["cursor"], 0),
    "get_prompt": (["name", "arguments"], 1),
    "complete": (["ref", "argument", "context_arguments"], 2),
    "ping": ([], 0),
    "set_log_level": (["level"], 1),
    "send_roots_list_changed": ([], 0),
    "subscribe_resource": (["uri"], 1),
    "unsubscribe_resource": (["uri"], 1),
    "request": (["method", "params", "result_type"], 3),
}

#: What may be given by keyword besides, on each method.
FOR_EVERY_CALL = {"timeout", "headers"}
WITH_PROGRESS = FOR_EVERY_CALL | {"meta", "on_progress", "reset_on_progress", "max_timeout"}
MORE: dict[str, set[str]] = {
    "connect": {"timeout"},
    "disconnect": set(),
    "call_tool": WITH_PROGRESS | {"retry", "raise_on_error"},
    "request": WITH_PROGRESS | {"retry"},
    "call_tool_typed": WITH_PROGRESS | {"retry"},
    "read_resource": WITH_PROGRESS,
    "get_prompt": WITH_PROGRESS,
}

#: What is off unless it is asked for.
FLAGS = {"retry", "raise_on_error"}

#: What a client has besides its calls; none of it waits.
BESIDES = {"create_session", "sessions", "stats"}

#: What a client and a session have for the tokens of their user.
FOR_TOKENS = {"connections", "authorize", "complete_authorization", "revoke", "revoke_all"}

CONSTRUCTOR = ["url", "api_key", "user_id", "timeout", "headers", "oauth", "debug"]


def parameters(function: Any) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function).parameters.values() if p.name != "self"]


def by_position(function: Any) -> list[inspect.Parameter]:
    return [p for p in parameters(function) if p.kind is p.POSITIONAL_OR_KEYWORD]


def public_methods(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("kind", [RouterMCPClient, SyncRouterMCPClient])
def test_constructor(kind: type) -> None:
    given = parameters(kind)
    assert [p.name for p in by_position(kind)] == CONSTRUCTOR
    assert all(p.default is None for p in by_position(kind))
    assert all(p.kind is p.KEYWORD_ONLY for p in given[len(CONSTRUCTOR) :])


@pytest.mark.parametrize("kind", [RouterMCPClient, SyncRouterMCPClient])
def test_the_constructor_takes_the_list_of_options(kind: type) -> None:
    """Names, defaults and types are those of the one list, from which settings are made."""

    def as_listed(annotation: str) -> str:
        """An option whose type depends on the client is listed with that of both."""
        httpx_client = re.sub(r"httpx\.(Async)?Client", "httpx.AsyncClient | httpx.Client", annotation)
        return httpx_client.replace("OnAuthorization", "Callable[[Any], Any]")

    expected = {each.name: (each.type, each.default) for each in fields(Options)}
    assert {p.name: (as_listed(p.annotation), p.default) for p in parameters(kind)} == expected


@pytest.mark.parametrize("kind", [RouterMCPClient, SyncRouterMCPClient])
def test_each_option_of_the_constructor_is_described(kind: type) -> None:
    arguments = (inspect.getdoc(kind) or "").partition("Args:")[2].partition("Raises:")[0]
    described = re.findall(r"^    (\w+): ", arguments, flags=re.MULTILINE)
    assert sorted(described) == sorted(each.name for each in fields(Options))


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("name", CONTRACT)
def test_method(kind: type, name: str) -> None:
    names, required = CONTRACT[name]
    function = getattr(kind, name)
    first = by_position(function)
    assert [p.name for p in first] == names
    assert [p.default is p.empty for p in first] == [index < required for index in range(len(names))]
    assert all(p.default is None for p in first[required:])
    rest = [p for p in parameters(function) if p not in first]
    assert all(p.kind is p.KEYWORD_ONLY for p in rest)
    assert {p.name for p in rest} == MORE.get(name, FOR_EVERY_CALL)
    assert {p.name: p.default for p in rest} == {p.name: False if p.name in FLAGS else None for p in rest}


@pytest.mark.parametrize("kind", [RouterMCPClient, SyncRouterMCPClient])
def test_create_session_takes_the_user_id_by_either_way(kind: type) -> None:
    (user_id,) = parameters(getattr(kind, "create_session"))  # noqa: B009 - both classes alike
    assert (user_id.name, user_id.kind) == ("user_id", user_id.POSITIONAL_OR_KEYWORD)
    assert user_id.default is user_id.empty


@pytest.mark.parametrize("kind", CLASSES)
def test_the_table_above_is_complete(kind: type) -> None:
    assert set(public_methods(kind)) - BESIDES - FOR_TOKENS == set(CONTRACT)


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
def test_blocking_classes_have_the_same_methods(asynchronous: type, blocking: type) -> None:
    ours, theirs = public_methods(asynchronous), public_methods(blocking)
    assert set(ours) == set(theirs)
    for name, method in ours.items():
        assert [str(p) for p in parameters(method)] == [str(p) for p in parameters(theirs[name])]
        assert inspect.iscoroutinefunction(method) == (name not in BESIDES)
        assert not inspect.iscoroutinefunction(theirs[name])
    expected = [str(p).replace("httpx.AsyncClient", "httpx.Client") for p in parameters(asynchronous)]
    assert [str(p) for p in parameters(blocking)] == expected


@pytest.mark.parametrize(("asynchronous", "blocking"), PAIRS)
def test_return_types_are_alike(asynchronous: type, blocking: type) -> None:
    theirs = public_methods(blocking)
    for name, method in public_methods(asynchronous).items():
        ours = str(inspect.signature(method).return_annotation)
        assert str(inspect.signature(theirs[name]).return_annotation).replace("Sync", "") == ours


@pytest.mark.parametrize("kind", CLASSES)
def test_context_manager_methods(kind: type) -> None:
    blocking = kind.__name__.startswith("Sync")
    assert hasattr(kind, "__enter__") == hasattr(kind, "__exit__") == blocking
    assert hasattr(kind, "__aenter__") == hasattr(kind, "__aexit__") == (not blocking)


@pytest.mark.parametrize("kind", CLASSES)
def test_everything_public_is_documented(kind: type) -> None:
    assert inspect.getdoc(kind)
    for name, method in public_methods(kind).items():
        lines = (inspect.getdoc(method) or "").splitlines()
        assert lines, f"{kind.__name__}.{name} has no docstring"
        assert lines[0].rstrip(")").endswith((".", "`")), f"{kind.__name__}.{name}: {lines[0]}"


@pytest.mark.parametrize("kind", CLASSES)
def test_docstrings_speak_of_their_own_class(kind: type) -> None:
    text = "\n".join(inspect.getdoc(method) or "" for method in public_methods(kind).values())
    if kind.__name__.startswith("Sync"):
        assert "await " not in text
        assert "async with" not in text


def test_types_and_errors_are_documented() -> None:
    for module in (routermcp, routermcp.types):
        for name in module.__all__:
            thing = getattr(module, name)
            assert not isinstance(thing, type) or thing.__doc__, f"{module.__name__}.{name} has no docstring"


@pytest.mark.parametrize(
    "name",
    [
        "TextContent",
        "ImageContent",
        "AudioContent",
        "ResourceLink",
        "EmbeddedResource",
        "ContentBlock",
        "content_model",
        "Annotations",
        "Icon",
        "Connection",
        "AuthorizationRequest",
    ],
)
def test_what_applications_annotate_is_among_the_types(name: str) -> None:
    assert name in routermcp.types.__all__
    assert getattr(routermcp.types, name) is not None


def test_generated_classes_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/async_to_sync.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff formats the generated code, and it is not installed")
    assert done.returncode == 0, done.stdout + done.stderr
