"""Read what a server sent as a model: a tool's result as the caller's own type."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from routermcp_proto.exceptions import ResponseValidationError, ToolError
from routermcp_proto.types import ToolResult

ModelT = TypeVar("ModelT")

#: Problems that an error lists: what is wrong shows in the first few.
MAX_MODEL_PROBLEMS = 10


def parse_typed(tool: str, result: ToolResult, model: type[ModelT]) -> ModelT:
    """Read a result as a model: its structured content, else its single text item as JSON.

    Raises:
        ToolError: The tool reported ``isError``.
        ResponseValidationError: There is nothing of that type in it.
    """
    if result.isError:
        raise ToolError(
            f"tool {tool!r} failed: {result.text[:500] or 'it gave no reason'}",
            tool=tool,
            content=result.content,
            structured_content=result.structuredContent,
        )
    try:
        if result.structuredContent is not None:
            return _validated(model, result.structuredContent)
        texts = [item.get("text") for item in result.content if item.get("type") == "text"]
        if len(texts) == 1 and isinstance(texts[0], str):
            return _adapter(model).validate_json(texts[0])
    except ValidationError as error:
        problems = problems_of(error)
        name = getattr(model, "__name__", str(model))
        raise ResponseValidationError(
            f"the result of tool {tool!r} is not a {name}: {'; '.join(problems)}",
            method="tools/call",
            problems=problems,
        ) from error
    raise ResponseValidationError(
        f"the result of tool {tool!r} has neither structured content nor one text item to read; "
        "use call_tool and read its content",
        method="tools/call",
    )


def problems_of(error: ValidationError) -> tuple[str, ...]:
    """Return one line for each problem; never the values, which may be private."""
    return tuple(
        f"{'.'.join(str(step) for step in problem['loc']) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)[:MAX_MODEL_PROBLEMS]
    )


def _validated(model: type[ModelT], value: Any) -> ModelT:
    try:
        return _adapter(model).validate_python(value)
    except ValidationError:
        # Servers wrap a bare value of a tool as {"result": value}, since structured content
        # had to be an object up to MCP 2025-11-25.
        if isinstance(value, dict) and list(cast("dict[str, Any]", value)) == ["result"]:
            return _adapter(model).validate_python(cast("dict[str, Any]", value)["result"])
        raise


def _adapter(model: type[ModelT]) -> TypeAdapter[ModelT]:
    if isinstance(model, type) and issubclass(model, BaseModel):  # pyright: ignore[reportUnnecessaryIsInstance]
        return cast("TypeAdapter[ModelT]", _ModelReader(model))
    return TypeAdapter(model)


class _ModelReader:
    """The two methods of an adapter, straight on a model: building an adapter costs far more."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.validate_python = model.model_validate
        self.validate_json = model.model_validate_json
