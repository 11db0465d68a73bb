"""Tools of a :class:`~routermcp.testing.FakeServer`, made of plain functions."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

from routermcp_proto.exceptions import RPCError


class Ask(NamedTuple):
    """A question to the client: ``answer = yield Ask("elicitation/create", {...})``."""

    method: str
    params: Mapping[str, Any]


class Report(NamedTuple):
    """A progress report, sent where the client asked for reports."""

    progress: float
    total: float | None = None
    message: str | None = None


class Delay(NamedTuple):
    """Time that passes before the function goes on."""

    milliseconds: float


ToolStep = Ask | Report | Delay
Steps = Generator[ToolStep, Any, Any]


class FakeTool:
    """A function as a tool.

    Args:
        function: A function of named parameters. A generator function yields :class:`Ask`,
            :class:`Report` and :class:`Delay` before it returns its result.
        name: The name of the tool; default the function's.

    Raises:
        TypeError: It is a coroutine function, which a server without an event loop cannot run.
    """

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function.__name__} is asynchronous, and a FakeServer runs plain functions: write it with "
                "def; yield Delay(milliseconds), Ask(...) or Report(...) where it is to wait, ask or report"
            )
        self.name: str = name or function.__name__
        self._adapter: TypeAdapter[Any] = TypeAdapter(cast("type[Any]", function))
        self._description = inspect.getdoc(function)

    def listed(self) -> dict[str, Any]:
        """Return its entry in the list of tools."""
        schema = {"type": "object", **self._adapter.json_schema()}
        about = {} if self._description is None else {"description": self._description}
        return {"name": self.name, **about, "inputSchema": schema}

    def begin(
        self, arguments: Mapping[str, Any], result: Callable[[Any], dict[str, Any]] | None = None
    ) -> Steps:
        """Begin a call, which returns the result as it goes on the wire.

        An error of the function is a result with ``isError``, but an :class:`~routermcp.RPCError`
        refuses the call, and an :class:`OSError` breaks the connection.

        Args:
            arguments: The arguments.
            result: Makes the result of what the function returns; default :func:`result_of`.
        """
        try:
            value = self._adapter.validate_python(dict(arguments))
            if inspect.isgenerator(value):
                value = yield from cast("Steps", value)
        except (RPCError, OSError):
            raise
        except ValidationError as error:
            return _failed(str(error))
        except Exception as error:  # noqa: BLE001 - whatever a tool raises is its answer
            return _failed(str(error) or type(error).__name__)
        return (result or result_of)(value)


def _failed(problem: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": problem}], "isError": True}


def result_of(value: Any) -> dict[str, Any]:
    """Return what a function returned as the result of a tool.

    A :class:`~routermcp.types.ToolResult` is sent as it is, text as text, an object as structured
    content and as JSON in a text, anything else as JSON in a text, None as no content.
    """
    if isinstance(value, BaseModel) and hasattr(value, "content"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if value is None:
        return {"content": []}
    plain = to_jsonable_python(value)
    text = plain if isinstance(plain, str) else to_json(plain).decode()
    result: dict[str, Any] = {"content": [{"type": "text", "text": text}]}
    return {**result, "structuredContent": plain} if isinstance(plain, dict) else result


def contents_of(uri: str, value: Any) -> dict[str, Any]:
    """Return what a function returned as the contents of a resource: bytes as a blob, text as text."""
    if isinstance(value, bytes):
        return {"contents": [{"uri": uri, "blob": base64.b64encode(value).decode()}]}
    text = value if isinstance(value, str) else to_json(value).decode()
    return {"contents": [{"uri": uri, "text": text}]}


def messages_of(value: Any) -> dict[str, Any]:
    """Return what a function returned as the messages of a prompt: text is one message of the user."""
    if isinstance(value, str):
        value = [{"role": "user", "content": {"type": "text", "text": value}}]
    return {"messages": to_jsonable_python(value)}
