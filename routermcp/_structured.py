"""Read what a server sent as a model: a tool's result as the caller's own type."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from routermcp_proto import types
from routermcp_proto.exceptions import ResponseValidationError, ToolError

ModelT = TypeVar("ModelT")

#: Problems that an error lists: what is wrong shows in the first few.
MAX_MODEL_PROBLEMS = 10


def check_tool(tool: str, result: types.ToolResult) -> types.ToolResult:
    """Return the result of a tool that has not failed.

    Raises:
        ToolError: The tool reported ``isError``.
    """
    if result.isError:
        raise ToolError(
            f"tool {tool!r} failed: {result.text[:500] or 'it gave no reason'}",
            tool=tool,
            content=result.content,
            structured_content=result.structuredContent,
        )
    return result


def parse_typed(tool: str, result: types.ToolResult, model: type[ModelT]) -> ModelT:
    """Read a result as a model: its structured content, else its text, else None.

    One text item is read as JSON, and as itself where it is no JSON of that type.

    Raises:
        ToolError: The tool reported ``isError``.
        ResponseValidationError: There is nothing of that type in it.
    """
    check_tool(tool, result)
    about, method = f"the result of tool {tool!r}", "tools/call"
    if result.structuredContent is not None:
        with _structured_mismatch(about, method, model):
            return _validated_structured(model, result.structuredContent)
    texts = [item.get("text") for item in result.content if item.get("type") == "text"]
    if len(texts) == 1 and isinstance(texts[0], str):
        with _structured_mismatch(about, method, model):
            return _of_text(model, texts[0])
    if not result.content:
        with suppress(ValidationError):
            return _structured_adapter(model).validate_python(None)
    raise ResponseValidationError(
        f"{about} has neither structured content nor one text item to read; "
        "use call_tool and read its content",
        method=method,
    )


def parse_result(method: str, result: types.WireModel, model: type[ModelT]) -> ModelT:
    """Read the result of any method as a model.

    Raises:
        ResponseValidationError: It is not of that type.
    """
    with _structured_mismatch(f"the answer to {method}", method, model):
        return _structured_adapter(model).validate_python(result.model_extra or {})


@contextmanager
def _structured_mismatch(about: str, method: str, model: object) -> Generator[None]:
    """Raise that a value is not of a type where pydantic says so."""
    try:
        yield
    except ValidationError as error:
        problems = problems_of(error)
        name = getattr(model, "__name__", str(model))
        # Not from pydantic's error: a traceback would show the peer's keys as they are.
        raise ResponseValidationError(
            f"{about} is not a {name}: {'; '.join(problems)}", method=method, problems=problems
        ) from None


def _of_text(model: type[ModelT], text: str) -> ModelT:
    """Read a text as JSON, and as itself where it is no JSON of that type.

    Raises:
        ValidationError: It is neither; the problems are those of the JSON.
    """
    adapter = _structured_adapter(model)
    try:
        return adapter.validate_json(text)
    except ValidationError:
        # An empty text is how servers spell None, too.
        for value in (text,) if text else (text, None):
            with suppress(ValidationError):
                return adapter.validate_python(value)
        raise


def problems_of(error: ValidationError) -> tuple[str, ...]:
    """Return one line for each problem; never the values, which may be private."""
    return tuple(
        f"{'.'.join(str(step) for step in problem['loc']) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)[:MAX_MODEL_PROBLEMS]
    )


def _validated_structured(model: type[ModelT], value: Any) -> ModelT:
    try:
        return _structured_adapter(model).validate_python(value)
    except ValidationError:
        from routermcp_proto.types.tools import unwrapped  # noqa: PLC0415 - models load when they are used

        bare = unwrapped(value)
        if bare is value:
            raise
        return _structured_adapter(model).validate_python(bare)


def _structured_adapter(model: type[ModelT]) -> TypeAdapter[ModelT]:
    if isinstance(model, type) and issubclass(model, BaseModel):  # pyright: ignore[reportUnnecessaryIsInstance]
        return cast("TypeAdapter[ModelT]", _ModelReader(model))
    return TypeAdapter(model)


class _ModelReader:
    """The two methods of an adapter, straight on a model: building an adapter costs far more."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.validate_python = model.model_validate
        self.validate_json = model.model_validate_json
